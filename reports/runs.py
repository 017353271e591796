"""Several runs in one report: what differs in their specification, and then in their results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from compare.analysis.claims import claim_results
from compare.analysis.intervals import Interval, mean_interval
from compare.analysis.quantities import BACKENDS
from compare.analysis.verdict import departures
from compare.languages import translated
from compare.records.run import DemoRecord, Run, RunRecord, read_run, read_run_record
from experiments.errors import InputError
from reports.documents import USUAL, markdown
from reports.figures.runs import draw_runs
from reports.figures.style import rendered, style
from reports.page import WITHOUT_BOKEH, has_bokeh
from reports.report import write_documents
from reports.sections import listing_of
from reports.statistics import Totals, TrainingStatistics, spread, totals
from reports.tables import RATIO_COLUMNS, ratio_cells
from reports.text import (
    code,
    count,
    day,
    escaped,
    fixed,
    joined,
    milliseconds,
    percent,
    pipe_table,
)
from reports.trainings import measure, shown

if TYPE_CHECKING:
    from reports.interactive import Interactive

MOST_RUNS = 10
LETTERS = "ABCDEFGHIJ"
MOST_SETTINGS = 40
"""Of more settings that differ the first are listed."""
MOST_LABELS = 12
"""Of more configurations the first are listed."""
LONGEST = 60
"""A value of more characters is cut off."""
ABSENT = "–"

NOT_COMPARED = (
    "title",
    "summary",
    "task",
    "minutes",
    "small",
    "figures",
    "claims",
    "reported",
    "report",
)
"""Of an experiment: what is said about it, and not what was done."""
ENVIRONMENT = {
    "processor": "processor",
    "cores": "cores",
    "system": "operating system",
    "python": "Python",
    "numpy": "NumPy",
    "numpy_blas": "BLAS of NumPy",
    "numpy_threads": "threads of NumPy",
    "torch": "PyTorch",
    "torch_blas": "BLAS of PyTorch",
    "torch_threads": "threads of PyTorch",
    "nncompare": "nncompare",
}
TIMING = ("processor", "cores", "numpy_threads", "torch_threads")
"""What times depend on first of all."""


class NamedRun(NamedTuple):
    """A run, the letter that it has in the report, and its numbers."""

    letter: str
    run: Run
    trainings: list[TrainingStatistics]

    @property
    def name(self) -> str:
        """The letter with the folder's name."""
        return f"{self.letter} ({escaped(self.folder)})"

    @property
    def folder(self) -> str:
        """The folder's own name, without the path to it."""
        return self.run.path.resolve().name

    @property
    def record(self) -> RunRecord:
        """Of the run."""
        return self.run.record


def write_comparison(
    folders: Sequence[Path],
    out: Path | None = None,
    author: str = "",
    formats: Sequence[str] = USUAL,
) -> list[Path]:
    """Write one report of 2 to 10 runs.

    The same records in the same folders give the same bytes.

    Args:
        folders: Those of the runs; the others are compared with the first.
        out: The folder of the report; by default one beside the first run, named after them.
        author: Who wrote it.
        formats: Some of :data:`reports.documents.FORMATS`.

    Returns:
        The documents in the order of the formats, then the figures.

    Raises:
        InputError: A folder is there twice, or is not that of a finished run that trains networks,
            or the report cannot be written.
    """
    runs = read_runs(folders)
    out = out if out is not None else usual_folder(folders)
    if (out / "run.json").exists():
        raise InputError(
            f"--out {out} is the folder of a run: expected another one for the report of several."
        )
    with style():
        drawings = draw_runs([(one.letter, one.run) for one in runs])
        figures = [rendered(drawing, number) for number, drawing in enumerate(drawings, 1)]
    values = comparison_values(runs, author) | {
        "figures": {figure.name: figure for figure in figures},
        "paths": repr([os.path.relpath(one.run.path.resolve(), out.resolve()) for one in runs]),
    }
    title = comparison_title(runs)

    def properties() -> Any:
        from reports.docx import Properties

        return Properties(title, author, created=max(one.record.created for one in runs))

    return write_documents(
        out,
        title,
        values,
        figures,
        "runs.md.j2",
        _interactive(runs) if "html" in formats else [],
        formats=formats,
        properties=properties,
        notebook=lambda: markdown(values, "reader", "runs_notebook.md.j2"),
    )


def _interactive(runs: Sequence[NamedRun]) -> list[Interactive]:
    """The figure of all runs that one can ask; none, and a sentence, without Bokeh."""
    if not has_bokeh():
        print(WITHOUT_BOKEH, file=sys.stderr)
        return []
    from reports.interactive.curves import ask_runs

    figure = ask_runs([(one.letter, one.run) for one in runs])
    return [] if figure is None else [figure]


def comparison_title(runs: Sequence[NamedRun]) -> str:
    """The titles of the experiments, and how many runs there are."""
    titles = dict.fromkeys(one.record.experiment.title for one in runs)
    own = joined([translated(title) for title in titles])
    return translated(f"{own}: {len(runs)} runs")


def usual_folder(folders: Sequence[Path]) -> Path:
    """Beside the first run: ``comparison-A-B``, or ``comparison-A-and-3-more``."""
    first, second = (folder.resolve().name for folder in folders[:2])
    others = second if len(folders) == 2 else f"and-{len(folders) - 1}-more"
    return folders[0].resolve().parent / f"comparison-{first}-{others}"


def read_runs(folders: Sequence[Path]) -> list[NamedRun]:
    """Read the runs; what cannot be compared with others is refused before the tables are read."""
    if not 2 <= len(folders) <= MOST_RUNS:
        raise InputError(
            f"report: expected the folders of 2 to {MOST_RUNS} runs, found {len(folders)}."
        )
    seen: dict[Path, Path] = {}
    for folder in folders:
        other = seen.setdefault(folder.resolve(), folder)
        if other is not folder:
            raise InputError(f"report: {other} and {folder} are the same run: name each one once.")
        record = read_run_record(folder)
        if isinstance(record, DemoRecord):
            raise InputError(
                f"report: {folder} is a run of the demonstration {record.name}: expected runs that "
                "train networks, and a demonstration has a report of its own."
            )
        if record.status != "complete":
            raise InputError(
                f"report: {folder} is incomplete: expected finished runs; its command with "
                "--resume goes on with it."
            )
    found = []
    for letter, folder in zip(LETTERS, folders, strict=False):
        run = read_run(folder)
        timed = {id(training) for training in shown(run)}
        trainings = [TrainingStatistics(run, t, id(t) in timed) for t in run.record.trainings]
        found.append(NamedRun(letter, run, trainings))
    return found


def comparison_values(runs: Sequence[NamedRun], author: str = "") -> dict[str, Any]:
    """The names that ``runs.md.j2`` and ``runs_notebook.md.j2`` use."""
    settings = differing_settings(runs)
    data, machine = differing_data(runs), differing_environment(runs)
    labels = all_labels(runs)
    apart = {one.letter: reason for one in runs[1:] if (reason := incomparable(one, runs[0]))}
    quantity = measure(runs[0].run)
    comparable = [one for one in runs[1:] if one.letter not in apart]
    differences = final_differences(comparable, runs[0], labels, quantity)
    letters = [one.letter for one in runs]
    tables = {
        "runs": runs_table(runs),
        "settings": pipe_table(("setting", *letters), settings[:MOST_SETTINGS]),
        "data": pipe_table(("", *letters), data),
        "machine": pipe_table(("", *letters), machine),
        "finals": finals_table(runs, labels[:MOST_LABELS]),
        "differences": differences_table(differences, quantity),
        "parity": parity_table(runs),
        "timing": timing_table(runs),
    }
    claims = [(one, departures(one.record), claim_results(one.run)) for one in runs]
    return {
        "title": escaped(comparison_title(runs)),
        "byline": [author] if author else [],
        "letters": letters,
        "runs": [
            {
                "letter": one.letter,
                "folder": one.folder,
                "name": one.record.name,
                "date": day(one.record.created),
                "command": listing_of(one.record.command, one.record.commit, one.record.repository),
                "all": totals(one.run, one.trainings),
                "wrong": [training for training in one.trainings if training.verdict.failed],
                "load": one.record.environment.load,
                "cores": one.record.environment.cores,
            }
            for one in runs
        ],
        "experiments": list(dict.fromkeys(one.record.name for one in runs)),
        "settings": settings,
        "most_settings": MOST_SETTINGS,
        "data": data,
        "machine": machine,
        "other_machines": timing_differences(runs),
        "labels": labels,
        "most_labels": MOST_LABELS,
        "apart": apart,
        "alone": labels_of_some(runs, labels),
        "measure": quantity,
        "differences": differences,
        "claims": [
            {
                "letter": one.letter,
                "departures": left,
                "answers": [
                    (
                        answer.claim,
                        answer.decision.value,
                        *(found.value for found in answer.decisions.values()),
                    )
                    for answer in answers
                ],
            }
            for one, left, answers in claims
            if answers
        ],
        "tables": {name: table for name, table in tables.items() if table},
    }


def _labels(one: NamedRun) -> list[str]:
    """The labels of a run's trainings."""
    return list(dict.fromkeys(training.record.label for training in one.trainings))


def labels_of_some(
    runs: Sequence[NamedRun], labels: Sequence[str]
) -> dict[tuple[str, ...], list[str]]:
    """Letters of runs → the labels that these have and the others lack."""
    found: dict[tuple[str, ...], list[str]] = {}
    for label in labels:
        letters = tuple(one.letter for one in runs if label in _labels(one))
        if len(letters) < len(runs):
            found.setdefault(letters, []).append(label)
    return found


def incomparable(one: NamedRun, first: NamedRun) -> str:
    """Why no difference is taken of two runs' final figures; empty where it is."""
    if not set(_labels(one)) & set(_labels(first)):
        return "labels"
    if measure(one.run) != measure(first.run):
        return "quantity"
    return "" if measured_rows(one) == measured_rows(first) else "rows"


def measured_rows(one: NamedRun) -> tuple[Any, ...]:
    """What says on which rows the accuracy of a run was measured."""
    record, name = one.record, measure(one.run)
    data = record.data
    rows: tuple[int, ...] = (data.test_rows,)
    if not name.startswith("test"):
        rows = (data.train_rows, data.validation_rows, data.test_rows)
    digests = tuple(sorted(data.digests.items()))
    return (data.name, digests, rows, record.experiment.training.evaluate_rows)


def all_labels(runs: Sequence[NamedRun]) -> list[str]:
    """The labels of all runs: what most of them have comes first."""
    every = list(dict.fromkeys(label for one in runs for label in _labels(one)))
    return sorted(every, key=lambda label: -sum(label in _labels(one) for one in runs))


def differing_settings(runs: Sequence[NamedRun]) -> list[tuple[str, ...]]:
    """(dotted path, a value for each run) of every setting that is not the same in all runs."""
    trees = [
        one.record.experiment.model_dump(mode="json", exclude=set(NOT_COMPARED))
        | {"max_steps": one.record.max_steps, "sample": one.record.sample}
        for one in runs
    ]
    return [(code(path), *map(_value, values)) for path, values in _differing_leaves("", trees)]


class _Missing:
    """Stands for a setting that a run does not have."""


def _differing_leaves(path: str, values: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    """(dotted path, values) of what differs; a table that some lack is one value."""
    if all(isinstance(value, dict) for value in values):
        for key in dict.fromkeys(key for tree in values for key in tree):
            below = [tree.get(key, _Missing) for tree in values]
            yield from _differing_leaves(f"{path}.{key}".lstrip("."), below)
    elif any(value != values[0] for value in values):
        yield path, values


def _value(value: Any) -> str:
    if value is _Missing:
        return ABSENT
    if value is None:
        return "none"
    if isinstance(value, dict):
        value = ", ".join(f"{key}={one}" for key, one in value.items() if one not in (False, None))
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return escaped(text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…")


def differing_data(runs: Sequence[NamedRun]) -> list[tuple[str, ...]]:
    """What is not the same of the data: names, rows, and the content of the files."""
    records = [one.record.data for one in runs]
    rows = {
        "data set": [escaped(record.title) for record in records],
        "training rows": [count(record.train_rows) for record in records],
        "validation rows": [count(record.validation_rows) for record in records],
        "test rows": [count(record.test_rows) for record in records],
    }
    files = dict.fromkeys(name for record in records for name in record.digests)
    for name in files:
        digests = [record.digests.get(name) for record in records]
        rows[f"MD5 of {code(name)}"] = [ABSENT if d is None else code(d[:12]) for d in digests]
    return _differing(rows)


def differing_environment(runs: Sequence[NamedRun]) -> list[tuple[str, ...]]:
    """Machine, threads, versions and commit, where they are not the same."""
    found = [one.record.environment for one in runs]
    rows = {
        name: [escaped(str(getattr(environment, key))) for environment in found]
        for key, name in ENVIRONMENT.items()
    }
    rows["commit"] = [code(one.record.commit) if one.record.commit else ABSENT for one in runs]
    return _differing(rows)


def timing_differences(runs: Sequence[NamedRun]) -> list[str]:
    """What differs of the machine that times depend on."""
    found = [one.record.environment for one in runs]
    return [ENVIRONMENT[key] for key in TIMING if len({getattr(one, key) for one in found}) > 1]


def _differing(rows: dict[str, list[str]]) -> list[tuple[str, ...]]:
    return [(name, *values) for name, values in rows.items() if len(set(values)) > 1]


def runs_table(runs: Sequence[NamedRun]) -> str:
    """Which runs these are."""
    rows = []
    for one in runs:
        seeds = one.record.experiment.training.seeds
        rows.append(
            (
                one.letter,
                escaped(one.folder),
                code(one.record.name),
                day(one.record.created),
                joined([str(seed) for seed in seeds]) if len(seeds) < 6 else count(len(seeds)),
                count(len(one.trainings)),
            )
        )
    return pipe_table(("run", "folder", "experiment", "made", "seeds", "trainings"), rows, "lllllr")


def finals_table(runs: Sequence[NamedRun], labels: Sequence[str]) -> str:
    """The figures at the end: a row for each configuration, run and backend."""
    names = [measure(one.run) for one in runs]
    every = [["train loss", name.replace("accuracy", "loss"), name] for name in names]
    quantities = list(dict.fromkeys(quantity for own in every for quantity in own))
    rows = []
    for label in labels:
        for one, own in zip(runs, every, strict=True):
            group = [training for training in one.trainings if training.record.label == label]
            if not group:
                continue
            for backend, name in BACKENDS.items():
                cells = [_final(group, backend, q) if q in own else ABSENT for q in quantities]
                rows.append((escaped(label), one.letter, name, str(len(group)), *cells))
    head = ("training", "run", "backend", "seeds")
    return pipe_table((*head, *quantities), rows, "lllr" + "r" * len(quantities))


def _final(group: Sequence[TrainingStatistics], backend: str, quantity: str) -> str:
    values = [v for training in group if (v := training.final(backend, quantity)) is not None]
    if not values:
        return ABSENT
    mean, deviation = spread(values)
    return fixed(mean) + (f" ± {fixed(deviation)}" if deviation is not None else "")


class Difference(NamedTuple):
    """A figure at the end of a run less that of the first run, seed by seed.

    Attributes:
        label: Of the configuration.
        letters: Of the run and of the first one.
        backend: NumPy or PyTorch.
        interval: The mean over the seeds that both runs have, with Student's 95% interval; None
            where they have no seed in common.
    """

    label: str
    letters: tuple[str, str]
    backend: str
    interval: Interval | None

    @property
    def answer(self) -> str:
        """What follows of the runs of other seeds: ``higher``, ``lower`` or ``undecided``."""
        if self.interval is None or not self.interval.known:
            return ""
        if self.interval.low > 0:
            return "higher"
        return "lower" if self.interval.high < 0 else "undecided"


def final_differences(
    runs: Sequence[NamedRun], first: NamedRun, labels: Sequence[str], quantity: str
) -> list[Difference]:
    """Each run's figure less the first's, for each configuration that both have and backend."""
    return [
        Difference(
            label, (one.letter, first.letter), name, _paired(one, first, label, backend, quantity)
        )
        for label in labels
        for one in runs
        if label in _labels(one) and label in _labels(first)
        for backend, name in BACKENDS.items()
    ]


def _paired(
    one: NamedRun, first: NamedRun, label: str, backend: str, quantity: str
) -> Interval | None:
    here, there = (
        {
            training.record.seed: value
            for training in run.trainings
            if training.record.label == label
            and (value := training.final(backend, quantity)) is not None
        }
        for run in (one, first)
    )
    values = [here[seed] - there[seed] for seed in here if seed in there]
    return mean_interval(values) if values else None


def differences_table(differences: Sequence[Difference], quantity: str) -> str:
    """The differences with their intervals, and what they show."""
    rows = []
    for found in differences:
        interval = found.interval
        cells = (ABSENT, ABSENT, "0", "no seed in common")
        if interval is not None:
            known = interval.known
            span = f"{fixed(interval.low)} to {fixed(interval.high)}" if known else ABSENT
            answer = f"**{found.answer}**" if found.answer != "undecided" else found.answer
            why = "one seed gives no interval" if interval.values == 1 else "not finite"
            cells = (fixed(interval.mean), span, str(interval.values), answer if known else why)
        letters = f"{found.letters[0]} − {found.letters[1]}"
        rows.append((escaped(found.label), letters, found.backend, *cells))
    head = ("training", "runs", "backend", quantity, "95% interval", "seeds in common", "answer")
    return pipe_table(head, rows, "lllrrrl")


def parity_table(runs: Sequence[NamedRun]) -> str:
    """The comparisons of each run, all trainings together."""
    rows = []
    for one in runs:
        found: Totals = totals(one.run, one.trainings)
        nearest = max((training.verdict.worst for training in one.trainings), default=0.0)
        certified = sum(training.certified for training in one.trainings)
        steps = sum(training.steps for training in one.trainings)
        rows.append(
            (
                one.name,
                count(found.compared),
                count(found.failed),
                percent(nearest, 1),
                f"{count(certified)} of {count(steps)}",
            )
        )
    head = ("run", "comparisons", "failed", "nearest to the bound", "certified steps")
    return pipe_table(head, rows, "lrrrr")


def timing_table(runs: Sequence[NamedRun]) -> str:
    """Median times a step and their ratio, of the trainings that each run's own report shows."""
    rows = [
        (
            escaped(training.record.label),
            one.letter,
            count(training.time.steps),
            milliseconds(training.time.numpy.median_s),
            milliseconds(training.time.torch.median_s),
            *ratio_cells(training.time.ratio),
        )
        for one in runs
        for training in one.trainings
        if training.time is not None
    ]
    order = list(dict.fromkeys(row[0] for row in rows))
    columns = ("training", "run", "steps timed", "NumPy (ms)", "PyTorch (ms)", *RATIO_COLUMNS)
    return pipe_table(columns, sorted(rows, key=lambda row: order.index(row[0])), "llrrrrr")
