"""Progress: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from compare.console import progress
from compare.console.progress import observer
from compare.records.run import FailureRecord, Initial, TrainingRecord


def ended(optimizer: str, seed: int = 0, steps: int = 3) -> TrainingRecord:
    return TrainingRecord(
        label=optimizer, seed=seed, finished=True, steps=steps, parameters=1, parity_rows=0,
        initial=Initial(values=1, differing_bits=0, copied=False), kinks=[], wall_s=1.25,
    )  # fmt: skip


def terminal() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=80, force_terminal=True, color_system=None), out


def plain(out: io.StringIO) -> list[str]:
    """The lines of the last picture, without the codes that move the cursor."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue().replace("\r", "\n"))
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def tell(watching, optimizer: str, seed: int = 0, steps: int = 3) -> None:
    watching.begin(optimizer, seed, steps)
    for backend in ("numpy", "torch"):
        for split in ("train", "test"):
            watching.epoch(backend, 0, split, 2.3, 0.1)
    for step in range(1, steps + 1):
        for backend in ("numpy", "torch") if step % 2 else ("torch", "numpy"):
            watching.step(backend, step, 1.0 + step / 1000, 0.5)
    for backend in ("numpy", "torch"):
        watching.epoch(backend, 1, "test", 1.25, 0.75)


def test_lines_where_there_is_no_terminal(tiny):
    out = io.StringIO()
    with observer(tiny(), Console(file=out, width=40)) as watching:
        tell(watching, "SGD", 4294967295)
        watching.end(ended("SGD"))
    assert out.getvalue().splitlines() == [
        "SGD, seed 4294967295: 3 steps on each backend",
        "SGD, seed 4294967295: epoch   0  NumPy    test loss 2.3000  test accuracy 0.1000",
        "SGD, seed 4294967295: epoch   0  PyTorch  test loss 2.3000  test accuracy 0.1000",
        "SGD, seed 4294967295: epoch   1  NumPy    test loss 1.2500  test accuracy 0.7500",
        "SGD, seed 4294967295: epoch   1  PyTorch  test loss 1.2500  test accuracy 0.7500",
        "SGD, seed 4294967295: done in 1.2 s",
    ]


def test_bars_for_every_side_and_optimizer(tiny, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_BETWEEN_UPDATES_S", 0.0)
    console, out = terminal()
    with observer(tiny(), console) as watching:
        tell(watching, "SGD")
        shown = plain(out)
        watching.end(ended("SGD"))
        tell(watching, "Adam")
        watching.end(ended("Adam"))
    lines = plain(out)[-4:]
    names = [("NumPy", "SGD"), ("PyTorch", "SGD"), ("NumPy", "Adam"), ("PyTorch", "Adam")]
    for line, name in zip(lines, names, strict=True):
        assert tuple(line.split()[:2]) == name
        assert "3/3 loss 1.003 acc 0.500" in line
        assert "━" in line
        assert len(line) <= 78
    # All are there from the start, with what is to come.
    assert any(line.startswith("PyTorch Adam") and "0/3" in line for line in shown)


def test_both_bars_move_when_steps_are_quick(tiny):
    """A backend that is told right after the other one is not left out."""
    console, _ = terminal()
    with observer(tiny(), console) as watching:
        watching.begin("SGD", 0, 100)
        for step in range(1, 11):
            for backend in ("numpy", "torch"):
                watching.step(backend, step, 1.0, 0.5)
        tasks = {task.description.split()[0]: task for task in watching._progress.tasks[:2]}
        assert tasks["NumPy"].completed > 0
        assert tasks["PyTorch"].completed > 0


def test_quick_steps_are_not_all_shown(tiny, monkeypatch):
    console, _ = terminal()
    with observer(tiny(), console) as watching:
        watching.begin("SGD", 0, 1000)
        updates = []
        monkeypatch.setattr(watching, "_update", lambda *a, **k: updates.append(a))
        for step in range(1000):
            watching.step("numpy", step, 1.0, 0.5)
        assert len(updates) < 500


def test_several_seeds_and_the_width(tiny, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_BETWEEN_UPDATES_S", 0.0)
    console, out = terminal()
    with observer(tiny("seeds=[0,4294967295]"), console) as watching:
        tell(watching, "Adam", 4294967295, steps=100_000 // 50_000)
    lines = plain(out)
    assert any(line.startswith("PyTorch Adam seed 4294967295") for line in lines)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_no_bars_before_there_is_a_training(tiny):
    """Bad input, found while data is read, leaves its sentence alone on the screen."""
    console, out = terminal()
    with pytest.raises(KeyError), observer(tiny(), console):
        raise KeyError
    assert plain(out) == []


def test_bars_of_trainings_of_an_earlier_run_are_left_out(tiny):
    console, out = terminal()
    with observer(tiny("seeds=[0,1]"), console) as watching:
        for optimizer, seed in (("Adam", 0), ("SGD", 1), ("Adam", 1)):
            tell(watching, optimizer, seed)
            watching.end(ended(optimizer, seed))
    assert [line.split()[1:4:2] for line in plain(out)[-6:]] == [
        ["Adam", "0"], ["Adam", "0"], ["SGD", "1"], ["SGD", "1"], ["Adam", "1"], ["Adam", "1"],
    ]  # fmt: skip
    assert not any(line.split()[1:4:2] == ["SGD", "0"] for line in plain(out))


def test_a_run_that_is_broken_off_leaves_its_bars_in_place(tiny, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_BETWEEN_UPDATES_S", 0.0)
    console, out = terminal()

    def broken_off():
        with observer(tiny(), console) as watching:
            watching.begin("SGD", 0, 3)
            watching.step("numpy", 2, 1.5, 0.25)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    lines = plain(out)[-4:]
    assert [line.split()[1] for line in lines] == ["SGD", "SGD", "Adam", "Adam"]
    assert "2/3 loss 1.500 acc 0.250" in lines[0]


def test_loss_that_is_no_number(tiny, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_BETWEEN_UPDATES_S", 0.0)
    console, out = terminal()
    with observer(tiny(), console) as watching:
        watching.begin("SGD", 0, 3)
        watching.step("numpy", 1, float("nan"), 0.1)
    assert "loss nan acc 0.100" in plain(out)[-4]


NO = FailureRecord(label="Adam", seed=3, error="ValueError: [no] thanks (net.py, line 3)")


def test_a_training_that_failed_among_lines(tiny):
    out = io.StringIO()
    with observer(tiny(), Console(file=out, width=40)) as watching:
        watching.expect(0, 2)
        watching.failed(NO)
    assert out.getvalue() == "Adam, seed 3: failed: ValueError: [no] thanks (net.py, line 3)\n"


def test_a_line_for_each_training_made_elsewhere(tiny):
    out = io.StringIO()
    with observer(tiny(), Console(file=out, width=40), elsewhere=True) as watching:
        watching.expect(7, 10)
        watching.begin("SGD", 0, 3)
        watching.epoch("numpy", 2, "test", 0.25, 0.5)
        watching.epoch("torch", 2, "test", float("nan"), 0.5)
        watching.end(ended("SGD"))
        watching.failed(NO)
        watching.begin("Adam", 0, 3)
        watching.end(ended("Adam"))
    assert out.getvalue().splitlines() == [
        "8/10 SGD, seed 0: done in 1.2 s, NumPy test loss 0.2500, PyTorch test loss nan",
        "9/10 Adam, seed 3: failed: ValueError: [no] thanks (net.py, line 3)",
        "10/10 Adam, seed 0: done in 1.2 s",
    ]


def test_one_bar_for_many_trainings_and_two_for_the_current_one(tiny, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_BETWEEN_UPDATES_S", 0.0)
    console, out = terminal()
    with observer(tiny("seeds=[0,1,2,3]"), console) as watching:
        watching.expect(1, 8)
        tell(watching, "SGD of a long name and no end", 0)
        watching.end(ended("SGD"))
        tell(watching, "Adam", 3, steps=5)
        watching.failed(NO)
        tell(watching, "Adam", 2)
    lines = plain(out)
    whole, numpy, torch = lines[-3:]
    assert re.match(r"trainings +[━╸ ]+3/8 loss 1\.250 1\.250 1 failed", whole)
    assert re.match(r"NumPy   Adam seed 2 +━+[╸ ]*3/3 loss 1\.003 acc 0\.500", numpy)
    assert torch.startswith("PyTorch Adam seed 2 ")
    assert "Adam, seed 3: failed: ValueError: [no] thanks (net.py, line 3)" in lines
    assert any("NumPy   SGD of a lon… seed 0 " in line for line in lines)
    assert max(map(len, lines)) <= 78


def test_one_bar_for_trainings_made_elsewhere(tiny):
    console, out = terminal()
    with observer(tiny(), console, elsewhere=True) as watching:
        watching.expect(0, 2)
        before = plain(out)
        watching.begin("SGD", 0, 3)
        for backend in ("numpy", "torch"):
            watching.epoch(backend, 2, "test", 1.25, 0.5)
        watching.end(ended("SGD"))
        watching.failed(NO)
    assert before[-1].startswith("trainings ")  # also while nothing is finished yet
    assert re.match(r"trainings +━+[╸ ]*2/2 loss 1\.250 1\.250 1 failed", plain(out)[-1])


def test_bars_of_what_is_varied(tiny, monkeypatch):
    """A training is named after its optimizer and its cases."""
    monkeypatch.setattr(progress, "LEAST_BETWEEN_UPDATES_S", 0.0)
    console, out = terminal()
    form = tiny('vary={rate={key="training.batch_size",values=[10,20]}}', "reported=[]")
    with observer(form, console) as watching:
        for label in ("SGD rate 10", "SGD rate 20", "Adam rate 10", "Adam rate 20"):
            tell(watching, label)
            watching.end(ended(label))
    assert plain(out)[-1].startswith("PyTorch Adam rate 20 ")
