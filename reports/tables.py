"""Markdown tables, and what stands in each table of the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compare.analysis.claims import ClaimResult, Decision
from compare.analysis.intervals import Equality, Interval
from compare.analysis.quantities import BACKENDS
from compare.analysis.timings import Ratio
from compare.records.export import ExportRecord
from compare.records.run import Run, RunRecord
from compare.spec.experiment import Configuration, ModelSettings
from compare.spec.report import ReportedValue
from compare.spec.vary import AxisSettings
from reports.network import modules_of
from reports.parity_tables import kinds, nearest_table, parity
from reports.statistics import TrainingStatistics, reported_here, spread
from reports.text import (
    capitalised,
    code,
    count,
    escaped,
    fixed,
    joined,
    milliseconds,
    number,
    percent,
    pipe_table,
    plural,
    points,
    probability,
    signed_points,
)
from reports.trainings import (
    columns_of,
    measure,
    ranked,
    ranking_measure,
    several_seeds,
    short_case,
)

if TYPE_CHECKING:
    from compare.bench.records import BenchRecord

MOST_DOUBLE = 12
"""With more configurations than this NumPy and PyTorch share a row of the results."""
MOST_ROWS = 36
"""With more configurations than this the results have the ends of their ranking alone."""
BEST, WORST = 20, 5
MOST_EQUALITIES = 20
"""Of more tests of equality the table has those with the largest p."""
MOST_EXPORTS = 8
"""Of more exported networks the table has those with the largest errors."""
MOST_LISTED = 4
"""So many different values of a setting are listed, of more the first and the last."""
MOST_CASES = 12
SHORT_NOTE = 12
"""A note as long as ``up to`` goes before its figure, a longer one behind it."""

RATIO_COLUMNS = ("ratio", "95% interval")
Group = list[TrainingStatistics]
"""The trainings of one configuration, one a seed."""


def tables_of(
    run: Run,
    trainings: Sequence[TrainingStatistics],
    equalities: Sequence[Equality],
    answers: Sequence[ClaimResult],
) -> dict[str, str]:
    """Name → Markdown table; one that would have no rows is left out."""
    found = {
        "environment": environment(run.record),
        "kinds": kinds(run, trainings),
        "data": data(run),
        "classes": classes(run),
        "digests": digests(run),
        "network": network(run),
        "setup": setup(run, trainings),
        "varied": varied(run),
        "optimizers": optimizers(run),
        "results": results(run, trainings),
        "equality": equality(equalities),
        "nearest": nearest_table(trainings),
        "parity": parity(run, trainings),
        "timing": timing(trainings),
        "parts": distance_parts(trainings),
        "reported": reported(run),
        "claims": claims(answers),
    }
    return {name: table for name, table in found.items() if table}


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
    if found.load is not None:
        rows.append(("load as the run began", f"{found.load:.1f}"))
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
    # Where the classes are few, the table of their rows names them.
    shown = found.class_counts and len(found.class_names) <= MOST_CASES
    named = [] if shown else [("classes", escaped(", ".join(found.class_names)))]
    rows = [
        ("data set", f"{escaped(found.title)} ({code(found.name)})"),
        ("input", shape),
        *named,
        ("read from", escaped(found.source)),
        ("licence", escaped(found.licence)),
    ]
    return pipe_table(("", ""), rows)


def digests(run: Run) -> str:
    """File → MD5 of its content."""
    found = run.record.data.digests.items()
    rows = [(code(name), code(digest)) for name, digest in found]
    return pipe_table(("file", "MD5 of its content"), rows)


def classes(run: Run) -> str:
    """How many rows each class has, in each split; of many classes, the ends."""
    found = run.record.data
    if not found.class_counts:
        return ""
    if len(found.class_names) > MOST_CASES:
        ends = [
            (name, count(sum(counts)), f"{count(min(counts))} to {count(max(counts))}")
            for name, counts in found.class_counts.items()
        ]
        return pipe_table(("split", "rows", "rows of a class"), ends, "lrr")
    rows = [
        (name, *(count(number) for number in counts), count(sum(counts)))
        for name, counts in found.class_counts.items()
    ]
    names = [escaped(name) for name in found.class_names]
    return pipe_table(("split", *names, "all"), rows, "l" + "r" * (len(names) + 1))


def network(run: Run) -> str:
    """The modules with their parameters."""
    if not run.record.trainings:
        return ""
    rows: list[list[str]] = []
    for module in modules_of(run, run.record.trainings[0]):
        shapes = [f"{code(name)} {_shape(shape)}" for name, shape in module.shapes.items()]
        values = sum(math.prod(shape) for shape in module.shapes.values())
        if not shapes and rows:  # it stands in the row of the module before it
            rows[-1][0] += f", {code(module.name)}"
            rows[-1][1] += f", {code(module.printed)}"
            continue
        listed, total = joined(shapes) or "–", count(values) if shapes else "–"
        rows.append([code(module.name), code(module.printed), listed, total])
    return pipe_table(("module", "class", "parameters", "values"), rows, "lllr")


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(str(size) for size in shape) or "1"


def setup(run: Run, trainings: Sequence[TrainingStatistics]) -> str:
    """What holds for every training; where they differ, what the settings are."""
    experiments = [configuration.experiment for configuration in run.configurations.values()]
    models = [experiment.model for experiment in experiments]
    training = [experiment.training for experiment in experiments]
    values = sorted({one.record.parameters for one in trainings})
    seeds = run.record.experiment.training.seeds
    rows = [
        ("network", _each([code(_call(model)) for model in models])),
        ("trained values", _each([count(number) for number in values]) or "–"),
        ("initialisation", _each([_initialisation(model) for model in models])),
        ("loss", _each([code(settings.loss) for settings in training])),
        ("precision", _each([settings.dtype for settings in training])),
        ("epochs planned", _each([count(settings.epochs) for settings in training])),
        ("batch size", _batches(run, [settings.batch_size for settings in training])),
        ("updates made in each", _updates(trainings) or "none"),
        ("seed" if len(seeds) == 1 else "seeds", joined([str(seed) for seed in seeds])),
        ("trainings on each backend", count(len(trainings))),
    ]
    if any(settings.steps for settings in training):
        rows.insert(6, ("steps at most", _each([_limit(settings.steps) for settings in training])))
    if any(not settings.decay_biases for settings in training):
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


def _updates(trainings: Sequence[TrainingStatistics]) -> str:
    numbers = sorted({training.steps for training in trainings})
    if not numbers:
        return ""
    if len(numbers) == 1 or len(trainings) > MOST_LISTED:
        return " to ".join(count(steps) for steps in dict.fromkeys((numbers[0], numbers[-1])))
    return joined([f"{count(one.steps)} ({escaped(one.label)})" for one in trainings])


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
    """The settings of optimizers by their labels, each one or as many as there are."""
    found = {
        label: [one.model_dump() for one in (several if isinstance(several, list) else [several])]
        for label, several in optimizers.items()
    }
    every = [settings for several in found.values() for settings in several]
    names = dict.fromkeys(name for settings in every for name in settings)
    used = [name for name in names if any(_used(settings.get(name)) for settings in every)]
    rows = [
        (
            escaped(label),
            *(_each([_setting(settings.get(name)) for settings in several]) for name in used),
        )
        for label, several in found.items()
    ]
    return pipe_table(("optimizer", *(code(name) for name in used)), rows)


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


def results(run: Run, trainings: Sequence[TrainingStatistics]) -> str:
    """Final losses and accuracies; means with their standard deviation over several seeds."""
    groups = _groups(run, trainings)
    if len(groups) <= MOST_DOUBLE:
        return _a_row_each_backend(run, groups)
    return _a_row_each_configuration(run, groups)


def _groups(run: Run, trainings: Sequence[TrainingStatistics]) -> dict[str, Group]:
    """Label → its trainings, in the order of the run, or ranked where only the ends are shown."""
    groups: dict[str, Group] = {}
    for training in trainings:
        groups.setdefault(training.record.label, []).append(training)
    if len(groups) <= MOST_ROWS:
        return groups
    order = ranked(run, [group[0].record for group in groups.values()])
    return {record.label: groups[record.label] for record in order}


def result_quantities(run: Run) -> list[str]:
    """What the table of results has of each training."""
    rows, whole = run.record.data, ["training-set loss", "training-set accuracy"]
    found = ["train loss"]
    if rows.validation_rows:
        found += ["validation loss", "validation accuracy"]
    if rows.test_rows and (rows.validation_rows or several_seeds(run)):  # a line holds no more
        return [*found, "test loss", "test accuracy"]
    return [*found, *whole, *(["test loss", "test accuracy"] if rows.test_rows else [])]


def _a_row_each_backend(run: Run, groups: dict[str, Group]) -> str:
    columns = columns_of(run.record.experiment)
    quantities = result_quantities(run)
    several = several_seeds(run)
    rows = []
    for label, group in groups.items():
        for backend, name in BACKENDS.items():
            cells = [column.cell(run.configurations[label]) for column in columns]
            if not all(training.record.finished for training in group):
                cells[-1] += " (broken off)"
            seeds = [str(len(group))] if several else []
            figures = [_figure(group, backend, quantity) for quantity in quantities]
            rows.append((name, *cells, *seeds, *figures))
    head = ["backend", *(column.head for column in columns), *(["seeds"] if several else [])]
    return pipe_table([*head, *quantities], rows, "l" * len(head) + "r" * len(quantities))


def _a_row_each_configuration(run: Run, groups: dict[str, Group]) -> str:
    columns = columns_of(run.record.experiment)
    quantities = list(dict.fromkeys(["train loss", ranking_measure(run), measure(run)]))
    labels: list[str | None] = list(groups)
    if len(groups) > MOST_ROWS:
        labels = [*labels[:BEST], None, *labels[-WORST:]]
    head = [column.head for column in columns]
    figures = [f"{quantity}, {name}" for quantity in quantities for name in BACKENDS.values()]
    rows = []
    for label in labels:
        if label is None:
            rows.append(["⋮"] * (len(head) + len(figures)))
            continue
        configuration: Configuration = run.configurations[label]
        rows.append(
            [
                *(column.cell(configuration) for column in columns),
                *(_figure(groups[label], b, q) for q in quantities for b in BACKENDS),
            ]
        )
    return pipe_table([*head, *figures], rows, "l" * len(head) + "r" * len(figures))


def _figure(group: Group, backend: str, quantity: str) -> str:
    values = [v for one in group if (v := one.final(backend, quantity)) is not None]
    if not values:
        return "–"
    mean, deviation = spread(values)
    if quantity.endswith("accuracy"):
        return percent(mean) + (f" ± {points(deviation)}" if deviation is not None else "")
    return fixed(mean) + (f" ± {fixed(deviation)}" if deviation is not None else "")


def timing(trainings: Sequence[TrainingStatistics]) -> str:
    """Median times a step and their ratio."""
    rows = [
        (
            escaped(training.label),
            count(time.steps),
            milliseconds(time.numpy.median_s),
            milliseconds(time.torch.median_s),
            *ratio_cells(time.ratio),
        )
        for training in trainings
        if (time := training.time) is not None
    ]
    columns = ("training", "steps timed", "NumPy (ms)", "PyTorch (ms)", *RATIO_COLUMNS)
    return pipe_table(columns, rows, "lrrrrr")


def exports(found: Sequence[ExportRecord]) -> str:
    """A row for each exported network and program that answered with its weights."""
    names = {**BACKENDS, "onnxruntime": "ONNX Runtime"}
    rows = []
    if len(found) > MOST_EXPORTS:
        nearest = sorted(found, key=lambda e: -e.answers["onnxruntime"].error / e.bound)
        found = [export for export in found if export in nearest[:MOST_EXPORTS]]
    for export in found:
        unit = 2.0**-24 if export.dtype == "float32" else 2.0**-53
        title = (
            f"{escaped(export.label)}, seed {export.seed}, trained by {BACKENDS[export.backend]}"
        )
        for program, answers in export.answers.items():
            cells = ("", "") if program == export.backend else (
                count(answers.different_predictions), number(answers.difference, 2)
            )  # fmt: skip
            rows.append((title, names[program], *cells, number(answers.error / unit)))
            title = ""
    header = ("weights", "program", "other predictions", "largest difference", "error, u")
    return pipe_table(header, rows, "llrrr")


def ratio_cells(ratio: Ratio) -> tuple[str, str]:
    """The ratio and its interval, for :data:`RATIO_COLUMNS`."""
    return f"{ratio.value:.3f}", f"{ratio.low:.3f} to {ratio.high:.3f}"


def distance_parts(trainings: Sequence[TrainingStatistics]) -> str:
    """What each part of the networks has in the distance of the two at the end."""
    rows = []
    for training in trainings:
        for part in training.record.parts:
            nothing = part.name == "nothing"
            difference = part.loss_difference
            rows.append(
                (
                    escaped(training.label),
                    part.name,
                    "–" if nothing else percent(part.share),
                    "–" if difference is None else number(difference),
                )
            )
    columns = ("training", "part exchanged", "share of the distance", "difference of test losses")
    return pipe_table(columns, rows, "llrr") if rows else ""


def reported(run: Run) -> str:
    """Published figures and ours."""
    # Where all are of the end, nothing is said of epochs.
    epochs = any(figure.epoch for figure in run.record.experiment.reported)
    rows = []
    for figure in run.record.experiment.reported:
        note, here = escaped(figure.note), reported_here(run, figure)
        value = _reported_value(figure.quantity, figure.value)
        if note:
            value = f"{note} {value}" if len(note) <= SHORT_NOTE else f"{value} ({note})"
        rows.append(
            (
                capitalised(figure.quantity),
                escaped(figure.label),
                *((str(figure.epoch) if figure.epoch else "last",) if epochs else ()),
                escaped(figure.by),
                value,
                *(_here(found, figure.quantity) for found in here.values()),
                *(_above(found, figure) for found in here.values()),
            )
        )
    training = "training here" if run.record.experiment.vary else "optimizer here"
    columns = ["quantity", training, *(("epoch",) if epochs else ()), "by", "reported"]
    columns += ["NumPy here", "PyTorch here", "NumPy − reported", "PyTorch − reported"]
    return pipe_table(columns, rows, "llrlrrrrr" if epochs else "lllrrrrr")


def _reported_value(quantity: str, value: float) -> str:
    return percent(value) if quantity.endswith("accuracy") else fixed(value)


def _above(found: Interval | None, figure: ReportedValue) -> str:
    if found is None:
        return "–"
    difference = found.mean - figure.value
    return signed_points(difference) if figure.quantity.endswith("accuracy") else fixed(difference)


def _here(found: Interval | None, quantity: str) -> str:
    if found is None:
        return "–"
    low, high = _reported_value(quantity, found.low), _reported_value(quantity, found.high)
    interval = f" ({low} to {high})" if found.known else ""
    return _reported_value(quantity, found.mean) + interval


def equality(equalities: Sequence[Equality]) -> str:
    """The test of each configuration; of many, those with the largest p."""
    tested = [found for found in equalities if found.test is not None]
    if not tested:
        return ""
    kept = list(equalities)
    if len(kept) > MOST_EQUALITIES:
        largest = sorted(tested, key=lambda found: -found.test.p if found.test else 0.0)
        kept = largest[:MOST_EQUALITIES]
    rows = []
    for found in kept:
        test = found.test
        cells = ("–", "–", "–")
        if test is not None:
            span = f"{fixed(test.low)} to {fixed(test.high)}"
            p = probability(test.p).removeprefix("p ").removeprefix("= ")
            cells = (fixed(test.mean), span, p)
        label, seeds = escaped(found.label), str(len(found.differences))
        rows.append((label, seeds, *cells, equality_answer(found)))
    columns = ("training", "seeds", "NumPy − PyTorch", "90% interval", code("p"), "answer")
    return pipe_table(columns, rows, "lrrrrl")


def equality_answer(found: Equality) -> str:
    """The answer for one configuration."""
    if found.test is None:
        return found.reason
    return {True: "equivalent", False: "not equivalent", None: "undecided"}[found.test.equivalent]


def claims(results: Sequence[ClaimResult]) -> str:
    """Every comparison of every claim, with both backends."""
    rows = []
    for number_of_claim, result in enumerate(results, 1):
        quantity = result.claim.quantity
        for backend, name in BACKENDS.items():
            for one in result.comparisons[backend]:
                found = one.interval
                notes = [one.reason] if one.reason else []
                if one.diverged:
                    notes.append(f"{one.diverged} diverged")
                verdict = one.decision.value + (f" ({'; '.join(notes)})" if notes else "")
                rows.append(
                    (
                        str(number_of_claim),
                        name,
                        escaped(one.compared),
                        "–" if found is None else claim_value(quantity, found.mean),
                        claim_interval(quantity, found),
                        "0" if found is None else str(found.values),
                        f"**{verdict}**" if one.decision is not Decision.UNDECIDED else verdict,
                    )
                )
    columns = ("claim", "backend", "compared", "mean", "95% interval", "seeds", "answer")
    return pipe_table(columns, rows, "lllrrrl")


def claim_value(quantity: str, value: float) -> str:
    """A mean of a claim's quantity."""
    if math.isnan(value):
        return "–"
    if not math.isfinite(value) or abs(value) >= 1000:
        return number(value)
    return fixed(value, 2 if quantity == "loss rises" else 4)


def claim_interval(quantity: str, found: Interval | None) -> str:
    """``low to high``, a dash where there is none."""
    if found is None or not found.known:
        return "–"
    return f"{claim_value(quantity, found.low)} to {claim_value(quantity, found.high)}"
