"""Processes that start before they are asked for, and what a check does not load."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from compare.check import child_process, early_start
from compare.check.reference import _uncompiled
from compare.check.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
HOMEWORK = ROOT / "examples" / "mistake.py"


def loaded(program: str, *names: str) -> list[str]:
    """Which of the modules a program has loaded at its end, in a Python of its own."""
    program = textwrap.dedent(program)
    program += f"\nimport sys\nprint([name for name in {names!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return eval(done.stdout.splitlines()[-1])


def test_the_list_needs_no_numpy():
    program = "from compare.console.listing import show_list\nshow_list()"
    assert loaded(program, "numpy", "pydantic", "torch", "rich") == ["rich"]


def test_a_check_starts_with_little():
    """Neither PyTorch nor what reads experiments; and the processes are begun with less still."""
    program = """
        import compare.commands.check, compare.console.check, compare.check.golden
    """
    assert loaded(program, "torch", "pydantic", "compare.parity.comparison", "numpy") == ["numpy"]
    assert loaded("import compare.check.early_start", "numpy", "torch", "typer") == []


@pytest.mark.parametrize("named", [None, "2"])
def test_numpy_starts_no_threads_for_a_check(named, tmp_path):
    """Unless they are asked for; what is started after it gets the environment as it was."""
    program = f"""
        import os
        from pathlib import Path
        from threadpoolctl import threadpool_info

        os.environ.pop("OPENBLAS_NUM_THREADS", None)
        if {named!r}:
            os.environ["OPENBLAS_NUM_THREADS"] = {named!r}
        from compare.check.early_start import early_start

        with early_start(Path({str(HOMEWORK)!r}), torch=False, isolation="off"):
            counts = {{one["num_threads"] for one in threadpool_info()}}
        assert counts <= {{int({named!r} or 1)}}, counts  # none where it is no OpenBLAS
        assert os.environ.get("OPENBLAS_NUM_THREADS") == {named!r}
    """
    assert loaded(program, "numpy") == ["numpy"]


@pytest.mark.slow  # it loads PyTorch
def test_the_reference_loads_no_compiler():
    program = """
        from compare.check.architecture import load_architecture
        from compare.check.cases import make_cases
        from compare.check.contract import Assignment

        build = load_architecture("softmax_mlp")
        cases = make_cases(Assignment("net", build, "cross_entropy", "Adam", {"lr": 0.1}))
        assert any(key.startswith("update") for case in cases for key in case.expected)
    """
    assert loaded(program, "torch._dynamo", "sympy", "torch") == ["torch"]


@pytest.mark.slow  # torch.optim's own classes load the compiler
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("Adam", {"lr": 0.1, "amsgrad": True}),
        ("AdamW", {"weight_decay": 0.1}),
        ("RMSprop", {"centered": True}),
        ("NAdam", {}),
        ("Rprop", {}),
    ],
)
def test_an_optimizer_without_the_compiler_is_torchs(name, settings):
    found = []
    for kind in (_uncompiled(getattr(torch.optim, name)), getattr(torch.optim, name)):
        start = np.random.default_rng(0).normal(size=(5, 3))
        parameter = torch.nn.Parameter(torch.tensor(start))
        optimizer = kind([parameter], **settings)
        for _ in range(4):
            optimizer.zero_grad()
            (parameter**3).sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        found.append((parameter.detach().numpy().tobytes(), repr(optimizer.state_dict())))
    assert found[0] == found[1]
    assert found[0][0] != start.tobytes()


@pytest.fixture
def begun(monkeypatch):
    """What is begun, without PyTorch's process."""
    started: list[str] = []
    monkeypatch.setattr(early_start, "begin", started.append)
    return started


def test_a_process_is_taken_by_the_same_check_alone(begun):
    with early_start.early_start(HOMEWORK, torch=True):
        (started,) = early_start._sandboxes
        assert begun == [early_start.REFERENCE]
        other = Sandbox(HOMEWORK, timeout_s=7.0)
        assert early_start.taken_sandbox(other) is other
        assert early_start.taken_sandbox(Sandbox(HOMEWORK)) is started
        again = Sandbox(HOMEWORK)
        assert early_start.taken_sandbox(again) is again
        with started as sandbox:
            assert sandbox.request("load", description="it").problem is None
    assert started._process.returncode is not None


def test_what_nobody_takes_is_ended(begun, tmp_path):
    with early_start.early_start(HOMEWORK, torch=False, isolation=""):
        (started,) = early_start._sandboxes
    assert started._process.returncode is not None
    assert early_start._sandboxes == begun == []
    with early_start.early_start(tmp_path, torch=True):
        assert early_start._sandboxes == begun == []
    with early_start.early_start(HOMEWORK, torch=False, isolation="none of these"):
        assert early_start._sandboxes == []  # the check says so


def test_a_child_that_was_begun_is_the_next_one(monkeypatch):
    made: list[str] = []

    class Child:
        def __init__(self, module: str) -> None:
            made.append(module)

        def close(self) -> None:
            made.append("closed")

    monkeypatch.setattr(child_process, "ChildProcess", Child)
    child_process.begin("one")
    child_process.begin("one")
    assert made == ["one"]
    child_process.begun_or_new("one")
    assert made == ["one"]
    child_process.begun_or_new("one")
    assert made == ["one", "one"]
    child_process.begin("two")
    child_process.end_begun()
    assert made == ["one", "one", "two", "closed"]


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (["check", "{file}"], True),
        (["check", "--seed", "1", "{file}", "--prints"], True),
        (["check", "{file}", "--golden", "g.npz"], False),
        (["check", "{file}", "--golden=g.npz"], False),
        (["check", "{file}", "--help"], False),
        (["check", "none.py"], False),
        (["check", "{folder}"], False),
        (["trace", "{file}"], False),
        ([], False),
    ],
)
def test_pytorchs_process_begins_before_the_options_are_read(begun, words, begins):
    places = {"file": HOMEWORK, "folder": HOMEWORK.parent}
    early_start.begin_by_arguments([word.format(**places) for word in words])
    assert begun == [early_start.REFERENCE] * begins


@pytest.mark.slow  # it loads PyTorch twice
def test_a_network_is_the_same_without_the_postponed_parts():
    program = """
        import hashlib, pickle, sys
        from compare.check import reference_process
        if {postponed}:
            for part in reference_process.UNUSED:
                reference_process.postpone(part)
        import torch
        from compare.check.architecture import load_architecture
        from compare.check.contract import Assignment

        arrays = []
        for name in ("bn_mlp", "cnn"):
            settings = Assignment(name, load_architecture(name), "cross_entropy", "Adam", {{}})
            question = reference_process.Question(settings, seed=3)
            for case in reference_process.answer(question):
                arrays += [case.expected[key].tobytes() for key in sorted(case.expected)]
        print(hashlib.sha256(b"".join(arrays)).hexdigest(), len(arrays))
        print("torch._meta_registrations" in sys.modules
              and "torch._decomp.decompositions" in sys.modules)
    """
    found = []
    for postponed in (True, False):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program).format(postponed=postponed)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        digest, loaded_parts = done.stdout.splitlines()
        found.append(digest)
        assert loaded_parts == str(not postponed)
    assert found[0] == found[1]
