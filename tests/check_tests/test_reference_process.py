"""PyTorch in a process of its own: the same answers, limits of time and memory, questions anew."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from compare.check import reference_process
from compare.check.architecture import RecordedArchitecture, record_architecture
from compare.check.child_process import ChildEndedError, ChildProcess
from compare.check.contract import Assignment
from compare.check.reading import Options
from compare.check.reference_process import (
    KEPT,
    KeptAnswers,
    OwnProcess,
    Question,
    ReferenceProcess,
    answer,
)
from compare.mistakes.case import Case
from experiments.errors import InputError


def assignment(architecture, **more) -> Assignment:
    tree = record_architecture(architecture)
    return Assignment("net", RecordedArchitecture(tree, "net"), **more)


def small(nn):
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def huge(nn):
    return nn.Sequential(nn.Linear(9000, 9000), nn.ReLU(), nn.Linear(9000, 5))


@pytest.fixture(scope="module")
def process():
    """A process with PyTorch, for the tests of this file."""
    started = ReferenceProcess()
    yield started
    started.close()


def require_equal(one, other) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for part in ("parameters", "expected", "sizes", "expected32", "given"):
            left, right = getattr(a, part), getattr(b, part)
            assert list(left) == list(right)
            for key in left:
                np.testing.assert_array_equal(left[key], right[key], strict=True)
        np.testing.assert_array_equal(a.inputs, b.inputs)


def test_the_same_answers_as_here(process):
    one = assignment(small, optimizer="SGD", settings={"lr": 0.1})
    question = Question(one, layers=True, seed=3, timeout_s=60.0, memory_mb=2048)
    found = process.ask(question)
    require_equal(found, answer(question))
    steps = replace(question, case=found[0])
    require_equal(process.ask(steps), answer(steps))


def test_a_network_that_pytorch_cannot_run_is_one_sentence(process):
    wrong = assignment(lambda nn: nn.Sequential(nn.Linear(4, 3), nn.Linear(5, 2)))
    with pytest.raises(InputError, match=r"^PyTorch cannot run net on a batch .*\.$"):
        process.ask(Question(wrong))
    assert process.ask(Question(assignment(small)))  # the next is answered


@pytest.mark.slow
def test_a_network_too_large_for_the_memory(process):
    with pytest.raises(InputError, match="more memory for net than the limit of 600 MB allows"):
        process.ask(Question(assignment(huge), timeout_s=120.0, memory_mb=600))
    assert process.ask(Question(assignment(small), memory_mb=600))


@pytest.mark.slow
def test_a_network_too_large_for_the_time(process):
    process.ask(Question(assignment(small)))
    began = time.monotonic()
    with pytest.raises(InputError, match="net when the time limit of 1 s was over"):
        process.ask(Question(assignment(huge), timeout_s=1.0))
    assert time.monotonic() - began < 5
    assert process.ask(Question(assignment(small)))


def test_a_process_that_is_killed_is_one_sentence_and_another_is_started(process):
    process.ask(Question(assignment(small)))
    os.kill(process._child._process.pid, signal.SIGKILL)
    with pytest.raises(InputError, match=r"PyTorch could not run net: .* SIGKILL\.$"):
        process.ask(Question(assignment(small)))
    assert process.ask(Question(assignment(small)))


@pytest.fixture
def ending(tmp_path, monkeypatch):
    """What is said of a process of our own that runs some lines and ends."""

    def run(text: str) -> str:
        (tmp_path / "one_that_ends.py").write_text(text, encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        child = ChildProcess("one_that_ends")
        try:
            with pytest.raises(ChildEndedError) as error:
                child.receive(60.0)
        finally:
            child.close()
        return str(error.value)

    return run


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit(3)", "it ended with status 3"),
        ("print()", "it ended with status 0"),
        ("import sys\nsys.exit('first\\nno room\\x1b[2J\\n \\n')",
         "it ended with status 1: no room[2J"),
        ("raise SystemExit('x' * 300)", f"it ended with status 1: {'x' * 200}"),
        ("import os\nos.kill(os.getpid(), 15)", "it ended with SIGTERM"),
        ("import os\nos.kill(os.getpid(), 40)", "it ended with signal 40"),
    ],
)  # fmt: skip
def test_how_a_process_ended(ending, text, said):
    assert ending(text) == said


class Counting:
    """Answers with nothing, and counts how often it is asked."""

    def __init__(self) -> None:
        self.count = 0

    def ask(self, question: Question) -> list:
        self.count += 1
        return []


def test_the_answers_for_a_few_networks_are_kept():
    """The memory of a class does not grow with the number of its networks."""
    source = Counting()
    kept = KeptAnswers(source)
    questions = [
        Question(assignment(lambda nn, n=n: nn.Sequential(nn.Linear(n, 2)))) for n in range(2, 30)
    ]
    for question in questions:
        kept.ask(question)
        kept.ask(question)
    assert source.count == len(questions)
    assert len(kept._kept) == KEPT
    kept.ask(replace(questions[-1], seed=1))
    kept.ask(replace(questions[-1], layers=True))
    assert source.count == len(questions) + 2


def test_large_answers_push_out_the_others(monkeypatch):
    """Beyond a number of bytes those of the last network alone are kept."""

    class Large(Counting):
        def ask(self, question: Question) -> list:
            super().ask(question)
            zeros = {"x": np.zeros(100)}
            return [Case({}, np.zeros(1), np.zeros(1), zeros, zeros, expected32=zeros, given=zeros)]

    questions = [
        Question(assignment(lambda nn, n=n: nn.Sequential(nn.Linear(n, 2)))) for n in (2, 3)
    ]
    for bytes_, asked in ((2 * 3200, 2), (2 * 3200 - 1, 4)):
        monkeypatch.setattr(reference_process, "MOST_BYTES", bytes_)
        source = Large()
        kept = KeptAnswers(source)
        for question in (*questions, *questions):
            kept.ask(question)
        assert source.count == asked


def test_functions_of_one_address_are_not_taken_for_each_other():
    """A function that is gone leaves its address to the next, whose network may be another."""

    def answered(activation: str) -> bytes:
        build = lambda nn: nn.Sequential(nn.Linear(4, 3), getattr(nn, activation)())  # noqa: E731
        (case, *_) = kept.ask(Question(Assignment("net", build)))
        return case.expected["logits"].tobytes()

    kept = KeptAnswers(OwnProcess())
    names = ["ReLU", "Tanh", "Sigmoid", "ELU"]
    assert len({answered(name) for name in names}) == len(names)


def test_another_seed_asks_other_questions():
    one = assignment(small)
    first, again, other = (answer(Question(one, seed=seed)) for seed in (1, 1, 2))
    require_equal(first, again)
    assert first[0].inputs.shape == other[0].inputs.shape
    assert not np.array_equal(first[0].inputs, other[0].inputs)
    assert not np.array_equal(first[0].parameters["0.weight"], other[0].parameters["0.weight"])


TABLE = """
import numpy as np

TABLE = {table}


def architecture(nn):
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def forward(params, x):
    return np.array(TABLE.get(x.tobytes().hex(), np.zeros((len(x), 2))))
"""


def test_a_table_of_answers_fails(check):
    """It knows the answers to the questions that are always the same, and to no others."""
    cases = answer(Question(assignment(small)))
    table = {case.inputs.tobytes().hex(): case.expected["logits"].tolist() for case in cases}
    table |= {c.inputs.tobytes().hex(): c.evaluation.tolist() for c in cases if c.evaluation}
    large = {case.inputs.tobytes().hex() for case in cases if case.large_logits}
    text = TABLE.format(table={k: v for k, v in table.items() if k not in large})
    known = check(text=text)
    assert any(found.passed for found in known.result.checks) or known.status == 1
    assert check(text=text, seed=11).status == 1


@pytest.mark.parametrize("seed", [0, 1, 999_999])
def test_right_and_wrong_whatever_is_asked(check, adam, seed):
    right = check(adam, optimizer="Adam", settings={"lr": 0.01}, seed=seed)
    assert right.status == 0, right.result
    wrong = check(("dz / len(y)", "dz"), seed=seed)
    assert wrong.result.first_divergence.diagnosis.code == "sum-not-mean"


def test_the_command_says_how_to_ask_again(command_line, write, tmp_path, monkeypatch):
    homework, seeds = write(), iter((41, 42))
    monkeypatch.setattr("compare.commands.check.new_seed", lambda: next(seeds))
    ended = command_line("check", homework, "--json", tmp_path / "o.json")
    assert "drawn with the seed 41: --seed 41 asks them again." in ended.out
    assert json.loads((tmp_path / "o.json").read_text())["seed"] == 41
    assert "seed 42:" in command_line("check", homework).out
    assert "seed 41:" in command_line("check", homework, "--seed", "41").out


def test_a_seed_that_is_none(command_line, write, golden):
    ended = command_line("check", write(), "--seed", "-1")
    assert (ended.status, ended.out) == (2, "")
    assert "--seed expects a number from 0 to 4294967295, but got -1." in ended.err
    ended = command_line("check", write(), "--seed", "1", "--golden", golden)
    assert ended.status == 2
    assert "the questions are those of" in ended.err


def test_the_checking_process_builds_nothing(check_in_sandbox, monkeypatch):
    """The network is asked of the other process alone."""

    def build(*_: object) -> None:
        raise AssertionError("built in the checking process")

    monkeypatch.setattr("compare.check.reference.Reference.__init__", build)
    assert check_in_sandbox().status == 0


def test_options_travel():
    import pickle

    options = Options("softmax_mlp", seed=3)
    assert pickle.loads(pickle.dumps(options)) == options
