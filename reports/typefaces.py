"""Fonts for writing that the report's own fonts lack: Korean, Chinese, Japanese, Arabic and more.

The PDF is set with the fonts that typst carries, and figures with Matplotlib's, so that every
machine makes the same. Neither has Hangul, Han, Kana and many others. Only where a text needs such
a script are the fonts of the machine asked, and only for its characters; where no font has them,
a word in brackets takes their place, as boxes say nothing.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

CJK_PACKAGE = "fonts-noto-cjk"


class Script(NamedTuple):
    """A system of writing.

    Attributes:
        name: Its name in a sentence.
        pattern: The characters, as they stand between the brackets of a regular expression.
        families: Fonts to look for, the best first; each stands for all whose name begins so.
        package: What Debian and Ubuntu call the package with the first of them.
    """

    name: str
    pattern: str
    families: tuple[str, ...]
    package: str


_CJK = ("Noto Serif CJK", "Noto Sans CJK", "Source Han Serif", "Source Han Sans")
SCRIPTS = (
    Script(
        "Korean", r"\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff",
        (*_CJK, "Noto Serif KR", "Noto Sans KR", "Nanum Myeongjo", "NanumMyeongjo", "Nanum Gothic",
         "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo", "Batang"), CJK_PACKAGE,
    ),
    Script(
        "Japanese", r"\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f",
        (*_CJK, "Noto Serif JP", "Noto Sans JP", "IPAexMincho", "Yu Mincho", "Hiragino"),
        CJK_PACKAGE,
    ),
    Script(
        "Chinese characters", r"\u2e80-\u2fdf\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
        r"\uff00-\uff65\U00020000-\U0003ffff",
        (*_CJK, "Noto Serif SC", "Noto Sans SC", "Microsoft YaHei", "SimSun", "PingFang"),
        CJK_PACKAGE,
    ),
    Script(
        "Arabic", r"\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufeff",
        ("Noto Naskh Arabic", "Noto Sans Arabic", "Amiri", "Arial", "Geeza Pro", "DejaVu Sans"),
        "fonts-noto-core",
    ),
    Script("Hebrew", r"\u0590-\u05ff", ("Noto Serif Hebrew", "Noto Sans Hebrew", "DejaVu Sans"),
           "fonts-noto-core"),
    Script("Devanagari", r"\u0900-\u097f", ("Noto Serif Devanagari", "Noto Sans Devanagari"),
           "fonts-noto-core"),
    Script("Thai", r"\u0e00-\u0e7f", ("Noto Serif Thai", "Noto Sans Thai", "Tahoma"),
           "fonts-noto-core"),
    Script(
        "emoji", r"\u2600-\u27bf\u2b50-\u2b55\U0001f000-\U0001faff",
        ("Noto Emoji", "Symbola", "Segoe UI Emoji", "DejaVu Sans"), "fonts-symbola",
    ),
)  # fmt: skip
_OF_SCRIPTS = re.compile(f"[{''.join(script.pattern for script in SCRIPTS)}]")
_NO_SHAPE = dict.fromkeys(map(ord, "\u200d\ufe0e\ufe0f"))
"""What joins and varies emoji; without a font for the whole it is left out."""

# Whose forms of the Chinese characters a text wants, by what else stands in it.
_REGIONS = (("Korean", "KR"), ("Japanese", "JP"), ("Chinese characters", "SC"))


class Face(NamedTuple):
    """A font file of the machine."""

    path: Path
    family: str
    bold: bool

    @property
    def characters(self) -> frozenset[int]:
        """What it has."""
        return _characters(self.path)


class Missing(NamedTuple):
    """Writing that no font of the machine has."""

    scripts: tuple[Script, ...]

    def __bool__(self) -> bool:
        return bool(self.scripts)

    def sentence(self, where: str) -> str:
        """What to tell the reader: what is missing, and what to install."""
        return f"No font of this machine has {self._names}, which {where} left out; {self._way}"

    def instead(self, what: str) -> str:
        """The same of a language whose writing is missing: what was done instead."""
        return (
            f"No font of this machine has {self._names}, so the figures and the PDF {what}; "
            f"{self._way}"
        )

    @property
    def _names(self) -> str:
        return " and ".join(script.name for script in self.scripts)

    @property
    def _way(self) -> str:
        packages = ", ".join(dict.fromkeys(script.package for script in self.scripts))
        return (
            f"install one (on Debian and Ubuntu: apt-get install {packages}) and make the report "
            "again."
        )


def needs_fonts(text: str) -> bool:
    """Whether a text has characters of which the report's own fonts may have none."""
    return _OF_SCRIPTS.search(text) is not None


def faces_for(text: str) -> tuple[list[Face], Missing]:
    """The fonts of the machine that a text needs, and the scripts that none of them has.

    Args:
        text: All that is to be written.
    """
    faces: dict[Path, Face] = {}
    missing: list[Script] = []
    for script in SCRIPTS:
        characters = {ord(c) for c in re.findall(f"[{script.pattern}]", text)}
        if not characters:
            continue
        found = _best(script, characters)
        if found is None:
            missing.append(script)
            continue
        # The other weight of the same family, for titles.
        for face in (found, *(f for f in installed() if f.family == found.family)):
            faces.setdefault(face.path, face)
    return list(faces.values()), Missing(tuple(missing))


def _best(script: Script, characters: set[int]) -> Face | None:
    """The first of the families that has all the characters, else any font, else the fullest."""
    chosen: Face | None = None
    most = 0
    for family in (*script.families, ""):
        for face in installed():
            if face.bold or not face.family.startswith(family):
                continue
            has = len(characters & face.characters)
            if has == len(characters):
                return face
            if has > most:
                chosen, most = face, has
    return chosen


@cache
def installed() -> tuple[Face, ...]:
    """The fonts of the machine that can be drawn at any size, upright ones only."""
    from matplotlib.font_manager import findSystemFonts, get_font

    found = []
    for name in sorted(findSystemFonts()):
        try:
            font = get_font(name)
        except (OSError, RuntimeError):  # damaged, or of a kind that FreeType does not know
            continue
        if font.scalable and "Italic" not in font.style_name and "Oblique" not in font.style_name:
            bold = "Bold" in font.style_name or "Black" in font.style_name
            found.append(Face(Path(name), font.family_name, bold))
    # Variants as Light and Medium come after the regular weight.
    return tuple(sorted(found, key=lambda face: (face.bold, _weight(face.path), face.path.name)))


def _weight(path: Path) -> bool:
    return re.search("light|medium|thin|demi|semi", path.stem, re.IGNORECASE) is not None


@cache
def _characters(path: Path) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    return frozenset(get_font(str(path)).get_charmap())


def region(text: str) -> str:
    """``KR``, ``JP`` or ``SC``: whose forms of the Chinese characters a text wants."""
    patterns = {script.name: script.pattern for script in SCRIPTS}
    for name, short in _REGIONS:
        if re.search(f"[{patterns[name]}]", text):
            return short
    return "SC"


def family_names(faces: Iterable[Face], text: str) -> list[str]:
    """The names by which typst knows the fonts; of pan-Chinese ones the right region's."""
    names = [re.sub(r"CJK \w\w$", f"CJK {region(text)}", face.family) for face in faces]
    return list(dict.fromkeys(names))


@contextmanager
def font_folder(faces: Sequence[Face]) -> Iterator[list[Path]]:
    """A folder with these fonts and no others, for typst; none where there are none."""
    if not faces:
        yield []
        return
    with TemporaryDirectory() as name:
        for face in faces:
            target = Path(name) / face.path.name
            try:
                target.symlink_to(face.path)
            except OSError:  # Windows, for those who are no administrators
                shutil.copyfile(face.path, target)
        yield [Path(name)]


def matplotlib_families(text: str) -> list[str]:
    """Register the fonts that a text needs with Matplotlib, and name them, sans serif first."""
    from matplotlib.font_manager import fontManager

    faces, _ = faces_for(text)
    # A figure has a sans serif; of a pair of families that one is taken.
    sans = [_sans(face) for face in faces if not face.bold]
    names = []
    for face in dict.fromkeys(sans):
        own = [entry.name for entry in fontManager.ttflist if entry.fname == str(face.path)]
        if not own:
            fontManager.addfont(str(face.path))
            own = [entry.name for entry in fontManager.ttflist if entry.fname == str(face.path)]
        wanted = family_names([face], text)[0]
        names.append(wanted if wanted in own else own[0])
    return names


def _sans(face: Face) -> Face:
    name = face.family.replace("Serif", "Sans")
    return next((f for f in installed() if f.family == name and not f.bold), face)


def without(text: str, missing: Missing) -> str:
    """The text with the name of its script, in brackets, in the place of what no font has."""
    for script in missing.scripts:
        run = f"[{script.pattern}](?:[{script.pattern}\\s\u200d\ufe0e\ufe0f]*[{script.pattern}])?"
        text = re.sub(run, f"({script.name})", text)
    return text.translate(_NO_SHAPE) if missing else text
