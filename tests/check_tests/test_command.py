"""nncompare check: exit statuses, what it prints, JSON, Gradescope, reports, watching."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compare.commands.check import file_stamps

SUM = ("dz / len(y)", "dz")
KEYS = {"quantity", "name", "passed", "relative_error", "tolerance", "accepted", "diagnosis"}


@pytest.mark.parametrize(
    ("changes", "status"),
    [([], 0), ([SUM], 1), ([("import numpy as np", "import = numpy")], 2)],
    ids=["agrees", "differs", "cannot be checked"],
)
def test_json_is_that_of_the_contract(nncompare, write, tmp_path, changes, status) -> None:
    ended = nncompare("check", write(*changes), "--json", tmp_path / "out.json")
    assert (ended.status, ended.err) == (status, "")
    tree = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert list(tree) == ["schema", "passed", "checks", "first_divergence", "error", "seed"]
    assert (tree["schema"], tree["passed"]) == (1, status == 0)
    assert (tree["error"] is not None) == (status == 2)
    assert len(tree["checks"]) == (0 if status == 2 else 6)
    for check in tree["checks"]:
        assert set(check) == KEYS
        assert isinstance(check["relative_error"], float)
        assert check["passed"] == (check["relative_error"] <= check["tolerance"])
    if status == 1:
        assert tree["first_divergence"] == {"quantity": "gradient", "name": "2.weight"}
        failed = next(c for c in tree["checks"] if not c["passed"])
        assert failed["diagnosis"]["code"] == "sum-not-mean"
        assert failed["diagnosis"]["explanation"]
    else:
        assert tree["first_divergence"] is None


def test_json_has_no_infinity(nncompare, write, tmp_path) -> None:
    homework = write(("dz / len(y)", "dz * np.nan"))
    assert nncompare("check", homework, "--json", tmp_path / "out.json").status == 1

    def refuse(name: str) -> None:
        raise AssertionError(name)

    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=refuse)


def test_what_is_printed(command_line, write) -> None:
    ended = command_line("check", write(SUM))
    lines = ended.out.splitlines()
    assert lines[0] == (
        "homework.py differs from PyTorch in 4 of 6 checks, first in the gradient of 2.weight."
    )
    assert any(line.startswith("First divergence: the gradient of 2.weight, at element [")
               for line in lines)  # fmt: skip
    assert any(line.startswith("  expected  ") for line in lines)
    assert any(line.startswith("  found     ") for line in lines)
    assert "Mistake: sum-not-mean." in ended.out
    assert "…" not in ended.out
    assert sum("DIFFERS" in line for line in lines) == 4


def test_a_value_far_off_is_found_where_it_is(nncompare, write) -> None:
    code = "g = x.T @ dh\n    g[3, 4] += 1e-3\n    return"
    ended = nncompare("check", write(("    return {", f"    {code} {{"), ("x.T @ dh,", "g,")))
    assert "gradient of 0.weight, at element [4, 3]" in ended.out


def test_prints_are_shown_on_demand(command_line, write) -> None:
    homework = write(("    h = hidden", "    print('seen from inside')\n    h = hidden"))
    quiet, loud = command_line("check", homework), command_line("check", homework, "--prints")
    assert "seen from inside" not in quiet.out
    assert "homework.py printed" in quiet.out
    assert "seen from inside" in loud.out


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("1e-8", "1e-8"), 0),
        (("+ 1e-8", "+ 1e-7"), 1),
        (("v / (1 - 0.999**t)", "v"), 1),
        (("np.sqrt(v / (1 - 0.999**t)) + 1e-8", "np.sqrt(v / (1 - 0.999**t) + 1e-8)"), 1),
        (('state.get("t", 0) + 1', 'state.get("t", 0) + 2'), 1),
        (("    return new", "    pass"), 2),
        (("new[k] = params[k]", "new[k] = params[k][..., None]"), 2),
    ],
    ids=["right", "eps", "correction", "eps inside", "step count", "no return", "shape"],
)
def test_update(nncompare, write, adam, change, status) -> None:
    homework = write(adam, change)
    ended = nncompare("check", homework, "--optimizer", "Adam", "--set", "lr=0.01")
    assert ended.status == status
    if status == 1:
        assert "first in the update of" in ended.out


def test_update_in_place(nncompare, write) -> None:
    code = "def update(params, grads, state):\n    for k in grads:\n"
    code += "        params[k] -= 0.5 * grads[k]\n    return params\n\n\ndef hidden"
    arguments = (write(("def hidden", code)), "--optimizer", "SGD", "--set", "lr=0.5")
    assert nncompare("check", *arguments).status == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "lr=0.1"], "name it with --optimizer"),
        (["--optimizer", "SGD", "--set", "lr"], "--set expects name=value"),
        (["--optimizer", "SGD", "--set", "lr=fast"], "--set lr=fast"),
        (["--timeout", "0"], "--timeout expects a number above 0"),
        (["--memory", "5"], "--memory expects at least 512"),
        (["--loss", "hinge"], "--loss expects one of cross_entropy, mse"),
        (["--require", "backward"], "--require expects some of forward"),
        (["--golden", "nowhere.npz"], "there is no such golden file"),
        (["--csv", "grades.csv"], "--csv is for a folder"),
    ],
)
def test_arguments_that_do_not_fit(nncompare, write, arguments, sentence) -> None:
    ended = nncompare("check", write(), *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.err
    assert ended.err.startswith("nncompare: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--require", "forward,update"],
            "homework.py could not be checked: homework.py "
            "defines no update(params, grads, state), which is "
            "asked for.",
        ),
        (
            ["--optimizer", "SGD", "--set", "lr=0.1"],
            "homework.py could not be checked: "
            "homework.py defines no update(params, "
            "grads, state), which is asked for.",
        ),
        (
            ["--architecture", "nothing"],
            "homework.py could not be checked: There is no "
            "architecture 'nothing': expected one of bn_mlp, "
            "softmax_mlp, mlp, cnn, simple_convnet, deep_convnet, "
            "vgg16, covertype_dnn, pass_fail_mlp, or "
            "FILE.py:FUNCTION.",
        ),
    ],
)
def test_homeworks_that_do_not_fit(nncompare, write, arguments, sentence) -> None:
    ended = nncompare("check", write(), *arguments)
    assert ended.status == 2
    assert ended.out.splitlines()[0] == sentence


def test_a_mapping_file_that_does_not_exist(command_line, write) -> None:
    ended = command_line("check", write(), "--mapping", "nowhere.py")
    assert ended.status == 2
    assert ended.out.splitlines()[0] == (
        "homework.py could not be checked: nowhere.py: the mapping file does not exist; "
        "expected a Python file."
    )


def test_an_unknown_optimizer(nncompare, write) -> None:
    code = "def update(params, grads, state):\n    return params\n\n\ndef hidden"
    ended = nncompare("check", write(("def hidden", code)), "--optimizer", "Sdg")
    assert ended.status == 2
    assert ended.out == (
        "homework.py could not be checked: --optimizer Sdg: PyTorch has no such optimizer; "
        "expected SGD, Adam, AdamW or another of torch.optim.\n"
    )


def test_no_such_file(command_line, tmp_path) -> None:
    ended = command_line("check", tmp_path / "nothing.py", "--json", tmp_path / "out.json")
    assert ended.status == 2
    assert "does not exist" in json.loads((tmp_path / "out.json").read_text())["error"]


def test_gradescope_gives_partial_credit_by_site(nncompare, write, tmp_path) -> None:
    out = tmp_path / "results.json"
    nncompare("check", write(SUM), "--gradescope", out, "--points", "12")
    tree = json.loads(out.read_text(encoding="utf-8"))
    assert tree["score"] == pytest.approx(10.0)
    assert [t["name"] for t in tree["tests"]][:3] == ["logits", "loss", "gradient of 2.weight"]
    for test in tree["tests"]:
        assert set(test) == {"name", "score", "max_score", "status", "output", "visibility"}
    assert sum(t["max_score"] for t in tree["tests"]) == pytest.approx(12.0)
    assert "sum-not-mean" in tree["tests"][2]["output"]


def test_gradescope_counts_what_never_came(command_line, write, tmp_path) -> None:
    out = tmp_path / "results.json"
    homework = write(("    h = hidden", "    while True: pass\n    h = hidden"))
    command_line("check", homework, "--gradescope", out, "--timeout", "1")
    tree = json.loads(out.read_text(encoding="utf-8"))
    assert tree["score"] == pytest.approx(100 * 2 / 6)
    assert [t["status"] for t in tree["tests"]] == ["passed"] * 2 + ["failed"] * 4
    assert "time limit" in tree["tests"][-1]["output"]
    command_line("check", write(("import numpy", "import = numpy")), "--gradescope", out)
    tree = json.loads(out.read_text(encoding="utf-8"))
    assert (tree["score"], len(tree["tests"]), tree["tests"][0]["max_score"]) == (0, 1, 100)


def test_report(nncompare, write, tmp_path) -> None:
    homework = write(SUM, ("import numpy", "# ``` <b>*x*</b>\nimport numpy"))
    assert nncompare("check", homework, "--report", tmp_path / "back").status == 1
    html = (tmp_path / "back" / "homework.html").read_text(encoding="utf-8")
    assert "sum-not-mean" in html
    assert "# ``` &lt;b&gt;*x*&lt;/b&gt;" in html
    assert "homework.py differs from PyTorch in 4 of 6 checks" in html
    assert (tmp_path / "back" / "homework.pdf").read_bytes().startswith(b"%PDF")


def test_watch_checks_again_and_ends_with_130(write, golden) -> None:
    homework = write(SUM)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "compare",
            "check",
            str(homework),
            "--golden",
            str(golden),
            "--watch",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines = []

    def until(text: str) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            lines.append(process.stdout.readline())
            if text in lines[-1]:
                return
        raise AssertionError("".join(lines))

    try:
        until("differs from PyTorch")
        until("Watching")
        write()
        until("agrees with PyTorch")
        until("Watching")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err


def test_file_stamps_see_a_module_beside_the_homework(write) -> None:
    homework = write()
    before = file_stamps([homework])
    write(text="x = 1", name="layers.py")
    assert file_stamps([homework]) != before


def test_help_names_every_option(nncompare) -> None:
    out = nncompare("check", "--help").out
    for option in ("--json", "--gradescope", "--golden", "--mapping", "--watch", "--csv"):
        assert option in out


def test_mapping(command_line) -> None:
    examples = Path(__file__).parents[2] / "examples"
    ended = command_line(
        "check", examples / "two_layer_net.py", "--mapping", examples / "two_layer_net_mapping.py"
    )
    assert ended.status == 0
