"""What other processes answer, brought into this one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from compare.training.lockstep import Observer
from compare.training.serial import Failed, Made, Outcome, Wanted, failure
from compare.training.task import Reply


class Reception:
    """Passes on what comes back with a training: warnings, and what an observer is told.

    Args:
        observer: Who is told of a finished training: its beginning, last evaluations and end.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        # Where Python notes which warnings it has shown: once for all trainings.
        self._shown: dict[Any, Any] = {}

    def take(self, wanted: Wanted, reply: Reply) -> Iterator[Outcome]:
        """Yield the training, or its failure; then, when that is recorded, tell the observer.

        A warning that the filters of this process make an error fails the training.
        """
        for said in reply.warned:
            try:
                warnings.warn_explicit(
                    said.text, said.category, said.file, said.line, registry=self._shown
                )
            except Warning as error:
                yield Failed(failure(wanted.key, error))
                return
        yield reply.outcome
        if isinstance(reply.outcome, Made):
            record = reply.outcome.record
            self._observer.begin(*wanted.key, record.steps)
            for evaluated in reply.evaluated:
                self._observer.epoch(*evaluated)
            self._observer.end(record)
