"""What became of the claims of a run, whatever its kind."""

from __future__ import annotations

from compare.demos import layer_claims, path_facts
from compare.demos.claim import Finding
from compare.demos.records import KindRun


def findings_of(run: KindRun) -> list[Finding]:
    """Decide every claim from the run's tables."""
    if run.record.kind == "optimizer_paths":
        return path_facts.findings(path_facts.all_facts(run.tables["paths"]))
    return layer_claims.findings(run.tables["layers"])
