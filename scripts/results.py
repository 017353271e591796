"""Run every experiment on its full data and write docs/results.md from the records.

    python scripts/results.py RUNS [--data-dir DIR] [--only NAME …]

Each experiment's run is kept in RUNS/NAME; one that is there already is not made again, and one
that was broken off is resumed. The page is written from what is in RUNS: an experiment without a
run there keeps the section that the page has, which then says that an earlier version made it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from compare.analysis.claims import claim_results
from compare.analysis.intervals import mean_interval
from compare.analysis.quantities import BACKENDS, quantity
from compare.analysis.verdict import verdict
from compare.demos.claims import demo_claim_results
from compare.records.atomic import write_atomically
from compare.records.run import DemoRecord, Run, TrainingRecord, read_run
from compare.spec.loading import experiment_names, load_settings
from compare.spec.report import ReportedValue
from experiments.errors import InputError
from reports.text import day, plural

PAGE = Path(__file__).resolve().parent.parent / "docs" / "results.md"

SHORTER = {
    "mnist_activations": ["training.epochs=3"],
    "mnist_cnn": ["training.evaluate_rows=10000"],
    "mnist_deep_convnet": ["training.epochs=2", "training.evaluate_rows=10000"],
    "mnist_no_batchnorm": ["training.epochs=1"],
    "mnist_simple_convnet": ["training.epochs=6", "training.evaluate_rows=10000"],
}
"""What is made shorter than the experiment says, so that all takes some two hours on one core."""

MOST_PLANS = 8
"""Experiments with more combinations are told by their answers alone."""


def command_of(name: str, out: Path) -> list[str]:
    """The command that makes a run."""
    changes = [word for change in SHORTER.get(name, []) for word in ("--set", change)]
    return ["nncompare", "run", name, *changes, "--out", str(out)]


def make(name: str, runs: Path, data_dir: Path | None) -> None:
    """Make a run, or what is missing of it."""
    out = runs / name
    words = command_of(name, out)[1:] + ["--resume"] * (out / "run.json").exists()
    # Not --data-dir, which experiments without files refuse.
    places = {"NNCOMPARE_DATA": str(data_dir)} if data_dir else {}
    subprocess.run([sys.executable, "-m", "compare", *words], check=False, env=os.environ | places)


EARLIER = "*These are the figures of an earlier version.*"
"""Stands in a section that is kept."""


def kept(page: str) -> dict[str, str]:
    """The sections of a page by the names of their experiments, each marked as an earlier one's."""
    found = {}
    for part in page.split("\n## ")[1:]:
        name, _, body = part.partition("\n")
        if EARLIER not in body:
            # Behind the command, where what was measured begins.
            before, fence, after = body.rpartition("```\n\n")
            body = f"{before}{fence}{EARLIER}\n\n{after}" if fence else body
        found[name] = f"## {name}\n{body.rstrip()}\n"
    return found


def page(runs: Path, earlier: str = "") -> str:
    """The whole page.

    Args:
        runs: Where the runs are kept.
        earlier: The page as it was.
    """
    sections = kept(earlier)
    parts = [
        "# Results\n\nWhat every experiment gave on its full data, both sides, beside what was "
        "reported. Made by `python scripts/results.py RUNS`; values over several seeds are means "
        "± the half width of their 95% interval (Student's t). Where an experiment was made "
        "shorter than its file says, the command says so. Minutes are those of the clock, beside "
        "other work and with pauses. A section that says so is of "
        "an earlier version.\n"
    ]
    for name in experiment_names():
        lines = "\n".join(section(name, runs / name))
        has_run = (runs / name / "run.json").exists()
        parts.append(lines if has_run else sections.get(name, lines))
    return "\n".join(parts)


def section(name: str, folder: Path) -> Iterator[str]:
    """One experiment."""
    yield f"## {name}\n"
    try:
        run = read_run(folder)
    except InputError:
        yield f"{load_settings(name)[1].summary}. Not run.\n"
        return
    record = run.record
    yield f"{record.experiment.summary.rstrip('?')}.\n"
    yield f"```\n{_without_folders(record.command)}\n```\n"
    if isinstance(record, DemoRecord):
        yield from _demo(run)
        return
    yield from _facts(run)
    yield from _table(run)
    yield from _answers(run)


def _demo(run: Run) -> Iterator[str]:
    compared = verdict(run.parity)
    yield f"{compared.compared:,} comparisons, {compared.failed} fail.{_made(run)}\n"
    for found in demo_claim_results(run):
        yield f"- “{found.says}” ({found.by}): **{found.decision}**. {found.reason}"
    yield ""


def _made(run: Run) -> str:
    """When a run was made, and by which commit where that is recorded, after another sentence."""
    commit = f", commit {run.record.commit}" if run.record.commit else ""
    return f" Made on {day(run.record.created)}{commit}."


def _without_folders(command: str) -> str:
    """A command without the folders of whoever ran it."""
    words = shlex.split(command)
    for option in ("--out", "--data-dir"):
        if option in words:
            place = words.index(option)
            del words[place : place + 2]
    return shlex.join(word for word in words if word != "--resume")


def _facts(run: Run) -> Iterator[str]:
    record, environment = run.record, run.record.environment
    seeds = ", ".join(map(str, record.experiment.training.seeds))
    rows = f"{record.data.train_rows:,} training rows"
    finished = [training for training in record.trainings if training.finished]
    steps = sorted({training.steps for training in finished})
    failed = [verdict(run.parity_of(training)) for training in record.trainings]
    yield (
        f"{rows}; {plural(len(finished), 'training')} a backend of "
        f"{' or '.join(f'{step:,}' for step in steps) or 'no'} steps; "
        f"{'seed' if len(record.experiment.training.seeds) == 1 else 'seeds'} {seeds}; "
        f"{environment.numpy_threads} thread{'s' * (environment.numpy_threads > 1)} a backend; "
        f"{sum(t.wall_s for t in record.trainings) / 60:.1f} minutes. "
        f"{sum(v.compared for v in failed):,} comparisons, {sum(v.failed for v in failed)} fail."
        + _made(run)
        + ("" if record.status == "complete" else " The run is incomplete.")
        + "\n"
    )


def _table(run: Run) -> Iterator[str]:
    record = run.record
    rows = [_reported_row(run, figure) for figure in record.experiment.reported]
    plans = record.experiment.configurations
    told = {(figure.label, figure.quantity) for figure in record.experiment.reported}
    last = "test accuracy" if record.data.test_rows else "training-set accuracy"
    if len(plans) <= MOST_PLANS:
        for plan in plans:
            if (plan.label, last) not in told:
                rows.append(f"| {plan.label} | {last} | – | {_both(run, plan.label, last)} |")
    if rows:
        yield "| training | quantity | reported | NumPy | PyTorch |\n|---|---|---|---|---|"
        yield "\n".join(rows) + "\n"


def _reported_row(run: Run, figure: ReportedValue) -> str:
    what = figure.quantity + (f" after epoch {figure.epoch}" if figure.epoch else "")
    said = f"{figure.note} {figure.value:g} ({figure.by})".strip()
    ours = _both(run, figure.label, figure.quantity, figure.epoch)
    return f"| {figure.label} | {what} | {said} | {ours} |"


def _both(run: Run, label: str, name: str, epoch: int | None = None) -> str:
    trainings = [t for t in run.record.trainings if t.label == label and t.finished]
    return " | ".join(_mean(run, backend, trainings, name, epoch) for backend in BACKENDS)


def _mean(
    run: Run, backend: str, trainings: list[TrainingRecord], name: str, epoch: int | None
) -> str:
    values = [quantity(run, backend, training, name, epoch) for training in trainings]
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    if len(known) == 1:
        return f"{known[0]:.4f}"
    found = mean_interval(known)
    if not found.known:
        return "diverged"
    return f"{found.mean:.4f} ± {(found.high - found.low) / 2:.4f}"


def _answers(run: Run) -> Iterator[str]:
    for found in claim_results(run):
        yield f"- “{found.claim.says}” ({found.claim.by}): **{found.decision}**."
        for backend, title in BACKENDS.items():
            for comparison in found.comparisons[backend]:
                if comparison.interval is not None:
                    low, high = comparison.interval.low, comparison.interval.high
                    mean = comparison.interval.mean
                    width = f", {low:.4g} to {high:.4g}" if low < high else ""
                    because = f" ({comparison.reason})" if comparison.reason else ""
                    yield f"  - {title}, {comparison.compared}: {mean:.4g}{width}{because}"
    yield ""


def main() -> None:
    """Make the runs and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, help="where the runs are kept")
    parser.add_argument("--data-dir", type=Path, help="where the data is; else $NNCOMPARE_DATA")
    parser.add_argument("--only", nargs="*", help="make the runs of these experiments alone")
    parser.add_argument("--no-runs", action="store_true", help="write the page alone")
    arguments = parser.parse_args()
    names = experiment_names() if arguments.only is None else arguments.only
    for name in [] if arguments.no_runs else names:
        make(name, arguments.runs, arguments.data_dir)
    write_atomically(PAGE, page(arguments.runs, PAGE.read_text(encoding="utf-8")))
    print(PAGE)


if __name__ == "__main__":
    main()
