"""The tables of ``nncompare parity``, with and without ``--graph``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from compare.analysis.verdict import explain, verdict
from compare.languages import translated
from compare.parity.graph import GraphRow, graph_summary
from compare.parity.tolerances import UNIT_ROUNDOFF
from compare.records.run import Initial
from compare.records.tables import ParityRow

PASS, FAIL = "[green]pass[/]", "[bold red]FAIL[/]"


def show_parity(
    architecture: str, dtype: str, optimizer: str, initial: Initial, rows: Sequence[ParityRow]
) -> None:
    """Print the comparisons of one precision, a line each, and the verdict of all."""
    console = Console(highlight=False)
    copied = "; PyTorch was then given NumPy's values" if initial.copied else ""
    console.print(
        _said(
            f"Step 0: {initial.values:,} starting values compared, {initial.differing_bits:,} bits "
            f"differ{copied}."
        )
    )
    several = len({row.step for row in rows}) > 1
    table = Table(title=f"{architecture}, {optimizer}, {dtype}", title_justify="left")
    if several:
        table.add_column(_said("step"), justify="right")
    table.add_column(_said("site"), overflow="fold")
    for column in ("NumPy", "PyTorch", "bound"):
        table.add_column(_said(column), justify="right", no_wrap=True)
    table.add_column(_said("verdict"), no_wrap=True)
    for row in rows:
        if row.dtype != dtype or row.site.startswith("initial/"):
            continue
        cells = [
            row.site,
            f"{row.numpy_error:.1e}",
            f"{row.torch_error:.1e}" if dtype == "float32" else _said("referee"),
            f"{row.tolerance:.1e}",
            _said(PASS if row.passed else FAIL),
        ]
        table.add_row(*([str(row.step), *cells] if several else cells))
    console.print(table)
    console.print(
        _said(
            "Errors are the largest distance from the referee, PyTorch in float64, of any value of "
            "the site, divided by the size of what was summed to make it."
        )
    )
    found = verdict(rows)
    other = sum(row.dtype != dtype for row in rows)
    shown = ""
    if other:
        shown = " " + _said(f"({other:,} of them in the other precision, with --json)")
    if found.passed:
        said = _said(f"All {found.compared:,} comparisons pass")
        console.print(f"[green]{said}[/]{shown}.")
    else:
        said = _said(f"{found.failed:,} of {found.compared:,} comparisons fail")
        console.print(f"[bold red]{said}[/]{shown}.")
        assert found.first_divergence is not None
        first = explain(found.first_divergence)
        console.print(_said(f"First divergence: {first}."), soft_wrap=True)


def show_graph(architecture: str, dtype: str, batch_size: int, rows: list[GraphRow]) -> None:
    """Print the three errors of every value in units of roundoff, and what they say."""
    unit = UNIT_ROUNDOFF[dtype]
    console = Console(highlight=False)
    console.print(
        _said(
            f"Errors against PyTorch in float64, in units of roundoff ({unit:.1e}) of the size of "
            "what was summed. Apart: nodes from closed formula."
        )
    )
    several = len({row.step for row in rows}) > 1
    table = Table(
        title=_said(f"{architecture}, {dtype}, batch of {batch_size}"),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    if several:
        table.add_column(_said("step"), justify="right")
    table.add_column(_said("site"), overflow="fold")
    for column in ("nodes", "closed", "PyTorch", "apart", "bound"):
        table.add_column(_said(column), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        cells = [row.site, *(_units(error / unit) for error in (row.nodes, row.closed))]
        cells.append(_said("referee") if dtype == "float64" else _units(row.torch / unit))
        cells += [_units(row.apart / unit), _units(row.tolerance / unit)]
        cells.append(_said(PASS if row.passed else FAIL))
        table.add_row(*([str(row.step), *cells] if several else cells))
    console.print(table)
    console.print(_said(graph_summary(rows, dtype)))


def _units(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.1e}"


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")
