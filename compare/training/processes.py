"""Trainings side by side, in processes of this machine."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

from compare.backends.torch_parts import postpone_compiler
from compare.records.run import FailureRecord
from compare.training.fork_server import (
    POLL_S,
    THREADS,
    ProcessEndedError,
    begun_or_new,
    can_fork,
    exit_after,
)
from compare.training.jobs import (
    JobResult,
    RemoteResult,
    ResultReceiver,
    TrainingJob,
    perform_remotely,
)
from compare.training.lockstep import Observer

DEATHS = (ProcessEndedError, BrokenProcessPool)


class Process(Protocol):
    """Performs one job at a time: a fork, or an executor of one process."""

    def submit(
        self,
        function: Callable[..., RemoteResult],
        job: TrainingJob,
        /,
        *,
        meter: tuple[Path, int],
    ) -> Future[RemoteResult]:
        """Have a job performed; raises one of :data:`DEATHS` if the process has ended."""

    def shutdown(self, *, kill_workers: bool) -> None:
        """End the process, whatever it does."""


class ProcessDeath(NamedTuple):
    """A process ended while it performed a job.

    Attributes:
        status: Its exit status, as far as it is known, in words.
    """

    status: str


def run_in_processes(
    jobs: Sequence[TrainingJob], observer: Observer, processes: int
) -> Generator[JobResult]:
    """Perform jobs in up to ``processes`` processes, and yield the results as they come.

    An error costs its training alone. A process that dies (killed, out of memory, a fault in
    compiled code) costs nothing at first: its job is performed once more after all others, when
    no other process takes memory. When that process dies too, the training has failed.

    However this ends, also by Ctrl-C, all processes are ended at once.
    """
    receiver = ResultReceiver(observer)
    with warnings.catch_warnings():
        # A process that has grown much is replaced between two trainings, where psutil is there
        # to measure it; the training is not lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        again = []
        for job, remote in _results(jobs, processes, observer):
            if isinstance(remote, ProcessDeath):
                again.append(job)
            else:
                yield from receiver.receive(job, remote)
        for job, remote in _results(again, 1, observer):
            if isinstance(remote, ProcessDeath):
                label, seed = job.key
                error = f"its process died twice{remote.status}"
                yield FailureRecord(label=label, seed=seed, error=error)
            else:
                yield from receiver.receive(job, remote)


def _results(
    jobs: Sequence[TrainingJob], processes: int, observer: Observer
) -> Iterator[tuple[TrainingJob, RemoteResult | ProcessDeath]]:
    """Have the jobs performed, each process one at a time.

    Processes are forks of one that has loaded everything, where a fork is safe. Elsewhere each is
    an executor of its own: loky gives up all that an executor holds when one of its processes dies,
    and does not say which job killed it; here it is the only one.
    """
    if not jobs:
        return
    with _starter(jobs) as start:
        yield from _performed(jobs, min(processes, len(jobs)), observer, start)


def _performed(
    jobs: Sequence[TrainingJob], processes: int, observer: Observer, start: Callable[[], Process]
) -> Iterator[tuple[TrainingJob, RemoteResult | ProcessDeath]]:
    waiting = deque(jobs)
    free = [start() for _ in range(processes)]
    running: dict[Future, tuple[TrainingJob, Process]] = {}
    places: dict[Future, int] = {}  # in the file of the meters
    meters = _Meters(len(jobs))
    results: list[tuple[TrainingJob, RemoteResult | ProcessDeath]] = []
    try:
        while waiting or running:
            while waiting and free:
                process = free.pop()
                try:
                    meter = (meters.path, len(jobs) - len(waiting))
                    future = process.submit(perform_remotely, waiting[0], meter=meter)
                except DEATHS:  # it died while it had nothing to do
                    process.shutdown(kill_workers=True)
                    free.append(start())
                    continue
                places[future] = meter[1]
                running[future] = (waiting.popleft(), process)
            # Only now, when the processes have work again: recording a result may take a while.
            yield from results
            results.clear()
            done, _ = wait(running, POLL_S, FIRST_COMPLETED)
            for future in done:
                meters.clear(places.pop(future))
            observer.going_on(meters.total())
            for future in done:
                job, process = running.pop(future)
                try:
                    results.append((job, future.result()))
                except DEATHS as error:
                    process.shutdown(kill_workers=True)
                    process = start()
                    results.append((job, ProcessDeath(_exit_status(error))))
                free.append(process)
        yield from results
    finally:
        for process in (*free, *(process for _, process in running.values())):
            process.shutdown(kill_workers=True)
        meters.close()


class _Meters:
    """A file in which each job says how much of it is made."""

    def __init__(self, jobs: int) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.path = Path(self._folder.name) / "made"
        self._shares = np.memmap(self.path, np.float64, "w+", shape=max(jobs, 1))

    def total(self) -> float:
        """How much of the jobs that go on is made, in jobs."""
        return float(self._shares.sum())

    def clear(self, place: int) -> None:
        """That job has ended."""
        self._shares[place] = 0.0

    def close(self) -> None:
        """Remove the file."""
        del self._shares
        self._folder.cleanup()


@contextmanager
def _starter(jobs: Sequence[TrainingJob]) -> Iterator[Callable[[], Process]]:
    """What starts a process for some of these jobs."""
    threads = max(job.threads for job in jobs)
    if not can_fork():
        yield partial(_new_process, threads)
        return
    server = begun_or_new()
    try:
        server.read(jobs[0].data, jobs[0].folder)
        yield partial(server.fork, threads)
    finally:
        server.close()


def _new_process(threads: int) -> ProcessPoolExecutor:
    """A process that starts with its first job, and loads all that it needs itself."""
    env = dict.fromkeys(THREADS, str(threads))
    return ProcessPoolExecutor(1, initializer=_start, initargs=(os.getpid(),), env=env)


def _start(run: int) -> None:
    """Have this process end with the run, also where the run is killed and cannot end it."""
    # A terminal sends Ctrl-C to this process as well: the run decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=exit_after, args=(run,), daemon=True).start()
    postpone_compiler()


def _exit_status(error: BaseException) -> str:
    if isinstance(error, ProcessEndedError):
        return str(error)
    found = re.search(r"exit codes of the workers are \{(.+)\}", str(error))
    return f" (exit status {found[1]})" if found else f" ({type(error).__name__})"
