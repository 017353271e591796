"""Makes the fonts that reports carry: for formulas in HTML, and for the text in figures.

    python scripts/make_fonts.py /usr/share/fonts/opentype

The sources are in Debian's packages fonts-stix (1.1.1-4.1) by the STI Pub Companies and
fonts-linuxlibertine (5.3.0-6) by Philipp H. Poll, under the SIL Open Font License 1.1. Of STIX Math
the characters of the formulas are kept, with the larger forms of roots, braces and sums; of Linux
Libertine, from which the face of the PDF's text was derived, the writing of Europe and the signs of
numbers. The licence asks that a changed font has another name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from fontTools import subset
from fontTools.ttLib import TTFont

FOLDER = Path(__file__).parent.parent / "reports" / "fonts"

# Space to tilde; Greek; italic, bold and script letters; and what formulas are made of.
FORMULAS = [
    *((0x20, 0x7E), (0xA0, 0xA0), (0xB1, 0xB1), (0xD7, 0xD7), (0x302, 0x304), (0x391, 0x3F5)),
    *((0x2016, 0x2016), (0x2026, 0x2026), (0x2032, 0x2032), (0x2044, 0x2044), (0x2061, 0x2063)),
    *((0x210E, 0x210E), (0x2112, 0x2112), (0x2190, 0x2194), (0x21A6, 0x21A6), (0x2200, 0x220F)),
    *((0x2211, 0x221E), (0x2223, 0x2225), (0x2248, 0x2248), (0x2260, 0x2265), (0x2299, 0x22A5)),
    *((0x22C5, 0x22C5), (0x22EE, 0x22EF), (0x2308, 0x230B), (0x239B, 0x23AE), (0x23B7, 0x23B7)),
    *((0x23DE, 0x23DF), (0x27E8, 0x27E9), (0x1D434, 0x1D467), (0x1D49C, 0x1D4B5)),
    *((0x1D6E2, 0x1D71B), (0x211D, 0x211D), (0x223C, 0x223C), (0x203E, 0x203E), (0x2C6, 0x2DC)),
]


# Latin, Greek and Cyrillic letters; dashes, quotes and dots; raised digits; arrows and relations.
TEXT = [
    *((0x20, 0x7E), (0xA0, 0x17F), (0x2C6, 0x2DC), (0x386, 0x3CE), (0x400, 0x45F)),
    *((0x2010, 0x2016), (0x2018, 0x201E), (0x2020, 0x2026), (0x2030, 0x2033), (0x2070, 0x208E)),
    *((0x2190, 0x2194), (0x2202, 0x2202), (0x2206, 0x2206), (0x220F, 0x2212), (0x221A, 0x221E)),
    *((0x2248, 0x2248), (0x2260, 0x2265), (0x22C5, 0x22C5)),
]


class Font(NamedTuple):
    """A font to be made.

    Attributes:
        name: Its family.
        style: ``Regular`` or ``Bold``.
        source: Its file, in the folder that is given.
        target: Its file in the reports' fonts.
        ranges: The characters to keep, first and last of each range.
        features: The features of the layout to keep.
        flavor: ``woff``, or None for a file as it is.
    """

    name: str
    style: str
    source: str
    target: str
    ranges: list[tuple[int, int]]
    features: tuple[str, ...] = ()
    flavor: str | None = None


FONTS = [
    Font(
        *("Report Math", "Regular", "stix-word/STIXMath-Regular.otf", "report-math.woff"),
        *(FORMULAS, ("ssty", "dtls", "flac"), "woff"),
    ),
    Font("Report Serif", "Regular", "linux-libertine/LinLibertine_R.otf", "report-serif.otf", TEXT),
    Font(
        "Report Serif", "Bold", "linux-libertine/LinLibertine_RB.otf", "report-serif-bold.otf", TEXT
    ),
]


def make_font(made: Font, folder: Path) -> None:
    """Write the part of a font that the reports need."""
    font = TTFont(folder / made.source, recalcTimestamp=False)
    for table in ("FFTM", "GDEF", "GPOS", *(() if made.features else ("GSUB", "kern"))):
        if table in font:
            del font[table]
    options = subset.Options()
    options.layout_features = list(made.features)
    options.hinting = False
    options.desubroutinize = True
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 7, 13, 14]
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[c for low, high in made.ranges for c in range(low, high + 1)])
    subsetter.subset(font)
    full = made.name if made.style == "Regular" else f"{made.name} {made.style}"
    for record in list(font["name"].names):
        place = record.platformID, record.platEncID, record.langID
        if record.nameID in (1, 2, 3, 4):
            named = {1: made.name, 2: made.style}.get(record.nameID, full)
            font["name"].setName(named, record.nameID, *place)
        elif record.nameID == 6:
            font["name"].setName(full.replace(" ", ""), 6, *place)
    top = font["CFF "].cff
    top.fontNames = [full.replace(" ", "")]
    top[0].FullName, top[0].FamilyName = full, made.name
    font.flavor = made.flavor
    target = FOLDER / made.target
    target.parent.mkdir(exist_ok=True)
    font.save(target)
    print(f"{target}: {len(font.getGlyphOrder())} glyphs, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    for made in FONTS:
        make_font(made, Path(sys.argv[1]))
