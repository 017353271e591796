"""Contenders: the interface, the table of all, and whether one does the same work as NumPy.

They are named by module and class, so that each process imports only the library that it times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from compare.backends.synthetic import input_shape
from compare.bench.cases import BenchCase, Convolution

Arrays = dict[str, np.ndarray]
# Steps whose losses are compared before anything is timed.
COMPARED_STEPS = 3
# The largest relative difference of losses, and of gradients (norm over norm), of equal work.
LOSS_BOUND, GRADIENT_BOUND = 1e-3, 2e-2


class CannotRunError(RuntimeError):
    """A contender cannot do this work here; the message says why."""


class Contender:
    """One implementation of one case, ready to be timed.

    A step consists of its phases in order, each a method without arguments. A subclass prepares
    everything in its constructor, which takes the case.

    Attributes:
        phases: Names of its methods: forward, backward and update, or one method where these
            cannot be told apart.
        loss: Of the latest step; None where there is no loss.
    """

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
    """A row of the table of contenders; its classes are given as ``module:Class``."""

    package: str  # that does the work; contenders of one package share a process
    step: str = ""  # of a training step, if it makes one
    convolution: str = ""  # of a convolution alone, if it makes one
    options: dict[str, bool] = field(default_factory=dict)  # further arguments of the class


def _torch(convolution: str = "", **options: bool) -> Entry:
    return Entry("torch", "backends:TorchStep", convolution, options)


CONTENDERS: dict[str, Entry] = {
    "numpy": Entry("numpy", "backends:NumpyStep", "backends:NumpyConvolution"),
    "torch": _torch("backends:TorchConvolution"),
    "torch-foreach": _torch(foreach=True),
    "torch-fused": _torch(fused=True),
    "torch-channels-last": _torch("backends:TorchConvolution", channels_last=True),
    "torch-channels-last-fused": _torch(channels_last=True, fused=True),
    "torch-compile": _torch(compiled=True, fused=True),
    "floor": Entry("numpy", "backends:MatrixProducts"),
    "scikit-learn": Entry("scikit-learn", "peers:ScikitLearn"),
    "autograd": Entry("autograd", "peers:Autograd"),
    "loops": Entry("numpy", convolution="peers:PlainLoops"),
}
# Without these there is nothing to compare; the others may fail.
BACKENDS = ("numpy", "torch")


def takes_part(name: str, case: BenchCase) -> bool:
    """Whether a contender is meant for a case: ``channels_last`` is for images alone."""
    entry = CONTENDERS[name]
    if isinstance(case, Convolution):
        return bool(entry.convolution)
    for_images = "channels_last" in entry.options
    return bool(entry.step) and not (for_images and len(input_shape(case.model())) == 1)


def make(name: str, case: BenchCase) -> Contender:
    """Make a contender ready for a case.

    Raises:
        CannotRunError: It cannot do this work.
    """
    entry = CONTENDERS[name]
    place = entry.convolution if isinstance(case, Convolution) else entry.step
    module, _, class_name = place.partition(":")
    return getattr(import_module(f"compare.bench.{module}"), class_name)(case, **entry.options)


def block(contender: Contender, untimed: int, steps: int) -> np.ndarray:
    """Seconds of each phase of consecutive steps, of shape (steps, phases).

    Before them come untimed steps, in which caches and threads warm up.
    """
    phases = [getattr(contender, name) for name in contender.phases]
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
    """What a contender computes from the common start, before it is timed."""

    losses: list[float]  # of the first steps
    gradients: Arrays  # of the first step; none where only time can be measured
    step_s: float = 0.0  # seconds of the shortest step


def evidence(contender: Contender) -> Evidence:
    """Make the steps whose numbers are compared."""
    contender.start()
    for name in contender.phases:
        if name != "update":
            getattr(contender, name)()
    gradients, losses, seconds = contender.gradients(), [], []
    contender.start()
    for _ in range(COMPARED_STEPS):
        begun = perf_counter()
        for name in contender.phases:
            getattr(contender, name)()
        seconds.append(perf_counter() - begun)
        contender.finish()
        if contender.loss is not None:
            losses.append(float(contender.loss))
    return Evidence(losses, gradients, min(seconds))


def differences(found: Evidence, reference: Evidence) -> tuple[float, float]:
    """How far losses and gradients are from NumPy's, to be held against the two bounds.

    Other work gives other numbers altogether; the same work in float32, in another order of
    summation, gives other last digits, and losses and gradients agree to a part in a million or
    so. But where a pre-activation lies so near to the kink of a ReLU that the two orders fall on
    different sides of it, gradients differ by more: by 3.6e-3 of their size in a network of 32
    hidden layers. Whether every value is right is decided by the certificates of a run, not here.
    """
    loss_error = gradient_error = float("inf")
    if len(found.losses) == len(reference.losses):
        ours, theirs = np.array(found.losses), np.array(reference.losses)
        loss_error = float(np.max(np.abs(ours - theirs) / np.abs(theirs), initial=0.0))
    shapes = {name: array.shape for name, array in reference.gradients.items()}
    if shapes == {name: array.shape for name, array in found.gradients.items()}:
        ours, theirs = (
            np.concatenate([np.ravel(e.gradients[name]) for name in shapes]).astype(np.float64)
            for e in (found, reference)
        )
        size = np.linalg.norm(theirs)
        gradient_error = float(np.linalg.norm(ours - theirs) / size) if size else gradient_error
    return loss_error, gradient_error


def agree(loss_error: float, gradient_error: float) -> bool:
    """Whether rounding can explain the differences."""
    return loss_error <= LOSS_BOUND and gradient_error <= GRADIENT_BOUND
