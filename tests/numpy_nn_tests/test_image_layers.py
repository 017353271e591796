"""Convolution and pooling at the edges, against PyTorch and against plain loops."""

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import numpy_nn
import torch_nn
from numpy_nn._kernels import im2col

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]


def plain_convolution(
    x: np.ndarray, layer: Any, dy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y, dx and dW as the formula has them, by loops, for padding by zeros."""
    w, groups = layer.weight.data, layer.groups
    (p, q), (s, t), (d, e) = layer.padding, layer.stride, layer.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (q, q)))
    y, dw, dx = np.zeros_like(dy), np.zeros_like(w), np.zeros_like(padded)
    inputs, outputs = w.shape[1], w.shape[0] // groups
    for n, o, i, j in np.ndindex(*dy.shape):
        y[n, o, i, j] = layer.bias.data[o]
        for c, k, m in np.ndindex(*w.shape[1:]):
            place = n, o // outputs * inputs + c, s * i + d * k, t * j + e * m
            y[n, o, i, j] += w[o, c, k, m] * padded[place]
            dw[o, c, k, m] += dy[n, o, i, j] * padded[place]
            dx[place] += dy[n, o, i, j] * w[o, c, k, m]
    return y, dx[:, :, p : p + x.shape[2], q : q + x.shape[3]], dw


@pytest.mark.parametrize("piece_bytes", [1, 500, 3000, 1 << 19])
@pytest.mark.parametrize(
    "kwargs",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (2, 3), "stride": (2, 1), "padding": (0, 2)},
        {"kernel_size": 2, "stride": 3, "dilation": (2, 1), "groups": 2},
    ],
    ids=str,
)
def test_convolution_by_parts_is_the_plain_formula(
    kwargs: dict[str, Any], piece_bytes: int, monkeypatch: Any
) -> None:
    """Whatever the cache: parts of an image, single images, several, the last ones fewer."""
    monkeypatch.setattr(im2col, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(im2col, "FEWEST_COLUMNS", 1)
    rng = np.random.default_rng(0)
    layer = numpy_nn.Conv2d(2, 4, **kwargs, dtype=np.float64)
    x = rng.normal(size=(5, 2, 7, 6))
    y = layer(x)
    dy = rng.normal(size=y.shape)
    dx = layer.backward(dy)
    for actual, expected in zip(
        (y, dx, layer.weight.grad), plain_convolution(x, layer, dy), strict=True
    ):
        np.testing.assert_allclose(actual, expected, atol=1e-12)
    np.testing.assert_allclose(layer.bias.grad, dy.sum(axis=(0, 2, 3)), atol=1e-12)


@pytest.mark.parametrize(
    ("inputs", "outputs", "kernel", "size", "batch", "run"),
    [
        (256, 256, 3, 8, 32, 256),  # the columns of two positions are too large for the cache
        (16, 32, 3, 14, 128, 14 * 128),  # a row of positions: two would be too large
        (1, 16, 3, 28, 128, 28 * 128),  # two rows would be more multiplications than UNCOPIED
        (1, 30, 5, 24, 128, 3 * 24 * 128),  # UNCOPIED would leave fewer columns than LONG
    ],
)
def test_the_first_piece_is_as_long_as_cache_and_blas_want_it(
    inputs: int, outputs: int, kernel: int, size: int, batch: int, run: int
) -> None:
    axis = im2col.Axis(size, kernel, 1, 1, kernel // 2, size)
    w = np.zeros((1, outputs, inputs * kernel**2), np.float32)
    pieces = list(im2col.Windows(axis, axis).pieces(w, inputs, batch))
    assert pieces[0].run == slice(0, run)
    ends = [piece.run.stop for piece in pieces]
    assert [piece.run.start for piece in pieces] == [0, *ends[:-1]]
    assert ends[-1] == size * size * batch


@pytest.mark.parametrize("piece_bytes", [1, 200, 1 << 19])
def test_transposed_convolution_is_the_transpose(piece_bytes: int, monkeypatch: Any) -> None:
    """Its output is the input gradient of the convolution with the same W, and the reverse."""
    monkeypatch.setattr(im2col, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(im2col, "FEWEST_COLUMNS", 1)
    kwargs: dict[str, Any] = {"stride": (2, 1), "padding": 1, "groups": 2, "bias": False}
    kwargs["dtype"] = np.float64
    convolution = numpy_nn.Conv2d(4, 6, 3, **kwargs)
    transposed = numpy_nn.ConvTranspose2d(6, 4, 3, **kwargs)
    transposed.load_state_dict(convolution.state_dict())
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4, 7, 6))
    dy = rng.normal(size=convolution(x).shape)
    np.testing.assert_allclose(transposed(dy), convolution.backward(dy), atol=1e-13)
    np.testing.assert_allclose(transposed.backward(x), convolution(x), atol=1e-13)
    np.testing.assert_allclose(transposed.weight.grad, convolution.weight.grad, atol=1e-12)


def test_gradients_of_the_parameters_alone_are_the_same() -> None:
    rng = np.random.default_rng(0)
    layer = numpy_nn.Conv2d(2, 3, 3, padding=1)
    x, dy = (rng.normal(size=(4, c, 6, 6)).astype(np.float32) for c in (2, 3))
    layer(x)
    layer.backward(dy)
    both = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    layer.backward_parameters(dy)
    for one, other in zip(both, layer.parameters(), strict=True):
        np.testing.assert_array_equal(one, other.grad)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1, 16, 3), {}), ((16, 32, 5), {"padding": 2}), ((4, 6, 3), {"groups": 2})],
)
@pytest.mark.parametrize("name", ["Conv2d", "Conv1d", "ConvTranspose2d"])
def test_first_values_are_torchs_bits(name: str, seed: int, args: Any, kwargs: Any) -> None:
    numpy_nn.manual_seed(seed)
    torch_nn.default_generator.manual_seed(seed)
    layer, reference = (getattr(nn, name)(*args, **kwargs) for nn in (numpy_nn, torch_nn))
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, reference.state_dict()[name].numpy())
    assert numpy_nn.randperm(5).tolist() == torch_nn.randperm(5).tolist()


IMAGE = (2, 4, 5, 5)
REFUSED = [
    (lambda nn: nn.Conv2d(4, 2, 3), (2, 3, 5, 5), r"in_channels = 4.*\(2, 3, 5, 5\)"),
    (lambda nn: nn.Conv2d(4, 2, 3), (4, 5), r"\(4, 5\)"),
    (lambda nn: nn.Conv2d(4, 2, 3), (1, 2, 4, 5, 5), r"\(1, 2, 4, 5, 5\)"),
    (lambda nn: nn.Conv2d(4, 2, 3, padding=3), (2, 4, 0, 5), r"\(2, 4, 0, 5\)"),
    (lambda nn: nn.Conv2d(4, 2, 7), IMAGE, r"\(7, 7\).*\(5, 5\).*\(2, 4, 5, 5\)"),
    (lambda nn: nn.Conv2d(4, 2, 3, dilation=3), IMAGE, r"dilation \(3, 3\) is larger"),
    (lambda nn: nn.Conv2d(4, 2, 3, padding=-1), IMAGE, "padding.*-1"),
    (lambda nn: nn.Conv2d(4, 2, 3, stride=0), IMAGE, "stride.*0"),
    (lambda nn: nn.Conv2d(4, 2, 3, dilation=0), IMAGE, "dilation.*0"),
    (lambda nn: nn.Conv2d(4, 2, 3, groups=0), IMAGE, "groups must be a positive integer"),
    (lambda nn: nn.Conv2d(4, 3, 3, groups=3), IMAGE, "in_channels must be divisible by groups"),
    (lambda nn: nn.Conv2d(4, 3, 3, groups=2), IMAGE, "out_channels must be divisible by groups"),
    (lambda nn: nn.Conv2d(4, 2, 3, padding="some"), IMAGE, "'some'"),
    (lambda nn: nn.Conv2d(4, 2, 3, padding="same", stride=2), IMAGE, "strided"),
    (lambda nn: nn.Conv2d(4, 2, 3, padding_mode="wrap"), IMAGE, "'wrap'"),
    (lambda nn: nn.Conv2d(4, 2, 3, padding=5, padding_mode="reflect"), IMAGE, "at most 4"),
    (lambda nn: nn.Conv2d(4, 2, 3, padding=6, padding_mode="circular"), IMAGE, "at most 5"),
    (lambda nn: nn.Conv2d(4, 2, (3, 3, 3)), IMAGE, r"kernel_size.*\(3, 3, 3\)"),
    (lambda nn: nn.Conv1d(4, 2, 3), (7,), r"\(N, C, L\) or \(C, L\).*\(7,\)"),
    (lambda nn: nn.Conv1d(4, 2, 3), (2, 3, 7), r"in_channels = 4.*\(2, 3, 7\)"),
    (lambda nn: nn.Conv1d(4, 2, 3), (2, 4, 2), r"\(3,\) with.*\(1,\).*input \(2,\)"),
    (lambda nn: nn.Conv1d(4, 2, (3, 3)), (2, 4, 7), r"kernel_size.*\(3, 3\)"),
    (lambda nn: nn.Conv1d(4, 2, 3, padding="same", stride=2), (2, 4, 7), "strided"),
    (lambda nn: nn.ConvTranspose2d(4, 2, 3), (2, 3, 5, 5), r"in_channels = 4"),
    (lambda nn: nn.ConvTranspose2d(4, 2, 3), (2, 4, 0, 5), r"\(2, 4, 0, 5\)"),
    (lambda nn: nn.ConvTranspose2d(4, 2, 3, padding=4), IMAGE, "output of -1 by -1"),
    (lambda nn: nn.ConvTranspose2d(4, 2, 3, padding=-1), IMAGE, "padding.*-1"),
    (lambda nn: nn.ConvTranspose2d(4, 2, 3, output_padding=1), IMAGE, "output_padding"),
    (lambda nn: nn.ConvTranspose2d(4, 2, 3, 2, output_padding=-1), IMAGE, "output_padding"),
    (lambda nn: nn.ConvTranspose2d(4, 2, 3, padding_mode="reflect"), IMAGE, "Only 'zeros'"),
    *(
        (make, shape, message)
        for pool in ("MaxPool2d", "AvgPool2d")
        for make, shape, message in [
            (lambda nn, pool=pool: getattr(nn, pool)(2, padding=2), IMAGE, "at most half"),
            (lambda nn, pool=pool: getattr(nn, pool)(2, padding=-1), IMAGE, "at least 0"),
            (lambda nn, pool=pool: getattr(nn, pool)(0), IMAGE, "kernel_size.*0"),
            (lambda nn, pool=pool: getattr(nn, pool)(2, 0), IMAGE, "stride.*0"),
            (lambda nn, pool=pool: getattr(nn, pool)(6), IMAGE, r"too large.*0 by 0"),
            (lambda nn, pool=pool: getattr(nn, pool)((2, 2, 2)), IMAGE, r"\(2, 2, 2\)"),
            (lambda nn, pool=pool: getattr(nn, pool)(2), (5, 5), r"\(5, 5\)"),
            (lambda nn, pool=pool: getattr(nn, pool)(2), (2, 0, 4, 4), r"\(2, 0, 4, 4\)"),
            (lambda nn, pool=pool: getattr(nn, pool)(2), (0, 4, 4), r"\(0, 4, 4\)"),
        ]
    ),
    (lambda nn: nn.MaxPool2d(2, dilation=0), IMAGE, "dilation.*0"),
    (lambda nn: nn.AvgPool2d(2, divisor_override=0), IMAGE, "divisor_override"),
    (lambda nn: nn.AdaptiveAvgPool2d(-1), IMAGE, "-1"),
    (lambda nn: nn.AdaptiveAvgPool2d((2,)), IMAGE, r"\(2,\)"),
    (lambda nn: nn.AdaptiveAvgPool2d(2), (5, 5), r"\(5, 5\)"),
    (lambda nn: nn.AdaptiveAvgPool2d(2), (2, 4, 0, 5), r"\(2, 4, 0, 5\)"),
    (lambda nn: nn.BatchNorm2d(4), (3, 4), "expected 4D input .got 2D input."),
    (lambda nn: nn.BatchNorm2d(4), (4, 5, 5), "got 3D"),
    (lambda nn: nn.BatchNorm2d(3), IMAGE, "num_features=3"),
    (lambda nn: nn.BatchNorm2d(4), (1, 4, 1, 1), "more than 1 value per channel"),
    (lambda nn: nn.LayerNorm(4), (2, 5), r"\(4,\).*\(2, 5\)"),
    (lambda nn: nn.LayerNorm((3, 4)), (4,), r"\(3, 4\).*\(4,\)"),
    (lambda nn: nn.LayerNorm(()), (4,), "at least one axis"),
    (lambda nn: nn.GroupNorm(3, 4), IMAGE, "num_channels .4. must be divisible"),
    (lambda nn: nn.GroupNorm(2, 4), (2, 3, 5), r"num_channels = 4.*\(2, 3, 5\)"),
    (lambda nn: nn.GroupNorm(2, 4), (4,), r"\(4,\)"),
    (lambda nn: nn.GroupNorm(4, 4), (1, 4, 1), "more than 1 value per channel"),
    (lambda nn: nn.Dropout(1.1), IMAGE, "between 0 and 1, but got 1.1"),
    (lambda nn: nn.Dropout(-0.1), IMAGE, "between 0 and 1, but got -0.1"),
]


@pytest.mark.parametrize(("make", "shape", "message"), REFUSED)
def test_what_torch_refuses_is_refused(make: Any, shape: Any, message: str) -> None:
    with pytest.raises((ValueError, RuntimeError, IndexError)):
        make(torch_nn)(torch.zeros(shape))
    with pytest.raises(ValueError, match=message):
        make(numpy_nn)(np.zeros(shape, np.float32))


def test_what_is_not_supported_says_so() -> None:
    with pytest.raises(NotImplementedError, match="return_indices"):
        numpy_nn.MaxPool2d(2, return_indices=True)
    with pytest.raises(NotImplementedError, match="Dropout"):
        numpy_nn.Dropout(inplace=True)
    for make in (
        lambda **kw: numpy_nn.Conv2d(1, 1, 1, **kw),
        lambda **kw: numpy_nn.Conv1d(1, 1, 1, **kw),
        lambda **kw: numpy_nn.ConvTranspose2d(1, 1, 1, **kw),
        lambda **kw: numpy_nn.BatchNorm2d(1, **kw),
        lambda **kw: numpy_nn.LayerNorm(1, **kw),
        lambda **kw: numpy_nn.GroupNorm(1, 1, **kw),
        lambda **kw: numpy_nn.Embedding(1, 1, **kw),
    ):
        with pytest.raises(ValueError, match="'cuda'"):
            make(device="cuda")
        with pytest.raises(TypeError, match=r"float32 or numpy\.float64"):
            make(dtype=np.float16)


def both_ways(name: str, args: Any, kwargs: Any, x: np.ndarray) -> None:
    """Output and input gradient equal torch's to the bit, NaN included."""
    layer, reference = getattr(numpy_nn, name)(*args, **kwargs), None
    reference = getattr(torch_nn, name)(*args, **kwargs)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    expected = reference(tensor)
    # Small whole numbers: their sums are exact in any order.
    dy = np.random.default_rng(0).integers(1, 9, expected.shape).astype(x.dtype)
    expected.backward(torch.from_numpy(dy.copy()))
    assert tensor.grad is not None
    np.testing.assert_array_equal(layer(x), expected.detach().numpy())
    np.testing.assert_array_equal(layer.backward(dy), tensor.grad.numpy())


WINDOWS = [
    (args, {"ceil_mode": ceil})
    for args in [(2,), (2, 1), (3, 2, 1), (3, 1, 1), ((2, 3), (1, 2), (1, 0)), (2, 2, 1, 2), (1, 2)]
    for ceil in (False, True)
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("args", "kwargs"), WINDOWS, ids=str)
def test_of_equal_values_the_first_gets_the_gradient(args: Any, kwargs: Any, dtype: str) -> None:
    rng = np.random.default_rng(0)
    for largest in (1, 2, 4):  # all equal, half of them, a few
        both_ways("MaxPool2d", args, kwargs, rng.integers(0, largest, (2, 3, 7, 6)).astype(dtype))


@pytest.mark.parametrize(("args", "kwargs"), WINDOWS, ids=str)
def test_pooling_of_nan_and_infinities(args: Any, kwargs: Any) -> None:
    rng = np.random.default_rng(0)
    values = np.array([np.nan, -np.inf, np.inf, 0.0, -0.0, 1.0], np.float32)
    for weights in ([0.1, 0.7, 0.05, 0.05, 0.05, 0.05], [0, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]):
        both_ways("MaxPool2d", args, kwargs, rng.choice(values, (3, 2, 7, 6), p=weights))


@st.composite
def convolutions(draw: Any) -> tuple[dict[str, Any], tuple[int, ...]]:
    def one_or_two(low: int, high: int) -> Any:
        number = st.integers(low, high)
        return draw(st.one_of(number, st.tuples(number, number)))

    groups = draw(st.integers(1, 3))
    kwargs = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": one_or_two(1, 4),
        "stride": one_or_two(1, 3),
        "padding": draw(st.sampled_from(["valid", "same", one_or_two(0, 4)])),
        "dilation": one_or_two(1, 3),
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    }
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    batch = draw(st.sampled_from([(), (0,), (1,), (3,)]))
    return kwargs, (*batch, kwargs["in_channels"], *size)


@settings(deadline=None, max_examples=150)
@given(convolutions())
def test_any_convolution(case: tuple[dict[str, Any], tuple[int, ...]]) -> None:
    kwargs, shape = case
    try:
        reference = torch_nn.Conv2d(**kwargs, dtype=torch.float64)
    except ValueError:
        with pytest.raises(ValueError, match="same"):
            numpy_nn.Conv2d(**kwargs)
        return
    layer = numpy_nn.Conv2d(**kwargs, dtype=np.float64)
    layer.load_state_dict(reference.state_dict())
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = reference(tensor)
    except RuntimeError:
        with pytest.raises(ValueError, match=r"larger than the padded input|at most"):
            layer(x)
        return
    dy = rng.normal(size=expected.shape)
    expected.backward(torch.from_numpy(dy))
    assert tensor.grad is not None
    np.testing.assert_allclose(layer(x), expected.detach().numpy(), atol=1e-11)
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), atol=1e-11)
    for name, parameter in layer.named_parameters():
        grad = reference.get_parameter(name).grad
        assert grad is not None
        np.testing.assert_allclose(parameter.grad, grad.numpy(), atol=1e-10)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_pooling(data: Any) -> None:
    def one_or_two(low: int, high: int) -> Any:
        number = st.integers(low, high)
        return data.draw(st.one_of(number, st.tuples(number, number)))

    name = data.draw(st.sampled_from(["MaxPool2d", "AvgPool2d"]))
    kwargs = {
        "kernel_size": one_or_two(1, 5),
        "stride": data.draw(st.one_of(st.none(), st.just(one_or_two(1, 4)))),
        "padding": one_or_two(0, 2),
        "ceil_mode": data.draw(st.booleans()),
    }
    if name == "MaxPool2d":
        kwargs["dilation"] = one_or_two(1, 3)
    else:
        kwargs["count_include_pad"] = data.draw(st.booleans())
        kwargs["divisor_override"] = data.draw(st.sampled_from([None, 1, 5]))
    shape = (
        *data.draw(st.sampled_from([(), (2,)])),
        2,
        *data.draw(st.tuples(*[st.integers(1, 9)] * 2)),
    )
    x = np.random.default_rng(0).normal(size=shape)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    try:
        expected = getattr(torch_nn, name)(**kwargs)(tensor)
    except RuntimeError:
        with pytest.raises(ValueError, match=r"at most half|too large"):
            getattr(numpy_nn, name)(**kwargs)(x)
        return
    # A dilated window that meets nothing but padding: PyTorch's gradient goes astray.
    assume(bool(torch.isfinite(expected).all()))
    layer = getattr(numpy_nn, name)(**kwargs)
    dy = np.random.default_rng(1).normal(size=expected.shape)
    expected.backward(torch.from_numpy(dy))
    assert tensor.grad is not None
    np.testing.assert_allclose(layer(x), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(*[st.integers(1, 9)] * 4)
def test_any_adaptive_pooling(height: int, width: int, rows: int, columns: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, height, width))
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    layer = numpy_nn.AdaptiveAvgPool2d((rows, columns))
    expected = torch_nn.AdaptiveAvgPool2d((rows, columns))(tensor)
    dy = np.random.default_rng(1).normal(size=expected.shape)
    expected.backward(torch.from_numpy(dy))
    assert tensor.grad is not None
    np.testing.assert_allclose(layer(x), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), atol=1e-12)


def test_layers_of_images_in_any_order_of_memory() -> None:
    """A whole net, whose arrays have the channels first in memory, as the convolution leaves."""

    def net(nn: Any, dtype: Any) -> Any:
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, dtype=dtype),
            nn.BatchNorm2d(4, dtype=dtype),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, dtype=dtype),
            nn.LeakyReLU(0.1),
            nn.AvgPool2d(2, 1),
            nn.Flatten(),
            nn.Linear(54, 3, dtype=dtype),
        )

    layer, reference = net(numpy_nn, np.float64), net(torch_nn, torch.float64)
    layer.load_state_dict(reference.state_dict())
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(3, 2, 16, 16)), rng.normal(size=(3, 3))
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    expected = reference(tensor)
    expected.backward(torch.from_numpy(dy))
    assert tensor.grad is not None
    np.testing.assert_allclose(layer(x), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(layer.backward(dy), tensor.grad.numpy(), atol=1e-12)
    for name, parameter in layer.named_parameters():
        grad = reference.get_parameter(name).grad
        assert grad is not None
        np.testing.assert_allclose(parameter.grad, grad.numpy(), atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.75, 1.0])
def test_dropout_draws_torchs_masks(p: float, dtype: str, seed: int) -> None:
    layer, reference = numpy_nn.Dropout(p), torch_nn.Dropout(p)
    numpy_nn.manual_seed(seed)
    torch_nn.default_generator.manual_seed(seed)
    for shape in [(3, 4), (2, 3, 5, 5), (1000,), (0, 3), ()]:
        x = np.asarray(np.random.default_rng(0).normal(size=shape)).astype(dtype)
        tensor = torch.from_numpy(x.copy()).requires_grad_()
        expected = reference(tensor)
        expected.backward(torch.from_numpy(x.copy()))
        assert tensor.grad is not None
        np.testing.assert_array_equal(layer(x), expected.detach().numpy())
        np.testing.assert_array_equal(layer.backward(x), tensor.grad.numpy())
    assert numpy_nn.randperm(5).tolist() == torch_nn.randperm(5).tolist()


def test_dropout_takes_a_mask_once() -> None:
    layer = numpy_nn.Dropout(0.75)
    x = np.arange(1.0, 5.0)
    given = np.array([True, False, False, True])
    layer.mask = given
    np.testing.assert_array_equal(layer(x), [4.0, 0.0, 0.0, 16.0])
    np.testing.assert_array_equal(layer.backward(np.ones(4)), [4.0, 0.0, 0.0, 4.0])
    np.testing.assert_array_equal(layer.last_mask, given)
    assert layer.mask is None
    layer(x)
    assert layer.last_mask is not given
    layer.mask = given
    layer.eval()
    np.testing.assert_array_equal(layer(x), x)
    assert layer.mask is given  # it waits for training
    layer.train()
    layer.mask = given[:2]
    with pytest.raises(ValueError, match=r"\(4,\).*\(2,\)"):
        layer(x)


def test_padding_that_is_too_large_by_one() -> None:
    """The largest that each mode takes, on both sides of the border, as PyTorch does."""
    x = np.random.default_rng(0).normal(size=(1, 1, 3, 4))
    for mode, padding in itertools.product(["reflect", "replicate", "circular"], range(1, 6)):
        reference = torch_nn.Conv2d(1, 1, 1, padding=padding, padding_mode=mode)
        layer = numpy_nn.Conv2d(1, 1, 1, padding=padding, padding_mode=mode).double()
        layer.load_state_dict(reference.state_dict())
        try:
            expected = reference.double()(torch.from_numpy(x)).detach().numpy()
        except RuntimeError:
            with pytest.raises(ValueError, match="allows at most"):
                layer(x)
        else:
            np.testing.assert_allclose(layer(x), expected, atol=1e-15)
