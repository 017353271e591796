"""A homework's source: a Python file, or the cells of a notebook joined in order.

Python knows a line of it by one number. Sentences name it as its author sees it: ``line 3``, and
in a notebook ``cell 4, line 3``.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from compare.check.notebook import read_cells

# What Python 3 says of Python 2's syntax, and how it is called here.
PYTHON_2 = {
    r"Missing parentheses in call to 'print'": "print without parentheses",
    r"Missing parentheses in call to 'exec'": "exec without parentheses",
    r"multiple exception types must be parenthesized": "except X, e instead of except X as e",
}
# The same for messages that say nothing, by the line.
PYTHON_2_LINES = {
    r"\s*except\s+[\w.]+\s*,\s*\w+\s*:": "except X, e instead of except X as e",
    r"\s*raise\s+[\w.]+\s*,": "raise X, message instead of raise X(message)",
    r"[^'\"#]*<>": "<> instead of !=",
    r"[^'\"#]*`[^`]+`": "backquotes instead of repr",
}
# What only Python 3 can read: in such a file a print without parentheses is a slip.
ONLY_PYTHON_3 = re.compile(r"\b[fF][\"']|\bnonlocal\s|\bprint\([^\n]*\b(end|sep|flush)=")


@dataclass(frozen=True)
class Source:
    """The code of a file, and how its lines are called.

    Attributes:
        path: The file.
        code: The code; of a Python file its bytes, whose encoding Python finds out.
        cells: The cell and the line in it of every line of a notebook; None for a Python file.
    """

    path: Path
    code: str | bytes
    cells: tuple[tuple[int, int], ...] | None = None

    @property
    def text(self) -> str:
        """The code as text."""
        if isinstance(self.code, str):
            return self.code
        return self.code.decode("utf-8-sig", errors="replace")

    def line(self, number: int) -> str:
        """The name of a line: ``line 3``, or ``cell 4, line 3``."""
        if not self.cells:
            return f"line {number}"
        cell, line = self.cells[min(max(number, 1), len(self.cells)) - 1]
        return f"cell {cell}, line {line}"

    def place(self, number: int) -> str:
        """The line after a verb: ``at line 3``, or ``in cell 4, line 3``."""
        return f"{'in' if self.cells else 'at'} {self.line(number)}"

    def parse(self) -> ast.Module:
        """The syntax tree.

        Raises:
            SyntaxError: The code is no Python 3; of a notebook, it is said of the right cell.
        """
        if self.cells is not None:
            self._parse_cells()
        return ast.parse(self.code, str(self.path))

    def _parse_cells(self) -> None:
        """Parse every cell alone: joined, one that lacks a bracket would spoil the next."""
        assert self.cells is not None
        assert isinstance(self.code, str)
        lines, begin = self.code.split("\n"), 0
        for end in range(1, len(self.cells) + 1):
            if end < len(self.cells) and self.cells[end][1] != 1:
                continue
            try:
                ast.parse("\n".join(lines[begin:end]), str(self.path))
            except SyntaxError as error:
                line = (error.lineno or 1) + begin
                error.lineno = min(line, end)
                raise
            begin = end


def read_source(path: Path) -> Source:
    """Read a file: a notebook if its name says so.

    Raises:
        NotebookError: It is a notebook that cannot be read.
    """
    if path.suffix != ".ipynb":
        return Source(path, path.read_bytes())
    cells = read_cells(path)
    numbers = [(c, n) for c, lines in enumerate(cells, 1) for n in range(1, len(lines) + 1)]
    return Source(path, "\n".join(line for lines in cells for line in lines), tuple(numbers))


def python_2_sign(error: SyntaxError, text: str) -> str | None:
    """What in the line of a syntax error is Python 2, in words; None if nothing is.

    Args:
        error: The error.
        text: The code.
    """
    if ONLY_PYTHON_3.search(text):
        return None
    for message, words in PYTHON_2.items():
        if re.match(message, error.msg or ""):
            return words
    lines = text.splitlines()
    line = lines[error.lineno - 1] if error.lineno and error.lineno <= len(lines) else ""
    return next((words for form, words in PYTHON_2_LINES.items() if re.match(form, line)), None)
