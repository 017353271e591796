"""What a homework does not declare, found by trying: batch axis, labels, names and layouts.

Its names are read in its source or from the arrays that it makes; in which layout it has them is
found by trying (:mod:`compare.check.layout_search`).
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from compare.check.array_names import assign_names
from compare.check.contract import (
    SIGNATURES,
    ArrayLayout,
    BatchLayout,
    Contract,
)
from compare.check.layout_search import (
    VECTOR_FORMS,
    WEIGHT_FORMS,
    LayerLayoutSearch,
    LayoutSearch,
    Trial,
    embedding_tables,
    with_one_convention,
)
from compare.check.own_names import READERS
from compare.check.result import Observed
from compare.check.sandbox import HomeworkHandle, ProcessEndedError
from compare.check.torch_loss import TorchLoss
from compare.mistakes.case import Case
from experiments.errors import InputError


class Ended(NamedTuple):
    """What a homework had answered for a case when its process ended."""

    case: Case
    observed: Observed


class Inference(NamedTuple):
    """What was found about a homework.

    Attributes:
        contract: Its contract with what was found.
        note: What was found, in a sentence; None if it is what the contract says without words.
        calls: How often the homework's functions were called.
        ended: What had been answered if the homework's process has ended meanwhile.
        differing: The quantities that differ from PyTorch's or did not come.
    """

    contract: Contract
    note: str | None = None
    calls: int = 0
    ended: Ended | None = None
    differing: tuple[str, ...] = ()


def infer(
    homework: HomeworkHandle,
    name: str,
    contract: Contract,
    declared: Collection[str],
    cases: Sequence[Case],
    leaves: list[tuple[str, str]],
    loss: str | TorchLoss,
) -> Inference:
    """Find what a homework does not declare, from its functions or else from its layers.

    Args:
        homework: The homework, which is loaded.
        name: Its file name, for messages.
        contract: What it declares.
        declared: The names of the constants that it declares.
        cases: Cases for its functions.
        leaves: Name and class of the network's modules, in order.
        loss: A key of ``LOSS_CLASSES``, or an instructor's own.

    Raises:
        InputError: It can be meant in several ways and agrees with PyTorch in none, or the names
            of its arrays do not say which they are.
        ProcessEndedError: Its process ended before the first call.
    """
    case = small_case(cases)
    trainable = [key for key in case.parameters if f"gradient/{key}" in case.expected]
    entries = [ArrayLayout.parse(*entry) for entry in (contract.parameters or {}).items()]
    missing = [key for key in trainable if key not in {entry.key for entry in entries}]
    try:
        for entry in entries:
            entry.to_homework(case.parameters[entry.key])
    except (KeyError, ValueError):
        return Inference(contract)  # what is declared has a mistake, which is reported elsewhere
    if not missing and {"BATCH_AXIS", "ONE_HOT"} <= set(declared):
        return Inference(contract)
    names, forms = _find_names(homework, name, contract, entries, missing, case)
    search = _search(homework, contract, declared, case, leaves, loss)
    layouts = (*entries, *(ArrayLayout(own, key) for own, key in names.items()))
    ended = None
    try:
        first = next(with_one_convention(layouts, forms))
        trial = search.choose(name, layouts, forms) or Trial(contract.batches, first)
    except ProcessEndedError as error:
        trial = search.latest
        ended = Ended(case, Observed(values=trial.values, problem=str(error)))
    parameters: dict[str, str] | None
    parameters = {layout.name: layout.key + layout.form for layout in trial.layouts}
    if all(own == entry for own, entry in parameters.items()):
        parameters = contract.parameters
    found = replace(contract, batches=trial.batches, parameters=parameters)
    note = None
    if found != contract:
        new = [layout for layout in trial.layouts if layout.name in names]
        note = _note(trial.batches, new, declared, labels=search.labels_matter)
        if not trial.ran and ended is None:
            note = f"{note} Its functions run in none of the ways that were tried."
    return Inference(found, note, search.calls, ended, search.differing(trial))


def _search(
    homework: HomeworkHandle,
    contract: Contract,
    declared: Collection[str],
    case: Case,
    leaves: list[tuple[str, str]],
    loss: str | TorchLoss,
) -> LayoutSearch:
    trainable = frozenset(key for key in case.parameters if f"gradient/{key}" in case.expected)
    if contract.has_functions:
        return LayoutSearch(homework, contract, case, trainable, declared)
    return LayerLayoutSearch(
        homework, contract, case, trainable, declared, leaves=leaves, loss=loss
    )


def other_reading(
    homework: HomeworkHandle,
    name: str,
    contract: Contract,
    cases: Sequence[Case],
    leaves: list[tuple[str, str]],
    loss: str | TorchLoss,
) -> str | None:
    """What to declare so that everything would agree with PyTorch, in a sentence; None if nothing.

    A homework that fails may be right and its BATCH_AXIS, ONE_HOT or PARAMETERS wrong. Asked are
    those that fail with an exception or have a square weight; of the others a layout that is
    declared wrongly makes shapes that do not fit.

    Args:
        homework: The homework.
        name: Its file name.
        contract: What it declares.
        cases: Cases for its functions.
        leaves: Name and class of the network's modules, in order.
        loss: A key of ``LOSS_CLASSES``, or an instructor's own.
    """
    case = small_case(cases)
    declared = contract.parameters or {key: key for key in case.parameters}
    entries = [ArrayLayout.parse(*entry) for entry in declared.items()]
    layouts = tuple(replace(one, form="") for one in entries if one.key in case.parameters)
    if len(layouts) < len(entries):
        return None
    forms = {one.key: _forms(case.parameters[one.key].shape, None) for one in layouts}
    search = _search(homework, contract, (), case, leaves, loss)
    try:
        trial = search.choose(name, layouts, forms)
    except (InputError, ProcessEndedError):
        return None
    if trial is None or not trial.ran or search.differing(trial):
        return None
    batches = contract.batches
    words = []
    if trial.batches.axis != batches.axis:
        words.append(f"BATCH_AXIS = {trial.batches.axis}")
    if trial.batches.one_hot != batches.one_hot and search.labels_matter:
        words.append(f"ONE_HOT = {trial.batches.one_hot}")
    words += [
        f'PARAMETERS["{own.name}"] = "{own.key}{own.form}"'
        for own, entry in zip(trial.layouts, entries, strict=True)
        if own.form != entry.form
    ]
    if not words:
        return None
    return (
        f"Everything agrees with PyTorch on one batch if it is declared as {', '.join(words)}: "
        "write that if it is what you mean."
    )


def small_case(cases: Sequence[Case]) -> Case:
    """The first case that has several rows, and not as many as an array has features.

    A row for each feature could hide a wrong axis.
    """
    for case in cases:
        rows = len(case.inputs)
        taken = {n for array in (*case.parameters.values(), case.inputs[0]) for n in array.shape}
        if rows > 1 and rows not in taken and not case.large_logits:
            return case
    return cases[0]


def _find_names(
    homework: HomeworkHandle,
    name: str,
    contract: Contract,
    entries: Sequence[ArrayLayout],
    missing: Sequence[str],
    case: Case,
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """The homework's names for arrays that it does not declare, and the forms that each may have.

    Returns:
        Own name → key, and key → forms.

    Raises:
        InputError: The names do not say which arrays they are.
    """
    if not missing:
        return {}, {}
    arrays = case.parameters
    count = len(entries) + len(missing)
    matrices = [arrays[key].shape for key in missing if arrays[key].ndim == 2]
    sizes = [*(shape[1] for shape in matrices[:1]), *(shape[0] for shape in matrices)]
    details = homework.request(
        "names_in_source", description="reading the names of arrays", sizes=sizes
    ).details
    known = {own: tuple(shape) for own, shape in details.get("shapes", {}).items()}
    declared = {entry.key for entry in entries}
    free = {
        key: array.shape
        for key, array in arrays.items()
        if key not in declared
        if key in missing or key.endswith((".running_mean", ".running_var"))
    }
    numbers = {number for key in missing for number in re.findall(r"\d+", key)}
    taken = {entry.name for entry in entries}
    every: dict[str, None] = {}
    names: dict[str, str] = {}
    in_source = [details.get("read", [])]
    for lists in (in_source, _names_in_calls(homework, contract, count, case)):
        for found in lists:
            own = [one for one in found if one not in taken]
            every |= dict.fromkeys(own)
            names = names or assign_names(own, free, known) or {}
        if names:
            break
    if not names and set(every) <= set(arrays):  # PyTorch's names, or none were found
        names = {} if entries else {key: key for key in arrays}
    elif not names:
        numbered = [own for own in every if numbers.issuperset(re.findall(r"\d+", own))]
        for candidates in (list(every), numbered, list(known)):
            names = names or assign_names(candidates, free, known) or {}
        if not names and not entries:
            raise InputError(
                f"{name} reads the arrays {', '.join(map(repr, every))}, and it cannot be told "
                f"which is which: write PARAMETERS, own name → one of {', '.join(missing)}."
            )
    forms = {key: _forms(arrays[key].shape, known.get(own)) for own, key in names.items()}
    forms |= dict.fromkeys(forms.keys() & embedding_tables(case), ("",))
    return names, forms


def _names_in_calls(
    homework: HomeworkHandle, contract: Contract, count: int, case: Case
) -> Iterator[list[str]]:
    """The names that functions read when they are called, and those of the gradients returned."""
    read: dict[str, None] = {}
    returned: dict[str, None] = {}
    for function in READERS:
        if contract.has(function):
            details = homework.request(
                "names_read",
                description=SIGNATURES.get(function, "network(params)"),
                function=function,
                count=count,
                axes=case.inputs.ndim,
            ).details
            read |= dict.fromkeys(details.get("read", []))
            returned |= dict.fromkeys(details.get("returned", []))
    yield list(read)
    yield list(returned)


def _forms(shape: tuple[int, ...], known: tuple[int, ...] | None) -> tuple[str, ...]:
    """The forms in which a homework may hold an array, given the shape if it is known."""
    every = {1: VECTOR_FORMS, 2: WEIGHT_FORMS}.get(len(shape), ("",))
    if known is None:
        return every
    if len(shape) == 1:
        every = (*every, f".reshape({', '.join(map(str, known))})")
    elif len(shape) > 2:
        orders = sorted(itertools.permutations(range(len(shape))), key=_unusual)
        every = (*every, *(f".transpose({', '.join(map(str, order))})" for order in orders))
        every = (*every, f".reshape({shape[0]}, -1)", f".reshape({shape[0]}, -1).T")
    array = np.empty(shape, bool)
    fitting = []
    for form in every:
        with contextlib.suppress(ValueError):
            if ArrayLayout("", "", form).to_homework(array).shape == known:
                fitting.append(form)
    return tuple(fitting) or every


def _unusual(order: tuple[int, ...]) -> tuple[bool, tuple[int, ...]]:
    """Sorts (rows, columns, in, out) and (in, rows, columns, out) of kernels first."""
    return order not in ((2, 3, 1, 0), (1, 2, 3, 0)), order


def _note(
    batches: BatchLayout, layouts: Iterable[ArrayLayout], declared: Collection[str], *, labels: bool
) -> str:
    """What was found, in a sentence."""
    found = []
    if "BATCH_AXIS" not in declared:
        found.append(f"batch in {'columns' if batches.axis else 'rows'}")
    if labels and "ONE_HOT" not in declared:
        found.append(f"labels {'one-hot' if batches.one_hot else 'as class numbers'}")
    named = [
        f"{layout.name} is {layout.key}{layout.form}"
        for layout in layouts
        if layout.name != layout.key + layout.form
    ]
    return f"Read as: {'; '.join(filter(None, (', '.join(found), ', '.join(named))))}."
