"""The model of a configuration: network, loss and optimizer, as both backends build them.

Besides, what the output of a network means: which targets its loss takes, and which class it names.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from compare.spec.architecture import find_architecture
from experiments.errors import InputError
from experiments.initialisation import Scheme, initialise

if TYPE_CHECKING:
    from compare.spec.experiment import Experiment

NO_CLASS = -1
"""Predicted where the output is no number, or rounds to no class that can be counted."""


class TargetType(NamedTuple):
    """How a loss sees the classes.

    Attributes:
        one_output: Whether the network has one output, or one for each class.
        most_classes: How many classes there may be; None where any number will do.
        predicted_classes: Outputs (N, C) or (N, 1) to classes (N,), int64.
        confidences: The same outputs to the probabilities (N,) of those classes; None where the
            outputs give no probability.
    """

    one_output: bool
    most_classes: int | None
    predicted_classes: Callable[[np.ndarray], np.ndarray]
    confidences: Callable[[np.ndarray], np.ndarray] | None = None

    def targets(self, classes: np.ndarray) -> np.ndarray:
        """Classes (N,) as the loss takes them: (N,) int64, or (N, 1) float32 for one output."""
        return classes.astype(np.float32)[:, None] if self.one_output else classes


def _largest(outputs: np.ndarray) -> np.ndarray:
    return outputs.argmax(axis=1)


def _above(threshold: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda outputs: (outputs[:, 0] > threshold).astype(np.int64)


def _nearest(outputs: np.ndarray) -> np.ndarray:
    rounded = np.rint(outputs[:, 0].astype(np.float64))
    known = np.abs(rounded) < 2**31  # false for NaN too
    return np.where(known, rounded, NO_CLASS).astype(np.int64)


def _softmax_of_largest(outputs: np.ndarray) -> np.ndarray:
    """Also right for logarithms of probabilities, which sum to 1 already."""
    logits = outputs.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return 1.0 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)


def _nearer_to_certain(outputs: np.ndarray) -> np.ndarray:
    return np.maximum(outputs[:, 0], 1 - outputs[:, 0])


def _sigmoid_of_size(outputs: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-np.abs(outputs[:, 0].astype(np.float64))))


_CLASSES = TargetType(False, None, _largest, _softmax_of_largest)
_NUMBER = TargetType(True, None, _nearest)

TARGET_TYPES = {
    "CrossEntropyLoss": _CLASSES,
    "NLLLoss": _CLASSES,
    "BCELoss": TargetType(True, 2, _above(0.5), _nearer_to_certain),
    "BCEWithLogitsLoss": TargetType(True, 2, _above(0.0), _sigmoid_of_size),
    "MSELoss": _NUMBER,
    "L1Loss": _NUMBER,
    "SmoothL1Loss": _NUMBER,
    "HuberLoss": _NUMBER,
}
"""Loss class → what it makes of the classes."""


@dataclass(frozen=True)
class ModelSpec:
    """The network, loss and optimizer of one training, in words that both namespaces know.

    Attributes:
        architecture: A function of a namespace.
        arguments: Its keyword arguments.
        initialisation: A scheme of ``experiments.initialisation``; ``std`` belongs to it.
        loss: The loss class.
        algorithm: The optimizer class.
        settings: The optimizer's keyword arguments.
        decay_biases: Whether its weight decay acts on vectors too, or on parameters of two and
            more dimensions alone.
    """

    architecture: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    initialisation: Scheme = "kaiming_uniform"
    std: float = 0.01
    loss: str = "CrossEntropyLoss"
    algorithm: str = "SGD"
    settings: dict[str, Any] = field(default_factory=dict)
    decay_biases: bool = True

    @property
    def target_type(self) -> TargetType:
        """What the network's output means."""
        return TARGET_TYPES[self.loss]

    def model(self, nn: Any) -> Any:
        """The network with its starting weights, drawn from the namespace's generator.

        Raises:
            InputError: The architecture cannot be built, or builds something else.
        """
        name = f"The architecture {getattr(self.architecture, '__name__', self.architecture)}"
        try:
            model = self.architecture(nn, **self.arguments)
        except Exception as error:
            raise InputError(
                f"{name} could not be built from {nn.__name__}{_line_of(error, self.architecture)}"
                f" with the arguments {self.arguments}: {type(error).__name__}: {error}."
            ) from error
        if not isinstance(model, nn.Module):
            raise InputError(f"{name} returned {model!r}, not a network made of {nn.__name__}.")
        initialise(nn, model, self.initialisation, self.std)
        return model

    def criterion(self, nn: Any) -> Any:
        """The loss."""
        return getattr(nn, self.loss)()

    def optimizer(self, nn: Any, model: Any) -> Any:
        """The optimizer of all parameters of ``model``.

        Raises:
            InputError: Its settings contradict each other, or there is nothing to train.
        """
        try:
            return getattr(nn.optim, self.algorithm)(self._groups(model), **self.settings)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise InputError(
                f"The optimizer {self.algorithm} could not be made with {self.settings}: {error}."
            ) from error

    def _groups(self, model: Any) -> Any:
        """The parameters, or two groups of them where only some decay."""
        if self.decay_biases or not self.settings.get("weight_decay"):
            return model.parameters()
        parameters = list(model.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if len(p.shape) > 1]},
            {"params": [p for p in parameters if len(p.shape) <= 1], "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


def model_spec(experiment: Experiment, label: str, folder: Path = Path()) -> ModelSpec:
    """The model of the training with the optimizer ``label``.

    Args:
        experiment: The experiment.
        label: One of its optimizers.
        folder: Where a ``FILE.py`` of ``model.architecture`` is looked for.

    Raises:
        InputError: The architecture does not exist or does not take the arguments.
    """
    settings = experiment.optimizers[label].model_dump()
    function = find_architecture(experiment.model.architecture, folder)
    try:
        inspect.signature(function).bind(None, **experiment.model.arguments)
    except TypeError as error:
        raise InputError(
            f"model.arguments do not fit the architecture {experiment.model.architecture!r}: "
            f"{error}; it takes {inspect.signature(function)}."
        ) from None
    return ModelSpec(
        function,
        experiment.model.arguments,
        experiment.model.initialisation,
        experiment.model.std,
        experiment.training.loss,
        settings.pop("algorithm"),
        settings,
        experiment.training.decay_biases,
    )


def _line_of(error: Exception, function: Callable[..., Any]) -> str:
    """Where in the file of ``function`` the error came up."""
    code = getattr(function, "__code__", None)
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if code is not None and frame.filename == code.co_filename and frame.filename != __file__
    ]
    return f" (line {lines[-1]} of {Path(code.co_filename).name})" if code and lines else ""
