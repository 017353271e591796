"""The figures that an experiment's file describes hold what the records say."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compare.records.run import Run, read_run
from compare.spec.report import FigureSettings
from reports.figures.custom import KINDS, distance_shares, draw_custom, trial_ranking
from reports.figures.series import Series, mean_and_range, series
from reports.figures.style import Drawing, style

MakeRun = Callable[..., Path]

VARY = {
    "norm": {"cases": {"with": {}, "without": {"model": {"std": 0.5}}}},
    "std": {"key": "model.std", "values": [1.0, 0.1, 0.01, 0.001]},
}


def by_norm(variant: dict[str, str]) -> Callable[[int], float]:
    """With: falls to 2 / 7. Without: stays at 2, and at std 1 it ends in NaN after three steps."""
    if variant["norm"] == "with":
        return lambda step: 2.0 / (step + 1)
    if variant["std"] == "std 1":
        return lambda step: 2.0 if step < 3 else math.nan
    return lambda step: 2.0


def varied_run(make_run: MakeRun, name: str = "run", **choices: Any) -> Run:
    settings = {"optimizers": ("SGD",), "vary": VARY, "losses": by_norm}
    return read_run(make_run(name, **{**settings, **choices}))


def drawn(run: Run, **form: Any) -> Drawing:
    found = FigureSettings.model_validate(form)
    with style():
        drawing = KINDS[found.kind](run, found, "custom-1")
    assert drawing is not None
    return drawing


def panels(drawing: Drawing) -> dict[str, Any]:
    return {axis.get_title(): axis for axis in drawing.canvas.axes if axis.get_visible()}


def lines(axis: Any, style_: str) -> list[Any]:
    return [
        line for line in axis.lines if line.get_linestyle() == style_ and line.get_gid() is None
    ]


def test_curves_have_a_panel_each_and_a_line_each(make_run: MakeRun) -> None:
    run = varied_run(make_run)
    drawing = drawn(run, kind="curves", quantity="test loss", panels="std", lines="norm")
    found = panels(drawing)
    assert list(found) == ["std 1", "std 0.1", "std 0.01", "std 0.001"]
    solid = lines(found["std 0.1"], "-")
    assert len(solid) == 2
    assert solid[0].get_ydata().tolist() == pytest.approx([2.0, 2 / 4, 2 / 7])
    assert solid[0].get_xdata().tolist() == [0.0, 1.0, 2.0]
    marks = [line for line in found["std 0.1"].lines if line.get_linestyle() == "None"]
    assert [mark.get_marker() for mark in marks] == ["o", "s"]
    assert all(mark.get_markerfacecolor() == "none" for mark in marks)
    legend = [text.get_text() for text in drawing.canvas.legends[0].get_texts()]
    assert legend[:2] == ["with", "without"]


def test_a_curve_that_ends_in_nan_is_marked(make_run: MakeRun) -> None:
    drawing = drawn(
        varied_run(make_run), kind="curves", quantity="test loss", panels="std", lines="norm"
    )
    crosses = {
        title: sum(line.get_gid() == "diverged" for line in axis.lines)
        for title, axis in panels(drawing).items()
    }
    assert crosses == {"std 1": 1, "std 0.1": 0, "std 0.01": 0, "std 0.001": 0}
    assert "not finite" in drawing.caption


def test_a_second_quantity_is_dashed_and_batches_go_by_step(make_run: MakeRun) -> None:
    drawing = drawn(
        varied_run(make_run),
        kind="curves",
        quantity="training-set accuracy",
        also="test accuracy",
        panels="std",
        lines="norm",
    )
    axis = panels(drawing)["std 0.01"]
    assert len(lines(axis, "-")) == len(lines(axis, "--")) == 2
    assert "test accuracy is dashed" in drawing.caption
    by_step = drawn(
        varied_run(make_run, "two"), kind="curves", quantity="train loss", panels="norm"
    )
    axes = panels(by_step)
    assert list(axes) == ["with", "without"]
    assert len(lines(axes["with"], "-")) == 4
    assert axes["with"].get_xlabel() == "step"


def test_seeds_are_a_mean_and_a_band(make_run: MakeRun) -> None:
    run = varied_run(make_run, seeds=(0, 1))
    drawing = drawn(run, kind="curves", quantity="test loss", panels="std", lines="norm")
    assert "Means over 2 seeds" in drawing.caption
    assert len(lines(panels(drawing)["std 0.1"], "-")) == 2


def test_the_caption_says_what_is_averaged_over(make_run: MakeRun) -> None:
    drawing = drawn(varied_run(make_run), kind="curves", quantity="test loss", lines="norm")
    assert "Each is the mean over std." in drawing.caption


def test_a_mean_with_something_that_is_not_finite_is_a_gap() -> None:
    steps = np.arange(3)
    band = mean_and_range([Series(steps, np.array([1.0, 2.0, 3.0])),
                     Series(steps, np.array([3.0, math.inf, math.nan]))])  # fmt: skip
    assert band is not None
    assert band.mean[0] == 2.0
    assert np.isnan(band.mean[1:]).all()
    assert mean_and_range([]) is None


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("loss rises", [0, 0, 0, 0, 0, 0]),
        ("finite", [1, 1, 1, 1, 1, 1]),
        ("accuracy gap", [0.0, 0.0, 0.0]),
        ("test loss", [2.0, 0.5, 2 / 7]),
        ("near misses", []),
    ],
)
def test_series(make_run: MakeRun, quantity: str, expected: list[float]) -> None:
    run = varied_run(make_run)
    found = series(run, "numpy", run.record.trainings[0], quantity)
    assert found.values.tolist() == pytest.approx(expected)
    assert len(found.steps) == len(expected)


def test_rises_and_what_is_not_finite_along_a_training(make_run: MakeRun) -> None:
    run = varied_run(make_run)
    training = next(t for t in run.record.trainings if t.label == "SGD without std 1")
    assert series(run, "numpy", training, "finite").values.tolist() == [1, 1, 1, 0, 0, 0]
    assert series(run, "numpy", training, "loss rises").values.tolist() == [0, 0, 0, 1, 2, 3]


def test_final_values_show_what_diverged(make_run: MakeRun) -> None:
    drawing = drawn(
        varied_run(make_run), kind="final values", quantity="test loss", across="std", lines="norm"
    )
    (axis,) = panels(drawing).values()
    assert axis.get_xscale() == "log"
    solid = lines(axis, "-")
    assert solid[0].get_xdata().tolist() == [1.0, 0.1, 0.01, 0.001]
    assert solid[0].get_ydata().tolist() == pytest.approx([2 / 7] * 4)
    assert solid[1].get_ydata().tolist() == pytest.approx([math.nan, 2.0, 2.0, 2.0], nan_ok=True)
    crosses = [line for line in axis.lines if line.get_gid() == "diverged"]
    assert [line.get_xdata()[0] for line in crosses] == [1.0, 1.0]
    assert "A cross marks trainings" in drawing.caption


def test_final_values_against_names_stand_side_by_side(make_run: MakeRun) -> None:
    drawing = drawn(varied_run(make_run), kind="final values", quantity="test loss", across="norm")
    (axis,) = panels(drawing).values()
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["with", "without"]
    assert len(lines(axis, "-")) == 0


SEARCH = {
    "trial": {
        "trials": 7,
        "powers_of_ten": {"optimizers.SGD.lr": {"low": -4, "high": -1}},
    }
}


def by_trial(variant: dict[str, str]) -> Callable[[int], float]:
    number = int(variant["trial"].split()[1])
    return lambda step: math.nan if number == 7 else (2.0 - 0.2 * number) / (step + 1)


def test_the_best_trials_are_the_best(make_run: MakeRun) -> None:
    run = varied_run(make_run, vary=SEARCH, losses=by_trial)
    drawing = drawn(run, kind="best trials", quantity="test accuracy", also="test loss", count=5)
    found = panels(drawing)
    assert [title.split(":")[0] for title in found] == ["1", "2", "3", "4", "5"]
    rate = run.configurations["SGD trial 6"].experiment.optimizers["SGD"].lr
    assert next(iter(found.values())).get_xlabel() == f"lr {rate:.2g}"
    form = FigureSettings(kind="best trials", quantity="test loss")
    labels = [configuration.label for configuration, _ in trial_ranking(run, form)]
    assert labels == [f"SGD trial {number}" for number in (6, 5, 4, 3, 2, 1)]


def test_gradient_norms_are_of_weights_with_two_axes(make_run: MakeRun) -> None:
    experiment = {"training": {"epochs": 2, "batch_size": 10, "gradient_norms": True}}
    run = varied_run(make_run, gradients=True, experiment=experiment)
    drawing = drawn(run, kind="gradient norms", panels="norm", lines="std")
    found = panels(drawing)
    assert len(found) == 8
    axis = found["with, 1"]
    assert axis.get_yscale() == "log"
    assert lines(axis, "-")[0].get_ydata().tolist() == pytest.approx(
        [0.1 / (step + 1) for step in range(6)]
    )
    legend = [text.get_text() for text in drawing.canvas.legends[0].get_texts()]
    # The weight of BatchNorm is a vector, and is left out.
    assert legend == ["0.weight (Linear)", "3.weight (Linear)", "PyTorch"]
    each = drawn(run, kind="gradient norms")
    assert list(panels(each)) == [
        configuration.label for configuration in run.configurations.values()
    ]


def test_near_misses_count_distances() -> None:
    targets = np.array([0, 1, 2, 3])
    found = distance_shares(np.array([1, 1, 0, 12]), targets, 3)
    assert found.tolist() == [0, 1 / 4, 0, 1 / 4, 1 / 4, 0, 1 / 4]
    assert found.sum() == 1


def test_near_misses_have_bars_and_marks(make_run: MakeRun) -> None:
    drawing = drawn(varied_run(make_run, wrong=(4, 6)), kind="near misses", lines="norm")
    axis = panels(drawing)["with"]
    heights = [bar.get_height() for bar in axis.patches]
    assert np.nansum(heights) == pytest.approx(4 / 40)
    assert np.nansum(axis.lines[0].get_ydata()) == pytest.approx(6 / 40)
    assert "NumPy 90.0%" in axis.texts[0].get_text()


def test_what_a_run_has_no_numbers_for_is_left_out(make_run: MakeRun) -> None:
    figures = [
        {"kind": "curves", "quantity": "validation loss"},
        {"kind": "curves", "quantity": "near misses"},
        {"kind": "final values", "quantity": "test loss"},
        {"kind": "final values", "quantity": "validation loss", "across": "std"},
        {"kind": "best trials", "quantity": "validation loss"},
    ]
    run = varied_run(make_run, experiment={"figures": figures})
    with style():
        assert draw_custom(run) == []
    empty = varied_run(make_run, "empty", record={"trainings": []}, experiment={"figures": figures})
    with style():
        assert draw_custom(empty) == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_can_be_drawn_where_everything_diverged(make_run: MakeRun, kind: str) -> None:
    experiment = {"training": {"epochs": 2, "batch_size": 10, "gradient_norms": True}}
    run = varied_run(
        make_run, losses=lambda _: lambda step: math.nan, gradients=True, experiment=experiment
    )
    form = FigureSettings.model_validate({"kind": kind, "quantity": "test loss", "across": "std"})
    with style():
        drawing = KINDS[kind](run, form, "custom-1")
        if drawing is not None:
            drawing.canvas.draw_without_rendering()
