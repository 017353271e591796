"""Data files that are not as they should be: IDX, Covertype's table, ``.npz``, folders."""

from __future__ import annotations

import gzip
import io
import os
import resource
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from malformed_tests.malformed import QUICK, THOROUGH, refused_or_done, spoiled_bytes

from experiments import datasets
from experiments.datasets.covertype import parse_rows
from experiments.errors import InputError

FAULTS = ("could not be read", "expected", "should", "has no array", "is not", "damaged", "NaN")


def loaded_or_refused(name: str, **where: Any) -> str | None:
    """None for data of the shapes and types that were promised, else the sentence."""
    try:
        data = datasets.load(name, **where)
    except InputError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert any(fault in sentence for fault in FAULTS), sentence
        return sentence
    for split in (data.train, data.test):
        assert split.inputs.dtype == np.float32
        assert np.isfinite(split.inputs).all()
        assert split.targets.dtype == np.int64
        assert len(split.inputs) == len(split.targets)
        assert ((split.targets >= 0) & (split.targets < len(data.class_names))).all()
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("data")


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()


IMAGES = idx(np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28))
LABELS = idx(np.array([0, 9, 3], np.uint8))
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte",
         "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")  # fmt: skip


def in_layout(folder: Path, which: int, content: bytes) -> Path:
    for number, name in enumerate(NAMES):
        right = LABELS if number % 2 else IMAGES
        (folder / name).write_bytes(content if number == which else right)
    return folder


@st.composite
def spoiled_idx(draw: st.DrawFn) -> tuple[int, bytes]:
    which = draw(st.integers(0, 3))
    right = LABELS if which % 2 else IMAGES
    match draw(st.sampled_from(["bytes", "header", "packed", "packed then spoiled"])):
        case "bytes":
            return which, draw(spoiled_bytes(right))
        case "header":
            lengths = draw(st.lists(st.integers(0, 2**32 - 1), max_size=5))
            kind = draw(st.sampled_from([8, 8, 8, 9, 13, 0, 255]))
            start = struct.pack(f">4B{len(lengths)}I", 0, 0, kind, len(lengths), *lengths)
            return which, start + draw(st.binary(max_size=40))
        case "packed":
            return which, gzip.compress(draw(spoiled_bytes(right)))
    return which, draw(spoiled_bytes(gzip.compress(right)))


@given(spoiled=spoiled_idx())
@QUICK
def test_idx(folder, spoiled):
    loaded_or_refused("mnist", data_dir=in_layout(folder, *spoiled))


@pytest.mark.slow
@given(spoiled=spoiled_idx())
@THOROUGH
def test_much_idx(folder, spoiled):
    loaded_or_refused("mnist", data_dir=in_layout(folder, *spoiled))


ROW = ",".join(["1", "-2", "300", *("0" for _ in range(51))])
TABLE = "".join(f"{ROW},{k}\n" for k in (1, 2, 2, 1, 7)).encode()
tables = st.one_of(
    spoiled_bytes(TABLE),
    spoiled_bytes(TABLE).map(gzip.compress),
    spoiled_bytes(gzip.compress(TABLE)),
    st.binary(max_size=60),
)


def check_table(folder: Path, content: bytes) -> None:
    (folder / "covtype.data").write_bytes(content)
    loaded_or_refused("covertype", data_dir=folder)


def test_the_unspoiled_table(folder):
    (folder / "covtype.data").write_bytes(TABLE)
    assert loaded_or_refused("covertype", data_dir=folder) is None


@given(content=tables)
@QUICK
def test_tables(folder, content):
    check_table(folder, content)


@pytest.mark.slow
@given(content=tables)
@THOROUGH
def test_many_tables(folder, content):
    check_table(folder, content)


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


RIGHT = {
    "x_train": np.arange(12, dtype=np.float32).reshape(4, 3),
    "y_train": np.array([0, 1, 1, 0]),
    "x_test": np.ones((2, 3), np.float32),
    "y_test": np.array([1, 0]),
    "class_names": np.array(["a", "b"]),
}
DTYPES = [
    "u1",
    "i8",
    "u8",
    "f2",
    "f8",
    "?",
    "c8",
    "U3",
    "S3",
    "M8[s]",
    "m8[s]",
    "V4",
    "i4,f4",
    ">f4",
]

arrays = st.one_of(
    st.tuples(
        st.sampled_from(DTYPES),
        st.lists(st.integers(0, 4), max_size=5),
    ).map(lambda drawn: np.zeros(drawn[1], drawn[0])),
    st.lists(st.sampled_from([0, 1, -1, 0.5, np.nan, np.inf, 1e300, 2**62]), max_size=4).map(
        np.array
    ),
    st.lists(st.text(max_size=4), max_size=3).map(lambda texts: np.array(texts, "U")),
    st.sampled_from(
        [np.array([None, {}], object), np.array(["\ud800", "b"]), np.array(["\x1b", ""])]
    ),
)


@st.composite
def spoiled_npz(draw: st.DrawFn) -> bytes:
    packed = draw(st.booleans())
    if draw(st.booleans()):
        return draw(spoiled_bytes(npz(packed, **RIGHT)))
    changed: dict[str, Any] = dict(RIGHT)
    key = draw(st.sampled_from([*RIGHT, "other"]))
    if draw(st.booleans()):
        changed[key] = draw(arrays)
    else:
        changed.pop(key, None)
    return npz(packed, **changed)


def check_npz(folder: Path, content: bytes) -> None:
    (folder / "own.npz").write_bytes(content)
    sentence = loaded_or_refused("own.npz", folder=folder)
    assert sentence is None or "own.npz" in sentence


@given(content=spoiled_npz())
@QUICK
def test_npz(folder, content):
    check_npz(folder, content)


@pytest.mark.slow
@given(content=spoiled_npz())
@THOROUGH
def test_much_npz(folder, content):
    check_npz(folder, content)


def header_of(shape: str, dtype: str = "'<f4'") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "member",
    [
        header_of("(1000000000000, 3)"),
        header_of("(-1, 3)"),
        header_of("(2.5,)"),
        header_of("(True, 3)") + bytes(12),
        header_of("(" * 200 + ")" * 200),
        header_of("(4, 3)", "'|O'") + b"cos\nsystem\n(S'true'\ntR.",
        header_of("(4, 3)", "'<U99999999999'"),
        header_of("__import__('os')"),
        header_of("(4, 3)") + bytes(47),
        header_of("(4, 3)") + bytes(49),
        b"\x93NUMPY\x09\x00",
        b"",
    ],
)
def test_members_that_are_no_arrays(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x_train.npy", member)
        file.writestr("y_train.npy", header_of("(4,)", "'<i8'") + bytes(32))
    assert "own.npz" in (loaded_or_refused("own.npz", folder=tmp_path) or "")


def zeros_gzipped(count: int) -> bytes:
    """A gzip file of so many zero bytes, made without making them."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    block = bytes(1 << 24)
    parts = [packer.compress(block) for _ in range(count // len(block))]
    return b"".join([*parts, packer.flush()])


@pytest.mark.slow
def test_files_that_unpack_without_end_take_little_memory(tmp_path):
    bomb = zeros_gzipped(3 << 27)
    (tmp_path / "covtype.data.gz").write_bytes(bomb)
    promising = struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 28, 28)
    modest = struct.pack(">4B3I", 0, 0, 8, 3, 3, 28, 28)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sentence = loaded_or_refused("covertype", data_dir=tmp_path)
    assert "covtype.data.gz unpacks to too much" in (sentence or "")
    for header, fault in ((promising, "header promises"), (modest, "too long")):
        content = gzip.compress(header) + bomb
        assert fault in (loaded_or_refused("mnist", data_dir=in_layout(tmp_path, 0, content)) or "")
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 700 * 1024


def test_a_header_that_promises_more_than_the_file_holds(tmp_path):
    content = struct.pack(">4B3I", 0, 0, 8, 3, 2**31, 28, 28) + bytes(784)
    sentence = loaded_or_refused("mnist", data_dir=in_layout(tmp_path, 0, content))
    assert "is cut off" in (sentence or "")


def test_pipes_devices_and_folders_in_the_place_of_data(tmp_path):
    for number, name in enumerate((*NAMES, "covtype.data", "own.npz")):
        place = in_layout(tmp_path, -1, b"") / name
        place.unlink(missing_ok=True)
        asked = ("own.npz", {"folder": tmp_path}) if number == 5 else (
            "mnist" if number < 4 else "covertype", {"data_dir": tmp_path}
        )  # fmt: skip
        os.mkfifo(place)
        assert "found a pipe" in (loaded_or_refused(asked[0], **asked[1]) or "")
        for target in ("/dev/zero", "/dev/urandom", "/dev/tty", str(place), str(tmp_path)):
            place.unlink()
            place.symlink_to(target)
            assert loaded_or_refused(asked[0], **asked[1]) is not None
        place.unlink()


@pytest.mark.parametrize(
    "where", ["~nobody/x", "~/absent", "/proc/self/mem", "a" * 5000, "a\x1bb", "\udc80"]
)
def test_folders_that_are_none(tmp_path, where):
    for name in ("mnist", "covertype"):
        out = tmp_path / "run"
        arguments = ["run", "mnist_bn_mlp", f"--set=data.name={name}", "--data-dir", where]
        ended = refused_or_done([*arguments, "--out", out], ["data folder"], [out])
        assert ended.status == 2


def test_numbers_of_thousands_of_digits():
    with pytest.raises(InputError, match="expected integers from"):
        parse_rows(TABLE.replace(b"300", b"9" * 6000, 1), "covtype.data")
