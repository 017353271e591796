"""The tables at the end of a demonstration's run."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from compare.analysis.claims import Decision
from compare.analysis.quantities import BACKENDS
from compare.analysis.verdict import explain, verdict
from compare.demos.claims import demo_claim_results, measure_paths
from compare.languages import translated
from compare.records.run import Run
from compare.records.tables import ParityRow

COLOURS = {Decision.SUPPORTED: "green", Decision.NOT_SUPPORTED: "red", Decision.UNDECIDED: "yellow"}


def show_demo(run: Run, console: Console | None = None) -> bool:
    """Print the table, the first divergences and the claims decided.

    Returns:
        Whether every comparison passed.
    """
    console = console or Console()
    parity: dict[str, list[ParityRow]] = {}
    for training in run.record.trainings:
        parity.setdefault(training.label, []).extend(run.parity_of(training))
    console.print(_paths(run, parity) if run.paths else _layers(run, parity))
    verdicts = {label: verdict(rows) for label, rows in parity.items()}
    for label, found in verdicts.items():
        if found.first_divergence is not None:
            console.print(
                _said(
                    f"{label}: {found.failed:,} of {found.compared:,} comparisons fail; the first "
                    f"divergence is at {explain(found.first_divergence)}."
                ),
                soft_wrap=True,
                markup=False,
            )
    for claim in demo_claim_results(run):
        colour = COLOURS[claim.decision]
        console.print(f"[{colour}]{_said(claim.decision)}[/]: {_said(claim.says)}", highlight=False)
    return all(found.passed for found in verdicts.values())


def _paths(run: Run, parity: dict[str, list[ParityRow]]) -> Table:
    """Where each path ends, and how long it is."""
    paths = measure_paths(run.paths)
    table = Table(title=_said(run.record.experiment.title), title_justify="left")
    table.add_column(_said("backend"), no_wrap=True)
    table.add_column(_said("optimizer"), overflow="fold")
    for column in ("last value", "path length", "crossings"):
        table.add_column(_said(column), justify="right", no_wrap=True)
    table.add_column(_said("parity"), no_wrap=True)
    for label, rows in parity.items():
        for backend, name in BACKENDS.items():
            path = paths[backend, label]
            table.add_row(
                name,
                label,
                f"{path.values[-1]:.2e}",
                f"{path.length:.2f}" if path.length < 1e5 else f"{path.length:.2e}",
                str(path.crossings),
                _parity(rows) if backend == "numpy" else _said("reference"),
            )
        table.add_section()
    return table


def _layers(run: Run, parity: dict[str, list[ParityRow]]) -> Table:
    """The spread of the first, the middle and the last layer, of the first seed."""
    seed = run.layers[0].seed
    stds = {(r.label, r.layer): r.std for r in run.layers if (r.backend, r.seed) == ("numpy", seed)}
    layers = max(row.layer for row in run.layers)
    shown = sorted({1, (1 + layers) // 2, layers})
    table = Table(
        title=_said(
            f"{run.record.experiment.title}: standard deviation of a layer's activations, NumPy"
        ),
        title_justify="left",
    )
    table.add_column(_said("activation, weights"), overflow="fold")
    for layer in shown:
        table.add_column(_said(f"layer {layer}"), justify="right", no_wrap=True)
    table.add_column(_said("parity"), no_wrap=True)
    for label, rows in parity.items():
        table.add_row(label, *(f"{stds[label, layer]:.4g}" for layer in shown), _parity(rows))
    return table


def _parity(rows: list[ParityRow]) -> str:
    found = verdict(rows)
    return _said(
        f"[green]pass[/] {found.compared}" if found.passed else f"[red]FAIL[/] {found.failed}"
    )


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")
