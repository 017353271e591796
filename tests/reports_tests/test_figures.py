"""Figures hold what the records say, and can be drawn for the worst of records."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from compare.records.run import read_run
from compare.records.tables import ParityRow
from reports import figures
from reports.figures.curves import draw_curves, flattens
from reports.figures.images import (
    confusion_matrix,
    draw_confusion,
    draw_mistakes,
    draw_samples,
)
from reports.figures.parity import MOST_COLUMNS, MOST_ROWS, draw_parity, parity_grid
from reports.figures.style import Drawing, Figure, rendered, style

MakeRun = Callable[..., Path]


def marked(drawing: object) -> int:
    """How many cells a parity heatmap marks as failing."""
    axes = drawing.canvas.axes  # type: ignore[attr-defined]
    crosses = [c for axis in axes for c in axis.collections if str(c.get_gid()).startswith("fail")]
    return sum(len(cross.get_offsets()) for cross in crosses)


@pytest.mark.parametrize(
    "failing",
    [set(), {(1, "gradient/1.weight")}, {(0, "forward/0/output"), (1, "update/0.weight")}],
)
def test_every_failing_cell_is_marked_and_no_other(make_run: MakeRun, failing: set) -> None:
    run = read_run(make_run(failing=failing))
    with style():
        drawings = draw_parity(run)
    assert [drawing.name for drawing in drawings] == ["parity-1", "parity-2"] * bool(failing)
    for drawing in drawings:
        assert marked(drawing) == len(failing)
        assert ("a comparison that fails" in drawing.caption) == bool(failing)
        assert f"cells that fail: {len(failing)}" in drawing.alt


def test_a_heatmap_names_modules_with_their_class(make_run: MakeRun) -> None:
    with style():
        failing = {(1, "gradient/1.weight")}
        drawing = draw_parity(read_run(make_run(optimizers=("SGD",), failing=failing)))[0]
    names = [label.get_text() for label in drawing.canvas.axes[0].get_yticklabels()]
    assert names[0] == ""  # the bits at the start
    assert "0 output" in names
    assert "3.weight" in names


def rows_of(sites: list[str], steps: range) -> list[ParityRow]:
    return [
        ParityRow("SGD", 0, s, "float32", site, 1.0, 1.0, 8.0, True)
        for s in steps
        for site in sites
    ]


def test_a_grid_keeps_every_site_where_there_is_room() -> None:
    grid = parity_grid(rows_of(["gradient/0.weight", "gradient/0.bias"], range(3)))
    assert grid.rows == [("gradient", "0.weight"), ("gradient", "0.bias")]
    assert grid.ratios["float32"].shape == (2, 3)
    assert np.all(grid.ratios["float32"] == 1 / 8)


@pytest.mark.parametrize(("blocks", "layers"), [(1, 50), (10, 10), (100, 10)])
def test_a_grid_of_a_large_net_is_made_coarser(blocks: int, layers: int) -> None:
    sites = [f"gradient/{b}.{i}.{p}" for b in range(blocks) for i in range(layers) for p in "wb"]
    grid = parity_grid(rows_of(sites, range(2)))
    assert 1 <= len(grid.rows) <= MOST_ROWS


def test_many_steps_share_columns_and_lose_no_failure() -> None:
    rows = rows_of(["forward/0/output"], range(1000))
    rows[777] = rows[777]._replace(numpy_error=math.inf, passed=False)
    grid = parity_grid(rows)
    assert len(grid.steps) <= MOST_COLUMNS
    assert grid.failed["float32"].sum() == 1
    assert np.isinf(grid.ratios["float32"]).sum() == 1


def test_nan_and_zero_tolerance_in_a_grid() -> None:
    row = ParityRow("SGD", 0, 0, "float32", "initial/0.weight", 3.0, 0.0, 0.0, False)
    nan = ParityRow("SGD", 0, 0, "float32", "forward/0/output", math.nan, 0.0, 1.0, False)
    grid = parity_grid([row, row._replace(numpy_error=0.0, passed=True), nan])
    assert grid.ratios["float32"].ravel().tolist() == [math.inf, math.inf]
    assert grid.failed["float32"].ravel().tolist() == [1, 1]


def test_confusion_matrix_counts() -> None:
    targets, predicted = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 0])
    matrix = confusion_matrix(targets, predicted, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_more_classes_than_can_be_numbered_are_drawn_without_numbers(make_run: MakeRun) -> None:
    path = make_run(optimizers=("SGD",))
    record = path / "run.json"
    names = ", ".join(f'"class {k}"' for k in range(30))
    text = record.read_text(encoding="utf-8")
    start, end = text.index('"class_names": [') + 16, text.index("]", text.index('"class_names"'))
    record.write_text(text[:start] + names + text[end:], encoding="utf-8")
    with style():
        drawing = draw_confusion(read_run(path))[0]
    assert not drawing.canvas.axes[0].texts


def test_the_second_matrix_has_only_what_differs(make_run: MakeRun) -> None:
    with style():
        (drawing,) = draw_confusion(read_run(make_run(optimizers=("SGD",), wrong=(1, 2))))
        (alike,) = draw_confusion(read_run(make_run("b", optimizers=("SGD",), wrong=(1, 1))))
    # PyTorch takes one more "odd" for "even".
    assert {text.get_text() for text in drawing.canvas.axes[1].texts} == {"+1", "−1"}
    assert not alike.canvas.axes[1].texts


def test_mistakes_are_framed_where_the_other_backend_answers_otherwise(make_run: MakeRun) -> None:
    run = read_run(make_run(optimizers=("SGD",), wrong=(1, 3)))
    with style():
        drawing = draw_mistakes(run)[0]
    axis = drawing.canvas.axes[0]
    assert len(axis.lines) == 2  # PyTorch's second and third mistake, which NumPy gets right
    words = [text.get_text() for text in axis.texts if text.get_text() != "SGD"]
    assert words == ["odd\nN: odd\nP: even", "even\nN: even\nP: odd", "even\nN: odd\nP: odd"]


def test_confidences_stand_with_what_they_are_in(make_run: MakeRun) -> None:
    run = read_run(make_run(optimizers=("SGD",), wrong=(1, 1)))
    for backend, share in (("numpy", 0.614), ("torch", 0.606)):
        run.predictions[f"confidence/{backend}/SGD/0"] = np.full(40, share, np.float32)
    with style():
        (drawing,) = draw_mistakes(run)
    assert "even\nN: odd, 61%\nP: odd, 61%" in [t.get_text() for t in drawing.canvas.axes[0].texts]
    assert "the probability" in drawing.caption
    assert "the probability" not in draw_mistakes(read_run(make_run("old")))[0].caption


def test_training_pictures_are_shown_class_by_class(make_run: MakeRun) -> None:
    run = read_run(make_run(optimizers=("SGD",)))
    assert "the first 6 of the test set" in draw_samples(run)[0].caption
    run.pictures["train/images"] = np.zeros((2, 3, 2, 2), np.uint8)
    with style():
        (drawing,) = draw_samples(run)
    assert "the first 2 of each class in the training set" in drawing.caption
    assert [t.get_text() for t in drawing.canvas.axes[0].texts] == ["even", "odd"] * 2


def test_no_mistake_no_pictures_no_figure(make_run: MakeRun) -> None:
    right = read_run(make_run("right", optimizers=("SGD",), wrong=(0, 0)))
    blind = read_run(make_run("blind", optimizers=("SGD",), pictures=False))
    assert draw_mistakes(right) == []
    assert draw_mistakes(blind) == []
    assert draw_samples(blind) == []


def test_curves_have_lines_for_numpy_and_marks_for_pytorch(make_run: MakeRun) -> None:
    with style():
        canvas = draw_curves(read_run(make_run()))[0].canvas
    losses = canvas.axes[0]
    looks = {line.get_label(): (line.get_linestyle(), line.get_marker()) for line in losses.lines}
    assert looks["NumPy, train"] == ("-", "None")
    assert looks["PyTorch, train"] == ("None", "o")
    assert looks["NumPy, test"] == ("--", "None")
    assert looks["PyTorch, test"] == ("None", "s")
    assert [axis.get_title() for axis in canvas.axes[:2]] == ["SGD", "Adam"]


def test_long_runs_are_thinned(make_run: MakeRun) -> None:
    run = read_run(make_run(optimizers=("SGD",), steps=3000, experiment=None))
    with style():
        (curve,) = draw_curves(run)
    assert len(curve.canvas.axes[2].lines[0].get_xdata()) <= 400
    batches = next(x for x in curve.canvas.axes[0].lines if x.get_label() == "NumPy, batches")
    assert len(batches.get_xdata()) <= 600


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": lambda step: math.nan if step > 1 else 1.0},
        {"steps": 1},
        {"record": {"trainings": []}},
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in (
                {"loss": lambda step: math.nan},
                {"loss": lambda step: math.inf},
                {"loss": lambda step: 0.0},
                {"finished": False, "compared": False, "drift": False, "ratio": None},
                {"modules": {}, "weights": False, "pictures": False},
                {"optimizers": ("SGD", "Adam", "RMS"), "experiment": {"optimizers": {
                    "SGD": {"lr": 0.1}, "Adam": {"lr": 0.1},
                    "RMS": {"algorithm": "SGD", "lr": 0.1}}}},
            )
        ),
    ],
)  # fmt: skip
def test_the_worst_of_records_can_be_drawn(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, changes: dict
) -> None:
    """Everything is laid out and drawn, but not turned into bytes, which is what takes time."""

    def drawn(drawing: Drawing, number: int) -> Figure:
        drawing.canvas.draw_without_rendering()
        return Figure(drawing.name, number, drawing.caption, drawing.alt, b"", b"")

    monkeypatch.setattr(figures, "rendered", drawn)
    run = read_run(make_run(**{"optimizers": ("SGD",), **changes}))
    found = figures.draw_figures(run)
    assert [figure.number for figure in found] == list(range(1, len(found) + 1))
    assert all(figure.caption and figure.alt for figure in found)
    assert bool(found) == (bool(run.record.trainings) or bool(run.pictures))


@pytest.mark.slow
def test_a_drawing_gives_the_same_bytes_again(make_run: MakeRun) -> None:
    run = read_run(make_run(optimizers=("SGD",)))

    def once() -> bytes:
        with style():
            return rendered(draw_curves(run)[0], 1).svg

    assert once() == once()
    assert b"<dc:date>" not in once()


@pytest.mark.parametrize(
    ("losses", "flat"),
    [
        ([[2.3, 1.0, 0.5]], False),
        ([[2.3, 0.1]], True),
        ([[2.3, 1.0], [60.0, 50.0]], True),
        ([[2.3, math.nan, 0.0]], False),  # what a logarithmic axis cannot show
        ([[2.3, 1.0], [0.1, 60.0, 0.0]], True),
        ([[math.inf], []], False),
    ],
)
def test_losses_that_would_look_flat(losses: list[list[float]], flat: bool) -> None:
    assert flattens(losses) is flat


@pytest.mark.parametrize(("last", "scale"), [(0.05, "logit"), (0.5, "linear"), (0.0, "linear")])
def test_accuracies_near_1_are_told_apart(make_run: MakeRun, last: float, scale: str) -> None:
    """The accuracy of a synthetic run is 1 less a third of its loss."""
    run = read_run(make_run(optimizers=("SGD",), loss=lambda step: 2.0 if step < 3 else 3 * last))
    (curve,) = draw_curves(run)
    assert curve.canvas.axes[1].get_yscale() == scale
    assert ("logits" in curve.caption) == (scale == "logit")
