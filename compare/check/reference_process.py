"""PyTorch's answers, computed in a process of its own under limits of time and memory.

A homework may describe any network, so the process that checks does not build it: it sends the tree
of the network, which is checked already, to a process in which PyTorch is loaded, and waits for the
cases. That process is started with the homework's own, beside which PyTorch loads, and is kept for
the next homework.
"""

from __future__ import annotations

import atexit
import gc
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Any, Protocol

from compare.backends.torch_parts import PROGRAMS, SHAPES, load_postponed, postpone
from compare.check.architecture import RecordedArchitecture
from compare.check.child_process import (
    ChildEndedError,
    ChildProcess,
    ChildTimeoutError,
    begun_or_new,
    serve,
    write_message,
)
from compare.check.contract import Assignment
from compare.mistakes.case import Case
from experiments.errors import InputError

# The time that loading PyTorch may take, on a very busy machine.
START_S = 300.0
# The cases of so many networks are kept: a class has one network, or a few.
KEPT = 4
# Beyond this, those of the last network alone.
MOST_BYTES = 300 * 2**20
READY = "ready"
# What no network here needs of PyTorch; an instructor's loss may.
UNUSED = (SHAPES, PROGRAMS)
# The name of this module, which is another one where it is run.
MODULE = "compare.check.reference_process"


@dataclass(frozen=True)
class Question:
    """What PyTorch is to be asked.

    Attributes:
        assignment: The network, the loss and the optimizer.
        functions, layers: Whether cases of functions and of layers are wanted.
        seed: What the cases are drawn from; None for the same ones each time.
        case: A case for which training steps are wanted, instead of other cases.
        timeout_s, memory_mb: The limits; None for none.
    """

    assignment: Assignment
    functions: bool = True
    layers: bool = False
    seed: int | None = None
    case: Case | None = None
    timeout_s: float | None = None
    memory_mb: int | None = None


class Answers(Protocol):
    """Whom PyTorch's answers are asked of."""

    def ask(self, question: Question) -> list[Case]:
        """The cases, or the one case with training steps.

        Raises:
            InputError: PyTorch cannot build or run the network, or not within the limits.
        """


class ReferenceProcess:
    """Asks a process with PyTorch; one question at a time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: ChildProcess | None = None
        self._ready = False

    def start(self) -> None:
        """Let the process start, without waiting for it."""
        with self._lock:
            self._start()

    def ask(self, question: Question) -> list[Case]:
        """See :class:`Answers`."""
        with self._lock:
            try:
                self._start()
                return self._ask(question)
            except ChildEndedError as error:
                self._close()
                memory = question.memory_mb and f" of {question.memory_mb} MB"
                raise InputError(
                    f"PyTorch could not run {question.assignment.architecture}: its process ended, "
                    f"perhaps for want of memory{memory or ''}: {error}."
                ) from None
            except BaseException:
                self._close()
                raise

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._close()

    def end(self) -> None:
        """End the process although somebody may wait for it."""
        if (child := self._child) is not None:
            child.close()

    def _start(self) -> None:
        if self._child is None:
            self._child, self._ready = begun_or_new(MODULE), False

    def _close(self) -> None:
        if self._child is not None:
            self._child.close()
        self._child = None

    def _ask(self, question: Question) -> list[Case]:
        assert self._child is not None
        if not self._ready:
            try:
                problem = self._child.receive(START_S)
            except (ChildTimeoutError, ChildEndedError) as error:
                self._close()
                raise InputError(f"PyTorch could not be loaded: {error or 'too slow'}.") from None
            if problem != READY:
                self._close()
                raise InputError(str(problem))
            self._ready = True
        self._child.send(portable(question))
        try:
            answer = self._child.receive(question.timeout_s)
        except ChildTimeoutError:
            self._close()
            raise InputError(
                f"PyTorch had not finished with {question.assignment.architecture} when the time "
                f"limit of {question.timeout_s:g} s was over: the network is too large for it."
            ) from None
        if self._child.has_grown():
            self._close()
        if isinstance(answer, str):
            raise InputError(answer)
        return list(answer)


class KeptAnswers:
    """Answers of somebody, the last few of which are kept."""

    def __init__(self, source: Answers) -> None:
        self._source = source
        self._kept: OrderedDict[str, list[Case]] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, question: Question) -> list[Case]:
        """See :class:`Answers`; who asks what is being asked already waits for it."""
        if not isinstance(question.assignment.build, RecordedArchitecture):
            return self._source.ask(question)  # a function that says nothing of its network
        key = _key(question)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._source.ask(question)
                while len(self._kept) > 1 and (
                    len(self._kept) > KEPT or sum(map(_bytes, self._kept.values())) > MOST_BYTES
                ):
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def _bytes(cases: list[Case]) -> int:
    """The memory that the values of cases take, which is most of what they take."""
    return sum(
        array.nbytes
        for case in cases
        for part in (case.expected, case.sizes, case.expected32, case.given)
        for array in part.values()
    )


class OwnProcess:
    """Asks PyTorch in this process, for callers who hold the code and the network themselves."""

    def ask(self, question: Question) -> list[Case]:
        """See :class:`Answers`."""
        return answer(question)


def portable(question: Question) -> Question:
    """The question without what a process cannot be sent: the function of an instructor's loss."""
    own = question.assignment.torch_loss
    if own is None:
        return question
    named = replace(own, function=None)  # type: ignore[arg-type]
    return replace(question, assignment=replace(question.assignment, torch_loss=named))


def _key(question: Question) -> str:
    """What a question asks, as text."""
    one, case = question.assignment, question.case
    assert isinstance(one.build, RecordedArchitecture)
    own = one.torch_loss
    loss = one.loss if own is None else (own.name, own.targets, own.like, own.version)
    parts: list[Any] = [
        one.build.tree,
        loss,
        one.optimizer,
        sorted(one.settings.items()),
        one.one_sample,
    ]
    parts += [question.functions, question.layers, question.seed]
    if case is not None:
        # Arrays of cases that are kept stay where they are, so their place names them.
        parts += [case.loss_factor, case.weight_decay, case.inputs.tobytes()]
    return repr(parts)


_process = ReferenceProcess()
_answers = KeptAnswers(_process)
own_answers = KeptAnswers(OwnProcess())


def shared_answers() -> KeptAnswers:
    """The answers of one process for all that this process checks; it is started now."""
    _process.start()
    return _answers


atexit.register(_process.end)


def answer(question: Question) -> list[Case]:
    """Ask PyTorch here.

    Raises:
        InputError: PyTorch is not installed, or cannot build or run the network.
    """
    try:
        from compare.check.cases import SEED, make_cases
        from compare.check.reference import Reference
        from compare.check.step_reference import with_steps
    except ModuleNotFoundError as error:
        raise InputError(_without_torch(error)) from None
    if question.case is not None:
        return [with_steps(Reference(question.assignment), question.case)]
    seed = SEED if question.seed is None else question.seed
    return make_cases(
        question.assignment, functions=question.functions, layers=question.layers, seed=seed
    )


def _without_torch(error: Exception) -> str:
    return (
        f"PyTorch is not installed ({error}): check with --golden FILE, made by nncompare "
        "golden where it is."
    )


def main() -> None:
    """Load PyTorch, then answer questions until the process is ended."""
    arrived, answers = serve()
    gc.disable()  # what is imported stays
    try:
        for part in UNUSED:
            postpone(part)
        import torch

        import compare.backends.environment
        import compare.check.cases
        import compare.check.step_reference  # noqa: F401  (with all that needs PyTorch)
    except ModuleNotFoundError as error:
        write_message(answers, _without_torch(error))
        return
    gc.freeze()
    gc.enable()
    write_message(answers, READY)
    threads = torch.get_num_threads()
    while True:
        question: Question = arrived.get()
        name = question.assignment.architecture
        set_threads(question, threads)
        limit_memory(question.memory_mb)
        reply: Any
        try:
            reply = answer(_with_loss(question))
        except InputError as error:
            reply = str(error)
        except MemoryError:
            reply = _too_large(question)
        except Exception as error:  # as where PyTorch cannot run a network: one sentence
            words = " ".join(str(error).split()).rstrip(".")
            reply = f"PyTorch cannot run {name}: {type(error).__name__}: {words}."
        if isinstance(reply, str) and question.memory_mb and _is_of_memory(reply):
            reply = _too_large(question)
        try:
            write_message(answers, reply)
        except MemoryError:
            write_message(answers, _too_large(question))


def _with_loss(question: Question) -> Question:
    """The question with the function of an instructor's loss, loaded here."""
    named = question.assignment.torch_loss
    if named is None:
        return question
    from compare.check.torch_loss import load_torch_loss

    load_postponed(UNUSED)  # it may compute with whatever PyTorch has
    build = question.assignment.build
    assert isinstance(build, RecordedArchitecture)
    own = load_torch_loss(named.name, named.targets, build)
    own = replace(own, like=named.like)
    return replace(question, assignment=replace(question.assignment, torch_loss=own))


def _too_large(question: Question) -> str:
    return (
        f"PyTorch needed more memory for {question.assignment.architecture} than the limit of "
        f"{question.memory_mb} MB allows: the network is too large for it."
    )


def _is_of_memory(reply: str) -> bool:
    signs = ("MemoryError", "not enough memory", "can't allocate memory", "Unable to allocate")
    return any(sign in reply for sign in signs)


def set_threads(question: Question, many: int) -> None:
    """One thread where there is no convolution, as ``nncompare run`` has it; else ``many``.

    The batches are small: beside other work two threads that wait for each other took many times
    as long as one.
    """
    import torch

    from compare.backends.environment import default_threads

    build = question.assignment.build
    small = isinstance(build, RecordedArchitecture) and not any(
        "Conv" in kind for _, kind in build.leaves()
    )
    torch.set_num_threads(min(default_threads(), many) if small else many)


def limit_memory(megabytes: int | None) -> None:
    """Let this process take so much more than it has; None for as much as there is."""
    try:
        import resource
        from pathlib import Path

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = resource.RLIM_INFINITY
        if megabytes is not None:
            limit = pages * resource.getpagesize() + megabytes * 2**20
        if hard != resource.RLIM_INFINITY:
            limit = hard if limit == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    except (ImportError, OSError, ValueError):
        return


if __name__ == "__main__":
    main()
