"""The report as a notebook: its sections in short, and figures drawn in code that one may change.

What it says and what it draws stands in a template, as Markdown with Python in fences; here it
becomes cells. The format is nbformat 4.5, whose files are plain JSON.
"""

from __future__ import annotations

import json
import re
from typing import Any

from compare.languages import translated
from compare.records.run import Run
from reports.trainings import ranked, shown

BEGIN, END = "```python", "```"
"""Around what is run; a longer fence is a listing that is only shown."""
SPLITS = [("train", "-", "o"), ("validation", ":", "^"), ("test", "--", "s")]
"""Each with the dash of NumPy's line and PyTorch's mark."""


def notebook_document(content: str) -> bytes:
    """Markdown as the JSON of a notebook, not yet run; equal texts give equal bytes.

    Args:
        content: What stands between lines ```` ```python ```` and ```` ``` ```` becomes a cell of
            code, and what is around it cells of text.
    """
    cells = [_cell(kind, number, text) for number, (kind, text) in enumerate(_parts(content), 1)]
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(notebook, ensure_ascii=False, indent=1) + "\n").encode()


def _cell(kind: str, number: int, text: str) -> dict[str, Any]:
    # The code is the same in every language: Matplotlib's own fonts have Latin letters.
    if kind == "markdown":
        text = "\n".join(map(_said, text.split("\n")))
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": f"cell-{number}",
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell


def _said(line: str) -> str:
    """A line of text in the language that is spoken now; the mark of a heading or a list stays."""
    mark, words = re.fullmatch(r"(#+ |- |)(.*)", line).groups()  # type: ignore[union-attr]
    return mark + translated(words, "notebook")


def _parts(content: str) -> list[tuple[str, str]]:
    """(kind, text) of each cell; a heading begins a new one."""
    found: list[tuple[str, list[str]]] = [("markdown", [])]
    longer = ""  # the fence of a listing that is only shown, whose lines are no fences
    for line in content.split("\n"):
        quotes = line[: len(line) - len(line.lstrip("`"))]
        if longer or len(quotes) > len(END):
            closes = line == quotes and len(quotes) >= len(longer)
            longer = (longer or quotes) if not longer or not closes else ""
            found[-1][1].append(line)
        elif line == BEGIN:
            found.append(("code", []))
        elif line == END and found[-1][0] == "code":
            found.append(("markdown", []))
        else:
            if found[-1][0] == "markdown" and re.match(r"#+ ", line):
                found.append(("markdown", []))
            found[-1][1].append(line)
    texts = [(kind, "\n".join(lines).strip("\n")) for kind, lines in found]
    return [(kind, text) for kind, text in texts if text]


def notebook_values(run: Run) -> dict[str, Any]:
    """The names that ``notebook.md.j2`` uses beside those of the report, as Python writes them."""
    trainings = shown(run)
    found = {row.split for row in run.history}
    best = ranked(run, trainings)[0] if trainings else None
    return {
        "shown_labels": repr([training.label for training in trainings]),
        "shown_seed": repr(trainings[0].seed if trainings else 0),
        "best_label": repr(best.label if best is not None else ""),
        "splits": repr([look for look in SPLITS if look[0] in found]),
        "custom": [
            {name: repr(value) for name, value in figure.model_dump().items()}
            | {"kind": figure.kind, "name": f"custom-{number}"}
            for number, figure in enumerate(run.record.experiment.figures, 1)
        ],
    }
