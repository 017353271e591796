"""Who can be timed: names, titles, and where each is made.

Modules are named and not imported, so that each process imports the library that it times and no
other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from compare.bench.contender import CannotRunError
from compare.bench.workloads import Convolution, TrainingStep, Workload


@dataclass(frozen=True)
class Entry:
    """One contender.

    Attributes:
        title: Its name in tables.
        distribution: The package that does the work, whose version is recorded.
        process: Contenders of one name share a process; they have the same thread pools.
        step: ``module:Class`` for a training step, or nothing.
        convolution: ``module:Class`` for a convolution alone, or nothing.
        training: ``module:Class`` for a whole training, or nothing.
        options: Further arguments of the class.
        images_only: Whether it is asked for networks with convolutions alone.
        extra: Whether it is a peer of the extra ``bench``.
    """

    title: str
    distribution: str
    process: str
    step: str = ""
    convolution: str = ""
    training: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    images_only: bool = False
    extra: bool = False


_TORCH_STEP = "compare.bench.contenders.torch_steps:TorchSteps"
_TORCH_CONVOLUTION = "compare.bench.contenders.convolutions_torch:TorchConvolution"
_PEERS = "compare.bench.peers"
_HARNESS = "compare.bench.harness"

CONTENDERS: dict[str, Entry] = {
    "numpy": Entry(
        "NumPy",
        "numpy",
        "numpy",
        step="compare.bench.contenders.numpy_steps:NumpySteps",
        convolution="compare.bench.contenders.convolutions_numpy:NumpyConvolution",
    ),
    "torch": Entry("PyTorch", "torch", "torch", step=_TORCH_STEP, convolution=_TORCH_CONVOLUTION),
    "torch-foreach": Entry(
        "PyTorch, foreach", "torch", "torch", step=_TORCH_STEP,
        options={"setting": {"foreach": True}},
    ),
    "torch-fused": Entry(
        "PyTorch, fused", "torch", "torch", step=_TORCH_STEP, options={"setting": {"fused": True}}
    ),
    "torch-channels-last": Entry(
        "PyTorch, channels last", "torch", "torch", step=_TORCH_STEP,
        convolution=_TORCH_CONVOLUTION, options={"channels_last": True}, images_only=True,
    ),
    "torch-channels-last-fused": Entry(
        "PyTorch, channels last, fused", "torch", "torch", step=_TORCH_STEP,
        options={"channels_last": True, "setting": {"fused": True}}, images_only=True,
    ),
    "torch-compile": Entry(
        "PyTorch, compiled, fused", "torch", "torch", step=_TORCH_STEP,
        options={"compiled": True, "setting": {"fused": True}},
    ),
    "floor": Entry(
        "matrix products alone", "numpy", "numpy", step="compare.bench.contenders.floor:Floor"
    ),
    "scikit-learn": Entry(
        "scikit-learn", "scikit-learn", "scikit-learn",
        step=f"{_PEERS}.scikit_learn:ScikitLearn",
    ),
    "autograd": Entry(
        "autograd", "autograd", "autograd", step=f"{_PEERS}.autograd_steps:AutogradSteps",
        extra=True,
    ),
    "numpy-ml": Entry(
        "numpy-ml", "numpy-ml", "numpy-ml", step=f"{_PEERS}.numpy_ml_steps:NumpyMlSteps",
        extra=True,
    ),
    "tinygrad": Entry(
        "tinygrad", "tinygrad", "tinygrad", step=f"{_PEERS}.tinygrad_steps:TinygradSteps",
        extra=True,
    ),
    "numba": Entry(
        "Numba loops", "numba", "numba", convolution=f"{_PEERS}.numba_loops:NumbaConvolution",
        extra=True,
    ),
    "lockstep": Entry("lock step", "torch", "lockstep", training=f"{_HARNESS}:Lockstep"),
    "plain-numpy": Entry(
        "NumPy alone", "numpy", "numpy", training=f"{_HARNESS}:Plain",
        options={"backend": "numpy"},
    ),
    "plain-torch": Entry(
        "PyTorch alone", "torch", "torch", training=f"{_HARNESS}:Plain",
        options={"backend": "torch"},
    ),
    "loops": Entry(
        "plain loops", "numpy", "numpy", convolution=f"{_PEERS}.loops:LoopConvolution"
    ),
}  # fmt: skip

# PyTorch's eager settings: the fastest of them is its best setting.
EAGER = (
    "torch", "torch-foreach", "torch-fused", "torch-channels-last", "torch-channels-last-fused",
)  # fmt: skip
PEERS = ("scikit-learn", "autograd", "numpy-ml", "tinygrad", "numba", "loops")


# Whose failure is a mistake of this program, and is not passed over.
OWN = ("numpy", "torch", "floor", "lockstep", "plain-numpy", "plain-torch")


class NotInstalledError(CannotRunError):
    """The package that does the work is not here."""


def asked_for(name: str, workload: Workload, *, has_images: bool) -> bool:
    """Whether a contender belongs into the comparison of a workload at all."""
    entry = CONTENDERS[name]
    if isinstance(workload, Convolution):
        return bool(entry.convolution)
    return bool(entry.step) and (has_images or not entry.images_only)


def installed_version(name: str) -> str | None:
    """The version of the package behind a contender, None where it is not installed."""
    try:
        return version(CONTENDERS[name].distribution)
    except PackageNotFoundError:
        return None


def make(name: str, workload: Any) -> Any:
    """Make a contender ready for its work.

    Args:
        name: One of :data:`CONTENDERS`.
        workload: What it is to do: a step, a convolution or a whole training.

    Raises:
        NotInstalledError: Its package is missing.
        CannotRunError: It cannot do this work here; whatever a peer raises says so, too.
    """
    entry = CONTENDERS[name]
    if installed_version(name) is None:
        raise NotInstalledError(f"the package {entry.distribution} is not installed")
    made_in, options = entry.training, entry.options
    if isinstance(workload, TrainingStep):
        made_in = entry.step
    elif isinstance(workload, Convolution):
        # Nothing is updated, so no setting of an optimizer matters.
        made_in = entry.convolution
        options = {key: value for key, value in options.items() if key != "setting"}
    module, _, class_name = made_in.partition(":")
    try:
        return getattr(import_module(module), class_name)(workload, **options)
    except CannotRunError:
        raise
    except Exception as error:
        if name in OWN:
            raise  # not a peer's weakness but a mistake of the person or of this program
        raise CannotRunError(one_line(error)) from error


def one_line(error: Exception) -> str:
    """An exception as one line of moderate length."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}".rstrip(": ")
