"""Activations at the edges, against PyTorch. Their values are in test_modules."""

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch

import numpy_nn
import torch_nn
from numpy_nn._kernels.elementwise import erf

pytestmark = pytest.mark.parity

MAKERS = {
    "Sigmoid": lambda nn: nn.Sigmoid(),
    "Tanh": lambda nn: nn.Tanh(),
    "SiLU": lambda nn: nn.SiLU(),
    "ELU": lambda nn: nn.ELU(0.7),
    "GELU": lambda nn: nn.GELU(),
    "GELU tanh": lambda nn: nn.GELU("tanh"),
    "Softplus": lambda nn: nn.Softplus(),
    "Hardswish": lambda nn: nn.Hardswish(),
}
# Beyond every place where an exponential or a square overflows, and at every kink.
SIZES = np.array([0.0, 1e-30, 3.0, 6.0, 20.0, 90.0, 104.0, 1e4, 3e38, np.inf])
EXTREME = np.concatenate([-SIZES, SIZES])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MAKERS)
def test_extreme_values(name: str, dtype: str) -> None:
    """Silently, and as PyTorch: what overflows there is nan or infinite here too."""
    x = EXTREME.astype(dtype)
    if name == "GELU" and dtype == "float32":
        x = x[np.abs(x) < 1e30]  # oneDNN's, which PyTorch takes, makes nan of an infinity
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    layer = MAKERS[name](numpy_nn)
    expected = MAKERS[name](torch_nn)(tensor)
    dy = np.linspace(1, 2, len(x)).astype(dtype)
    expected.backward(torch.from_numpy(dy.copy()))
    assert tensor.grad is not None
    tolerance = (
        {"rtol": 2e-6, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-14, "atol": 1e-15}
    )
    np.testing.assert_allclose(layer(x), expected.detach().numpy(), **tolerance)
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), **tolerance)


@pytest.mark.parametrize("name", MAKERS)
def test_nan_stays_nan(name: str) -> None:
    assert np.isnan(MAKERS[name](numpy_nn)(np.array([np.nan]))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    "rows",
    [
        [[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]],
        [[-np.inf, 0.0, 1.0], [-np.inf, -np.inf, 3.0]],
        [[np.nan, 0.0, 1.0], [-np.inf, -np.inf, -np.inf]],
        [[np.inf, 0.0, 1.0], [0.0, 0.0, 0.0]],
    ],
)
def test_softmax_of_extreme_rows(name: str, rows: Any, dtype: str) -> None:
    x = np.array(rows, dtype)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    layer = getattr(numpy_nn, name)(1)
    expected = getattr(torch_nn, name)(1)(tensor)
    dy = np.array([[1, -2, 3], [-1, 2, 0.5]], dtype)
    expected.backward(torch.from_numpy(dy.copy()))
    assert tensor.grad is not None
    np.testing.assert_allclose(layer(x), expected.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("ndim", range(6))
def test_softmax_without_an_axis(name: str, ndim: int) -> None:
    """PyTorch guesses one and warns."""
    x = np.asarray(np.random.default_rng(0).normal(size=(2, 3, 4, 2, 3)[:ndim]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(torch_nn, name)()(torch.from_numpy(x))
    with pytest.warns(UserWarning, match=f"Implicit dimension choice for {name}"):
        actual = getattr(numpy_nn, name)()(x)
    np.testing.assert_allclose(actual, expected, atol=1e-14)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(("dim", "shape"), [(1, ()), (-2, (3,)), (2, (3, 4)), (-3, (3, 4))])
def test_an_axis_that_is_not_there_is_refused(name: str, dim: int, shape: Any) -> None:
    with pytest.raises(IndexError):
        getattr(torch_nn, name)(dim)(torch.zeros(shape))
    with pytest.raises(IndexError, match=f"dim={dim}.*out of range"):
        getattr(numpy_nn, name)(dim)(np.zeros(shape))


def test_rows_of_a_softmax_sum_to_one() -> None:
    x = np.random.default_rng(0).normal(0, 50, (20, 7))
    np.testing.assert_allclose(numpy_nn.Softmax(1)(x).sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(np.exp(numpy_nn.LogSoftmax(1)(x)).sum(axis=1), 1, rtol=1e-14)


def test_arguments_that_are_not_supported() -> None:
    for name in ("SiLU", "ELU", "Hardswish"):
        with pytest.raises(NotImplementedError, match=name):
            getattr(numpy_nn, name)(inplace=True)
    for name in ("Sigmoid", "Tanh"):
        with pytest.raises(TypeError, match=f"{name} takes no arguments"):
            getattr(numpy_nn, name)(1)
    with pytest.raises(ValueError, match="'sigmoid'"):
        numpy_nn.GELU("sigmoid")


def test_error_function() -> None:
    """Against SciPy's, to two units in the last place of each dtype."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.uniform(-7, 7, 100_000),
            rng.normal(0, 0.5, 100_000),
            10.0 ** rng.uniform(-300, 1, 1000),
            [0.0, 1.0, np.nextafter(1, 0), -1.0, 6.0, -6.0, 30.0, np.inf, -np.inf],
        ]
    )
    for dtype in (np.float64, np.float32):
        with np.errstate(under="ignore"):
            given = x.astype(dtype)
        actual, expected = erf(given), scipy.special.erf(given.astype(np.float64))
        assert actual.dtype == dtype
        error = np.abs(actual - expected) / np.maximum(np.abs(expected), np.finfo(dtype).tiny)
        assert error.max() <= 2.5 * np.finfo(dtype).eps
    assert np.isnan(erf(np.array([np.nan]))).all()
