"""Trainings on a Dask cluster.

``distributed``'s own client is used and not joblib's backend for it, since that one, measured with
joblib 1.6 and distributed 2026.8, does yield results as they come and outlives a worker that dies,
but never learns of a task that Dask gives up (one that every worker dies of): it then waits for
ever, and the other results with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from compare.records.run import FailureRecord
from compare.training.jobs import (
    JobResult,
    RemoteResult,
    ResultReceiver,
    TrainingJob,
    failure_record,
    perform_remotely,
)
from compare.training.lockstep import Observer
from experiments.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 5.0
"""How long a scheduler, and then its first worker, may take to answer."""
POLL_S = 1.0
"""How often the number of workers is looked up."""
WITHOUT_WORKERS_S = 60.0
"""How long a cluster may be without any worker: Dask starts dead ones again within seconds."""


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at ``address``.

    Raises:
        InputError: ``distributed`` is not installed, no scheduler answers, or it has no worker.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--dask needs the package distributed, which is not installed: "
            'pip install "nncompare[dask]".'
        ) from None
    try:
        # A client that finds no scheduler takes long to give up: first see whether one answers.
        asyncio.run(_probe(address))
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"--dask {address}: no Dask scheduler answers there within {CONNECT_S:.0f} s; expected "
            f"an address such as tcp://127.0.0.1:8786 ({_first_line(error)})."
        ) from None
    with _quiet("distributed.client"), client, client.as_current():
        try:
            # With a task: a cluster that grows with its work has no worker before.
            client.submit(int, pure=False).result(timeout=2 * CONNECT_S)
        except TimeoutError:
            raise InputError(
                f"--dask {address}: the cluster has no workers; start some with "
                f"dask worker {address} --nthreads 1."
            ) from None
        yield client


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without the tracebacks of a lost connection, which the run reports in one sentence."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


async def _probe(address: str) -> None:
    from distributed.comm import connect
    from distributed.security import Security

    answer = await connect(address, CONNECT_S, **Security().get_connection_args("client"))
    await answer.close()


def run_on_cluster(
    jobs: Sequence[TrainingJob], observer: Observer, client: Client
) -> Generator[JobResult]:
    """Perform jobs on a cluster, and yield the results as they come.

    Each worker is given one at a time. When one dies, Dask has its job performed by another, and
    gives it up when that has happened more often than the scheduler's ``allowed-failures`` says
    (three times unless configured otherwise). A cluster that stays without workers, or whose
    scheduler goes away, costs all trainings that are left.
    """
    from distributed import wait

    receiver = ResultReceiver(observer)
    waiting = deque(jobs)
    running: dict[Future, TrainingJob] = {}
    workers: int | None = 0
    seen = time.monotonic()
    try:
        while waiting or running:
            workers = _workers(client)
            if workers:
                seen = time.monotonic()
            elif workers is None or time.monotonic() - seen > WITHOUT_WORKERS_S:
                break
            while waiting and len(running) < (workers or 1):
                job = waiting.popleft()
                future = client.submit(_on_worker, job, key=f"nncompare-{uuid4().hex}")
                running[future] = job
            try:
                done = wait(list(running), POLL_S, "FIRST_COMPLETED").done
            except TimeoutError:
                continue
            except (CancelledError, OSError):  # what becomes of jobs without a scheduler
                workers = None
                break
            for future in done:
                job = running.pop(future)
                yield from _results(job, future, receiver)
                future.release()
        lost = (
            "the connection to the scheduler was lost"
            if workers is None
            else f"the cluster had no workers for {WITHOUT_WORKERS_S:.0f} s"
        )
        for job in (*running.values(), *waiting):
            yield _failure(job, lost)
    finally:
        client.cancel(list(running), force=True)


def _on_worker(job: TrainingJob) -> RemoteResult:
    """Runs on a worker. Dask cannot end a thread, so a job that is cancelled ends itself."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def cancelled() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state in ("cancelled", "released", "forgotten")

    return perform_remotely(job, cancelled)


def _workers(client: Client) -> int | None:
    """How many there are; None where the scheduler does not answer."""
    try:
        return len(client.nthreads())
    except (OSError, RuntimeError, TimeoutError):
        return None


def _results(job: TrainingJob, future: Future, receiver: ResultReceiver) -> Iterator[JobResult]:
    from distributed import KilledWorker

    try:
        remote: RemoteResult = future.result()
    except KilledWorker as error:
        yield _failure(job, f"each of the {error.allowed_failures + 1} workers that made it died")
    except Exception as error:
        yield failure_record(job.key, error)
    else:
        yield from receiver.receive(job, remote)


def _failure(job: TrainingJob, error: str) -> FailureRecord:
    label, seed = job.key
    return FailureRecord(label=label, seed=seed, error=error)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".")
