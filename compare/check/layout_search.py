"""The ways in which a homework may mean its arrays, tried on one batch.

What runs and returns the right shapes is possible; of several ways that one is taken under which
the values agree with PyTorch's. Where none does, because the homework has a mistake, these decide,
one after the other: how many functions run, how many shapes fit, whether all arrays share one
convention, how many values agree, and how near the others are. What is still open is asked for.

An array has one layout for all functions, and one that the other arrays do not share is taken only
if everything agrees under it: a mistake cannot hide in a layout of its own.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from compare.backends.protocol import Arrays
from compare.check.contract import (
    COLUMN,
    ROW,
    ArrayLayout,
    BatchLayout,
    Contract,
    ReturnValueError,
)
from compare.check.forward_forms import in_same_form
from compare.check.function_evaluation import FunctionEvaluation, NoResultError
from compare.check.layer_evaluation import LayerEvaluation
from compare.check.return_values import ReturnValue
from compare.check.sandbox import HomeworkHandle
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
class LayoutSearch:
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
        uniform = list(with_one_convention(layouts, forms))
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
            if self.case.parameters[layout.key].ndim == 2
            and layout.key not in embedding_tables(self.case)
        }
        return len(matrices) <= 1

    def _is_square(self, key: str) -> bool:
        shape = self.case.parameters[key].shape
        return len(shape) == 2 and shape[0] == shape[1]


@dataclass
class LayerLayoutSearch(LayoutSearch):
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


def with_one_convention(layouts: Layouts, forms: Mapping[str, Sequence[str]]) -> Iterator[Layouts]:
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


def embedding_tables(case: Case) -> set[str]:
    """The key of the Embedding that tokens are looked up in, which nobody transposes."""
    return set(list(case.parameters)[:1]) if case.inputs.dtype.kind in "iu" else set()
