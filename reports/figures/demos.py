"""The figures of the demonstrations: paths on contours, and activations layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from compare.analysis.intervals import mean_interval
from compare.demos.claims import PathMeasures, PathsByBackend, distances, measure_paths
from compare.records.run import Run
from compare.records.tables import HistogramRow, LayerRow
from compare.spec.demos import ActivationHistograms, OptimizerPaths, network_label, spread_label
from reports.figures.style import (
    BACKEND_COLOURS,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    Drawing,
    paper,
)
from reports.text import joined, number, plural

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, GREY, "#CC79A7", "#56B4E9", "black")
SPREAD_COLOURS = COLOURS[:4]
DASHES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D")
LEVELS = 12
# What is this many times as far from the minimum as the start is not drawn.
FARTHEST = 3.0
SPREADS = {"xavier": "√(1/n) (Xavier)", "he": "√(2/n) (He)"}


def spread_name(spread: float | str) -> str:
    """A spread of the weights as tables and figures write it."""
    written = spread_label(spread)
    return SPREADS.get(written, f"std {written}")


def draw(run: Run) -> list[Drawing]:
    """The figures of a demonstration, in the order in which they appear."""
    settings = run.record.experiment
    if isinstance(settings, OptimizerPaths):
        paths = measure_paths(run.paths)
        return [_contours(settings, paths), _along(settings, paths)]
    assert isinstance(settings, ActivationHistograms)
    grids = [_grid(settings, activation, run) for activation in settings.activations]
    return [*grids, _spreads(settings, run.layers)]


def _contours(settings: OptimizerPaths, paths: PathsByBackend) -> Drawing:
    labels = list(settings.optimizers)
    columns = min(2, len(labels))
    rows = -(-len(labels) // columns)
    canvas, axes = paper(1.2 + 5.6 * rows, rows, columns, sharex=True, sharey=True)
    x, y = _view(paths)
    grid = np.meshgrid(np.linspace(*x, 201), np.linspace(*y, 201))
    p, q = settings.divisors
    height = grid[0] ** 2 / p + grid[1] ** 2 / q
    # Equal steps of √f are equal steps of distance: contours neither crowd nor leave gaps.
    levels = np.linspace(0, np.sqrt(height.max()), LEVELS + 1)[1:] ** 2
    for axis in axes.flat[len(labels) :]:
        axis.set_visible(False)
    for axis, label in zip(axes.flat, labels, strict=False):
        axis.contour(*grid, height, levels, colors="#b5b5b5", linewidths=0.6)
        axis.grid(visible=False)
        axis.plot(0, 0, "+", color="black", ms=8, mew=1.2, label="minimum")
        numpy, torch = paths["numpy", label].points, paths["torch", label].points
        axis.plot(*numpy.T, ".-", color=BACKEND_COLOURS["numpy"], lw=1.1, ms=3.5, label="NumPy")
        axis.plot(*torch.T, "o", color=BACKEND_COLOURS["torch"], mfc="none", ms=6, mew=0.8,
                  label="PyTorch")  # fmt: skip
        axis.plot(*numpy[0], "s", color="black", ms=4.5, label="start")
        axis.set_title(f"{label}: length {number(paths['numpy', label].length)}")
        axis.set_xlim(x)
        axis.set_ylim(y)
        axis.set_xlabel("x")
        axis.set_ylabel("y")
        axis.label_outer()
    handles, names = axes.flat[0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=4)
    steps = max(path.steps for path in paths.values())
    away = [label for label in labels if _leaves(paths["numpy", label])]
    left = f" {joined(away)} runs away and leaves the picture." if away else ""
    return Drawing(
        "paths",
        canvas,
        f"The first {plural(steps, 'step')} of every optimizer on the contours of $f$. Lines with "
        "dots are NumPy's path and open circles PyTorch's; where every circle is around a dot, "
        "the two backends walk alike. The contours are drawn at equal steps of $\\sqrt f$. The "
        f"two axes have different scales.{left}",
        "Contour plots of a valley along x with the paths of "
        f"{', '.join(labels)}; NumPy as a line with dots, PyTorch as open circles.",
    )


def _leaves(path: PathMeasures) -> bool:
    """Whether a path leaves the picture."""
    distance = np.hypot(*path.points.T)
    return bool((~(distance <= FARTHEST * distance[0])).any())


def _view(paths: PathsByBackend) -> tuple[tuple[float, float], tuple[float, float]]:
    """The part of the plane that shows the paths, as far as they do not run away."""
    points = np.concatenate([path.points for path in paths.values()])
    farthest = FARTHEST * np.hypot(*points[0])
    points = np.vstack([points[np.hypot(*points.T) <= farthest], [[0, 0]]])
    low, high = points.min(axis=0), points.max(axis=0)
    margin = np.maximum(0.08 * (high - low), 1e-3)
    low, high = low - margin, high + margin
    half = max(-low[1], high[1])  # the floor of the valley in the middle
    return (float(low[0]), float(high[0])), (-float(half), float(half))


def _along(settings: OptimizerPaths, paths: PathsByBackend) -> Drawing:
    canvas, axes = paper(7.0, 1, 3)
    value, across, gap = axes[0]
    for place, label in enumerate(settings.optimizers):
        colour = COLOURS[place % len(COLOURS)]
        line: dict[str, Any] = {"color": colour, "ls": DASHES[place % 4], "lw": 1.1}
        marks: dict[str, Any] = {"color": colour, "ls": "none", "mfc": "none", "mew": 0.7}
        numpy, torch = paths["numpy", label], paths["torch", label]
        steps = np.arange(numpy.steps + 1)
        every = max(1, len(steps) // 40)
        for axis, a, b in ((value, numpy.values, torch.values),
                           (across, numpy.points[:, 1], torch.points[:, 1])):  # fmt: skip
            axis.plot(steps, a, label=label, **line)
            axis.plot(steps[::every], b[::every], marker="o", ms=2.8, **marks)
        distance = distances(paths, label)
        gap.plot(steps[: len(distance)], np.where(distance > 0, distance, np.nan), **line)
    value.set_yscale("log", nonpositive="mask")
    value.set_title("f")
    across.set_title("y")
    gap.set_title("distance of the backends")
    if any(line.get_ydata().size and np.isfinite(line.get_ydata()).any() for line in gap.lines):
        gap.set_yscale("log")
    for axis in axes[0]:
        axis.set_xlabel("step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    handles, names = value.get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=min(4, len(names)))
    return Drawing(
        "along",
        canvas,
        "Along the steps: the value, the position across the valley, and how far the two "
        "backends' points are from each other. In the first two panels lines are NumPy's and open "
        "marks PyTorch's; in the last a step where both points are equal to the bit is left out.",
        "Three panels against the step: the value on a logarithmic axis, y, and the distance "
        "between NumPy's and PyTorch's points.",
    )


def _grid(settings: ActivationHistograms, activation: str, run: Run) -> Drawing:
    canvas, axes = paper(1.6 + 2.75 * len(settings.spreads), len(settings.spreads), settings.layers)
    seed = settings.seeds[0]
    bins: dict[tuple[str, int], list[HistogramRow]] = {}
    for bin_ in run.histogram:
        bins.setdefault((bin_.label, bin_.layer), []).append(bin_)
    found = {(r.label, r.layer): r for r in run.layers if (r.backend, r.seed) == ("numpy", seed)}
    for row, spread in zip(axes, settings.spreads, strict=True):
        label = network_label(activation, spread)
        top = 0.0
        for layer, axis in enumerate(row, 1):
            top = max(top, _histogram(axis, activation, bins[label, layer]))
            axis.text(0.97, 0.95, _in_panel(activation, found[label, layer]),
                      transform=axis.transAxes, ha="right", va="top", fontsize=8)  # fmt: skip
        for layer, axis in enumerate(row, 1):
            axis.set_ylim(0, 1.45 * top)
            axis.tick_params(labelsize=7)
            axis.grid(visible=False)
            if layer > 1:
                axis.set_yticklabels([])
            else:
                axis.set_ylabel(f"{spread_name(spread)}\nshare of values", fontsize=8)
    for layer, axis in enumerate(axes[0], 1):
        axis.set_title(f"layer {layer}")
    handles, names = axes[0, 0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=2)
    own = (
        "The panels of a row have one range, from 0 to the largest value of all its layers. The "
        "first bin, which holds the values that are 0, is cut off; the panel gives their share."
        if activation == "ReLU"
        else "*At the ends* are those in the outer tenth of the range, 5% at either end."
    )
    return Drawing(
        f"histogram-{activation}",
        canvas,
        f"{activation}: the activations of every layer (columns) for every standard deviation of "
        f"the weights (rows), seed {seed}. Bars are NumPy's and open marks PyTorch's; where every "
        f"mark sits on the top of its bar, the two backends agree. {own}",
        f"Histograms of {activation} activations, {len(settings.spreads)} spreads of the weights "
        f"in rows and {settings.layers} layers in columns, NumPy as bars and PyTorch as marks.",
    )


def _in_panel(activation: str, row: LayerRow) -> str:
    outer = "zeros" if activation == "ReLU" else "at the ends"
    return f"std {number(row.std, 2)}\n{outer} {100 * row.outer:.0f}%"


def _histogram(axis: Any, activation: str, bins: Sequence[HistogramRow]) -> float:
    """Draw both backends' histogram; return the height that the panel needs."""
    heights = {}
    for backend in ("numpy", "torch"):
        counts = np.array([b.values for b in bins if b.backend == backend])
        heights[backend] = counts / max(counts.sum(), 1)
    edges = np.array([b.low for b in bins if b.backend == "numpy"] + [bins[-1].high])
    axis.stairs(heights["numpy"], edges, fill=True, color=BACKEND_COLOURS["numpy"], alpha=0.45,
                label="NumPy")  # fmt: skip
    axis.plot((edges[:-1] + edges[1:]) / 2, heights["torch"], "o", color=BACKEND_COLOURS["torch"],
              mfc="none", ms=2, mew=0.5, label="PyTorch")  # fmt: skip
    axis.set_xlim(edges[0], edges[-1])
    axis.xaxis.set_major_locator(MaxNLocator(2))
    axis.ticklabel_format(axis="x", scilimits=(-2, 3), useMathText=True)
    axis.xaxis.get_offset_text().set_fontsize(6)
    shown = heights["numpy"][1:] if activation == "ReLU" else heights["numpy"]
    return float(shown.max())


def _spreads(settings: ActivationHistograms, rows: Sequence[LayerRow]) -> Drawing:
    canvas, axes = paper(6.6, 1, len(settings.activations))
    layers = range(1, settings.layers + 1)
    stds: dict[tuple[str, str, int], list[float]] = {}
    for row in rows:
        stds.setdefault((row.backend, row.label, row.layer), []).append(row.std)
    for axis, activation in zip(axes[0], settings.activations, strict=True):
        for place, spread in enumerate(settings.spreads):
            colour = SPREAD_COLOURS[place % 4]
            label = network_label(activation, spread)
            numpy, torch = (
                [mean_interval(stds[backend, label, layer]) for layer in layers]
                for backend in ("numpy", "torch")
            )
            low, high = np.array([i.low for i in numpy]), np.array([i.high for i in numpy])
            if np.isfinite(low).all():
                axis.fill_between(layers, np.maximum(low, 1e-30), high, color=colour, alpha=0.2,
                                  lw=0)  # fmt: skip
            axis.plot(layers, [i.mean for i in numpy], color=colour, ls=DASHES[place % 4],
                      label=spread_name(spread))  # fmt: skip
            axis.plot(layers, [i.mean for i in torch], color=colour, ls="none",
                      marker=MARKS[place % 4], mfc="none", ms=4.5, mew=0.8)  # fmt: skip
        axis.set_yscale("log")
        axis.set_title(activation)
        axis.set_xlabel("layer")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 0].set_ylabel("standard deviation")
    handles, names = axes[0, 0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=len(names))
    seeds = len(settings.seeds)
    over = f"the mean over {seeds} seeds, with its 95% interval" if seeds > 1 else "one seed"
    return Drawing(
        "spreads",
        canvas,
        "The standard deviation of a layer's activations from layer to layer, for every standard "
        f"deviation of the weights: {over}. Lines are NumPy's and open marks PyTorch's. A level "
        "line means that the layers can be stacked without losing or exploding the signal.",
        "Standard deviation of the activations against the layer on a logarithmic axis, a panel "
        "for each activation and a line for each spread of the weights.",
    )
