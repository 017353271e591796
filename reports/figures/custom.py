"""The figures that an experiment's file describes, one function for each kind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from compare.analysis.quantities import BACKENDS, quantity
from compare.records.run import Run, TrainingRecord, predicted_key
from compare.spec.experiment import OPTIMIZER, Configuration
from compare.spec.report import FigureSettings
from compare.spec.vary import setting
from reports.figures.panels import (
    MARKED,
    colour,
    draw_line,
    grid,
    in_rows,
    label_edges,
    legend,
    mark,
    scale_axis,
    whole_numbers,
    y_label,
)
from reports.figures.series import (
    BATCH,
    MOST_PANELS,
    Band,
    by_case,
    is_smoothed,
    lines_of,
    mean_and_range,
    panels_of,
    series,
    trained,
    trained_configurations,
)
from reports.figures.style import BACKEND_COLOURS, Drawing
from reports.network import class_of, weight_shapes
from reports.text import capitalised, escaped, fixed, joined, percent
from reports.trainings import drawn_settings, several_seeds, short_case

CUT = 3.0
"""A loss axis ends at so many times the loss that the trainings typically start from."""
TRIAL_COLUMNS = 5
TRIAL_ROW_CM = 4.1
LOW_IS_GOOD = ("loss", "rises", "gap")
NORM_POINTS = 200
NORM_WINDOW = 20
MOST_LAYERS = 12


def draw_custom(run: Run) -> list[Drawing]:
    """Each figure of the file, in order; one that the run has no numbers for is left out."""
    found = []
    for number, figure in enumerate(run.record.experiment.figures, 1):
        drawing = KINDS[figure.kind](run, figure, f"custom-{number}")
        if drawing is not None:
            found.append(drawing)
    return found


def curves(run: Run, figure: FigureSettings, name: str) -> Drawing | None:
    """A quantity along the training, lines and panels for the cases of two axes.

    None where the run has no such curve.
    """
    quantities = [figure.quantity, *([figure.also] if figure.also else [])]
    panels = panels_of(run, figure)
    if not panels:
        return None
    names = list(
        dict.fromkeys(
            line for configurations in panels.values() for line in lines_of(configurations, figure)
        )
    )
    by_step = all(drawn in BATCH for drawn in quantities)
    canvas, axes, columns = grid(len(panels), sharex=True, sharey=True)
    starts: list[float] = []
    for axis, (title, configurations) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        whole_numbers(axis)
        for line, members in lines_of(configurations, figure).items():
            trainings = trained(run, members)
            per_epoch = run.steps_per_epoch[members[0].label]
            for backend in BACKENDS:
                for drawn in quantities:
                    band = mean_and_range([series(run, backend, t, drawn) for t in trainings])
                    if band is None:
                        continue
                    starts += _start(band)
                    draw_line(
                        axis,
                        band,
                        backend,
                        names.index(line),
                        len(names),
                        dashed=drawn != figure.quantity,
                        scale=1 if by_step else per_epoch,
                    )
    if not starts:
        return None
    cut = scale_axis(axes, figure.quantity, CUT * float(np.median(starts)), figure.log)
    label_edges(
        axes, columns, "step" if by_step else "epoch", y_label(figure.quantity, figure.also)
    )
    legend(canvas, names, figure.quantity, figure.also)
    crossed = any(line.get_gid() == "diverged" for axis in axes for line in axis.lines)
    return Drawing(
        name,
        canvas,
        _curves_caption(run, figure, cut=cut, crossed=crossed),
        f"{capitalised(figure.quantity)} along the training, panels: {len(panels)}, NumPy as lines "
        "and PyTorch as marks.",
    )


def _start(band: Band) -> list[float]:
    return [float(band.mean[0])] if np.isfinite(band.mean[0]) else []


def _curves_caption(run: Run, figure: FigureSettings, *, cut: bool, crossed: bool) -> str:
    caption = (
        f"{escaped(figure.caption)} " if figure.caption else f"{capitalised(figure.quantity)}. "
    )
    caption += "Lines are NumPy's and open marks PyTorch's"
    caption += f"; {figure.also} is dashed." if figure.also else "."
    caption += averaged(run, figure)
    if several_seeds(run):
        seeds = len({training.seed for training in run.record.trainings})
        caption += f" Means over {seeds} seeds; the band reaches from the least to the largest."
    if is_smoothed(run, (figure.quantity, figure.also)):
        caption += " What is measured on batches is a running mean."
    if crossed:
        caption += (
            " A cross at the upper edge is where NumPy's curve ends in a value that is not finite."
        )
    if cut:
        caption += " Losses far above those at the start are cut off."
    return caption + missing_panels(run, figure)


class Point(NamedTuple):
    """The trainings at one place of the axis.

    Attributes:
        values: Their finite figures.
        diverged: How many met a loss, or ended with a figure, that is not a finite number.
    """

    values: list[float]
    diverged: int


def final_values(run: Run, figure: FigureSettings, name: str) -> Drawing | None:
    """A quantity at the end of the training, against the cases of an axis.

    None where the run has no such figure, or its settings name no axis for it.
    """
    across = figure.across or figure.lines
    panels = panels_of(run, figure)
    if across is None or not panels:
        return None
    if figure.across is None:
        figure = figure.model_copy(update={"lines": None, "across": across})
    cases = list(by_case(trained_configurations(run), across))
    places, numeric = _places(run, across, cases)
    names = list(
        dict.fromkeys(
            n
            for configurations in panels.values()
            for n in _final_lines(configurations, figure, across)
        )
    )
    canvas, axes, columns = grid(len(panels), sharex=True, sharey=True)
    anything = False
    for axis, (title, configurations) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        for line, members in _final_lines(configurations, figure, across).items():
            for backend in BACKENDS:
                points = [
                    _point(run, figure, backend, [p for p in members if p.variant[across] == case])
                    for case in cases
                ]
                place = names.index(line)
                side_by_side = 0.0 if numeric else 0.07 * (place - (len(names) - 1) / 2)
                at = [x + side_by_side for x in places]
                anything |= _draw_points(
                    axis, at, points, backend, place, len(names), joined_up=numeric
                )
        if numeric:
            axis.set_xscale("log")
        else:
            words = [short_case(across, case) for case in cases]
            axis.set_xlim(-0.5, len(cases) - 0.5)
            axis.set_xticks(places, words, rotation=30 if max(map(len, words)) > 9 else 0)
    if not anything:
        return None
    if figure.log:
        axes[0].set_yscale("log")
    elif figure.quantity.endswith("accuracy"):
        axes[0].set_ylim(-0.02, 1.06)
    label_edges(axes, columns, across, y_label(figure.quantity))
    legend(canvas, names, figure.quantity, None)
    broken = any(line.get_gid() == "diverged" for axis in axes for line in axis.lines)
    if broken:
        cross = Line2D([], [], ls="none", marker="x", color="black", mew=1.4)
        axes[-1].legend([cross], ["diverged"], loc="best")
    return Drawing(
        name,
        canvas,
        _final_values_caption(run, figure, broken=broken),
        f"Final {figure.quantity} against {across}, NumPy as lines and PyTorch as marks.",
    )


def _final_lines(
    configurations: list[Configuration], figure: FigureSettings, across: str
) -> dict[str, list[Configuration]]:
    """Name → configurations of a line; the axis along the bottom makes no lines."""
    if figure.lines is not None:
        return lines_of(configurations, figure)
    axes = [
        axis
        for axis in configurations[0].variant
        if axis not in (figure.panels, across)
        and len({configuration.variant[axis] for configuration in configurations}) > 1
    ]
    found: dict[str, list[Configuration]] = {}
    for configuration in configurations:
        found.setdefault(" ".join(configuration.variant[axis] for axis in axes), []).append(
            configuration
        )
    return found


def _places(run: Run, across: str, cases: list[str]) -> tuple[list[float], bool]:
    """Where the cases stand: at their values, on a logarithmic axis, or side by side."""
    axis = run.record.experiment.vary.get(across)
    if axis is not None and axis.key is not None:
        by_label = {
            configuration.variant[across]: configuration
            for configuration in trained_configurations(run)
        }
        values = [
            setting(by_label[case].experiment.model_dump(mode="json"), axis.key) for case in cases
        ]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(numbers) == len(cases) and min(numbers) > 0 and max(numbers) / min(numbers) > 20:
            return [float(value) for value in numbers], True
    return [float(place) for place in range(len(cases))], False


def _point(
    run: Run, figure: FigureSettings, backend: str, configurations: list[Configuration]
) -> Point:
    values, diverged = [], 0
    for training in trained(run, configurations):
        value = quantity(run, backend, training, figure.quantity)
        if value is None:
            continue
        diverged += quantity(run, backend, training, "finite") == 0 or not math.isfinite(value)
        if math.isfinite(value):
            values.append(value)
    return Point(values, diverged)


def _draw_points(
    axis: Any,
    places: list[float],
    points: list[Point],
    backend: str,
    place: int,
    of: int,
    *,
    joined_up: bool,
) -> bool:
    """Draw one backend's line; return whether there was anything to draw."""
    ink = colour(place, of)
    means = np.array([np.mean(p.values) if p.values else math.nan for p in points])
    if backend == "numpy":
        axis.plot(places, means, "-" if joined_up else ".", color=ink, lw=1.1, zorder=3)
        low = [min(p.values, default=math.nan) for p in points]
        high = [max(p.values, default=math.nan) for p in points]
        if np.any(np.array(high) > np.array(low)):
            axis.vlines(places, low, high, color=ink, lw=1.1, alpha=0.6)
    else:
        axis.plot(places, means, ls="none", marker=mark(place), mfc="none", color=ink, zorder=4)
    for x, mean, point in zip(places, means, points, strict=True):
        if point.diverged:
            # At its value where it has one, else at the upper edge: it is not left out.
            known = math.isfinite(mean)
            transform = axis.transData if known else axis.get_xaxis_transform()
            y = mean if known else 0.985 - 0.045 * (2 * place + (backend == "torch"))
            axis.plot(
                [x], [y], "x", color=ink, ms=5.5 if backend == "numpy" else 8, zorder=5,
                mew=1.6 if backend == "numpy" else 0.8, transform=transform, gid="diverged",
            )  # fmt: skip
    return bool(np.any(np.isfinite(means)) or any(point.diverged for point in points))


def _final_values_caption(run: Run, figure: FigureSettings, *, broken: bool) -> str:
    caption = (
        f"{escaped(figure.caption)} "
        if figure.caption
        else f"{capitalised(figure.quantity)} at the end of the training. "
    )
    caption += "Lines or dots are NumPy's and open marks PyTorch's."
    caption += averaged(run, figure)
    if several_seeds(run):
        seeds = len({training.seed for training in run.record.trainings})
        caption += (
            f" Means over {seeds} seeds; NumPy's bars reach from the least to the largest value."
        )
    if broken:
        caption += (
            " A cross marks trainings that met a loss that is not a finite number (thick NumPy's, "
            "thin PyTorch's): at the mean of the finite figures, at the upper edge where there is "
            "none."
        )
    return caption + missing_panels(run, figure)


def best_trials(run: Run, figure: FigureSettings, name: str) -> Drawing | None:
    """The curves of the trainings that ended best, a panel each.

    None where the run has no such curve.
    """
    best = trial_ranking(run, figure)[: figure.count]
    if not best:
        return None
    quantities = [figure.quantity, *([figure.also] if figure.also else [])]
    canvas, axes, _ = grid(
        len(best), columns=TRIAL_COLUMNS, height_cm=TRIAL_ROW_CM, sharex=True, sharey=True
    )
    for place, (axis, (configuration, score)) in enumerate(zip(axes, best, strict=True), 1):
        whole_numbers(axis)
        axis.set_title(f"{place}: {fixed(score, 3)}")
        per_epoch = run.steps_per_epoch[configuration.label]
        for backend in BACKENDS:
            for number, drawn in enumerate(quantities):
                band = mean_and_range(
                    [series(run, backend, t, drawn) for t in trained(run, [configuration])]
                )
                if band is not None:
                    draw_line(axis, band, backend, number, 2, dashed=number == 1, scale=per_epoch)
        axis.set_xlabel(_settings(run, configuration), fontsize=8)
    if figure.log:
        axes[0].set_yscale("log")
    elif figure.quantity.endswith("accuracy"):
        axes[0].set_ylim(-0.02, 1.02)
    for axis in axes[::TRIAL_COLUMNS]:
        axis.set_ylabel(y_label(figure.quantity, figure.also))
    legend(canvas, [], figure.quantity, figure.also)
    return Drawing(
        name,
        canvas,
        _best_trials_caption(run, figure, len(best), len(trained_configurations(run))),
        f"The curves of the {len(best)} best trainings by {figure.quantity}, one panel each.",
    )


def trial_ranking(run: Run, figure: FigureSettings) -> list[tuple[Configuration, float]]:
    """(configuration, NumPy's mean over seeds of the final quantity), the best first.

    A configuration with a training that did not end with a finite figure is left out.
    """
    found = []
    for configuration in trained_configurations(run):
        values = [quantity(run, "numpy", t, figure.quantity) for t in trained(run, [configuration])]
        known = [value for value in values if value is not None and math.isfinite(value)]
        if known and len(known) == len(values):
            found.append((configuration, float(np.mean(known))))
    low = figure.quantity.endswith(LOW_IS_GOOD)
    return sorted(found, key=lambda one: one[1] if low else -one[1])


def _settings(run: Run, configuration: Configuration) -> str:
    """What is varied, below a panel: the drawn settings, or else the cases."""
    drawn = drawn_settings(run.record.experiment, configuration)
    if drawn:
        return "\n".join(f"{name} {value:.2g}" for name, value in drawn)
    cases = [case for axis, case in configuration.variant.items() if _differs(run, axis)]
    return "\n".join(cases)


def _differs(run: Run, axis: str) -> bool:
    return len({configuration.variant[axis] for configuration in run.configurations.values()}) > 1


def _best_trials_caption(run: Run, figure: FigureSettings, drawn: int, of: int) -> str:
    caption = f"{escaped(figure.caption)} " if figure.caption else ""
    caption += (
        f"The {drawn} best of {of} by NumPy's final {figure.quantity}, which stands above each "
        f"panel with its place; below it, what was varied. {capitalised(figure.quantity)} is solid"
        + (f", {figure.also} dashed" if figure.also else "")
        + "; the axis along the bottom is the epoch. Lines are NumPy's and open marks PyTorch's."
    )
    if several_seeds(run):
        caption += " Means over the seeds; the band reaches from the least to the largest."
    if is_smoothed(run, (figure.quantity, figure.also)):
        caption += " What is measured on batches is a running mean."
    return caption


def gradient_norms(run: Run, figure: FigureSettings, name: str) -> Drawing | None:
    """How long the gradient of each layer's weight is, along the training.

    None where no gradient was recorded.
    """
    if not run.gradients:
        return None
    panels = _norm_panels(run, figure)
    layers = {title: _layers(run, configurations) for title, configurations in panels.items()}
    deepest = max((len(found) for found in layers.values()), default=0)
    if not deepest:
        return None
    canvas, axes, columns = grid(len(panels), sharex=True, sharey=True)
    colours = matplotlib.colormaps["viridis"]
    for axis, (title, configurations) in zip(axes, panels.items(), strict=True):
        axis.set_title(title)
        whole_numbers(axis)
        for place, parameter in enumerate(layers[title]):
            ink = colours(0.9 * place / max(1, deepest - 1))
            for backend in BACKENDS:
                steps, norms = _along(run, configurations, backend, parameter)
                if not len(steps):
                    continue
                if backend == "numpy":
                    few = slice(None, None, max(1, len(steps) // NORM_POINTS))
                    axis.plot(steps[few], norms[few], color=ink, lw=1.1)
                else:
                    marked = np.linspace(0, len(steps) - 1, MARKED).round().astype(int)
                    axis.plot(steps[marked], norms[marked], "o", mfc="none", ms=3.2, color=ink)
    axes[0].set_yscale("log")
    label_edges(axes, columns, "step", "length of the gradient")
    longest = max(layers.values(), key=len)
    handles = [
        Line2D([], [], color=colours(0.9 * k / max(1, deepest - 1)), label=_named(run, panels, p))
        for k, p in enumerate(longest)
    ]
    handles.append(
        Line2D([], [], color="black", ls="none", marker="o", mfc="none", ms=3.6, label="PyTorch")
    )
    in_rows(canvas, [handles])
    return Drawing(
        name,
        canvas,
        _gradient_norms_caption(run, figure),
        "The length of the gradient of every layer's weight along the training, on a logarithmic "
        "axis, NumPy as lines and PyTorch as marks.",
    )


def _norm_panels(run: Run, figure: FigureSettings) -> dict[str, list[Configuration]]:
    """A panel for each case of the axes that the figure names, or for each configuration."""
    if figure.panels is None and figure.lines is None:
        return {
            configuration.label: [configuration]
            for configuration in trained_configurations(run)[:MOST_PANELS]
        }
    found = {
        ", ".join(filter(None, (panel, line))): members
        for panel, configurations in panels_of(run, figure).items()
        for line, members in (
            lines_of(configurations, figure) if figure.lines else {"": configurations}
        ).items()
    }
    return dict(list(found.items())[:MOST_PANELS])


def _layers(run: Run, configurations: Sequence[Configuration]) -> list[str]:
    """The weights of two and more axes, from the input on; all weights where none is known."""
    training = trained(run, configurations)[0]
    names = list(dict.fromkeys(row.parameter for row in run.gradients_of(training)))
    weights = [name for name in names if name.endswith("weight")]
    shapes = weight_shapes(run, training)
    return [name for name in weights if len(shapes.get(name, ())) >= 2 or not shapes][:MOST_LAYERS]


def _along(
    run: Run, configurations: Sequence[Configuration], backend: str, parameter: str
) -> tuple[np.ndarray, np.ndarray]:
    """(steps, geometric running mean over steps and trainings); 0 and NaN are gaps."""
    rows = []
    for training in trained(run, configurations):
        found = [
            (row.step, row.norm)
            for row in run.gradients_of(training)
            if row.backend == backend and row.parameter == parameter
        ]
        if found:
            rows.append(np.array(found).T)
    if not rows:
        return np.array([]), np.array([])
    length = min(row.shape[1] for row in rows)
    steps = rows[0][0, :length]
    norms = np.array([row[1, :length] for row in rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(np.isfinite(norms) & (norms > 0), norms, np.nan)).mean(axis=0)
    window = max(1, min(len(logs) // 10, NORM_WINDOW))
    smooth = np.convolve(logs, np.full(window, 1 / window), "valid")
    return steps[window - 1 :] - window // 2, np.exp(smooth)


def _named(run: Run, panels: dict[str, list[Configuration]], parameter: str) -> str:
    training = trained(run, next(iter(panels.values())))[0]
    kind = class_of(training, parameter.rpartition(".")[0])
    return f"{parameter} ({kind})" if kind else parameter


def _gradient_norms_caption(run: Run, figure: FigureSettings) -> str:
    caption = f"{escaped(figure.caption)} " if figure.caption else ""
    caption += (
        "The length ‖dW‖ of the gradient of each layer's weight, before the update, from the "
        "first layer (dark) to the last (light); a running geometric mean over the steps"
        + (", and over the seeds" if several_seeds(run) else "")
        + ". Lines are NumPy's and open marks PyTorch's."
    )
    return caption


def near_misses(run: Run, figure: FigureSettings, name: str) -> Drawing | None:
    """How far the predicted class is from the right one.

    None where no prediction was recorded.
    """
    targets = run.predictions.get("targets")
    if targets is None:
        return None
    panels = {
        ", ".join(filter(None, (panel, line))): [
            t for t in trained(run, members) if predicted_key("numpy", t) in run.predictions
        ]
        for panel, configurations in by_case(trained_configurations(run), figure.panels).items()
        for line, members in lines_of(configurations, figure).items()
    }
    panels = {title: trainings for title, trainings in panels.items() if trainings}
    if not panels:
        return None
    furthest = len(run.record.data.class_names) - 1
    canvas, axes, columns = grid(len(panels), sharex=True, sharey=True)
    for axis, (title, trainings) in zip(axes, panels.items(), strict=True):
        _draw_distances(axis, run, trainings, targets, furthest)
        axis.set_title(title)
        whole_numbers(axis)
    label_edges(axes, columns, "predicted class − true class", "share of the test rows")
    drawn = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
    in_rows(canvas, [[drawn[label] for label in BACKENDS.values()]])
    caption = f"{escaped(figure.caption)} " if figure.caption else ""
    return Drawing(
        name,
        canvas,
        f"{caption}Mistakes on the test rows by the distance of the predicted class from the right "
        f"one; what is further than {furthest} stands at the ends. Bars are NumPy's "
        "and open marks PyTorch's; the rows that are right, at 0, are left out and counted in the "
        "panel." + (" Means over the seeds." if several_seeds(run) else ""),
        "Histograms of predicted minus true class among the mistakes, NumPy as bars and PyTorch as "
        "marks.",
    )


def distance_shares(predicted: np.ndarray, targets: np.ndarray, furthest: int) -> np.ndarray:
    """The share of rows at each distance from −furthest to furthest; further ones at the ends.

    Args:
        predicted: Classes (N,), or rounded outputs that are none.
        targets: Classes (N,).
        furthest: The largest distance of two classes.
    """
    distance = np.clip(predicted.astype(np.int64) - targets, -furthest, furthest)
    return np.bincount(distance + furthest, minlength=2 * furthest + 1) / len(targets)


def _draw_distances(
    axis: Any, run: Run, trainings: Sequence[TrainingRecord], targets: np.ndarray, furthest: int
) -> None:
    places = np.arange(-furthest, furthest + 1)
    right = []
    for backend, label in BACKENDS.items():
        found = np.mean(
            [
                distance_shares(
                    run.predictions[predicted_key(backend, training)], targets, furthest
                )
                for training in trainings
            ],
            axis=0,
        )
        right.append(f"{label} {percent(float(found[furthest]), 1)}")
        found[furthest] = np.nan
        ink = BACKEND_COLOURS[backend]
        if backend == "numpy":
            axis.bar(places, found, width=0.8, color=ink, alpha=0.6, label=label)
        else:
            axis.plot(places, found, "o", mfc="none", mec=ink, ms=4, mew=1.0, label=label)
    axis.text(
        0.02, 0.97, "right:\n" + "\n".join(right), transform=axis.transAxes, va="top", fontsize=7
    )


def averaged(run: Run, figure: FigureSettings) -> str:
    """What the figure averages over beside the seeds, as a sentence."""
    if figure.lines is None:
        return ""
    named = set(figure.axes())
    axes = [OPTIMIZER, *run.record.experiment.vary]
    configurations = trained_configurations(run)
    over = [a for a in axes if a not in named and len({p.variant[a] for p in configurations}) > 1]
    return f" Each is the mean over {joined([escaped(axis) for axis in over])}." if over else ""


def missing_panels(run: Run, figure: FigureSettings) -> str:
    """A sentence on panels that the page had no room for."""
    panels = len(by_case(trained_configurations(run), figure.panels))
    if panels <= MOST_PANELS:
        return ""
    return f" The first {MOST_PANELS} of {panels} panels are drawn."


KINDS = {
    "curves": curves,
    "final values": final_values,
    "best trials": best_trials,
    "gradient norms": gradient_norms,
    "near misses": near_misses,
}
"""Kind of a figure in an experiment's file → what draws it."""
