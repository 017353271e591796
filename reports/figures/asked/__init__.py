"""The figures that an experiment's file asks for."""

from __future__ import annotations

from compare.records.run import Run
from reports.figures.asked import best_trials, curves, final_values, gradient_norms, near_misses
from reports.figures.canvas import Drawing

KINDS = {
    "curves": curves.draw,
    "final values": final_values.draw,
    "best trials": best_trials.draw,
    "gradient norms": gradient_norms.draw,
    "near misses": near_misses.draw,
}


def draw(run: Run) -> list[Drawing]:
    """Each figure of the form, in order; one that the run has no numbers for is left out."""
    found = []
    for number, form in enumerate(run.record.experiment.figures, 1):
        drawing = KINDS[form.kind](run, form, f"own-{number}")
        if drawing is not None:
            found.append(drawing)
    return found
