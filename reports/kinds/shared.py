"""What the reports of all kinds say: where, how, how alike, and what became of the claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compare.kinds.claim import Finding
from compare.kinds.records import KindRun
from compare.verdict import verdict
from reports import sentences as say
from reports.method import bounds_in_words, bounds_of
from reports.tables import pipe_table
from reports.tabulated.outcome import parity_table
from reports.tabulated.setting import environment
from reports.wording import code, command_line, count, day, escaped, plural

FENCE = "`````"


def shared(run: KindRun, found: Sequence[Finding], what: str) -> dict[str, Any]:
    """The names that every template of a kind uses, all but its own.

    Args:
        run: The run.
        found: What became of the claims.
        what: What a label of parity.csv stands for.
    """
    record, rows = run.record, run.tables["parity"]
    judged = verdict(rows)
    values = sum(part.initial.values for part in record.parts)
    return {
        "title": escaped(record.experiment.title),
        "name": code(record.name),
        "date": day(record.created),
        "task": escaped(record.experiment.task or record.experiment.summary),
        "command": f"```\n{command_line(record.command) or '(not recorded)'}\n```",
        "dtype": record.experiment.dtype,
        "bounds": bounds_in_words(bounds_of(rows)),
        "sources": [
            f"#### {code(name)}\n\n{FENCE}python\n{source.rstrip()}\n{FENCE}"
            for name, source in record.sources.items()
        ],
        "in_short": [say.parity(judged.compared, judged.failed), *map(_short, found)],
        "parity": " ".join(
            [
                say.parity(judged.compared, judged.failed),
                say.first_divergence(judged.first_divergence) if judged.failed else "",
                say.nearest_pass(judged.worst) if judged.compared > judged.failed else "",
            ]
        ).replace("  ", " "),
        "start": f"{plural(values, 'value')}",
        "findings": [
            f"**{finding.decision.capitalize()}.** {escaped(finding.claim)} {_reason(finding)}"
            for finding in found
        ],
        "made_in": f"{record.wall_s:.0f} s",
        "tables": {
            "environment": environment(record),
            "parity": parity_table(run.parity_by_label(), what),
            "claims": claims_table(found),
        },
        "compared": count(judged.compared),
        "failed": judged.failed,
    }


def claims_table(found: Sequence[Finding]) -> str:
    """Claim and decision."""
    rows = [(escaped(finding.claim), f"**{finding.decision}**") for finding in found]
    return pipe_table(("claim", "decision"), rows)


def _short(finding: Finding) -> str:
    return f"{finding.decision.capitalize()}: {escaped(finding.claim)}"


def _reason(finding: Finding) -> str:
    return f"*{escaped(finding.reason[:1].upper() + finding.reason[1:])}*"
