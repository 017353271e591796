"""Which parts of the method a run uses: only those appear in its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compare.records.run import Run, Tolerances
from compare.spec.experiment import Experiment
from compare.spec.optimizers import AdamSettings, SGDSettings
from reports.network import chain, class_of, classes_of, networks, printed
from reports.text import latex

LAYERS = {
    *("Linear", "Conv2d", "BatchNorm1d", "BatchNorm2d", "LeakyReLU", "ReLU", "Sigmoid", "Tanh"),
    *("SiLU", "MaxPool2d", "AvgPool2d", "Flatten", "Dropout", "Sequential"),
}
LOSSES = {"CrossEntropyLoss", "NLLLoss", "BCELoss", "BCEWithLogitsLoss", "MSELoss"}
OPTIMIZERS = {"SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Adadelta"}
MOST_NETWORKS = 8


def method_of(run: Run) -> dict[str, Any]:
    """The names that ``method.md.j2`` and the templates that it includes ask for."""
    experiments = [configuration.experiment for configuration in run.configurations.values()]
    classes = classes_of(run)
    losses = list(dict.fromkeys(experiment.training.loss for experiment in experiments))
    given = [experiment.model.arguments.get("negative_slope") for experiment in experiments]
    slopes = {slope if isinstance(slope, int | float) else None for slope in given}
    return {
        "layers": classes,
        "other_layers": [name for name in classes if name not in LAYERS],
        "batchnorm_defaults": _has_default_batchnorm(run),
        "negative_slope": slopes.pop() if len(slopes) == 1 else None,
        "networks": _networks(run),
        "most_networks": MOST_NETWORKS,
        "losses": losses,
        "other_losses": [loss for loss in losses if loss not in LOSSES],
        "weights_decay_alone": any(
            not experiment.training.decay_biases for experiment in experiments
        ),
        "initialisations": _initialisations(experiments),
        "dtypes": list(dict.fromkeys(experiment.training.dtype for experiment in experiments)),
        "tolerances": tolerances_in_words(run.record.tolerances),
        **_optimizers([o for e in experiments for o in e.optimizers.values()]),
    }


def calls_of(run: Run) -> dict[str, str]:
    """Class → PyTorch's call that it is compared with, with the settings of its first use."""
    found: dict[str, str] = {}
    for training in run.record.trainings:
        for name, module in training.modules.items():
            found.setdefault(class_of(training, name), f"torch.nn.{printed(module)}")
    for configuration in run.configurations.values():
        experiment = configuration.experiment
        found.setdefault(experiment.training.loss, f"torch.nn.{experiment.training.loss}")
        for optimizer in experiment.optimizers.values():
            settings = f"lr={optimizer.lr:g}"
            call = f"torch.optim.{optimizer.algorithm}(model.parameters(), {settings}, …)"
            found.setdefault(optimizer.algorithm, call)
    calls = {name: call if "(" in call else f"{call}()" for name, call in found.items()}
    return {name: call for name, call in calls.items() if "`" not in call}


def tolerances_in_words(tolerances: Tolerances) -> dict[str, str]:
    """For formulas: k and its floor plainly, the float64 bound as a power of 10."""
    measured = tolerances.largest_measured
    return {
        "k": f"{tolerances.k:g}",
        "largest_measured": f"{measured:g}" if measured is not None else "",
        "floor_ulp": f"{tolerances.floor_ulp:g}",
        "float64": f"${latex(tolerances.float64)}$",
    }


def _has_default_batchnorm(run: Run) -> bool:
    """Whether every batch normalisation has PyTorch's ε and weight of the new value."""
    return all(
        {"eps=1e-05", "momentum=0.1"} <= {text.strip() for text in module.split(",")}
        for training in run.record.trainings
        for module in training.modules.values()
        if module.startswith("BatchNorm")
    )


def _networks(run: Run) -> list[dict[str, Any]]:
    """The different networks: cases that tell them apart, layers in words, trained values."""
    return [
        {
            "cases": cases,
            "layers": chain([class_of(training, name) for name in training.modules]),
            "parameters": training.parameters,
        }
        for cases, training in networks(run)
    ]


def _initialisations(experiments: Sequence[Experiment]) -> dict[str, list[float]]:
    """Scheme → the standard deviations that trainings with it have, from the least on."""
    found: dict[str, set[float]] = {}
    for experiment in experiments:
        model = experiment.model
        found.setdefault(model.initialisation, set()).add(model.std)
    return {scheme: sorted(stds) for scheme, stds in found.items()}


def _optimizers(optimizers: Sequence[Any]) -> dict[str, Any]:
    """Which variants of the optimizers are used."""
    sgd = [o for o in optimizers if isinstance(o, SGDSettings)]
    adam = [o for o in optimizers if isinstance(o, AdamSettings)]
    rmsprop = [o for o in optimizers if o.algorithm == "RMSprop"]
    algorithms = list(dict.fromkeys(o.algorithm for o in optimizers))
    return {
        "algorithms": algorithms,
        "other_optimizers": [name for name in algorithms if name not in OPTIMIZERS],
        "sgd": {
            "plain": any(o.momentum == 0 for o in sgd),
            "momentum": any(o.momentum > 0 for o in sgd),
            "dampening": any(o.dampening != 0 for o in sgd),
            "nesterov": any(o.nesterov for o in sgd),
            "decay": any(o.weight_decay > 0 for o in sgd),
        },
        "adam": {
            "decay": any(o.weight_decay > 0 for o in adam),
            "amsgrad": any(o.amsgrad for o in adam),
        },
        "rmsprop": {
            "momentum": any(o.momentum > 0 for o in rmsprop),
            "centered": any(o.centered for o in rmsprop),
        },
        "weight_decay": any(getattr(o, "weight_decay", 0) > 0 for o in optimizers),
        "lr_decay": any(getattr(o, "lr_decay", 0) > 0 for o in optimizers),
        "maximize": any(o.maximize for o in optimizers),
    }
