"""The figures that one can ask: their numbers are those of the records."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reports_tests.synthetic_run import parity_rows, stage_sites
from reports_tests.test_page import models

from compare.records.run import read_run
from compare.records.tables import ParityRow

pytest.importorskip("bokeh")

from reports.figures.parity import share
from reports.interactive import Interactive, interactive_figures
from reports.interactive.curves import ask_curves, ask_drift, ask_runs
from reports.interactive.outcomes import ask_confusion, ask_timing
from reports.interactive.parity import ask_parity, cells_of
from reports.interactive.plots import COLOURS, extremes

MakeRun = Callable[..., Path]


ASK = {
    "curves": ask_curves,
    "parity-map": ask_parity,
    "confusion": ask_confusion,
    "drift": ask_drift,
    "timing": ask_timing,
}


def figure(run: Path, name: str) -> Interactive:
    """One figure alone."""
    found = ASK[name](read_run(run))
    assert found is not None
    assert found.name == name
    return found


def columns(figure: Interactive, **on: str) -> list[dict[str, np.ndarray | list]]:
    """The columns of every renderer that is seen where these options are chosen."""
    every = models(figure.document)
    by_id = {model["id"]: model for model in every}
    found = []
    for model in every:
        if model["name"] != "GlyphRenderer" or not model["attributes"].get("tags"):
            continue
        needs = json.loads(model["attributes"]["tags"][0])["on"]
        if not on.items() <= needs.items():
            continue
        source = by_id[model["attributes"]["data_source"]["id"]]
        entries = source["attributes"]["data"]["entries"]
        found.append({name: decoded(values) for name, values in entries})
    return found


def decoded(values: Any) -> Any:
    if isinstance(values, list):
        return values
    content = gzip.decompress(base64.b64decode(values["array"]["data"]))
    return np.frombuffer(content, values["dtype"]).reshape(values["shape"])


def test_the_curves_have_both_backends_values_and_their_difference(make_run: MakeRun) -> None:
    run = make_run()
    found = columns(figure(run, "curves"), label="1", what="test", quantity="loss", side="torch")
    rows = [
        row
        for row in read_run(run).history
        if (row.label, row.split, row.metric, row.phase) == ("Adam", "test", "loss", "evaluation")
    ]
    numpy, torch = ([r.value for r in rows if r.backend == b] for b in ("numpy", "torch"))
    [own] = found
    np.testing.assert_array_equal(own["numpy"], numpy)
    np.testing.assert_array_equal(own["torch"], torch)
    np.testing.assert_allclose(own["difference"], np.subtract(numpy, torch), rtol=1e-6)
    assert list(own["step"]) == [0, 3, 6]


def test_the_difference_stands_beneath_on_the_same_axis(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    found = figure(run, "curves")
    upper, lower = (m["attributes"] for m in models(found.document) if m["name"] == "Plot")
    assert lower["x_range"]["id"] == upper["x_range"]["id"]
    assert (upper["y_scale"]["name"], lower["y_scale"]["name"]) == ("LinearScale", "LogScale")
    # What is drawn beneath does not hang on the quantity that is chosen above.
    own = {model["id"]: model for model in lower["renderers"]}
    for renderer in own.values():
        assert "quantity" not in json.loads(renderer["attributes"]["tags"][0])["on"]
    apart = [found["distance"] for found in columns(found, what="test") if "distance" in found]
    rows = [
        [
            row.value
            for row in read_run(run).history
            if (row.backend, row.split, row.metric, row.phase)
            == (side, "test", "loss", "evaluation")
        ]
        for side in ("numpy", "torch")
    ]
    assert any(np.allclose(one, np.abs(np.subtract(*rows)), rtol=1e-6) for one in apart)


def test_runs_are_in_one_figure_a_colour_each(make_run: MakeRun) -> None:
    folders = [make_run("a", seeds=(0, 1)), make_run("b", optimizers=("SGD",), seeds=(0,))]
    runs = [(letter, read_run(folder)) for letter, folder in zip("AB", folders, strict=True)]
    found = ask_runs(runs)
    assert found is not None
    controls = {control.key: control for control in found.controls}
    assert [(o.text, o.colour) for o in controls["run"].options] == [
        ("A", "ink-0"),
        ("B", "ink-1"),
    ]
    # What both runs have is seen first.
    assert [(o.text, o.checked) for o in controls["label"].options] == [
        ("SGD", True),
        ("Adam", False),
    ]
    assert [(o.text, o.checked) for o in controls["seed"].options] == [("0", True), ("1", False)]
    choice = {"label": "0", "seed": "0", "what": "test", "quantity": "accuracy", "side": "torch"}
    for place, (_, run) in enumerate(runs):
        [own] = columns(found, run=str(place), **choice)
        values = [
            row.value
            for row in run.history
            if (row.backend, row.label, row.seed, row.split, row.metric, row.phase)
            == ("torch", "SGD", 0, "test", "accuracy", "evaluation")
        ]
        np.testing.assert_array_equal(own["torch"], values)
    assert columns(found, run="1", label="1") == []


@pytest.mark.slow
def test_no_run_is_left_out_whole(make_run: MakeRun) -> None:
    many, one = make_run("a", seeds=tuple(range(20))), make_run("b", seeds=(3,))
    found = ask_runs([("A", read_run(many)), ("B", read_run(one))])
    assert found is not None
    assert found.note.endswith(" 18 further trainings would not fit in.")
    assert columns(found, run="1", label="0")
    assert columns(found, run="1", label="1")


def test_batches_are_drawn_for_both_backends(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    for side in ("numpy", "torch"):
        [own] = columns(figure(run, "curves"), what="batches", quantity="accuracy", side=side)
        rows = [
            row.value
            for row in read_run(run).history
            if (row.backend, row.metric, row.phase) == (side, "accuracy", "step")
        ]
        np.testing.assert_allclose(own[side], np.float32(rows))


def optimizers(labels: Iterable[str]) -> dict[str, Any]:
    """An experiment that trains SGD under these labels."""
    return {
        "optimizers": {name: {"algorithm": "SGD", "lr": 0.1} for name in labels},
        "reported": [],
    }


def test_every_label_and_seed_can_be_switched(make_run: MakeRun) -> None:
    labels = tuple(f"rate {k}" for k in range(COLOURS + 2))
    found = figure(make_run(experiment=optimizers(labels), seeds=(3, 8)), "curves")
    controls = {control.key: control for control in found.controls}
    assert [option.text for option in controls["label"].options] == list(labels)
    assert [option.text for option in controls["seed"].options] == ["3", "8"]
    assert sum(option.checked for option in controls["label"].options) == 4
    assert columns(found, label=str(COLOURS + 1), seed="1")


@pytest.mark.slow
def test_trainings_that_do_not_fit_are_counted(make_run: MakeRun) -> None:
    found = figure(make_run(experiment=optimizers("abcdefghijklm"), seeds=(0, 1)), "curves")
    assert found.note.endswith(" 2 further trainings would not fit in.")


def test_a_long_series_keeps_its_extremes() -> None:
    values = np.random.default_rng(0).standard_normal(100_003)
    values[[17, 50_000, 99_999]] = 40, -40, np.nan
    places = extremes(values, 100)
    assert len(places) <= 202
    assert {0, 17, 50_000, 99_999, len(values) - 1} <= set(places.tolist())
    assert list(places) == sorted(set(places.tolist()))
    for part in np.array_split(np.arange(len(values)), 100)[1:-2]:
        inside = np.intersect1d(part, places)
        assert values[inside].min() <= np.quantile(values[part], 0.01)
    assert list(extremes(values[:150], 100)) == list(range(150))


def test_the_map_has_every_comparison_with_its_numbers(make_run: MakeRun) -> None:
    run = make_run(failing={(1, "gradient/1.weight")})
    found = figure(run, "parity-map")
    assert found.map is not None
    [source] = [m for m in models(found.document) if m["name"] == "ColumnDataSource"]
    data = {name: decoded(values) for name, values in source["attributes"]["data"]["entries"]}
    rows = [row for row in read_run(run).parity if not row.site.startswith("initial/")]
    assert len(data["x"]) == len(rows)
    [group] = [g for g in found.map["groups"] if (g["training"], g["kind"]) == ("Adam", "float32")]
    start, stop = group["rows"]
    assert stop - start == 2 * len(stage_sites())
    x, y = group["steps"].index("1"), group["sites"].index("gradient 1.weight")
    [k] = [k for k in range(start, stop) if (data["x"][k], data["y"][k]) == (x, y)]
    assert data["passed"][k] == 0
    assert data["passed"][start:stop].sum() == stop - start - 1
    np.testing.assert_allclose(
        [data[name][k] for name in ("numpy", "torch", "bound", "share", "step")],
        [1e-3, 1e-6, 8e-6, 125, 1],
        rtol=1e-6,
    )
    assert group["modules"][y] == "BatchNorm1d"


def test_neighbouring_steps_share_a_column_that_shows_the_worst() -> None:
    rows = [
        row._replace(step=step, numpy_error=1e-7 * (1 + (step == 5)), passed=step != 7)
        for step in range(10)
        for row in parity_rows("SGD", 0, set())
        if row.dtype == "float32" and row.step == 0 and row.site in stage_sites()[:3]
    ]
    cells = cells_of(rows, most=9)
    assert cells.steps == [(0, 3), (4, 7), (8, 9)]
    worst = {(x, y): row.step for x, y, row in cells.rows}
    assert [worst[x, 0] for x in range(3)] == [0, 7, 8]
    assert cells.failed == [False, False, False, True, True, True, False, False, False]
    assert len(cells_of(rows, most=1000).steps) == 10


def test_the_share_of_a_bound_that_nothing_meets_is_infinite() -> None:
    row = ParityRow("SGD", 0, 0, "float32", "forward/0/output", 2e-6, 0.0, 8e-6, True)
    assert share(row) == pytest.approx(0.25)
    assert share(row._replace(numpy_error=float("nan"))) == np.inf
    assert share(row._replace(tolerance=0.0, passed=False)) == np.inf
    assert share(row._replace(tolerance=0.0, numpy_error=0.0)) == 0


def test_the_confusions_are_counted_for_both_backends(make_run: MakeRun) -> None:
    found = columns(figure(make_run(wrong=(1, 3)), "confusion"), label="0", view="difference")
    cells = {
        (true, predicted): (n, t, d)
        for true, predicted, n, t, d in zip(
            *(found[0][name] for name in ("true", "predicted", "numpy", "torch", "difference")),
            strict=True,
        )
    }
    # Rows alternate between the classes, and the first ones are predicted wrongly.
    assert cells == {
        ("even", "even"): (19, 18, -1),
        ("even", "odd"): (1, 2, 1),
        ("odd", "even"): (0, 1, 1),
        ("odd", "odd"): (20, 19, -1),
    }


def test_the_histogram_counts_every_time(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",), ratio=3.0)
    times = np.array([1e3 * row.numpy_s for row in read_run(run).timing])
    own = columns(figure(run, "timing"), side="numpy")[0]
    left, right, share = (np.array(own[name]) for name in ("left", "right", "share"))
    assert share.sum() == pytest.approx(100, rel=1e-5)
    inside = (times[:, None] >= left * (1 + 1e-6)) & (times[:, None] < right * (1 - 1e-6))
    counted = 100 * inside.mean(axis=0)
    np.testing.assert_allclose(share[1:-1], counted[1:-1], atol=100 / len(times) + 1e-3)
    tops = np.array(own["foot"]) - np.array(own["top"])
    np.testing.assert_allclose(tops / tops.max(), share / share.max(), atol=1e-5)


def test_the_drift_has_a_line_for_each_run(make_run: MakeRun) -> None:
    found = figure(make_run(optimizers=("SGD",)), "drift")
    [runs] = [control for control in found.controls if control.key == "run"]
    assert [option.text for option in runs.options] == [
        "NumPy",
        "PyTorch",
        "PyTorch, rows reversed",
    ]
    [own] = columns(found, run="2")
    np.testing.assert_allclose(own["y"], [3e-7, 6e-7, 15e-7], rtol=1e-6)
    assert list(own["x"]) == [1, 2, 5]


def test_a_run_without_numbers_has_no_figures(make_run: MakeRun) -> None:
    run = make_run(compared=False, finished=False, drift=False, ratio=None)
    names = [one.name for one in interactive_figures(read_run(run))]
    assert names == ["curves"]
