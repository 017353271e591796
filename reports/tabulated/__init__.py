"""The contents of every table of the report."""

from __future__ import annotations

from compare.records.run import Run
from reports.facts import Facts
from reports.tabulated import outcome, results, setting


def tables_of(run: Run, facts: list[Facts]) -> dict[str, str]:
    """Name → Markdown table; one that would have no rows is empty and left out."""
    made = {
        "environment": setting.environment(run.record),
        "data": setting.data(run),
        "network": setting.network(run),
        "setup": setting.setup(run, facts),
        "varied": setting.varied(run),
        "optimizers": setting.optimizers(run),
        "results": results.results(run, facts),
        "parity": outcome.parity(run, facts),
        "timing": outcome.timing(facts),
        "reported": outcome.reported(run),
    }
    return {name: table for name, table in made.items() if table}
