"""In which ways a run is less, or other, than the experiment that its file describes."""

from __future__ import annotations

from compare.records.run import RunRecord


def departures(record: RunRecord) -> list[str]:
    """What the run did otherwise, as verbs that ``this run`` goes before; empty for a full run."""
    found = []
    other = record.data.name != record.experiment.data.name
    if record.sample and other:
        found.append("used the sample in place of the full data set")
    elif other:
        found.append(f"used other data ({record.data.title})")
    if record.max_steps is not None:
        found.append("stopped each training early")
    if record.status != "complete":
        found.append("was broken off")
    if record.failures:
        found.append("lost trainings to errors")
    if "--set" in record.command:
        found.append("changed settings of the experiment with --set")
    return found
