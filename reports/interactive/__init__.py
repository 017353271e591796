"""The figures of the HTML report that one can ask: values under the pointer, sides switched.

They are made of the same records as the pictures of :mod:`reports.figures`, and drawn by Bokeh's
script, which stands in the page. Pictures stay in the page for readers without scripts and for
paper. This folder is imported where Bokeh is installed, and then only while a report is made.
"""

from __future__ import annotations

from compare.records.run import Run
from reports.interactive.curves import ask_curves, ask_drift
from reports.interactive.outcomes import ask_confusion, ask_timing
from reports.interactive.parity import ask_parity
from reports.interactive.plots import Interactive

__all__ = ["Interactive", "interactive_figures"]


def interactive_figures(run: Run) -> list[Interactive]:
    """One for each idea that the records of a run have numbers for."""
    found = (ask(run) for ask in (ask_curves, ask_parity, ask_confusion, ask_drift, ask_timing))
    return [figure for figure in found if figure is not None]
