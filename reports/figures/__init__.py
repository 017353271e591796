"""The figures of the report, in the order in which they appear."""

from __future__ import annotations

from compare.records.run import Run
from reports.figures.curves import draw_curves, draw_distance, draw_drift, draw_timing
from reports.figures.images import draw_confusion, draw_mistakes, draw_samples
from reports.figures.parity import draw_parity
from reports.figures.style import Drawing, Figure, rendered, style

__all__ = ["Figure", "draw_figures"]


def draw_figures(run: Run) -> list[Figure]:
    """Draw what the records of a run have numbers for, numbered from 1."""
    figures: list[Figure] = []
    with style():
        for draw in (
            draw_curves,
            draw_samples,
            _draw_custom,
            draw_parity,
            draw_confusion,
            draw_mistakes,
            draw_drift,
            draw_distance,
            draw_timing,
        ):
            for drawing in draw(run):
                figures.append(rendered(drawing, len(figures) + 1))
    return figures


def _draw_custom(run: Run) -> list[Drawing]:
    """What the experiment's file asks for; what draws it is loaded only then."""
    if not run.record.experiment.figures:
        return []
    from reports.figures.custom import draw_custom

    return draw_custom(run)
