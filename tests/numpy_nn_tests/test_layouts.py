"""Values do not depend on how arrays lie in memory, nor on the parts that they are done in."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn
from numpy_nn._kernels.elementwise import BLOCK
from numpy_nn._kernels.reductions import WIDTH, add_to_rows, channel_sum

pytestmark = pytest.mark.parity

LAYERS = {
    "Conv2d": lambda nn: nn.Conv2d(3, 5, 3, padding=1, stride=(1, 2)),
    "Conv2d of one point": lambda nn: nn.Conv2d(3, 4, 1),
    "ConvTranspose2d": lambda nn: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1),
    "MaxPool2d": lambda nn: nn.MaxPool2d(2),
    "MaxPool2d, overlapping": lambda nn: nn.MaxPool2d(3, stride=2, padding=1),
    "AvgPool2d": lambda nn: nn.AvgPool2d(3, stride=2, padding=1),
    "BatchNorm2d": lambda nn: nn.BatchNorm2d(3),
    "ReLU": lambda nn: nn.ReLU(),
    "LeakyReLU": lambda nn: nn.LeakyReLU(0.1),
    "LeakyReLU, falling": lambda nn: nn.LeakyReLU(-0.5),
    "LeakyReLU, steep": lambda nn: nn.LeakyReLU(1.5),
}
ORDERS = [(0, 1, 2, 3), (1, 2, 3, 0), (0, 2, 3, 1), (3, 2, 1, 0)]


def laid(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The same values with the axes in another order in memory."""
    return np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))


@pytest.mark.parametrize("batch", [1, 7, 400])
@pytest.mark.parametrize("name", LAYERS)
def test_any_order_of_the_axes_in_memory(name: str, batch: int) -> None:
    rng = np.random.default_rng(0)
    layer, reference = LAYERS[name](numpy_nn).double(), LAYERS[name](torch.nn).double()
    state = {key: torch.from_numpy(np.array(v)) for key, v in layer.state_dict().items()}
    reference.load_state_dict(state)
    x = rng.normal(size=(batch, 3, 12, 10))
    tensor = torch.tensor(x, requires_grad=True)
    expected = reference(tensor)
    dy = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(dy))
    for of_x, of_dy in zip(ORDERS, ORDERS[::-1], strict=True):
        layer.zero_grad()
        y = layer(laid(x, of_x))
        dx = layer.backward(laid(dy, of_dy))
        np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-10)
        np.testing.assert_allclose(dx, tensor.grad.numpy(), atol=1e-10)
        for ours, theirs in zip(layer.parameters(), reference.parameters(), strict=True):
            np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_pooling_of_infinite_values_and_nan(seed: int) -> None:
    """Windows of −∞ alone, NaN and ties give the gradient to the place that PyTorch chooses."""
    rng = np.random.default_rng(seed)
    kernel, stride, dilation = (tuple(rng.integers(1, high, 2).tolist()) for high in (4, 4, 3))
    args: dict[str, Any] = {
        "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel),
        "dilation": dilation,
        "ceil_mode": bool(rng.integers(2)),
    }
    x = rng.integers(-2, 3, size=(3, 2, 9, 8)).astype(float)
    kind = rng.random(x.shape)
    x[kind < 0.1], x[(kind > 0.1) & (kind < 0.5)], x[kind > 0.95] = np.nan, -np.inf, np.inf
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.nn.MaxPool2d(kernel, stride, **args)(tensor)
    dy = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(dy))
    layer = numpy_nn.MaxPool2d(kernel, stride, **args)
    np.testing.assert_array_equal(layer(x), expected.detach().numpy())
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU"])
def test_activations_of_many_values_by_parts(name: str, size: int) -> None:
    x = np.random.default_rng(0).normal(size=size).astype(np.float32)
    x[[0, 1, 2, -1]] = np.nan, np.inf, -np.inf, 0
    dy = np.random.default_rng(1).normal(size=size).astype(np.float32)
    layer = getattr(numpy_nn, name)()
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn, name)()(tensor)
    expected.backward(torch.tensor(dy))
    np.testing.assert_array_equal(layer(x), expected.detach().numpy())
    np.testing.assert_array_equal(layer.backward(dy), tensor.grad.numpy())


@pytest.mark.parametrize(
    ("rows", "channels"),
    [
        *((rows, channels) for rows in (0, 1) for channels in (1, 3, 32, WIDTH, WIDTH + 1)),
        *((5000, channels) for channels in (1, 3, 32)),
        *((50, channels) for channels in (WIDTH // 2, WIDTH, WIDTH + 1)),
    ],
)
def test_a_row_is_added_to_every_row(rows: int, channels: int) -> None:
    rng = np.random.default_rng(0)
    array, row = rng.normal(size=(rows, channels)), rng.normal(size=channels)
    expected = array + row
    add_to_rows(array, row)
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("shape", [(8, 64, 1024), (128, 16, 784), (2, 512, 16), (32, 3, 49)])
@pytest.mark.parametrize("orders", ["C", "last", "C last", "last C"])
def test_sums_are_as_exact_whatever_lies_side_by_side(shape, orders):
    """Added up one after the other, 8,192 float32 values would lose several times as much."""
    random = np.random.default_rng(0)
    arrays = []
    for order in orders.split():
        array = (random.standard_normal(shape) + 3).astype(np.float32)
        if order == "last":
            array = np.ascontiguousarray(array.transpose(1, 2, 0)).transpose(2, 0, 1)
        arrays.append(array)
    exact = np.prod([array.astype(np.float64) for array in arrays], axis=0)
    size = np.abs(exact).sum(axis=(0, 2))
    error = np.abs(channel_sum(*arrays) - exact.sum(axis=(0, 2))) / size
    assert error.max() < 4 * 2.0**-24
