"""What the report says of every shape of run; pictures and documents are left out here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from reports.contents import contents
from reports.figures.canvas import Drawing, Figure

from compare.records.run import read_run
from reports import figures
from reports.markdown import markdown

MakeRun = Callable[..., Path]


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are composed but not turned into bytes, which is what takes time."""

    def rendered(drawing: Drawing, number: int) -> Figure:
        return Figure(drawing.name, number, drawing.caption, drawing.alt, b"", b"")

    monkeypatch.setattr(figures, "rendered", rendered)


def text_of(path: Path) -> str:
    run = read_run(path)
    return markdown(contents(run, figures.draw_figures(run)), "reader")


def test_the_sections_of_a_homework(make_run: MakeRun) -> None:
    text = text_of(make_run())
    heads = re.findall(r"^## (\d) (.*)$", text, re.M)
    assert heads == [
        ("1", "Task"),
        ("2", "Environment"),
        ("3", "Method"),
        ("4", "Data"),
        ("5", "The code"),
        ("6", "Training set-up"),
        ("7", "Results"),
        ("8", "Conclusions"),
    ]
    assert text.startswith("# A tiny network\n")
    assert "3 February 2024" in text
    assert "Tell two \\*kinds\\* of rows apart." in text
    assert "nncompare run tiny\n" in text


def test_figures_and_tables_are_numbered_without_gaps(make_run: MakeRun) -> None:
    text = text_of(make_run())
    for kind in ("Figure", "Table"):
        numbers = [int(n) for n in re.findall(rf"^\*\*{kind} (\d+)\.\*\*", text, re.M)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 8


def test_only_what_is_used_is_described(make_run: MakeRun) -> None:
    plain = "def net(nn):\n    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))\n"
    sources = {
        "mine.py, net": plain,
        "numpy_nn/modules/batchnorm.py": "B = 1",
        "numpy_nn/optim/adam.py": "A = 1",
    }
    text = text_of(make_run(optimizers=("SGD",), sources=sources))
    assert "### Rectifier" in text
    assert "### Leaky rectifier" not in text
    assert "### Batch normalisation" not in text
    assert "### Adam" not in text
    assert "batchnorm.py" not in text
    both = text_of(make_run("both"))
    assert "### Leaky rectifier" in both
    assert "### Rectifier" not in both
    assert "### Batch normalisation" in both
    assert "### Adam" in both
    assert "class BatchNorm1d:" in both
    assert "at their defaults, $10^{-5}$ and $0.1$" in both


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"finished": False}, "**This run is incomplete**"),
        (
            {"record": {"sample": True}, "experiment": {"data": {"name": "all of it"}}},
            "made-up rows instead of the full data set",
        ),
        ({"record": {"max_steps": 6}}, "stopped each training after 6 steps"),
        ({"failing": {(1, "gradient/1.weight")}}, "1 of 83 comparisons fails"),
        ({"failing": {(1, "gradient/1.weight")}}, "`gradient/1.weight`"),
        ({"failing": {(1, "gradient/1.weight")}}, "**not** the same network"),
        ({"compared": False}, "Nothing was compared"),
        ({"initial": (23, 5, True)}, "so PyTorch was given NumPy's values"),
        ({"initial": (23, 5, False)}, "the two trainings start apart"),
        ({"flips": 2}, "4 lie on another side"),
        ({"ratio": None}, "No step was timed"),
        ({"ratio": 0.5}, "NumPy is slower than PyTorch"),
        ({"ratio": 1.0}, "No difference in speed can be told"),
        ({"drift": False}, "No replica was run"),
        ({"loss": lambda step: math.nan}, "is not a finite number at the end"),
        ({"loss": lambda step: 1.0 + step}, "did not fall"),
        ({"wrong": (0, 0), "optimizers": ("SGD",)}, "classifies all 40 test rows rightly"),
        ({"pictures": False}, "most often it takes even for odd"),
        ({"weights": False}, "`Linear`"),
        ({"seeds": (3, 4)}, "Over 2 seeds"),
        ({"steps": 1}, "on 0 of 1 batch;"),
        ({"experiment": {"reported": []}}, "names no published figure"),
        ({"sources": {}}, "## 5 The code"),
        ({"optimizers": ("SGD",)}, "so the figures are comparable"),
        ({"record": {"trainings": []}}, "No training was begun"),
    ],
)
def test_every_shape_of_run_has_its_report(make_run: MakeRun, changes: dict, expected: str) -> None:
    assert expected in text_of(make_run(**changes))


def test_validation_rows_have_their_columns_and_their_curve(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    record = run / "run.json"
    text = record.read_text(encoding="utf-8")
    record.write_text(text.replace('"validation_rows": 0', '"validation_rows": 7'), "utf-8")
    history = run / "history.csv"
    lines = history.read_text(encoding="utf-8").splitlines()
    lines += [line.replace(",test,", ",validation,") for line in lines if ",test," in line]
    history.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = text_of(run)
    assert "validation accuracy" in report
    assert "7 validation rows" in report


def test_seeds_share_a_line_and_failures_have_their_own(make_run: MakeRun) -> None:
    text = text_of(make_run("right", optimizers=("SGD",), seeds=(1, 2, 3)))
    assert "**Step 0, each of the 3 trainings:** 23 values compared, 0 bits differ" in text
    assert "*2 more trainings.* All 166 comparisons pass." in text
    assert "*SGD, seed 1.*" in text
    assert "*SGD, seed 2.*" not in text
    failing = {(1, "gradient/1.weight")}
    text = text_of(make_run("wrong", optimizers=("SGD",), seeds=(1, 2), failing=failing))
    assert "*SGD, seed 2.* **1 of 83 comparisons fails.**" in text
    assert "more training" not in text
