"""Broken golden files: each is refused in one sentence, or is what was written."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compare.check.golden import golden_bytes, read_golden
from compare.check.golden_parts import DamagedError, read_assignment, read_cases
from experiments.errors import InputError

SETTINGS = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}


@pytest.fixture
def broken(golden, tmp_path) -> Callable[[bytes], Path]:
    """Write bytes as a golden file."""

    def write(content: bytes) -> Path:
        (tmp_path / "g.npz").write_bytes(content)
        return tmp_path / "g.npz"

    return write


def parts_of(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays of a golden file."""
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays.pop("golden").tobytes())
    del header["digest"]
    return header, arrays


def is_refused(path: Path) -> str:
    """The sentence with which a file is refused; empty if it is read."""
    try:
        read_golden(path)
    except InputError as error:
        sentence = str(error)
    else:
        return ""
    assert sentence.startswith(f"{path} is ")
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert len(sentence) < len(str(path)) + 500
    return sentence


def require_refused_or_same(path: Path, golden: Path) -> None:
    if not is_refused(path):
        header, arrays = parts_of(path)
        expected_header, expected = parts_of(golden)
        assert header == expected_header
        assert list(arrays) == list(expected)
        for name, array in arrays.items():
            assert array.tobytes() == expected[name].tobytes()


def flip(content: bytes, places: list[tuple[float, int]]) -> bytes:
    """The bytes with some of them changed; a place is a part of the length."""
    found = bytearray(content)
    for place, value in places:
        found[int(place * (len(found) - 1))] ^= value
    return bytes(found)


# Most of the bytes are numbers; the names and types stand at the end and before each array.
PLACES = st.floats(0, 1) | st.floats(0.9, 1) | st.floats(0, 0.02)
FLIPS = st.lists(st.tuples(PLACES, st.integers(1, 255)), min_size=1, max_size=4)


@settings(max_examples=15, **SETTINGS)
@given(places=FLIPS)
def test_flipped_bytes(broken, golden, places):
    require_refused_or_same(broken(flip(golden.read_bytes(), places)), golden)


@settings(max_examples=10, **SETTINGS)
@given(length=st.floats(0, 1, exclude_max=True))
def test_truncated(broken, golden, length):
    content = golden.read_bytes()
    assert is_refused(broken(content[: int(length * len(content))]))


@pytest.mark.slow
@settings(max_examples=120, **SETTINGS)
@given(places=FLIPS)
def test_many_flipped_bytes(broken, golden, places):
    require_refused_or_same(broken(flip(golden.read_bytes(), places)), golden)


ODD = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**50, -1, "Linear", [], {}, [[]], "functional.torch.os.system"])
)  # fmt: skip
CHANGES = ("drop", "double", "rename", "float32", "object", "int", "reshape", "cut", "nan", "inf")


def change_array(arrays: dict[str, np.ndarray], where: int, how: str) -> None:
    """Change one of the arrays, or what is said of it."""
    name = list(arrays)[where % len(arrays)]
    array = arrays[name]
    match how:
        case "drop":
            del arrays[name]
        case "double":
            arrays[f"{name}2"] = array
        case "rename":
            arrays[f"{name}/../x"] = arrays.pop(name)
        case "float32":
            other = np.float16 if array.dtype == np.float32 else np.float32
            arrays[name] = array.astype(other)
        case "object":
            arrays[name] = array.astype("S4")
        case "int":
            arrays[name] = array.astype(np.int32)
        case "reshape":
            arrays[name] = array.reshape(1, *array.shape)
        case "cut":
            arrays[name] = array[:-1] if array.ndim else np.stack([array, array])
        case "nan" | "inf":
            arrays[name] = np.full(array.shape, float(how))


def change_header(tree: Any, where: list[int], value: Any) -> Any:
    """The description with one of its values replaced."""
    if not where or not isinstance(tree, (dict, list)) or not tree:
        return value
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key = keys[where[0] % len(keys)]
    changed = dict(tree) if isinstance(tree, dict) else list(tree)
    changed[key] = change_header(tree[key], where[1:], value)
    return changed


ARRAYS = st.tuples(st.integers(0, 10**6), st.sampled_from(CHANGES))
HEADERS = st.tuples(st.lists(st.integers(0, 20), min_size=1, max_size=4), ODD)


@settings(max_examples=12, **SETTINGS)
@given(change=ARRAYS)
def test_other_arrays_under_a_right_digest(broken, golden, change):
    header, arrays = parts_of(golden)
    change_array(arrays, *change)
    assert is_refused(broken(golden_bytes(header, arrays)))


def require_refused_or_free(broken, golden, change) -> None:
    header, arrays = parts_of(golden)
    changed = change_header(header, *change)
    sentence = is_refused(broken(golden_bytes(changed, arrays)))
    if not sentence:  # a name, a flag, or a setting that could as well be so
        free = {"architecture", "settings", "cases", "loss", "optimizer", "network"}
        assert {key for key in header if changed[key] != header[key]} <= free


@settings(max_examples=12, **SETTINGS)
@given(change=HEADERS)
def test_another_description_under_a_right_digest(broken, golden, change):
    require_refused_or_free(broken, golden, change)


@pytest.mark.slow
@settings(max_examples=200, **SETTINGS)
@given(change=ARRAYS)
def test_many_other_arrays(broken, golden, change):
    header, arrays = parts_of(golden)
    change_array(arrays, *change)
    assert is_refused(broken(golden_bytes(header, arrays)))


@pytest.mark.slow
@settings(max_examples=150, **SETTINGS)
@given(change=HEADERS)
def test_many_other_descriptions(broken, golden, change):
    require_refused_or_free(broken, golden, change)


def test_every_array_counts(broken, golden):
    """With another value in any array and the digest as it was, nothing is read."""
    header, arrays = parts_of(golden)
    old = golden_bytes(header, arrays)
    digest = json.loads(np.load(io.BytesIO(old))["golden"].tobytes())["digest"]
    for name, array in list(arrays.items())[::15]:
        changed = {**arrays, name: ~array if array.dtype.kind == "b" else array + 1}
        content = golden_bytes(header, changed)
        new = json.loads(np.load(io.BytesIO(content))["golden"].tobytes())["digest"]
        assert "not those that were written" in is_refused(
            broken(with_text(content, new.encode(), digest.encode()))
        )


def with_text(content: bytes, old: bytes, new: bytes) -> bytes:
    """A golden file with another description, and the checksum that belongs to it."""
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    arrays["golden"] = np.frombuffer(arrays["golden"].tobytes().replace(old, new), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize("factor", [1e6, 1e30])
@pytest.mark.parametrize("kind", ["logits", "loss", "gradient/0.weight", "update/0.bias"])
def test_huge_sizes_let_nothing_pass(broken, golden, kind, factor):
    header, arrays = parts_of(golden)
    name = f"case0/sizes/{kind}"
    arrays[name] = np.full_like(arrays[name], factor * np.abs(arrays[name]).max())
    sentence = is_refused(broken(golden_bytes(header, arrays)))
    assert f"{name} would let wrong values agree" in sentence


def test_wrong_values_of_float32_let_nothing_pass(broken, golden):
    header, arrays = parts_of(golden)
    arrays["case0/expected32/logits"] = arrays["case0/expected32/logits"] + np.float32(5)
    assert "far from the values of float64" in is_refused(broken(golden_bytes(header, arrays)))


def test_a_network_runs_nothing(broken, golden, nncompare, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header, arrays = parts_of(golden)
    call = {"make": "functional.torch.os.system", "args": ["touch stolen"], "kwargs": {}}
    path = broken(golden_bytes({**header, "network": call}, arrays))
    ended = nncompare("check", write(), "--golden", path)
    assert (ended.status, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert "none of the layers of torch.nn" in ended.err
    assert not (tmp_path / "stolen").exists()


def test_no_pickle_is_loaded(broken, tmp_path):
    class Thief:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'stolen'}",)

    buffer = io.BytesIO()
    np.savez(buffer, golden=np.array([Thief()], dtype=object), allow_pickle=True)
    assert "is no array of numbers as it is written here" in is_refused(broken(buffer.getvalue()))
    assert not (tmp_path / "stolen").exists()


def test_nothing_is_unpacked_beyond_the_file(broken):
    """A megabyte of zeros is a kilobyte when it is deflated; a shape may promise anything."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, golden=np.zeros(2**20))
    assert "larger than the file, or compressed" in is_refused(broken(buffer.getvalue()))
    buffer = io.BytesIO()
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("golden.npy", array.getvalue().replace(b"(3,), }     ", b"(9999999,), }"))
    assert is_refused(broken(buffer.getvalue()))


def test_a_description_without_end(broken):
    buffer = io.BytesIO()
    np.savez(buffer, golden=np.frombuffer(b"[" * 10**5, np.uint8))
    assert "nested too deep" in is_refused(broken(buffer.getvalue()))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_golden_file(tmp_path):
    os.mkfifo(tmp_path / "g.npz")
    assert "expected a file" in is_refused(tmp_path / "g.npz")


def test_folders_and_devices(tmp_path):
    assert is_refused(tmp_path)
    if Path("/dev/zero").exists():
        assert is_refused(Path("/dev/zero"))


def put(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict, dict], None]:
    """Replace an array by what a function makes of it."""
    return lambda header, arrays: arrays.update({name: np.array(change(arrays[name].copy()))})


def say(key: str, value: Any, case: int | None = None) -> Callable[[dict, dict], None]:
    """Put another value into the description, or into that of a case."""
    return lambda header, arrays: (header if case is None else header["cases"][case]).update(
        {key: value}
    )


def drop(name: str) -> Callable[[dict, dict], None]:
    return lambda header, arrays: arrays.pop(name)


def add(name: str, array: Any) -> Callable[[dict, dict], None]:
    return lambda header, arrays: arrays.update({name: np.asarray(array)})


def with_one(array: np.ndarray, value: float) -> np.ndarray:
    array.reshape(-1)[-1] = value
    return array


# The first case is of functions, with updates; the second of layers, each alone.
BROKEN = {
    "its description should have architecture, cases, loss, network, optimizer, schema, settings "
    "and no more": [say("more", 1)],
    "its architecture should be a name": [
        say("architecture", ""), say("architecture", "a" * 1001), say("architecture", "a\n"),
        say("architecture", 3),
    ],
    "its loss should be one of cross_entropy": [say("loss", "nll"), say("loss", ["mse"])],
    "its optimizer should be a name or nothing": [
        say("optimizer", "a b"), say("optimizer", "x" * 61), say("optimizer", "é"),
    ],
    "its settings should be names and numbers": [
        say("settings", {"a b": 1}), say("settings", {"lr": "1"}), say("settings", {"lr": 10**10}),
        say("settings", {"lr": [[1]]}), say("settings", {"lr": [1] * 11}), say("settings", [1]),
        say("settings", {f"a{i}": 1 for i in range(31)}),
    ],
    "it should have 1 to 100 cases": [say("cases", []), say("cases", {})],
    "case 1 should have parameters, layers, evaluation, steps, training_steps, large_logits, "
    "other_size": [say("more", True, 1)],
    "parameters of case 0 has a value that it cannot have": [
        say("parameters", True, 0), say("parameters", -1, 0), say("parameters", 10, 0),
    ],
    "steps of case 0 has a value that it cannot have": [say("steps", 101, 0)],
    "large_logits of case 1 has a value that it cannot have": [say("large_logits", 1, 1)],
    "case0/inputs has values that are no finite numbers": [
        put("case0/inputs", lambda a: with_one(a, np.nan)),
    ],
    "case0/inputs is missing": [drop("case0/inputs")],
    "case1/targets is missing": [drop("case1/targets")],
    "case0/evaluation is missing": [say("evaluation", True, 0)],
    "parameters9/0.weight belongs to nothing": [add("parameters9/0.weight", np.ones(2))],
    "its sets of parameters should have the same names and shapes": [
        drop("parameters1/0.weight"), put("parameters1/0.bias", lambda a: a[1:]),
    ],
    "its network has no parameter 4.weight": [
        lambda header, arrays: [
            add(f"parameters{i}/4.weight", np.ones(2))(header, arrays) for i in range(3)
        ],
    ],
    "its parameter 0.bias should be of float64": [
        put("parameters0/0.bias", lambda a: a.astype(np.float32)),
    ],
    "its first case alone should have updates, where it has an optimizer": [
        say("optimizer", None),
    ],
    "case1 is of layers, which have no updates and one mode": [say("training_steps", 1, 1)],
    "case0/expected/loss is missing": [drop("case0/expected/loss")],
    "case0/sizes/gradient/0.bias is missing": [drop("case0/sizes/gradient/0.bias")],
    "case0/expected/more belongs to nothing": [add("case0/expected/more", 1.0)],
    "case0/step1/0.bias is missing": [drop("case0/step1/0.bias")],
    "case0/expected/logits should have the shape (6, 5) and the type float64, but has (6, 5) and "
    "float32": [put("case0/expected/logits", lambda a: a.astype(np.float32))],
    "case0/step0/2.bias should have the shape (5,) and the type float64, but has (4,) and "
    "float64": [put("case0/step0/2.bias", lambda a: a[1:])],
    "case0/expected32/loss should have the shape () and the type float32, but has () and float64":
        [put("case0/expected32/loss", lambda a: a.astype(np.float64))],
    "case0/sizes/gradient/0.bias should have the shape (9,) and the type float32": [
        put("case0/sizes/gradient/0.bias", lambda a: np.ones(8, np.float32)),
    ],
    "case0/inputs should be rows of float64, or of int64 for tokens": [
        put("case0/inputs", lambda a: a.astype(np.float32)), put("case0/inputs", lambda a: a[:0]),
    ],
    "case0/inputs has tokens that its network does not know": [
        put("case0/inputs", lambda a: np.abs(a).astype(np.int64)),
    ],
    "case0/targets should have the shape (6,) and the type int64": [
        put("case0/targets", lambda a: a.astype(np.float64)), put("case0/targets", lambda a: a[1:]),
    ],
    "case0/targets should be classes of its logits": [
        put("case0/targets", lambda a: with_one(a, 5)),
        put("case0/targets", lambda a: with_one(a, -1)),
    ],
    "case0/sizes/loss would let wrong values agree": [
        put("case0/sizes/loss", lambda a: np.float32(1e9)),
        put("case0/sizes/loss", lambda a: np.float32(-1)),
    ],
    "case0/expected32/loss is far from the values of float64": [
        put("case0/expected32/loss", lambda a: a + np.float32(1)),
    ],
    "case1/given/chained should be true or false": [
        drop("case1/given/chained"), put("case1/given/chained", lambda a: a.astype(np.int64)),
        put("case1/given/chained", lambda a: a.reshape(1)),
    ],
    "case1/given should have an input and a grad_output of each layer": [
        drop("case1/given/input/1"), drop("case1/given/grad_output/0"),
    ],
    "case1/given/more belongs to nothing": [add("case1/given/more", 1.0)],
    "case1/given of layer 1 should be of float64": [
        put("case1/given/input/1", lambda a: a.astype(np.float32)),
        put("case1/given/grad_output/1", lambda a: a.astype(np.float32)),
    ],
    "case1/expected/gradient/2.input is missing": [drop("case1/expected/gradient/2.input")],
    "case1/expected/activation/1 should have the shape (6, 9) and the type float64": [
        put("case1/expected/activation/1", lambda a: a[:, 1:]),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def parts(golden) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the golden file describes and holds."""
    return parts_of(golden)


def read_changed(parts, change: Callable[[dict, dict], None]) -> None:
    """Read the parts with a change, as those of a file whose digest is right."""
    header, arrays = json.loads(json.dumps(parts[0])), dict(parts[1])
    change(header, arrays)
    read_cases(header, read_assignment(header), arrays)


@pytest.mark.parametrize("words", BROKEN)
def test_the_sentence_names_the_part(parts, words):
    for change in BROKEN[words]:
        with pytest.raises(DamagedError) as error:
            read_changed(parts, change)
        assert str(error.value) == words or str(error.value).startswith(f"{words}, ")


@pytest.mark.parametrize(
    "change",
    [
        say("architecture", "a" * 1000),
        say("settings", {"lr": 0.1, "betas": [0.9] * 10, "nesterov": True, "a": None, "b": 10**9}),
        put("case0/sizes/gradient/0.bias", lambda a: a.max()),
        put("case0/targets", lambda a: with_one(a, 0)),
        put("case0/expected32/loss", lambda a: a * np.float32(1 + 1e-4)),
        say("large_logits", True, 0),
    ],
)
def test_what_may_be_so(parts, change):
    """The bounds themselves: one size for all, settings of every kind, a long name."""
    read_changed(parts, change)


def test_a_broken_part_is_said_of_the_file(broken, golden):
    header, arrays = parts_of(golden)
    drop("case0/inputs")(header, arrays)
    path = broken(golden_bytes(header, arrays))
    assert is_refused(path) == (
        f"{path} is a golden file that was altered or damaged: case0/inputs is missing; make it "
        "again with nncompare golden."
    )
