"""cs231n, assignments 1 and 2: the functions of layers.py, each pair as a layer.

The network is made of the layers that are written, and each is asked alone:

    conv → spatial batchnorm → spatial groupnorm → max pool → affine → batchnorm → layernorm
    → relu → dropout → affine → softmax

The pool has no relu before it, so that no two values of a window are equal: the course does not say
which of them gets the gradient. Dropout has p = 0.5, because the course's p was first the share
that is dropped, and is now the share that is kept.
"""

from __future__ import annotations

import numpy as np

from compare.check.adapters import (
    AdaptationError,
    Entry,
    FunctionLayer,
    cost_layer,
    layers_of,
    named,
    network_of,
    not_written,
    parameters_of,
)

CLASSES, WIDTH, CHANNELS, FILTERS, GROUPS = 5, 8, 2, 4, 2
# The images have 8 pixels a side, 4 behind the convolution, and 3 behind the pool, whose
# windows overlap.
FLAT, FLAT_POOLED = FILTERS * 4 * 4, FILTERS * 3 * 3
POOL = {"pool_height": 2, "pool_width": 2, "stride": 1}
ATTRIBUTES = {"weight": "weight_gradient", "bias": "bias_gradient"}
NOTES: list[str] = []


class Affine(FunctionLayer):
    """Affine, whose x has several axes, as the course says: (N, d_1, …, d_k)."""

    def forward(self, x):
        """Run the function with x of shape (N, 2, D / 2)."""
        self._shape = x.shape
        return super().forward(x.reshape(len(x), 2, -1))

    def backward(self, dout):
        """Run the function, whose dx must have the shape of its x."""
        n, *rest = self._shape
        expected = (n, 2, int(np.prod(rest)) // 2)
        dx = super().backward(dout)
        if np.shape(dx) != expected:
            raise AdaptationError(
                "affine_backward should return dx in the shape of x, here "
                f"{expected}, but its shape is {np.shape(dx)}"
            )
        return dx.reshape(self._shape)


class Normalisation(FunctionLayer):
    """Batch normalisation, whose running statistics are in the dict of its settings."""

    running_mean = running_var = None

    def forward(self, x):
        """Run the function in training mode."""
        settings = {"mode": "train", "eps": 1e-5, "momentum": 0.9}
        for name in ("running_mean", "running_var"):
            if getattr(self, name) is not None:
                settings[name] = getattr(self, name)
        self.arguments[2:] = [settings]
        out = super().forward(x)
        self.running_mean = settings.get("running_mean")
        self.running_var = settings.get("running_var")
        return out


class DropoutLayer(FunctionLayer):
    """Dropout, told by an attribute whether it is training."""

    mode = "train"

    def forward(self, x):
        """Run the function in its present mode."""
        self.arguments = [{"p": 0.5, "mode": self.mode}]
        return super().forward(x)


class GroupNormalisation(FunctionLayer):
    """Group normalisation, whose parameters have the shape (1, C, 1, 1)."""

    def backward(self, dout):
        """Run the function; the gradient of gamma, too, is made flat."""
        dx = super().backward(dout)
        self.weight_gradient = np.ravel(self.weight_gradient)
        return dx


def _try(forward, backward, x, *arguments, out=None):
    """Whether forward and backward are written; what is not is noted.

    Args:
        forward: The name of the function.
        backward: The name of the other.
        x: An input to try it with.
        arguments: What comes after x.
        out: The gradient by the output; x if it has the same shape.
    """
    first, second = globals().get(forward), globals().get(backward)
    why = not_written(first, x, *arguments)
    if why:
        _absent.setdefault(why, []).append(forward)
        return None
    try:
        _, cache = first(x, *arguments)
    except Exception:  # it is written, and is asked again where its error is reported
        return first, second
    why = not_written(second, np.ones_like(x if out is None else out), cache)
    if why:
        _forward_only.append(f"{backward} {why}")
        return first, None
    return first, second


def _absences():
    """The functions that are not written, and why they are taken not to be."""
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in _absent.items())


_absent: dict[str, list[str]] = {}
_forward_only: list[str] = []
_rows = np.arange(12.0).reshape(3, 4) ** 2
_images = np.arange(96.0).reshape(3, 2, 4, 4) ** 2
_one, _two = np.ones(4), np.ones(2)
_kernel = np.ones((2, 2, 3, 3))
_pooled = np.ones((3, 2, 3, 3))

affine = _try("affine_forward", "affine_backward", _rows, np.eye(4), _one)
relu = _try("relu_forward", "relu_backward", _rows)
batchnorm = _try("batchnorm_forward", "batchnorm_backward", _rows, _one, _one, {"mode": "train"})
layernorm = _try("layernorm_forward", "layernorm_backward", _rows, _one, _one, {})
dropout = _try("dropout_forward", "dropout_backward", _rows, {"mode": "train", "p": 0.5})
conv = _try(
    "conv_forward_naive", "conv_backward_naive", _images, _kernel, _two, {"stride": 1, "pad": 1}
)
pool = _try("max_pool_forward_naive", "max_pool_backward_naive", _images, POOL, out=_pooled)
spatial_batchnorm = _try(
    "spatial_batchnorm_forward", "spatial_batchnorm_backward", _images, _two, _two,
    {"mode": "train"},
)  # fmt: skip
spatial_groupnorm = _try(
    "spatial_groupnorm_forward", "spatial_groupnorm_backward", _images,
    np.ones((1, 2, 1, 1)), np.ones((1, 2, 1, 1)), 2, {},
)  # fmt: skip
softmax = globals().get("softmax_loss")
_why = not_written(softmax, _rows, np.array([0, 1, 2]))
if _why:
    _absent.setdefault(_why, []).append("softmax_loss")
    softmax = None

if affine is None and conv is None:
    raise AdaptationError(
        "expected affine_forward or conv_forward_naive as the first layer of a network, but "
        f"{_absences()}"
    )


def _entries():
    """The layers that are written, in order."""
    if conv is not None:
        yield Entry(
            "conv",
            lambda nn: nn.Conv2d(CHANNELS, FILTERS, 4, stride=2, padding=1),
            lambda w, b: named("conv")(*conv, w, b, {"stride": 2, "pad": 1}, parameters=2),
            "weight bias",
        )
        if spatial_batchnorm is not None:
            yield Entry(
                "spatial_batchnorm",
                lambda nn: nn.BatchNorm2d(FILTERS),
                lambda gamma, beta: named("spatial_batchnorm", Normalisation)(
                    *spatial_batchnorm, gamma, beta, parameters=2
                ),
                "weight bias running_mean running_var",
            )
        if spatial_groupnorm is not None:
            yield Entry(
                "spatial_groupnorm", lambda nn: nn.GroupNorm(GROUPS, FILTERS),
                lambda gamma, beta: named("spatial_groupnorm", GroupNormalisation)(
                    *spatial_groupnorm, gamma.reshape(1, -1, 1, 1), beta.reshape(1, -1, 1, 1),
                    GROUPS, {"eps": 1e-5}, parameters=2,
                ),
                "weight bias",
            )  # fmt: skip
        if pool is not None:
            yield Entry(
                "max_pool",
                lambda nn: nn.MaxPool2d(2, stride=1),
                lambda: named("max_pool")(*pool, POOL),
            )
        if affine is not None:
            yield Entry("flatten", lambda nn: nn.Flatten())  # affine takes x of any shape
    if affine is not None:
        yield _affine(
            "affine1", 12 if conv is None else FLAT if pool is None else FLAT_POOLED, WIDTH
        )
        if batchnorm is not None:
            yield Entry(
                "batchnorm",
                lambda nn: nn.BatchNorm1d(WIDTH),
                lambda gamma, beta: named("batchnorm", Normalisation)(
                    *batchnorm, gamma, beta, parameters=2
                ),
                "weight bias running_mean running_var",
            )
        if layernorm is not None:
            yield Entry(
                "layernorm",
                lambda nn: nn.LayerNorm(WIDTH),
                lambda gamma, beta: named("layernorm")(
                    *layernorm, gamma, beta, {"eps": 1e-5}, parameters=2
                ),
                "weight bias",
            )
    if relu is not None:
        yield Entry("relu", lambda nn: nn.ReLU(), lambda: named("relu")(*relu))
    if dropout is not None:
        yield Entry(
            "dropout", lambda nn: nn.Dropout(0.5), lambda: named("dropout", DropoutLayer)(*dropout)
        )
    if affine is not None:
        yield _affine("affine2", WIDTH, CLASSES)


def _affine(name, inputs, outputs):
    return Entry(
        name,
        lambda nn: nn.Linear(inputs, outputs),
        lambda w, b: named("affine", Affine)(*affine, w, b, parameters=2),
        "weight.T bias",
    )


_entries_of_file = list(_entries())
PARAMETERS = parameters_of(_entries_of_file)
LOSS = "cross_entropy" if affine is not None else "mse"

if _absent:
    NOTES.append(f"Left out of the comparison: {_absences()}.")
_behind = {"batchnorm": batchnorm, "layernorm": layernorm, "softmax_loss": softmax}
if affine is None and any(_behind.values()):
    _written = [name for name, functions in _behind.items() if functions]
    NOTES.append(f"Left out of the comparison without affine before it: {', '.join(_written)}.")
if _forward_only:
    NOTES.append(f"Compared in the forward direction only: {'; '.join(_forward_only)}.")
if "svm_loss" in globals():
    NOTES.append("svm_loss is not compared: the contract has no hinge loss.")


def architecture(nn):
    """The network of the layers that are written."""
    return network_of(_entries_of_file, nn)


def network(params):
    """The layers by the names of their modules, and the loss if it is written."""
    layers = layers_of(_entries_of_file, params)
    if softmax is None or affine is None:
        return layers
    return layers, cost_layer(softmax)
