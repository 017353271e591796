"""Parts of a golden file: which values each may have, and what is said of others."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from compare.check.architecture import RecordedArchitecture, record_architecture
from compare.check.contract import Assignment, read_contract
from compare.check.golden import _array, _header, digest
from compare.check.golden_parts import (
    CASE_KEYS,
    DamagedError,
    _function_shapes,
    _is_identifier,
    _is_setting,
    _layer_shapes,
    _require,
    _require_batch,
    _require_names,
    _require_parameters,
    _require_sizes,
    _shown,
    _statistics,
    _trainable,
    _with_prefix,
    read_assignment,
    read_cases,
)
from compare.check.reading import Options, _from_golden
from compare.mistakes.case import Case
from experiments.errors import InputError


def assignment(*layers, loss: str = "cross_entropy", **more) -> Assignment:
    tree = record_architecture(lambda nn: nn.Sequential(*(one(nn) for one in layers)))
    return Assignment("net", RecordedArchitecture(tree, "net"), loss, **more)


LINEAR = assignment(lambda nn: nn.Linear(3, 2))
PARAMETERS = {"0.weight": np.ones((2, 3)), "0.bias": np.ones(2)}
X, Y, LOGITS = np.ones((4, 3)), np.array([0, 1, 1, 0]), np.ones((4, 2))


def said(function, *arguments) -> str:
    with pytest.raises(DamagedError) as error:
        function(*arguments)
    return str(error.value)


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (True, True), (None, True), (0.5, True), (-3, True), (10**9, True), (-(10**9), True),
        (10**9 + 1, False), (-(10**9) - 1, False), (float("inf"), False), (float("nan"), False),
        ("x", False), ([0.9, 0.99], True), ([], True), ([1] * 10, True), ([1] * 11, False),
        ([[1]], False), (["x"], False), ({}, False),
    ],
)  # fmt: skip
def test_what_a_setting_may_be(value, fits) -> None:
    assert _is_setting(value) is fits


@pytest.mark.parametrize(
    ("value", "fits"),
    [("lr", True), ("a" * 60, True), ("a" * 61, False), ("a b", False), ("é", False), (3, False)],
)
def test_what_a_name_may_be(value, fits) -> None:
    assert _is_identifier(value) is fits


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("parameters", (0, 9), (-1, 10, True, 1.0)),
        ("steps", (0, 100), (-1, 101, False)),
        ("training_steps", (0, 100), (-1, 101, "1")),
        *((key, (True, False), (0, 1, None))
          for key in ("layers", "evaluation", "large_logits", "other_size")),
    ],
)  # fmt: skip
def test_what_a_case_may_say(key, good, bad) -> None:
    assert all(CASE_KEYS[key](value) for value in good)
    assert not any(CASE_KEYS[key](value) for value in bad)


def test_names_in_messages() -> None:
    assert _shown("a\x07b") == "a\ufffdb"
    assert _shown("a" * 100) == "a" * 100
    assert _shown("a" * 101) == f"{'a' * 99}…"
    assert _with_prefix("case1/", {"case1/a/b": 1, "case10/a": 2, "xcase1/": 3}) == {"a/b": 1}
    keys = dict.fromkeys(("0.weight", "1.running_mean", "1.running_var", "1.num_batches_tracked"))
    assert _trainable(keys) == {"0.weight"}
    assert _statistics(keys) == {"1.running_mean", "1.running_var"}


def test_arrays_of_another_kind() -> None:
    _require("a", X, np.float64, (4, 3))
    expected = "a should have the shape (4, 3) and the type float64, but has {} and {}"
    assert said(_require, "a", X[1:], np.float64, (4, 3)) == expected.format("(3, 3)", "float64")
    single = X.astype(np.float32)
    assert said(_require, "a", single, np.float64, (4, 3)) == expected.format("(4, 3)", "float32")
    _require_names("p", {"a": 1, "b": 2}, ["b", "a"])
    assert said(_require_names, "p", {"a": 1}, ["c", "b", "a"]) == "p/b is missing"
    assert said(_require_names, "p", {"d": 1, "c": 1}, []) == "p/c belongs to nothing"


def batch(inputs=X, targets=Y, logits=LOGITS, parameters=PARAMETERS) -> Case:
    return Case(parameters, inputs, targets, {"logits": logits} if logits is not None else {}, {})


TOKENS = assignment(lambda nn: nn.Embedding(3, 2), lambda nn: nn.Flatten())
BINARY, SQUARES = replace(LINEAR, loss="bce"), replace(LINEAR, loss="mse")
TABLE = {"0.weight": np.ones((3, 2))}
ROWS = "c/inputs should be rows of float64, or of int64 for tokens"
UNKNOWN = "c/inputs has tokens that its network does not know"
CLASSES = "c/targets should be classes of its logits"
BETWEEN = "c/targets should lie between 0 and 1"


@pytest.mark.parametrize(
    ("case", "of", "sentence"),
    [
        (batch(), LINEAR, None),
        (batch(logits=None), LINEAR, "c/expected/logits is missing or empty"),
        (batch(logits=np.ones(())), LINEAR, "c/expected/logits is missing or empty"),
        (batch(logits=LOGITS[:0]), LINEAR, "c/expected/logits is missing or empty"),
        (batch(inputs=np.ones(())), LINEAR, ROWS),
        (batch(inputs=X[:0]), LINEAR, ROWS),
        (batch(inputs=X.astype(np.float32)), LINEAR, ROWS),
        (batch(inputs=X.astype(np.int64)), LINEAR, UNKNOWN),
        (batch(inputs=np.array([[0, 1], [2, 0], [1, 1], [0, 0]]), parameters=TABLE), TOKENS, None),
        (batch(inputs=np.full((4, 2), 3), parameters=TABLE), TOKENS, UNKNOWN),
        (batch(inputs=np.full((4, 2), -1), parameters=TABLE), TOKENS, UNKNOWN),
        (batch(inputs=np.zeros((4, 2), np.int64)), TOKENS, None),
        (batch(inputs=np.full((4, 2), 2)), TOKENS, UNKNOWN),
        (batch(inputs=np.zeros((4, 2), np.int64), parameters={}), TOKENS, UNKNOWN),
        (batch(targets=Y[1:]), LINEAR, "c/targets should have the shape (4,) and the type int64, "
                                       "but has (3,) and int64"),
        (batch(targets=Y + 1), LINEAR, CLASSES),
        (batch(targets=Y - 1), LINEAR, CLASSES),
        (batch(logits=np.ones((4, 2, 2))), LINEAR, CLASSES),
        (batch(targets=LOGITS), SQUARES, None),
        (batch(targets=LOGITS + 5), SQUARES, None),
        (batch(targets=Y), SQUARES, "c/targets should have the shape (4, 2) and the type float64, "
                                    "but has (4,) and int64"),
        (batch(targets=LOGITS), BINARY, None),
        (batch(targets=0 * LOGITS), BINARY, None),
        (batch(targets=1.1 * LOGITS), BINARY, BETWEEN),
        (batch(targets=-0.1 * LOGITS), BINARY, BETWEEN),
    ],
)  # fmt: skip
def test_batches(case, of, sentence) -> None:
    if sentence is None:
        assert _require_batch("c", case, of) == 4
    else:
        assert said(_require_batch, "c", case, of) == sentence


NORM = assignment(lambda nn: nn.Linear(3, 2), lambda nn: nn.BatchNorm1d(2))
STATISTICS = {"1.weight": np.ones(2), "1.bias": np.ones(2), "1.running_mean": np.ones(2),
              "1.running_var": np.ones(2), "1.num_batches_tracked": np.array(3)}  # fmt: skip


@pytest.mark.parametrize(
    ("of", "sets", "numbers", "sentence"),
    [
        (LINEAR, [PARAMETERS, dict(PARAMETERS)], 10, None),
        (NORM, [{**PARAMETERS, **STATISTICS}], 10, None),
        (LINEAR, [PARAMETERS, {}], 10,
         "its sets of parameters should have the same names and shapes"),
        (LINEAR, [{}], 10, "its sets of parameters should have the same names and shapes"),
        (LINEAR, [{"1.weight": np.ones(2)}], 10, "its network has no parameter 1.weight"),
        (LINEAR, [{"0.weight": np.ones((2, 3))}], 10,
         "its parameters are not those of its network"),
        (LINEAR, [{**PARAMETERS, "0.bias": np.ones(2, np.float32)}], 10,
         "its parameter 0.bias should be of float64"),
        (NORM, [{**PARAMETERS, **STATISTICS, "1.num_batches_tracked": np.array(3.0)}], 10,
         "its parameter 1.num_batches_tracked should be of int64"),
        (NORM, [{**PARAMETERS, **STATISTICS, "1.running_var": np.array([1.0, -1e-9])}], 10,
         "its 1.running_var has variances below 0"),
        (assignment(lambda nn: nn.Linear(1000, 1000)), [PARAMETERS], 10,
         "its network is larger than its arrays"),
        (assignment(lambda nn: nn.Linear(1000, 1000)),
         [{"0.weight": np.ones((1000, 1000)), "0.bias": np.ones(1000)}], 10**6, None),
        (assignment(lambda nn: nn.RNN(3, 2)), [{"0.weight_ih_l0": np.ones((2, 3))}], 10, None),
    ],
)  # fmt: skip
def test_sets_of_parameters(of, sets, numbers, sentence) -> None:
    if sentence is None:
        _require_parameters(sets, of, numbers)
    else:
        assert said(_require_parameters, sets, of, numbers) == sentence


def test_quantities_of_functions() -> None:
    case = batch(parameters={**PARAMETERS, **STATISTICS})
    found = {
        "logits": (4, 2), "loss": (), "buffer/1.running_mean": (2,), "buffer/1.running_var": (2,),
        "gradient/0.weight": (2, 3), "gradient/0.bias": (2,), "gradient/1.weight": (2,),
        "gradient/1.bias": (2,),
    }  # fmt: skip
    assert _function_shapes(case, False) == found
    updates = {f"update/{k[9:]}": v for k, v in found.items() if k.startswith("gradient")}
    assert _function_shapes(case, True) == found | updates


def layers(**more) -> Case:
    given = {"chained": np.array(True), "input/0": X, "grad_output/0": LOGITS, "input/1": LOGITS,
             "grad_output/1": LOGITS, **more}  # fmt: skip
    found = batch(parameters={**PARAMETERS, **STATISTICS, "2.weight": np.ones(7)})
    return replace(found, given={k: v for k, v in given.items() if v is not None})


def test_quantities_of_layers() -> None:
    expected = {
        "logits": (4, 2), "loss": (), "gradient/logits": (4, 2),
        "activation/0": (4, 2), "gradient/0.input": (4, 3),
        "activation/1": (4, 2), "gradient/1.input": (4, 2),
        "gradient/0.weight": (2, 3), "gradient/0.bias": (2,), "gradient/1.weight": (2,),
        "gradient/1.bias": (2,), "buffer/1.running_mean": (2,), "buffer/1.running_var": (2,),
    }  # fmt: skip
    assert _layer_shapes("c", layers()) == expected
    tokens = _layer_shapes("c", layers(**{"input/0": X.astype(np.int64)}))
    assert "gradient/0.input" not in tokens
    inside = layers()
    inside.parameters["1.cell.weight"] = np.ones(5)
    inside.expected["gradient/1.cell.weight"] = np.ones(5)
    assert _layer_shapes("c", inside) == {**expected, "gradient/1.cell.weight": (5,)}
    del inside.expected["gradient/1.cell.weight"]
    assert _layer_shapes("c", inside) == expected


EACH = "c/given should have an input and a grad_output of each layer"
TRUTH = "c/given/chained should be true or false"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"chained": None}, TRUTH), ({"chained": np.array(1)}, TRUTH),
        ({"chained": np.array([True])}, TRUTH),
        ({"input/0": None}, EACH), ({"grad_output/1": None}, EACH),
        (dict.fromkeys(("input/0", "input/1", "grad_output/0", "grad_output/1")), EACH),
        ({"other": X}, "c/given/other belongs to nothing"),
        ({"input/1": LOGITS.astype(np.float32)}, "c/given of layer 1 should be of float64"),
        ({"grad_output/0": np.ones((4, 2), np.int64)}, "c/given of layer 0 should be of float64"),
    ],
)  # fmt: skip
def test_what_layers_are_given(more, sentence) -> None:
    assert said(_layer_shapes, "c", layers(**more)) == sentence


@pytest.mark.parametrize(
    ("key", "most"),
    [("logits", 1e3), ("loss", 1e3), ("gradient/0.weight", 1e6), ("update/0.weight", 30.0),
     ("step/0.weight", 1e6), ("activation/0", 100.0), ("buffer/1.running_mean", 200.0)],
)  # fmt: skip
@pytest.mark.parametrize("where", ["parameters", "inputs", "targets", "expected", "given", "step"])
def test_sizes_are_bound_by_the_largest_value(key, most, where) -> None:
    """Of all values of the case, wherever it is, and of either sign."""
    large = np.array([[-4.0]])

    def case(size: float, single: float = 0.0) -> Case:
        parts = {name: large if where == name else large / 8
                 for name in ("parameters", "inputs", "targets", "given", "step")}  # fmt: skip
        value = large if where == "expected" else large / 8
        return Case(
            {"0.weight": parts["parameters"]}, parts["inputs"], parts["targets"], {key: value},
            {key: np.array([[size]])}, expected32={key: value + single},
            given={"chained": np.array(True), "input/0": parts["given"]},
            update_gradients=({"0.weight": parts["step"]},),
        )  # fmt: skip

    empty = replace(case(4 * most), given={"input/0": np.zeros((0, 2)), "input/1": large})
    _require_sizes("c", empty)
    _require_sizes("c", case(4 * most))
    _require_sizes("c", case(0.0))
    words = f"c/sizes/{key} would let wrong values agree"
    assert said(_require_sizes, "c", case(4.1 * most)) == words
    assert said(_require_sizes, "c", case(-1e-9)) == words
    _require_sizes("c", case(2.0, 0.0019))
    far = f"c/expected32/{key} is far from the values of float64"
    assert said(_require_sizes, "c", case(2.0, 0.0021)) == far
    assert said(_require_sizes, "c", case(0.0, 1e-9)) == far
    assert said(_require_sizes, "c", case(2.0, -0.0021)) == far


HEADER = {"schema": 2, "architecture": "net", "network": LINEAR.build.tree, "loss": "mse",
          "optimizer": "Adam", "settings": {"lr": 0.1}, "cases": []}  # fmt: skip


def test_an_assignment() -> None:
    found = read_assignment(HEADER)
    assert (found.architecture, found.loss, found.optimizer) == ("net", "mse", "Adam")
    assert (found.settings, found.build.tree) == ({"lr": 0.1}, LINEAR.build.tree)
    assert found.settings is not HEADER["settings"]
    assert found.build.__name__ == "net"
    assert said(read_assignment, {**HEADER, "loss": "nll"}) == (
        "its loss should be one of cross_entropy, mse, bce, bce_with_logits"
    )
    missing = {key: value for key, value in HEADER.items() if key != "loss"}
    assert said(read_assignment, missing) == (
        "its description should have architecture, cases, loss, network, optimizer, schema, "
        "settings and no more"
    )
    many = [{}] * 101
    assert said(read_cases, {"cases": many}, LINEAR, {}) == "it should have 1 to 100 cases"
    assert said(read_cases, {"cases": [{}]}, LINEAR, {}) == (
        f"case 0 should have {', '.join(CASE_KEYS)}"
    )


def test_a_digest_is_that_of_names_types_shapes_and_values() -> None:
    header, arrays = {"b": 1, "a": [2]}, {"x": X, "y": Y}
    text = json.dumps(header, sort_keys=True).encode()
    for name, array in arrays.items():
        text += f"\n{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes()
    assert digest(header, arrays) == hashlib.sha256(text).hexdigest()


def written(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "array",
    [X, X.astype(np.float32), Y, np.array([True, False]), np.array(2.5), np.zeros((2, 0)),
     np.arange(5, dtype=np.uint8), np.zeros((1,) * 16)],
)  # fmt: skip
def test_an_array_is_read_as_numpy_wrote_it(array) -> None:
    found = _array("a", written(array))
    np.testing.assert_array_equal(found, array, strict=True)
    assert found.flags.writeable


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "a is no array of numbers as it is written here"),
        (written(X.astype(">f8")), "a is no array of numbers as it is written here"),
        (written(X.T.copy(order="F")), "a is no array of numbers as it is written here"),
        (written(X)[:-1], "a has another shape than its numbers"),
        (written(X) + b"\0", "a has another shape than its numbers"),
        (written(np.zeros((1,) * 17)), "a has another shape than its numbers"),
        (written(np.array([True]))[:-1] + b"\2", "a has values that are neither true nor false"),
    ],
)
def test_bytes_that_are_no_array(data, sentence) -> None:
    assert said(_array, "a", data) == sentence


def test_an_entry_of_an_odd_name() -> None:
    for name in ("a\n", "a" * 100):
        assert said(_array, name, b"") == "an entry is no array of numbers as it is written here"
    assert said(_array, "a" * 99, b"").startswith("aaa")


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (None, "it has no description of its contents"),
        (np.zeros(3), "it has no description of its contents"),
        (np.zeros((1, 1), np.uint8), "it has no description of its contents"),
        (np.zeros(2**20 + 1, np.uint8), "it has no description of its contents"),
        (np.frombuffer(b"[1]", np.uint8), "its description is no table of names and values"),
    ],
)
def test_no_description(array, sentence) -> None:
    assert said(_header, array) == sentence


def test_a_description() -> None:
    padded = b'{"a": 1}'.ljust(2**20)
    assert _header(np.frombuffer(padded, np.uint8)) == {"a": 1}


def contradicted(constants=None, of="Adam", **options) -> str:
    """What is said where a homework contradicts a golden file; nothing where it does not."""
    golden = replace(LINEAR, optimizer=of, settings={"lr": 0.1})
    contract = read_contract("a.py", constants or {}, ["update"])
    found = SimpleNamespace(assignment=golden, cases=[])
    try:
        given = Options(golden=found, **options)  # type: ignore[arg-type]
        assert _from_golden(None, "a.py", contract, given) is golden  # type: ignore[arg-type]
    except InputError as error:
        return str(error)
    return ""


SEVERAL = (
    "The golden file has batches of several rows, channels first, but a.py declares {}: check it "
    "without --golden."
)
MADE = "The golden file was made with the settings {'lr': 0.1} of the optimizer, but "
CHECKED = "The golden file has {}, but a.py is to be checked with {}."
ADAM = {"OPTIMIZER": "adam", "SETTINGS": {"lr": 0.2}}


@pytest.mark.parametrize(
    ("constants", "options", "sentence"),
    [
        ({"CHANNELS_LAST": True}, {}, SEVERAL.format("CHANNELS_LAST")),
        ({"ONE_SAMPLE": True}, {}, SEVERAL.format("ONE_SAMPLE")),
        ({}, {"loss": "mse"}, CHECKED.format("the loss cross_entropy", "mse")),
        ({"LOSS": "bce"}, {}, CHECKED.format("the loss cross_entropy", "bce")),
        ({"LOSS": "cross_entropy"}, {}, ""),
        ({}, {"optimizer": "SGD"}, CHECKED.format("the optimizer Adam", "SGD")),
        ({}, {"of": None, "optimizer": "Adam"}, CHECKED.format("the optimizer None", "Adam")),
        ({}, {"optimizer": "adam", "settings": {"lr": 0.2}}, f"{MADE}--set says {{'lr': 0.2}}."),
        ({}, {"optimizer": "adam", "settings": {"lr": 0.1}}, ""),
        (ADAM, {}, f"{MADE}a.py says {{'lr': 0.2}}."),
        (ADAM, {"of": None}, ""),  # what it says of an update is not asked
        ({}, {}, ""),
    ],
)
def test_what_contradicts_a_golden_file(constants, options, sentence) -> None:
    assert contradicted(constants, **options) == sentence
