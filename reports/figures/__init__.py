"""The figures of the report, in the order in which they appear."""

from __future__ import annotations

from compare.records.run import Run
from reports.figures import (
    asked,
    confusion,
    curves,
    differences,
    drift,
    mistakes,
    parity,
    samples,
    timing,
)
from reports.figures.canvas import Drawing, Figure, rendered, style

__all__ = ["Figure", "draw_figures"]


def draw_figures(run: Run) -> list[Figure]:
    """Draw what the records of a run have numbers for, numbered from 1."""
    figures: list[Figure] = []
    with style():
        for draw in (
            samples.draw,
            asked.draw,
            curves.draw,
            differences.draw,
            drift.draw,
            confusion.draw,
            mistakes.draw,
            timing.draw,
            parity.draw,
        ):
            drawings: list[Drawing] = draw(run)
            for drawing in drawings:
                figures.append(rendered(drawing, len(figures) + 1))
    return figures
