"""What a homework does not declare, found by trying: batch axis, labels, names and layouts.

Its functions are called on one small batch in each way in which its arrays could be meant. What
runs and returns the right shapes is possible; of several ways that one is taken under which the
values agree with PyTorch's. Where none does, because the homework has a mistake, these decide, one
after the other: how many functions run, how many shapes fit, whether all arrays share one
convention, how many values agree, and how near the others are. What is still open is asked for.

An array has one layout for all functions, and one that the other arrays do not share is taken only
if everything agrees under it: a mistake cannot hide in a layout of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.array_names import assign_names
from compare.check.contract import (
    COLUMN,
    ROW,
    SIGNATURES,
    ArrayLayout,
    BatchLayout,
    Contract,
    ReturnValueError,
)
from compare.check.forward_forms import in_same_form
from compare.check.function_evaluation import FunctionEvaluation, NoResultError
from compare.check.layer_evaluation import LayerEvaluation
from compare.check.own_names import READERS
from compare.check.result import Observed
from compare.check.return_values import ReturnValue
from compare.check.sandbox import HomeworkHandle, ProcessEndedError
from compare.check.torch_loss import TorchLoss
from compare.mistakes.case import Case
from experiments.errors import InputError

# Values agree, for the choice of a layout, if they are no farther apart than this part of the
# largest: another layout gives values that have nothing to do with them.
NEAR = 1e-3
# What counts as the largest value where all are as good as 0, as a bias's gradient before a batch
# normalisation is.
FLOOR = 1e-9
# How much nearer, as a mean of cosines, the values of one layout have to be than another's.
NEARER = 0.1
# At most so many square weights may each be transposed or not, and so many layouts are tried if
# none runs in which all weights share one convention.
MOST_SQUARE, MOST_MIXED = 4, 18
WEIGHT_FORMS, VECTOR_FORMS = ("", ".T"), ("", COLUMN, ROW)

Layouts = tuple[ArrayLayout, ...]


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
        first = next(_with_one_convention(layouts, forms))
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
) -> _Search:
    trainable = frozenset(key for key in case.parameters if f"gradient/{key}" in case.expected)
    if contract.has_functions:
        return _Search(homework, contract, case, trainable, declared)
    return _LayerSearch(homework, contract, case, trainable, declared, leaves=leaves, loss=loss)


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
    forms |= dict.fromkeys(forms.keys() & _table(case), ("",))
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


def _table(case: Case) -> set[str]:
    """The key of the Embedding that tokens are looked up in, which nobody transposes."""
    return set(list(case.parameters)[:1]) if case.inputs.dtype.kind in "iu" else set()


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


@dataclass
class Trial:
    """What the homework's functions gave in one way to mean its arrays.

    Attributes:
        batches: The layout of batches.
        layouts: The layouts of its arrays.
        values: Quantity → value, where it has the right shape.
        ran: The functions that returned something.
        own_shapes: How many gradients have the very shape of their array.
    """

    batches: BatchLayout
    layouts: Layouts
    values: Arrays = field(default_factory=dict)
    ran: tuple[str, ...] = ()
    own_shapes: int = 0


@dataclass
class _Search:
    """Tries ways to mean the arrays of one homework.

    Attributes:
        calls: How often its functions were called.
        latest: The latest trial for which a function was called.
    """

    homework: HomeworkHandle
    contract: Contract
    case: Case
    trainable: frozenset[str]
    declared: Collection[str]
    calls: int = 0
    latest: Trial = field(default_factory=lambda: Trial(BatchLayout(), ()))

    def __post_init__(self) -> None:
        has = self.contract.has
        self.has_forward = has("forward")
        split = has("loss") and has("gradients")
        if has("loss_and_gradients") and not split:
            self.labelled = ["loss_and_gradients"]
        else:
            self.labelled = [function for function in ("loss", "gradients") if has(function)]

    @property
    def labels_matter(self) -> bool:
        """Whether there are class labels, and functions that take them."""
        return bool(self.labelled) and self.case.targets.dtype.kind in "iu"

    def choose(
        self, name: str, layouts: Layouts, forms: Mapping[str, Sequence[str]]
    ) -> Trial | None:
        """The way in which the homework means its arrays; None if it runs in none.

        Args:
            name: Its file name, for messages.
            layouts: Its arrays, with the forms that are declared.
            forms: Key → the forms that an array may have, where they are not declared.

        Raises:
            InputError: It stays open.
        """
        declared = self.contract.batches
        axes = (declared.axis,) if "BATCH_AXIS" in self.declared else (0, 1)
        label_forms: tuple[bool, ...] = (declared.one_hot,)
        if self.labels_matter and "ONE_HOT" not in self.declared:
            label_forms = (False, True)
        uniform = list(_with_one_convention(layouts, forms))
        first = self._try(replace(declared, axis=axes[0], one_hot=label_forms[0]), uniform[0])
        if self._agrees(first) and self._shapes_are_own(first):
            return first
        starts = self._forwards(axes, uniform)
        if not starts and self.has_forward:
            mixed = (own for own in _with_any_forms(layouts, forms) if own not in uniform)
            starts = self._forwards(axes, list(itertools.islice(mixed, MOST_MIXED)))
        if not starts:
            starts = [Trial(replace(declared, axis=axis), own) for axis in axes for own in uniform]
        trials = [self._continued(start, one_hot) for start in starts for one_hot in label_forms]
        best = self._best(name, trials, forms)
        if not best.ran:
            return None
        if not self._agrees(best):
            square = [
                layout.key
                for layout in best.layouts
                if len(forms.get(layout.key, ())) > 1 and self._is_square(layout.key)
            ][:MOST_SQUARE]
            for flipped in _subsets(square):
                own = tuple(_flipped(one) if one.key in flipped else one for one in best.layouts)
                trial = self._try(best.batches, own)
                if self._agrees(trial):
                    return trial
        return best

    def _shapes_are_own(self, trial: Trial) -> bool:
        """Whether every gradient has the very shape of its array."""
        return trial.own_shapes >= len(self._gradients())

    def _forwards(self, axes: Sequence[int], every: Sequence[Layouts]) -> list[Trial]:
        """The ways in which forward runs and returns logits of the right shape."""
        if not self.has_forward:
            return []
        batches = self.contract.batches
        trials = [Trial(replace(batches, axis=axis), layouts) for axis in axes for layouts in every]
        for trial in trials:
            self._call(trial, "forward")
        return [trial for trial in trials if "logits" in trial.values]

    def _continued(self, start: Trial, one_hot: bool) -> Trial:
        """A trial with what the functions give that take labels."""
        trial = replace(
            start, batches=replace(start.batches, one_hot=one_hot), values=dict(start.values)
        )
        for function in self.labelled:
            self._call(trial, function)
            if function not in trial.ran and not trial.values:
                break  # nothing runs like this
        return trial

    def _try(self, batches: BatchLayout, layouts: Layouts) -> Trial:
        trial = Trial(batches, layouts)
        if self.has_forward:
            self._call(trial, "forward")
        return self._continued(trial, batches.one_hot)

    def _call(self, trial: Trial, function: str) -> None:
        """Call one function and keep what has the right shape."""
        shapes = {key: array.shape for key, array in self.case.parameters.items()}
        contract = replace(self.contract, batches=trial.batches)
        functions = FunctionEvaluation(
            self.homework, contract, trial.layouts, self.trainable, shapes
        )
        self.calls += 1
        self.latest = trial
        try:
            returned = functions.returned(function, self.case)
        except NoResultError:
            return
        trial.ran = (*trial.ran, function)
        if function in ("forward", "loss"):
            with contextlib.suppress(ReturnValueError):
                trial.values |= functions.parser.parse(function, returned, self.case)
            return
        gradients = returned
        if function == "loss_and_gradients":
            loss, gradients = (*returned.items.values(), *2 * [ReturnValue("none", "")])[:2]
            with contextlib.suppress(ReturnValueError):
                trial.values |= functions.parser.parse("loss", loss, self.case)
        for layout in trial.layouts:
            if layout.key in self.trainable:
                with contextlib.suppress(ReturnValueError):
                    value = functions.parser.parse_item(gradients, layout, function, "gradient")
                    trial.values[f"gradient/{layout.key}"] = value
                    own = layout.to_homework(self.case.parameters[layout.key]).shape
                    array = gradients.items[layout.name].array
                    trial.own_shapes += array is not None and array.shape == own

    def _gradients(self) -> list[str]:
        """The quantities that are gradients, if the homework has a function for them."""
        if not {"gradients", "loss_and_gradients"}.intersection(self.labelled):
            return []
        return [q for q in self.case.expected if q.startswith("gradient/")]

    def _quantities(self) -> list[str]:
        """The quantities that the homework's functions should give."""
        logits = ["logits"] if self.has_forward else []
        loss = ["loss"] if {"loss", "loss_and_gradients"}.intersection(self.labelled) else []
        return [*logits, *loss, *self._gradients()]

    def differing(self, trial: Trial) -> tuple[str, ...]:
        """The quantities that differ from PyTorch's or did not come."""
        values = trial.values
        return tuple(
            quantity
            for quantity in self._quantities()
            if quantity not in values or not self._near(quantity, values[quantity])
        )

    def _agreeing(self, trial: Trial) -> int:
        """How many of the homework's values agree with PyTorch's."""
        return sum(self._near(quantity, value) for quantity, value in trial.values.items())

    def _agrees(self, trial: Trial) -> bool:
        return bool(self._quantities()) and not self.differing(trial)

    def _near(self, quantity: str, value: np.ndarray) -> bool:
        expected = [self.case.expected[quantity]]
        if quantity == "logits" and self.case.evaluation is not None:
            expected.append(self.case.evaluation)
        if quantity == "logits":
            expected = [in_same_form(value, array, self.case.targets) for array in expected]
        with np.errstate(all="ignore"):
            size = [max(np.abs(array).max(initial=0.0), FLOOR) for array in expected]
            return any(
                bool(np.abs(value - array).max(initial=0.0) <= NEAR * s)
                for array, s in zip(expected, size, strict=True)
            )

    def _closeness(self, trial: Trial) -> float:
        """The mean of the cosines between the homework's values and PyTorch's; 0 for none."""
        wanted = self._quantities()
        found = [
            _cosine(trial.values[quantity], self.case.expected[quantity])
            for quantity in wanted
            if quantity in trial.values
        ]
        return sum(found) / max(len(wanted), 1)

    def _best(
        self, name: str, trials: Sequence[Trial], forms: Mapping[str, Sequence[str]]
    ) -> Trial:
        """The trial that decides, the first of those between which nothing differs.

        Raises:
            InputError: Several are as good as each other and give different values.
        """

        def order(trial: Trial) -> tuple:
            agreeing = self._agreeing(trial)
            shapes = len(trial.ran), len(trial.values)
            return self._agrees(trial), *shapes, self._share(trial), agreeing, trial.own_shapes

        best = max(trials, key=order)
        if self._agrees(best) or not best.ran:
            return best
        equal = [trial for trial in trials if order(trial) == order(best)]
        best = max(equal, key=self._closeness)
        limit = self._closeness(best) - NEARER
        near = [t for t in equal if self._closeness(t) >= limit]
        others = [t for t in near if not _same_values(t, near[0])]
        if others:
            raise InputError(_question(name, near[0], others[0], forms))
        return near[0]

    def _share(self, trial: Trial) -> bool:
        """Whether all weight matrices have the same form."""
        matrices = {
            layout.form
            for layout in trial.layouts
            if self.case.parameters[layout.key].ndim == 2 and layout.key not in _table(self.case)
        }
        return len(matrices) <= 1

    def _is_square(self, key: str) -> bool:
        shape = self.case.parameters[key].shape
        return len(shape) == 2 and shape[0] == shape[1]


@dataclass
class _LayerSearch(_Search):
    """Tries ways to mean the arrays of layer classes: all in a row, then with their backward."""

    leaves: list[tuple[str, str]] = field(default_factory=list)
    loss: str | TorchLoss = "cross_entropy"

    def __post_init__(self) -> None:
        self.has_forward, self.labelled = True, ["network"]
        self._has_loss = True

    @property
    def labels_matter(self) -> bool:
        """Whether there are class labels, and a loss layer that takes them."""
        return self._has_loss and self.case.targets.dtype.kind in "iu"

    def _call(self, trial: Trial, function: str) -> None:
        contract = replace(self.contract, batches=trial.batches)
        layers = LayerEvaluation(
            self.homework, contract, trial.layouts, self.trainable, self.leaves
        )
        self.calls += 1
        self.latest = trial
        with contextlib.suppress(NoResultError, ReturnValueError):
            if function == "forward":
                trial.values["logits"] = layers.logits(self.case)
            else:
                values, self._has_loss = layers.step(self.case, self.loss)
                trial.values |= values
            trial.ran = (*trial.ran, function)

    def _gradients(self) -> list[str]:
        return [q for q in self.case.expected if q.startswith("gradient/")]

    def _quantities(self) -> list[str]:
        return ["logits", *self._gradients()]

    def _shapes_are_own(self, trial: Trial) -> bool:
        return True


def _with_one_convention(layouts: Layouts, forms: Mapping[str, Sequence[str]]) -> Iterator[Layouts]:
    """The layouts in which weights share one form and vectors another, where they may have it."""
    found: dict[Layouts, None] = {}
    for weights, vectors in itertools.product(WEIGHT_FORMS, VECTOR_FORMS):
        own = []
        for layout in layouts:
            allowed = forms.get(layout.key, (layout.form,))
            wanted = [form for form in (weights or vectors, weights, vectors) if form in allowed]
            own.append(replace(layout, form=(wanted or list(allowed))[0]))
        found[tuple(own)] = None
    yield from found


def _with_any_forms(layouts: Layouts, forms: Mapping[str, Sequence[str]]) -> Iterator[Layouts]:
    """The layouts in which each weight has a form of its own; vectors share theirs."""
    allowed = [forms.get(layout.key, (layout.form,)) for layout in layouts]
    for vectors in VECTOR_FORMS:
        own = [
            (vectors if vectors in every else every[0],) if set(every) & {COLUMN, ROW} else every
            for every in allowed
        ]
        for chosen in itertools.product(*own):
            yield tuple(replace(a, form=form) for a, form in zip(layouts, chosen, strict=True))


def _subsets(keys: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All sets of the keys but the empty one, the small ones first."""
    for count in range(1, len(keys) + 1):
        yield from itertools.combinations(keys, count)


def _flipped(layout: ArrayLayout) -> ArrayLayout:
    return replace(layout, form="" if layout.form else ".T")


def _cosine(found: np.ndarray, expected: np.ndarray) -> float:
    """1 if the values are the same but for a positive factor; 0 for values that are no numbers."""
    with np.errstate(all="ignore"):
        size = float(np.linalg.norm(found) * np.linalg.norm(expected))
        cosine = float(np.vdot(found, expected)) / size if size else 0.0
    return max(cosine, 0.0) if np.isfinite(cosine) else 0.0


def _same_values(one: Trial, other: Trial) -> bool:
    return one.values.keys() == other.values.keys() and all(
        np.allclose(value, other.values[quantity], equal_nan=True)
        for quantity, value in one.values.items()
    )


def _question(name: str, one: Trial, other: Trial, forms: Mapping[str, Sequence[str]]) -> str:
    """What has to be declared because it cannot be found out."""
    if one.batches.axis != other.batches.axis:
        constant = "BATCH_AXIS = 0 (a batch has its rows in the first axis) or BATCH_AXIS = 1"
    elif one.batches.one_hot != other.batches.one_hot:
        constant = "ONE_HOT = False (labels are class numbers) or ONE_HOT = True"
    else:
        first, second = next(
            (a, b) for a, b in zip(one.layouts, other.layouts, strict=True) if a != b
        )
        constant = (
            f'PARAMETERS with the entry "{first.name}": "{first.key}{first.form}" or '
            f'"{second.key}{second.form}"'
        )
    return (
        f"{name} runs in more than one way of reading its arrays and agrees with PyTorch in none: "
        f"write {constant}."
    )


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
