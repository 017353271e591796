"""One training of an experiment, as both sides are to build it."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compare.experiment import Experiment
from experiments import architectures
from experiments.errors import InputError
from experiments.initialisation import Scheme, initialise


@dataclass(frozen=True)
class Blueprint:
    """The network, loss and optimizer of one training, in words that both namespaces know.

    Attributes:
        architecture: A function of a namespace.
        arguments: Its keyword arguments.
        initialisation: A scheme of ``experiments.initialisation``; ``std`` belongs to it.
        loss: The loss class.
        algorithm: The optimizer class.
        settings: The optimizer's keyword arguments.
    """

    architecture: Callable[..., Any]
    arguments: dict[str, Any] = field(default_factory=dict)
    initialisation: Scheme = "kaiming_uniform"
    std: float = 0.01
    loss: str = "CrossEntropyLoss"
    algorithm: str = "SGD"
    settings: dict[str, Any] = field(default_factory=dict)

    def model(self, nn: Any) -> Any:
        """The network with its starting weights, drawn from the namespace's generator."""
        model = self.architecture(nn, **self.arguments)
        initialise(nn, model, self.initialisation, self.std)
        return model

    def criterion(self, nn: Any) -> Any:
        """The loss."""
        return getattr(nn, self.loss)()

    def optimizer(self, nn: Any, model: Any) -> Any:
        """The optimizer of all parameters of ``model``."""
        return getattr(nn.optim, self.algorithm)(model.parameters(), **self.settings)


def blueprint(experiment: Experiment, label: str, folder: Path = Path()) -> Blueprint:
    """The blueprint of the training with the optimizer ``label``.

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
    return Blueprint(
        function,
        experiment.model.arguments,
        experiment.model.initialisation,
        experiment.model.std,
        experiment.training.loss,
        settings.pop("algorithm"),
        settings,
    )


def architecture_names() -> list[str]:
    """The functions of ``experiments.architectures``, in the order of the file."""
    return [
        name
        for name, value in vars(architectures).items()
        if inspect.isfunction(value)
        and value.__module__ == architectures.__name__
        and not name.startswith("_")
    ]


def find_architecture(name: str, folder: Path = Path()) -> Callable[..., Any]:
    """The function that ``name`` or ``FILE.py:FUNCTION`` means."""
    if ":" not in name:
        if name not in architecture_names():
            raise InputError(
                f"There is no architecture {name!r}: expected one of "
                f"{', '.join(architecture_names())}, or FILE.py:FUNCTION."
            )
        return getattr(architectures, name)
    file_name, _, function_name = name.rpartition(":")
    path = folder / file_name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"model.architecture {name!r}: there is no Python file {path}.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(
            f"model.architecture {name!r}: {path} could not be run: "
            f"{type(error).__name__}: {error}."
        ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"model.architecture {name!r}: {path} defines no {function_name}().")
    return function
