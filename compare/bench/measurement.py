"""A whole measurement: every case, profile, series and start that was asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from compare.backends.environment import own_commit
from compare.bench.cases import run_case
from compare.bench.catalogue import CONTENDERS
from compare.bench.contender import CannotRunError
from compare.bench.growth import SERIES, measure_growth
from compare.bench.harness import Training, measure_harness
from compare.bench.host import Apart, Here, Host
from compare.bench.memory import measure_memory
from compare.bench.profile import profile
from compare.bench.records import SCHEMA, BenchRecord, Case, Growth, HarnessRecord, Profile
from compare.bench.records import Protocol as ProtocolRecord
from compare.bench.schedule import Schedule
from compare.bench.start import measure_start
from compare.bench.workloads import DEFAULT_CONVOLUTIONS, Convolution, TrainingStep

PARTS = ("steps", "convolutions", "memory", "layers", "growth", "start", "harness")
DEFAULT_PARTS = PARTS[:-1]  # the harness alone takes minutes
# How idle threads wait decides how much they slow others, so it is recorded.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OPENBLAS_THREAD_TIMEOUT")
# Whose memory and layers are measured.
SIDES = ("numpy", "torch")
# The batch whose layers are shown.
PROFILED_BATCH = 128


@dataclass(frozen=True)
class Asked:
    """What is to be measured, and how.

    Attributes:
        steps: Training steps.
        convolutions: Convolutions alone.
        parts: Of :data:`PARTS`.
        names: Contenders; who cannot do a work is not asked.
        threads: Of each library.
        schedule: How much.
        apart: Each library in a process of its own, or all in this one.
        command: The command line, for the record.
        trainings: Whole trainings for the harness's cost.
    """

    steps: tuple[TrainingStep, ...]
    convolutions: tuple[Convolution, ...] = DEFAULT_CONVOLUTIONS
    parts: tuple[str, ...] = DEFAULT_PARTS
    names: tuple[str, ...] = tuple(CONTENDERS)
    threads: int = 1
    schedule: Schedule = field(default_factory=Schedule)
    apart: bool = True
    command: str = ""
    trainings: tuple[Training, ...] = (Training(optimizer="SGD"), Training(optimizer="Adam"))


class Hosts:
    """Process → host, made when it is first asked for, closed at the end."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._hosts: dict[str, Host] = {}

    def of(self, name: str) -> Host:
        """Where a contender works."""
        process = CONTENDERS[name].process if self._asked.apart else ""
        if process not in self._hosts:
            made = Apart if self._asked.apart else Here
            self._hosts[process] = made(self._asked.threads)
        return self._hosts[process]

    def close(self) -> None:
        """End all processes."""
        for host in self._hosts.values():
            host.close()


def run_bench(asked: Asked, progress: Callable[[str], None] = lambda line: None) -> BenchRecord:
    """Measure what is asked for.

    Args:
        asked: What.
        progress: Told in a line of everything that is done.

    Raises:
        InputError: A network or an optimizer cannot be made.
    """
    begun, load = time.perf_counter(), _load()
    hosts = Hosts(asked)
    try:
        record = _measured(asked, hosts, progress)
        record.protocol.load, record.wall_s = load, time.perf_counter() - begun
        return record
    finally:
        hosts.close()


def _measured(asked: Asked, hosts: Hosts, progress: Callable[[str], None]) -> BenchRecord:
    cases: list[Case] = []
    profiles: list[Profile] = []
    growth: list[Growth] = []
    harness: list[HarnessRecord] = []
    reasons = {}
    environment, compiler = hosts.of("torch").call("torch", "surroundings")
    if not compiler:
        reasons["torch-compile"] = "torch.compile needs a C++ compiler, and none is here"
    workloads: list[TrainingStep | Convolution] = []
    if "steps" in asked.parts:
        workloads += asked.steps
    if "convolutions" in asked.parts:
        workloads += asked.convolutions
    for workload in workloads:
        progress(workload.title)
        cases.append(run_case(workload, asked.names, hosts.of, asked.schedule, reasons))
    if "layers" in asked.parts:
        for workload in _profiled(asked.steps):
            progress(f"layers: {workload.title}")
            step_s = _step_s(cases, workload.title)
            profiles.append(profile(workload, SIDES, hosts.of, asked.schedule, step_s))
    if "growth" in asked.parts:
        for series in SERIES:
            progress(f"growth: {series.what}")
            growth.append(measure_growth(series, hosts.of, _shorter(asked.schedule)))
    hosts.close()  # so that what follows has the machine for itself
    if "harness" in asked.parts:
        for training in asked.trainings:
            progress(f"harness: {training.title}")
            harness.append(_harness(asked, training, progress))
    if "memory" in asked.parts:
        for case, workload in zip(cases, asked.steps, strict=False):
            if "steps" in asked.parts:
                progress(f"memory: {workload.title}")
                _memory(case, workload, asked.threads)
    start = []
    if "start" in asked.parts:
        progress("start of the commands")
        start = measure_start(max(3, asked.schedule.repeats // 3), asked.threads)
    return BenchRecord(
        schema=SCHEMA,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=asked.command,
        commit=own_commit(),
        wall_s=0.0,
        environment=environment,
        protocol=ProtocolRecord(
            name="processes" if asked.apart else "one-process",
            threads=asked.threads,
            repeats=asked.schedule.repeats,
            seconds=asked.schedule.seconds,
            pause_s=asked.schedule.pause_s,
            compiler=compiler,
            environment={name: os.environ[name] for name in WAITING if name in os.environ},
        ),
        cases=cases,
        profiles=profiles,
        growth=growth,
        harness=harness,
        start=start,
    )


def _harness(asked: Asked, training: Training, progress: Callable[[str], None]) -> HarnessRecord:
    """With as many threads as a run gives the network, at most as many as are asked for."""
    threads = min(asked.threads, training.threads())
    hosts = Hosts(replace(asked, threads=threads))
    try:
        return measure_harness(training, hosts.of, threads, asked.schedule.pause_s, progress)
    finally:
        hosts.close()


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def _profiled(steps: tuple[TrainingStep, ...]) -> list[TrainingStep]:
    """One step of each network: that with :data:`PROFILED_BATCH` rows, or the first there is."""
    chosen: dict[str, TrainingStep] = {}
    for step in steps:
        if step.architecture not in chosen or (
            step.batch_size == PROFILED_BATCH
            and chosen[step.architecture].batch_size != PROFILED_BATCH
        ):
            chosen[step.architecture] = step
    return list(chosen.values())


def _step_s(cases: list[Case], title: str) -> float:
    """How long NumPy takes for a step, where it was measured; else a millisecond."""
    found = next((c.of("numpy") for c in cases if c.title == title), None)
    return found.step.median_s if found is not None and found.step is not None else 1e-3


def _shorter(schedule: Schedule) -> Schedule:
    """For the many sizes of a series."""
    return Schedule(
        max(3, schedule.repeats // 2), schedule.seconds / 3, schedule.pause_s, schedule.seed
    )


def _memory(case: Case, workload: TrainingStep, threads: int) -> None:
    for name in SIDES:
        measured = case.of(name)
        if measured is None:
            continue
        try:
            measured.memory = measure_memory(name, workload, threads)
        except CannotRunError as error:
            measured.reason = f"memory: {error}"
