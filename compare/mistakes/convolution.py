"""Mistakes in the layers of networks for images: convolution, pooling, flattening, dropout."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from compare.mistakes.mistake import Catalogue, Mistake

Array = np.ndarray


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _windows(padded: Array, kernel: tuple, stride: tuple, size: tuple) -> Array:
    """(N, C, k, l, H', W'): the values under each position of the kernel."""
    out = np.empty((*padded.shape[:2], *kernel, *size), padded.dtype)
    for k, m in product(range(kernel[0]), range(kernel[1])):
        rows = slice(k, k + stride[0] * size[0], stride[0])
        columns = slice(m, m + stride[1] * size[1], stride[1])
        out[:, :, k, m] = padded[:, :, rows, columns]
    return out


def _put_back(
    windows: Array,
    padded: Array,
    kernel: tuple,
    stride: tuple,
    add: bool,
    chosen: Array | None = None,
) -> Array:
    """Add, or by mistake write, the values of windows (those chosen) where they came from."""
    out = np.zeros_like(padded)
    size = windows.shape[4:]
    for i, j in product(range(size[0]), range(size[1])):
        rows = slice(i * stride[0], i * stride[0] + kernel[0])
        columns = slice(j * stride[1], j * stride[1] + kernel[1])
        if add:
            out[:, :, rows, columns] += windows[..., i, j]
        elif chosen is None:
            out[:, :, rows, columns] = windows[..., i, j]
        else:
            old = out[:, :, rows, columns]
            out[:, :, rows, columns] = np.where(chosen[..., i, j], windows[..., i, j], old)
    return out


def _padded(x: Array, padding: tuple, value: float = 0.0) -> Array:
    widths = ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)
    return np.pad(x, widths, constant_values=value)


def _cropped(x: Array, padding: tuple) -> Array:
    return x[:, :, padding[0] : x.shape[2] - padding[0], padding[1] : x.shape[3] - padding[1]]


def _output_size(padded: Array, kernel: tuple, stride: tuple) -> tuple[int, ...]:
    return tuple((padded.shape[2 + a] - kernel[a]) // stride[a] + 1 for a in (0, 1))


def wrong_convolution(
    kernel_of: Callable[[Array], Array],
    backward_too: bool,
    add: bool = True,
    with_bias: bool = True,
) -> dict[str, Callable]:
    """A convolution with another kernel, or whose overlapping gradients overwrite each other."""

    def forward(self: Any, x: Array) -> Array:
        stride, padding = _pair(self.stride), _pair(self.padding)
        padded = _padded(x, padding)
        kernel = self.weight.data.shape[2:]
        windows = _windows(padded, kernel, stride, _output_size(padded, kernel, stride))
        self._for_backward = windows, padded, kernel, stride, padding
        y = np.einsum("nckmij,ockm->noij", windows, kernel_of(self.weight.data))
        return y + self.bias.data[:, None, None] if self.bias is not None and with_bias else y

    def backward(self: Any, dy: Array) -> Array:
        windows, padded, kernel, stride, padding = self._for_backward
        undo = kernel_of if backward_too else _as_it_is
        self.weight.grad = np.ascontiguousarray(undo(np.einsum("nckmij,noij->ockm", windows, dy)))
        if self.bias is not None:
            self.bias.grad = dy.sum(axis=(0, 2, 3))
        back = np.einsum("ockm,noij->nckmij", undo(self.weight.data), dy)
        return _cropped(_put_back(back, padded, kernel, stride, add), padding)

    return {"forward": forward, "backward": backward}


def _as_it_is(kernel: Array) -> Array:
    return kernel


def _flipped(kernel: Array) -> Array:
    return kernel[:, :, ::-1, ::-1]


def _transposed(kernel: Array) -> Array:
    return kernel.swapaxes(2, 3)


def convolution(layer: Any) -> Iterator[Mistake]:
    """Mistakes in a plain convolution."""
    plain = layer.groups == 1 and _pair(layer.dilation) == (1, 1)
    if not plain or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return
    words = (
        "the kernel is flipped{}: what the field calls a convolution is a cross-correlation, "
        "y[i, j] = Σ w[k, l] x[i + k, j + l]"
    )
    yield Mistake("flipped-kernel", words.format(""), wrong_convolution(_flipped, True))
    yield Mistake(
        "flipped-kernel",
        words.format(" in the forward direction alone"),
        wrong_convolution(_flipped, False),
    )
    if layer.weight.data.shape[2] == layer.weight.data.shape[3]:
        yield Mistake(
            "transposed",
            "the kernel is square and is used with rows and columns exchanged",
            wrong_convolution(_transposed, True),
        )
    if layer.bias is not None:
        yield Mistake(
            "missing-bias",
            "the bias of the convolution is not added: y = x ⋆ W + b, b for each output channel",
            wrong_convolution(_as_it_is, False, with_bias=False),
        )
    yield Mistake(
        "pool-overwrite",
        "the input gradient is written with = where windows overlap; it must be added with +=",
        wrong_convolution(_as_it_is, False, add=False),
    )


def wrong_max_pool(
    ties: str = "first", add: bool = True, whole_window: bool = True
) -> dict[str, Callable]:
    """A max-pooling that treats ties, or overlapping windows, in another way."""

    def forward(self: Any, x: Array) -> Array:
        kernel, padding = _pair(self.kernel_size), _pair(self.padding)
        stride = kernel if self.stride is None else _pair(self.stride)
        padded = _padded(x, padding, -np.inf)
        windows = _windows(padded, kernel, stride, _output_size(padded, kernel, stride))
        self._for_backward = windows, padded, kernel, stride, padding
        return windows.max(axis=(2, 3))

    def backward(self: Any, dy: Array) -> Array:
        windows, padded, kernel, stride, padding = self._for_backward
        n, c = windows.shape[:2]
        flat = windows.reshape(n, c, -1, *windows.shape[4:])
        largest = flat == flat.max(axis=2, keepdims=True)
        if ties == "first":
            share = largest & (np.cumsum(largest, axis=2) == 1)
        elif ties == "last":
            after = np.cumsum(largest[:, :, ::-1], axis=2)[:, :, ::-1]
            share = largest & (after == 1)
        elif ties == "shared":
            share = largest / largest.sum(axis=2, keepdims=True)
        else:
            share = largest
        back = (share * dy[:, :, None]).reshape(windows.shape)
        chosen = None if whole_window else (share > 0).reshape(windows.shape)
        return _cropped(_put_back(back, padded, kernel, stride, add, chosen), padding)

    return {"forward": forward, "backward": backward}


def max_pool(layer: Any) -> Iterator[Mistake]:
    """Mistakes in a plain max-pooling."""
    if _pair(layer.dilation) != (1, 1) or layer.ceil_mode:
        return
    for whole_window in (True, False):
        yield Mistake(
            "pool-overwrite",
            "the input gradient is written with = where windows overlap; it must be added with +=",
            wrong_max_pool(add=False, whole_window=whole_window),
        )
    for ties, words in (
        ("all", "every one of several equal largest values gets the whole gradient"),
        ("shared", "several equal largest values share the gradient"),
        ("last", "the last of several equal largest values gets the gradient"),
    ):
        yield Mistake("pool-ties", f"{words}; it goes to the first", wrong_max_pool(ties))


def flatten(_: Any) -> Iterator[Mistake]:
    """Channels last."""

    def forward(self: Any, x: Array) -> Array:
        self._for_backward = x.shape
        return x.transpose(0, 2, 3, 1).reshape(len(x), -1) if x.ndim == 4 else x.reshape(len(x), -1)

    def backward(self: Any, dy: Array) -> Array:
        shape = self._for_backward
        if len(shape) != 4:
            return dy.reshape(shape)
        n, c, h, w = shape
        return dy.reshape(n, h, w, c).transpose(0, 3, 1, 2)

    yield Mistake(
        "flatten-order",
        "the image is flattened with its channels last; the next layer expects (C, H, W) order: "
        "transpose to channels first before the reshape",
        {"forward": forward, "backward": backward},
    )


def dropout(layer: Any) -> Iterator[Mistake]:
    """Masks without 1/(1 − p); the mask is that of the right layer."""
    kept = 1 - layer.p
    code = "unscaled-dropout"
    for words, forward_scale, backward_scale in (
        ("in both directions", 1.0, 1.0),
        ("in the forward direction", 1.0, 1 / kept if kept else 1.0),
        ("in the backward direction", 1 / kept if kept else 1.0, 1.0),
    ):
        yield Mistake(
            code,
            f"the values that are kept are not divided by 1 − p = {kept:g} {words}: "
            "y = x m / (1 − p), so that their mean stays what it is in evaluation mode",
            _masked(forward_scale, backward_scale),
        )
    yield Mistake(
        code,
        f"the values that are kept are not divided by 1 − p = {kept:g}; evaluation multiplies by "
        "it instead. The two ways have the same mean, but PyTorch's is the other one: "
        "y = x m / (1 − p) in training, and y = x in evaluation",
        _masked(1.0, 1.0, kept),
    )


def _masked(forward: float, backward: float, evaluation: float = 1.0) -> dict[str, Callable]:
    """A Dropout with other factors; in evaluation mode it leaves the gradient alone."""

    def wrong_forward(self: Any, x: Array) -> Array:
        if not self.training:
            self._for_backward = None
            return x * evaluation
        self._for_backward = np.ones(x.shape) if self.mask is None else self.mask
        return x * self._for_backward * forward

    def wrong_backward(self: Any, dy: Array) -> Array:
        return dy if self._for_backward is None else dy * self._for_backward * backward

    return {"forward": wrong_forward, "backward": wrong_backward}


CONVOLUTION: Catalogue = {
    "Conv2d": convolution,
    "MaxPool2d": max_pool,
    "Flatten": flatten,
    "Dropout": dropout,
}
