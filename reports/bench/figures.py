"""The figures of the speed report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from compare.bench.records import BenchRecord, Case, Measured, Profile
from reports.figures.style import (
    BACKEND_COLOURS,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    Drawing,
    Figure,
    paper,
    rendered,
    style,
)
from reports.figures.timing import READING, Box, draw_boxes

# Colour, marker and line of a contender, told apart in grey too.
LOOKS: dict[str, tuple[str, str, str]] = {
    "numpy": (BLUE, "o", "-"),
    "torch": (VERMILLION, "s", "-"),
    "best": (VERMILLION, "D", "--"),
    "torch-compile": (ORANGE, "^", ":"),
    "floor": (GREY, "v", "--"),
}
MOST_BOXES = 24


def draw_figures(record: BenchRecord) -> list[Figure]:
    """Draw what the record has numbers for, numbered from 1."""
    figures: list[Figure] = []
    with style():
        for drawing in (
            *_ratios(record),
            *_times(record),
            *_boxes(record),
            *(_layers(profile, n) for n, profile in enumerate(record.profiles, 1)),
            *_growth(record),
        ):
            figures.append(rendered(drawing, len(figures) + 1))
    return figures


def _steps(record: BenchRecord) -> list[Case]:
    return [case for case in record.cases if case.kind == "step" and case.of("numpy")]


def _ratios(record: BenchRecord) -> list[Drawing]:
    """PyTorch's time over NumPy's in every case, with intervals."""
    cases = [case for case in _steps(record) if case.of("torch")]
    if not cases:
        return []
    canvas, axes = paper(2.6 + 0.62 * len(cases))
    axis = axes[0, 0]
    places = np.arange(len(cases))
    shown: list[tuple[str, str, list[Measured | None], float]] = [
        ("PyTorch as it comes", "torch", [case.of("torch") for case in cases], -0.16),
        ("its best eager setting", "best", [case.of(case.best_eager) for case in cases], 0.16),
    ]
    for label, look, measured, offset in shown:
        found = [(p, m.over_numpy) for p, m in zip(places, measured, strict=True) if m is not None]
        kept = [(p, r) for p, r in found if r is not None]
        values = np.array([r.value for _, r in kept])
        ends = np.array([[r.value - r.low for _, r in kept], [r.high - r.value for _, r in kept]])
        colour, marker, _ = LOOKS[look]
        axis.errorbar(
            values,
            [p + offset for p, _ in kept],
            xerr=np.maximum(ends, 0),
            fmt=marker,
            color=colour,
            mfc=colour if look == "torch" else "white",
            ms=4,
            lw=1,
            capsize=2,
            label=label,
        )
    axis.axvline(1, color="black", lw=0.8)
    axis.set_xscale("log")
    _plain(axis.xaxis)
    axis.set_yticks(places, [case.title for case in cases])
    axis.set_ylim(len(cases) - 0.5, -0.5)
    axis.set_xlabel("PyTorch's time over NumPy's: right of the line NumPy is faster")
    canvas.legend(loc="outside upper center", ncols=2)
    return [
        Drawing(
            "ratios",
            canvas,
            "PyTorch's median time of a training step over NumPy's, with 95% bootstrap intervals.",
            "Ratios of PyTorch's time to NumPy's for each case, with intervals, around a line at "
            "1.",
        )
    ]


def _times(record: BenchRecord) -> list[Drawing]:
    """Time against batch size, a panel a network and optimizer."""

    def key(case: Case) -> tuple[str, str]:
        return (case.workload["architecture"], case.workload["algorithm"])

    groups = [(name, list(found)) for name, found in groupby(_steps(record), key)]
    groups = [(name, found) for name, found in groups if len(found) > 1]
    if not groups:
        return []
    rows = -(-len(groups) // 2)
    canvas, axes = paper(1.2 + 5.4 * rows, rows, 2)
    handles: dict[str, Any] = {}
    for axis, (name, found) in zip(axes.ravel(), groups, strict=False):
        for look, (colour, marker, line) in LOOKS.items():
            points = [
                (case.workload["batch_size"], measured.step.median_s)
                for case in found
                if (measured := case.of(case.best_eager if look == "best" else look)) is not None
                and measured.step is not None
            ]
            if points:
                sizes, seconds = zip(*points, strict=True)
                (drawn,) = axis.plot(
                    sizes, [1e3 * s for s in seconds], line, color=colour, marker=marker,
                    mfc="white" if look in ("best", "floor") else colour,
                )  # fmt: skip
                handles.setdefault(look, drawn)
        axis.set_xscale("log")
        axis.set_yscale("log")
        _plain(axis.yaxis)
        _at(axis, sorted({case.workload["batch_size"] for case in found}))
        axis.set_title(", ".join(name))
        axis.set_xlabel("rows in a batch")
        axis.set_ylabel("ms a step")
    for axis in axes.ravel()[len(groups) :]:
        axis.set_axis_off()
    titles = {
        "numpy": "NumPy", "torch": "PyTorch", "best": "PyTorch, best eager setting",
        "torch-compile": "PyTorch, compiled", "floor": "matrix products alone",
    }  # fmt: skip
    labels = [titles[look] for look in handles]
    canvas.legend(list(handles.values()), labels, loc="outside upper center", ncols=3)
    return [
        Drawing(
            "times",
            canvas,
            "Median time of a training step against the size of the batch, on logarithmic axes. "
            "The floor is NumPy's matrix products without anything around them.",
            "Time of a step against batch size, a panel for each network.",
        )
    ]


def _boxes(record: BenchRecord) -> list[Drawing]:
    """The spread of single steps, of the smallest batch of each network."""
    chosen: dict[tuple[str, str], Case] = {}
    for case in _steps(record):
        chosen.setdefault((case.workload["architecture"], case.workload["algorithm"]), case)
    boxes: list[Box] = []
    for case in chosen.values():
        for name in dict.fromkeys(("numpy", "torch", case.best_eager)):
            measured = case.of(name)
            if measured is not None and measured.step is not None:
                side = "numpy" if name == "numpy" else "torch"
                boxes.append(Box(f"{case.title}: {measured.title}", measured.step.spread, side))
    if not boxes:
        return []
    boxes = boxes[:MOST_BOXES]
    canvas, axes = paper(1.8 + 0.6 * len(boxes))
    draw_boxes(axes[0, 0], boxes)
    return [
        Drawing(
            "spread",
            canvas,
            f"Spread of single steps, for the smallest batch of each network. {READING}",
            "Box plots of the time of a training step.",
        )
    ]


def _layers(profile: Profile, number: int) -> Drawing:
    """Bars of every layer, forward and backward, both sides."""
    layers = profile.layers
    canvas, axes = paper(2.4 + 0.62 * len(layers))
    axis = axes[0, 0]
    places = np.arange(len(layers))
    for offset, name, title in ((-0.19, "numpy", "NumPy"), (0.19, "torch", "PyTorch")):
        forward = 1e3 * np.array([layer.forward_s.get(name, 0.0) for layer in layers])
        backward = 1e3 * np.array([layer.backward_s.get(name, 0.0) for layer in layers])
        look = {"height": 0.36, "color": BACKEND_COLOURS[name], "edgecolor": "white", "lw": 0.4}
        axis.barh(places + offset, forward, **look, label=f"{title}, forward")
        axis.barh(
            places + offset, backward, left=forward, alpha=0.5, hatch="////", **look,
            label=f"{title}, backward",
        )  # fmt: skip
    axis.set_yticks(places, [f"{layer.name} {layer.kind}" for layer in layers])
    axis.set_ylim(len(layers) - 0.5, -0.5)
    axis.set_xlabel("ms")
    canvas.legend(loc="outside upper center", ncols=4)
    return Drawing(
        f"layers-{number}",
        canvas,
        f"Every layer alone: {profile.title}.",
        "Bars of the time of each layer, forward and backward, on both sides.",
    )


def _growth(record: BenchRecord) -> list[Drawing]:
    """Time against each size, with the fitted powers."""
    found = [series for series in record.growth if series.fits]
    if not found:
        return []
    canvas, axes = paper(6.6, 1, len(found))
    for axis, series in zip(axes[0], found, strict=True):
        sizes = np.array(series.sizes, float)
        for fit in series.fits:
            colour, marker, _ = LOOKS.get(fit.name, (GREEN, "x", "-"))
            seconds = np.array(fit.median_s)
            axis.plot(sizes, 1e3 * seconds, marker, color=colour, label=fit.title)
            axis.plot(sizes, 1e3 * _line(sizes, seconds, fit.exponent), color=colour, lw=0.8)
        axis.set_xscale("log")
        axis.set_yscale("log")
        _plain(axis.yaxis)
        _at(axis, series.sizes)
        axis.set_title(series.title, fontsize=7)
        axis.set_xlabel(series.what)
    axes[0, 0].set_ylabel("ms a step")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return [
        Drawing(
            "growth",
            canvas,
            "Median time of a training step against one size, the others held. The lines are "
            "powers fitted to the logarithms; where the points leave them, the time is not a pure "
            "power of that size.",
            "Time of a step against batch size, width and depth on logarithmic axes.",
        )
    ]


def _line(sizes: np.ndarray, seconds: np.ndarray, exponent: float) -> np.ndarray:
    """c · nᵇ through the middle of the logarithms."""
    middle = np.mean(np.log(seconds)) - exponent * np.mean(np.log(sizes))
    return np.exp(middle + exponent * np.log(sizes))


def _at(axis: Any, sizes: Sequence[int]) -> None:
    """Ticks at the sizes that were measured; every other one where there are many."""
    shown = sizes if len(sizes) < 7 else sizes[::2]
    axis.set_xticks(shown, [f"{size:,}" for size in shown])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.xaxis.set_minor_locator(FixedLocator(list(sizes)))


def _plain(axis: Any) -> None:
    """Numbers, not powers of ten, on a logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=_subs(axis.get_view_interval())))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _subs(interval: Sequence[float]) -> tuple[float, ...]:
    """Where there is less than a decade and a half, 1, 2 and 5 of each; else 1."""
    low, high = interval
    return (1.0, 2.0, 5.0) if low > 0 and high / low < 30 else (1.0,)
