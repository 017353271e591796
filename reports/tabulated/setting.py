"""Tables of what was given: environment, data, network, settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from compare.kinds.records import KindRecord
from compare.records import Run, RunRecord
from reports.facts import Facts
from reports.network import modules_of
from reports.tables import pipe_table
from reports.wording import code, count, escaped, joined, number, plural


def environment(record: RunRecord | KindRecord) -> str:
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
    if run.record.experiment.data.layout == "flat":
        shape += f", given to the network as a row of {count(math.prod(found.input_shape))} values"
    rows = [
        ("data set", f"{escaped(found.title)} ({code(found.name)})"),
        ("input", shape),
        ("training rows", count(found.train_rows)),
        ("validation rows", count(found.validation_rows) if found.validation_rows else "none"),
        ("test rows", count(found.test_rows)),
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
        kind = code(module.kind) if module.kind else "–"
        name = code(module.name)
        rows.append((name, kind, joined(shapes) or "–", count(values) if shapes else "–"))
    return pipe_table(("module", "class", "parameters", "values"), rows, "lllr")


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape) or "1"


def setup(run: Run, facts: list[Facts]) -> str:
    """What holds for every training."""
    experiment = run.record.experiment
    training, model = experiment.training, experiment.model
    arguments = "".join(f", {key}={value}" for key, value in model.arguments.items())
    values = sorted({fact.training.parameters for fact in facts})
    updates = [f"{count(fact.steps)} ({escaped(fact.label)})" for fact in facts]
    if len({fact.steps for fact in facts}) == 1:
        updates = [count(facts[0].steps)]
    rows = [
        ("network", code(f"{model.architecture.rpartition(':')[2]}(nn{arguments})")),
        ("trained values", joined([count(number) for number in values]) or "–"),
        ("initialisation", code(model.initialisation)),
        ("loss", code(training.loss)),
        ("precision", training.dtype),
        ("epochs planned", count(training.epochs)),
        ("batch size", f"{count(training.batch_size)}; the last of an epoch holds what is left"),
        ("updates made", joined(updates) or "none"),
        (
            "seed" if len(training.seeds) == 1 else "seeds",
            joined([str(seed) for seed in training.seeds]),
        ),
        ("order of the rows", "drawn anew for each epoch, the same on both sides"),
    ]
    return pipe_table(("", ""), rows)


def optimizers(run: Run) -> str:
    """The settings of each optimizer; what all of them leave unused is left out."""
    return settings_of(run.record.experiment.optimizers)


def settings_of(optimizers: Mapping[str, Any]) -> str:
    """The same of the optimizers by their labels."""
    settings = {label: optimizer.model_dump() for label, optimizer in optimizers.items()}
    names = dict.fromkeys(name for values in settings.values() for name in values)
    shown = [name for name in names if any(_used(values.get(name)) for values in settings.values())]
    rows = [
        (escaped(label), *(_setting(values.get(name)) for name in shown))
        for label, values in settings.items()
    ]
    return pipe_table(("optimizer", *(code(name) for name in shown)), rows)


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
