"""The texts of ``--help`` in another language, in columns that wide characters keep.

The command line's own library writes them in English and counts characters, of which those of
Korean take two columns. So its text is taken unwrapped, translated line by line, and laid out
again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from compare.languages import translated

WIDTH = 80
"""Columns of help at most; a narrower terminal has fewer."""
WIDEST_NAME = 30
"""Of an option with its metavar; a wider one has a line of its own."""
UNWRAPPED = 10_000


def translate_help(command: Any) -> None:
    """Have a command and those below it give their help in the language that is spoken."""
    command.context_settings = {**command.context_settings, "terminal_width": UNWRAPPED}
    own: Callable[[Any], str] = command.get_help
    command.get_help = lambda context: laid_out(own(context), _columns())
    for below in getattr(command, "commands", {}).values():
        translate_help(below)


def _columns() -> int:
    import shutil

    return max(min(shutil.get_terminal_size().columns, WIDTH), 50)


def width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most so many columns, broken at spaces; a word that is wider is a line."""
    lines: list[str] = []
    for word in text.split():
        if lines and width(lines[-1]) + 1 + width(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def laid_out(text: str, columns: int) -> str:
    """An unwrapped help text, translated and in lines of at most so many columns."""
    lines: list[str] = []
    rows: list[tuple[str, str]] = []
    for line in [*text.splitlines(), ""]:
        indent, inner = len(line) - len(line.lstrip()), line.strip()
        name, gap, said = re.match(r"(\S.*?|)(\s{2,}|$)(.*)", inner).groups()  # type: ignore[union-attr]
        if indent > 2 and rows:  # what a long name has in the line below it
            rows[-1] = (rows[-1][0], inner)
        elif indent == 2 and (gap or inner.startswith("-")):
            rows.append((name, said))
        else:
            lines += _table(rows, columns)
            rows = []
            lines += _plain(inner, indent, columns)
    return "\n".join(lines).rstrip("\n")


def _plain(text: str, indent: int, columns: int) -> list[str]:
    """A heading, the usage line or a paragraph."""
    if text.startswith("Usage: "):
        return [f"{translated('Usage:', 'help')} {text.removeprefix('Usage: ')}"]
    shown = wrapped(translated(text, "help"), columns - indent - 1) or [""]
    return [f"{'':{indent}}{line}" for line in shown]


def _table(rows: list[tuple[str, str]], columns: int) -> list[str]:
    """Names and what they mean, side by side."""
    widths = (width(name) for name, _ in rows)
    widest = max((one for one in widths if one <= WIDEST_NAME), default=WIDEST_NAME)
    lines: list[str] = []
    for name, meaning in rows:
        words = wrapped(_meaning(meaning), columns - widest - 5)
        if width(name) > widest:
            lines.append(f"  {name}")
            name = ""
        first = f"  {name}{'':{widest - width(name)}}  "
        lines += [f"{first if k == 0 else '':{widest + 4}}{line}" for k, line in enumerate(words)]
    return lines


def _meaning(text: str) -> str:
    """What an option does, with its default and its bounds."""
    meaning, _, extra = text.partition("  [")
    if not extra and re.fullmatch(r"\[.*\]", text):
        meaning, extra = "", text[1:]
    notes = "; ".join(translated(note, "help") for note in extra.removesuffix("]").split("; "))
    return translated(meaning, "help") + (f" [{notes}]" if extra else "")
