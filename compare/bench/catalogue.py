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
from compare.bench.records import Group
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
        group: Whose it is.
    """

    title: str
    distribution: str
    process: str
    step: str = ""
    convolution: str = ""
    training: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    images_only: bool = False
    group: Group = "peer"


_OURS = "compare.bench.contenders"
_PEERS = "compare.bench.peers"
_HARNESS = "compare.bench.harness"


def _torch(
    setting: str, *, images_only: bool = False, alone: bool = False, **options: Any
) -> Entry:
    """PyTorch in a setting; ``alone``: where it is asked for a convolution alone, too."""
    return Entry(
        f"PyTorch{setting}",
        "torch",
        "torch",
        group="torch",
        step=f"{_OURS}.torch_steps:TorchSteps",
        convolution=f"{_OURS}.convolutions_torch:TorchConvolution" if alone else "",
        options=options,
        images_only=images_only,
    )


def _peer(name: str, step: str) -> Entry:
    return Entry(name, name, name, step=f"{_PEERS}.{step}")


CONTENDERS: dict[str, Entry] = {
    "numpy": Entry(
        "NumPy",
        "numpy",
        "numpy",
        group="numpy",
        step=f"{_OURS}.numpy_steps:NumpySteps",
        convolution=f"{_OURS}.convolutions_numpy:NumpyConvolution",
    ),
    "torch": _torch("", alone=True),
    "torch-foreach": _torch(", foreach", optimizer={"foreach": True}),
    "torch-fused": _torch(", fused", optimizer={"fused": True}),
    "torch-channels-last": _torch(
        ", channels last", images_only=True, alone=True, channels_last=True
    ),
    "torch-channels-last-fused": _torch(
        ", channels last, fused", images_only=True, channels_last=True, optimizer={"fused": True}
    ),
    "torch-compile": _torch(", compiled, fused", compiled=True, optimizer={"fused": True}),
    "floor": Entry(
        "matrix products alone", "numpy", "numpy", group="floor", step=f"{_OURS}.floor:Floor"
    ),
    "scikit-learn": _peer("scikit-learn", "scikit_learn:ScikitLearn"),
    "autograd": _peer("autograd", "autograd_steps:AutogradSteps"),
    "numpy-ml": _peer("numpy-ml", "numpy_ml_steps:NumpyMlSteps"),
    "tinygrad": _peer("tinygrad", "tinygrad_steps:TinygradSteps"),
    "numba": Entry(
        "Numba loops", "numba", "numba", convolution=f"{_PEERS}.numba_loops:NumbaConvolution"
    ),
    "loops": Entry("plain loops", "numpy", "numpy", convolution=f"{_PEERS}.loops:LoopConvolution"),
    "lockstep": Entry("lock step", "torch", "lockstep", training=f"{_HARNESS}:Lockstep"),
    "plain-numpy": Entry(
        "NumPy alone", "numpy", "numpy", training=f"{_HARNESS}:Plain", options={"backend": "numpy"}
    ),
    "plain-torch": Entry(
        "PyTorch alone",
        "torch",
        "torch",
        training=f"{_HARNESS}:Plain",
        options={"backend": "torch"},
    ),
}

# PyTorch's eager settings: the fastest of them is its best setting.
EAGER = (
    "torch", "torch-foreach", "torch-fused", "torch-channels-last", "torch-channels-last-fused",
)  # fmt: skip


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
        options = {key: value for key, value in options.items() if key != "optimizer"}
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
