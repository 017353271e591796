"""Asking for a data set by name, from a folder, from the variable, and not from elsewhere."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

import experiments.datasets
from experiments.datasets import available, load, mnist
from experiments.datasets.idx import FILES, TRAIN_LABELS
from experiments.errors import InputError

NO_MIRROR = ("http://127.0.0.1:9/",)


def contents():
    """File name → content of a data set of ten black images."""
    images = struct.pack(">4B3I", 0, 0, 8, 3, 10, 28, 28) + bytes(10 * 28 * 28)
    labels = struct.pack(">4BI", 0, 0, 8, 1, 10) + bytes(range(10))
    return {name: images if "images" in name else labels for name in FILES}


@pytest.fixture
def folder(tmp_path):
    """A folder named ``digits`` that holds a small data set."""
    path = tmp_path / "digits"
    path.mkdir()
    for name, content in contents().items():
        (path / name).write_bytes(content)
    return path


@pytest.fixture
def taken_for_mnist(monkeypatch):
    """Let the small data set pass for MNIST."""
    for name, content in contents().items():
        monkeypatch.setitem(mnist.DIGESTS, name, hashlib.md5(content).hexdigest())


@pytest.fixture
def no_variable(monkeypatch):
    monkeypatch.delenv("NNCOMPARE_DATA", raising=False)


def test_public_names():
    assert set(experiments.datasets.__all__) == {"Dataset", "Split", "available", "load"}
    assert all(hasattr(experiments.datasets, name) for name in experiments.datasets.__all__)


def test_available():
    assert list(available()) == [
        "mnist-sample",
        "mnist",
        "covertype-sample",
        "covertype",
        "pass_fail",
    ]
    assert all(line and "\n" not in line for line in available().values())


@pytest.mark.parametrize(
    ("name", "near"), [("mnits", "mnist"), ("mnist_sample", "mnist-sample"), ("MNIST", None)]
)
def test_unknown_name(name, near):
    with pytest.raises(InputError) as caught:
        load(name)
    sentence = str(caught.value)
    assert repr(name) in sentence
    assert "expected one of mnist-sample, mnist, covertype-sample, covertype, pass_fail" in sentence
    if near:
        assert f"did you mean {near}?" in sentence


def test_mnist_is_known_by_its_digests(folder, taken_for_mnist):
    data = load("mnist", folder)
    assert data.title == "MNIST handwritten digits"
    assert data.source == f"the folder {folder}"
    assert data.class_names == tuple("0123456789")
    assert "CC BY-SA 3.0" in data.licence


def test_one_file_of_other_content_is_enough_not_to_be_mnist(folder, taken_for_mnist):
    labels = contents()[TRAIN_LABELS][:-10] + bytes(reversed(range(10)))
    (folder / TRAIN_LABELS).write_bytes(labels)
    title = load("mnist", folder).title
    assert title == f"IDX images from digits (not MNIST: other digests of {TRAIN_LABELS})"


def test_the_variable_names_the_folder(folder, taken_for_mnist, monkeypatch):
    monkeypatch.setenv("NNCOMPARE_DATA", str(folder))
    data = load("mnist", mirrors=NO_MIRROR)
    assert data.source == "the folder in $NNCOMPARE_DATA"


def test_an_argument_comes_before_the_variable(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NNCOMPARE_DATA", str(folder))
    with pytest.raises(InputError, match="elsewhere does not exist"):
        load("mnist", tmp_path / "elsewhere")


def test_an_error_names_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("NNCOMPARE_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"\(from \$NNCOMPARE_DATA\) lacks"):
        load("mnist", mirrors=NO_MIRROR)


def test_an_empty_variable_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("NNCOMPARE_DATA", "")
    with pytest.raises(
        InputError, match=r"MNIST could not be downloaded: .* found no mirror to ask"
    ):
        load("mnist", cache_dir=tmp_path, mirrors=())


def test_a_named_folder_that_lacks_the_files_is_not_replaced_by_the_cache(
    folder, tmp_path, taken_for_mnist
):
    folder.rename(tmp_path / "mnist")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="found 0 of the four"):
        load("mnist", empty, cache_dir=tmp_path)


def test_the_cache_is_the_user_s_own_unless_another_is_given(
    folder, tmp_path, taken_for_mnist, no_variable, monkeypatch
):
    folder.rename(tmp_path / "mnist")
    asked_for = []
    monkeypatch.setattr("pooch.os_cache", lambda name: asked_for.append(name) or str(tmp_path))
    data = load("mnist", mirrors=NO_MIRROR)
    assert asked_for == ["nncompare"]
    assert data.title == "MNIST handwritten digits"
    assert NO_MIRROR[0] in data.source
    assert str(tmp_path) not in data.source


def test_two_mirrors_over_https():
    assert len(mnist.MIRRORS) == 2
    assert all(mirror.startswith("https://") for mirror in mnist.MIRRORS)


def test_reading_loads_neither_torch_nor_pooch():
    code = (
        "import sys; from experiments.datasets import load; load('mnist-sample');"
        "print([m for m in ('torch', 'pooch', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("NNCOMPARE_DATA"), reason="NNCOMPARE_DATA is not set")
def test_mnist_itself():
    data = load("mnist")
    assert data.title == "MNIST handwritten digits"
    assert data.digests == mnist.DIGESTS
    assert data.train.inputs.shape == (60000, 1, 28, 28)
    assert data.test.inputs.shape == (10000, 1, 28, 28)
    assert data.train.inputs.min() == 0
    assert data.train.inputs.max() == 1
    # The published mean and standard deviation of the training pixels.
    assert np.mean(data.train.inputs, dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert np.std(data.train.inputs, dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
    assert data.train.targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
