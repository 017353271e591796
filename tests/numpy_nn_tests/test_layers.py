"""What single layers do at the edges, against PyTorch. Their values are in test_modules."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_nn
import torch_nn

pytestmark = pytest.mark.parity


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda nn: nn.Linear(4, 3), (5, 3), r"in_features=4.*\(5, 3\)"),
        (lambda nn: nn.Linear(4, 3), (), r"in_features=4.*\(\)"),
        (lambda nn: nn.BatchNorm1d(3), (1, 3), r"more than 1 value per channel.*\(1, 3\)"),
        (lambda nn: nn.BatchNorm1d(3), (1, 3, 1), r"more than 1 value per channel"),
        (
            lambda nn: nn.BatchNorm1d(3, track_running_stats=False).eval(),
            (1, 3),
            "more than 1 value",
        ),
        (lambda nn: nn.BatchNorm1d(3), (4, 2), r"num_features=3.*\(4, 2\)"),
        (lambda nn: nn.BatchNorm1d(3), (3,), "expected 2D or 3D input .got 1D input."),
        (lambda nn: nn.BatchNorm1d(3), (2, 3, 4, 5), "got 4D"),
        (lambda nn: nn.Flatten(), (3,), "out of range.*got 1"),
        (lambda nn: nn.Flatten(), (), "out of range.*got 1"),
        (lambda nn: nn.Flatten(0, 3), (2, 3), "out of range.*got 3"),
        (lambda nn: nn.Flatten(-3), (2, 3), "out of range.*got -3"),
        (lambda nn: nn.Flatten(2, 1), (2, 3, 4), "cannot come after"),
    ],
)
def test_what_torch_refuses_is_refused(make: Any, shape: Any, message: str) -> None:
    with pytest.raises((ValueError, RuntimeError, IndexError)):
        make(torch_nn)(torch.zeros(shape))
    with pytest.raises((ValueError, IndexError), match=message):
        make(numpy_nn)(np.zeros(shape, np.float32))


def test_a_refused_batch_leaves_the_running_statistics() -> None:
    layer = numpy_nn.BatchNorm1d(3)
    with pytest.raises(ValueError, match="more than 1"):
        layer(np.ones((1, 3), np.float32))
    assert layer.num_batches_tracked == 0
    assert (layer.running_mean == 0).all()


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU"])
def test_in_place_is_refused(name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        getattr(numpy_nn, name)(inplace=True)


@pytest.mark.parametrize(
    "make",
    [lambda **kw: numpy_nn.Linear(1, 1, **kw), lambda **kw: numpy_nn.BatchNorm1d(1, **kw)],
)
def test_device_and_dtype(make: Any) -> None:
    with pytest.raises(ValueError, match="'cuda'"):
        make(device="cuda")
    for dtype in (np.float16, np.int64, int):
        with pytest.raises(TypeError, match=r"float32 or numpy\.float64"):
            make(dtype=dtype)
    assert make().weight.dtype == np.float32
    assert make(dtype="float64").weight.dtype == np.float64


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38], np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "make",
    [lambda nn: nn.ReLU()] + [lambda nn, s=s: nn.LeakyReLU(s) for s in (0.01, 0.0, 1.0, -2.0)],
)
def test_special_values(make: Any, dtype: str) -> None:
    """Each as an input under each as a gradient: zeros, infinities, NaN, subnormal numbers."""
    values = SPECIAL.astype(dtype)
    x, dy = (a.copy() for a in np.meshgrid(values, values))
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    layer = make(numpy_nn)
    expected = make(torch_nn)(tensor)
    expected.backward(torch.from_numpy(dy.copy()))
    assert tensor.grad is not None
    with np.errstate(invalid="ignore", over="ignore"):
        np.testing.assert_array_equal(layer(x), expected.detach().numpy())
        np.testing.assert_array_equal(layer.backward(dy), tensor.grad.numpy())


def test_batch_norm_of_a_channel_far_from_zero(close: Any) -> None:
    """σ² is a mean of squares of differences, not a difference of means of squares."""
    x = np.random.default_rng(0).normal(1e4, 1.0, (100, 3)).astype(np.float32)
    layer = numpy_nn.BatchNorm1d(3)
    exact = (x - x.astype(np.float64).mean(0)) / x.astype(np.float64).std(0)
    assert np.abs(layer(x) - exact).max() < 2e-3  # the mean itself is rounded to 1e-3


def test_batch_norm_gradient_under_ones_is_zero() -> None:
    layer = numpy_nn.BatchNorm1d(3, dtype=np.float64)
    layer(np.random.default_rng(0).normal(size=(8, 3)))
    assert np.abs(layer.backward(np.ones((8, 3)))).max() < 1e-14


def test_sums_of_many_rows_keep_their_accuracy() -> None:
    from numpy_nn._kernels.reductions import batch_sum

    x = np.random.default_rng(0).random((200_000, 2), dtype=np.float32)
    exact = x.astype(np.float64).sum(axis=0)
    squares = (x.astype(np.float64) ** 2).sum(axis=0)
    assert (np.abs(batch_sum(x) - exact) <= 2e-6 * exact).all()
    assert (np.abs(batch_sum(x, x) - squares) <= 2e-6 * squares).all()


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_flatten_of_any_shape(data: Any) -> None:
    shape = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    start, end = (data.draw(st.integers(-len(shape), len(shape) - 1)) for _ in range(2))
    x = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    try:
        expected = torch_nn.Flatten(start, end)(torch.from_numpy(x)).numpy()
    except RuntimeError:
        with pytest.raises(ValueError, match="cannot come after"):
            numpy_nn.Flatten(start, end)(x)
    else:
        layer = numpy_nn.Flatten(start, end)
        np.testing.assert_array_equal(layer(x), expected)
        np.testing.assert_array_equal(layer.backward(layer(x)), x)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 4), max_size=4), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_linear_of_any_shape(lead: list[int], inputs: int, outputs: int, bias: bool) -> None:
    numpy_nn.manual_seed(1)
    torch_nn.manual_seed(1)
    layer = numpy_nn.Linear(inputs, outputs, bias, dtype=np.float64)
    reference = torch_nn.Linear(inputs, outputs, bias, dtype=torch.float64)
    x = np.asarray(np.random.default_rng(0).normal(size=(*lead, inputs)))
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    expected = reference(tensor)
    dy = np.asarray(np.random.default_rng(1).normal(size=expected.shape))
    expected.backward(torch.from_numpy(dy))
    assert tensor.grad is not None
    np.testing.assert_allclose(layer(x), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), atol=1e-12)
    for p, q in zip(layer.parameters(), reference.parameters(), strict=True):
        np.testing.assert_allclose(p.grad, q.grad.numpy(), atol=1e-12)  # type: ignore[arg-type, union-attr]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 4), st.integers(1, 4), st.lists(st.integers(0, 3), max_size=3), st.booleans())
def test_batch_norm_of_any_shape(n: int, c: int, positions: list[int], training: bool) -> None:
    shape = (n, c, *positions)
    layer = numpy_nn.BatchNorm1d(c, dtype=np.float64).train(training)
    reference = torch_nn.BatchNorm1d(c, dtype=torch.float64).train(training)
    x = np.asarray(np.random.default_rng(0).normal(size=shape))
    try:
        expected = reference(torch.from_numpy(x)).detach().numpy()
    except ValueError:
        with pytest.raises(ValueError, match=r"more than 1 value|got \dD"):
            layer(x)
        return
    np.testing.assert_allclose(layer(x), expected, atol=1e-10)
    for name, buffer in layer.named_buffers():
        np.testing.assert_allclose(buffer, reference.get_buffer(name).numpy(), atol=1e-12)


@pytest.mark.parametrize(
    "layer",
    [
        lambda nn: nn.ReLU(),
        lambda nn: nn.LeakyReLU(0.1),
        lambda nn: nn.LeakyReLU(-0.5),
        lambda nn: nn.BatchNorm1d(3),
    ],
    ids=["ReLU", "LeakyReLU", "LeakyReLU of a negative slope", "BatchNorm1d"],
)
def test_backward_in_evaluation_mode_is_torchs(layer: Callable[[Any], Any]) -> None:
    """Infinities and NaN included."""
    ours, theirs = layer(numpy_nn).eval(), layer(torch.nn).eval()
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal((8, 3)).astype(np.float32) for _ in range(2))
    if type(ours).__name__ == "BatchNorm1d":
        state = {"running_mean": rng.standard_normal(3), "running_var": rng.uniform(1, 2, 3)}
        arrays = {name: array.astype(np.float32) for name, array in state.items()}
        ours.load_state_dict({**ours.state_dict(), **arrays})
        theirs.load_state_dict(
            {**theirs.state_dict(), **{name: torch.tensor(a) for name, a in arrays.items()}}
        )
    else:
        x[0], x[1], x[2] = 0, np.nan, (-np.inf, np.inf, -0.0)
    tensor = torch.tensor(x, requires_grad=True)
    y = theirs(tensor)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(ours(x), y.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.backward(dy), tensor.grad.numpy(), rtol=1e-5, atol=1e-6)
    for name, parameter in theirs.named_parameters():
        mine = dict(ours.named_parameters())[name].grad
        np.testing.assert_allclose(mine, parameter.grad.numpy(), rtol=1e-5, atol=1e-6)
