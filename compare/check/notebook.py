"""The code of a Jupyter notebook (nbformat 3 and 4): its cells of code without IPython's magics.

Cells are numbered from 1, and only cells of code count. A cell keeps its number of lines: a magic
leaves ``pass`` or an empty line behind, so that a line of the code is that line of the cell.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

# Cell magics whose cell is Python code of the notebook; the cell of any other is left out.
PYTHON_CELLS = {"time", "capture", "prun", "memit", "mprun", "snakeviz", "heat"}
# A line of IPython's: %magic, !command, ?help, help?, x = %magic or x = !command, and the magics
# that are understood without their %.
MAGIC = re.compile(
    r"\s*[%!?]|\s*[\w.*%]+\?{1,2}\s*$|\s*[\w.,\s\[\]'\"]+=\s*[%!]"
    r"|(pip3?|conda|cd|ls)\s+(--?\w|[\w.~/])"
)


class NotebookError(Exception):
    """A notebook cannot be read as Python code; the message is the sentence that says why."""


def read_cells(path: Path) -> list[list[str]]:
    """The lines of every cell of code.

    Raises:
        NotebookError: The file is damaged, in another language or without code.
    """
    name = path.name
    tree = _read_json(path)
    cells = _cells(tree, name)
    code = [c for c in cells if c.get("cell_type") == "code"]
    language = _language(tree, code)
    if language.lower().rstrip("0123456789.") not in ("python", "ipython", ""):
        raise NotebookError(f"{name} is a notebook in {language}; expected one in Python.")
    found = [without_magics(_text(cell, name, number)) for number, cell in enumerate(code, 1)]
    if not any(line.strip() not in ("", "pass") for lines in found for line in lines):
        raise NotebookError(f"{name} holds no Python code: expected cells of code.")
    return found


def without_magics(text: str) -> list[str]:
    """The lines of a cell, with those of IPython's syntax replaced."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines):
        if line.startswith("%%"):
            if (re.findall(r"\w+", line) or [""])[0] not in PYTHON_CELLS:
                return [""] * len(lines)
            lines[number] = ""
        elif line.strip():
            break
    scanner, in_magic = _Scanner(), False
    for number, line in enumerate(lines):
        if in_magic or (scanner.at_statement and MAGIC.match(line)):
            in_magic = line.endswith("\\")
            lines[number] = f"{line[: len(line) - len(line.lstrip())]}pass"
        else:
            scanner.read(line)
    return lines


class _Scanner:
    """Reads Python line by line and knows whether the next line can begin a statement."""

    def __init__(self) -> None:
        self._quote, self._brackets, self._continued = "", 0, False

    @property
    def at_statement(self) -> bool:
        return not self._quote and self._brackets <= 0 and not self._continued

    def read(self, line: str) -> None:
        at = 0
        while at < len(line):
            character = line[at]
            if self._quote:
                if character == "\\":
                    at += 1
                elif line.startswith(self._quote, at):
                    at += len(self._quote) - 1
                    self._quote = ""
            elif character == "#":
                self._continued = False
                return
            elif character in "'\"":
                self._quote = character * 3 if line.startswith(character * 3, at) else character
                at += len(self._quote) - 1
            else:
                self._brackets += (character in "([{") - (character in ")]}")
            at += 1
        self._continued = line.endswith("\\")
        if len(self._quote) == 1 and not self._continued:
            self._quote = ""  # a string that was never closed


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise NotebookError(
            f"{path.name} is a damaged notebook: expected JSON, but found something else at line "
            f"{error.lineno} of the file ({error.msg})."
        ) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise NotebookError(
            f"{path.name} is a damaged notebook: expected JSON in UTF-8, but found something else "
            f"({type(error).__name__})."
        ) from None
    if not isinstance(tree, dict):
        raise NotebookError(
            f"{path.name} is no notebook: expected a JSON object with cells, but found a "
            f"{type(tree).__name__}."
        )
    return tree


def _cells(tree: dict[str, Any], name: str) -> list[dict[str, Any]]:
    version = tree.get("nbformat", 4)
    if version not in (3, 4):
        raise NotebookError(f"{name} has the notebook format {version!r:.20}; expected 3 or 4.")
    cells = tree.get("cells")
    if version == 3:  # the cells are in sheets, of which Jupyter wrote one
        sheets = tree.get("worksheets")
        if isinstance(sheets, list):
            inside = [sheet.get("cells") for sheet in sheets if isinstance(sheet, dict)]
            cells = [cell for part in inside if isinstance(part, list) for cell in part]
    if not isinstance(cells, list):
        raise NotebookError(
            f"{name} is no notebook: expected a JSON object with a list of cells, but found "
            f"{', '.join(map(repr, list(tree)[:5])) or 'an empty object'}."
        )
    if not all(isinstance(cell, dict) for cell in cells):
        raise NotebookError(
            f"{name} is a damaged notebook: expected every cell to be a JSON object."
        )
    return cells


def _text(cell: dict[str, Any], name: str, number: int) -> str:
    text = cell.get("source", cell.get("input", ""))  # nbformat 3 says input
    if isinstance(text, list) and all(isinstance(part, str) for part in text):
        return "".join(text)
    if not isinstance(text, str):
        raise NotebookError(
            f"{name} is a damaged notebook: expected text in cell {number}, but found {text!r:.40}."
        )
    return text


def _language(tree: dict[str, Any], code: list[dict[str, Any]]) -> str:
    """The language as the notebook names it; empty if it does not."""
    metadata = tree.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    info, kernel = metadata.get("language_info"), metadata.get("kernelspec")
    info = info if isinstance(info, dict) else {}
    kernel = kernel if isinstance(kernel, dict) else {}
    name = str(kernel.get("name", "")).lower()
    known = {"ir": "R", "julia": "Julia", "octave": "Octave", "matlab": "MATLAB"}
    of_kernel = next((v for k, v in known.items() if re.fullmatch(rf"{k}[-\d.]*", name)), "")
    of_cells = next((c["language"] for c in code if c.get("language")), "")  # nbformat 3
    return str(info.get("name") or kernel.get("language") or of_kernel or of_cells)
