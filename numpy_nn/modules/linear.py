"""The affine layer, and the layer that does nothing."""

import math
from typing import Any

import numpy as np

from .._kernels.memory import matmul
from .._kernels.reductions import add_to_rows, batch_sum
from ..init import kaiming_uniform_, uniform_
from ..parameter import Parameter
from .module import Module
from .validation import check_device, check_grad_output, check_input, float_dtype

__all__ = ["Identity", "Linear"]


class Identity(Module):
    """Returns its input.

    Formula: y = x, dx = dy.

    Args:
        args: any argument.
        kwargs: any keyword argument. PyTorch documents that its layer takes both and uses
            neither, and so does this one.

    Shape:
        any; the output has the input's.

    Example:
        >>> import numpy
        >>> Identity(54, unused=True)(numpy.ones(2))
        array([1., 1.])
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """Return the input."""
        return input

    def backward(self, grad_output: Any) -> Any:
        """Return the gradient."""
        return grad_output


class Linear(Module):
    """An affine map of the last axis.

    Formula: y = x Wᵀ + b; dW = dyᵀ x, db = Σₙ dy, dx = dy W.

    Args:
        in_features: size of each input row.
        out_features: size of each output row.
        bias: whether there is a b.
        device: None only.
        dtype: ``numpy.float32`` (the default) or ``numpy.float64``.

    Shape:
        input (*, in_features) with any number of leading axes, none included;
        output (*, out_features).

    Attributes:
        weight: W of shape (out_features, in_features), drawn from U(−k, k) with
            k = 1/√in_features (Kaiming-uniform with a = √5), as PyTorch draws it.
        bias: b of shape (out_features,), from the same distribution, or None.

    Raises:
        TypeError: if the input's dtype is not that of the parameters.
        ValueError: if its last axis is not in_features.

    Example:
        >>> import numpy
        >>> layer = Linear(20, 30)
        >>> layer(numpy.ones((128, 20), numpy.float32)).shape
        (128, 30)
    """

    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_device(device)
        dtype = float_dtype(dtype)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        if bias:
            self.bias = Parameter(np.empty(out_features, dtype))
        else:
            self.register_parameter("bias", None)
        self._input: np.ndarray | None = None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again, from the default generator."""
        kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            uniform_(self.bias, -bound, bound)

    def forward(self, input: np.ndarray) -> np.ndarray:
        """Compute y = x Wᵀ + b."""
        check_input(self, input, self.weight.dtype)
        if input.ndim == 0 or input.shape[-1] != self.in_features:
            raise ValueError(
                f"Linear expects a last axis of in_features={self.in_features}. "
                f"Received: shape {input.shape}"
            )
        self._input = x = input
        y = matmul(x, self.weight.data.T)
        if self.bias is not None:
            add_to_rows(y, self.bias.data)
        return y

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Add dW and db to the gradients; return dx = dy W."""
        self.backward_parameters(grad_output)
        x = self._saved("_input")
        return matmul(grad_output, self.weight.data, like=x if x.ndim == 2 else None)

    def backward_parameters(self, grad_output: np.ndarray) -> None:
        """Add dW = dyᵀ x and db = Σₙ dy to the gradients."""
        x = self._saved("_input")
        check_grad_output(self, grad_output, (*x.shape[:-1], self.out_features), x.dtype)
        dy = grad_output.reshape(-1, self.out_features)
        self.weight.accumulate_grad(matmul(dy.T, x.reshape(-1, self.in_features)))
        if self.bias is not None:
            self.bias.accumulate_grad(batch_sum(dy))

    def extra_repr(self) -> str:
        """Sizes, and whether there is a bias."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
