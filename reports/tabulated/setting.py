"""Tables of what was given: environment, data, network, settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from compare.bench.records import BenchRecord
from compare.records.run import Run, RunRecord
from compare.spec.experiment import ModelSettings
from compare.spec.vary import AxisSettings
from reports.facts import Facts
from reports.network import modules_of
from reports.tables import pipe_table
from reports.variants import short_case
from reports.wording import code, count, escaped, joined, number, plural

MOST_LISTED = 4
"""So many different values of a setting are listed, of more the first and the last."""
MOST_CASES = 12


def environment(record: RunRecord | BenchRecord) -> str:
    """Hardware, system and versions."""
    found, commit = record.environment, record.commit

    def library(version: str, blas: str, threads: int) -> str:
        return f"{escaped(version)}, with {escaped(blas)}, {plural(threads, 'thread')}"

    own = escaped(found.nncompare) + (f", commit {code(commit)}" if commit else "")
    memory = f"{found.memory_bytes / 2**30:.1f} GiB" if found.memory_bytes else "not known"
    rows = [
        ("processor", f"{escaped(found.processor)}, {plural(found.cores, 'core')}"),
        ("memory", memory),
        ("operating system", escaped(found.system)),
        ("Python", escaped(found.python)),
        ("NumPy", library(found.numpy, found.numpy_blas, found.numpy_threads)),
        ("PyTorch", library(found.torch, found.torch_blas, found.torch_threads)),
        ("nncompare", own),
    ]
    return pipe_table(("", ""), rows)


def data(run: Run) -> str:
    """Shapes, splits, licence and source."""
    found = run.record.data
    shape = " × ".join(str(size) for size in found.input_shape)
    layouts = {
        configuration.experiment.data.layout for configuration in run.configurations.values()
    }
    if "flat" in layouts and len(found.input_shape) > 1:
        shape += f", given to the network as a row of {count(math.prod(found.input_shape))} values"
    rows = [
        ("data set", f"{escaped(found.title)} ({code(found.name)})"),
        ("input", shape),
        ("training rows", count(found.train_rows)),
        ("validation rows", count(found.validation_rows) if found.validation_rows else "none"),
        ("test rows", count(found.test_rows) if found.test_rows else "none"),
        ("classes", escaped(", ".join(found.class_names))),
        ("source", escaped(found.source)),
        ("licence", escaped(found.licence)),
        *((f"MD5 of {code(name)}", code(digest)) for name, digest in found.digests.items()),
    ]
    return pipe_table(("", ""), rows)


def network(run: Run) -> str:
    """The modules with their parameters."""
    if not run.record.trainings:
        return ""
    rows = []
    for module in modules_of(run, run.record.trainings[0]):
        shapes = [f"{code(name)} {_shape(shape)}" for name, shape in module.shapes.items()]
        values = sum(math.prod(shape) for shape in module.shapes.values())
        kind = code(module.said) if module.said else "–"
        name = code(module.name)
        rows.append((name, kind, joined(shapes) or "–", count(values) if shapes else "–"))
    return pipe_table(("module", "class", "parameters", "values"), rows, "lllr")


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape) or "1"


def setup(run: Run, facts: list[Facts]) -> str:
    """What holds for every training; where they differ, what the settings are."""
    configurations = [configuration.experiment for configuration in run.configurations.values()]
    training = run.record.experiment.training
    values = sorted({fact.training.parameters for fact in facts})
    rows = [
        ("network", _each([code(_call(configuration.model)) for configuration in configurations])),
        ("trained values", _each([count(number) for number in values]) or "–"),
        (
            "initialisation",
            _each([_initialisation(configuration.model) for configuration in configurations]),
        ),
        ("loss", _each([code(configuration.training.loss) for configuration in configurations])),
        ("precision", _each([configuration.training.dtype for configuration in configurations])),
        (
            "epochs planned",
            _each([count(configuration.training.epochs) for configuration in configurations]),
        ),
        (
            "batch size",
            _batches(run, [configuration.training.batch_size for configuration in configurations]),
        ),
        ("updates made", _updates(facts) or "none"),
        (
            "seed" if len(training.seeds) == 1 else "seeds",
            joined([str(seed) for seed in training.seeds]),
        ),
        ("order of the rows", "drawn anew for each epoch, the same on both sides"),
    ]
    if any(configuration.training.steps for configuration in configurations):
        rows.insert(
            6,
            (
                "steps at most",
                _each([_limit(configuration.training.steps) for configuration in configurations]),
            ),
        )
    if any(not configuration.training.decay_biases for configuration in configurations):
        rows.append(("weight decay", "of weights alone, not of biases, γ and β"))
    return pipe_table(("", ""), rows)


def _each(texts: list[str]) -> str:
    """What holds for all trainings, or the different things that hold for some of them."""
    different = list(dict.fromkeys(texts))
    if len(different) <= MOST_LISTED:
        return joined(different, "or")
    return f"{different[0]} to {different[-1]}, {count(len(different))} in all"


def _call(model: ModelSettings) -> str:
    arguments = "".join(f", {key}={value}" for key, value in model.arguments.items())
    return f"{model.architecture.rpartition(':')[2]}(nn{arguments})"


def _initialisation(model: ModelSettings) -> str:
    std = f" with standard deviation {model.std:g}" if model.initialisation == "normal" else ""
    return code(model.initialisation) + std


def _batches(run: Run, sizes: list[int]) -> str:
    rows = run.record.data.train_rows
    if all(size >= rows for size in sizes):
        return f"{count(rows)}: all training rows at each step"
    left = (
        ""
        if all(rows % size == 0 for size in sizes)
        else "; the last of an epoch holds what is left"
    )
    return _each([count(size) for size in sizes]) + left


def _limit(steps: int | None) -> str:
    return "no limit" if steps is None else count(steps)


def _updates(facts: list[Facts]) -> str:
    made = {fact.steps for fact in facts}
    if len(made) <= 1 or len(facts) > MOST_LISTED:
        return " to ".join(count(steps) for steps in sorted({min(made), max(made)})) if made else ""
    return joined([f"{count(fact.steps)} ({escaped(fact.label)})" for fact in facts])


def varied(run: Run) -> str:
    """The axes of the experiment and their cases."""
    experiment = run.record.experiment
    if not experiment.vary:
        return ""
    rows = []
    if len(experiment.optimizers) > 1:
        rows.append(("optimizer", joined([escaped(o) for o in experiment.optimizers]), "–"))
    for name, axis in experiment.vary.items():
        rows.append((escaped(name), _cases(name, axis), _keys(axis)))
    return pipe_table(("axis", "cases", "settings that change"), rows)


def _cases(name: str, axis: AxisSettings) -> str:
    if axis.powers_of_ten:
        drawn = [
            f"{code(key)} from {number(10.0**ends.low, 1)} to {number(10.0**ends.high, 1)}"
            for key, ends in axis.powers_of_ten.items()
        ]
        return (
            f"{count(axis.trials or 0)} trials, each with random {joined(drawn)}, every magnitude "
            f"equally likely (seed {axis.seed})"
        )
    labels = [escaped(short_case(name, case)) for case in axis.changes(name)]
    if axis.log_steps is not None and len(labels) > MOST_LISTED:
        ends = f"{labels[0]} to {labels[-1]}"
        return f"{len(labels)} values from {ends} in equal steps of their logarithm"
    if len(labels) > MOST_CASES:
        return f"{count(len(labels))}, from {labels[0]} to {labels[-1]}"
    return joined(labels)


def _keys(axis: AxisSettings) -> str:
    if axis.key is not None:
        return code(axis.key)
    keys = axis.powers_of_ten or {}
    return joined([code(key) for key in keys or dict.fromkeys(_paths(axis.cases or {}))])


def _paths(cases: dict[str, dict[str, Any]]) -> list[str]:
    """The dotted paths of all settings that the cases change."""

    def below(tree: dict[str, Any], prefix: str) -> list[str]:
        found = []
        for key, value in tree.items():
            nested = isinstance(value, dict) and value
            found += below(value, f"{prefix}{key}.") if nested else [f"{prefix}{key}"]
        return found

    return [path for changes in cases.values() for path in below(changes, "")]


def optimizers(run: Run) -> str:
    """The settings of each optimizer; what all of them leave unused is left out."""
    found: dict[str, list[Any]] = {}
    for configuration in run.configurations.values():
        found.setdefault(configuration.optimizer, []).append(
            configuration.experiment.optimizers[configuration.optimizer]
        )
    return settings_of(found)


def settings_of(optimizers: Mapping[str, Any]) -> str:
    """The same of the optimizers by their labels, each one or as many as there are."""
    found = {
        label: [one.model_dump() for one in (several if isinstance(several, list) else [several])]
        for label, several in optimizers.items()
    }
    names = dict.fromkeys(
        name for configurations in found.values() for values in configurations for name in values
    )
    every = [values for configurations in found.values() for values in configurations]
    used = [name for name in names if any(_used(values.get(name)) for values in every)]
    rows = [
        (
            escaped(label),
            *(_each([_setting(values.get(name)) for values in configurations]) for name in used),
        )
        for label, configurations in found.items()
    ]
    return pipe_table(("optimizer", *(code(name) for name in used)), rows)


def _settings(values: list[Any]) -> str:
    """A setting of several configurations: numbers in order of size."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        values = sorted(values)
    return _each([_setting(value) for value in values])


def _used(value: Any) -> bool:
    return value not in (None, 0, False)


def _setting(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(_setting(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        text = f"{value:g}"
        return number(value, len(text.partition("e")[0].replace(".", ""))) if "e" in text else text
    return escaped(str(value))
