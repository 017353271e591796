"""One workload: who takes part, whether they agree, how long they take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from compare.analysis.timings import ratio_of_medians, spread
from compare.backends.synthetic import input_shape
from compare.bench.agreement import LOSS_BOUND, VECTOR_BOUND, agreement
from compare.bench.catalogue import (
    CONTENDERS,
    EAGER,
    NotInstalledError,
    asked_for,
    installed_version,
)
from compare.bench.contender import CannotRunError, Evidence
from compare.bench.host import Host
from compare.bench.records import AgreementRecord, Case, Measured, RatioRecord, Times
from compare.bench.schedule import Schedule, measure
from compare.bench.workloads import TrainingStep, Workload, fields_of

# Their failure is not a peer's weakness, and nothing can be compared without them.
NEEDED = ("numpy", "torch")


def run_case(
    workload: Workload,
    names: Sequence[str],
    host_of: Callable[[str], Host],
    schedule: Schedule,
    reasons: dict[str, str] | None = None,
) -> Case:
    """Prepare everybody, compare their results with NumPy's, and time those that agree.

    Args:
        workload: What to do.
        names: Who is asked; who cannot take part at all is left out.
        host_of: Name → where that contender works.
        schedule: How much.
        reasons: Name → why it does not take part this time.
    """
    images = isinstance(workload, TrainingStep) and len(input_shape(workload.start()[0])) == 3
    names = [name for name in CONTENDERS if name in names]
    names = [name for name in names if asked_for(name, workload, has_images=images)]
    records: dict[str, Measured] = {}
    phases: dict[str, tuple[str, ...]] = {}
    reference: list[Evidence] = []
    for name in names:
        entry = CONTENDERS[name]
        record = records[name] = Measured(
            name=name,
            title=entry.title,
            group=entry.group,
            version=installed_version(name),
            status="not run",
        )
        try:
            if name in (reasons or {}):
                raise CannotRunError((reasons or {})[name])
            about = host_of(name).prepare(name, workload)
            record.dtype, phases[name] = about["dtype"], about["phases"]
            evidence = host_of(name).call(name, "evidence")
        except NotInstalledError as error:
            record.status, record.reason = "not installed", str(error)
            continue
        except (CannotRunError, RuntimeError) as error:
            if name in NEEDED:
                raise
            record.reason = str(error)
            continue
        reference = reference or evidence  # NumPy is the first
        found = agreement(evidence, reference)
        record.status = "measured"
        if found is not None:
            record.agreement = AgreementRecord(
                kind=found.kind,
                loss_error=found.loss_error,
                vector_error=found.vector_error,
                loss_bound=LOSS_BOUND,
                vector_bound=VECTOR_BOUND,
                agrees=found.agrees,
            )
            if not found.agrees:
                record.status = "differs"
                record.reason = (
                    f"its {found.kind} or losses differ from NumPy's, so it is not timed"
                )
    ready = {name: host_of(name) for name, record in records.items() if record.status == "measured"}
    times, failures = measure(ready, schedule)
    for name, failure in failures.items():
        if name in NEEDED:
            raise failure
        records[name].status, records[name].reason = "not run", str(failure)
    for name, seconds in times.items():
        _fill(records[name], phases[name], seconds, times.get("numpy"))
    for name in ready:
        host_of(name).drop(name)
    eager = [records[name] for name in EAGER if name in times]
    best = min(eager, key=lambda record: record.step.median_s if record.step else 0, default=None)
    return Case(
        title=workload.title,
        kind="step" if isinstance(workload, TrainingStep) else "convolution",
        workload=fields_of(workload),
        best_eager=best.name if best else None,
        contenders=list(records.values()),
    )


def _fill(
    record: Measured, phases: tuple[str, ...], found: np.ndarray, numpy: np.ndarray | None
) -> None:
    """Write the times of a contender, of shape (rounds, steps, phases), into its record."""
    whole = found.sum(axis=2)
    record.rounds, record.steps = whole.shape
    record.step = Times.of(spread(whole))
    record.blocks_s = [float(value) for value in np.median(whole, axis=1)]
    if len(phases) > 1:
        record.phases = {
            name: Times.of(spread(found[:, :, place])) for place, name in enumerate(phases)
        }
    if numpy is not None:
        both = min(len(found), len(numpy))
        ratio = ratio_of_medians(whole[:both], numpy[:both].sum(axis=2))
        record.over_numpy = RatioRecord(**ratio._asdict())
