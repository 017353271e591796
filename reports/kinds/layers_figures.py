"""The figures of ``activation_histograms``: a grid of histograms each, and spreads by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from compare.analysis.intervals import mean_interval
from compare.demos.records import BinRow, KindRun, LayerRow
from compare.spec.demos import ActivationHistograms, spread_label
from reports.figures.style import BACKEND_COLOURS, BLUE, GREEN, ORANGE, VERMILLION, Drawing, paper
from reports.kinds.layers import name
from reports.text import number

COLOURS = (BLUE, VERMILLION, GREEN, ORANGE)
DASHES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D")


def draw_layers(run: KindRun) -> list[Drawing]:
    """A grid for each activation, spreads × layers, then the standard deviations by layer."""
    form = run.record.experiment
    assert isinstance(form, ActivationHistograms)
    bins, layers = run.tables["histogram"], run.tables["layers"]
    grids = [_grid(form, activation, bins, layers) for activation in form.activations]
    return [*grids, _spreads(form, layers)]


def _grid(
    form: ActivationHistograms, activation: str, bins: Sequence[BinRow], layers: Sequence[LayerRow]
) -> Drawing:
    canvas, axes = paper(1.6 + 2.75 * len(form.spreads), len(form.spreads), form.layers)
    first = form.seeds[0]
    for row, spread in zip(axes, form.spreads, strict=True):
        top = 0.0
        for layer, axis in enumerate(row, 1):
            key = activation, spread_label(spread), layer
            top = max(top, _histogram(axis, activation, [b for b in bins if b[1:4] == key]))
            [fact] = [r for r in layers if r[:5] == ("numpy", *key[:2], first, layer)]
            axis.text(0.97, 0.95, _words(activation, fact), transform=axis.transAxes, ha="right",
                      va="top", fontsize=6)  # fmt: skip
        for layer, axis in enumerate(row, 1):
            axis.set_ylim(0, 1.45 * top)
            axis.tick_params(labelsize=6)
            axis.grid(visible=False)
            if layer > 1:
                axis.set_yticklabels([])
            else:
                axis.set_ylabel(f"{name(spread)}\nshare of values", fontsize=7)
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
        f"the weights (rows), seed {first}. Bars are NumPy's and open marks PyTorch's; where every "
        f"mark sits on the top of its bar, the two sides agree. {own}",
        f"Histograms of {activation} activations, {len(form.spreads)} spreads of the weights in "
        f"rows and {form.layers} layers in columns, NumPy as bars and PyTorch as marks.",
    )


def _words(activation: str, fact: LayerRow) -> str:
    outer = "zeros" if activation == "ReLU" else "at the ends"
    return f"std {number(fact.std, 2)}\n{outer} {100 * fact.outer:.0f}%"


def _histogram(axis: Any, activation: str, bins: Sequence[BinRow]) -> float:
    """Draw both sides' histogram; return the height that the panel needs."""
    heights = {}
    for backend in ("numpy", "torch"):
        own = [b for b in bins if b.backend == backend]
        held = np.array([b.values for b in own])
        heights[backend] = held / max(held.sum(), 1)
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


def _spreads(form: ActivationHistograms, layers: Sequence[LayerRow]) -> Drawing:
    canvas, axes = paper(6.6, 1, len(form.activations))
    numbers = range(1, form.layers + 1)
    for axis, activation in zip(axes[0], form.activations, strict=True):
        for place, spread in enumerate(form.spreads):
            colour = COLOURS[place % 4]
            found: dict[str, list] = {}
            for backend in ("numpy", "torch"):
                key = backend, activation, spread_label(spread)
                found[backend] = [
                    mean_interval([r.std for r in layers if (*r[:3], r.layer) == (*key, layer)])
                    for layer in numbers
                ]
            low, high = (np.array([getattr(i, end) for i in found["numpy"]]) for end in
                         ("low", "high"))  # fmt: skip
            if np.isfinite(low).all():
                axis.fill_between(numbers, np.maximum(low, 1e-30), high, color=colour, alpha=0.2,
                                  lw=0)  # fmt: skip
            axis.plot(numbers, [i.mean for i in found["numpy"]], color=colour,
                      ls=DASHES[place % 4], label=name(spread))  # fmt: skip
            axis.plot(numbers, [i.mean for i in found["torch"]], color=colour, ls="none",
                      marker=MARKS[place % 4], mfc="none", ms=4.5, mew=0.8)  # fmt: skip
        axis.set_yscale("log")
        axis.set_title(activation)
        axis.set_xlabel("layer")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0, 0].set_ylabel("standard deviation")
    handles, names = axes[0, 0].get_legend_handles_labels()
    canvas.legend(handles, names, loc="outside upper center", ncols=len(names))
    seeds = len(form.seeds)
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
