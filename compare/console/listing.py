"""What there is to run: experiments, architectures, presets of courses, data sets."""

from __future__ import annotations

import inspect
import tomllib
from importlib.resources import files
from typing import Any

from rich.console import Console
from rich.table import Table

from compare.check.presets import PRESETS
from compare.languages import translated
from compare.spec.architecture import architecture_names, find_architecture
from experiments import datasets
from experiments.files import experiment_names


def show_list() -> None:
    """Print the four lists; an entry is a row."""
    console = Console()
    experiments = _table("Experiments (nncompare run NAME)", "name", "data", "minutes", "what")
    for name in experiment_names():
        tree = tomllib.loads((files("experiments") / f"{name}.toml").read_text(encoding="utf-8"))
        experiments.add_row(name, *_data_and_minutes(tree), _said(tree["summary"]))
    architectures = _table("Architectures (nncompare parity --architecture NAME)")
    for name in architecture_names():
        line = (inspect.getdoc(find_architecture(name)) or "").partition("\n")[0]
        architectures.add_row(name, _said(line))
    presets = _table("Presets of courses (nncompare check FILE --preset NAME)")
    for preset in PRESETS.values():
        presets.add_row(preset.name, _said(preset.summary))
    data_sets = _table("Data sets")
    for name, line in datasets.available().items():
        data_sets.add_row(name, _said(line))
    for table in (experiments, architectures, presets, data_sets):
        console.print(table)
        console.print()
    console.print(
        _said(
            "Minutes are those of the full experiment on two cores, roughly; with --sample, where "
            "there is a sample, it takes less than one."
        ),
        soft_wrap=True,
    )


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=_said(title), title_justify="left", show_header=bool(columns), box=None)
    for column in columns or ("name", "what"):
        number = column == "minutes"
        table.add_column(
            _said(column),
            style="bold" if column == "name" else None,
            no_wrap=column != "what",
            justify="right" if number else "left",
        )
    return table


def _data_and_minutes(tree: dict[str, Any]) -> tuple[str, str]:
    """Off a file of the package, which is sound: to check them all would take the longest."""
    if "kind" in tree:  # a demonstration
        return "–", "< 1"
    minutes = "–" if "minutes" not in tree else f"{tree['minutes']:.0f}"
    return tree["data"]["name"], minutes
