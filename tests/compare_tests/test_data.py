"""The rows of an experiment, cut from a data set as its form says."""

from __future__ import annotations

import numpy as np
import pytest

from compare.spec.experiment import DataSettings
from compare.training.data import laid_out, load_splits
from experiments import datasets
from experiments.errors import InputError


@pytest.fixture(scope="module")
def sample():
    return datasets.load("mnist-sample")


def load(**settings):
    settings = {"name": "mnist-sample", **settings}
    sample = settings.pop("use_sample", False)
    return load_splits(DataSettings(**settings), sample=sample, data_dir=None)


def test_all_rows(sample):
    splits, record, pictures = load()
    np.testing.assert_array_equal(splits.train.inputs, sample.train.inputs)
    np.testing.assert_array_equal(splits.test.targets, sample.test.targets)
    assert splits.validation is None
    assert list(splits.named()) == ["train", "test"]
    assert (record.train_rows, record.validation_rows, record.test_rows) == (6000, 0, 1000)
    assert record.input_shape == [1, 28, 28]
    assert record.digests == dict(sample.digests)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures / np.float32(255), sample.test.inputs[:, 0])


def test_validation_is_the_end_of_the_training_rows(sample):
    splits, record, _ = load(limit=10, validation=0.3)
    assert (record.train_rows, record.validation_rows) == (7, 3)
    np.testing.assert_array_equal(splits.train.targets, sample.train.targets[:7])
    np.testing.assert_array_equal(splits.validation.targets, sample.train.targets[7:10])
    assert list(splits.named()) == ["train", "validation", "test"]


def test_a_limit_beyond_the_data():
    assert load(limit=42000)[1].train_rows == 6000


def test_layout(sample):
    splits = load(limit=5, validation=0.2)[0]
    assert laid_out(splits, "image") is splits
    assert splits.train.inputs.shape == (4, 1, 28, 28)
    flat = laid_out(splits, "flat")
    shapes = {name: rows.inputs.shape for name, rows in flat.named().items()}
    assert shapes == {"train": (4, 784), "validation": (1, 784), "test": (1000, 784)}
    np.testing.assert_array_equal(flat.train.inputs, sample.train.inputs[:4].reshape(4, 784))
    np.testing.assert_array_equal(flat.test.targets, splits.test.targets)


def test_the_sample_is_used_when_it_is_asked_for():
    assert load(name="mnist", sample="mnist-sample", use_sample=True)[1].name == "mnist-sample"


def test_no_sample():
    with pytest.raises(InputError, match="--sample: the data set 'mnist-sample' has no sample"):
        load(use_sample=True)


def test_nothing_left_to_train_on():
    with pytest.raises(InputError, match=r"data\.validation = 0\.9 leaves no row to train on"):
        load(limit=2, validation=0.9)
