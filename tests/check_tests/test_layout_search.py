"""Parts of the search for what a homework does not declare, each by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compare.check.contract import COLUMN, ArrayLayout, BatchLayout, Contract
from compare.check.inference import _forms, _note, small_case
from compare.check.layout_search import (
    LayoutSearch,
    Trial,
    _cosine,
    _flipped,
    _question,
    _same_values,
    _subsets,
    _with_any_forms,
    embedding_tables,
    with_one_convention,
)
from compare.mistakes.case import Case


@pytest.mark.parametrize(
    ("shape", "known", "forms"),
    [
        ((3,), None, ("", COLUMN, "[None, :]")),
        ((3, 2), None, ("", ".T")),
        ((2, 3, 4), None, ("",)),
        ((3,), (3, 1), (COLUMN, ".reshape(3, 1)")),
        ((3,), (1, 3, 1), (".reshape(1, 3, 1)",)),
        ((3, 2), (2, 3), (".T",)),
        ((3, 3), (3, 3), ("", ".T")),
        ((3, 2), (5, 5), ("", ".T")),
        ((4, 2, 3), (2, 3, 4), (".transpose(1, 2, 0)",)),
        ((4, 2, 3), (4, 6), (".reshape(4, -1)",)),
        ((4, 2, 3), (6, 4), (".reshape(4, -1).T",)),
        ((4, 2, 3), (4, 2, 3), ("", ".transpose(0, 1, 2)")),
        ((5, 2, 3, 4), (3, 4, 2, 5), (".transpose(2, 3, 1, 0)",)),
    ],
)
def test_forms_that_an_array_may_have(shape, known, forms) -> None:
    assert _forms(shape, known) == forms


def test_usual_forms_of_kernels_come_first() -> None:
    every = _forms((2, 2, 2, 2), (2, 2, 2, 2))
    assert every[:4] == (
        "", ".transpose(1, 2, 3, 0)", ".transpose(2, 3, 1, 0)", ".transpose(0, 1, 2, 3)",
    )  # fmt: skip
    assert len(every) == 25


@pytest.mark.parametrize(
    ("axis", "one_hot", "declared", "labels", "named", "note"),
    [
        (0, False, (), True, (), "Read as: batch in rows, labels as class numbers."),
        (1, True, (), True, (), "Read as: batch in columns, labels one-hot."),
        (1, True, (), False, (), "Read as: batch in columns."),
        (0, True, ("BATCH_AXIS",), True, (), "Read as: labels one-hot."),
        (0, True, ("ONE_HOT",), True, (("W", "0.weight", ".T"), ("0.bias", "0.bias", "")),
         "Read as: batch in rows; W is 0.weight.T."),
        (0, True, ("ONE_HOT", "BATCH_AXIS"), True, (("W", "0.weight", ""), ("b", "0.bias", COLUMN)),
         "Read as: W is 0.weight, b is 0.bias[:, None]."),
    ],
)  # fmt: skip
def test_a_note_of_what_was_found(axis, one_hot, declared, labels, named, note) -> None:
    layouts = [ArrayLayout(*one) for one in named]
    assert _note(BatchLayout(axis, one_hot), layouts, declared, labels=labels) == note


def of_rows(rows: int, columns: int = 3, large: bool = False) -> Case:
    arrays = {"0.weight": np.ones((4, columns))}
    return Case(arrays, np.ones((rows, columns)), np.zeros(rows), {}, {}, large_logits=large)


def test_the_case_that_is_tried() -> None:
    """Of several rows, and not as many as anything else has."""
    one, three, four, five, large = (
        of_rows(1), of_rows(3), of_rows(4), of_rows(5), of_rows(6, large=True)
    )  # fmt: skip
    assert small_case([one, three, four, large, five, of_rows(7)]) is five
    assert small_case([one, three, large]) is one
    assert small_case([of_rows(2)]).inputs.shape == (2, 3)


W1, B1 = ArrayLayout("W", "0.weight"), ArrayLayout("b", "0.bias")
FORMS = {"0.weight": ("", ".T"), "0.bias": ("", COLUMN, "[None, :]")}


def forms_of(found) -> list[tuple[str, ...]]:
    return [tuple(one.form for one in layouts) for layouts in found]


def test_layouts_of_one_convention() -> None:
    row = "[None, :]"
    assert forms_of(with_one_convention((W1, B1), FORMS)) == [
        ("", ""), ("", COLUMN), ("", row), (".T", ""), (".T", COLUMN), (".T", row),
    ]  # fmt: skip
    declared = (replace(W1, form=".T"), B1)
    assert forms_of(with_one_convention(declared, {"0.bias": ("", row)})) == [
        (".T", ""), (".T", row)
    ]  # fmt: skip
    assert forms_of(with_one_convention((W1,), {"0.weight": (".reshape(2, 3)",)})) == [
        (".reshape(2, 3)",)
    ]
    V1 = ArrayLayout("V", "2.weight")
    mixed = list(_with_any_forms((W1, V1, B1), {**FORMS, "2.weight": ("", ".T")}))
    assert forms_of(mixed)[:4] == [("", "", ""), ("", ".T", ""), (".T", "", ""), (".T", ".T", "")]
    assert forms_of(mixed)[4:6] == [("", "", COLUMN), ("", ".T", COLUMN)]
    assert len(mixed) == 12
    assert forms_of(_with_any_forms((B1,), {"0.bias": (row,)})) == [(row,)] * 3


def test_small_parts_of_the_search() -> None:
    assert list(_subsets("abc")) == [
        ("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")
    ]  # fmt: skip
    assert [_flipped(replace(W1, form=form)).form for form in ("", ".T")] == [".T", ""]
    x = np.array([3.0, 4.0])
    assert _cosine(x, 7 * x) == pytest.approx(1.0)
    assert _cosine(x, np.array([4.0, -3.0])) == 0.0
    assert _cosine(x, -x) == 0.0
    assert _cosine(x, np.array([1.0, 0.0])) == pytest.approx(0.6)
    assert _cosine(0 * x, x) == 0.0
    assert _cosine(x, np.array([np.nan, 1.0])) == 0.0
    trials = [Trial(BatchLayout(), (), {"loss": x + by}) for by in (0, 1e-12, 1)]
    assert _same_values(trials[0], trials[1])
    assert not _same_values(trials[0], trials[2])
    assert not _same_values(trials[0], Trial(BatchLayout(), (), {}))
    assert embedding_tables(of_rows(2)) == set()
    tokens = replace(of_rows(2), inputs=np.ones((2, 3), np.int64))
    assert embedding_tables(tokens) == {"0.weight"}


QUESTION = (
    "a.py runs in more than one way of reading its arrays and agrees with PyTorch in none: write "
    "{}."
)


@pytest.mark.parametrize(
    ("one", "other", "constant"),
    [
        ({"axis": 0}, {"axis": 1},
         "BATCH_AXIS = 0 (a batch has its rows in the first axis) or BATCH_AXIS = 1"),
        ({"one_hot": True}, {}, "ONE_HOT = False (labels are class numbers) or ONE_HOT = True"),
        ({}, {}, 'PARAMETERS with the entry "W": "0.weight" or "0.weight.T"'),
    ],
)  # fmt: skip
def test_what_stays_open_in_a_sentence(one, other, constant) -> None:
    first = Trial(BatchLayout(**one), (B1, W1))
    second = Trial(BatchLayout(**other), (B1, replace(W1, form=".T")))
    assert _question("a.py", first, second, FORMS) == QUESTION.format(constant)


def search(*functions: str, **more) -> LayoutSearch:
    expected = {
        "logits": np.array([1.0, 2.0]),
        "loss": np.array(3.0),
        "gradient/0.weight": np.ones(2),
    }
    case = Case({"0.weight": np.ones((2, 2)), "1.weight": np.ones((2, 3))}, np.ones((5, 2)),
                np.zeros(5, np.int64), expected, {}, **more)  # fmt: skip
    contract = Contract(functions=functions)
    return LayoutSearch(None, contract, case, frozenset({"0.weight"}), ())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("functions", "labelled", "quantities"),
    [
        (["forward"], [], ["logits"]),
        (["loss"], ["loss"], ["loss"]),
        (["gradients"], ["gradients"], ["gradient/0.weight"]),
        (["loss", "gradients"], ["loss", "gradients"], ["loss", "gradient/0.weight"]),
        (["loss_and_gradients"], ["loss_and_gradients"], ["loss", "gradient/0.weight"]),
        (["loss_and_gradients", "loss"], ["loss_and_gradients"], ["loss", "gradient/0.weight"]),
        (["loss_and_gradients", "loss", "gradients"], ["loss", "gradients"],
         ["loss", "gradient/0.weight"]),
        (["update"], [], []),
    ],
)  # fmt: skip
def test_what_a_search_compares(functions, labelled, quantities) -> None:
    found = search(*functions)
    assert (found.labelled, found._quantities()) == (labelled, quantities)
    assert found.labels_matter is bool(labelled)
    assert found._gradients() == [q for q in quantities if "/" in q]
    nothing = Trial(BatchLayout(), ())
    assert found.differing(nothing) == tuple(quantities)
    assert not found._agrees(nothing)
    right = Trial(BatchLayout(), (), {q: found.case.expected[q] for q in quantities})
    assert found.differing(right) == ()
    assert found._agrees(right) is bool(quantities)
    assert found._agreeing(right) == len(quantities)
    assert found._closeness(right) == pytest.approx(1.0 if quantities else 0.0)
    assert found._shapes_are_own(replace(right, own_shapes=1))
    assert found._shapes_are_own(right) is (not found._gradients())


def test_values_that_are_near() -> None:
    found = search("loss", evaluation=np.array([10.0, 20.0]))
    assert found._near("loss", np.array(3.0029))
    assert not found._near("loss", np.array(3.0031))
    assert not found._near("loss", np.array(np.nan))
    assert found._near("logits", np.array([10.0, 20.0]))  # in evaluation mode
    assert not found._near("logits", np.array([5.0, 10.5]))
    found.case.expected["loss"] = np.array(0.0)
    assert found._near("loss", np.array(0.9e-12))
    assert not found._near("loss", np.array(1.1e-12))
    numbers = replace(search("loss").case, targets=np.zeros(5))
    assert not replace(search("loss"), case=numbers).labels_matter
    assert found._is_square("0.weight")
    assert not found._is_square("1.weight")
    forms = [(W1, ArrayLayout("V", "1.weight")), (W1, ArrayLayout("V", "1.weight", ".T"))]
    assert [found._share(Trial(BatchLayout(), own)) for own in forms] == [True, False]
