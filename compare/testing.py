"""Parity as an assertion, for pytest, otter, nbgrader and notebooks.

Example:
    >>> import numpy as np
    >>> from compare.testing import assert_parity
    >>> assert_parity(lambda x: x * x, np.square, inputs=[np.arange(3.0)])
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from compare.check.sandbox import MEMORY_MB, TIMEOUT_S

if TYPE_CHECKING:
    from compare.parity.callables import Vjp

__all__ = ["assert_parity", "assert_traces_agree"]


def assert_parity(
    ours: str | Path | ModuleType | Mapping[str, Any] | Callable[..., Any] | None = None,
    reference: Any = None,
    *,
    inputs: Iterable[Any] = (),
    hard: bool = True,
    gradients: bool = True,
    vjp: Vjp | None = None,
    reference_vjp: Vjp | None = None,
    bound: float | None = None,
    architecture: str | Callable[[Any], Any] | None = None,
    loss: str | None = None,
    parameters: Mapping[str, str] | None = None,
    batch_axis: int | None = None,
    one_hot: bool | None = None,
    optimizer: str | None = None,
    settings: Mapping[str, Any] | None = None,
    golden: str | Path | None = None,
    mapping: str | Path | None = None,
    required: Iterable[str] = (),
    accept: Iterable[str] = (),
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
    definitions_only: bool = False,
    **functions: Callable[..., Any],
) -> None:
    """Raise an AssertionError that explains where two implementations part.

    There are three ways to call it:

    - ``assert_parity("homework.py")``: the file is checked as ``nncompare check`` does it, in a
      process of its own.
    - ``assert_parity(globals(), architecture="softmax_mlp")``, or a module, or
      ``assert_parity(forward=…, gradients=…, architecture=…)``: functions that are here already
      are checked against PyTorch, in this process.
    - ``assert_parity(ours, reference, inputs=[x, w])``: any two functions or modules, of NumPy or
      PyTorch, judged by the reference in float64
      (:func:`compare.parity.functions.compare_functions`, which returns the record).

    Args:
        ours: What is to be checked.
        reference: What is right, for the third way.
        inputs: Arguments, for the third way.
        hard: Ask harder inputs of the same shapes, too, for the third way.
        gradients: Compare gradients, too, where both have them, for the third way.
        vjp, reference_vjp: (inputs …, gradient of each output) → the gradient by each input, for
            functions of NumPy in the third way.
        bound: The largest error allowed, relative to the largest value, where the reference of the
            third way has no float64.
        architecture: A name of ``experiments.architectures``, or a function of a namespace.
        loss: ``cross_entropy``, ``mse``, ``bce`` or ``bce_with_logits``, or ``FILE.py:FUNCTION`` of
            PyTorch's tensors.
        parameters: Own name → ``state_dict`` key, as PARAMETERS in a homework.
        batch_axis: As BATCH_AXIS in a homework.
        one_hot: As ONE_HOT in a homework.
        optimizer: The optimizer that ``update`` or ``step`` is.
        settings: Its keyword arguments.
        golden: A golden file, which takes PyTorch's place.
        mapping: A mapping file, for the first way.
        required: Functions that have to be there.
        accept: Codes of mistakes that are allowed as conventions.
        timeout_s: Seconds for the homework altogether, for the first way.
        memory_mb: Megabytes for the homework, for the first way.
        definitions_only: Execute only its imports, functions, classes and constants, for the
            first way.
        functions: ``forward``, ``loss``, ``gradients``, ``loss_and_gradients``, ``update``,
            ``step`` or ``network``, for the second way.

    Raises:
        AssertionError: They differ, or could not be compared; the message says where and why.
        experiments.errors.InputError: There is no such code to accept.
    """
    __tracebackhide__ = True
    if reference is not None:
        if not callable(ours):
            raise TypeError(f"assert_parity compares two functions, but got {ours!r} first.")
        from compare.parity.functions import compare_functions

        record = compare_functions(
            ours,
            reference,
            tuple(inputs),
            hard=hard,
            gradients=gradients,
            candidate_vjp=vjp,
            reference_vjp=reference_vjp,
            bound=bound,
        )
        if not record.passed:
            raise AssertionError(record.text())
        return

    from compare.check.checking import check_homework, check_loaded
    from compare.check.homework import Homework
    from compare.check.option_values import checked_codes
    from compare.check.reading import Options
    from compare.check.result import as_text, table_as_text
    from experiments.errors import InputError

    golden_file = None
    if golden is not None:
        from compare.check.golden import read_golden

        golden_file = read_golden(Path(golden))
    named = architecture if isinstance(architecture, str) else None
    map_file = Path(mapping) if mapping else None
    options = Options(
        named, loss, optimizer, dict(settings or {}), golden_file, map_file,
        tuple(required), timeout_s, memory_mb, definitions_only=definitions_only,
        accept=checked_codes(accept, "accept"),
    )  # fmt: skip
    if isinstance(ours, (str, Path)):
        outcome = check_homework(Path(ours), options)
    else:
        names = _names(ours, functions)
        constants = {"PARAMETERS": parameters, "BATCH_AXIS": batch_axis, "ONE_HOT": one_hot}
        names |= {key: value for key, value in constants.items() if value is not None}
        if callable(architecture):
            names["architecture"] = architecture
        try:
            outcome = check_loaded(Homework(names), "The code", options)
        except InputError as error:
            raise AssertionError(str(error)) from None
    if outcome.status != 0:
        table = f"\n\n{table_as_text(outcome)}" if outcome.result.checks else ""
        raise AssertionError(as_text(outcome) + table)


def assert_traces_agree(
    a: str | Path,
    b: str | Path,
    *,
    baseline: str | Path | None = None,
    update: bool = False,
    **options: Any,
) -> None:
    """Raise an AssertionError that says where two traces part.

    Args:
        a: The trace to judge by.
        b: The trace to judge.
        baseline: Ask instead whether a site is further from the referee than it was when this file
            was written.
        update: Write the baseline.
        options: Of :func:`nncompare.diff`: ``model_a``, ``model_b`` and ``mapping``.

    Raises:
        AssertionError: They differ, or have become worse; or nothing could be compared.
        experiments.errors.InputError: A file is missing or damaged.
    """
    __tracebackhide__ = True
    from compare.trace.diff import diff

    record = diff(a, b, **options)
    if baseline is None:
        if record.status != 0:
            raise AssertionError(record.text())
        return
    from compare.trace.baseline import compare_with_baseline, write_baseline

    if update:
        write_baseline(record, Path(baseline))
        return
    beside = compare_with_baseline(record, Path(baseline))
    if beside.status != 0:
        raise AssertionError(f"{beside.text()}\n\n{record.text()}")


def _names(ours: Any, functions: Mapping[str, Any]) -> dict[str, Any]:
    """The names of the contract that are defined."""
    if ours is None:
        found: dict[str, Any] = {}
    elif isinstance(ours, Mapping):
        found = dict(ours)
    elif isinstance(ours, ModuleType):
        found = dict(vars(ours))
    else:
        raise TypeError(
            "assert_parity expects a file, a module, a dict such as globals(), functions by name, "
            f"or two functions, but got {type(ours).__name__}: {np.shape(ours)}"
        )
    return {**found, **functions}
