"""The IDX reader: what it accepts, and one sentence for each way a file can be at fault."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct

import numpy as np
import pytest

from experiments.datasets.idx import read_idx
from experiments.errors import InputError


def encode(values, type_code=8):
    return struct.pack(f">4B{values.ndim}I", 0, 0, type_code, values.ndim, *values.shape) + (
        values.tobytes()
    )


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
LABELS = np.array([3, 1, 4], dtype=np.uint8)


def sentence_for(path, content, ndim):
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_idx(path, ndim)
    sentence = str(caught.value)
    assert path.name in sentence
    assert "expected" in sentence
    assert "found" in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("values", [IMAGES, LABELS, IMAGES[:0]], ids=["3-d", "1-d", "empty"])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzipped"])
def test_reads_values_and_digest(tmp_path, values, packed):
    content = encode(values)
    # The name says nothing: packing is seen from the content.
    path = tmp_path / "anything.gz"
    path.write_bytes(gzip.compress(content) if packed else content)
    read, digest = read_idx(path, values.ndim)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, values)
    assert digest == hashlib.md5(content).hexdigest()


def test_reads_a_gzip_file_of_several_members(tmp_path):
    content = encode(IMAGES)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content[:20]) + gzip.compress(content[20:]))
    np.testing.assert_array_equal(read_idx(path, 3)[0], IMAGES)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"<!DOCTYPE html>", "3c 21 44 4f"),
        (b"\0\0\x07\x01" + bytes(8), "00 00 07 01"),
        (b"\0\0\x08", "00 00 08"),
        (b"", "an empty file"),
        (gzip.compress(b"not IDX"), "6e 6f 74 20"),
    ],
    ids=["web page", "unknown type", "three bytes", "no bytes", "gzipped text"],
)
def test_not_idx(tmp_path, content, found):
    sentence = sentence_for(tmp_path / "images-file", content, 3)
    assert "not an IDX file" in sentence
    assert "00 00 08 03" in sentence
    assert found in sentence


def test_another_type(tmp_path):
    content = encode(IMAGES.astype(">f4"), type_code=13)
    sentence = sentence_for(tmp_path / "images-file", content, 3)
    assert "expected unsigned bytes, found float32" in sentence


@pytest.mark.parametrize(("values", "ndim"), [(IMAGES, 1), (LABELS, 3)])
def test_another_number_of_dimensions(tmp_path, values, ndim):
    sentence = sentence_for(tmp_path / "some-file", encode(values), ndim)
    assert f"expected {ndim}" in sentence
    assert f"found {values.ndim}" in sentence


def test_cut_off_in_the_header(tmp_path):
    sentence = sentence_for(tmp_path / "images-file", encode(IMAGES)[:10], 3)
    assert "cut off" in sentence
    assert "expected a header of 16 bytes, found 10 bytes" in sentence


def test_cut_off_in_the_values(tmp_path):
    sentence = sentence_for(tmp_path / "images-file", encode(IMAGES)[:-5], 3)
    assert "cut off" in sentence
    assert "expected 24 values after the header (2 × 3 × 4), found 19" in sentence


def test_a_header_that_promises_more_than_64_bits_can_count(tmp_path):
    content = struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + bytes(7)
    sentence = sentence_for(tmp_path / "images-file", content, 3)
    assert f"expected {(2**32 - 1) ** 3:,} values" in sentence


def test_trailing_bytes(tmp_path):
    sentence = sentence_for(tmp_path / "labels-file", encode(LABELS) + b"\0\0", 1)
    assert "too long" in sentence
    assert "expected 3 values after the header (3), found 5" in sentence


def test_gzip_cut_off(tmp_path):
    content = gzip.compress(encode(IMAGES))[:-9]
    sentence = sentence_for(tmp_path / "images-file.gz", content, 3)
    assert "cut off" in sentence
    assert f"found {len(content)} bytes" in sentence


@pytest.mark.parametrize("where", [12, -6], ids=["in the data", "in the checksum"])
def test_gzip_damaged(tmp_path, where):
    content = bytearray(gzip.compress(encode(np.arange(200, dtype=np.uint8) % 10)))
    content[where] ^= 0xFF
    sentence = sentence_for(tmp_path / "images-file.gz", bytes(content), 1)
    assert "expected gzip data" in sentence


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "images-file").mkdir()
    with pytest.raises(InputError, match="images-file could not be read: "):
        read_idx(tmp_path / "images-file", 3)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads what it may not"
)
def test_permission_denied(tmp_path):
    path = tmp_path / "images-file"
    path.write_bytes(encode(IMAGES))
    path.chmod(0)
    with pytest.raises(InputError, match="images-file could not be read: Permission denied"):
        read_idx(path, 3)


def test_permission_denied_as_the_system_says_it(tmp_path, monkeypatch):
    def refuse(path, flags):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(InputError, match="images-file could not be read: Permission denied"):
        read_idx(tmp_path / "images-file", 3)
