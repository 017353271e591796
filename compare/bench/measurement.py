"""The measurement: contenders compared with NumPy's numbers, then timed in interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from compare.analysis.timings import ratio_of_medians, spread
from compare.backends.environment import describe_environment, own_commit
from compare.bench.cases import CONVOLUTIONS, BenchCase, TrainingStep
from compare.bench.contenders import (
    BACKENDS,
    CONTENDERS,
    EAGER,
    CannotRunError,
    Contender,
    Evidence,
    agreement,
    block,
    evidence,
    installed_version,
    make,
    takes_part,
)
from compare.bench.harness import TRAININGS, measure_harness
from compare.bench.memory import peak_memory
from compare.bench.records import (
    SCHEMA,
    BenchRecord,
    CaseRecord,
    ContenderRecord,
    Protocol,
    RatioRecord,
    Times,
)
from compare.bench.workers import Worker

PARTS = ("steps", "convolutions", "memory", "harness")
# Untimed at the beginning of a block: the pools wake, and the caches fill again.
WARM_S = 0.003
# A step as long as this needs no warming.
LONG_S = 0.1
MOST_STEPS = 2000
# A contender whose single step is longer than its block gets fewer rounds, so that it takes at
# most so many times its share of time, but never fewer than the least.
PATIENCE, LEAST_ROUNDS = 3, 3

WorkerOf = Callable[[str], Any]
"""Name of a contender → the worker that it belongs to."""


class Blocks(NamedTuple):
    """The blocks of one contender: rounds, and in each its untimed and timed steps."""

    rounds: int
    untimed: int
    steps: int


def blocks_of(step_s: float, protocol: Protocol) -> Blocks:
    """The blocks of a contender whose step takes so many seconds."""
    step_s = max(step_s, 1e-6)
    steps = int(protocol.seconds / protocol.repeats / step_s)
    affordable = int(PATIENCE * protocol.seconds / step_s)
    rounds = min(protocol.repeats, max(LEAST_ROUNDS, affordable))
    untimed = 0 if step_s > LONG_S else max(2, int(np.ceil(WARM_S / step_s)))
    return Blocks(rounds, min(untimed, MOST_STEPS), min(max(steps, 1), MOST_STEPS))


def time_in_rounds(
    names: Sequence[str], time_block: Callable[[str, int, int], np.ndarray], protocol: Protocol
) -> tuple[dict[str, np.ndarray], dict[str, CannotRunError]]:
    """Time contenders in rounds, in each of which all make one block, in an order drawn anew.

    Args:
        names: The contenders.
        time_block: (name, untimed, steps) → seconds of shape (steps, phases).
        protocol: How much.

    Returns:
        Name → seconds of shape (rounds, steps, phases); slow contenders have fewer rounds, the
        first of them. And name → what went wrong, for those that failed on the way.
    """
    failures: dict[str, CannotRunError] = {}
    found: dict[str, list[np.ndarray]] = {}

    def attempt(name: str, untimed: int, steps: int) -> np.ndarray | None:
        time.sleep(protocol.pause_s)
        try:
            return time_block(name, untimed, steps)
        except CannotRunError as error:
            failures[name] = error
            return None

    blocks: dict[str, Blocks] = {}
    for name in names:
        times = attempt(name, 0, 1)
        if times is not None and times.sum() < LONG_S:
            # The first step also makes what is kept between steps; others are shorter.
            times = attempt(name, 2, 3)
        if times is not None:
            blocks[name] = blocks_of(float(np.median(times.sum(axis=1))), protocol)
            found[name] = []
    random = np.random.default_rng(0)
    for number in range(protocol.repeats):
        for name in map(str, random.permutation(list(blocks))):
            if number < blocks[name].rounds and name not in failures:
                times = attempt(name, blocks[name].untimed, blocks[name].steps)
                if times is not None:
                    found[name].append(times)
    return {n: np.stack(times) for n, times in found.items() if n not in failures}, failures


def run_case(
    case: BenchCase, names: Sequence[str], worker_of: WorkerOf, protocol: Protocol
) -> CaseRecord:
    """Prepare the contenders, compare their numbers with NumPy's, and time those that agree.

    Args:
        case: What they do.
        names: Contenders; those that are not meant for the case are left out.
        worker_of: Name → worker.
        protocol: How much.

    Raises:
        CannotRunError: NumPy or PyTorch failed.
    """
    records: dict[str, ContenderRecord] = {}
    ready: dict[str, tuple[str, ...]] = {}
    reference: Evidence | None = None
    for name in CONTENDERS:
        if name not in names or not takes_part(name, case):
            continue
        entry, version = CONTENDERS[name], installed_version(name)
        record = records[name] = ContenderRecord(name=name, title=entry.title, version=version)
        if version is None:
            record.status = "not installed"
            record.reason = f"the package {entry.package} is not installed"
            continue
        try:
            record.dtype, phases, found = worker_of(name).call(_prepare, name, case)
        except CannotRunError as error:
            if name in BACKENDS:
                raise
            record.reason = str(error)
            continue
        reference = reference or found  # NumPy is the first
        record.agreement = agreement(found, reference) if found.gradients else None
        if record.agreement is None or record.agreement.agrees:
            record.status, ready[name] = "measured", phases
        else:
            record.status = "differs"
            record.reason = "its gradients or losses differ from NumPy's, so it is not timed"
            worker_of(name).call(_forget, name)
    times, failures = time_in_rounds(
        list(ready), lambda name, *steps: worker_of(name).call(_block, name, *steps), protocol
    )
    for name in ready:
        worker_of(name).call(_forget, name)
    for name, failure in failures.items():
        if name in BACKENDS:
            raise failure
        records[name].status, records[name].reason = "not run", str(failure)
    for name, seconds in times.items():
        _fill(records[name], ready[name], seconds, times.get("numpy"))
    eager = {n: np.median(times[n].sum(axis=2)) for n in EAGER if n in times}
    return CaseRecord(
        title=case.title,
        kind="step" if isinstance(case, TrainingStep) else "convolution",
        settings=asdict(case),
        best_eager=min(eager, key=eager.__getitem__, default=None),
        contenders=list(records.values()),
    )


def _fill(
    record: ContenderRecord, phases: Sequence[str], times: np.ndarray, numpy: np.ndarray | None
) -> None:
    """Write the times of a contender, of shape (rounds, steps, phases), into its record."""
    step = times.sum(axis=2)
    record.steps = step.shape[1]
    record.step = Times(**spread(step)._asdict())
    record.blocks_s = [float(value) for value in np.median(step, axis=1)]
    if len(phases) > 1:
        for place, name in enumerate(phases):
            record.phases[name] = Times(**spread(times[:, :, place])._asdict())
    if numpy is not None:
        rounds = min(len(times), len(numpy))
        ratio = ratio_of_medians(step[:rounds], numpy[:rounds].sum(axis=2))
        record.over_numpy = RatioRecord(**ratio._asdict())


# The contenders of this process, by name.
_made: dict[str, Contender] = {}


def _prepare(name: str, case: BenchCase) -> tuple[str, tuple[str, ...], Evidence]:
    made = make(name, case)
    found = evidence(made)
    _made[name] = made
    return made.dtype, made.phases, found


def _block(name: str, untimed: int, steps: int) -> np.ndarray:
    return block(_made[name], untimed, steps)


def _forget(name: str) -> None:
    _made.pop(name, None)


def run_bench(
    cases: Sequence[TrainingStep],
    names: Sequence[str],
    parts: Sequence[str],
    protocol: Protocol,
    *,
    command: str = "",
    progress: Callable[[str], None] = lambda line: None,
    worker: Callable[[int], Any] = Worker,
) -> BenchRecord:
    """Measure.

    Args:
        cases: Training steps.
        names: Contenders.
        parts: Of :data:`PARTS`.
        protocol: How.
        command: The command line, for the record.
        progress: Is given a line about everything that is measured.
        worker: Makes a worker with so many threads.

    Raises:
        InputError: A network or an optimizer cannot be made.
        CannotRunError: NumPy or PyTorch failed.
    """
    begun = time.perf_counter()
    workers: dict[str, Any] = {}

    def worker_of(name: str) -> Any:
        package = CONTENDERS[name].package
        return workers.setdefault(package, worker(protocol.threads))

    steps = list(cases) if "steps" in parts else []
    convolutions = CONVOLUTIONS if "convolutions" in parts else ()
    records, harness = [], []
    try:
        environment = worker_of("torch").call(describe_environment)
        for case in (*steps, *convolutions):
            progress(case.title)
            records.append(run_case(case, names, worker_of, protocol))
    finally:
        for one in workers.values():
            one.close()
    for record, step in zip(records, steps if "memory" in parts else [], strict=False):
        progress(f"memory: {step.title}")
        for name in BACKENDS:
            measured, alone = record.measured(name), worker(protocol.threads)
            if measured is None:
                continue
            try:
                measured.memory_bytes = alone.call(peak_memory, name, step)
            except CannotRunError as error:  # the times are worth having without it
                measured.reason = f"memory: {error}"
            finally:
                alone.close()
    for training in TRAININGS if "harness" in parts else ():
        harness.append(measure_harness(training, protocol, worker, progress))
    return BenchRecord(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=own_commit(),
        wall_s=time.perf_counter() - begun,
        environment=environment,
        protocol=protocol,
        cases=records,
        harness=harness,
    )
