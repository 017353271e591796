"""What the network is made of, read from its recorded source, sites and weights."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import NamedTuple

from compare.records.run import Run, RunRecord, TrainingRecord, read_arrays
from compare.spec.experiment import Configuration
from reports.parity_grid import site_of

# Classes by what their parameters look like: (number of axes of the weight, running statistics).
PARAMETRIC = {
    "Linear": (2, False),
    "Conv1d": (3, False),
    "Conv2d": (4, False),
    "BatchNorm1d": (1, True),
    "BatchNorm2d": (1, True),
    "LayerNorm": (1, False),
}
CONTAINERS = {"Sequential", "ModuleList"}

DEFAULTS = {
    *("bias=True", "eps=1e-05", "momentum=0.1", "affine=True", "track_running_stats=True"),
    *("stride=(1, 1)", "padding=(0, 0)", "padding=0", "dilation=1", "ceil_mode=False"),
    *("inplace=False", "start_dim=1", "end_dim=-1", "dilation=(1, 1)", "groups=1"),
}

# A source that is worth showing only where the run uses what it defines.
USED_FOR = {"batchnorm": "BatchNorm", "adam": "Adam", "sgd": "SGD"}


class Module(NamedTuple):
    """A module of the network.

    Attributes:
        name: Its name in the state_dict.
        kind: Its class, empty where the records do not tell.
        shapes: Parameter → shape; buffers are left out.
        said: Its class with its settings, where they were recorded.
    """

    name: str
    kind: str
    shapes: dict[str, tuple[int, ...]]
    said: str


def architecture_source(record: RunRecord) -> str:
    """The source of the architecture function: the first that is recorded."""
    return next(iter(record.sources.values()), "")


def module_kinds(source: str) -> list[str]:
    """The classes that an architecture function takes from its namespace, in order of appearance.

    ``def net(nn): return nn.Sequential(nn.Linear(2, 1))`` gives Sequential and Linear.
    """
    return list(dict.fromkeys(name for name, _ in _calls(source)))


def has_defaults(source: str, kind: str) -> bool:
    """Whether each module of a kind is made from its first argument alone."""
    calls = [call for name, call in _calls(source) if name.startswith(kind)]
    return all(len(call.args) == 1 and not call.keywords for call in calls)


def _calls(source: str) -> list[tuple[str, ast.Call]]:
    """(class, call) of every module that an architecture function makes."""
    try:
        function = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef))
    except (SyntaxError, StopIteration):
        return []
    namespace = function.args.args[0].arg if function.args.args else ""
    found = [
        (node.func.attr, node)
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == namespace
    ]
    return sorted(found, key=lambda call: (call[1].lineno, call[1].col_offset))


def class_of(training: TrainingRecord, module: str) -> str:
    """The class of a module, as it was recorded; empty where it was not."""
    return training.modules.get(module, "").partition("(")[0]


def weights_with_axes(run: Run, training: TrainingRecord, least: int) -> set[str]:
    """The parameters whose value was kept and has so many axes or more."""
    return {name for name, shape in _weights(run, training).items() if len(shape) >= least}


def used_kinds(run: Run) -> list[str]:
    """The classes of the modules of all networks, in order of appearance."""
    recorded = [
        class_of(training, name) for training in run.record.trainings for name in training.modules
    ]
    return list(dict.fromkeys(recorded)) or module_kinds(architecture_source(run.record))


def networks(run: Run) -> list[tuple[str, TrainingRecord]]:
    """The different networks of a run: (by which cases they are told apart, a training)."""
    configurations: dict[str, list[Configuration]] = {}
    for configuration in run.configurations.values():
        model = configuration.experiment.model
        configurations.setdefault(repr((model.architecture, model.arguments)), []).append(
            configuration
        )
    trainings = {training.label: training for training in reversed(run.record.trainings)}
    every = list(run.configurations.values())
    found = []
    for members in configurations.values():
        training = next((trainings[p.label] for p in members if p.label in trainings), None)
        if training is None:
            continue
        cases = []
        for axis in members[0].variant:
            own = list(dict.fromkeys(configuration.variant[axis] for configuration in members))
            if len(own) < len({configuration.variant[axis] for configuration in every}):
                cases.append(" or ".join(own))
        found.append((", ".join(cases), training))
    return found


def chain(kinds: Sequence[str]) -> str:
    """``Linear, ReLU, Linear, ReLU, Linear`` → ``2 × (Linear, ReLU), Linear``."""
    parts: list[str] = []
    place = 0
    while place < len(kinds):
        best = (1, 1)  # (repetitions, length) of what is repeated from here on
        for length in range(1, (len(kinds) - place) // 2 + 1):
            first = kinds[place : place + length]
            times = 1
            while kinds[place + times * length :][:length] == first:
                times += 1
            if times > 1 and times * length > best[0] * best[1]:
                best = (times, length)
        times, length = best
        words = ", ".join(kinds[place : place + length])
        bracketed = f"({words})" if length > 1 else words
        parts.append(f"{times} × {bracketed}" if times > 1 else words)
        place += times * length
    return ", ".join(parts)


def printed(module: str) -> str:
    """A module as it prints itself, without the settings that are PyTorch's defaults."""
    kind, bracket, rest = module.partition("(")
    settings = re.findall(r"(?:[^,(]|\([^)]*\))+", rest.removesuffix(")"))
    kept = [text.strip() for text in settings if text.strip() not in DEFAULTS]
    kept = [re.sub(r"^(in_features|out_features|kernel_size)=", "", text) for text in kept]
    return f"{kind}{bracket}{', '.join(kept)})" if kept else kind


def modules_of(run: Run, training: TrainingRecord) -> list[Module]:
    """The modules in the order in which they compute; shapes only where weights were kept."""
    sites = [site_of(row) for row in run.parity_of(training)]
    names = list(dict.fromkeys(site.module for site in sites if site.part == "forward"))
    weights = _weights(run, training)
    calls = [kind for kind, _ in _calls(architecture_source(run.record)) if kind not in CONTAINERS]
    kinds = list(dict.fromkeys(calls))
    names = [name for name in names if name not in ("", "loss")]
    modules = []
    for place, name in enumerate(names):
        prefix = f"{name}."
        own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        parameters = dict.fromkeys(
            f"{site.part}/{site.name}" for site in sites if site.module == name
        )
        tracked = f"buffer/{prefix}running_mean" in parameters
        learned = any(found.startswith("gradient/") for found in parameters)
        kind = _kind(kinds, own.get("weight"), learned=learned, tracked=tracked)
        if len(calls) == len(names):  # no loop: the calls stand in the order of the modules
            kind = calls[place]
        trained = [name.removeprefix(f"gradient/{prefix}") for name in parameters]
        shapes = {name: own[name] for name in trained if name in own}
        recorded = class_of(training, name)
        said = printed(training.modules[name]) if recorded else ""
        modules.append(Module(name, recorded or kind, shapes, said or recorded or kind))
    return modules


def _kind(kinds: list[str], weight: tuple[int, ...] | None, *, learned: bool, tracked: bool) -> str:
    """The class that alone fits what is known of a module."""
    if learned:
        fitting = [
            kind
            for kind, (axes, statistics) in PARAMETRIC.items()
            if statistics == tracked and (weight is None or axes == len(weight))
        ]
        found = [kind for kind in kinds if kind in fitting]
    else:
        found = [kind for kind in kinds if kind not in PARAMETRIC]
    return found[0] if len(found) == 1 else ""


def _weights(run: Run, training: TrainingRecord) -> dict[str, tuple[int, ...]]:
    name = f"numpy-{training.label}-seed{training.seed}.safetensors"
    file = run.path / "weights" / name
    if not file.exists():
        return {}
    return {key: value.shape for key, value in read_arrays(file).items()}


def used_sources(record: RunRecord) -> list[tuple[str, str]]:
    """(name, source) of the recorded sources, without layers and optimizers that are not used."""
    used = module_kinds(architecture_source(record))
    used += [settings.algorithm for settings in record.experiment.optimizers.values()]

    def belongs(name: str) -> bool:
        wanted = [kind for part, kind in USED_FOR.items() if name.endswith(f"/{part}.py")]
        return not wanted or any(kind.startswith(wanted[0]) for kind in used)

    return [(name, source) for name, source in record.sources.items() if belongs(name)]
