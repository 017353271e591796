"""What comes out: which classes each backend predicts, and how long its steps take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bokeh.models import ColumnDataSource, LinearColorMapper, Quad, Rect, Text
from bokeh.palettes import Blues256, PuOr11

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run, predicted_key
from reports.figures.curves import times_histogram
from reports.figures.images import confusion_matrix
from reports.interactive.curves import choose
from reports.interactive.plots import (
    ASKED,
    FONT,
    Control,
    Interactive,
    Option,
    add_hover,
    in_json,
    label_rows,
    plot,
    scales,
    shown_where,
    small,
)
from reports.trainings import label, ranked, shown

MOST_NUMBERED = 12
"""Of so many classes every cell has its number written in it."""
MOST_CLASSES = 30
"""Of more classes there is the picture alone."""
LEAST_CHANGE = 10
"""A difference of so few rows is not drawn in the strongest colour."""


def ask_confusion(run: Run) -> Interactive | None:
    """The confusion matrix of each backend, and their difference."""
    targets, names = run.predictions.get("targets"), run.record.data.class_names
    trainings = [
        t for t in shown(run) if all(predicted_key(b, t) in run.predictions for b in BACKENDS)
    ]
    if targets is None or not trainings or not 2 <= len(names) <= MOST_CLASSES:
        return None
    made = plot(430, "predicted class", "true class")
    made.background_fill_color = "white"
    label_rows(made, "below", names)
    label_rows(made, "left", names, flipped=True)
    if len(names) > MOST_NUMBERED or max(map(len, names)) > 2:
        made.below[0].major_label_orientation = 0.9
    best = ranked(run, trainings)[0]
    views = {
        "difference": "PyTorch − NumPy",
        "numpy": "NumPy",
        "torch": "PyTorch",
    }
    for place, training in enumerate(trainings):
        numpy, torch = (
            confusion_matrix(targets, run.predictions[predicted_key(b, training)], len(names))
            for b in BACKENDS
        )
        counts = {"numpy": numpy, "torch": torch, "difference": torch - numpy}
        source = _cells(counts, names)
        most = max(LEAST_CHANGE, int(np.abs(counts["difference"]).max(initial=0)))
        for view in views:
            tags = shown_where(
                "",
                {"label": str(place), "view": view},
                same={"training": label(run, training)},
            )
            colours = (
                LinearColorMapper(palette=list(PuOr11[::-1]), low=-1.6 * most, high=1.6 * most)
                if view == "difference"
                else LinearColorMapper(palette=list(Blues256[::-1]), low=0, high=1.15)
            )
            made.add_glyph(
                source,
                Rect(
                    x="x",
                    y="y",
                    width=1,
                    height=1,
                    fill_color={"field": f"strength {view}", "transform": colours},
                    line_color="#dddddd",
                    line_width=0.5,
                ),
                tags=tags,
                name=ASKED,
            )
            if len(names) <= MOST_NUMBERED:
                number = Text(
                    x="x",
                    y="y",
                    text={"field": f"written {view}"},
                    text_color={"field": f"pen {view}"},
                    text_align="center",
                    text_baseline="middle",
                    text_font={"value": FONT},
                    text_font_size="11px",
                )
                made.add_glyph(source, number, tags=tags)
    add_hover(made, CELL)
    document, root = in_json(made)
    options = [Option(str(k), label(run, t), t is best) for k, t in enumerate(trainings)]
    sides = [Option(view, text, view == "numpy") for view, text in views.items()]
    return Interactive(
        "confusion",
        [
            Control("label", "training", options, one=True),
            Control("view", "backend", sides, one=True),
        ],
        document,
        root,
        "Here one matrix is seen at a time: either backend's, or the difference.",
        "A confusion matrix of the chosen training and backend, true against predicted classes.",
    )


CELL = {
    "training": "@training",
    "true class": "@true",
    "predicted": "@predicted",
    "NumPy": "@numpy{%d} rows",
    "PyTorch": "@torch{%d} rows",
    "PyTorch − NumPy": "@difference{%+d}",
}


def _cells(counts: dict[str, np.ndarray], names: Sequence[str]) -> ColumnDataSource:
    """The cells of matrices (classes, classes), with what each view shows in them."""
    y, x = (part.ravel() for part in np.indices(counts["numpy"].shape))
    columns: dict[str, Any] = {
        "x": x.astype(np.uint8),
        "y": y.astype(np.uint8),
        "true": [names[k] for k in y.tolist()],
        "predicted": [names[k] for k in x.tolist()],
    }
    for view, matrix in counts.items():
        columns[view] = matrix.ravel().astype(np.int32)
        # Where few rows are, the root shows that there are some.
        shares = np.sqrt(np.abs(matrix) / np.maximum(matrix.sum(axis=1, keepdims=True), 1))
        strength = matrix.ravel() if view == "difference" else shares.ravel()
        columns[f"strength {view}"] = small(strength)
        columns[f"written {view}"] = [_written(n, view) for n in matrix.ravel().tolist()]
        dark = (strength > 0.63) & (view != "difference")
        columns[f"pen {view}"] = np.where(dark, "white", "black").tolist()
    return ColumnDataSource(columns)


def _written(number: int, view: str) -> str:
    if not number:
        return ""
    return f"{number:+d}".replace("-", "−") if view == "difference" else str(number)


def ask_timing(run: Run) -> Interactive | None:
    """A row for each training: how often a step took how long, on both backends."""
    timed = [t for t in run.record.trainings if run.timing_of(t)]
    if not timed:
        return None
    chosen = choose(run, timed, coloured=False)
    sides = {"numpy": "ink-0", "torch": "ink-1"}
    names = [label(run, training) for training in chosen.trainings]
    made = plot(110 + 90 * len(names), "time of one training step (ms)", "")
    label_rows(made, "left", names, flipped=True)
    for place, training in enumerate(chosen.trainings):
        histogram = times_histogram(run, training)
        highest = max(float(shares.max()) for shares in histogram.shares.values())
        for side, ink in sides.items():
            shares = histogram.shares[side]
            source = ColumnDataSource(
                {
                    "left": small(histogram.edges[:-1]),
                    "right": small(histogram.edges[1:]),
                    "foot": np.full(len(shares), place + 0.4).tolist(),
                    "top": small(place + 0.4 - 0.85 * shares / highest),
                    "share": small(100 * shares),
                }
            )
            same = {
                "training": label(run, training),
                "backend": BACKENDS[side],
                "median": f"{histogram.medians[side]:.4g} ms",
            }
            on = chosen.on(training) | {"side": side}
            tags = shown_where(ink, on, fill=ink, same=same)
            bars = Quad(left="left", right="right", bottom="foot", top="top", fill_alpha=0.3)
            made.add_glyph(source, bars, tags=tags, name=ASKED)
    add_hover(made, TIMES)
    options = [Option(side, BACKENDS[side], True, ink) for side, ink in sides.items()]
    document, root = in_json(made)
    return Interactive(
        "timing",
        [*chosen.controls, Control("side", "backend", options), *_x_scale()],
        document,
        root,
        "Every training has a row with the histograms of both backends." + chosen.left_out,
        "Histograms of the time of a training step for each chosen training and backend.",
    )


TIMES = {
    "training": "@training",
    "backend": "@backend",
    "time": "@left{%.4g} to @right{%.4g} ms",
    "share of the steps": "@share{%.3g}%",
    "median": "@median",
}


def _x_scale() -> list[Control]:
    return scales("log", "linear")[:1]
