"""NumPy's drift among that of PyTorch runs that are right by construction."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from compare.records.run import Run
from reports.figures.canvas import GREY, SIDE_COLOURS, Drawing, paper
from reports.trainings import heading, shown

DASHES = ["--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3))]


def draw(run: Run) -> list[Drawing]:
    """Distance of every run's weights from PyTorch's float64 run, one panel a training."""
    panels = []
    for training in shown(run):
        rows = run.drift_of(training)
        if rows:
            panels.append((training, rows))
    if not panels:
        return []
    canvas, axes = paper(7.2, 1, len(panels), sharey=True)
    for axis, (training, rows) in zip(axes[0], panels, strict=True):
        replicas = iter(DASHES * 2)
        for name in dict.fromkeys(row.run for row in rows):
            steps = [row.step for row in rows if row.run == name]
            distances = [row.distance for row in rows if row.run == name]
            axis.plot(steps, distances, **_look(name, replicas))
        _step_axis(axis, max(row.step for row in rows))
        axis.set_yscale("log")
        axis.set_title(heading(run, training))
        axis.set_xlabel("training step")
    axes[0, 0].set_ylabel("relative distance of the weights")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=3)
    return [
        Drawing(
            "drift",
            canvas,
            "Relative distance ‖θ − θ₆₄‖ / ‖θ₆₄‖ of the weights from PyTorch's float64 run, for "
            "both sides and for PyTorch replicas that see the same batches with their rows in "
            "another order. All of them are right; they part by rounding alone. The figure is "
            "shown, not judged.",
            "Relative distance of the weights from a float64 run against the training step, on "
            "logarithmic axes: NumPy, PyTorch, and PyTorch replicas.",
        )
    ]


def _step_axis(axis: Any, last: int) -> None:
    """Logarithmic where the steps span more than a decade; whole numbers in any case."""
    if last > 10:
        axis.set_xscale("log")
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:g}"))


def _look(name: str, replicas: Any) -> dict[str, Any]:
    if name == "numpy":
        return {"color": SIDE_COLOURS["numpy"], "lw": 1.8, "label": "NumPy", "zorder": 3}
    if name == "torch":
        return {
            "color": SIDE_COLOURS["torch"],
            "ls": "-",
            "lw": 0.9,
            "marker": "o",
            "ms": 3,
            "mfc": "white",
            "markevery": 0.12,
            "label": "PyTorch",
            "zorder": 4,
        }
    return {"color": GREY, "ls": next(replicas), "lw": 1.0, "label": f"PyTorch, {name}"}
