"""Trainings side by side, in processes of this machine."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import NamedTuple

from joblib.externals.loky import BrokenProcessPool, ProcessPoolExecutor

from compare.records.run import FailureRecord
from compare.training.replies import Reception
from compare.training.serial import Failed, Outcome
from compare.training.task import Reply, Task, perform

LOOK_UP_S = 0.5
"""A wait without an end cannot be interrupted on Windows."""


class Death(NamedTuple):
    """A process ended while it made a training.

    Attributes:
        how: Its exit status, as far as it is known.
    """

    how: str


def side_by_side(tasks: Sequence[Task], jobs: int, reception: Reception) -> Generator[Outcome]:
    """Make trainings in up to ``jobs`` processes, and yield them as they are finished.

    An error costs its training alone. A process that dies (killed, out of memory, a fault in
    compiled code) costs nothing at first: its training is made once more after all others, when
    no other process takes memory. When that process dies too, the training has failed.

    However this ends, also by Ctrl-C, all processes are ended at once.
    """
    with warnings.catch_warnings():
        # A process that has grown much is replaced between two trainings, where psutil is there
        # to measure it; the training is not lost.
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        died = []
        for task, answer in _answers(tasks, jobs):
            if isinstance(answer, Death):
                died.append(task)
            else:
                yield from reception.take(task.wanted, answer)
        for task, answer in _answers(died, 1):
            if isinstance(answer, Death):
                label, seed = task.wanted.key
                said = f"its process died twice{answer.how}"
                yield Failed(FailureRecord(label=label, seed=seed, error=said))
            else:
                yield from reception.take(task.wanted, answer)


def _answers(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Reply | Death]]:
    """Have the tasks made, each process one at a time.

    Each process is an executor of its own. Loky gives up all that an executor holds when one of
    its processes dies, and does not say which training was to blame; here it is the only one.
    """
    waiting = deque(tasks)
    threads = max((task.threads for task in tasks), default=1)
    free = [_process(threads) for _ in range(min(jobs, len(tasks)))]
    at_work: dict[Future, tuple[Task, ProcessPoolExecutor]] = {}
    answers: list[tuple[Task, Reply | Death]] = []
    try:
        while waiting or at_work:
            while waiting and free:
                process = free.pop()
                try:
                    future = process.submit(perform, waiting[0])
                except BrokenProcessPool:  # it died while it had nothing to do
                    process.shutdown(kill_workers=True)
                    free.append(_process(threads))
                    continue
                at_work[future] = (waiting.popleft(), process)
            # Only now, when the processes have work again: whoever takes them may take his time.
            yield from answers
            answers.clear()
            done, _ = wait(at_work, LOOK_UP_S, FIRST_COMPLETED)
            for future in done:
                task, process = at_work.pop(future)
                try:
                    answers.append((task, future.result()))
                except BrokenProcessPool as error:
                    process.shutdown(kill_workers=True)
                    process = _process(threads)
                    answers.append((task, Death(_how(error))))
                free.append(process)
        yield from answers
    finally:
        for process in (*free, *(process for _, process in at_work.values())):
            process.shutdown(kill_workers=True)


def _process(threads: int) -> ProcessPoolExecutor:
    """A process that is started with its first task. Libraries read these variables on loading."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    env = dict.fromkeys(names, str(threads))
    return ProcessPoolExecutor(1, initializer=_begin, initargs=(os.getpid(),), env=env)


def _begin(run: int) -> None:
    """The process ends with the run: by its hand, or with it when somebody kills it."""
    # A terminal sends Ctrl-C to this process as well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(run,), daemon=True).start()


def _end_with(run: int) -> None:
    while os.getppid() == run:
        time.sleep(LOOK_UP_S)
    os._exit(1)


def _how(error: BaseException) -> str:
    found = re.search(r"exit codes of the workers are \{(.+)\}", str(error))
    return f" (exit status {found[1]})" if found else f" ({type(error).__name__})"
