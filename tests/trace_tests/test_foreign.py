"""What the adapters of other frameworks have in common."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from compare.trace.configuration import same_setting
from compare.trace.foreign import ForeignTrace
from compare.trace.format import read_trace
from compare.trace.layouts import turned
from experiments.errors import InputError


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("jax_functions", "jax", "jax"),
        ("onnx_runtime", "onnxruntime", "onnx"),
        ("tinygrad_models", "tinygrad", "tinygrad"),
    ],
)
def test_a_missing_package_is_one_sentence(module, package, extra, monkeypatch):
    if package == "onnxruntime":
        pytest.importorskip("onnx", reason="onnx is not installed, and would be named instead")
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"compare.trace.{module}", raising=False)
    with pytest.raises(InputError, match=rf'needs the package {package}: .*"nncompare\[{extra}\]'):
        __import__(f"compare.trace.{module}")


def test_settings_are_completed_as_torch_has_them(tmp_path):
    with ForeignTrace(tmp_path / "t", "mine 1") as trace:
        trace.module("p", "MaxPool2d", {"kernel_size": (2, 2), "stride": None})
        trace.call("p", [np.ones((1, 1, 2, 2))], [np.ones((1, 1, 1, 1))])
    settings = read_trace(tmp_path / "t").modules["p"].settings
    assert settings["stride"] == [2, 2]
    assert settings["padding"] == 0


def test_nothing_is_left_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="mine"), ForeignTrace(tmp_path / "t", "mine 1"):
        raise ValueError("mine")
    assert list(tmp_path.iterdir()) == []


def test_axes_are_turned():
    kernel = np.arange(24).reshape(1, 2, 3, 4)
    assert np.array_equal(turned(kernel, "HWIO", "OI"), kernel.transpose(3, 2, 0, 1))
    assert turned(np.zeros((5, 7, 8, 3)), "NHWC", "NC").shape == (5, 3, 7, 8)


def test_the_same_settings():
    assert same_setting(3, [3, 3])
    assert same_setting([1], 1)
    assert not same_setting([1, 2], 1)
    assert not same_setting([], 0)
