"""Requests to a loaded homework, and what is said of an exception."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from compare.check.homework import (
    MESSAGE_CHARACTERS,
    Homework,
    _as_json,
    _changed,
    _imported,
    _with_gradients,
    error_sentence,
    is_training_step,
)
from compare.check.notebook import NotebookError


def error_of(code: str, path: Path, name: str = "homework.py") -> BaseException:
    """What a file raises."""
    file = path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(code)
    try:
        exec(compile(code, str(file), "exec"), {})
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("\nraise ValueError('not yet')", "f(x) raised ValueError at line 2: not yet."),
        ("raise ValueError('what now?')", "f(x) raised ValueError at line 1: what now?"),
        ("raise ValueError('no!')", "f(x) raised ValueError at line 1: no!"),
        ("raise ValueError('It ended.')", "f(x) raised ValueError at line 1: It ended."),
        ("raise ValueError", "f(x) raised ValueError at line 1."),
        ("raise KeyError('a  \\n b\\x07')", "f(x) raised KeyError at line 1: 'a \\n b\\x07'."),
        ("raise ValueError('a \\n\\t b\\x07')", "f(x) raised ValueError at line 1: a b\ufffd."),
        ("raise SystemExit",
         "f(x) called sys.exit() at line 1: it should return its result instead."),
        ("raise SystemExit(3)",
         "f(x) called sys.exit(3) at line 1: it should return its result instead."),
        ("raise MemoryError",
         "f(x) needed more memory than the limit of 512 MB allows at line 1."),
        ("raise KeyboardInterrupt", "f(x) raised KeyboardInterrupt at line 1."),
        ("raise RecursionError",
         "f(x) calls itself without end at line 1: maximum recursion depth exceeded."),
        ("raise EOFError", "f(x) reads the keyboard at line 1: there is nobody to type; remove "
                           "input()."),
        ("import nowhere_", "f(x) needs the module 'nowhere_', which cannot be imported at line 1: "
                            "No module named 'nowhere_'."),
        ("raise ImportError('broken')", "f(x) raised ImportError at line 1: broken."),
        ("class E(Exception):\n def __str__(self): 1 / 0\nraise E", "f(x) raised E at line 3."),
        ("x = = 1", "homework.py, line 1: invalid syntax; Python cannot read the file."),
        ("\nprint 'x'", "homework.py is Python 2 code (line 2: print without parentheses); "
                        "translate it with 2to3 or by hand."),
    ],
)  # fmt: skip
def test_an_exception_in_a_sentence(code, sentence, tmp_path) -> None:
    error = error_of(code, tmp_path)
    assert error_sentence(error, "f(x)", tmp_path / "homework.py", 512) == sentence


def test_places_in_other_files(tmp_path) -> None:
    beside = error_of("1 / 0", tmp_path, "parts.py")
    home = tmp_path / "homework.py"
    said = "f(x) raised ZeroDivisionError{}: division by zero."
    assert error_sentence(beside, "f(x)", home) == said.format(" at line 1 of parts.py")
    inside = error_of("\n1 / 0", tmp_path, "nets/parts.py")
    assert error_sentence(inside, "f(x)", home) == said.format(" at line 2 of nets/parts.py")
    library = error_of("1 / 0", tmp_path / "site-packages", "lib.py")
    assert error_sentence(library, "f(x)", home) == said.format("")
    assert error_sentence(beside, "f(x)", tmp_path / "other" / "a.py") == said.format("")
    # Without a file: the innermost line, wherever it is.
    assert error_sentence(beside, "f(x)", None) == said.format(" at line 1 of parts.py")
    assert error_sentence(ValueError("x"), "f(x)", None) == "f(x) raised ValueError: x."
    limit = error_sentence(MemoryError(), "f(x)", None)
    assert limit == "f(x) needed more memory than the limit allows."
    assert error_sentence(NotebookError("It is none."), "f(x)", None) == "It is none."


def test_a_syntax_error_elsewhere(tmp_path) -> None:
    error = SyntaxError("odd")
    assert error_sentence(error, "f", None) == "the code: odd; Python cannot read the file."
    assert error_sentence(error, "f", tmp_path / "a.py") == (
        "a.py: odd; Python cannot read the file."
    )
    error.filename, error.lineno = str(tmp_path / "gone.py"), 4
    assert error_sentence(error, "f", tmp_path / "a.py") == (
        "gone.py, line 4: odd; Python cannot read the file."
    )


def test_a_long_message_is_cut() -> None:
    said = error_sentence(ValueError("a" * 301), "f", None)
    assert said == f"f raised ValueError: {'a' * 299}…."
    whole = "a" * MESSAGE_CHARACTERS
    assert MESSAGE_CHARACTERS == 300
    assert error_sentence(ValueError(whole), "f", None) == f"f raised ValueError: {whole}."


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ("mse", "mse"), (True, True), (3, 3), (0.5, 0.5), ([1, 2.5], [1, 2.5]), ((0, 1), [0, 1]),
        ({1: (2, 3), "a": {"b": None}}, {"1": [2, 3], "a": {"b": {"not_json": "None"}}}),
        (float("inf"), {"not_json": "inf"}), (float("nan"), {"not_json": "nan"}),
        (["a"], {"not_json": "['a']"}), ({1}, {"not_json": "{1}"}), (1e308, 1e308),
        ("x" * 3, "xxx"), ({"a"} and list("ab" * 50), {"not_json": repr(list("ab" * 50))[:80]}),
    ],
)  # fmt: skip
def test_a_constant_as_json(value, json) -> None:
    assert _as_json(value) == json


@pytest.mark.parametrize(
    ("function", "is_one"),
    [
        (lambda params, x, y, state: 0, True),
        (lambda params, x, y: 0, True),
        (lambda p, x, y, s=None: 0, True),
        (lambda *all: 0, True),
        (lambda x: 0, False),
        (lambda params, grads, state: 0, False),
        (lambda params, grad_w, y, state: 0, False),
        (lambda params, x, lr: 0, False),
        (lambda params, learning_rate, y: 0, False),
        (lambda params, rate, y, z: 0, False),
        (lambda params, x, y, state, lr=0.1: 0, True),
        (lambda params, x, y, lr=0.1: 0, False),
        (type, False),
        (3, False),
    ],
)
def test_what_is_a_training_step(function, is_one) -> None:
    assert is_training_step(function) is is_one


NAMES = {
    "forward": lambda params, x: x @ params["W"],
    "gradients": lambda params, x, y: {"W": x.T @ y},
    "loss": 3,
    "update": "no function",
    "step": 0.1,
    "LOSS": "mse",
    "PARAMETERS": {"W": "0.weight.T"},
    "BATCH_AXIS": None,
    "SETTINGS": {"lr": {1, 2}},
    "NOTES": ("a", "b"),
}


def test_a_declaration_has_every_key() -> None:
    result = Homework(NAMES).request("declaration")
    assert result.problem is None
    assert result.details == {
        "constants": {
            "LOSS": "mse", "PARAMETERS": {"W": "0.weight.T"},
            "SETTINGS": {"lr": {"not_json": "{1, 2}"}},
        },
        "functions": ["forward", "gradients"],
        "places": {"forward": "", "gradients": ""},
        "filled": False,
        "notes": [],
        "not_callable": ["loss", "update"],
    }  # fmt: skip


def test_a_file_is_declared_with_its_places(tmp_path) -> None:
    (tmp_path / "parts.py").write_text("def loss(params, x, y):\n    return 1\n")
    file = tmp_path / "homework_of_places.py"
    file.write_text(
        "from parts import loss\n\n\ndef forward(params, x):\n    return x\n\n\nstep = 3\n"
        "NOTES = ['own']\n"
    )
    mapping = tmp_path / "mapping.py"
    mapping.write_text(
        "NOTES = ['left out', 3]\ndef gradients(params, x, y):\n    return {}\n"
        "def network(): return LOSS\n"
    )
    homework = Homework(file=file)
    sys.path.insert(0, str(tmp_path))
    try:
        loaded = homework.request("load", mapping=str(mapping))
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("parts", None)
    assert (loaded.problem, loaded.details) == (None, {"readable": True, "loaded": True})
    found = homework.request("declaration").details
    assert found["functions"] == ["forward", "loss", "gradients", "network"]
    assert found["places"] == {
        "forward": "line 4", "loss": "line 1 of parts.py", "gradients": "line 2 of mapping.py",
        "network": "line 4 of mapping.py",
    }  # fmt: skip
    assert (found["notes"], found["filled"]) == (["left out", "3"], True)
    homework.restart()
    assert homework.request("declaration").details["functions"] == []
    assert homework.request("declaration").details["notes"] == []


def test_names_of_the_contract_may_be_hidden(tmp_path) -> None:
    """A preset's file says what counts; a mapping file's names go before the homework's."""
    file, mapping = tmp_path / "homework_hidden.py", tmp_path / "m.py"
    file.write_text("LOSS = 'mse'\nNOTES = ['own']\nother = 5\ndef forward(params, x): return x\n")
    mapping.write_text("seen = sorted(n for n in globals() if not n.startswith('__'))\n")
    for own_contract, seen in ((True, ["LOSS", "forward", "other"]), (False, ["other"])):
        homework = Homework(file=file)
        homework.request("load", mapping=str(mapping), own_contract=own_contract)
        assert homework._names["seen"] == seen
        assert homework.request("declaration").details["notes"] == []
        assert homework.request("declaration").details["functions"] == seen[1:2] * own_contract
    plain = Homework(file=file)
    assert plain.request("load").problem is None
    assert plain.request("declaration").details["notes"] == []
    mapping.write_text("LOSS = LOSS + '!'\n")
    plain.request("load", mapping=str(mapping))
    assert plain._names["LOSS"] == "mse!"
    assert "forward" in plain._names


def test_imports_find_other_modules_for_a_while() -> None:
    import json

    fake = type(json)("json")
    with _imported({"json": fake, "nowhere_": fake}):
        assert sys.modules["json"] is sys.modules["nowhere_"] is fake
    assert sys.modules["json"] is json
    assert "nowhere_" not in sys.modules


ARRAYS = {"params/W": np.ones((3, 2)), "params/b": np.zeros(2), "x": np.ones((4, 3)),
          "y": np.arange(4)}  # fmt: skip


BATCH = {"params/W": np.ones((3, 2)), "x": np.ones((4, 3))}


def test_a_call_gets_copies_and_says_what_it_changed() -> None:
    def gradients(params, x, y):
        params["W"] += 1
        x[0] = 7
        params["b"] = None
        return {"W": x.T, "b": y}

    homework = Homework({"gradients": gradients})
    before = {name: array.copy() for name, array in ARRAYS.items()}
    result = homework.request("call", ARRAYS, function="gradients")
    assert result.problem is None
    for name, array in before.items():
        np.testing.assert_array_equal(ARRAYS[name], array)
    assert list(result.changed) == ["params/W", "params/b", "x"]
    np.testing.assert_array_equal(result.changed["params/W"], np.full((3, 2), 2.0))
    assert np.isnan(result.changed["params/b"])
    np.testing.assert_array_equal(result.changed["x"][0], [7, 7, 7])
    assert list(result.value.items) == ["W", "b"]
    np.testing.assert_array_equal(result.value.items["b"].array, np.arange(4))


def test_what_counts_as_a_change() -> None:
    def changed(before, after) -> list[str]:
        return list(_changed({"x": before}, {}, {"x": after}))

    assert changed(np.ones(2), np.ones(2)) == []
    assert changed(np.ones(2), np.ones((2, 1))) == ["x"]
    assert changed(np.ones(2), np.ones(2, np.float32)) == ["x"]
    assert changed(np.array([0.0]), np.array([-0.0])) == ["x"]
    assert changed(np.array([np.nan]), np.array([np.nan])) == []


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda params: 0, "forward is called as forward(params, x), but is defined as "
                           "forward(params)"),
        (lambda params, x, y: 0, "forward is called as forward(params, x), but is defined as "
                                 "forward(params, x, y)"),
    ],
)  # fmt: skip
def test_another_signature_is_said(function, sentence) -> None:
    homework = Homework({"forward": function})
    result = homework.request("call", BATCH, function="forward", description="forward(params, x)")
    assert result.problem == f"forward(params, x) raised TypeError: {sentence}."


def test_updates_and_steps_have_a_state_until_the_first() -> None:
    def update(params, grads, state):
        state["n"] = state.get("n", 0) + 1
        return {"W": params["W"] - state["n"] * grads["W"]}

    def step(params, x, y, state):
        state["n"] = state.get("n", 0) + 1
        params["W"] += state["n"]
        return params

    homework = Homework({"update": update, "step": step})
    arrays = {"params/W": np.zeros(2), "grads/W": np.ones(2)}
    for first, expected in ((True, -1), (False, -2), (False, -3), (True, -1)):
        value = homework.request("update", arrays, first=first).value
        np.testing.assert_array_equal(value.items["W"].array, [expected] * 2)
    arrays = {"params/W": np.zeros(2), "x": np.ones((3, 2)), "y": np.arange(3)}
    for first, expected in ((True, 1), (False, 2), (True, 1)):
        result = homework.request("step", arrays, first=first)
        np.testing.assert_array_equal(result.value.items["W"].array, [expected] * 2)
        assert list(result.changed) == ["params/W"]
    short = Homework({"step": lambda params, x, y: {"W": params["W"] + len(x)}})
    result = short.request("step", arrays, first=True)
    np.testing.assert_array_equal(result.value.items["W"].array, [3, 3])


class Filled:
    """A network whose arrays are filled, and which keeps its gradients."""

    def __init__(self) -> None:
        self.W, self.dW = np.zeros(2), None


def test_a_filled_network_is_handed_to_functions() -> None:
    seen = []

    def gradients(net, x, y):
        seen.append(net.W.copy())
        net.dW = 2 * net.W

    def step(net, x, y, state):
        net.W = net.W + 1
        net.kept = getattr(net, "kept", 0) + 1
        return {"W": net.W + net.kept} if net.kept == 2 else None

    homework = Homework({"network": Filled, "gradients": gradients, "step": step})
    assert homework.request("declaration").details["filled"] is True
    arrays = {"params/W": np.array([1.0, 2.0]), "x": np.ones((3, 2)), "y": np.arange(3)}
    result = homework.request("call", arrays, function="gradients")
    np.testing.assert_array_equal(seen[0], [1, 2])
    np.testing.assert_array_equal(result.value.items["W"].array, [2, 4])
    assert result.changed == {}
    for first, expected in ((True, [2, 3]), (False, [4, 5]), (True, [2, 3])):
        value = homework.request("step", arrays, first=first).value
        np.testing.assert_array_equal(value.items["W"].array, expected)


class Keeps:
    """A network with gradients, and the loss of an autograd engine."""

    def __init__(self) -> None:
        self.W, self.dW = np.ones(2), np.array([3.0, 4.0])


class Engine:
    """A number of an autograd engine."""

    data, grad = 2.5, 0.0

    def backward(self) -> None:
        type(self).ran = True


@pytest.mark.parametrize(
    ("function", "returned", "expected"),
    [
        ("forward", 3, 3),
        ("gradients", {"W": 1}, {"W": 1}),
        ("gradients", None, "kept"),
        ("loss_and_gradients", (2.0, {"W": 1}), (2.0, {"W": 1})),
        ("loss_and_gradients", (2.0, None), (2.0, "kept")),
        ("loss_and_gradients", (2.0, 1, 2), (2.0, "kept")),
        ("loss_and_gradients", 2.0, (2.0, "kept")),
        ("loss_and_gradients", (), ((), "kept")),
    ],
)
def test_gradients_that_a_network_keeps(function, returned, expected) -> None:
    found = _with_gradients(function, returned, Keeps(), ["W"])
    if isinstance(found, tuple) and isinstance(found[1], dict) and expected[1] == "kept":
        np.testing.assert_array_equal(found[1]["W"], [3, 4])
        found = (found[0], "kept")
    elif expected == "kept":
        np.testing.assert_array_equal(found["W"], [3, 4])
        found = "kept"
    assert found == expected


def test_warnings_of_numpy_are_kept_and_others_are_not() -> None:
    def forward(params, x):
        import warnings

        for number in range(7):
            warnings.warn(f"odd {number}", RuntimeWarning, stacklevel=1)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return x

    result = Homework({"forward": forward}).request("call", BATCH, function="forward")
    line = forward.__code__.co_firstlineno + 4
    assert result.warnings == [f"line {line}: odd {number}" for number in range(5)]


def test_a_person_at_the_keyboard_may_interrupt(tmp_path) -> None:
    def forward(params, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Homework({"forward": forward}).request("call", BATCH, function="forward")
    of_a_file = Homework({"forward": forward}, file=tmp_path / "a.py")
    result = of_a_file.request("call", BATCH, function="forward", description="forward(params, x)")
    assert result.problem == "forward(params, x) raised KeyboardInterrupt."
    assert of_a_file.request("call", BATCH, function="forward").problem == (
        "call raised KeyboardInterrupt."
    )
