"""Step 0, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.parity.comparison import compare_initial, differing_bits
from compare.spec.model import model_spec


@pytest.mark.parametrize(
    ("a", "b", "bits"),
    [
        (np.float32([1, 2]), np.float32([1, 2]), 0),
        (np.uint8([0b101]), np.uint8([0b010]), 3),
        (np.float32([0.0]), np.float32([-0.0]), 1),  # equal, and yet another bit
        (np.float32([np.nan]), np.float32([np.nan]), 0),  # unequal, and yet the same bits
        (np.float32([1.0]), np.nextafter(np.float32([1.0]), np.float32(2)), 1),
        (np.zeros(3, np.float32), np.zeros(2, np.float32), 96),
        (np.zeros(2, np.float32), np.zeros(2, np.float64), 128),
        (np.zeros((2, 3)).T, np.zeros((3, 2)), 0),
        (np.array(3, np.int64), np.array(3, np.int64), 0),
        (np.zeros(0), np.zeros(0), 0),
    ],
)
def test_differing_bits(a, b, bits):
    assert differing_bits(a, b) == bits
    assert differing_bits(b, a) == bits


def test_bits_of_arrays_that_are_not_contiguous():
    a = np.arange(12.0).reshape(3, 4)
    assert differing_bits(a[:, ::2], a[:, ::2].copy()) == 0
    assert differing_bits(a[:, ::2], a[:, 1::2].copy()) > 0


def backends(form, seeds=(0, 0)):
    plan = model_spec(form, "SGD")
    return NumpyBackend(plan, seed=seeds[0]), TorchBackend(plan, seed=seeds[1])


def test_the_same_seed(tiny):
    numpy, torch = backends(tiny())
    found, rows = compare_initial(numpy, torch, "SGD", 0)
    assert (found.differing_bits, found.copied) == (0, False)
    assert found.values == sum(a.size for a in numpy.state().model.values())
    assert [r.site for r in rows] == [f"initial/{name}" for name in numpy.state().model]
    assert {r[:4] for r in rows} == {("SGD", 0, 0, "float32")}
    assert {r[5:] for r in rows} == {(0.0, 0.0, 0.0, True)}


def test_what_differs_is_copied(tiny):
    numpy, torch = backends(tiny(), seeds=(0, 1))
    before = numpy.state().model
    found, rows = compare_initial(numpy, torch, "SGD", 0)
    assert found.copied
    assert found.differing_bits > 1000
    assert all(r.passed for r in rows)
    for name, value in torch.state().model.items():
        np.testing.assert_array_equal(value, before[name])


def test_one_bit_is_enough(tiny):
    numpy, torch = backends(tiny())
    numpy.model.state_dict()["0.bias"][0] = -0.0
    found, _ = compare_initial(numpy, torch, "SGD", 0)
    assert (found.differing_bits, found.copied) == (1, True)
    assert np.signbit(torch.state().model["0.bias"][0])


def test_what_cannot_be_copied_fails(tiny, monkeypatch):
    numpy, torch = backends(tiny(), seeds=(0, 1))
    monkeypatch.setattr(torch, "load", lambda state: None)
    _, rows = compare_initial(numpy, torch, "SGD", 0)
    failed = [r for r in rows if not r.passed]
    assert [r.site for r in failed] == ["initial/0.weight", "initial/3.weight"]
    assert failed[0].numpy_error > 0
