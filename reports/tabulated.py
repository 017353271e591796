"""The contents of every table of the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from compare.records import Run
from compare.results import BACKENDS, quantity
from reports.facts import Facts
from reports.parity_grid import PANELS, PARTS, site_of
from reports.tables import pipe_table
from reports.trainings import several_seeds
from reports.wording import capitalised, code, count, escaped, fixed, number, percent


def tables_of(run: Run, facts: list[Facts]) -> dict[str, str]:
    """Name → Markdown table; one that would have no rows is left out."""
    makers: dict[str, Callable[[Run, list[Facts]], str]] = {
        "environment": environment,
        "data": data,
        "setup": setup,
        "optimizers": optimizers,
        "results": results,
        "parity": parity,
        "timing": timing,
        "reported": reported,
    }
    made = {name: make(run, facts) for name, make in makers.items()}
    return {name: table for name, table in made.items() if table}


def environment(run: Run, facts: list[Facts]) -> str:
    """Hardware, system and versions."""
    found, record = run.record.environment, run.record
    memory = f"{found.memory_bytes / 2**30:.1f} GiB" if found.memory_bytes else "not known"
    rows = [
        ("processor", escaped(found.processor)),
        ("cores used", f"{found.cores}"),
        ("memory", memory),
        ("operating system", escaped(found.system)),
        ("Python", escaped(found.python)),
        (
            "NumPy",
            f"{escaped(found.numpy)}, BLAS: {escaped(found.numpy_blas)}, threads: {found.numpy_threads}",
        ),
        (
            "PyTorch",
            f"{escaped(found.torch)}, BLAS: {escaped(found.torch_blas)}, threads: {found.torch_threads}",
        ),
        (
            "nncompare",
            escaped(found.nncompare) + (f", commit {code(record.commit)}" if record.commit else ""),
        ),
    ]
    return pipe_table(("", ""), rows)


def data(run: Run, facts: list[Facts]) -> str:
    """Shapes, splits, licence and source."""
    found = run.record.data
    shape = " × ".join(str(size) for size in found.input_shape)
    layout = run.record.experiment.data.layout
    flat = 1
    for size in found.input_shape:
        flat *= size
    given = (
        f"{shape}, given to the network as {flat} values in a row" if layout == "flat" else shape
    )
    rows = [
        ("data set", f"{escaped(found.title)} ({code(found.name)})"),
        ("input", given),
        ("training", f"{count(found.train_rows)} rows"),
        ("validation", f"{count(found.validation_rows)} rows" if found.validation_rows else "none"),
        ("test", f"{count(found.test_rows)} rows"),
        ("classes", escaped(", ".join(found.class_names))),
        ("source", escaped(found.source)),
        ("licence", escaped(found.licence)),
        *((f"MD5 of {code(name)}", code(digest)) for name, digest in found.digests.items()),
    ]
    return pipe_table(("", ""), rows)


def setup(run: Run, facts: list[Facts]) -> str:
    """What holds for every training."""
    experiment = run.record.experiment
    training, model = experiment.training, experiment.model
    arguments = ", ".join(f"{key}={value}" for key, value in model.arguments.items())
    steps = sorted({fact.training.steps for fact in facts})
    rows = [
        ("network", code(f"{model.architecture}(nn, {arguments})")),
        (
            "trained values",
            ", ".join(count(n) for n in sorted({f.training.parameters for f in facts})) or "–",
        ),
        ("initialisation", escaped(model.initialisation)),
        ("loss", code(training.loss)),
        ("precision", training.dtype),
        ("epochs", count(training.epochs)),
        ("batch size", count(training.batch_size)),
        ("updates made", ", ".join(count(n) for n in steps) or "none"),
        ("seeds", ", ".join(str(seed) for seed in training.seeds)),
        (
            "order of the batches",
            "drawn anew each epoch, the same on both sides; the last batch holds what is left",
        ),
    ]
    return pipe_table(("", ""), rows)


def optimizers(run: Run, facts: list[Facts]) -> str:
    """The settings of each optimizer; those that no optimizer uses are left out."""
    settings = {
        label: optimizer.model_dump()
        for label, optimizer in run.record.experiment.optimizers.items()
    }
    names = dict.fromkeys(name for values in settings.values() for name in values)
    shown = [
        name
        for name in names
        if name in ("algorithm", "lr")
        or any(_used(values.get(name)) for values in settings.values())
    ]
    rows = [
        (escaped(label), *(_setting(values.get(name)) for name in shown))
        for label, values in settings.items()
    ]
    return pipe_table(("optimizer", *(code(name) for name in shown)), rows)


def _used(value: Any) -> bool:
    return value not in (None, 0, 0.0, False)


def _setting(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(_setting(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else escaped(str(value))


def results(run: Run, facts: list[Facts]) -> str:
    """Final losses and accuracies, a row each side and training."""
    columns = ["train loss", "test loss", "test accuracy"]
    if run.record.data.validation_rows:
        columns[1:1] = ["validation loss", "validation accuracy"]
    rows = [
        (
            side,
            escaped(fact.training.optimizer),
            *([str(fact.training.seed)] if several_seeds(run) else []),
            *(fixed(fact.values[backend, column]) for column in columns),
        )
        for fact in facts
        for backend, side in BACKENDS.items()
    ]
    head = ["side", "optimizer", *(["seed"] if several_seeds(run) else [])]
    return pipe_table([*head, *columns], rows, "l" * len(head) + "r" * len(columns)) if rows else ""


def parity(run: Run, facts: list[Facts]) -> str:
    """Comparisons by training, kind and part."""
    rows = []
    for fact in facts:
        groups: dict[tuple[str, str], list[Any]] = {}
        for row in run.parity_of(fact.training):
            site = site_of(row)
            groups.setdefault((site.panel, site.part), []).append(row)
        for (panel, part), members in sorted(
            groups.items(),
            key=lambda item: (list(PANELS).index(item[0][0]), list(PARTS).index(item[0][1])),
        ):
            failed = sum(not row.passed for row in members)
            worst = max(
                (r.numpy_error / r.tolerance for r in members if r.passed and r.tolerance > 0),
                default=0.0,
            )
            rows.append(
                (
                    fact.label,
                    PANELS[panel],
                    PARTS[part],
                    count(len(members)),
                    f"**{count(failed)}**" if failed else "0",
                    percent(worst, 1) if worst >= 5e-4 else "< 0.1%" if worst else "0",
                )
            )
    columns = ("training", "comparison", "part", "made", "failed", "nearest")
    return pipe_table(columns, rows, "lllrrr") if rows else ""


def timing(run: Run, facts: list[Facts]) -> str:
    """Median times a step and their ratio."""
    rows = []
    for fact in facts:
        if fact.time is None:
            continue
        t = fact.time
        rows.append(
            (
                fact.label,
                count(t.steps),
                number(1e3 * t.numpy_s),
                number(1e3 * t.torch_s),
                f"{t.ratio:.2f}",
                f"{t.low:.2f} to {t.high:.2f}",
            )
        )
    columns = ("training", "steps timed", "NumPy (ms)", "PyTorch (ms)", "ratio", "95% interval")
    return pipe_table(columns, rows, "lrrrrr") if rows else ""


def reported(run: Run, facts: list[Facts]) -> str:
    """Published figures and ours."""
    rows = []
    for figure in run.record.experiment.reported:
        fact = next((f for f in facts if f.training.optimizer == figure.optimizer), None)
        ours = [
            quantity(run, backend, fact.training, figure.quantity, figure.epoch) if fact else None
            for backend in BACKENDS
        ]
        note = f"{escaped(figure.note)} " if figure.note else ""
        rows.append(
            (
                capitalised(figure.quantity),
                escaped(figure.optimizer),
                str(figure.epoch) if figure.epoch else "last",
                f"{note}{figure.value:.4f} ({escaped(figure.by)})",
                *(fixed(value) for value in ours),
            )
        )
    columns = ("quantity", "optimizer", "epoch", "reported", "NumPy here", "PyTorch here")
    return pipe_table(columns, rows, "llrrrr") if rows else ""
