"""A training that goes on from any of its checkpoints ends as if it had never been broken off."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from compare.records.tables import TrainingLog
from compare.spec.experiment import ParitySettings
from compare.spec.model import model_spec
from compare.training import checkpoints
from compare.training.checkpoints import LEAST_S, SHARE, CheckpointPlan, Checkpoints, identity_of
from compare.training.data import Rows, Splits
from compare.training.lockstep import LockStep

TABLES = ("history", "parity", "drift", "gradients")
"""All but timing, which is another one on each occasion."""


class Silent:
    def __getattr__(self, name):
        return lambda *arguments: None


def lockstep(form, label: str, inputs: tuple[int, ...], store: Checkpoints | None) -> LockStep:
    def rows(n: int, seed: int) -> Rows:
        random = np.random.default_rng(seed)
        return Rows(random.random((n, *inputs), np.float32), random.integers(0, 10, n))

    configuration = next(c for c in form.configurations if c.label == label)
    spec = model_spec(configuration.experiment, configuration.optimizer)
    seed = form.training.seeds[0]
    data = Splits(rows(50, 0), None, rows(30, 2))
    return LockStep(
        configuration, spec, seed, data, TrainingLog(label, seed), Silent(), None, store
    )  # fmt: skip


def outcome(run: LockStep):
    for _ in run.train():
        pass
    tables = {name: run.log.text(name) for name in TABLES}
    weights = {
        f"{backend}/{name}": (array.dtype.str, array.tobytes())
        for backend, state in run.log.weights.items()
        for name, array in state.items()
    }
    predictions = {name: array.tobytes() for name, array in run.log.predictions.items()}
    record = run.record.model_copy(update={"wall_s": 0.0, "cpu_s": 0.0}).model_dump_json()
    return tables, weights, predictions, record


CNN = ('model.architecture="deep_convnet"', "model.arguments={channels=[2,3,4]}")
ONE_CYCLE = (
    'training.schedule={name="OneCycleLR",every="step",max_lr=0.1}',
    "optimizers={SGD={lr=0.1,momentum=0.9},Adam={lr=0.01}}",
)
CASES = {
    "SGD, shuffled": ("SGD", (784,), ()),
    "SGD with momentum": ("SGD", (784,), ("optimizers.SGD.momentum=0.9",)),
    "Adam, float64": ("Adam", (784,), ('training.dtype="float64"',)),
    "NAdam": ("NAdam", (784,), ("optimizers={NAdam={lr=0.01}}",)),
    "RAdam": ("RAdam", (784,), ("optimizers={RAdam={lr=0.01}}",)),
    "Rprop": ("Rprop", (784,), ("optimizers={Rprop={lr=0.01}}",)),
    "Adagrad": ("Adagrad", (784,), ("optimizers={Adagrad={lr=0.01}}",)),
    "one cycle, SGD": ("SGD", (784,), ONE_CYCLE),
    "one cycle, Adam": ("Adam", (784,), ONE_CYCLE),
    "an exponential schedule": (
        "SGD", (784,), ('training.schedule={name="ExponentialLR",gamma=0.9,every="epoch"}',),
    ),
    "replicas to the end": ("SGD", (784,), ("parity.replicas=2", "parity.replica_steps=90")),
    "gradients, 20 epochs": ("SGD", (784,), ("training.gradient_norms=true", "training.epochs=20")),
    "dropout": ("Adam", (1, 28, 28), CNN),
}  # fmt: skip
QUICK = ("SGD, shuffled", "one cycle, Adam")


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES]
)
def test_goes_on_from_every_checkpoint(tiny, tmp_path, monkeypatch, case):
    label, inputs, changes = CASES[case]
    short = "reported=[]" if "optimizers={" in "".join(changes) else "claims=[]"
    form = tiny(short, *changes)
    expected = outcome(lockstep(form, label, inputs, None))
    monkeypatch.setattr(checkpoints, "KEPT", 1000)
    store = Checkpoints(CheckpointPlan(tmp_path / "c" / "x", 0.0), "i")
    assert outcome(lockstep(form, label, inputs, store)) == expected  # they change nothing
    snapshots = list(store.read())
    assert len(snapshots) >= 5
    for snapshot in snapshots[:: 1 + len(snapshots) // 8]:
        run = lockstep(form, label, inputs, None)
        run.restore(snapshot)
        assert outcome(run) == expected


@pytest.mark.slow
def test_replicas_by_cost_go_on_from_every_checkpoint(tiny, tmp_path, monkeypatch):
    parity = {"parity": ParitySettings(first_steps=1, every=1000)}
    form = tiny("training.epochs=40").model_copy(update=parity)
    expected = outcome(lockstep(form, "SGD", (784,), None))
    monkeypatch.setattr(checkpoints, "KEPT", 1000)
    store = Checkpoints(CheckpointPlan(tmp_path / "c" / "x", 0.0), "i")
    outcome(lockstep(form, "SGD", (784,), store))
    snapshots = list(store.read())
    followed = [s for s in snapshots if s["replicas"] is not None]
    assert followed
    for snapshot in (followed[0], snapshots[0], snapshots[-1]):
        run = lockstep(form, "SGD", (784,), None)
        run.restore(snapshot)
        assert run.replicas.steps == 4  # of 120
        assert outcome(run) == expected


SPOILT = {
    "generator": lambda s: s["generators"]["numpy"]["words"]["state"].update(pos=3),
    "average": lambda s: s["backends"]["torch"]["optimizer"]["1.bias"]["exp_avg"].__imul__(2),
    "order": lambda s: s.update(order=s["order"][::-1].copy()),
    "replica": lambda s: s["replicas"]["backends"][1]["model"]["1.bias"].__iadd__(1),
    "distance": lambda s: s["distance"]["last"].update(distance=1e-30),
    "row": lambda s: s["log"].update(parity=s["log"]["parity"][:-1]),
}


@pytest.mark.parametrize(
    "part", [pytest.param(p, marks=() if p == "generator" else pytest.mark.slow) for p in SPOILT]
)
def test_what_is_left_out_would_be_seen(tiny, tmp_path, monkeypatch, part):
    """The comparison above is not blind."""
    changes = ("parity.replica_steps=30", "training.epochs=3")
    if part == "distance":  # which is measured every tenth step
        changes += ("training.epochs=20",)
    form = tiny(*changes)
    expected = outcome(lockstep(form, "Adam", (784,), None))
    monkeypatch.setattr(checkpoints, "KEPT", 1000)
    store = Checkpoints(CheckpointPlan(tmp_path / "c" / "x", 0.0), "i")
    outcome(lockstep(form, "Adam", (784,), store))
    snapshot = [*store.read()][3 if part == "distance" else -2]
    SPOILT[part](snapshot)
    run = lockstep(form, "Adam", (784,), None)
    run.restore(snapshot)
    assert outcome(run) != expected


# ---- Files

TREE = {
    "numbers": [1, 2.5, None, True, "ü", float("inf"), 2**127],
    "arrays": {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 3), np.int64),
        "mask": np.array([True, False]),
        "words": np.arange(4, dtype=np.uint32),
    },
}


def plan(tmp_path, every=0.0) -> CheckpointPlan:
    return CheckpointPlan(tmp_path / "checkpoints" / "SGD-seed0", every)


def files(tmp_path) -> list:
    return sorted((tmp_path / "checkpoints" / "SGD-seed0").iterdir())


def test_a_tree_comes_back(tmp_path):
    store = Checkpoints(plan(tmp_path), "i")
    store.write(7, TREE)
    (back,) = store.read()
    assert back["numbers"] == TREE["numbers"]
    assert back["arrays"].keys() == TREE["arrays"].keys()
    for name, array in TREE["arrays"].items():
        found = back["arrays"][name]
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.flags.writeable
        np.testing.assert_array_equal(found, array)


def test_the_last_two_are_kept(tmp_path):
    store = Checkpoints(plan(tmp_path), "i")
    for step in (1, 2, 10):
        store.write(step, {"step": step})
    assert [tree["step"] for tree in store.read()] == [10, 2]
    assert len(files(tmp_path)) == 2
    assert list(Checkpoints(plan(tmp_path), "another").read()) == []


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "renamed"])
def test_a_damaged_one_is_not_used(tmp_path, harm):
    store = Checkpoints(plan(tmp_path), "i")
    for step in (1, 2):
        store.write(step, {**TREE, "step": step})
    last = files(tmp_path)[-1]
    content = bytearray(last.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
    if harm == "renamed":
        os.replace(last, last.with_name(f"step000000009-{'0' * 64}.safetensors"))
    else:
        last.write_bytes({"cut": content[:-1], "flip": content, "empty": b""}[harm])
    with pytest.warns(UserWarning, match="is not used: its content has not the digest") as said:
        (back,) = store.read()
    assert back["step"] == 1
    assert len(said) == 1


def test_a_forged_one_is_no_code(tmp_path):
    """With the right digest in its name and a pickle inside."""
    import hashlib
    import pickle

    store = Checkpoints(plan(tmp_path), "i")
    store.write(1, {"step": 1})
    content = pickle.dumps(test_a_forged_one_is_no_code)
    name = f"step000000002-{hashlib.sha256(content).hexdigest()}.safetensors"
    (files(tmp_path)[0].parent / name).write_bytes(content)
    with pytest.warns(UserWarning, match="it is no checkpoint"):
        assert [tree["step"] for tree in store.read()] == [1]


def test_a_full_disk_costs_no_training(tmp_path, monkeypatch):
    store = Checkpoints(plan(tmp_path), "i")
    store.write(1, {"step": 1})

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="no more checkpoints .* No space left on device"):
        store.write(2, {"step": 2})
    assert not store.due()
    assert len(files(tmp_path)) == 1  # the earlier one, and no part
    assert [tree["step"] for tree in store.read()] == [1]


def test_the_share_of_the_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: now[0])

    def slow(*_):
        now[0] += 5.0

    monkeypatch.setattr(checkpoints, "_write", slow)
    store = Checkpoints(plan(tmp_path, None), "i")
    store.begin(1000)
    assert store.interval_s == LEAST_S
    assert not store.due()
    now[0] = LEAST_S
    assert store.due()
    store.write(1, {})
    assert 5.0 / (5.0 + store.interval_s) == pytest.approx(SHARE)
    assert not store.due()
    store.begin(15_000_000)  # VGG16: the first is guessed
    assert store.interval_s > 100
    never = Checkpoints(plan(tmp_path, float("inf")), "i")
    now[0] = 1e12
    assert not never.due()


def test_identity():
    assert identity_of(a=1, b=[2]) == identity_of(b=[2], a=1) != identity_of(a=1, b=[3])
