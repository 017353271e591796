"""Several runs in one figure: one colour a run, NumPy as lines and PyTorch as marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.lines import Line2D

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run
from reports.figures.panels import colour, draw_line, in_rows, mark, whole_numbers
from reports.figures.series import mean_and_range, series
from reports.figures.style import Drawing, paper
from reports.trainings import measure

MOST_PANELS = 4
"""So many configurations have a column."""


def draw_runs(runs: Sequence[tuple[str, Run]]) -> list[Drawing]:
    """Loss and accuracy along the training, a column for each configuration.

    Configurations that most of the runs have come first. Runs that have several seeds are drawn as
    their mean.

    Args:
        runs: (letter, run).

    Returns:
        One figure; none where nothing was evaluated.
    """
    labels = _labels([run for _, run in runs])
    if not labels:
        return []
    canvas, axes = paper(9.6, 2, len(labels), sharex="col", sharey="row")
    anything = False
    for column, label in zip(axes.T, labels, strict=True):
        column[0].set_title(label)
        for place, (_, run) in enumerate(runs):
            trainings = [t for t in run.record.trainings if t.finished and t.label == label]
            for axis, quantity in zip(column, _quantities(run), strict=True):
                for backend in BACKENDS:
                    band = mean_and_range([series(run, backend, t, quantity) for t in trainings])
                    if band is None:
                        continue
                    anything = True
                    per_epoch = run.steps_per_epoch[label]
                    draw_line(axis, band, backend, place, len(runs), dashed=False, scale=per_epoch)
        column[1].set_xlabel("epoch")
        whole_numbers(column[1])
    if not anything:
        return []
    axes[0, 0].set_ylabel("mean loss (nats)")
    axes[1, 0].set_ylabel("accuracy")
    in_rows(canvas, [_of_runs([letter for letter, _ in runs]), _of_backends()])
    measures = list(dict.fromkeys(measure(run) for _, run in runs))
    return [
        Drawing(
            "curves",
            canvas,
            "Loss and accuracy in evaluation mode at the end of each epoch, one colour a run: "
            f"{' or '.join(measures).replace(' accuracy', '')} rows. Lines are NumPy's and open "
            "marks PyTorch's. Of several seeds the line is the mean, and the band reaches from the "
            "least to the largest.",
            "Curves of loss and accuracy against the epoch, one column for each training and one "
            "colour for each run.",
        )
    ]


def _labels(runs: Sequence[Run]) -> list[str]:
    """The labels of finished trainings, those that most of the runs have first."""
    several = [[t.label for t in run.record.trainings if t.finished] for run in runs]
    every = list(dict.fromkeys(label for labels in several for label in labels))
    most_first = sorted(every, key=lambda label: -sum(label in labels for labels in several))
    return most_first[:MOST_PANELS]


def _quantities(run: Run) -> tuple[str, str]:
    accuracy = measure(run)
    return accuracy.replace("accuracy", "loss"), accuracy


def _of_runs(letters: Sequence[str]) -> list[Any]:
    return [
        Line2D([], [], color=colour(place, len(letters)), marker=mark(place), mfc="none", ms=3.6,
               mew=0.8, label=f"run {letter}")
        for place, letter in enumerate(letters)
    ]  # fmt: skip


def _of_backends() -> list[Any]:
    return [
        Line2D([], [], color="black", label="NumPy: line"),
        Line2D([], [], color="black", ls="none", marker="o", mfc="none", ms=3.6,
               label="PyTorch: open marks"),
    ]  # fmt: skip
