"""Numbers and names as words: for sentences, cells of tables, and figures.

Most of these are filters of the templates, too (:mod:`reports.documents`).
"""

from __future__ import annotations

import ast
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import PurePosixPath, PureWindowsPath

from compare.languages import translated
from experiments.files import printable

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# Not strftime's, which speaks the reader's own language.
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def day(created: str) -> str:
    """``2024-02-03T04:05:06+00:00`` → ``3 February 2024``."""
    found = datetime.fromisoformat(created)
    return translated(f"{found.day} {MONTHS[found.month - 1]} {found.year}", "day")


def count(number: int) -> str:
    """``12272`` → ``12,272``."""
    return f"{number:,}"


def plural(number: int, singular: str, several: str | None = None) -> str:
    """``(3, "step")`` → ``3 steps``."""
    return translated(f"{count(number)} {singular if number == 1 else several or singular + 's'}")


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits; very small and very large ones as a power of 10."""
    if math.isnan(value):
        return translated("not a number")
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -4 < power < 5:
        text = f"{float(f'{value:.{digits - 1}e}'):.{max(digits - 1 - power, 0)}f}"
        return text.replace("-", "−")
    factor = "" if float(mantissa) == 1 else f"{mantissa} × "
    return f"{factor}10{str(power).translate(SUPERSCRIPTS)}".replace("-", "−")


def percent(share: float, digits: int = 2) -> str:
    """``0.9512`` → ``95.12%``."""
    return translated("not a number") if math.isnan(share) else f"{100 * share:.{digits}f}%"


def points(difference: float) -> str:
    """A difference of two shares, in percentage points: ``0.002`` → ``0.20 points``."""
    return translated(f"{abs(100 * difference):.2f} points")


def signed_points(difference: float) -> str:
    """``-0.002`` → ``−0.20 points``."""
    sign = "−" if difference < 0 else "+"
    return f"{sign}{points(difference)}"


def fixed(value: float | None, digits: int = 4) -> str:
    """A number for a column of a table, a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}".replace("-", "−") if math.isfinite(value) else number(value)


def probability(p: float) -> str:
    """``p = 0.012`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def milliseconds(seconds: float) -> str:
    """``0.00123`` → ``1.23``."""
    return number(1e3 * seconds)


def latex(value: float | int | str | None) -> str:
    """A number for a formula: ``1e-05`` → ``10^{-5}``."""
    if not isinstance(value, int | float):
        return str(value)
    mantissa, _, exponent = f"{value:e}".partition("e")
    power, factor = int(exponent), f"{float(mantissa):g}"
    if -4 < power < 4:
        return f"{value:g}"
    return f"10^{{{power}}}" if factor == "1" else f"{factor}\\cdot10^{{{power}}}"


def class_name(names: Sequence[str], predicted: int) -> str:
    """The name of a predicted class; the number itself where it is a rounded output and none."""
    return names[predicted] if 0 <= predicted < len(names) else f"{predicted}".replace("-", "−")


def joined(words: Iterable[str], conjunction: str = "and") -> str:
    """``["a", "b", "c"]`` → ``a, b and c``."""
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {translated(conjunction, 'conjunction')} {words[-1]}"


def capitalised(text: str) -> str:
    """The text with a capital at its beginning, the rest as it is."""
    return text[:1].upper() + text[1:]


def runs(steps: Iterable[int]) -> list[str]:
    """Numbers in ascending order, those in a row together: ``[0, 1, 2, 7]`` → ``0–2``, ``7``."""
    found: list[list[int]] = []
    for step in steps:
        if found and step == found[-1][-1] + 1:
            found[-1].append(step)
        else:
            found.append([step])
    return [
        count(run[0]) if len(run) == 1 else f"{count(run[0])}–{count(run[-1])}" for run in found
    ]


def one_line(text: str) -> str:
    """The text without its line breaks, with one space between words.

    What acts on a page or a terminal and is not seen, as ESC, is written as its code.
    """
    return printable(" ".join(text.split()))


def emphasised(text: str) -> str:
    """Markdown in italics."""
    return f"*{text}*"


def quoted(text: str) -> str:
    """The text in quotation marks."""
    return f"“{text}”"


def escaped(text: str) -> str:
    """Text of a record as literal Markdown, on one line: nothing in it is markup."""
    text = re.sub(r"([\\`*_\[\]|$<>~^@&]|-(?=-))", r"\\\1", one_line(text))
    return re.sub(r"^([-+#:](?=\s)|#|\d+(?=[.)]\s))", _shielded, text)


def _shielded(match: re.Match[str]) -> str:
    """What would begin a list or a heading at the start of a line, so that it does not."""
    return f"{match[1]}\\" if match[1].isdigit() else f"\\{match[1]}"


def code(text: str) -> str:
    """Text as Markdown code, also inside a table."""
    text = one_line(text) or " "  # an empty one would be two quotes, which begin another
    quotes = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{quotes}{pad}{text}{pad}{quotes}".replace("|", "\\|")


def listing(source: str, language: str = "") -> str:
    """Source code as a Markdown listing, in a fence that is longer than any run of its quotes."""
    longest = max((len(run) for run in re.findall("`+", source)), default=0)
    fence = "`" * max(5, longest + 1)
    return f"{fence}{language}\n{source.rstrip()}\n{fence}"


def forward_lines(excerpt: str, but: bool = False) -> str:
    """The forward pass of a class's excerpt, or all but that, with what each calls beneath.

    An excerpt that cannot be parsed has no forward pass.
    """
    body, _, said = excerpt.rpartition("\n\n# ")
    body, said = (body, f"# {said}") if body else (excerpt, "")
    try:
        functions = ast.parse(body).body
    except (SyntaxError, ValueError):
        return excerpt if but else ""
    kept: list[str] = []
    first = 0
    for function in functions:
        forward = isinstance(function, ast.FunctionDef) and function.name == "forward"
        if forward != but:
            kept += body.splitlines()[first : function.end_lineno]
        first = function.end_lineno or first
    code = "\n".join(kept).strip("\n")
    words = set(re.findall(r"\w+", code))
    meanings = [line for line in said.splitlines() if line[2:].partition(":")[0] in words]
    return "\n\n".join(filter(None, (code, "\n".join(meanings) if code else "")))


def command_line(command: str) -> str:
    """The command of a run without what belongs to one machine: ``--out`` and folders."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == "--out":
            skip = True
        elif not word.startswith("--out=") and word != "--resume":
            kept.append(word)
    return shlex.join(_without_folders(word) for word in kept)


def _without_folders(word: str) -> str:
    option, equals, value = word.rpartition("=") if word.startswith("--") else ("", "", word)
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(value).is_absolute():
            return f"{option}{equals}{kind(value).name or 'DIR'}"
    return word


def pipe_table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A table; ``align`` has ``l`` or ``r`` for each column. Without rows there is no table."""
    if not rows:
        return ""
    rules = ["--:" if edge == "r" else ":--" for edge in align.ljust(len(columns), "l")]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rules, *rows))


def translated_table(table: str, context: str) -> str:
    """A table of :func:`pipe_table`, in the language that is spoken now.

    Args:
        table: With English headings and cells.
        context: That of its entries in the catalogue.
    """

    def cell(text: str) -> str:
        inner = text.strip("*")
        stars = "*" * ((len(text) - len(inner)) // 2)
        return f"{stars}{translated(inner, context)}{stars}"

    lines = [re.split(r" \| ", line[2:-2]) for line in table.split("\n")]
    return "\n".join(f"| {' | '.join(map(cell, cells))} |" for cells in lines)


# A superset of the scripts of `reports.typefaces`, which is loaded only where it is needed.
_OTHER_WRITING = re.compile(
    "[\u0590-\u1cff\u2600-\u27bf\u2b50-\u2b55\u2e80-\ud7ff\uf900-\ufaff\ufb1d-\U0003ffff]"
)


def has_other_writing(text: str) -> bool:
    """Whether there may be characters that the report's own fonts lack: Korean, Arabic, emoji."""
    return _OTHER_WRITING.search(text) is not None
