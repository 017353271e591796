"""The layers and the loss, composed of nodes."""

import math
from typing import Any

import numpy as np

from .. import modules
from ..modules import batchnorm
from ..modules.module import Module
from ..modules.padding import sources
from ..modules.validation import check_grad_output, check_input
from .graph import Graph, Value

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "LeakyReLU",
    "Linear",
    "MaxPool2d",
    "ReLU",
]

Pair = tuple[int, int]

# A decorator: like PyTorch's, a layer gives no warning of infinite values or nan.
quiet = np.errstate(all="ignore")


class Composed(Module):
    """Base class of the layers here, in front of the layer of ``numpy_nn`` of the same name.

    The constructor, the parameters and buffers with their initialisation, and the checks of
    the input come from that layer. What is computed does not: a subclass defines ``compose``,
    which applies nodes to the input, and there is no ``backward`` to write. It is the nodes'
    backward in reverse order, the same for every layer.

    Example:
        >>> from numpy_nn.graph import Linear, manual_seed
        >>> _ = manual_seed(0)
        >>> layer = Linear(3, 2)
        >>> y = layer(np.ones((1, 3), np.float32))
        >>> [type(step.node).__name__ for step in layer.graph.steps]
        ['Reshape', 'Transpose', 'MatMul', 'Broadcast', 'Add', 'Reshape']
        >>> layer.backward(np.ones_like(y)).shape
        (1, 3)
    """

    graph: Graph

    def compose(self, x: Value, *rest: Any, **parameters: Any) -> Value:
        """Apply nodes to the input and to the parameters, which come by name (or None)."""
        raise NotImplementedError(f"{type(self).__name__} defines no compose")

    @quiet
    def forward(self, input: np.ndarray, *rest: Any) -> Any:
        """Run the nodes."""
        check_input(self, input)
        self.graph = Graph()
        self._x = self.graph.value(input)
        self._leaves = {
            name: None if parameter is None else self.graph.value(parameter.data)
            for name, parameter in self._parameters.items()
        }
        self._y = self.compose(self._x, *rest, **self._leaves)
        return self._y.data

    @quiet
    def backward(self, grad_output: Any) -> Any:
        """Run the nodes' backward, add to the parameters' gradients, return the input's."""
        output: Value = self._saved("_y")
        check_grad_output(self, grad_output, output.shape, output.data.dtype)
        self.graph.backward(output, grad_output)
        for name, leaf in self._leaves.items():
            parameter = self._parameters[name]
            if parameter is not None and leaf is not None:
                # A copy: the parameter adds to it in place, and it may be another's gradient.
                parameter.accumulate_grad(np.array(leaf.grad))
        return self._x.grad

    def backward_parameters(self, grad_output: Any) -> None:
        """Do as ``backward`` does: a graph goes all the way back."""
        self.backward(grad_output)


class Linear(Composed, modules.Linear):
    """The affine map of :class:`numpy_nn.Linear`, by a matrix product and an addition.

    Formula: y = x Wᵀ + b.
    """

    def compose(self, x: Value, weight: Value, bias: Value | None) -> Value:
        """Compute y = x Wᵀ + b."""
        check_input(self, x.data, weight.data.dtype)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"Linear expects a last axis of in_features={self.in_features}. "
                f"Received: shape {x.shape}"
            )
        y = x.reshape(-1, self.in_features) @ weight.transpose(1, 0)
        if bias is not None:
            y = y + bias
        return y.reshape(*x.shape[:-1], self.out_features)


class ReLU(Composed, modules.ReLU):
    """The rectifier of :class:`numpy_nn.ReLU`, by a choice.

    Formula: y = x, or 0 where x ≤ 0.
    """

    def compose(self, x: Value) -> Value:
        """Choose between x and 0."""
        return x.where(~(x.data <= 0), 0.0)  # so that nan stays nan


class LeakyReLU(Composed, modules.LeakyReLU):
    """The rectifier of :class:`numpy_nn.LeakyReLU`, by a product and a choice.

    Formula: y = x where x > 0, else slope · x.
    """

    def compose(self, x: Value) -> Value:
        """Choose between x and slope · x."""
        return x.where(x.data > 0, self.negative_slope * x)


class _BatchNorm(Composed, batchnorm._BatchNorm):
    """Batch normalisation, step by step.

    Formula, for each channel over its m values:
        μ = Σx / m, c = x − μ, σ² = Σ c c / m, y = γ · c / (σ² + ε)^½ + β.

    The closed formula of its input gradient, dx = γ / √(σ² + ε) · (dy − x̂ dγ / m − dβ / m),
    stands nowhere here. It comes about: x goes into μ and into c, c goes into σ² twice and into
    y, and what comes back along all these ways adds up.
    """

    def compose(self, x: Value, weight: Value | None, bias: Value | None) -> Value:
        """Normalise with the batch's statistics, or with the running ones."""
        self._check(x.data)
        axes = (0, *range(2, x.ndim))
        column = (1, -1, *(1 for _ in axes[1:]))  # one number a channel, beside x
        if self.training or self.running_mean is None:
            m = math.prod(x.shape[axis] for axis in axes)
            if m == 1:
                raise ValueError(
                    "Expected more than 1 value per channel when training, "
                    f"got input size {x.shape}"
                )
            mean = x.sum(axes, keepdims=True) / max(m, 1)
            centred = x - mean
            var = (centred * centred).sum(axes, keepdims=True) / max(m, 1)
            if self.training and self.track_running_stats:
                self._update_running_stats(mean.data.ravel(), var.data.ravel(), m)
        else:
            centred = x - self.running_mean.reshape(column)
            var = x.graph.value(self.running_var.reshape(column))
        y = centred / (var + self.eps) ** 0.5
        if weight is not None:
            y = y * weight.reshape(*column)
        if bias is not None:
            y = y + bias.reshape(*column)
        return y


class BatchNorm1d(_BatchNorm, modules.BatchNorm1d):
    """The normalisation of :class:`numpy_nn.BatchNorm1d`, of vectors or sequences.

    Formula, for each channel over its m = N·L values:
        μ = Σx / m, c = x − μ, σ² = Σ c c / m, y = γ · c / (σ² + ε)^½ + β.
    """


class BatchNorm2d(_BatchNorm, modules.BatchNorm2d):
    """The normalisation of :class:`numpy_nn.BatchNorm2d`, of images: the same, m = N·H·W."""


class Conv2d(Composed, modules.Conv2d):
    """The convolution of :class:`numpy_nn.Conv2d`, by picking windows and one matrix product.

    Formula, with the values under the kernel as the columns of a matrix X: y = W X + b; for
    each group of channels on its own.
    """

    def compose(self, x: Value, weight: Value, bias: Value | None) -> Value:
        """Pad, pick the windows, multiply, add."""
        check_input(self, x.data, weight.data.dtype)
        if x.ndim not in (3, 4) or x.shape[-3] != self.in_channels or 0 in x.shape[-2:]:
            raise ValueError(
                f"Conv2d expects (N, C, H, W) or (C, H, W) with C = in_channels = "
                f"{self.in_channels} and images that are not empty. Received: shape {x.shape}"
            )
        batch = x if x.ndim == 4 else x.reshape(1, *x.shape)
        padded = self._pad(batch)
        n, c, *size = padded.shape
        height, width = (
            (length - d * (k - 1) - 1) // s + 1
            for length, k, s, d in zip(
                size, self.kernel_size, self.stride, self.dilation, strict=True
            )
        )
        if min(height, width) < 1:
            raise ValueError(
                f"Conv2d: the kernel {self.kernel_size} with dilation {self.dilation} is larger "
                f"than the padded input {tuple(size)}. Received: shape {x.shape}"
            )

        picked = _windows(padded, self.kernel_size, self.stride, self.dilation, (height, width))
        depth = c // self.groups * math.prod(self.kernel_size)
        columns = picked.transpose(1, 2, 3, 0, 4, 5).reshape(self.groups, depth, n * height * width)
        y = weight.reshape(self.groups, self.out_channels // self.groups, depth) @ columns
        y = y.reshape(self.out_channels, n, height, width).transpose(1, 0, 2, 3)
        if bias is not None:
            y = y + bias.reshape(-1, 1, 1)
        return y if x.ndim == 4 else y.reshape(*y.shape[1:])

    def _pad(self, x: Value) -> Value:
        """With a border of zeros, or of values picked from the image itself."""
        if self.padding == "valid":
            return x
        if self.padding == "same":
            reach = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            rows, columns = ((r // 2, r - r // 2) for r in reach)
        else:
            rows, columns = ((p, p) for p in self.padding)
        if self.padding_mode == "zeros":
            return x.pad((0, 0), (0, 0), rows, columns)
        down, across = (
            sources(self.padding_mode, length, around)
            for length, around in zip(x.shape[2:], (rows, columns), strict=True)
        )
        return x[:, :, down[:, None], across]


class MaxPool2d(Composed, modules.MaxPool2d):
    """The pooling of :class:`numpy_nn.MaxPool2d`, by picking windows and one maximum.

    Formula: y = max over each window of x, which −∞ surrounds.

    Convention: of equal values the first in the window gets the gradient. Two things are not
    PyTorch's: of several nan the first gets it too, not the last; and where a window has
    nothing but −∞, the padding may.
    """

    def compose(self, x: Value) -> Value:
        """Pad, pick the windows, find the largest."""
        output = self._output_size(x.data)
        around = [(0, 0) for _ in x.shape[:-2]]
        for axis, size in enumerate(x.shape[-2:]):
            before = self._padding[axis]
            reach = self._dilation[axis] * (self._kernel[axis] - 1)
            last = self._stride[axis] * (output[axis] - 1) + reach - before
            around.append((before, max(last + 1 - size, 0)))
        batch = x.pad(*around, value=-np.inf)
        if x.ndim == 3:
            batch = batch.reshape(1, *batch.shape)
        picked = _windows(batch, self._kernel, self._stride, self._dilation, output)
        y = picked.max(axis=(2, 3))
        return y if x.ndim == 4 else y.reshape(*y.shape[1:])


class Flatten(Composed, modules.Flatten):
    """The merging of axes of :class:`numpy_nn.Flatten`, by one reshape."""

    def compose(self, x: Value) -> Value:
        """Give the array the shape that the layer of NumPy gives it."""
        return x.reshape(*modules.Flatten.forward(self, x.data).shape)


class Dropout(Composed, modules.Dropout):
    """The dropout of :class:`numpy_nn.Dropout`, by a product with the noise.

    Formula: y = x · r, with r = m / (1 − p): what the layer of NumPy makes of ones.
    """

    def compose(self, x: Value) -> Value:
        """Draw the noise and multiply."""
        return x * modules.Dropout.forward(self, np.ones_like(x.data))


class CrossEntropyLoss(Composed, modules.CrossEntropyLoss):
    """The loss of :class:`numpy_nn.CrossEntropyLoss`, by a stable log Σ exp.

    Formula, with v the weight of each class in the target:
        t = x − max x, l = Σ꜀ v꜀ (log Σₖ exp tₖ − t꜀).

    Without the maximum exp would overflow; with it the sum lies between 1 and C. The gradient
    through the maximum is 0, and here it comes out as such but for rounding: what reaches it
    from t and from log Σ exp cancels.
    """

    def compose(self, x: Value, target: Any) -> Value:
        """Compute the loss of each sample, and their sum or mean."""
        self._check(x.data, target)
        target = np.asarray(target)
        if target.dtype.kind == "f" and target.dtype != x.data.dtype:
            raise TypeError(
                f"CrossEntropyLoss of numpy_nn.graph expects class probabilities of the input's "
                f"dtype {x.data.dtype}. Received: {target.dtype}"
            )
        shape = () if x.ndim == 1 else (x.shape[0], *x.shape[2:])
        rows = _classes_last(x)
        shifted = rows - rows.max(axis=1, keepdims=True)
        minus_log_p = shifted.exp().sum(axis=1, keepdims=True).log() - shifted

        if target.dtype.kind == "f":
            distribution = _classes_last(x.graph.value(target)).data
            losses = (self._weighted(distribution) * minus_log_p).sum(axis=1)
            size: Any = rows.shape[0]
        else:
            losses, size = self._of_classes(minus_log_p, target.ravel())

        if self.reduction == "none":
            return losses.reshape(*shape)
        return losses.sum() if self.reduction == "sum" else losses.sum() / size

    def _of_classes(self, minus_log_p: Value, classes: np.ndarray) -> tuple[Value, Any]:
        """The losses for class indices, and what their mean divides by."""
        samples, count = minus_log_p.shape
        counted = classes != self.ignore_index
        classes = np.where(counted, classes, 0)
        wrong = (classes < 0) | (classes >= count)
        if wrong.any():
            raise IndexError(
                f"Target {classes[wrong][0]} is out of bounds: there are {count} classes"
            )
        weight = np.ones(count, minus_log_p.data.dtype) if self.weight is None else self.weight
        if self.label_smoothing == 0:
            losses = minus_log_p[np.arange(samples), classes] * weight[classes]
        else:
            one_hot = np.eye(count, dtype=minus_log_p.data.dtype)[classes]
            losses = (self._weighted(one_hot) * minus_log_p).sum(axis=1)
        return losses.where(counted, 0.0), weight[classes][counted].sum()

    def forward(self, input: np.ndarray, target: Any) -> Any:
        """Run the nodes; a loss is a NumPy scalar, or an array with reduction "none"."""
        loss = super().forward(input, target)
        return loss if self.reduction == "none" else loss[()]

    def backward(self, grad_output: Any = 1.0) -> Any:
        """Run the nodes' backward; return the gradient by the input."""
        loss = self._saved("_y").data
        if np.ndim(grad_output) == 0 and (loss.ndim == 0 or grad_output == 1.0):
            grad_output = np.full_like(loss, grad_output)
        return super().backward(grad_output)

    def _weighted(self, distribution: np.ndarray) -> np.ndarray:
        """v = w · ((1 − s) q + s / C) for a target q in each row."""
        s = self.label_smoothing
        smoothed = distribution * (1 - s) + s / distribution.shape[1]
        return smoothed if self.weight is None else smoothed * self.weight


def _classes_last(x: Value) -> Value:
    """(C,), (N, C) or (N, C, d₁, …) as (samples, C)."""
    if x.ndim == 1:
        return x.reshape(1, -1)
    moved = x.transpose(0, *range(2, x.ndim), 1)
    return moved.reshape(math.prod(moved.shape[:-1]), x.shape[1])


def _windows(x: Value, kernel: Pair, stride: Pair, dilation: Pair, output: Pair) -> Value:
    """What lies under the kernel, at every position.

    Formula: z[n, c, k, l, i, j] = x[n, c, si + dk, sj + dl]. An element that lies in several
    windows is picked as often, and its gradient is the sum over all of them.

    Args:
        x: images (N, C, H, W), padded.
        kernel: height and width of the kernel.
        stride: s, from one position to the next.
        dilation: d, from one point of the kernel to the next.
        output: how many positions there are, along both axes.

    Returns:
        (N, C, kernel height, kernel width, output height, output width).

    Example:
        >>> from numpy_nn.graph import Graph
        >>> x = Graph().value(np.arange(9.0).reshape(1, 1, 3, 3))
        >>> z = _windows(x, (2, 2), (1, 1), (1, 1), (2, 2))
        >>> z.data[0, 0, :, :, 0, 1].tolist()
        [[1.0, 2.0], [4.0, 5.0]]
    """
    rows, columns = (
        d * np.arange(k)[:, None] + s * np.arange(n)
        for k, s, d, n in zip(kernel, stride, dilation, output, strict=True)
    )
    return x[:, :, rows[:, None, :, None], columns[None, :, None, :]]
