"""The scripts behind the documentation's tables still start, and the one behind k still runs."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import processor_time
import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
NAMES = [
    "attack.py",
    "attack_runs.py",
    "blas_steps.py",
    "calibrate_k.py",
    "evaluation_time.py",
    "growth.py",
    "layer_floor.py",
    "make_covertype_sample.py",
    "make_mnist_sample.py",
    "mutants.py",
    "results.py",
    "run_cost.py",
    "step_growth.py",
]


@pytest.fixture
def load(monkeypatch) -> Callable[[str], ModuleType]:
    """Load a script in this process."""

    def load(name: str) -> ModuleType:
        path = SCRIPTS / name
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, path.stem, module)  # dataclasses look for it there
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def call(load, monkeypatch) -> Callable[..., None]:
    """Call a script's own ``main`` in this process, as if it were started with these words."""

    def call(name: str, *words: str) -> None:
        script = load(name)
        monkeypatch.setattr(sys, "argv", [name, *words])
        script.main()

    return call


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_help(name, call, capsys):
    with pytest.raises(SystemExit) as ending:
        call(name, "--help")
    assert ending.value.code == 0
    assert name in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_help_in_a_process_of_its_own(name):
    assert name in run(str(SCRIPTS / name), "--help")


def test_one_step_of_the_calibration(load, call, capsys):
    rows = load("calibrate_k.py").certified("mnist_softmax", "Adam", seed=0, steps=1)
    assert rows
    assert all(row.passed for row in rows)
    words = ("--architecture", "pass_fail_mlp", "--optimizer", "SGD", "--dtype", "float32")
    call("calibrate_k.py", "--seeds", "1", "--steps", "1", *words)
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split("  ")[0] for line in lines] == ["pass_fail_mlp, SGD, float32"]
    assert lines[0].split()[5] == "0"  # none fails


@pytest.mark.slow
def test_the_calibration_of_k():
    lines = run(str(SCRIPTS / "calibrate_k.py"), "--seeds", "1", "--steps", "2").splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "bn_mlp, SGD", "bn_mlp, Adam", "softmax, SGD", "softmax, Adam",
        "cnn, Momentum", "cnn, Adam",
    ]  # fmt: skip
    assert all(line.split()[4] == "0" for line in lines[1:])  # none fails
    words = ("--seeds", "1", "--steps", "1", "--architecture", "cnn", "--dtype", "float32")
    lines = run(str(SCRIPTS / "calibrate_k.py"), *words).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "cnn, SGD, float32",
        "cnn, Adam, float32",
    ]


def test_the_score_of_mutants_counts_each_file_by_its_size(load):
    score = load("mutants.py").score
    assert score([(100, 100, 100), (50, 40, 50)]) == (pytest.approx(140 / 150), 0.0)  # all tried
    share, half = score([(300, 20, 20), (100, 10, 20)])
    assert share == pytest.approx((300 * 1 + 100 * 0.5) / 400)
    by_hand = 0.75**2 * (20.5 * 0.5 / 21**2) / 20 * (1 - 20 / 300)
    by_hand += 0.25**2 * (10.5 * 10.5 / 21**2) / 20 * (1 - 20 / 100)
    assert half == pytest.approx(1.96 * by_hand**0.5)


def test_the_counts_of_an_attack(load, capsys, monkeypatch, tmp_path):
    """What is wrong is counted and shown, ends with 1, and stands in the page."""
    attack = load("attack.py")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- counts -->\nold\n<!-- end of counts -->\nafter\n")
    monkeypatch.setattr(attack, "PAGE", page)
    kinds = {"right": lambda *_: ["", ""], "half right": lambda *_: ["", "it fell over"]}
    monkeypatch.setattr(attack, "ATTACKS", kinds)
    monkeypatch.setattr(sys, "argv", ["attack.py", "--write"])
    assert attack.main() == 1
    out = capsys.readouterr().out
    assert "    it fell over\n" in out
    rows = [
        "| right | 2 | 2 | 0 |",
        "| half right | 2 | 1 | 1 |",
        "| **all** | **4** | **3** | **1** |",
    ]
    assert "\n".join(rows) in out
    text = page.read_text()
    assert "\n".join(rows) in text
    assert text.startswith("before\n")
    assert text.endswith("<!-- end of counts -->\nafter\n")
    assert "old" not in text
    monkeypatch.setattr(attack, "ATTACKS", {"right": kinds["right"]})
    assert attack.main() == 0


def test_a_section_without_a_run_is_kept_and_says_that_it_is_earlier(load, tmp_path) -> None:
    results = load("results.py")
    body = "a network.\n\n```\nnncompare run mnist_cnn\n```\n\n7 minutes.\n\n| a |\n"
    earlier = f"# Results\n\nWords.\n\n## gone\n\nx\n\n## mnist_cnn\n\n{body}"
    page = results.page(tmp_path, earlier)
    own = page.split("\n## mnist_cnn\n")[1].split("\n## ")[0]
    assert own.strip() == body.replace("7 min", f"{results.EARLIER}\n\n7 min").strip()
    assert "## gone" not in page
    assert page.count("Not run.") == len(results.experiment_names()) - 1
    # Written again, the mark stands there once.
    assert results.page(tmp_path, page) == page


def test_growth_is_fitted_with_its_standard_error(load) -> None:
    fitted = load("step_growth.py").exponent
    sizes = np.array([32, 64, 128, 256, 512])
    assert fitted(sizes, 3 * sizes**1.5) == pytest.approx((1.5, 0), abs=1e-9)
    values = 3 * sizes**1.5 * np.array([1.1, 0.8, 1.3, 1.0, 0.9])
    coefficients, covariance = np.polyfit(np.log(sizes), np.log(values), 1, cov=True)
    assert fitted(sizes, values) == pytest.approx((coefficients[0], covariance[0, 0] ** 0.5))
    assert np.isnan(fitted([1, 2], [1, 2])).all()


def test_the_floor_of_a_layer_has_its_products(load) -> None:
    """As many multiplications as the formulas have: y, dW and, but in a first layer, dx."""
    script = load("layer_floor.py")
    for layer in script.LAYERS:
        once = 3 * layer.positions * layer.inputs * layer.outputs * max(layer.kernel, 1) ** 2
        made = script.products(layer, 3)
        counts = {
            phase: [len(a) * a.shape[1] * b.shape[1] for a, b in pairs]
            for phase, pairs in made.items()
        }
        assert counts == {"forward": [once], "backward": [once] * (1 if layer.first else 2)}


@pytest.mark.slow
def test_processes_have_one_thread_and_their_own_variables(monkeypatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "before")
    process = processor_time.Process({"PYTHONPATH": "first", "OPENBLAS_CORETYPE": "Haswell"})
    try:
        found = {
            name: process.call("os:getenv", name) for name in ("PYTHONPATH", "MKL_NUM_THREADS")
        }
        assert found == {"PYTHONPATH": f"first{os.pathsep}before", "MKL_NUM_THREADS": "1"}
        assert process.call("os:getenv", "OPENBLAS_CORETYPE") == "Haswell"
        with pytest.raises(RuntimeError, match=r"os:listdir: FileNotFoundError: .*nowhere"):
            process.call("os:listdir", "nowhere")
        with pytest.raises(RuntimeError, match="os:_exit: its process ended with status 3"):
            process.call("os:_exit", 3)
    finally:
        process.close()


@pytest.mark.slow
def test_contenders_take_turns_in_rounds() -> None:
    """Twice the work takes longer; which layer it is must be seen from its own process."""
    process = processor_time.Process()
    try:
        found = processor_time.in_rounds(
            {
                rows: processor_time.Contender(
                    process, "layer_floor:numpy_layer", (("", 784, 256), rows)
                )
                for rows in (32, 256)
            },
            rounds=3,
            block_s=0.01,
        )
    finally:
        process.close()
    assert found[32].keys() == {"forward", "backward", "step"}
    assert all(len(times) == 3 for one in found.values() for times in one.values())
    assert processor_time.ratio(found[256]["step"], found[32]["step"]).median > 2
