"""What there is to run: experiments, architectures, presets of courses, data sets."""

from __future__ import annotations

import inspect

from rich.console import Console
from rich.table import Table

from compare.check.presets import PRESETS
from compare.languages import translated
from compare.spec.loading import experiment_names, load_settings
from compare.spec.model import architecture_names, find_architecture
from experiments import datasets


def show_list() -> None:
    """Print the four lists, one line an entry."""
    experiments = {name: load_settings(name)[1].summary for name in experiment_names()}
    architectures = {
        name: (inspect.getdoc(find_architecture(name)) or "").partition("\n")[0]
        for name in architecture_names()
    }
    console = Console()
    for title, entries in (
        ("Experiments (nncompare run NAME)", experiments),
        ("Architectures (nncompare parity --architecture NAME)", architectures),
        (
            "Presets of courses (nncompare check FILE --preset NAME)",
            {preset.name: preset.summary for preset in PRESETS.values()},
        ),
        ("Data sets", datasets.available()),
    ):
        table = Table(
            title=translated(title, "terminal"), title_justify="left", show_header=False, box=None
        )
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for name, line in entries.items():
            table.add_row(name, line)
        console.print(table)
        console.print()
