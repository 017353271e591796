"""A data set of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from experiments import datasets
from experiments.errors import InputError

X = np.arange(24.0).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def load(tmp_path):
    def make(**arrays):
        np.savez(tmp_path / "own.npz", **arrays)
        return datasets.load("own.npz", folder=tmp_path)

    return make


def refusal(load, **arrays) -> str:
    with pytest.raises(InputError) as caught:
        load(**arrays)
    assert "\n" not in str(caught.value)
    assert "own.npz" in str(caught.value)
    return str(caught.value)


def test_a_table(load):
    data = load(x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2, None].astype(float))
    assert (data.name, data.title) == ("own.npz", "own")
    np.testing.assert_array_equal(data.train.inputs, X)
    assert data.train.inputs.dtype == np.float32
    np.testing.assert_array_equal(data.test.targets, [0, 1])
    assert data.test.targets.dtype == np.int64
    assert data.class_names == ("class 0", "class 1", "class 2")
    assert len(data.digests["own.npz"]) == 32


def test_no_test_rows(load):
    data = load(x_train=X, y_train=Y, class_names=np.array(["a", "b", "c"]))
    assert data.test.inputs.shape == (0, 4)
    assert len(data.test) == 0
    assert data.class_names == ("a", "b", "c")


def test_bytes_are_grey_levels(load):
    images = np.array([0, 51, 255, 102] * 6, np.uint8).reshape(6, 2, 2)
    data = load(x_train=images, y_train=Y)
    assert data.train.inputs.shape == (6, 1, 2, 2)
    np.testing.assert_allclose(data.train.inputs[0, 0], [[0, 0.2], [1, 0.4]])


def test_channels(load):
    data = load(x_train=np.zeros((6, 3, 2, 2)), y_train=Y)
    assert data.train.inputs.shape == (6, 3, 2, 2)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_train": X}, "has no array 'y_train': expected x_train, y_train and perhaps x_test"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "has one of x_test and y_test: expected both"),
        ({"x_train": X, "y_train": Y[:5]}, "y_train should have one class a row, 6 in all, but"),
        ({"x_train": X, "y_train": Y - 1}, "class numbers 0, 1, 2, …, but is int64 from -1 to 1"),
        ({"x_train": X, "y_train": Y + 0.5}, "but is float64 from 0.5 to 2.5"),
        ({"x_train": X[0], "y_train": Y[:4]}, "x_train should be numbers of shape (N, features)"),
        ({"x_train": X[:0], "y_train": Y[:0]}, "but is float64 (0, 4)"),
        ({"x_train": X.astype(str), "y_train": Y}, "x_train should be numbers"),
        ({"x_train": X * np.nan, "y_train": Y}, "x_train has values that are NaN or too large"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :3], "y_test": Y}, "expected the same"),
        ({"x_train": X, "y_train": Y, "class_names": np.array(["a"])}, "should be 3 texts, one"),
        ({"x_train": np.array([None]), "y_train": Y}, "is not an .npz file of plain arrays"),
    ],
)
def test_arrays_that_do_not_fit(load, arrays, said):
    assert said in refusal(load, **arrays)


def test_files_that_are_none(tmp_path):
    def said() -> str:
        with pytest.raises(InputError) as caught:
            datasets.load("own.npz", folder=tmp_path)
        return str(caught.value)

    assert said() == f"There is no data file {tmp_path / 'own.npz'}."
    (tmp_path / "own.npz").write_bytes(b"")
    assert "is not an .npz file" in said()
    (tmp_path / "own.npz").write_bytes(b"nonsense")
    assert "is not an .npz file" in said()
    (tmp_path / "own.npz").write_bytes(b"PK\x03\x04 cut off")
    assert "is not an .npz file" in said()
    with (tmp_path / "own.npz").open("wb") as file:
        np.save(file, X)
    assert "holds a single array" in said()
