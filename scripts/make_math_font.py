"""Makes the mathematical font that every HTML report carries: a part of STIX Math 1.1.1.

    python scripts/make_math_font.py /usr/share/fonts/opentype/stix-word/STIXMath-Regular.otf

The source is in Debian's package fonts-stix (1.1.1-4.1), by the STI Pub Companies, under the SIL
Open Font License 1.1. What is kept are the characters of the formulas, with the larger forms of
roots, braces and sums. The licence asks that a changed font has another name; this one is called
Report Math.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

TARGET = Path(__file__).parent.parent / "reports" / "fonts" / "report-math.woff"
NAME = "Report Math"

# Space to tilde; Greek; italic, bold and script letters; and what formulas are made of.
RANGES = [
    *((0x20, 0x7E), (0xA0, 0xA0), (0xB1, 0xB1), (0xD7, 0xD7), (0x302, 0x304), (0x391, 0x3F5)),
    *((0x2016, 0x2016), (0x2026, 0x2026), (0x2032, 0x2032), (0x2044, 0x2044), (0x2061, 0x2063)),
    *((0x210E, 0x210E), (0x2112, 0x2112), (0x2190, 0x2194), (0x21A6, 0x21A6), (0x2200, 0x220F)),
    *((0x2211, 0x221E), (0x2223, 0x2225), (0x2248, 0x2248), (0x2260, 0x2265), (0x2299, 0x22A5)),
    *((0x22C5, 0x22C5), (0x22EE, 0x22EF), (0x2308, 0x230B), (0x239B, 0x23AE), (0x23B7, 0x23B7)),
    *((0x23DE, 0x23DF), (0x27E8, 0x27E9), (0x1D434, 0x1D467), (0x1D49C, 0x1D4B5)),
    *((0x1D6E2, 0x1D71B), (0x211D, 0x211D), (0x223C, 0x223C), (0x203E, 0x203E), (0x2C6, 0x2DC)),
]


def make_font(source: Path) -> None:
    """Write the part of a font that the reports need."""
    font = TTFont(source, recalcTimestamp=False)
    for table in ("FFTM", "GPOS", "GDEF"):
        if table in font:
            del font[table]
    options = subset.Options()
    options.layout_features = ["ssty", "dtls", "flac"]
    options.hinting = False
    options.desubroutinize = True
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 7, 13, 14]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[c for low, high in RANGES for c in range(low, high + 1)])
    subsetter.subset(font)
    for record in list(font["name"].names):
        if record.nameID in (1, 3, 4):
            font["name"].setName(NAME, record.nameID, *_place(record))
        elif record.nameID == 6:
            font["name"].setName(NAME.replace(" ", ""), 6, *_place(record))
    top = font["CFF "].cff
    top.fontNames = [NAME.replace(" ", "")]
    top[0].FullName = top[0].FamilyName = NAME
    font.flavor = "woff"
    TARGET.parent.mkdir(exist_ok=True)
    font.save(TARGET)
    print(f"{TARGET}: {len(font.getGlyphOrder())} glyphs, {TARGET.stat().st_size:,} bytes")


def _place(record: object) -> tuple[int, int, int]:
    return record.platformID, record.platEncID, record.langID  # type: ignore[attr-defined]


if __name__ == "__main__":
    make_font(Path(sys.argv[1]))
