"""Trainings on a Dask cluster.

``distributed``'s own client is used and not joblib's backend for it, since that one, measured with
joblib 1.6 and distributed 2026.8, does yield results as they come and outlives a worker that dies,
but is never told of a task that Dask gives up (one that every worker dies of): it then waits for
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
from compare.training.replies import Reception
from compare.training.serial import Failed, Outcome, failure
from compare.training.task import Reply, Task, perform
from experiments.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 5.0
"""How long a scheduler, and then its first worker, may take to answer."""
LOOK_UP_S = 1.0
"""How often the number of workers is asked for."""
WITHOUT_WORKERS_S = 60.0
"""How long a cluster may be without any worker: Dask starts dead ones again within seconds."""


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at ``address``.

    Raises:
        InputError: ``distributed`` is not installed, nobody answers there, or there is no worker.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--dask needs the package distributed, which is not installed: "
            'pip install "nncompare[dask]".'
        ) from None
    try:
        # A client that finds nobody takes long to be gone: first knock.
        asyncio.run(_knock(address))
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise InputError(
            f"--dask {address}: no Dask scheduler answers there within {CONNECT_S:.0f} s; expected "
            f"an address such as tcp://127.0.0.1:8786 ({_first_line(error)})."
        ) from None
    with _quiet("distributed.client"), client, client.as_current():
        try:
            # Asked for with a task: a cluster that grows with its work has no worker before.
            client.submit(int, pure=False).result(timeout=2 * CONNECT_S)
        except TimeoutError:
            raise InputError(
                f"--dask {address}: the cluster has no workers; start some with "
                f"dask worker {address} --nthreads 1."
            ) from None
        yield client


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without the tracebacks of a lost connection, which the run says in a sentence."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


async def _knock(address: str) -> None:
    from distributed.comm import connect
    from distributed.security import Security

    answer = await connect(address, CONNECT_S, **Security().get_connection_args("client"))
    await answer.close()


def on_cluster(tasks: Sequence[Task], client: Client, reception: Reception) -> Generator[Outcome]:
    """Make trainings on a cluster, and yield them as they are finished.

    Each worker is given one at a time. When one dies, Dask has its training made by another, and
    gives it up when that has happened more often than the scheduler's ``allowed-failures`` says
    (three times unless configured otherwise). A cluster that stays without workers, or whose
    scheduler goes away, costs all trainings that are left.
    """
    from distributed import wait

    waiting = deque(tasks)
    at_work: dict[Future, Task] = {}
    workers: int | None = 0
    seen = time.monotonic()
    try:
        while waiting or at_work:
            workers = _workers(client)
            if workers:
                seen = time.monotonic()
            elif workers is None or time.monotonic() - seen > WITHOUT_WORKERS_S:
                break
            while waiting and len(at_work) < (workers or 1):
                task = waiting.popleft()
                future = client.submit(_on_worker, task, key=f"nncompare-{uuid4().hex}")
                at_work[future] = task
            try:
                done = wait(list(at_work), LOOK_UP_S, "FIRST_COMPLETED").done
            except TimeoutError:
                continue
            except (CancelledError, OSError):  # what becomes of tasks without a scheduler
                workers = None
                break
            for future in done:
                task = at_work.pop(future)
                yield from _outcomes(task, future, reception)
                future.release()
        lost = (
            "the connection to the scheduler was lost"
            if workers is None
            else (f"the cluster had no workers for {WITHOUT_WORKERS_S:.0f} s")
        )
        for task in (*at_work.values(), *waiting):
            yield _failed(task, lost)
    finally:
        client.cancel(list(at_work), force=True)


def _on_worker(task: Task) -> Reply:
    """Runs on a worker. Dask cannot end a thread, so a training that is cancelled ends itself."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def given_up() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state in ("cancelled", "released", "forgotten")

    return perform(task, given_up)


def _workers(client: Client) -> int | None:
    """How many there are; None where the scheduler does not answer."""
    try:
        return len(client.nthreads())
    except (OSError, RuntimeError, TimeoutError):
        return None


def _outcomes(task: Task, future: Future, reception: Reception) -> Iterator[Outcome]:
    from distributed import KilledWorker

    try:
        reply: Reply = future.result()
    except KilledWorker as error:
        yield _failed(task, f"each of the {error.allowed_failures + 1} workers that made it died")
    except Exception as error:
        yield Failed(failure(task.wanted.key, error))
    else:
        yield from reception.take(task.wanted, reply)


def _failed(task: Task, said: str) -> Failed:
    label, seed = task.wanted.key
    return Failed(FailureRecord(label=label, seed=seed, error=said))


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(".")
