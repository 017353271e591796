"""Memory is used again, never while somebody holds it, and given back."""

from typing import Any

import numpy as np
import pytest

import numpy_nn
from numpy_nn._kernels import memory
from numpy_nn._kernels.memory import ALIGNMENT, LEAST_BYTES, PATIENCE, Memory, empty_like

SHAPE = (1000, 1000)
HOLDERS = {
    "itself": lambda array: array,
    "a view": lambda array: array[3:5, ::2],
    "a view of a view": lambda array: array.T.reshape(-1, order="F")[7:],
    "a buffer": memoryview,
    "an array of another class": lambda array: array.view(np.matrix),
}


def test_memory_that_nobody_holds_is_used_again() -> None:
    store = Memory()
    first = store.empty(SHAPE, np.float32)
    address = first.ctypes.data
    del first
    second = store.empty(SHAPE[::-1], np.int32)
    assert second.ctypes.data == address
    assert store.empty(SHAPE, np.float32).ctypes.data != address


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_memory_is_not_used_again_while_somebody_holds_it(hold: Any) -> None:
    store = Memory()
    array = store.empty(SHAPE, np.float32)
    array.fill(1)
    held = hold(array)
    del array
    before = np.array(held)
    store.empty(SHAPE, np.float32).fill(2)
    np.testing.assert_array_equal(held, before)


def test_small_arrays_are_numpys_own() -> None:
    assert Memory().empty((LEAST_BYTES // 4 - 1,), np.float32).base is None
    assert Memory().empty((0, 5), np.float32).shape == (0, 5)


def test_large_arrays_begin_with_a_line_of_the_cache() -> None:
    arrays = [Memory().empty((LEAST_BYTES + n,), np.uint8) for n in range(20)]
    assert {array.ctypes.data % ALIGNMENT for array in arrays} == {0}


def test_what_is_held_stays_near_what_was_used() -> None:
    store = Memory()
    for size in range(100):  # each of another size, none held
        store.empty((LEAST_BYTES * (1 + 3 * size),), np.uint8)
    assert store.held() <= memory.SPARE * LEAST_BYTES * 300


def test_what_was_not_used_for_long_is_given_back() -> None:
    store = Memory()
    store.empty((100 * LEAST_BYTES,), np.uint8)
    for _ in range(PATIENCE + 1):
        held = store.empty((LEAST_BYTES,), np.uint8)
    more = [store.empty((LEAST_BYTES,), np.uint8) for _ in range(2)]
    assert store.held() < 10 * LEAST_BYTES
    assert len(more) + len([held]) == 3


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (3, 0, 1, 2), (1, 3, 2, 0)])
@pytest.mark.parametrize("shape", [None, (20, 30, 14, 14)])
def test_axes_lie_in_the_order_of_the_model(axes: Any, shape: Any) -> None:
    array = np.empty((40, 20, 24, 28), np.float32).transpose(axes)
    ours, numpys = empty_like(array, shape=shape), np.empty_like(array, shape=shape)
    assert (ours.shape, ours.strides, ours.dtype) == (numpys.shape, numpys.strides, numpys.dtype)


def test_outputs_stay_as_they_are_through_later_calls() -> None:
    """Layers take their memory from the store; what a caller holds is never written again."""
    layers = [
        (numpy_nn.Conv2d(4, 8, 3, padding=1), (64, 4, 20, 20)),
        (numpy_nn.MaxPool2d(2), (64, 8, 40, 40)),
        (numpy_nn.ReLU(), (512, 1000)),
        (numpy_nn.LeakyReLU(), (512, 1000)),
        (numpy_nn.Linear(300, 200), (4096, 300)),
    ]
    rng = np.random.default_rng(0)
    for layer, shape in layers:
        given, kept = [], []
        for _ in range(3):
            y = layer(rng.normal(size=shape).astype(np.float32))
            dx = layer.backward(rng.normal(size=y.shape).astype(np.float32))
            given += [y, dx]
            kept += [y.copy(), dx.copy()]
        for one, other in zip(given, kept, strict=True):
            np.testing.assert_array_equal(one, other)
