"""Every public schedule against PyTorch over 50 steps, from one table.

Both backends compute with Python's floats, in the same order, so equality here is of every bit.
"""

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_nn
import torch_nn
from numpy_nn.optim import lr_scheduler

STEPS = 50
SGD = ("SGD", {"lr": 0.3, "momentum": 0.9})
ADAM = ("Adam", {"lr": 0.03})
CASES: list[tuple[str, dict[str, Any], tuple[str, dict[str, Any]]]] = [
    ("StepLR", {"step_size": 7}, SGD),
    ("StepLR", {"step_size": 1, "gamma": 0.97}, ADAM),
    ("StepLR", {"step_size": 3, "gamma": 1.1}, SGD),
    ("MultiStepLR", {"milestones": [3, 3, 17, 40, 90]}, SGD),
    ("MultiStepLR", {"milestones": [20, 5], "gamma": 0.7}, ADAM),
    ("MultiStepLR", {"milestones": []}, ADAM),
    ("ExponentialLR", {"gamma": 0.9}, SGD),
    ("ExponentialLR", {"gamma": 1.01}, ADAM),
    ("CosineAnnealingLR", {"T_max": 50}, SGD),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}, ADAM),
    ("CosineAnnealingLR", {"T_max": 1}, SGD),
    ("CosineAnnealingLR", {"T_max": 10, "eta_min": 0.5}, SGD),
    ("LinearLR", {}, SGD),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 30}, ADAM),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.4, "total_iters": 100}, ADAM),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 50}, SGD),
    ("OneCycleLR", {"max_lr": [0.7, 0.2], "epochs": 5, "steps_per_epoch": 11}, ADAM),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 60, "three_phase": True}, SGD),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 53, "three_phase": True,
                    "anneal_strategy": "linear", "pct_start": 0.23}, ADAM),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 53, "anneal_strategy": "linear",
                    "base_momentum": [0.5, 0.6], "max_momentum": [0.9, 0.99]}, SGD),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 53, "cycle_momentum": False, "div_factor": 3.0,
                    "final_div_factor": 7.0}, ("Adagrad", {"lr": 0.1})),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 50, "base_momentum": 0.1}, ("RMSprop", {})),
    ("ReduceLROnPlateau", {}, SGD),
    ("ReduceLROnPlateau", {"patience": 0, "factor": 0.5, "min_lr": [0.01, 0.1]}, SGD),
    ("ReduceLROnPlateau", {"patience": 2, "cooldown": 3, "mode": "max", "threshold": 0.1}, ADAM),
    ("ReduceLROnPlateau", {"patience": 1, "threshold_mode": "abs", "threshold": 0.3}, ADAM),
    ("ReduceLROnPlateau", {"patience": 1, "threshold_mode": "abs", "mode": "max",
                           "min_lr": 0.02, "eps": 0.01}, SGD),
]  # fmt: skip
IDS = [f"{name} {settings} {optimizer[0]}" for name, settings, optimizer in CASES]
CLOSED = ("StepLR", "MultiStepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR")


class Backend:
    """An optimizer of two groups and a schedule, on one backend."""

    def __init__(self, nn: Any, name: str, given: dict[str, Any], optimizer: Any) -> None:
        def parameter(size: int) -> Any:
            values = np.ones(size)
            return nn.Parameter(values if nn is numpy_nn else torch.from_numpy(values))

        self.nn, self.name, self.given, self.make = nn, name, given, optimizer
        groups = [{"params": [parameter(2)]}, {"params": [parameter(3)], "lr": 0.011}]
        algorithm, chosen = optimizer
        self.optimizer = getattr(nn.optim, algorithm)(groups, **chosen)
        self.schedule = getattr(nn.optim.lr_scheduler, name)(self.optimizer, **given)

    def step(self, metric: float) -> None:
        self.optimizer.step()
        self.schedule.step(*([metric] if self.name == "ReduceLROnPlateau" else []))

    def settings(self) -> list[dict[str, Any]]:
        """What stands in the groups, learning rates and momentum among it."""
        return [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups]


def both(name: str, given: dict[str, Any], optimizer: Any) -> tuple[Backend, Backend]:
    return Backend(numpy_nn, name, given, optimizer), Backend(torch_nn, name, given, optimizer)


def metrics() -> list[float]:
    random = np.random.default_rng(0)
    return [float(m) for m in random.normal(size=STEPS).cumsum()]


def compare(ours: Backend, theirs: Backend) -> None:
    assert ours.settings() == theirs.settings()
    assert ours.schedule.get_last_lr() == theirs.schedule.get_last_lr()
    assert ours.schedule.state_dict() == theirs.schedule.state_dict()


each_case = pytest.mark.parametrize(("name", "given", "optimizer"), CASES, ids=IDS)


@each_case
def test_equals_torch(name: str, given: Any, optimizer: Any) -> None:
    ours, theirs = both(name, given, optimizer)
    compare(ours, theirs)
    for metric in metrics():
        ours.step(metric)
        theirs.step(metric)
        compare(ours, theirs)


@each_case
def test_state_goes_to_torch_and_back(name: str, given: Any, optimizer: Any) -> None:
    """Each backend goes on from the other's state, with schedules made anew."""
    first = both(name, given, optimizer)
    for metric in metrics()[:20]:
        for backend in first:
            backend.step(metric)
    second = both(name, given, optimizer)
    for backend, other in zip(second, reversed(first), strict=True):
        groups = copy.deepcopy(other.optimizer.state_dict()["param_groups"])
        own = backend.optimizer.state_dict()["state"]  # arrays are test_optimizers' matter
        backend.optimizer.load_state_dict({"state": own, "param_groups": groups})
        backend.schedule.load_state_dict(copy.deepcopy(other.schedule.state_dict()))
    for metric in metrics()[20:]:
        for backend in (*first, *second):
            backend.step(metric)
        compare(first[0], first[1])
        compare(second[0], second[1])
        assert first[0].settings() == second[0].settings()


@each_case
def test_resuming_by_last_epoch(name: str, given: Any, optimizer: Any) -> None:
    if name == "ReduceLROnPlateau":  # it has no last_epoch
        return
    first = both(name, given, optimizer)
    for _ in range(20):
        for backend in first:
            backend.step(0.0)
    for backend in first:
        make = getattr(backend.nn.optim.lr_scheduler, name)
        backend.schedule = make(backend.optimizer, **given, last_epoch=20)
    for _ in range(20):
        compare(*first)
        for backend in first:
            backend.step(0.0)
    fresh = Backend(numpy_nn, "ExponentialLR", {"gamma": 1.0}, optimizer)
    for group in fresh.optimizer.param_groups:
        del group["initial_lr"]
    with pytest.raises(KeyError, match=r"initial_lr.*param_groups\[0\]"):
        getattr(lr_scheduler, name)(fresh.optimizer, **given, last_epoch=3)


@each_case
def test_a_rate_set_by_hand_is_gone_on_from(name: str, given: Any, optimizer: Any) -> None:
    ours, theirs = both(name, given, optimizer)
    for number, metric in enumerate(metrics()):
        for backend in (ours, theirs):
            if number in (4, 23):
                backend.optimizer.param_groups[1]["lr"] = 0.77
            backend.step(metric)
        compare(ours, theirs)


@pytest.mark.parametrize("second", [case for case in CASES if case[2] is SGD], ids=str)
@pytest.mark.parametrize("first", [("LinearLR", {}), ("ExponentialLR", {"gamma": 0.95})], ids=str)
def test_chained_schedules(first: Any, second: Any) -> None:
    ours, theirs = both(*second)
    others = [
        getattr(backend.nn.optim.lr_scheduler, first[0])(backend.optimizer, **first[1])
        for backend in (ours, theirs)
    ]
    for metric in metrics():
        for backend, other in zip((ours, theirs), others, strict=True):
            backend.step(metric)
            other.step()
        compare(ours, theirs)
        assert others[0].state_dict() == others[1].state_dict()


@each_case
def test_copies_go_on_alone(name: str, given: Any, optimizer: Any) -> None:
    backend, _ = both(name, given, optimizer)
    backend.step(1.0)
    for copied in (
        copy.deepcopy(backend.schedule),
        pickle.loads(pickle.dumps(backend.schedule)),
    ):
        before = backend.settings()
        copied.optimizer.step()
        copied.step(*([2.0] if name == "ReduceLROnPlateau" else []))
        assert backend.settings() == before


@pytest.mark.parametrize(("name", "given", "optimizer"), [c for c in CASES if c[0] in CLOSED])
def test_the_formula_of_the_epoch_alone(name: str, given: Any, optimizer: Any) -> None:
    """``step(epoch)`` is PyTorch's, with its warning, and agrees with going step by step."""
    ours, theirs = both(name, given, optimizer)
    stepped, _ = both(name, given, optimizer)
    for epoch in range(1, STEPS):
        stepped.step(0.0)
        for backend in (ours, theirs):
            backend.optimizer.step()
            with pytest.warns(UserWarning, match="The epoch parameter"):
                backend.schedule.step(epoch)
        compare(ours, theirs)
        for jumped, went in zip(ours.settings(), stepped.settings(), strict=True):
            assert abs(jumped["lr"] - went["lr"]) <= 1e-12 * max(1.0, jumped["lr"])
    with pytest.warns(UserWarning, match="The epoch parameter"):
        ours.schedule.step(5)
    with pytest.warns(UserWarning, match="The epoch parameter"):
        theirs.schedule.step(5)
    compare(ours, theirs)


def test_a_plateau_with_a_numbered_epoch() -> None:
    backends = both("ReduceLROnPlateau", {"patience": 0}, SGD)
    for metric, epoch in [(1.0, 3), (2.0, 9)]:
        for backend in backends:
            with pytest.warns(UserWarning, match="The epoch parameter"):
                backend.schedule.step(metric, epoch)
        compare(*backends)
    backends[0].schedule.step(np.float32(5.0))
    backends[1].schedule.step(torch.tensor(5.0))
    compare(*backends)


def test_a_group_that_is_added_to_a_plateau() -> None:
    for min_lr in (0.01, [0.01, 0.02]):
        backends = both("ReduceLROnPlateau", {"patience": 0, "min_lr": min_lr}, SGD)
        for backend in backends:
            one = np.ones(1)
            parameter = backend.nn.Parameter(
                one if backend.nn is numpy_nn else torch.from_numpy(one)
            )
            backend.optimizer.add_param_group({"params": [parameter], "lr": 0.9})
            backend.schedule.step(1.0)
            if isinstance(min_lr, list):
                with pytest.raises(RuntimeError, match="min_lrs"):
                    backend.schedule.step(2.0)
            else:
                backend.schedule.step(2.0)
        compare(*backends)


def test_warnings_are_torchs() -> None:
    for backend in both("ExponentialLR", {"gamma": 0.5}, SGD):
        with pytest.warns(UserWarning, match="before `optimizer.step"):
            backend.schedule.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            backend.schedule.step()
        with pytest.warns(UserWarning, match="get_last_lr"):
            backend.schedule.get_lr()
    for nn in (numpy_nn, torch_nn):  # a step made before the schedule does not count
        backend = Backend(nn, "ReduceLROnPlateau", {}, SGD)
        backend.optimizer.step()
        schedule = nn.optim.lr_scheduler.StepLR(backend.optimizer, 3)
        with pytest.warns(UserWarning, match="before `optimizer.step"):
            schedule.step()


def test_more_steps_than_the_cycle_has() -> None:
    for backend in both("OneCycleLR", {"max_lr": 0.1, "total_steps": 4}, SGD):
        for _ in range(4):
            backend.step(0.0)
        with pytest.raises(ValueError, match=r"Tried to step 5 times.*total steps is 4"):
            backend.step(0.0)


REFUSED = [
    ("LinearLR", {"start_factor": 0.0}, SGD, r"start_factor must be in \(0, 1\]. Received: 0.0"),
    ("LinearLR", {"start_factor": 1.1}, SGD, "start_factor"),
    ("LinearLR", {"end_factor": -0.1}, SGD, "end_factor .*-0.1"),
    ("OneCycleLR", {"max_lr": 1.0}, SGD, "either total_steps, or epochs and steps_per_epoch"),
    ("OneCycleLR", {"max_lr": 1.0, "epochs": 3}, SGD, "either total_steps"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 0}, SGD, "total_steps .* integer. Received: 0"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9.0}, SGD, "total_steps .*9.0"),
    ("OneCycleLR", {"max_lr": 1.0, "epochs": 2, "steps_per_epoch": 0}, SGD, "steps_per_epoch"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "pct_start": 1}, SGD, "a float.*: 1"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "pct_start": 1.5}, SGD, "pct_start"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "anneal_strategy": "x"}, SGD, "'x'"),
    ("OneCycleLR", {"max_lr": [1.0], "total_steps": 9}, SGD, "max_lr .* 2 groups. Received: 1"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9, "base_momentum": [1] * 3}, SGD, "base_mom"),
    ("OneCycleLR", {"max_lr": 1.0, "total_steps": 9}, ("Adagrad", {}), "Adagrad has no momentum"),
    ("ReduceLROnPlateau", {"factor": 1.0}, SGD, "factor must be below 1. Received: 1.0"),
    ("ReduceLROnPlateau", {"mode": "low"}, SGD, "'low'"),
    ("ReduceLROnPlateau", {"threshold_mode": "abso"}, SGD, "'abso'"),
    ("ReduceLROnPlateau", {"min_lr": [0.1]}, SGD, "min_lr .* 2 groups. Received: 1"),
]


@pytest.mark.parametrize(("name", "given", "optimizer", "message"), REFUSED)
def test_refusals_are_torchs(name: str, given: Any, optimizer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Backend(torch_nn, name, given, optimizer)
    with pytest.raises(ValueError, match=message):
        Backend(numpy_nn, name, given, optimizer)


SCHEDULES = [name for name in lr_scheduler.__all__ if name != "LRScheduler"]


@pytest.mark.parametrize("name", SCHEDULES)
def test_what_is_no_optimizer_is_refused(name: str) -> None:
    given = next(given for n, given, _ in CASES if n == name)
    for make in (getattr(torch_nn.optim.lr_scheduler, name), getattr(lr_scheduler, name)):
        with pytest.raises(TypeError, match="list is not an Optimizer"):
            make([1.0], **given)


@pytest.mark.parametrize("name", lr_scheduler.__all__)
def test_signatures_are_torchs(name: str) -> None:
    """Names, order, kind and defaults of every argument, of constructor and step."""
    for method in ("__init__", "step", "state_dict", "load_state_dict", "get_last_lr", "get_lr"):
        ours, theirs = (
            [
                (p.name, p.kind, p.default)
                for p in inspect.signature(getattr(getattr(nn, name), method)).parameters.values()
            ]
            for nn in (lr_scheduler, torch_nn.optim.lr_scheduler)
        )
        assert ours == theirs


def test_every_public_schedule_has_a_case() -> None:
    assert set(SCHEDULES) == {name for name, _, _ in CASES}
    with pytest.raises(AttributeError, match=r"lr_scheduler has no 'CyclicLR'.*OneCycleLR"):
        _ = lr_scheduler.CyclicLR


def test_a_schedule_of_ones_own() -> None:
    class Sawtooth(lr_scheduler.LRScheduler):
        def get_lr(self) -> list[float]:
            return [lr * (1 + self.last_epoch % 3) for lr in self.base_lrs]

    optimizer = numpy_nn.optim.SGD([numpy_nn.Parameter(np.ones(1))], lr=0.5)
    schedule = Sawtooth(optimizer)
    seen = []
    for _ in range(4):
        seen += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    assert seen == [0.5, 1.0, 1.5, 0.5]
    with pytest.raises(NotImplementedError):
        lr_scheduler.LRScheduler(optimizer)


factor = st.floats(0.05, 1.2)
DRAWN: dict[str, Callable[[], Any]] = {
    "StepLR": lambda: st.fixed_dictionaries({"step_size": st.integers(1, 20), "gamma": factor}),
    "MultiStepLR": lambda: st.fixed_dictionaries(
        {"milestones": st.lists(st.integers(0, 30)), "gamma": factor}
    ),
    "ExponentialLR": lambda: st.fixed_dictionaries({"gamma": factor}),
    "CosineAnnealingLR": lambda: st.fixed_dictionaries(
        {"T_max": st.integers(1, 40), "eta_min": st.floats(0, 1)}
    ),
    "LinearLR": lambda: st.fixed_dictionaries(
        {
            "start_factor": st.floats(0.01, 1),
            "end_factor": st.floats(0, 1),
            "total_iters": st.integers(1, 40),
        }
    ),
    "OneCycleLR": lambda: st.fixed_dictionaries(
        {
            "max_lr": st.floats(0.01, 2),
            "total_steps": st.integers(30, 60),
            "pct_start": st.floats(0.1, 0.49),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "three_phase": st.booleans(),
            "div_factor": st.floats(1, 100),
            "final_div_factor": st.floats(1, 1e5),
        }
    ),
    "ReduceLROnPlateau": lambda: st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.floats(0.01, 0.99),
            "patience": st.integers(0, 4),
            "threshold": st.floats(0, 0.5),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.floats(0, 0.2),
            "eps": st.sampled_from([0, 1e-8, 0.01]),
        }
    ),
}


@settings(max_examples=70, deadline=None)
@given(data=st.data(), name=st.sampled_from(SCHEDULES), optimizer=st.sampled_from([SGD, ADAM]))
def test_any_settings(data: Any, name: str, optimizer: Any) -> None:
    ours, theirs = both(name, data.draw(DRAWN[name]()), optimizer)
    for metric in data.draw(st.lists(st.floats(-2, 2) | st.just(float("nan")), max_size=30)):
        ours.step(metric)
        theirs.step(metric)
        compare(ours, theirs)
