"""A folder in MNIST's layout: which files are read, and what is said of each fault."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from experiments.datasets import load
from experiments.datasets.idx import FILES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from experiments.errors import InputError


def encode(values):
    values = np.asarray(values, dtype=np.uint8)
    header = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return header + values.tobytes()


def small_data(seed=0):
    """File name → array: 30 training and 20 test images of noise."""
    draw = np.random.default_rng(seed)
    return {
        TRAIN_IMAGES: draw.integers(0, 256, (30, 28, 28)),
        TRAIN_LABELS: draw.permutation(np.arange(30) % 10),
        TEST_IMAGES: draw.integers(0, 256, (20, 28, 28)),
        TEST_LABELS: draw.permutation(np.arange(20) % 10),
    }


def write(folder, arrays, packed=()):
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in arrays.items():
        content = encode(values)
        if name in packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def sentence_for(data_dir):
    with pytest.raises(InputError) as caught:
        load("mnist", data_dir)
    sentence = str(caught.value)
    assert "expected" in sentence
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    "packed",
    [(), FILES, (TRAIN_IMAGES, TEST_LABELS)],
    ids=["plain", "gzipped", "mixed"],
)
@pytest.mark.parametrize("inside", [".", "mnist"], ids=["itself", "subfolder"])
def test_reads_other_data_and_says_that_it_is_other(tmp_path, packed, inside):
    arrays = small_data()
    write(tmp_path / "clothes" / inside, arrays, packed)
    data = load("mnist", tmp_path / "clothes")

    assert data.name == "mnist"
    assert data.title == "IDX images from clothes (not MNIST: other digests)"
    assert data.class_names == tuple(f"class {k}" for k in range(10))
    assert str(tmp_path / "clothes") in data.source
    assert "not MNIST" in data.source
    assert "Yann LeCun" not in data.licence
    assert set(data.digests) == set(FILES)
    for split, images, labels in [
        (data.train, TRAIN_IMAGES, TRAIN_LABELS),
        (data.test, TEST_IMAGES, TEST_LABELS),
    ]:
        assert len(split) == len(arrays[labels])
        assert split.inputs.dtype == np.float32
        assert split.inputs.flags.c_contiguous
        assert split.inputs.flags.writeable
        assert split.targets.dtype == np.int64
        expected = arrays[images][:, None].astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(split.inputs, expected)
        np.testing.assert_array_equal(split.targets, arrays[labels])


def test_digests_do_not_depend_on_packing(tmp_path):
    plain = load("mnist", write(tmp_path / "plain", small_data()))
    packed = load("mnist", write(tmp_path / "packed", small_data(), FILES))
    assert plain.digests == packed.digests
    assert load("mnist", write(tmp_path / "other", small_data(1))).digests != plain.digests


def test_a_folder_s_own_files_come_before_its_subfolder(tmp_path):
    write(tmp_path, small_data(1))
    write(tmp_path / "mnist", small_data(2))
    read = load("mnist", tmp_path).train.targets
    np.testing.assert_array_equal(read, small_data(1)[TRAIN_LABELS])


def test_the_current_folder_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(write(tmp_path / "clothes", small_data()))
    data = load("mnist", ".")
    assert data.title.startswith("IDX images from clothes ")
    assert data.source.startswith("the folder .;")


def test_missing_folder(tmp_path):
    sentence = sentence_for(tmp_path / "nowhere")
    assert "nowhere does not exist" in sentence
    assert all(name in sentence for name in FILES)


def test_path_is_a_file(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"")
    sentence = sentence_for(tmp_path / "data.zip")
    assert "data.zip is a file" in sentence
    assert "expected a folder" in sentence


def test_folder_without_the_files(tmp_path):
    sentence = sentence_for(tmp_path)
    assert str(tmp_path) in sentence
    assert all(name in sentence for name in FILES)
    assert "found 0 of the four" in sentence


def test_folder_without_one_file(tmp_path):
    write(tmp_path, small_data(), FILES)
    (tmp_path / f"{TEST_LABELS}.gz").unlink()
    # A whole set next to an incomplete one is not taken in its place.
    write(tmp_path / "mnist", small_data())
    sentence = sentence_for(tmp_path)
    assert f"lacks {TEST_LABELS}:" in sentence
    assert "found 3 of the four" in sentence


def test_permission_denied(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.exists", refuse)
    with pytest.raises(InputError, match="data could not be read: Permission denied"):
        load("mnist", tmp_path / "data")


def test_file_at_fault(tmp_path):
    write(tmp_path, small_data())
    (tmp_path / TEST_IMAGES).write_bytes(b"<html>")
    sentence = sentence_for(tmp_path)
    assert TEST_IMAGES in sentence
    assert "not an IDX file" in sentence


@pytest.mark.parametrize(
    ("name", "shape", "expected", "found"),
    [
        (TRAIN_IMAGES, (30, 32, 32), "28 × 28 pixels", "32 × 32"),
        (TEST_IMAGES, (20, 28, 1), "28 × 28 pixels", "28 × 1"),
        (TRAIN_IMAGES, (29, 28, 28), "as many labels as images", "30 labels and 29 images"),
        (TEST_LABELS, (21,), "as many labels as images", "21 labels and 20 images"),
        (TEST_LABELS, (19,), "as many labels as images", "19 labels and 20 images"),
    ],
    ids=["larger", "narrow", "images lost", "labels added", "labels lost"],
)
def test_shapes_that_do_not_fit(tmp_path, name, shape, expected, found):
    write(tmp_path, small_data() | {name: np.zeros(shape)})
    sentence = sentence_for(tmp_path)
    assert name in sentence
    assert f"expected {expected}" in sentence
    assert f"found {found}" in sentence


def test_empty(tmp_path):
    write(tmp_path, small_data() | {TEST_IMAGES: np.zeros((0, 28, 28)), TEST_LABELS: np.zeros(0)})
    sentence = sentence_for(tmp_path)
    assert f"{TEST_IMAGES} is empty: expected at least one image, found none" in sentence


@pytest.mark.parametrize("label", [10, 255])
def test_label_out_of_range(tmp_path, label):
    labels = small_data()[TRAIN_LABELS].copy()
    labels[4] = label
    write(tmp_path, small_data() | {TRAIN_LABELS: labels})
    sentence = sentence_for(tmp_path)
    assert TRAIN_LABELS in sentence
    assert f"expected 0 to 9, found {label} (label number 5)" in sentence
