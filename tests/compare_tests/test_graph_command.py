"""``nncompare parity --graph``: silent on honest steps, right about planted mistakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numpy_nn
from compare.commands.parity import graph_command, parity_rows
from compare.parity.graph import GraphRow, compare_graph, graph_summary
from compare.parity.tolerances import UNIT_ROUNDOFF
from compare.spec.model import ModelSpec
from experiments.architectures import bn_mlp, softmax_mlp
from experiments.errors import InputError
from numpy_nn.graph import nodes

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = (12, 10, 8, 5)
UNIT = UNIT_ROUNDOFF["float32"]


def plan(architecture: Any = bn_mlp) -> ModelSpec:
    return ModelSpec(architecture, {"sizes": SIZES}, algorithm="SGD", settings={"lr": 1e-2})


def failing(rows: list[GraphRow]) -> list[str]:
    return [row.site for row in rows if not row.passed]


@pytest.mark.parametrize("architecture", [bn_mlp, softmax_mlp])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(3))
def test_honest_steps_pass(architecture: Any, dtype: str, seed: int) -> None:
    rows = compare_graph(plan(architecture), dtype, seed, 3, 16)
    assert failing(rows) == []
    assert {row.step for row in rows} == {0, 1, 2}
    assert graph_summary(rows, dtype).endswith("rounding alone.")
    # Three computations, not one under three names.
    assert any(row.nodes != row.closed for row in rows)
    if dtype == "float32":
        assert any(row.nodes != row.torch for row in rows)
        assert any(row.closed != row.torch for row in rows)


@pytest.mark.parametrize("architecture", [bn_mlp, softmax_mlp])
def test_is_what_the_plain_command_says_of_the_closed_formulas(architecture: Any) -> None:
    """The same step, the same sites in the same order, the same errors."""
    model_spec = plan(architecture)
    rows = compare_graph(model_spec, "float32", 1, 2, 16)
    _, plain = parity_rows(model_spec, "SGD", "float32", 1, 2, 16)
    stages = [
        row
        for row in plain
        if row.dtype == "float32"
        and row.site.startswith(("forward/", "buffer/", "gradient/", "backward/"))
    ]
    assert [(r.step, r.site, r.closed, r.torch, r.tolerance) for r in rows] == [
        (r.step, r.site, r.numpy_error, r.torch_error, r.tolerance) for r in stages
    ]


def test_a_mistake_in_a_node_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Div is in the batch normalisations and in the mean of the loss; the loss comes first."""
    monkeypatch.setattr(nodes.Div, "backward", lambda self, dz: (dz / self.b, 0 * dz))
    rows = compare_graph(plan(), "float32", 0, 1, 16)
    assert failing(rows)[0] == "backward/4/grad_input"
    assert all(site.startswith("backward/") for site in failing(rows))
    found = next(row for row in rows if not row.passed)
    assert found.closed <= found.tolerance < found.nodes
    assert found.apart == pytest.approx(found.nodes, rel=1e-3)
    text = graph_summary(rows, "float32")
    assert text.startswith("2 of ")
    assert "the first at backward/4/grad_input: nodes:" in text
    assert text.endswith("That is more than rounding.")


def test_a_mistake_in_a_closed_formula_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = numpy_nn.LeakyReLU.backward
    monkeypatch.setattr(numpy_nn.LeakyReLU, "backward", lambda self, dy: 1.001 * honest(self, dy))
    rows = compare_graph(plan(), "float32", 0, 1, 16)
    assert failing(rows) == ["backward/5/grad_input", "backward/2/grad_input"]
    found = next(row for row in rows if not row.passed)
    assert found.nodes <= found.tolerance < found.closed
    assert "backward/5/grad_input: the closed formula:" in graph_summary(rows, "float32")


def test_nan_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes.MatMul, "backward", lambda self, dz: (self.a * np.nan, self.b * 0))
    rows = compare_graph(plan(softmax_mlp), "float32", 0, 1, 16)
    assert "backward/4/grad_input" in failing(rows)


def row(site: str, nodes_: float, closed: float, apart: float = 0.0) -> GraphRow:
    return GraphRow(0, site, nodes_ * UNIT, closed * UNIT, 2 * UNIT, apart * UNIT, 32 * UNIT)


def test_the_summary_says_what_the_numbers_say() -> None:
    rows = [
        row("forward/1/output", 30.0, 1.0, 31.0),
        row("gradient/1.weight", 3.0, 2.0, 4.0),
        row("backward/1/grad_input", 4.0, 1.0, 3.5),
        row("gradient/0.bias", 0.0, 0.0),
    ]
    assert graph_summary(rows, "float32") == (
        "Over 3 gradients the error of nodes is 1.50 times that of the closed formula in the "
        "median and 4.00 times at most, at backward/1/grad_input; the two are at most 4 units of "
        "roundoff apart, at gradient/1.weight: rounding alone."
    )
    rows.append(row("gradient/0.weight", 33.0, 40.0))
    assert graph_summary(rows, "float32") == (
        "1 of 5 values is beyond the bound, the first at gradient/0.weight: the closed formula: "
        "40 units of roundoff from the referee, allowed are 32. That is more than rounding."
    )
    rows.append(row("gradient/1.bias", 50.0, 1.0))
    assert graph_summary(rows, "float32").startswith(
        "2 of 6 values are beyond the bound, the first at gradient/0.weight: the closed formula: 40"
    )


def test_errors_below_a_roundoff_count_as_one() -> None:
    rows = [row("gradient/0.bias", 1.0, 1e-9), row("gradient/1.bias", 0.0, 0.5)]
    assert (
        "1.00 times that of the closed formula in the median and 1.00 times at most"
        in graph_summary(rows, "float32")
    )


# ---------------------------------------------------------------------- the command


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "dumb"}
    return subprocess.run(
        [sys.executable, "-m", "compare", "parity", "--graph", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_is_cut_at_80_columns(
    dtype: str, steps: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert graph_command("bn_mlp", dtype, "SGD", 0, steps, 8, as_json=False) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for word in ("nodes", "closed", "PyTorch", "apart", "bound", "backward/10/grad_input"):
        assert word in text
    assert "FAIL" not in text
    assert text.rstrip().endswith("rounding alone.")


@pytest.mark.slow
def test_the_option_of_the_command_line() -> None:
    done = call("--architecture", "softmax_mlp", "--batch-size", "4", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["batch_size"] == 4


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert graph_command("softmax_mlp", "float32", "Adam", 2, 1, 4, as_json=True) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["schema"] == 1
    assert tree["passed"] is True
    assert (tree["architecture"], tree["dtype"], tree["seed"]) == ("softmax_mlp", "float32", 2)
    assert tree["summary"].endswith("rounding alone.")
    assert set(tree["rows"][0]) == {*GraphRow._fields, "passed"}


def test_the_exit_status_is_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nodes.Where, "backward", lambda self, dz: (dz, dz))
    assert graph_command("softmax_mlp", "float32", "SGD", 0, 1, 4, as_json=False) == 1
    text = capsys.readouterr().out
    assert "FAIL" in text
    assert "That is more than rounding." in " ".join(text.split())
    assert graph_command("softmax_mlp", "float32", "SGD", 0, 1, 4, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "nothing"}, "no architecture 'nothing'"),
        ({"dtype": "float16"}, "--dtype expects"),
        ({"optimizer": "Nothing"}, "--optimizer expects"),
        ({"steps": 0}, "--steps expects"),
        ({"batch_size": 1}, "--batch-size expects"),
        ({"seed": -1}, "--seed expects"),
    ],
)
def test_bad_input_is_one_sentence(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "architecture": "bn_mlp",
        "dtype": "float32",
        "optimizer": "SGD",
        "seed": 0,
        "steps": 1,
        "batch_size": 8,
    }
    with pytest.raises(InputError, match=message):
        graph_command(**(arguments | change), as_json=False)


def test_a_network_of_other_layers_says_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("def net(nn):\n    return nn.Sequential(nn.Linear(4, 3), nn.Softplus())\n")
    done = call("--architecture", f"{file}:net")
    assert done.returncode == 2
    assert "Softplus" in done.stderr
