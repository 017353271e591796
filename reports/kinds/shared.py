"""What the reports of all kinds say: where, how, how alike, and what became of the claims."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from compare.analysis.verdict import verdict
from compare.demos.answers import findings_of
from compare.demos.claim import Finding
from compare.demos.records import KindRun
from compare.records.tables import ParityRow
from reports.markdown import say
from reports.tables import environment, parity_table
from reports.text import code, command_line, count, day, escaped, joined, latex, number, plural

FENCE = "`````"


def shared(
    run: KindRun,
    what: str,
    compared: Mapping[str, Sequence[ParityRow]],
) -> dict[str, Any]:
    """The names that every template of a kind uses, all but its own.

    Args:
        run: The run.
        what: What the labels of ``compared`` stand for.
        compared: The comparisons as the table groups them.
    """
    record, rows = run.record, run.tables["parity"]
    judged, found = verdict(rows), findings_of(run)
    # Where PyTorch is always nearer than the floor, K cannot be read off the comparisons.
    single = any(row.dtype == "float32" and row.tolerance > 0 for row in rows)
    bounds = bounds_of(rows)
    bounds = bounds._replace(
        k=record.k if single else None,
        floor_ulp=record.floor_ulp if single else None,
        stage=_two_digits(bounds.stage),
        whole=_two_digits(bounds.whole),
    )
    values = sum(part.initial.values for part in record.parts)
    return {
        "title": escaped(record.experiment.title),
        "name": code(record.name),
        "date": day(record.created),
        "task": escaped(record.experiment.task or record.experiment.summary),
        "command": f"```\n{command_line(record.command) or '(not recorded)'}\n```",
        "dtype": record.experiment.dtype,
        "bounds": bounds_in_words(bounds),
        "sources": [
            f"#### {code(name)}\n\n{FENCE}python\n{source.rstrip()}\n{FENCE}"
            for name, source in record.sources.items()
        ],
        "in_short": [
            say.parity(judged.compared, judged.failed),
            decided(found),
            *map(_short, found),
        ],
        "decided": decided(found),
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
            "parity": parity_table(compared, what),
        },
        "compared": count(judged.compared),
        "failed": judged.failed,
    }


def decided(found: Sequence[Finding]) -> str:
    """How many of the claims are supported, and how many are not."""
    counts = Counter(finding.decision for finding in found)
    if len(counts) == 1:
        [decision] = counts
        return f"All {plural(len(found), 'claim')} of the textbook are {decision}."
    listed = [
        f"{count(counts[decision])} {'is' if counts[decision] == 1 else 'are'} {decision}"
        for decision in ("supported", "not supported", "undecided")
        if counts[decision]
    ]
    return f"Of the textbook's {plural(len(found), 'claim')} {joined(listed)}."


def _short(finding: Finding) -> str:
    return f"{finding.decision.capitalize()}: {escaped(finding.claim)}"


def _reason(finding: Finding) -> str:
    reason = escaped(finding.reason[:1].upper() + finding.reason[1:])
    return f"*{re.sub(r'[0-9.]+e[-+][0-9]+', lambda m: number(float(m[0])), reason)}*"


def _two_digits(bound: float | None) -> float | None:
    return None if bound is None else float(f"{bound:.2g}")


class Bounds(NamedTuple):
    """The bounds that a run was judged by, read off its comparisons; None where it has none."""

    k: float | None
    floor_ulp: float | None
    stage: float | None
    whole: float | None


def bounds_of(rows: list[ParityRow]) -> Bounds:
    """Recover K, its floor and the float64 bounds from the recorded tolerances."""
    judged = [row for row in rows if not row.site.startswith(("initial/", "shuffle"))]
    single = [row for row in judged if row.dtype == "float32" and row.tolerance > 0]
    factors = [row.tolerance / row.torch_error for row in single if 0 < row.torch_error < np.inf]
    k = float(f"{min(factors):.6g}") if factors else None
    floor = min(row.tolerance for row in single) / 2.0**-24 if single else 0.0

    def double(whole: bool) -> float | None:
        found = {
            row.tolerance
            for row in judged
            if row.dtype == "float64" and row.site.startswith("whole/") == whole
        }
        return max(found, default=None)

    return Bounds(k, float(f"{floor / k:.6g}") if k else None, double(False), double(True))


def bounds_in_words(bounds: Bounds) -> dict[str, str | None]:
    """For formulas: K and its floor plainly, the float64 bounds as powers of 10."""
    return {
        "k": f"{bounds.k:g}" if bounds.k else None,
        "floor_ulp": f"{bounds.floor_ulp:g}" if bounds.floor_ulp else None,
        "stage": f"${latex(bounds.stage)}$" if bounds.stage else None,
        "whole": f"${latex(bounds.whole)}$" if bounds.whole else None,
    }
