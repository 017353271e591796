"""Graders: processes that check one submission after another, apart from each other.

The process that collects the grades loads no homework, starts none and waits for no answer of one.
When a submission ends the process that checks it, that grader alone is gone: its line says so, and
the next submission gets another grader. PyTorch is asked through the collecting process, so that
all graders share one process with PyTorch, and the answers for networks that several have.
"""

from __future__ import annotations

import queue
import signal
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from compare.check.child_process import (
    ChildEndedError,
    ChildProcess,
    ChildTimeoutError,
    serve,
    write_message,
)
from compare.check.reading import Options
from compare.check.reference_process import (
    Answers,
    KeptAnswers,
    Question,
    portable,
    shared_answers,
)
from compare.check.result import Outcome, Result
from compare.mistakes.case import Case
from experiments.errors import InputError

# A grader may be silent for so many times the time limit of a homework and so many seconds more,
# which the search for mistakes may take in a large network.
MOST_TIMES, MOST_MORE_S = 4.0, 900.0


class Grader:
    """A process that checks submissions; not to be used by two threads at once.

    Args:
        options: How to check each.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._child: ChildProcess | None = None

    def check(self, file: Path, others: tuple[Path, ...] = ()) -> Outcome:
        """Check a submission; whatever it does, there is an outcome.

        Args:
            file: The submission.
            others: Files and folders that it must not see.
        """
        limit_s = MOST_TIMES * self._options.timeout_s + MOST_MORE_S
        try:
            if self._child is None:
                self._child = ChildProcess(__name__)
                self._child.send(replace(self._options, answers=None))
            self._child.send((file, others))
            return self._outcome(self._child, limit_s)
        except ChildEndedError as error:
            problem = f"The process that checked it did not survive: {error}."
        except ChildTimeoutError:
            problem = f"The process that checked it had not finished after {limit_s:g} s."
        except BaseException:
            self.close()
            raise
        self.close()
        return Outcome(file.name, Result(error=problem))

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.close()
        self._child = None

    def _outcome(self, child: ChildProcess, limit_s: float) -> Outcome:
        """What comes of a submission; on the way PyTorch is asked for its process."""
        while not isinstance(message := child.receive(limit_s), Outcome):
            assert isinstance(message, Question)
            try:
                child.send(shared_answers().ask(message))
            except InputError as error:
                child.send(str(error))
        if child.has_grown():
            self.close()
        return message


class _AskAbove:
    """Asks PyTorch through the process that collects the grades."""

    def __init__(self, arrived: queue.Queue[Any], answers: IO[bytes]) -> None:
        self._arrived, self._answers = arrived, answers

    def ask(self, question: Question) -> list[Case]:
        """See :class:`compare.check.reference_process.Answers`."""
        write_message(self._answers, portable(question))
        reply = self._arrived.get()
        if isinstance(reply, str):
            raise InputError(reply)
        return list(reply)


def main() -> None:
    """Check what arrives until the process is ended."""
    from compare.check.checking import check_homework

    def end(*_: object) -> None:
        raise SystemExit  # on the way out the process of the homework is ended

    signal.signal(signal.SIGTERM, end)
    arrived, answers = serve()
    above: Answers = KeptAnswers(_AskAbove(arrived, answers))
    options: Options = replace(arrived.get(), answers=above)
    while True:
        file, others = arrived.get()
        try:
            outcome = check_homework(file, replace(options, others=(*options.others, *others)))
        except Exception as error:  # other submissions must not suffer
            outcome = Outcome(file.name, Result(error=f"{type(error).__name__}: {error}."))
        if outcome.assignment is not None:  # an instructor's function does not travel
            outcome = replace(outcome, assignment=replace(outcome.assignment, torch_loss=None))
        write_message(answers, outcome)


if __name__ == "__main__":
    main()
