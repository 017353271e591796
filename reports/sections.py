"""What the sections of a run's report are filled in with: numbers, texts, tables and figures."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from compare.analysis.claims import ClaimResult, alternatives, claim_results, in_words
from compare.analysis.intervals import Equality, compared_quantity, equalities
from compare.analysis.quantities import BACKENDS
from compare.analysis.timings import BUSY_LOAD, LEAST_SHARE
from compare.analysis.verdict import departures
from compare.languages import translated
from compare.records.export import read_exports
from compare.records.run import Run, RunRecord
from compare.spec.report import ReportedValue
from reports.figures import Figure
from reports.followed import followed_of
from reports.method import calls_of, method_of
from reports.parity_tables import controls_table, followed_table, gaps_table
from reports.statistics import (
    TrainingStatistics,
    compared_pairs,
    in_detail,
    over_seeds,
    ranking,
    reported_here,
    totals,
)
from reports.tables import (
    BEST,
    MOST_EQUALITIES,
    MOST_EXPORTS,
    MOST_ROWS,
    WORST,
    exports,
    result_quantities,
    tables_of,
)
from reports.text import code, command_line, count, day, escaped, listing, plural
from reports.trainings import (
    axis_of_two,
    many,
    measure,
    of_first_seed,
    ranking_measure,
    several_seeds,
    shown,
)

INSTALL = 'python -m pip install -c constraints.txt -e ".[dev]"'
"""In a checkout: the versions that the project was tested with."""
MOST_FAILURES = 10
"""So many trainings that failed are listed."""
MOST_LINES = 6
"""So many lines, or names in one, can be read; what would be more is summed up."""


def template_values(run: Run, figures: Sequence[Figure]) -> dict[str, Any]:
    """The names that ``report.md.j2`` and the templates that it includes use."""
    record = run.record
    detailed = {id(training) for training in shown(run)}
    trainings = [TrainingStatistics(run, t, timed=id(t) in detailed) for t in record.trainings]
    single, whole = equalities(run)
    answers = claim_results(run)
    parity_figures = [figure.name for figure in figures if figure.name.startswith("parity")]
    custom_figures = [figure.name for figure in figures if figure.name.startswith("custom")]
    classes = len(record.data.class_names)
    tables = tables_of(run, trainings, single, answers)
    followed = followed_of(trainings)
    task, own = record.experiment.task or record.experiment.summary, record.experiment.report
    if gaps := gaps_table(in_detail(run, trainings)):
        tables["gaps"] = gaps
    if record.controls:
        tables["controls"] = controls_table(record.controls)
    if followed is not None:
        tables["followed"] = followed_table(followed)
    exported, stale = read_exports(run)
    if exported:
        tables["exports"] = exports(exported)
    return {
        "title": escaped(translated(record.experiment.title)),
        "name": code(record.name),
        "date": day(record.created),
        "task": escaped(translated(" ".join(task.split()))),
        "command": listing_of(
            record.command,
            record.commit,
            record.repository,
            folder=DATA_FOLDER in record.data.source,
            cpu=record.environment.torch.endswith("+cpu"),
        ),
        "sources": [(name, without_docstrings(text)) for name, text in _listings(record).items()],
        "data": record.data,
        "rows": _rows(run),
        "classes": classes,
        "ln_classes": f"{math.log(classes):.4f}" if classes else "",
        "tables": tables,
        "byline": [text for text in (own.author, own.student, own.course) if text],
        "excerpts": record.excerpts,
        "called": record.called,
        "followed_rows": record.followed_rows,
        "calls": calls_of(run),
        "environment": record.environment,
        "commit": record.commit,
        "wall_s": sum(training.record.wall_s for training in trainings),
        "seeds": record.experiment.training.seeds,
        "certified_steps": sum(training.certified for training in trainings),
        "all_steps": sum(training.steps for training in trainings),
        "drift_steps": max((t.drift.step for t in trainings if t.drift is not None), default=0),
        "longest": max((training.steps for training in trainings), default=0),
        "followed": followed,
        "numbered": numbered_sections(claims=bool(answers)),
        "figures": {figure.name: figure for figure in figures},
        "parity_figures": parity_figures,
        "custom_figures": custom_figures,
        "sections": results_sections(
            custom=bool(custom_figures),
            equality=any(equality.test is not None for equality in [whole, *single]),
            mistakes=bool(record.data.test_rows),
            export=bool(exported or stale),
        ),
        "exports": exported,
        "stale_exports": stale,
        "most_exports": MOST_EXPORTS,
        "backends": BACKENDS,
        **method_of(run),
        **_extent(run),
        **_results(run, trainings),
        **_starts(trainings),
        "equality": Equalities(
            whole, single, compared_quantity(run), record.experiment.equivalence.margin
        ),
        "answers": [_claim(run, answer) for answer in answers],
        "departures": departures(record),
        "reported": [
            {"settings": figure, **_means(run, figure)} for figure in record.experiment.reported
        ],
        "controls": record.controls,
        "batch_size": record.experiment.training.batch_size,
        "gaps": "gaps" in tables,
        "few_rows": max(
            (t.record.planned.few_rows or 0 for t in trainings if t.record.planned), default=0
        ),
        "evaluation_rows": max((t.record.evaluation_rows or 0 for t in trainings), default=0),
        "published": _same_set_up(record.experiment.reported),
    }


def _architectures(record: RunRecord) -> dict[str, str]:
    """The sources that are not this project's layers, optimizers and schedules."""
    return {name: text for name, text in record.sources.items() if not name.startswith("numpy_nn/")}


def _listings(record: RunRecord) -> dict[str, str]:
    """The architecture, and what the lines beside the formulas call; whole files in old records."""
    if not record.called:
        return record.sources
    called = "\n\n".join(f"# ---- {file}\n\n{code}" for file, code in record.called.items())
    return {**_architectures(record), "numpy_nn": called}


def _same_set_up(reported: Iterable[ReportedValue]) -> list[list[ReportedValue]]:
    """Published figures, those together of which the same is told."""
    found: dict[tuple[str, str, str], list[ReportedValue]] = {}
    for figure in reported:
        found.setdefault((figure.by, figure.source, figure.differs), []).append(figure)
    return list(found.values())


def numbered_sections(*, claims: bool) -> dict[str, int]:
    """Key → number, of what comes after the results; the claims, where there are any, are 6."""
    keys = ["claims"] if claims else []
    return {key: 6 + k for k, key in enumerate([*keys, "limits", "conclusions"])}


def results_sections(
    *, custom: bool, equality: bool, mistakes: bool, export: bool
) -> dict[str, str]:
    """Key → number, of the sections of the results.

    Args:
        custom: Whether the experiment's file describes figures.
        equality: Whether the equality of the backends can be tested.
        mistakes: Whether there are test rows.
        export: Whether networks were exported.
    """
    present = {
        "custom": custom,
        "parity": True,
        "loss": True,
        "equality": equality,
        "mistakes": mistakes,
        "speed": True,
        "export": export,
        "reported": True,
    }
    keys = [key for key, is_there in present.items() if is_there]
    return {key: f"5.{place}" for place, key in enumerate(keys, 1)}


def without_docstrings(source: str) -> str:
    """Code without what says in words what it does; as it is where it cannot be parsed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    dropped: set[int] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        first = node.body[0] if node.body else None
        said = first.value if isinstance(first, ast.Expr) else None
        is_text = isinstance(said, ast.Constant) and isinstance(said.value, str)
        if first is not None and is_text and len(node.body) > 1:
            dropped |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    lines = [line for n, line in enumerate(source.splitlines(), 1) if n not in dropped]
    return re.sub(r"\n{3,}", "\n\n\n", "\n".join(lines)).strip("\n")


DATA_FOLDER = "$NNCOMPARE_DATA"
"""Named in the source of data that was read from there."""


def listing_of(
    command: str,
    commit: str | None,
    repository: str | None = None,
    folder: bool = False,
    cpu: bool = False,
) -> str:
    """How the program is installed at a commit, and the command of a run, as a listing.

    Args:
        command, commit, repository: Those of the run.
        folder: Whether its data was in the folder that an environment variable names.
        cpu: Whether its PyTorch was the build for processors alone.
    """
    clone = ["# in a clone of the project's repository, of which no public address was recorded"]
    if repository:
        clone = [f"git clone {repository}", f"cd {repository.rpartition('/')[2]}"]
    checkout = [f"git checkout {commit.removesuffix('-dirty')}"] if commit else []
    lines = [
        *clone,
        *checkout,
        *(["# the CPU build of PyTorch first, as the README says"] * cpu),
        INSTALL,
        *(
            [f"# {DATA_FOLDER} names the folder of the data's files; unset, they are fetched"]
            * folder
        ),
        command_line(command) or "(not recorded)",
    ]
    return listing("\n".join(lines))


def _extent(run: Run) -> dict[str, Any]:
    """How much of the experiment was done."""
    record = run.record
    experiment = record.experiment
    return {
        "complete": record.status == "complete",
        "finished": sum(training.finished for training in record.trainings),
        "planned": len(experiment.configurations) * len(experiment.training.seeds),
        "sampled": record.sample and record.data.name != experiment.data.name,
        "max_steps": record.max_steps,
        "failures": record.failures,
        "most_failures": MOST_FAILURES,
    }


def _results(run: Run, trainings: Sequence[TrainingStatistics]) -> dict[str, Any]:
    """What the sections of the results say of each training, and of all together."""
    experiment = run.record.experiment
    detailed = in_detail(run, trainings)
    paragraphs = {id(training) for training in detailed}
    others = [training for training in trainings if id(training) not in paragraphs]
    failed = [t for t in detailed if t.verdict.failed or not t.record.finished]
    shares = [t.had_processor for t in detailed if t.had_processor is not None]
    load = run.record.environment.load
    busy = min(shares) < LEAST_SHARE if shares else load is not None and load > BUSY_LOAD
    return {
        "many": many(run),
        "several_seeds": several_seeds(run),
        "measure": measure(run),
        "ranking_measure": ranking_measure(run),
        "dtype": experiment.training.dtype,
        "all": totals(run, trainings),
        "detailed": detailed,
        "farthest": max(detailed, key=lambda training: training.loss_apart, default=None),
        "shares": shares,
        "busy": busy,
        "partings": _partings(detailed),
        "step_ratios": [(t.label, t.time.ratio.value) for t in detailed if t.time and not busy],
        "wrong": failed,
        "others": totals(run, others),
        "ranking": ranking(run, trainings),
        "choice": _choice(run),
        "pairs": compared_pairs(run, trainings),
        "over_seeds": over_seeds(run, trainings),
        "predicted": "targets" in run.predictions and any(t.predicted for t in trainings),
        "evaluated_rows": _evaluated_rows(run),
        "training_set_in_table": "training-set loss" in result_quantities(run),
        "configurations": len({training.record.label for training in trainings}),
        "results_rows": {"most": MOST_ROWS, "best": BEST, "worst": WORST},
        "most_equalities": MOST_EQUALITIES,
    }


class Equalities(NamedTuple):
    """Whether NumPy and PyTorch end equally good.

    Attributes:
        whole: The test over all configurations together.
        single: The test of each configuration.
        quantity: What is compared.
        margin: How large a difference counts as none.
    """

    whole: Equality
    single: list[Equality]
    quantity: str
    margin: float


class Choice(NamedTuple):
    """Which of many trainings figures and paragraphs are about.

    Attributes:
        trainings: How many there are.
        of_a_seed: How many of one seed.
        seed: The seed that they are of; None where there is only one.
        axis: The axis of two cases that they are the ends of; None where they are the ends of all.
        measure: By what they are ranked.
        labels: Theirs.
    """

    trainings: int
    of_a_seed: int
    seed: int | None
    axis: str | None
    measure: str
    labels: list[str]


def _choice(run: Run) -> Choice | None:
    """Which trainings are shown of many; None where all of the first seed are."""
    if not many(run):
        return None
    first = of_first_seed(run)
    return Choice(
        len(run.record.trainings),
        len(first),
        first[0].seed if several_seeds(run) else None,
        axis_of_two(run),
        ranking_measure(run),
        [training.label for training in shown(run)],
    )


class Start(NamedTuple):
    """Trainings of which the same is to be said at step 0.

    Attributes:
        values: How many parameter values were compared.
        differing: How many of their bits differ.
        copied: Whether PyTorch was then given NumPy's values.
        buffers: How many of the values are not trained.
        labels: Those of the trainings.
    """

    values: int
    differing: int
    copied: bool
    buffers: int
    labels: list[str]


class Parting(NamedTuple):
    """When rounding parts a training's backends, as steps made once more show.

    Attributes:
        label: The training's.
        step: The first at which inputs of activations lie on two sides of a kink.
        sudden: Whether that step alone parts them.
        left: The share of the distance that is left with NumPy's value for such inputs.
        cancels: Whether that is the distance without biases that a normalisation cancels.
    """

    label: str
    step: int
    sudden: bool
    left: float
    cancels: bool = False


def _starts(trainings: Sequence[TrainingStatistics]) -> dict[str, Any]:
    """The comparisons at step 0, and their sums where they are too many to be listed."""
    groups: dict[tuple[int, int, bool, int], list[str]] = {}
    for training in trainings:
        initial = training.record.initial
        copied = initial.copied and initial.differing_bits > 0
        buffers = max(0, initial.values - training.record.parameters)
        key = (initial.values, initial.differing_bits, copied, buffers)
        groups.setdefault(key, []).append(training.label)
    initials = [training.record.initial for training in trainings]
    return {
        "starts": [Start(*key, labels) for key, labels in groups.items()],
        "starting_bits": [initial.differing_bits for initial in initials],
        "copied_starts": sum(initial.copied for initial in initials),
        "most_lines": MOST_LINES,
    }


def _partings(trainings: Sequence[TrainingStatistics]) -> list[Parting]:
    """The trainings of which it was shown why their backends part."""
    found = []
    for training in trainings:
        growth, opening = training.record.growth, training.record.opening
        if growth is not None and growth.is_sudden and growth.step is not None:
            share, step, sudden, cancels = growth.from_sides, growth.step, True, False
        elif opening is not None and opening.step is not None:
            share, step, sudden = opening.from_sides, opening.step, False
            cancels = opening.cancels
        else:
            continue
        if share is not None and share > 0.5:
            found.append(Parting(training.label, step, sudden, 1 - share, cancels))
    return found


def _claim(run: Run, result: ClaimResult) -> dict[str, Any]:
    """A claim, its decisions, and the trainings that it is about, in words."""
    claim = result.claim
    others = alternatives(run.record.experiment, claim.than or {})
    return {
        "claim": claim,
        "together": result.decision.value,
        "by_backend": {backend: found.value for backend, found in result.decisions.items()},
        "in_words": (in_words(claim.of), [in_words(other) for other in others]),
    }


def _means(run: Run, figure: Any) -> dict[str, float | None]:
    """Backend → the mean of a published figure's quantity in this run."""
    found = reported_here(run, figure)
    return {backend: None if one is None else one.mean for backend, one in found.items()}


def _rows(run: Run) -> list[str]:
    """How many rows each split has."""
    data = run.record.data
    splits = {
        "training row": data.train_rows,
        "validation row": data.validation_rows,
        "test row": data.test_rows,
    }
    return [plural(number, name) for name, number in splits.items() if number]


def _evaluated_rows(run: Run) -> list[str]:
    """On how many rows of each split the figures of the results are measured."""
    data = run.record.data
    most = run.record.experiment.training.evaluate_rows
    splits = {"test": data.test_rows, "validation": data.validation_rows}
    if most is not None:
        splits["training"] = data.train_rows
    return [
        translated(f"the first {count(most)} {split} rows")
        if most and most < number
        else plural(number, f"{split} row")
        for split, number in splits.items()
        if number
    ]
