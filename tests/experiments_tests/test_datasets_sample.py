"""The sample in the package, and the script that makes it from MNIST's own files."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from experiments.datasets import load, mnist
from experiments.datasets.idx import FILES, TEST_LABELS, gunzip, read_idx
from experiments.errors import InputError

needs_mnist = pytest.mark.skipif(
    not os.environ.get("NNCOMPARE_DATA"), reason="NNCOMPARE_DATA is not set"
)


@pytest.fixture(scope="module")
def script():
    path = Path(__file__).parents[2] / "scripts" / "make_mnist_sample.py"
    spec = importlib.util.spec_from_file_location("make_mnist_sample", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shapes_and_range():
    data = load("mnist-sample")
    for split, size in [(data.train, 6000), (data.test, 1000)]:
        assert len(split) == size
        assert split.inputs.shape == (size, 1, 28, 28)
        assert split.inputs.dtype == np.float32
        assert split.targets.shape == (size,)
        assert split.targets.dtype == np.int64
        assert split.inputs.min() == 0
        assert split.inputs.max() == 1


def test_stratified():
    data = load("mnist-sample")
    assert np.bincount(data.train.targets).tolist() == [600] * 10
    assert np.bincount(data.test.targets).tolist() == [100] * 10


def test_says_what_it_is():
    data = load("mnist-sample")
    assert data.name == "mnist-sample"
    assert "sample of MNIST" in data.title
    assert "600" in data.source
    assert "CC BY-SA 3.0" in data.licence
    assert "Yann LeCun and Corinna Cortes" in data.licence
    assert data.class_names == tuple("0123456789")
    assert data.digests == mnist.SAMPLE_DIGESTS


def test_small_enough_for_the_package():
    assert sum(path.stat().st_size for path in mnist.SAMPLE_FOLDER.iterdir()) < 2_000_000


def test_the_readme_beside_it_gives_the_same_digests():
    text = (mnist.SAMPLE_FOLDER / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}.gz`" in text for name in FILES)
    assert all(f"`{digest}`" in text for digest in mnist.SAMPLE_DIGESTS.values())
    assert "Creative Commons Attribution-Share Alike 3.0" in text


def test_the_variable_has_no_part_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NNCOMPARE_DATA", str(tmp_path / "nowhere"))
    assert len(load("mnist-sample").train) == 6000


def test_a_folder_is_refused_rather_than_ignored(tmp_path):
    with pytest.raises(InputError, match=r"expected no data folder with it, found .*some"):
        load("mnist-sample", tmp_path / "some")


def test_a_damaged_package_is_noticed(tmp_path, monkeypatch):
    folder = tmp_path / "mnist_sample"
    shutil.copytree(mnist.SAMPLE_FOLDER, folder)
    content = bytearray(gunzip((folder / f"{TEST_LABELS}.gz").read_bytes(), TEST_LABELS))
    content[8] = (content[8] + 1) % 10
    (folder / f"{TEST_LABELS}.gz").write_bytes(bytes(content))
    monkeypatch.setattr(mnist, "SAMPLE_FOLDER", folder)
    with pytest.raises(InputError) as caught:
        load("mnist-sample")
    assert TEST_LABELS in str(caught.value)
    assert f"expected content with MD5 {mnist.SAMPLE_DIGESTS[TEST_LABELS]}" in str(caught.value)
    assert "install the package again" in str(caught.value)


def test_first_of_each_class(script):
    labels = np.array([*range(10), *range(9, -1, -1), *range(10)], dtype=np.uint8)
    assert script.first_of_each_class(labels, 1).tolist() == list(range(10))
    assert script.first_of_each_class(labels, 2).tolist() == list(range(20))


def test_packing_is_deterministic_and_read_back(script, tmp_path):
    values = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    packed = script.pack(script.encode_idx(values))
    assert packed == script.pack(script.encode_idx(values))
    assert packed[3] == 0, "no file name in the header"
    assert packed[4:8] == bytes(4), "no time in the header"
    (tmp_path / "values").write_bytes(packed)
    np.testing.assert_array_equal(read_idx(tmp_path / "values", 3)[0], values)


def test_the_script_refuses_what_is_not_mnist(script, tmp_path, capsys):
    out = tmp_path / "out"
    assert script.main([str(mnist.SAMPLE_FOLDER), "--out", str(out)]) == 2
    assert "does not hold MNIST" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
@needs_mnist
def test_made_again_from_the_originals(script, tmp_path, capsys):
    for out in ["once", "twice"]:
        arguments = [os.environ["NNCOMPARE_DATA"], "--out", str(tmp_path / out)]
        assert script.main(arguments) == 0
    printed = capsys.readouterr().out
    assert all(digest in printed for digest in mnist.SAMPLE_DIGESTS.values())
    for name in FILES:
        once = (tmp_path / "once" / f"{name}.gz").read_bytes()
        assert once == (tmp_path / "twice" / f"{name}.gz").read_bytes()
        # Content, not bytes: another build of zlib packs the same content otherwise.
        stored = (mnist.SAMPLE_FOLDER / f"{name}.gz").read_bytes()
        assert gunzip(once, name) == gunzip(stored, name)


@pytest.mark.slow
@needs_mnist
@pytest.mark.parametrize(("part", "per_class"), [("train", 600), ("test", 100)])
def test_really_the_first_of_each_class(part, per_class):
    chosen = getattr(load("mnist-sample"), part)
    whole = getattr(load("mnist"), part)
    seen = [0] * 10
    kept = []
    for i, label in enumerate(whole.targets.tolist()):
        if seen[label] < per_class:
            seen[label] += 1
            kept.append(i)
    np.testing.assert_array_equal(chosen.targets, whole.targets[kept])
    np.testing.assert_array_equal(chosen.inputs, whole.inputs[kept])
