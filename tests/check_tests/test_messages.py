"""Messages of a homework's process: what is sent arrives, and whatever else comes is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from compare.check import messages
from compare.check.messages import FORBIDDEN, Frame, FrameReader, MessageError, read_name
from compare.check.return_values import CallResult, ReturnValue, describe

BYTES = 2**20
DTYPES = ["<f8", ">f4", "<f2", "<i8", "|u1", "|b1"]


def sent(result: CallResult, number: int = 1, action: str = "call", most: int = BYTES):
    """What arrives of a result, byte by byte."""
    data = messages.write_answer(number, result, "forward(params, x)", most)
    reader, frames = FrameReader(most), []
    for place in range(0, len(data), 7):
        frames += reader.take(data[place : place + 7])
    (frame,) = frames
    return messages.read_answer(frame, number, action)


def the_same(a: ReturnValue, b: ReturnValue) -> bool:
    if (a.kind, a.type_name, list(a.items)) != (b.kind, b.type_name, list(b.items)):
        return False
    if (a.array is None) != (b.array is None):
        return False
    if a.array is not None and b.array is not None:
        alike = a.array.shape == b.array.shape and a.array.dtype == b.array.dtype
        if not alike or a.array.tobytes() != b.array.tobytes():
            return False
    return all(the_same(value, b.items[key]) for key, value in a.items.items())


anything = st.recursive(
    st.none() | arrays_of.arrays(st.sampled_from(DTYPES), arrays_of.array_shapes(min_side=0)),
    lambda inner: (
        st.dictionaries(st.text("abW.0_", max_size=6), inner, max_size=3) | st.tuples(inner, inner)
    ),
    max_leaves=6,
)


@given(anything)
@settings(max_examples=60, deadline=None)
def test_what_is_sent_arrives(value) -> None:
    described = describe(value)
    result = CallResult(described, None, {"x": np.arange(3.0)}, ["line 3: overflow"], {})
    found = sent(result)
    assert the_same(found.value, described)
    assert found.changed["x"].tolist() == [0.0, 1.0, 2.0]
    assert found.warnings == ["line 3: overflow"]


def test_numbers_that_are_not_finite_arrive_in_arrays() -> None:
    found = sent(CallResult(describe(np.array([np.nan, np.inf, -0.0]))))
    assert np.array_equal(found.value.array, [np.nan, np.inf, 0.0], equal_nan=True)
    assert np.signbit(found.value.array[2])


def test_a_setting_that_is_not_finite_is_said() -> None:
    found = sent(CallResult(details={"constants": {"WEIGHT_DECAY": float("nan")}}))
    assert found.problem == (
        "forward(params, x) gives a number that is not finite where a setting is expected."
    )


def test_more_than_the_bound_is_said() -> None:
    found = sent(CallResult(describe(np.zeros(10**6))), most=BYTES)
    assert found.problem == "forward(params, x) returned 1 arrays of 8 MB: too much."


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
PARTS = ("number", "problem", "value", "changed", "warnings", "details", "arrays")
PLAIN = {
    "number": 1, "problem": None, "value": {"kind": "none", "type": "x"}, "changed": [],
    "warnings": [], "details": {}, "arrays": [],
}  # fmt: skip


def read(text: bytes, body: bytes = b"", action: str = "call") -> CallResult:
    frame = messages.Frame(messages.ANSWER, text, bytearray(body))
    return messages.read_answer(frame, 1, action)


def refused_or_plain(text: bytes, body: bytes = b"", action: str = "call") -> None:
    """Nothing but a MessageError, or a result whose text is printable."""
    try:
        result = read(text, body, action)
    except MessageError:
        return
    said = [result.problem or "", *result.warnings, result.value.type_name, *result.changed]
    assert all(one.isprintable() for one in said)
    assert all(isinstance(array, np.ndarray) for array in result.changed.values())


def lies(examples: int):
    """The test of an answer with one part that is anything, and of any text at all."""

    @given(
        st.sampled_from(PARTS),
        json_values,
        st.binary(max_size=40),
        st.sampled_from(["call", "declaration", "network", "architecture", "load"]),
    )
    @settings(max_examples=examples, deadline=None)
    def one_part(part, lie, body, action) -> None:
        refused_or_plain(json.dumps({**PLAIN, part: lie}).encode(), body, action)

    return one_part


test_a_part_that_is_anything = lies(40)
test_a_part_that_is_anything_many_times = pytest.mark.slow(lies(2000))


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_bytes_that_are_anything(data) -> None:
    refused_or_plain(data)
    reader = FrameReader(BYTES)
    try:
        frames = reader.take(data)
    except MessageError:
        return
    assert all(len(frame.text) <= messages.TEXT_BYTES for frame in frames)


@given(json_values, st.sampled_from(sorted(messages.DETAILS)))
@settings(max_examples=100, deadline=None)
def test_details_that_are_anything(lie, name) -> None:
    refused_or_plain(json.dumps({**PLAIN, "details": {name: lie}}).encode())


@pytest.mark.parametrize("name", sorted(messages.NEEDED))
def test_details_that_are_missing(name) -> None:
    with pytest.raises(MessageError):
        read(json.dumps(PLAIN).encode(), action=name)
    assert read(json.dumps({**PLAIN, "problem": "no."}).encode(), action=name).problem == "no."


@pytest.mark.parametrize(
    ("described", "body"),
    [
        ([["<f8", [2]]], b"x" * 8),
        ([["<f8", [1]]], b"x" * 16),
        ([["<f8", [-1]]], b""),
        ([["<f8", [2**62, 2**62]]], b""),
        ([["<f8", [True]]], b"x" * 8),
        ([["|O", [1]]], b"x" * 8),
        ([["<U4", [1]]], b"x" * 16),
        ([["<f8,<i4", [1]]], b"x" * 12),
        ([["(2,)<f8", [1]]], b"x" * 16),
        ([["<f8", [0] * 40]], b""),
        ([["nonsense", [1]]], b"x"),
        ([["<f8"]], b""),
        ([[[], []]], b""),
        ([["|u1", [0, 2**63]]], b""),
    ],
)
def test_arrays_that_are_none(described, body) -> None:
    with pytest.raises(MessageError):
        read(json.dumps({**PLAIN, "arrays": described}).encode(), body)


def test_lines() -> None:
    assert messages.one_line("a\n\x1b[31mb\r\nc\u202e\ud800") == "a \ufffd[31mb c\ufffd\ufffd"
    assert messages.one_line("x" * 2000, 10) == "xxxxxxxxx…"


@pytest.mark.parametrize("text", ["", "a", "a\x1b[2J\u202eb\ud800 c\n\td", "x" * 2000])
def test_a_line_is_printable_and_bounded(text) -> None:
    line = messages.one_line(text, 100)
    assert line.isprintable()
    assert len(line) <= 100
    assert line[:1] == text[:1]


def test_arrays_up_to_the_bound_arrive() -> None:
    head = messages.HEAD.pack(messages.ANSWER, 0, 8)
    assert FrameReader(8).take(head + bytes(8))[0].arrays == bytes(8)
    with pytest.raises(MessageError):
        FrameReader(7).take(head)


def test_a_problem_names_what_was_called() -> None:
    data = messages.write_answer(1, CallResult(describe(np.zeros(10))), "forward(params, x)", 8)
    frame = FrameReader(BYTES).take(data)[0]
    found = messages.read_answer(frame, 1, "call")
    assert found.problem == "forward(params, x) returned 1 arrays of 0 MB: too much."
    nothing = messages.write_answer(1, CallResult(details={"names": object()}), "f()", BYTES)
    found = messages.read_answer(FrameReader(BYTES).take(nothing)[0], 1, "call")
    assert found.problem == "f() gives a number that is not finite where a setting is expected."


def test_a_signalling_nan_becomes_a_quiet_one() -> None:
    """It would warn wherever it is computed with, beside the verdict."""
    bits = np.array([0x7FF0DEADBEEF0001, 0x3FF0000000000000], np.uint64)
    found = sent(CallResult(describe(bits.view(np.float64))))
    with np.errstate(all="raise"):
        assert np.isnan(found.value.array + 1.0).tolist() == [True, False]
    assert found.value.array[1] == 1.0  # what stands beside it stays as it is


@pytest.mark.parametrize("name", ["torch", "libtorch_cpu.so", "libc10.so.2+cpu"])
def test_names_of_modules(name) -> None:
    assert read_name(Frame(FORBIDDEN, json.dumps({"name": name}).encode(), bytearray())) == name


@pytest.mark.parametrize("name", ["", "x. It agrees.", "x" * 61, "[red]", "é", 3, None])
def test_names_that_are_none(name) -> None:
    with pytest.raises(MessageError):
        read_name(Frame(FORBIDDEN, json.dumps({"name": name}).encode(), bytearray()))


def test_nesting_up_to_the_bound_arrives() -> None:
    def nested(depth: int) -> object:
        return [nested(depth - 1)] if depth else "x"

    # The text itself, its details and their constants are around it.
    within = {"constants": {"A": nested(messages.MOST_DEPTH - 3)}}
    assert sent(CallResult(details=within)).details == within
    beyond = {"constants": {"A": nested(messages.MOST_DEPTH - 2)}}
    with pytest.raises(MessageError):
        sent(CallResult(details=beyond))


def test_details_arrive_as_they_were_sent() -> None:
    details = {
        "readable": True,
        "constants": {"REDUCTION": "mean", "WEIGHT_DECAY": 0.5, "SIZES": [1, None, {"a": False}]},
        "functions": ["forward", "loss"],
        "places": [{"W": "0.weight"}, {}],
        "notes": ["one.", "two."],
        "shapes": {"x": [2, 3], "y": []},
        "forward_only": [0, 2],
        "loss": "Loss",
        "left_out": None,
    }
    assert sent(CallResult(details=details)).details == details
    assert sent(CallResult(details={"places": {"W": "a"}})).details == {"places": {"W": "a"}}


@pytest.mark.parametrize(
    "details", [{"forward_only": [-1]}, {"forward_only": [True]}, {"shapes": {"x": [1.0]}},
                {"readable": 1}, {"names": "ab"}, {"names": [1]}, {"unheard": 1}],
)  # fmt: skip
def test_details_of_another_type_are_refused(details) -> None:
    with pytest.raises(MessageError):
        sent(CallResult(details=details))


def test_values_are_described_four_levels_deep() -> None:
    def nested(make, depth: int) -> object:
        return make(nested(make, depth - 1)) if depth else np.ones(2)

    def kinds(value: ReturnValue) -> list[str]:
        return [value.kind, *(kind for item in value.items.values() for kind in kinds(item))]

    for make, kind in ((lambda x: (x,), "tuple"), (lambda x: {"a": x}, "dict")):
        assert kinds(describe(nested(make, 4))) == [kind] * 4 + ["array"]
        assert kinds(describe(nested(make, 5))) == [kind] * 4 + ["other"]
    assert (
        describe(nested(lambda x: (x,), 5)).items["0"].items["0"].items["0"].items["0"].type_name
        == "tuple"
    )


def test_long_tuples_and_odd_objects_are_named() -> None:
    assert len(describe((None,) * 1000).items) == 1000
    long = describe((None,) * 1001)
    assert (long.kind, long.in_words()) == ("other", "a value of type tuple")
    assert describe(object()).in_words() == "a value of type object"
    assert describe(np.array(["a"])).in_words() == "a value of type ndarray of <U1"
    assert describe({}).in_words() == "a dict with nothing in it"
    assert describe({"W": None, 1: None}).in_words() == "a dict with 'W', '1'"
    assert describe((1.0, None)).in_words() == "a tuple of 2"
    assert describe([[1, 2], [3]]).in_words() == "a list of 2"
    assert describe([[1, 2], [3, 4]]).in_words() == "an array of shape (2, 2)"
    assert describe(3.0).in_words() == "a value of type float"


NONE = {"kind": "none", "type": "NoneType"}
ANSWERED = {"number": 3, "problem": None, "value": NONE, "changed": [], "warnings": [],
            "details": {}}  # fmt: skip


def answered(arrays=(), kind: bytes = messages.ANSWER, action: str = "call", **more) -> str:
    """Why an answer is refused; nothing where it is read."""
    data = messages.frame(kind, {**ANSWERED, **more}, list(arrays))
    (found,) = messages.FrameReader(10**6).take(data)
    try:
        messages.read_answer(found, 3, action)
    except messages.MessageError as error:
        return str(error)
    return ""


def nested(depth: int, kind: str = "list"):
    """A value that is nested so deep."""
    found = {"kind": "tuple", "type": "tuple"} if kind == "value" else []
    for _ in range(depth):
        if kind == "value":
            found = {"kind": "tuple", "type": "tuple", "items": [["0", found]]}
        else:
            found = {"a": found} if kind == "dict" else [found]
    return found


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"number": 4}, "an answer that was not asked for"),
        ({"kind": messages.READY}, "an answer that was not asked for"),
        ({"problem": 3}, "no text where some is expected"),
        ({"value": []}, "no object where one is expected"),
        ({"value": {"kind": "odd", "type": "x"}}, "a value of no kind"),
        ({"value": {"kind": "array", "type": "x"}}, "a value of no kind"),
        ({"value": {"kind": "none", "type": "x", "array": 0}}, "a value of no kind"),
        ({"value": {"kind": "array", "type": "x", "array": 1}, "arrays": [np.ones(1)]},
         "an array that is not there"),
        ({"value": {"kind": "array", "type": "x", "array": -1}, "arrays": [np.ones(1)]},
         "no count where one is expected"),
        ({"value": {"kind": "array", "type": "x", "array": 0}, "arrays": [np.ones(1)]}, ""),
        ({"value": {"kind": "none"}}, "another form than an answer has"),
        ({"changed": {}}, "no list where one is expected"),
        ({"changed": [["x"]]}, "no pair where one is expected"),
        ({"changed": [[3, NONE]]}, "no text where some is expected"),
        ({"warnings": "x"}, "no list where one is expected"),
        ({"warnings": [None]}, "no text where some is expected"),
        ({"details": []}, "no object where one is expected"),
        ({"details": {"odd": 1}}, "details that do not exist"),
        ({"value": nested(messages.MOST_DEPTH, "value")}, "nested too deep"),
        ({"details": {"tree": nested(messages.MOST_DEPTH - 2)}}, ""),
        ({"details": {"tree": nested(messages.MOST_DEPTH - 1)}}, "nested too deep"),
        ({"details": {"tree": nested(messages.MOST_DEPTH - 1, "dict")}}, "nested too deep"),
        ({"action": "architecture"}, "no tree"),
        ({"action": "architecture", "details": {"tree": None}}, ""),
        ({"action": "architecture", "problem": "why"}, ""),
        ({"action": "declaration"}, "no constants"),
        ({"action": "network"}, "no names"),
    ],
)  # fmt: skip
def test_why_an_answer_is_refused(more, why) -> None:
    assert answered(**more) == why


# What each detail may be, and what it may not be and why.
LINE = "no text where some is expected"
DETAILS = {
    **{name: ([True, False], [(1, "neither true nor false"), (None, "neither true nor false")])
       for name in ("readable", "loaded", "filled", "updating")},
    **{name: ([[], ["a", "b"]], [("a", "no list where one is expected"), ([1], LINE)])
       for name in ("functions", "not_callable", "read", "returned", "names", "classes", "notes")},
    **{name: ([[], [0, 7]], [(3, "no list where one is expected"),
                             ([-1], "no count where one is expected"),
                             ([True], "no count where one is expected")])
       for name in ("forward_only", "unknown_switches")},
    **{name: ([None, "Softmax"], [(3, LINE)]) for name in ("loss", "left_out")},
    "places": ([{"a": "line 1"}, [{"a": "b"}]], [({"a": 1}, LINE),
                                                 (3, "no object where one is expected")]),
    "shapes": ([{"a": [2, 3]}], [([], "no object where one is expected"),
                                 ({"a": 3}, "no list where one is expected"),
                                 ({"a": [-1]}, "no count where one is expected")]),
    "constants": ([{"a": 1, "b": [1.5, "x"]}], [([], "no object where one is expected")]),
    "tree": ([None, {"make": "ReLU"}, [1]], []),
}  # fmt: skip


@pytest.mark.parametrize("name", DETAILS)
def test_every_detail_is_read_in_its_form(name) -> None:
    good, bad = DETAILS[name]
    for value in good:
        data = messages.frame(messages.ANSWER, {**ANSWERED, "details": {name: value}})
        (found,) = messages.FrameReader(10**6).take(data)
        assert messages.read_answer(found, 3, "call").details == {name: value}
    for value, why in bad:
        assert answered(details={name: value}) == why


def test_no_other_details_are_read() -> None:
    assert set(DETAILS) == set(messages.DETAILS)


def test_texts_become_lines() -> None:
    odd = "a\n\x1b[2J  b"
    more = {"problem": odd, "warnings": [odd] * 100,
            "details": {"tree": {odd: [odd, 3]}, "notes": [odd] * 100}}  # fmt: skip
    (found,) = messages.FrameReader(10**6).take(
        messages.frame(messages.ANSWER, {**ANSWERED, **more})
    )
    result = messages.read_answer(found, 3, "call")
    line = "a \ufffd[2J b"
    assert result.problem == line
    assert result.warnings == [line] * messages.MOST_SENTENCES
    assert result.details == {"tree": {line: [line, 3]}, "notes": [line] * messages.MOST_SENTENCES}
    assert messages.one_line("a" * 10, 10) == "a" * 10
    assert messages.one_line("a" * 11, 10) == f"{'a' * 9}…"
    assert messages.one_line(" " * 50 + "a", 10) == ""


def test_what_no_message_can_hold_is_a_problem() -> None:
    def said(result, most_bytes: int = 10**6) -> str | None:
        data = messages.write_answer(3, result, "f(x)", most_bytes)
        (found,) = messages.FrameReader(10**8).take(data)
        return messages.read_answer(found, 3, "call").problem

    two = describe({"a": np.ones(2**17), "b": np.ones(2**17)})
    assert said(CallResult(value=two), 2**21) is None
    assert said(CallResult(value=two), 2**21 - 1) == "f(x) returned 2 arrays of 2 MB: too much."
    many = describe([[1.0]] * 3)
    assert said(CallResult(value=many)) is None
    infinite = CallResult(details={"constants": {"a": float("inf")}})
    assert said(infinite) == "f(x) gives a number that is not finite where a setting is expected."
    assert said(CallResult(details={"tree": object()})) == (
        "f(x) gives a number that is not finite where a setting is expected."
    )
    changed = CallResult(
        changed={"x": np.ones(3)}, warnings=["w"], problem="p", details={"read": []}
    )
    (found,) = messages.FrameReader(10**6).take(messages.write_answer(3, changed, "f", 10**6))
    back = messages.read_answer(found, 3, "call")
    np.testing.assert_array_equal(back.changed["x"], np.ones(3))
    assert (back.warnings, back.problem, back.details) == (["w"], "p", {"read": []})
