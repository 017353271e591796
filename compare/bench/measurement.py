"""The measurement: contenders compared with NumPy's numbers, then timed in interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from compare.analysis.timings import ratio_of_medians, spread
from compare.backends.environment import describe_environment, own_commit
from compare.bench.cases import CONVOLUTIONS, BenchCase, Convolution, TrainingStep
from compare.bench.contenders import (
    BACKENDS,
    CONTENDERS,
    CannotRunError,
    Contender,
    Evidence,
    agree,
    block,
    differences,
    evidence,
    make,
    takes_part,
)
from compare.bench.records import (
    BenchRecord,
    CaseRecord,
    ContenderRecord,
    Protocol,
    RatioRecord,
    Times,
)
from compare.bench.workers import Worker, peak_memory

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
    blocks: Mapping[str, Blocks],
    time_block: Callable[[str, int, int], np.ndarray | None],
    pause_s: float = 0.0,
) -> dict[str, np.ndarray]:
    """Time contenders in rounds, in each of which all make one block, in an order drawn anew.

    Args:
        blocks: Name → how much; slow contenders have fewer rounds, the first of them.
        time_block: (name, untimed, steps) → seconds of shape (steps, phases), None if it failed.
        pause_s: Before each block.

    Returns:
        Name → seconds of shape (rounds, steps, phases), without those that failed on the way.
    """
    seconds: dict[str, list[np.ndarray]] = {name: [] for name in blocks}
    random = np.random.default_rng(0)
    for number in range(max((b.rounds for b in blocks.values()), default=0)):
        for name in map(str, random.permutation(list(blocks))):
            rounds, untimed, steps = blocks[name]
            if number >= rounds or name not in seconds:
                continue
            time.sleep(pause_s)
            times = time_block(name, untimed, steps)
            if times is None:
                del seconds[name]
            else:
                seconds[name].append(times)
    return {name: np.stack(times) for name, times in seconds.items()}


def run_case(
    case: BenchCase, names: Sequence[str], worker_of: WorkerOf, protocol: Protocol
) -> CaseRecord:
    """Prepare the contenders, compare their numbers with NumPy's, and time those that agree.

    Contenders that are not meant for the case are left out.

    Raises:
        CannotRunError: NumPy or PyTorch failed.
    """
    names = [name for name in CONTENDERS if name in names and takes_part(name, case)]
    records = {name: ContenderRecord(name=name) for name in names}

    def attempt(name: str, function: Callable[..., Any], *args: Any) -> Any:
        """What the function returns in the contender's process; None if it failed."""
        try:
            return worker_of(name).call(function, name, *args)
        except CannotRunError as error:
            if name in BACKENDS:
                raise
            records[name].reason = str(error)
            return None

    blocks: dict[str, Blocks] = {}
    reference: Evidence | None = None
    for name, record in records.items():
        found = attempt(name, _prepare, case)
        if found is None:
            continue
        if reference is None:  # NumPy is the first
            reference = found
        elif found.gradients:
            record.loss_error, record.gradient_error = errors = differences(found, reference)
            if not agree(*errors):
                record.reason = "its gradients or losses differ from NumPy's"
                continue
        blocks[name] = blocks_of(found.step_s, protocol)
    times = time_in_rounds(blocks, lambda name, *n: attempt(name, _block, *n), protocol.pause_s)
    for name in records:
        attempt(name, _forget)
    for name, seconds in times.items():
        _fill(records[name], seconds, times["numpy"])
    return CaseRecord(
        title=case.title,
        kind="convolution" if isinstance(case, Convolution) else "step",
        settings=asdict(case),
        contenders=list(records.values()),
    )


def _fill(record: ContenderRecord, times: np.ndarray, numpy: np.ndarray) -> None:
    """Write the times of a contender, of shape (rounds, steps, phases), into its record."""
    step = times.sum(axis=2)
    record.step = Times(**spread(step)._asdict())
    if times.shape[2] > 1:
        medians = np.median(times, axis=(0, 1)).tolist()
        record.phases_s = dict(zip(Contender.phases, medians, strict=False))
    if record.name != "numpy":
        rounds = min(len(times), len(numpy))
        ratio = ratio_of_medians(step[:rounds], numpy[:rounds].sum(axis=2))
        record.over_numpy = RatioRecord(**ratio._asdict())


# The contenders of this process, by name.
_contenders: dict[str, Contender] = {}


def _prepare(name: str, case: BenchCase) -> Evidence:
    _contenders[name] = make(name, case)
    return evidence(_contenders[name])


def _block(name: str, untimed: int, steps: int) -> np.ndarray:
    return block(_contenders[name], untimed, steps)


def _forget(name: str) -> None:
    _contenders.pop(name, None)


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
    """Measure the parts (of :data:`PARTS`) with these contenders.

    Raises:
        InputError: A network or an optimizer cannot be made.
        CannotRunError: NumPy or PyTorch failed.
    """
    steps = cases if "steps" in parts else ()
    convolutions = CONVOLUTIONS if "convolutions" in parts else ()
    workers: dict[str, Any] = {}

    def worker_of(name: str) -> Any:
        package = CONTENDERS[name].package
        if package not in workers:
            workers[package] = worker(protocol.threads)
        return workers[package]

    records, harness = [], []
    try:
        environment = worker_of("torch").call(describe_environment)
        for case in (*steps, *convolutions):
            progress(case.title)
            records.append(run_case(case, names, worker_of, protocol))
    finally:
        for one in workers.values():
            one.close()
    for record, step in zip(records, steps if "memory" in parts else (), strict=False):
        progress(f"memory: {step.title}")
        for contender in filter(None, map(record.timed, BACKENDS)):
            alone = worker(protocol.threads)
            try:
                contender.memory_bytes = alone.call(peak_memory, contender.name, step)
            except CannotRunError as error:  # the times are worth having without it
                contender.reason = f"memory: {error}"
            finally:
                alone.close()
    if "harness" in parts:
        from compare.bench.harness import CASES, measure_harness  # which loads PyTorch

        harness = [
            measure_harness(label, protocol, worker, progress, experiment)
            for experiment, label in CASES
        ]
    return BenchRecord(
        schema=2,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=own_commit(),
        environment=environment,
        protocol=protocol,
        cases=records,
        harness=harness,
    )
