"""``gradient norms``: how long the gradient of each layer's weight is, along the training."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.lines import Line2D

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run
from compare.spec.experiment import Configuration
from compare.spec.report import FigureSettings
from reports.figures.asked.groups import MOST_PANELS, lines_of, panels_of, plans_of, trained
from reports.figures.asked.look import MARKED, grid, in_rows, label_edges, whole_numbers
from reports.figures.canvas import Drawing
from reports.network import class_of, weights_with_axes
from reports.trainings import several_seeds
from reports.wording import escaped

POINTS = 200
WINDOW = 20
MOST_LAYERS = 12


def draw(run: Run, form: FigureSettings, name: str) -> Drawing | None:
    """Draw it; None where no gradient was recorded."""
    if not run.gradients:
        return None
    panels = _panels(run, form)
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
                    few = slice(None, None, max(1, len(steps) // POINTS))
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
        _caption(run, form),
        "The length of the gradient of every layer's weight along the training, on a logarithmic "
        "axis, NumPy as lines and PyTorch as marks.",
    )


def _panels(run: Run, form: FigureSettings) -> dict[str, list[Configuration]]:
    """A panel for each case of the axes that the form names, or for each configuration."""
    if form.panels is None and form.lines is None:
        return {
            configuration.label: [configuration] for configuration in plans_of(run)[:MOST_PANELS]
        }
    found = {
        ", ".join(filter(None, (panel, line))): members
        for panel, configurations in panels_of(run, form).items()
        for line, members in (
            lines_of(configurations, form) if form.lines else {"": configurations}
        ).items()
    }
    return dict(list(found.items())[:MOST_PANELS])


def _layers(run: Run, configurations: Sequence[Configuration]) -> list[str]:
    """The weights of two and more axes, from the input on; all weights where none is known."""
    training = trained(run, configurations)[0]
    names = list(dict.fromkeys(row.parameter for row in run.gradients_of(training)))
    weights = [name for name in names if name.endswith("weight")]
    known = weights_with_axes(run, training, 2)
    return [name for name in weights if name in known or not known][:MOST_LAYERS]


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
    window = max(1, min(len(logs) // 10, WINDOW))
    smooth = np.convolve(logs, np.full(window, 1 / window), "valid")
    return steps[window - 1 :] - window // 2, np.exp(smooth)


def _named(run: Run, panels: dict[str, list[Configuration]], parameter: str) -> str:
    training = trained(run, next(iter(panels.values())))[0]
    kind = class_of(training, parameter.rpartition(".")[0])
    return f"{parameter} ({kind})" if kind else parameter


def _caption(run: Run, form: FigureSettings) -> str:
    told = f"{escaped(form.caption)} " if form.caption else ""
    told += (
        "The length ‖dW‖ of the gradient of each layer's weight, before the update, from the "
        "first layer (dark) to the last (light); a running geometric mean over the steps"
        + (", and over the seeds" if several_seeds(run) else "")
        + ". Lines are NumPy's and open marks PyTorch's."
    )
    return told
