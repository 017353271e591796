"""The networks of a run: their modules, and the sites where values of these are compared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from compare.records.run import Run, TrainingRecord, read_arrays
from compare.records.tables import ParityRow
from compare.spec.experiment import Configuration

DEFAULTS = {
    *("bias=True", "eps=1e-05", "momentum=0.1", "affine=True", "track_running_stats=True"),
    *("stride=(1, 1)", "padding=(0, 0)", "padding=0", "dilation=1", "ceil_mode=False"),
    *("inplace=False", "start_dim=1", "end_dim=-1", "dilation=(1, 1)", "groups=1"),
}

COMPARISONS = {
    "start": "bits at the start",
    "float32": "float32, each stage alone",
    "float64": "float64, each stage alone",
    "whole": "float64, the whole step",
    "evaluation": "evaluation mode",
}
"""Kind of comparison → its name in tables and figures."""


class Site(NamedTuple):
    """The name of a place where values are compared, taken apart.

    Attributes:
        kind: The kind of comparison: ``float32``, ``float64``, ``whole`` or ``evaluation``.
        part: ``forward``, ``gradient`` and so on.
        module: The module that it belongs to, or an empty text.
        name: The rest of its name.
    """

    kind: str
    part: str
    module: str
    name: str


def site_of(row: ParityRow) -> Site:
    """Take the name of a site apart: ``gradient/1.weight`` is the gradients' module 1."""
    words = row.site.split("/")
    kind = row.dtype
    if words[0] == "whole":
        kind, words = "whole", words[1:]
    part, name = words[0], "/".join(words[1:])
    kind = "evaluation" if part == "evaluation" else kind
    module = words[1] if len(words) > 1 else ""
    if part in ("initial", "buffer", "gradient", "update", "optimizer"):
        module = module.rpartition(".")[0]
    return Site(kind, part, module, name)


class Module(NamedTuple):
    """A module of the network.

    Attributes:
        name: Its name in the state_dict.
        printed: Its class with its settings.
        shapes: Parameter → shape, where the weights were kept; buffers are left out.
    """

    name: str
    printed: str
    shapes: dict[str, tuple[int, ...]]


def modules_of(run: Run, training: TrainingRecord) -> list[Module]:
    """The modules that hold no others, in the order in which they compute."""
    sites = [site_of(row) for row in run.parity_of(training)]
    order = dict.fromkeys(site.module for site in sites if site.part == "forward")
    trained = dict.fromkeys(site.name for site in sites if site.part == "gradient")
    shapes = weight_shapes(run, training)
    names = [name for name in order if name in training.modules]
    names += [name for name in training.modules if name not in order]
    found = []
    for name in names:
        own = [parameter for parameter in trained if parameter.rpartition(".")[0] == name]
        found.append(
            Module(
                name,
                printed(training.modules[name]),
                {
                    parameter.rpartition(".")[2]: shapes[parameter]
                    for parameter in own
                    if parameter in shapes
                },
            )
        )
    return found


def printed(module: str) -> str:
    """A module as it prints itself, without the settings that are PyTorch's defaults."""
    kind, bracket, rest = module.partition("(")
    settings = re.findall(r"(?:[^,(]|\([^)]*\))+", rest.removesuffix(")"))
    kept = [text.strip() for text in settings if text.strip() not in DEFAULTS]
    kept = [re.sub(r"^(in_features|out_features|kernel_size)=", "", text) for text in kept]
    return f"{kind}{bracket}{', '.join(kept)})" if kept else kind


def class_of(training: TrainingRecord, module: str) -> str:
    """The class of a module, empty where the network has no such module."""
    return training.modules.get(module, "").partition("(")[0]


def classes_of(run: Run) -> list[str]:
    """The classes of the modules of all networks, in order of appearance."""
    return list(
        dict.fromkeys(
            class_of(training, name)
            for training in run.record.trainings
            for name in training.modules
        )
    )


def weight_shapes(run: Run, training: TrainingRecord) -> dict[str, tuple[int, ...]]:
    """Name in the state_dict → shape, of NumPy's final weights; empty where none were kept."""
    name = f"numpy-{training.label}-seed{training.seed}.safetensors"
    file = run.path / "weights" / name
    if not file.exists():
        return {}
    return {key: value.shape for key, value in read_arrays(file).items()}


def networks(run: Run) -> list[tuple[str, TrainingRecord]]:
    """The different networks of a run: (by which cases they are told apart, a training)."""
    configurations: dict[str, list[Configuration]] = {}
    for configuration in run.configurations.values():
        model = configuration.experiment.model
        key = repr((model.architecture, model.arguments))
        configurations.setdefault(key, []).append(configuration)
    trainings = {training.label: training for training in reversed(run.record.trainings)}
    every = list(run.configurations.values())
    found = []
    for members in configurations.values():
        training = next((trainings[c.label] for c in members if c.label in trainings), None)
        if training is None:
            continue
        cases = []
        for axis in members[0].variant:
            own = list(dict.fromkeys(configuration.variant[axis] for configuration in members))
            if len(own) < len({configuration.variant[axis] for configuration in every}):
                cases.append(" or ".join(own))
        found.append((", ".join(cases), training))
    return found


def chain(classes: Sequence[str]) -> str:
    """``Linear, ReLU, Linear, ReLU, Linear`` → ``2 × (Linear, ReLU), Linear``."""
    parts: list[str] = []
    place = 0
    while place < len(classes):
        best = (1, 1)  # (repetitions, length) of what is repeated from here on
        for length in range(1, (len(classes) - place) // 2 + 1):
            first = classes[place : place + length]
            times = 1
            while classes[place + times * length :][:length] == first:
                times += 1
            if times > 1 and times * length > best[0] * best[1]:
                best = (times, length)
        times, length = best
        words = ", ".join(classes[place : place + length])
        bracketed = f"({words})" if length > 1 else words
        parts.append(f"{times} × {bracketed}" if times > 1 else words)
        place += times * length
    return ", ".join(parts)
