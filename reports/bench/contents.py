"""Everything the template of the speed report asks for."""

from __future__ import annotations

from typing import Any

from compare.bench.records import BenchRecord
from reports.bench import sentences as say
from reports.bench import tables
from reports.figures.style import Figure
from reports.tables import environment
from reports.text import command_line, day

TITLE = "The speed of NumPy and PyTorch, side by side"


def contents(record: BenchRecord, figures: list[Figure]) -> dict[str, Any]:
    """The names that the template uses, all but ``figure`` and ``table``, which draw on these."""
    made = {
        "environment": environment(record),
        "steps": tables.steps(record),
        "phases": tables.phases(record),
        "floor": tables.floor(record),
        "peers": tables.peers(record),
        "convolutions": tables.convolutions(record),
        "memory": tables.memory(record),
        "growth": tables.growth(record),
        "harness": tables.harness(record),
        "start": tables.start(record),
        "aims": tables.aimed(record),
        **{f"layers-{n}": tables.layers(p) for n, p in enumerate(record.profiles, 1)},
    }
    return {
        "title": TITLE,
        "date": day(record.created),
        "command": f"```\n{command_line(record.command) or '(not recorded)'}\n```",
        "in_short": say.in_short(record),
        "protocol": say.protocol(record),
        "absent": say.absent(record),
        "made_up": any(case.kind == "step" for case in record.cases),
        "profiles": [profile.title for profile in record.profiles],
        "tables": {name: table for name, table in made.items() if table},
        "figures": {figure.name: figure for figure in figures},
    }
