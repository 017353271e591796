"""Who is timed: what every contender offers, the table of all, and whether one does the same work.

Contenders are made by module and class name, so that each process imports the library that it
times and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from compare.bench.cases import BenchCase, Convolution, TrainingStep
from compare.bench.records import GRADIENT_BOUND, LOSS_BOUND, Agreement

Arrays = dict[str, np.ndarray]
# Steps whose losses are compared before anything is timed.
COMPARED_STEPS = 3


class CannotRunError(RuntimeError):
    """A contender that cannot do this work here; the message says why."""


class Contender:
    """One implementation of one case, ready to be timed.

    A step consists of its phases in order, each a method without arguments. A subclass prepares
    everything in its constructor, which takes the case.

    Attributes:
        dtype: The precision that it computes in.
        phases: Names of its methods: forward, backward and update, or one method where these
            cannot be told apart.
        loss: Of the latest step; None where there is no loss.
    """

    dtype = "float32"
    phases: tuple[str, ...] = ("forward", "backward", "update")
    loss: Any = None

    def start(self) -> None:
        """Go back to the initial weights and optimizer, so that all blocks compute the same."""

    def gradients(self) -> Arrays:
        """Name → gradient of the step just made, before its update where that is a phase."""
        return {}

    def finish(self) -> None:
        """Called after each step and not timed."""


@dataclass(frozen=True)
class Entry:
    """A row of the table of contenders.

    Attributes:
        title: Its name in tables.
        package: The distribution that does the work. Contenders of one package share a process.
        step: ``module:Class`` for a training step, or nothing.
        convolution: ``module:Class`` for a convolution alone, or nothing.
        options: Further arguments of the class.
    """

    title: str
    package: str
    step: str = ""
    convolution: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def _torch(setting: str, *, convolution: bool = False, **options: Any) -> Entry:
    alone = "backends:TorchConvolution" if convolution else ""
    return Entry(f"PyTorch{setting}", "torch", "backends:TorchStep", alone, options)


def _numpy(title: str, step: str = "", convolution: str = "") -> Entry:
    return Entry(title, "numpy", step, convolution)


FUSED = {"fused": True}
CONTENDERS: dict[str, Entry] = {
    "numpy": _numpy("NumPy", "backends:NumpyStep", "backends:NumpyConvolution"),
    "torch": _torch("", convolution=True),
    "torch-foreach": _torch(", foreach", optimizer={"foreach": True}),
    "torch-fused": _torch(", fused", optimizer=FUSED),
    "torch-channels-last": _torch(", channels last", convolution=True, channels_last=True),
    "torch-channels-last-fused": _torch(
        ", channels last, fused", channels_last=True, optimizer=FUSED
    ),
    "torch-compile": _torch(", compiled, fused", compiled=True, optimizer=FUSED),
    "floor": _numpy("matrix products alone", "backends:MatrixProducts"),
    "scikit-learn": Entry("scikit-learn", "scikit-learn", "peers:ScikitLearn"),
    "autograd": Entry("autograd", "autograd", "peers:Autograd"),
    "numpy-ml": Entry("numpy-ml", "numpy-ml", "peers:NumpyMl"),
    "tinygrad": Entry("tinygrad", "tinygrad", "peers:Tinygrad"),
    "numba": Entry("Numba loops", "numba", convolution="peers:NumbaLoops"),
    "loops": _numpy("plain loops", convolution="peers:PlainLoops"),
}
# Without these there is nothing to compare; the others may fail.
BACKENDS = ("numpy", "torch")
# PyTorch's eager settings: the fastest of them is its best setting.
EAGER = tuple(name for name in CONTENDERS if name.startswith("torch") and "compile" not in name)


def takes_part(name: str, case: BenchCase) -> bool:
    """Whether a contender is meant for a case: ``channels_last`` is for images alone."""
    entry = CONTENDERS[name]
    if isinstance(case, Convolution):
        return bool(entry.convolution)
    return bool(entry.step) and ("channels_last" not in entry.options or case.has_images)


def installed_version(name: str) -> str | None:
    """The version of the package behind a contender, None where it is not installed."""
    try:
        return version(CONTENDERS[name].package)
    except PackageNotFoundError:
        return None


def make(name: str, case: BenchCase) -> Contender:
    """Make a contender ready for a case.

    Raises:
        CannotRunError: It cannot do this work.
    """
    entry = CONTENDERS[name]
    made_by = entry.step if isinstance(case, TrainingStep) else entry.convolution
    module, _, class_name = made_by.partition(":")
    return getattr(import_module(f"compare.bench.{module}"), class_name)(case, **entry.options)


def block(contender: Contender, untimed: int, steps: int) -> np.ndarray:
    """Seconds of each phase of consecutive steps, of shape (steps, phases).

    Args:
        contender: The contender.
        untimed: Steps before them, while caches and threads warm up.
        steps: How many are timed.
    """
    phases: list[Callable[[], None]] = [getattr(contender, name) for name in contender.phases]
    seconds = np.empty((untimed + steps, len(phases)))
    contender.start()
    with np.errstate(all="ignore"):
        for step in range(untimed + steps):
            for place, phase in enumerate(phases):
                begun = perf_counter()
                phase()
                seconds[step, place] = perf_counter() - begun
            contender.finish()
    return seconds[untimed:]


class Evidence(NamedTuple):
    """What a contender computes from the common start: losses of some steps, first gradients."""

    losses: list[float]
    gradients: Arrays


def evidence(contender: Contender) -> Evidence:
    """Let a contender show what it computes, before it is timed."""
    contender.start()
    for name in contender.phases:
        if name != "update":
            getattr(contender, name)()
    gradients = contender.gradients()
    contender.start()
    losses = []
    for _ in range(COMPARED_STEPS):
        for name in contender.phases:
            getattr(contender, name)()
        contender.finish()
        if contender.loss is not None:
            losses.append(float(contender.loss))
    return Evidence(losses, gradients)


def agreement(found: Evidence, reference: Evidence) -> Agreement:
    """How far a contender's numbers are from NumPy's.

    Other work gives other numbers altogether; the same work in float32, in another order of
    summation, gives other last digits, and losses and gradients agree to a part in a million or
    so. But where a pre-activation lies so near to the kink of a ReLU that the two orders fall on
    different sides of it, gradients differ by more: by 3.6e-3 of their size in a network of 32
    hidden layers. Whether every value is right is decided by the certificates of a run, not here.
    """
    names = reference.gradients.keys()
    shapes = {name: array.shape for name, array in found.gradients.items()}
    gradient_error, loss_error = float("inf"), None
    if shapes == {name: reference.gradients[name].shape for name in names}:
        ours, theirs = (
            np.concatenate([np.ravel(e.gradients[name]) for name in names]).astype(np.float64)
            for e in (found, reference)
        )
        size = float(np.linalg.norm(theirs))
        gradient_error = float(np.linalg.norm(ours - theirs)) / size if size else float("inf")
    if reference.losses:
        a, b = np.array(found.losses), np.array(reference.losses)
        loss_error = float(np.max(np.abs(a - b) / np.abs(b))) if len(a) == len(b) else float("inf")
    near = gradient_error <= GRADIENT_BOUND and (loss_error is None or loss_error <= LOSS_BOUND)
    return Agreement(loss_error=loss_error, gradient_error=gradient_error, agrees=bool(near))
