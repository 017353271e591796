"""The table of rows against PyTorch."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn
import torch_nn

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("indices", ["int64", "int32"])
@pytest.mark.parametrize("shape", [(), (7,), (2, 5), (2, 3, 4), (0, 3)])
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"padding_idx": 2}, {"padding_idx": -1}, {"scale_grad_by_freq": True}],
    ids=str,
)
def test_equals_torch(kwargs: Any, shape: Any, indices: str, dtype: str, close: Any) -> None:
    """Output and gradient, accumulated over two steps, under random gradients; and printing."""
    layer = numpy_nn.Embedding(5, 3, **kwargs, dtype=dtype)
    reference = torch_nn.Embedding(5, 3, **kwargs, dtype=getattr(torch, dtype))
    assert repr(layer) == repr(reference)
    assert list(layer.state_dict()) == list(reference.state_dict())
    reference.load_state_dict({"weight": torch.from_numpy(layer.weight.data.copy())})
    rng = np.random.default_rng(0)
    for _ in range(2):
        x = np.asarray(rng.integers(0, 5, shape)).astype(indices)
        given = x.copy()
        y = layer(x)
        expected = reference(torch.from_numpy(x.copy()))
        close(y, expected.detach().numpy(), "module", "output")
        dy = rng.normal(size=y.shape).astype(dtype)
        expected.backward(torch.from_numpy(dy.copy()))
        dx = layer.backward(dy)
        assert dx.shape == shape
        assert not dx.any()
        assert (x == given).all()
        assert reference.weight.grad is not None
        close(layer.weight.grad, reference.weight.grad.numpy(), "module", "gradient")


def test_a_row_of_the_output_is_a_copy() -> None:
    layer = numpy_nn.Embedding(5, 3)
    kept = layer.weight.data.copy()
    layer(np.array([1, 1]))[...] = 9
    assert (layer.weight.data == kept).all()


@pytest.mark.parametrize("seed", range(5))
def test_first_values(seed: int, close: Any) -> None:
    numpy_nn.manual_seed(seed)
    torch_nn.default_generator.manual_seed(seed)
    layer, reference = (nn.Embedding(20, 4, padding_idx=3) for nn in (numpy_nn, torch_nn))
    close(layer.weight.data, reference.weight.detach().numpy(), "normal", "weight")
    assert (layer.weight.data[3] == 0).all()


@pytest.mark.parametrize("row", [5, -1])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(IndexError):
        torch_nn.Embedding(5, 3)(torch.tensor([row]))
    with pytest.raises(IndexError, match=rf"rows 0 to 4\. Received: {row}"):
        numpy_nn.Embedding(5, 3)(np.array([1, row]))


def test_what_does_not_fit_is_refused() -> None:
    for padding_idx in (5, -6):
        with pytest.raises(ValueError, match="padding_idx"):
            numpy_nn.Embedding(5, 3, padding_idx=padding_idx)
    for array in (np.ones(2), np.ones(2, np.int16), [1, 2]):
        with pytest.raises(TypeError, match=r"float64|int16|list"):
            numpy_nn.Embedding(5, 3)(array)  # type: ignore[arg-type]
    layer = numpy_nn.Embedding(5, 3)
    with pytest.raises(RuntimeError, match="before forward"):
        layer.backward(np.ones((2, 3), np.float32))
    layer(np.array([1, 2]))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3,\)"):
        layer.backward(np.ones(3, np.float32))
    given = np.ones((5, 3), np.float32)
    assert numpy_nn.Embedding(5, 3, _weight=given).weight.data is given
    with pytest.raises(ValueError, match=r"\(5, 3\).*\(3, 5\)"):
        numpy_nn.Embedding(5, 3, _weight=given.T)


@pytest.mark.parametrize(
    "kwargs", [{"max_norm": 1.0}, {"norm_type": 1.0}, {"sparse": True}, {"_freeze": True}], ids=str
)
def test_what_is_not_supported_says_so(kwargs: Any) -> None:
    with pytest.raises(NotImplementedError, match=next(iter(kwargs))):
        numpy_nn.Embedding(5, 3, **kwargs)
