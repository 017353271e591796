"""A loss that an instructor gives: ``FILE.py:FUNCTION``, a function of PyTorch's tensors.

``FUNCTION(output, target)`` returns a scalar tensor and takes the place of PyTorch's criterion; its
gradient is autograd's. A homework cannot name one: the file runs in the checking process.

PyTorch is imported where a loss is loaded, not before: golden files are used without it.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compare.check.architecture import RecordedArchitecture
from experiments.errors import InputError

# What the targets of such a loss may be, and the loss of PyTorch whose targets are drawn like them.
TARGETS = {"classes": "cross_entropy", "values": "mse", "binary": "bce_with_logits"}
# Of outputs between 0 and 1.
OF_PROBABILITIES = "bce"
# The rows and the outputs of a trial of which targets a function takes.
TRIAL_ROWS = 5
MOST_OUTPUTS = 10_000


def is_torch_loss(loss: str | None) -> bool:
    """Whether the name of a loss is ``FILE.py:FUNCTION``."""
    return loss is not None and ".py:" in loss


@dataclass(frozen=True)
class TorchLoss:
    """A loss that an instructor gives.

    Attributes:
        name: ``FILE.py:FUNCTION``, for messages.
        function: The function of output and target.
        targets: A key of :data:`TARGETS`.
        like: The loss of PyTorch whose targets are drawn like its.
        version: When its file was changed last.
    """

    name: str
    function: Callable[[Any, Any], Any]
    targets: str
    like: str
    version: int = 0

    def value(self, output: Any, target: Any) -> Any:
        """The loss of a batch as a scalar tensor.

        Raises:
            InputError: The function raises, or returns no scalar tensor that depends on the output.
        """
        import torch

        try:
            found = self.function(output, target)
        except Exception as error:
            raise InputError(f"{self.name} raised {_described(error)}.") from None
        if not isinstance(found, torch.Tensor) or found.numel() != 1:
            shape = f"a tensor of shape {tuple(found.shape)}" if hasattr(found, "shape") else ""
            raise InputError(
                f"{self.name} should return a scalar tensor, the loss of a batch, but returned "
                f"{shape or f'a value of type {type(found).__name__}'}."
            )
        if output.requires_grad and not found.requires_grad:
            raise InputError(
                f"{self.name} returned a tensor without a gradient: it has to be computed from "
                "output by operations of PyTorch."
            )
        if not torch.isfinite(found).all():
            raise InputError(
                f"{self.name} gave {found.item()} for outputs of the network, with targets that "
                f"are {self.targets}: the loss should be a finite number."
            )
        return found.reshape(()).to(output.dtype)

    def module(self) -> Any:
        """The loss as a criterion of PyTorch."""
        import torch

        loss = self

        class InstructorsLoss(torch.nn.Module):
            def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
                return loss.value(output, target)

        return InstructorsLoss()

    def criterion(self) -> NumpyCriterion:
        """The loss as one of ``numpy_nn``."""
        return NumpyCriterion(self)


class NumpyCriterion:
    """A :class:`TorchLoss` for arrays, with the interface of the losses of ``numpy_nn``."""

    def __init__(self, loss: TorchLoss) -> None:
        self._loss = loss
        self._gradient = np.zeros(())

    def __call__(self, output: np.ndarray, target: np.ndarray) -> float:
        """The loss of a batch.

        Raises:
            ValueError: It has none, as where the output is infinite.
        """
        import torch

        given = torch.tensor(output, requires_grad=True)
        try:
            value = self._loss.value(given, torch.tensor(target))
        except InputError as error:
            raise ValueError(str(error)) from None
        value.backward()
        self._gradient = np.zeros(output.shape) if given.grad is None else given.grad.numpy()
        return value.item()

    def backward(self) -> np.ndarray:
        """The gradient by the output of the last call."""
        return np.array(self._gradient)


def load_torch_loss(name: str, targets: str | None, build: RecordedArchitecture) -> TorchLoss:
    """Load the function that ``FILE.py:FUNCTION`` means.

    Args:
        name: ``FILE.py:FUNCTION``.
        targets: A key of :data:`TARGETS`; None for what the attribute ``targets`` of the function
            says, and where it has none, for what the function takes: classes before values.
        build: The network, which is not built here.

    Raises:
        InputError: There is no such file or function, or it takes no such targets.
    """
    try:
        import torch  # noqa: F401  (which the file needs)
    except ModuleNotFoundError as error:
        raise InputError(f"The loss {name} needs PyTorch, which is missing ({error}).") from None
    file, _, function_name = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"The loss {name}: there is no Python file {path}.")
    version = path.stat().st_mtime_ns
    names = _run(path.resolve(), version, name)
    function = names.get(function_name)
    if not callable(function):
        raise InputError(f"The loss {name}: {path} defines no function {function_name}().")
    targets = targets or getattr(function, "targets", None)
    if targets is not None and targets not in TARGETS:
        raise InputError(
            f"The loss {name}: its targets should be one of {', '.join(TARGETS)}, but are "
            f"{targets!r}."
        )
    outputs = min(build.outputs(), MOST_OUTPUTS)
    targets = targets or _accepted(name, function, outputs)
    probabilities = build.leaves()[-1:] != [] and build.leaves()[-1][1] == "Sigmoid"
    like = OF_PROBABILITIES if targets == "binary" and probabilities else TARGETS[targets]
    return TorchLoss(name, function, targets, like, version)


def _accepted(name: str, function: Callable[[Any, Any], Any], outputs: int) -> str:
    """Whether the function takes classes or, where it does not, values of the outputs' shape."""
    import torch

    rows = TRIAL_ROWS + (outputs == TRIAL_ROWS)
    output = torch.linspace(0.1, 0.9, rows * outputs, dtype=torch.float64).reshape(rows, outputs)
    tried = {"values": output.flip(0)}
    if outputs > 1:  # one output has no classes
        tried = {"classes": torch.arange(rows) % outputs, **tried}
    problems = []
    for kind, target in tried.items():
        loss = TorchLoss(name, function, kind, TARGETS[kind])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of shapes that do not fit
                loss.value(output.clone().requires_grad_(), target)
        except InputError as error:
            problems.append(str(error))
        else:
            return kind
    raise InputError(problems[-1])


@functools.lru_cache(maxsize=8)
def _run(path: Path, _: int, name: str) -> dict[str, Any]:
    """The names that a file defines; it runs once for as long as it is not changed."""
    spec = importlib.util.spec_from_file_location(f"loss_in_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"The loss {name}: {path.name} is no Python file.")
    if (beside := str(path.parent)) not in sys.path:
        sys.path.append(beside)  # so that the file may import others beside it
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"The loss {name}: {path.name} raised {_described(error)}.") from None
    return vars(module)


def _described(error: BaseException) -> str:
    """An exception with the innermost line of a file outside this package, on one line."""
    lines = [
        f" at line {frame.lineno} of {Path(frame.filename).name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__
        and "torch" not in Path(frame.filename).parts
        and not frame.filename.startswith("<")
    ]
    message = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}{lines[-1] if lines else ''}{': ' if message else ''}{message}"
