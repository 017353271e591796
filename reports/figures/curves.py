"""What changes along a training: losses, accuracies, their differences, drift; and its times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from compare.analysis.quantities import BACKENDS, batch_values, evaluations
from compare.records.run import Run, TrainingRecord
from reports.figures.style import BACKEND_COLOURS, BLUE, GREY, VERMILLION, Drawing, paper
from reports.statistics import gaps
from reports.text import count
from reports.trainings import heading, shown

POINTS = 300
"""About so many points of a running mean are drawn."""
GROUPS = 400
"""Differences are drawn in at most so many groups, each with its largest."""
FLATTENS = 20.0
"""A loss so many times the first of another, or its first so many times it, makes the axis
logarithmic."""
FLOAT32_ROUNDOFF = 2.0**-24
MARKS = {"train": "o", "validation": "^", "test": "s"}
LOGIT_TICKS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
SIZES = {"train": 2.8, "validation": 4.0, "test": 5.4}
"""Marks of equal values show one inside the other."""
DASHES = {"train": "-", "validation": ":", "test": "--"}
REPLICA_MARKS = ["", "x", "+", "1", "2"]
REPLICA_DASHES = ["--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3))]


def draw_curves(run: Run) -> list[Drawing]:
    """One column a training: losses, accuracies, and beneath them the difference of the losses."""
    trainings = [t for t in shown(run) if evaluations(run, "numpy", t, "train", "loss")]
    if not trainings:
        return []
    heights = {"height_ratios": (1.25, 0.9, 1.1)}
    canvas, axes = paper(9.0, 3, len(trainings), sharex="col", sharey="row", gridspec_kw=heights)
    for column, training in zip(axes.T, trainings, strict=True):
        column[0].set_title(heading(run, training))
        for axis, metric in zip(column, ("loss", "accuracy"), strict=False):
            _draw_batches(axis, run, training, metric)
            for split in MARKS:
                _draw_evaluations(axis, run, training, split, metric)
        _draw_differences(column[2], run, training)
        column[2].set_xlabel("epoch")
        column[2].margins(x=0.04)
    if flattens(line.get_ydata() for axis in axes[0] for line in axis.lines):
        axes[0, 0].set_yscale("log")
    axes[0, 0].set_ylabel("mean loss (nats)")
    axes[1, 0].set_ylabel("accuracy")
    logits = "The axis of the accuracies is that of their logits. " * _scale_accuracies(axes[1])
    axes[2, 0].set_ylabel("|difference|\nof losses")
    _draw_legend(canvas, axes)
    return [
        Drawing(
            "curves",
            canvas,
            "Loss and accuracy of both backends, and the difference of their losses. "
            "Lines are NumPy's and open marks PyTorch's: a mark on its line is the same value to "
            "the width of the line. The grey line is the running mean over NumPy's batches in "
            "training mode, before each update; everything else is measured in evaluation mode at "
            f"the end of an epoch. {_share(trainings)}{logits}Beneath, on a logarithmic axis, dots "
            "are training batches (of many, the largest difference in each group), squares the "
            "whole test set, and the dotted line the unit roundoff of float32, 2⁻²⁴; losses equal "
            "to the bit have no point.",
            "Curves of loss and accuracy against the epoch, one column for each optimizer, with "
            "NumPy as lines and PyTorch as marks; beneath them the difference of the losses on a "
            "logarithmic axis.",
        )
    ]


def _scale_accuracies(axes: Any) -> bool:
    """From 0 to 1; by their logits, which part 0.97 from 0.99, where all can be shown so.

    Returns:
        Whether that is done.
    """
    drawn = [line.get_ydata() for axis in axes for line in axis.lines]
    values = np.concatenate([np.asarray(curve, float) for curve in drawn])
    if not (len(values) and values.min() > 0 and 0.9 < values.max() < 1):
        axes[0].set_ylim(0, 1.06)
        return False
    low, high = values.min() / 2, 1 - (1 - values.max()) / 2
    axes[0].set_yscale("logit")
    axes[0].set_ylim(low, high)
    axes[0].set_yticks([tick for tick in LOGIT_TICKS if low <= tick <= high])
    axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes[0].minorticks_off()
    return True


def _share(trainings: Sequence[TrainingRecord]) -> str:
    rows = max((training.evaluated or 0 for training in trainings), default=0)
    if not rows:
        return ""
    return f"Before the last, the training set is evaluated on its first {count(rows)} rows. "


def flattens(curves: Iterable[Iterable[float]]) -> bool:
    """Whether losses lie so far above or below what some start from that others would look flat."""
    finite = [[value for value in curve if np.isfinite(value)] for curve in curves]
    finite = [curve for curve in finite if curve]
    if not finite:
        return False
    least, most = min(map(min, finite)), max(map(max, finite))
    first = min(curve[0] for curve in finite)
    return bool(most > FLATTENS * first > 0 or first > FLATTENS * least > 0)


def _draw_legend(canvas: Any, axes: Any) -> None:
    """NumPy's lines in the upper row, PyTorch's marks below them."""
    drawn: dict[str, Any] = {}
    for axis in axes[:2].flat:
        handles, labels = axis.get_legend_handles_labels()
        drawn.update(zip(labels, handles, strict=True))
    numpy = ["NumPy, batches", *(f"NumPy, {split}" for split in MARKS)]
    numpy = [name for name in numpy if name in drawn]
    pairs = [(name, name.replace("NumPy", "PyTorch")) for name in numpy]
    nothing = Line2D([], [], ls="none")
    entries = [
        (drawn.get(name, nothing), name * (name in drawn)) for pair in pairs for name in pair
    ]
    handles, labels = zip(*entries, strict=True)
    canvas.legend(handles, labels, loc="outside upper center", ncols=len(pairs))


def _draw_batches(axis: Any, run: Run, training: TrainingRecord, metric: str) -> None:
    steps, values = batch_values(run, "numpy", training, metric)
    if len(steps) < 2:
        return
    window = max(1, len(values) // POINTS, min(len(values) // 10, 20))
    mean = np.convolve(values, np.full(window, 1 / window), "valid")
    epochs = (steps[window - 1 :] + 1 - window / 2) / run.steps_per_epoch[training.label]
    thin = slice(None, None, max(1, len(mean) // POINTS))
    axis.plot(epochs[thin], mean[thin], color=GREY, alpha=0.6, lw=0.8, label="NumPy, batches")


def _draw_evaluations(
    axis: Any, run: Run, training: TrainingRecord, split: str, metric: str
) -> None:
    last = training.steps / run.steps_per_epoch[training.label]
    for backend, name in BACKENDS.items():
        found = evaluations(run, backend, training, split, metric)
        if not found:
            continue
        epochs = [min(epoch, last) for epoch, _ in found]
        values = [value for _, value in found]
        look: dict[str, Any] = (
            {"ls": DASHES[split]}
            if backend == "numpy"
            else {
                "ls": "none",
                "marker": MARKS[split],
                "ms": SIZES[split],
                "mfc": "none",
                "mew": 0.9,
            }
        )
        axis.plot(epochs, values, color=BACKEND_COLOURS[backend], label=f"{name}, {split}", **look)


def _draw_differences(axis: Any, run: Run, training: TrainingRecord) -> None:
    """|NumPy − PyTorch| of the losses of batches and of the test set."""
    per_epoch = run.steps_per_epoch[training.label]
    steps, found = gaps(run, training, "loss")
    steps, largest = _thinned(steps, found) if len(found) else (steps, found)
    axis.plot(
        (steps + 1) / per_epoch,
        _positive(largest),
        color=BLUE,
        ls="none",
        marker=".",
        ms=2.5,
        label="difference, training batches",
    )
    numpy, torch = (
        dict(evaluations(run, backend, training, "test", "loss")) for backend in ("numpy", "torch")
    )
    last = training.steps / per_epoch
    epochs = [epoch for epoch in numpy if epoch in torch]
    axis.plot(
        [min(epoch, last) for epoch in epochs],
        _positive(np.array([abs(numpy[e] - torch[e]) for e in epochs])),
        color=VERMILLION,
        ls="none",
        marker="s",
        mfc="white",
        label="difference, test set",
    )
    axis.axhline(FLOAT32_ROUNDOFF, color=GREY, ls=":", lw=1)
    axis.set_yscale("log")


def _thinned(steps: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most so many groups of neighbours, each with its largest value."""
    size = -(-len(gaps) // GROUPS)
    starts = np.arange(0, len(gaps), size)
    return steps[starts], np.maximum.reduceat(gaps, starts)


def _positive(values: np.ndarray) -> np.ndarray:
    """What a logarithmic axis can show; the rest as gaps."""
    return np.where(values > 0, values, np.nan)


def draw_drift(run: Run) -> list[Drawing]:
    """Distance of every run's weights from PyTorch's float64 run, one panel a training."""
    panels = []
    for training in shown(run):
        rows = run.drift_of(training)
        if rows:
            panels.append((training, rows))
    if not panels:
        return []
    canvas, axes = paper(5.4, 1, len(panels), sharey=True)
    for axis, (training, rows) in zip(axes[0], panels, strict=True):
        replicas = iter(list(zip(REPLICA_DASHES, REPLICA_MARKS, strict=True)) * 2)
        names = list(dict.fromkeys(row.run for row in rows))
        for name in names:
            steps = [row.step for row in rows if row.run == name]
            distances = [row.distance for row in rows if row.run == name]
            alone = name == "rows shuffled 1" and "rows shuffled 2" not in names
            called = "rows shuffled" if alone else name
            axis.plot(steps, distances, **_drift_line(called, replicas))
        _step_axis(axis, max(row.step for row in rows))
        axis.set_yscale("log")
        axis.set_title(heading(run, training))
        axis.set_xlabel("training step")
    axes[0, 0].set_ylabel("relative distance\nof the weights")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=3)
    return [
        Drawing(
            "drift",
            canvas,
            "Relative distance ‖θ − θ₆₄‖ / ‖θ₆₄‖ of the weights from PyTorch's float64 run, for "
            "both backends and for PyTorch replicas that see the same batches with their rows in "
            "another order. Runs that part by rounding alone lie about as far. The figure is "
            "shown, not judged.",
            "Relative distance of the weights from a float64 run against the training step, on "
            "logarithmic axes: NumPy, PyTorch, and PyTorch replicas.",
        )
    ]


def draw_distance(run: Run) -> list[Drawing]:
    """How far NumPy's weights are from PyTorch's along the whole training, one panel a training."""
    panels = [(training, rows) for training in shown(run) if len(rows := run.apart(training)) > 1]
    if not panels:
        return []
    canvas, axes = paper(4.2, 1, len(panels), sharey=True)
    for axis, (training, rows) in zip(axes[0], panels, strict=True):
        distances = np.array([row.distance for row in rows])
        axis.plot([row.step for row in rows], _positive(distances), color=BLUE, lw=1.4)
        growth = training.growth
        if growth is not None and (growth.step is None or growth.is_sudden):
            at = growth.last if growth.step is None else growth.step
            axis.axvline(at, color=VERMILLION, lw=0.9, ls="--")
            axis.annotate(
                f"step {at}", (at, 0.03), xycoords=("data", "axes fraction"),
                xytext=(3, 0), textcoords="offset points", color=VERMILLION, fontsize=8,
            )  # fmt: skip
        axis.set_yscale("log")
        axis.set_title(heading(run, training))
        axis.set_xlabel("training step")
    axes[0, 0].set_ylabel("relative distance\nof the weights")
    return [
        Drawing(
            "distance",
            canvas,
            "How far the weights of the two backends are apart, relative to the size of PyTorch's, "
            "along the whole training. The dashed line is the step at which the distance grew by "
            "the largest factor, where it did not grow steadily.",
            "Relative distance of NumPy's weights from PyTorch's against the training step, on a "
            "logarithmic axis.",
        )
    ]


def _step_axis(axis: Any, last: int) -> None:
    """Logarithmic where the steps span more than a decade; whole numbers in any case."""
    if last > 10:
        axis.set_xscale("log")
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}"))


def _drift_line(name: str, replicas: Any) -> dict[str, Any]:
    if name == "numpy":
        return {"color": BACKEND_COLOURS["numpy"], "lw": 3.0, "label": "NumPy", "zorder": 3}
    if name == "torch":
        return {
            "color": BACKEND_COLOURS["torch"],
            "ls": "-",
            "lw": 0.9,
            "marker": "o",
            "ms": 3,
            "mfc": "white",
            "markevery": 0.12,
            "label": "PyTorch",
            "zorder": 4,
        }
    # Thin, marked and on top: a replica that lies where a backend does is seen all the same.
    dashes, mark = next(replicas)
    line = {"color": "black", "ls": dashes, "lw": 0.8, "zorder": 5}
    line |= {"marker": mark, "ms": 4, "mew": 0.8, "markevery": (0.06, 0.12)}
    return line | {"label": f"PyTorch, {name}"}


BINS = 60


class TimesHistogram(NamedTuple):
    """How often a training step took how long.

    Attributes:
        edges: Of the bins, in milliseconds, in equal steps of their logarithm.
        shares: Backend → the share of its steps in each bin; the few beyond are in the outermost.
        medians: Backend → the median, in milliseconds.
    """

    edges: np.ndarray
    shares: dict[str, np.ndarray]
    medians: dict[str, float]


def times_histogram(run: Run, training: TrainingRecord) -> TimesHistogram:
    """The times of both backends in common bins; there has to be a time."""
    rows = run.timing_of(training)
    times = {b: 1e3 * np.array([getattr(row, f"{b}_s") for row in rows]) for b in BACKENDS}
    low, high = np.quantile(np.concatenate(list(times.values())), [0.002, 0.998])
    edges = np.geomspace(max(low, 1e-6), max(high, 1.01 * low, 2e-6), BINS + 1)
    inside = {b: np.clip(found, edges[0], edges[-1]) for b, found in times.items()}
    return TimesHistogram(
        edges,
        {b: np.histogram(found, edges)[0] / len(found) for b, found in inside.items()},
        {b: float(np.median(found)) for b, found in times.items()},
    )


def draw_timing(run: Run) -> list[Drawing]:
    """One panel a training: how often a step took how long, on both backends."""
    trainings = [training for training in shown(run) if run.timing_of(training)]
    if not trainings:
        return []
    canvas, axes = paper(4.2, 1, len(trainings), sharey="row")
    for axis, training in zip(axes[0], trainings, strict=True):
        histogram = times_histogram(run, training)
        for backend, shares in histogram.shares.items():
            filled = backend == "numpy"
            axis.stairs(
                shares,
                histogram.edges,
                fill=filled,
                color=BACKEND_COLOURS[backend],
                alpha=0.5 if filled else 1.0,
                lw=1.2,
                label=BACKENDS[backend],
            )
            axis.axvline(histogram.medians[backend], color=BACKEND_COLOURS[backend], ls="--", lw=1)
        axis.set_xscale("log")
        low, high = histogram.edges[0], histogram.edges[-1]
        places = [m * 10.0**k for k in range(-6, 7) for m in (1, 1.5, 2, 2.5, 3, 4, 5, 7)]
        axis.set_xticks([place for place in places if low <= place <= high])
        axis.xaxis.set_major_formatter(FuncFormatter(lambda time, _: f"{time:g}"))
        axis.minorticks_off()
        axis.set_title(heading(run, training))
        axis.set_xlabel("time of one training step (ms)")
    axes[0, 0].set_ylabel("share of the steps")
    axes[0, 0].legend()
    return [
        Drawing(
            "timing",
            canvas,
            "Time of a training step, measured in turn on the two backends within one run: the "
            "share of the steps in each of "
            f"{BINS} equal stretches of the logarithmic axis. Dashed lines are the medians; the "
            "few steps beyond either end of the axis are counted in the outermost stretch.",
            "Histograms of the time of a training step, one panel for each optimizer, NumPy "
            "filled and PyTorch as an outline.",
        )
    ]
