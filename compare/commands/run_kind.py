"""``nncompare run`` of an experiment that trains no network."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from compare.analysis.verdict import explain, verdict
from compare.demos.answers import findings_of
from compare.demos.path_facts import all_facts
from compare.demos.records import KindRun
from compare.spec.demos import ActivationHistograms, network_label
from compare.spec.experiment import Experiment
from compare.spec.loading import load_form
from experiments.errors import InputError


def run_kind_command(
    experiment: str,
    *,
    max_steps: int | None,
    threads: int | None,
    changes: list[str],
    seeds: list[int] | None,
    data_dir: Path | None,
    out: Path | None,
    resume: bool,
) -> int:
    """Run it, show its table and what became of its claims, and write its report.

    ``--sample`` has no data to make small and changes nothing; nor has ``--max-steps`` where
    nothing is trained, or ``--seed`` and ``--seeds`` where nothing is drawn.

    Returns:
        0 when every comparison passed, 1 when one did not.
    """
    name, form = load_form(experiment)
    if resume:
        raise InputError(
            f"--resume: a run of {name} takes seconds and is not resumed: run it anew."
        )
    if data_dir is not None:
        raise InputError(
            f"--data-dir: {name} uses no data set: expected no data folder, found {data_dir}."
        )
    if seeds is not None and isinstance(form, ActivationHistograms):
        changes = [*changes, f"seeds={seeds}"]
    _, form = load_form(experiment, changes)
    assert not isinstance(form, Experiment)

    from compare.demos.running import run_kind
    from compare.records.directory import RunDirectory, new_folder
    from reports.report import write_report

    console = Console()
    folder = out or new_folder(name)
    RunDirectory(folder)  # refuses a folder that is taken or cannot be written to
    run = run_kind(
        name,
        form,
        folder,
        max_steps=max_steps,
        threads=threads,
        command=shlex.join(["nncompare", *sys.argv[1:]]),
        told=lambda line: console.print(line, soft_wrap=True, markup=False, highlight=False),
    )
    paths = write_report(folder)
    passed = show_kind(run, console)
    print(f"Report: {' '.join(str(path) for path in paths[:3])}")
    return 0 if passed else 1


def show_kind(run: KindRun, console: Console) -> bool:
    """Print the table, the claims and the first divergences.

    Returns:
        Whether every comparison passed.
    """
    if run.record.kind == "optimizer_paths":
        console.print(_paths_table(run))
    else:
        console.print(_layers_table(run))
    verdicts = {label: verdict(rows) for label, rows in run.parity_by_label().items()}
    for label, one in verdicts.items():
        if one.first_divergence is not None:
            console.print(
                f"{label}: {one.failed:,} of {one.compared:,} comparisons fail; the first "
                f"divergence is at {explain(one.first_divergence)}.",
                soft_wrap=True,
                markup=False,
            )
    for finding in findings_of(run):
        colour = {"supported": "green", "not supported": "red"}.get(finding.decision, "yellow")
        console.print(f"[{colour}]{finding.decision}[/]: {finding.claim}", highlight=False)
    return all(one.passed for one in verdicts.values())


def _paths_table(run: KindRun) -> Table:
    facts = all_facts(run.tables["paths"])
    table = Table(title=run.record.experiment.title, title_justify="left")
    table.add_column("side", no_wrap=True)
    table.add_column("optimizer", overflow="fold")
    for column in ("last value", "path length", "crossings"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("parity", no_wrap=True)
    rows = run.parity_by_label()
    for label in rows:
        for backend, side in (("numpy", "NumPy"), ("torch", "PyTorch")):
            fact = facts[backend, label]
            table.add_row(
                side,
                label,
                f"{fact.values[-1]:.2e}",
                f"{fact.length:.2f}" if fact.length < 1e5 else f"{fact.length:.2e}",
                str(fact.crossings),
                _parity(rows[label]) if backend == "numpy" else "reference",
            )
        table.add_section()
    return table


def _layers_table(run: KindRun) -> Table:
    rows, parity = run.tables["layers"], run.parity_by_label()
    seed = rows[0].seed
    layers = max(row.layer for row in rows)
    shown = sorted({1, (1 + layers) // 2, layers})
    table = Table(
        title=f"{run.record.experiment.title}: standard deviation of a layer's activations, NumPy",
        title_justify="left",
    )
    table.add_column("activation, weights", overflow="fold")
    for layer in shown:
        table.add_column(f"layer {layer}", justify="right", no_wrap=True)
    table.add_column("parity", no_wrap=True)
    for label, compared in parity.items():
        stds = {
            row.layer: row.std
            for row in rows
            if (network_label(row.activation, row.spread), row.backend, row.seed)
            == (label, "numpy", seed)
        }
        table.add_row(label, *(f"{stds[layer]:.4g}" for layer in shown), _parity(compared))
    return table


def _parity(rows: list) -> str:
    found = verdict(rows)
    return f"[green]pass[/] {found.compared}" if found.passed else f"[red]FAIL[/] {found.failed}"
