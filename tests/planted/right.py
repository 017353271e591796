"""Right homeworks drawn at random: networks of ten families, four losses, both layouts.

None of them may be called wrong. Each is one file of layer classes, in the ways in which people
write them: the gradient of a sigmoid from its output or from its input, a softmax with or without
its logarithm taken apart, batch normalisation in one formula or in three, a cross-entropy whose
gradient goes through 1/p. Which way is drawn, and so are sizes, transposed weights and the shapes
of biases.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

FAMILIES = (
    "linear", "relu_mlp", "deep_relu_mlp", "sigmoid_mlp", "tanh_mlp", "leaky_mlp", "smooth_mlp",
    "bn_mlp", "cnn", "bn_cnn",
)  # fmt: skip
LOSSES = ("cross_entropy", "mse", "bce", "bce_with_logits")

Layers = list[tuple[str, tuple[Any, ...]]]


class RightHomework(NamedTuple):
    """A file, and what was drawn for it."""

    text: str
    layers: Layers


def right_homework(
    family: str, loss: str, *, columns: bool, functions: bool, seed: int, declared: bool = True
) -> RightHomework:
    """Draw a right homework.

    One that declares nothing of its layout has one layout for all weights and one for all vectors.

    Args:
        family: One of :data:`FAMILIES`.
        loss: One of :data:`LOSSES`.
        columns: Whether the batch is the second axis.
        functions: Whether it defines functions of arrays, or ``network(params)``.
        seed: Another for another network.
        declared: Whether it says how its arrays and batches are laid out.
    """
    random = np.random.default_rng([seed, FAMILIES.index(family), LOSSES.index(loss)])
    outputs = int(random.integers(1, 4)) if loss != "cross_entropy" else int(random.integers(2, 11))
    layers = _layers(family, outputs, random)
    if loss == "bce":
        layers.append(("Sigmoid", ()))
    ways = {
        name: int(random.integers(0, choices))
        for name, choices in (("SIGMOID", 2), ("SOFTMAX", 3), ("BCE", 2), ("NORM", 2), ("CONV", 2))
    }
    parameters = {}
    transposed = random.choice(["", ".T"])
    bias = str(random.choice(["", "[:, None]", "[None, :]"]))
    for number, (kind, _) in enumerate(layers):
        if kind in ("Linear", "Conv2d", "BatchNorm1d", "BatchNorm2d"):
            if declared:
                transposed = random.choice(["", ".T"])
                bias = str(random.choice(["", "[:, None]", "[None, :]"]))
            form = transposed if kind == "Linear" else ""
            parameters[f"W{number}"] = f"{number}.weight{form}"
            parameters[f"b{number}"] = f"{number}.bias{bias}"
    text = HEAD.format(
        loss=loss,
        axis=int(columns),
        one_hot=bool(loss == "cross_entropy" and random.integers(2)),
        layers=layers,
        parameters=parameters,
        **ways,
    )
    text += CLASSES + (FUNCTIONS if functions else NETWORK)
    if not declared:
        text = re.sub(r"\b(PARAMETERS|BATCH_AXIS|ONE_HOT)\b", r"OWN_\1", text)
    return RightHomework(text, layers)


def _layers(family: str, outputs: int, random: np.random.Generator) -> Layers:
    def size(low: int, high: int) -> int:
        return int(random.integers(low, high))

    if family.endswith("cnn"):
        channels, kernel, side = size(2, 5), size(2, 4), 8
        padding = size(0, kernel // 2 + 1)
        left = side + 2 * padding - kernel + 1
        layers: Layers = [("Conv2d", (size(1, 4), channels, kernel, 1, padding))]
        if family == "bn_cnn":
            layers += [("BatchNorm2d", (channels,)), ("ReLU", ()), ("AvgPool2d", (2,))]
        else:
            layers += [("ReLU", ()), ("MaxPool2d", (2,))]
        return [*layers, ("Flatten", ()), ("Linear", (channels * (left // 2) ** 2, outputs))]
    depth = {"linear": 0, "deep_relu_mlp": size(4, 7)}.get(family, size(1, 4))
    widths = [size(3, 60) for _ in range(depth + 1)]
    layers = []
    for inside, outside in pairwise(widths):
        layers.append(("Linear", (inside, outside)))
        if family == "bn_mlp":
            layers.append(("BatchNorm1d", (outside,)))
        activation = {
            "sigmoid_mlp": ("Sigmoid", ()),
            "tanh_mlp": ("Tanh", ()),
            "leaky_mlp": ("LeakyReLU", (round(float(random.uniform(0.01, 0.3)), 3),)),
            "bn_mlp": ("LeakyReLU", (0.01,)),
            "smooth_mlp": (("ELU", "Softplus")[size(0, 2)], ()),
        }.get(family, ("ReLU", ()))
        layers.append(activation)
    return [*layers, ("Linear", (widths[-1], outputs))]


HEAD = """\
import numpy as np

LOSS = {loss!r}
BATCH_AXIS = {axis}
ONE_HOT = {one_hot}
LAYERS = {layers}
PARAMETERS = {parameters}
SIGMOID, SOFTMAX, BCE, NORM, CONV = {SIGMOID}, {SOFTMAX}, {BCE}, {NORM}, {CONV}


def architecture(nn):
    return nn.Sequential(*[getattr(nn, kind)(*args) for kind, args in LAYERS])


def rows_first(x):
    return np.moveaxis(x, BATCH_AXIS, 0) if np.ndim(x) > 1 else x


def rows_back(x):
    return np.moveaxis(x, 0, BATCH_AXIS) if np.ndim(x) > 1 else x

"""

CLASSES = '''
class Layer:
    """Takes and gives batches in the layout of the file; inside, rows come first."""

    def forward(self, x):
        return rows_back(self.f(rows_first(x)))

    def backward(self, dout):
        return rows_back(self.b(rows_first(dout)))


class Linear(Layer):
    def __init__(self, number, W, b):
        self.transposed = PARAMETERS[f"W{number}"].endswith(".T")
        self.W, self.bias_shape = (W if self.transposed else W.T), b.shape
        self.bias = b.ravel()

    def f(self, x):
        self.x = x
        return x @ self.W + self.bias

    def b(self, dy):
        dW = self.x.T @ dy
        self.dW = dW if self.transposed else dW.T
        self.db = dy.sum(axis=0).reshape(self.bias_shape)
        return dy @ self.W.T


class ReLU(Layer):
    def f(self, x):
        self.mask = x > 0
        return np.where(self.mask, x, 0) if SIGMOID else np.maximum(x, 0)

    def b(self, dy):
        return dy * self.mask


class LeakyReLU(Layer):
    def __init__(self, slope):
        self.slope = slope

    def f(self, x):
        self.factor = np.where(x > 0, 1.0, self.slope)
        return x * self.factor

    def b(self, dy):
        return dy * self.factor


class Sigmoid(Layer):
    def f(self, x):
        self.y = 1 / (1 + np.exp(-x)) if SIGMOID else 0.5 * (1 + np.tanh(x / 2))
        return self.y

    def b(self, dy):
        return dy * self.y * (1 - self.y)


class Tanh(Layer):
    def f(self, x):
        self.y = np.tanh(x)
        return self.y

    def b(self, dy):
        return dy * (1 - self.y**2)


class ELU(Layer):
    def f(self, x):
        self.x = x
        return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)

    def b(self, dy):
        return dy * np.where(self.x > 0, 1, np.exp(np.minimum(self.x, 0)))


class Softplus(Layer):
    def f(self, x):
        self.x = x
        return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)

    def b(self, dy):
        return dy / (1 + np.exp(-self.x))


class Flatten(Layer):
    def f(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def b(self, dy):
        return dy.reshape(self.shape)


class BatchNorm(Layer):
    def __init__(self, number, W, b):
        self.gamma, self.beta, self.bias_shape = W, b.ravel(), b.shape

    def f(self, x):
        self.axes = (0, *range(2, x.ndim))
        self.columns = (1, -1) + (1,) * (x.ndim - 2)
        self.n = x.size // x.shape[1]
        mean = x.mean(axis=self.axes, keepdims=True)
        var = ((x - mean) ** 2).mean(axis=self.axes, keepdims=True)
        self.std = np.sqrt(var + 1e-5)
        self.centred = x - mean
        self.xhat = self.centred / self.std
        return self.gamma.reshape(self.columns) * self.xhat + self.beta.reshape(self.columns)

    def b(self, dy):
        self.dW = (dy * self.xhat).sum(axis=self.axes)
        self.db = dy.sum(axis=self.axes).reshape(self.bias_shape)
        dxhat = dy * self.gamma.reshape(self.columns)

        def total(a):
            return a.sum(axis=self.axes, keepdims=True)

        if NORM:
            means = total(dxhat) + self.xhat * total(dxhat * self.xhat)
            return (self.n * dxhat - means) / (self.n * self.std)
        dvar = total(dxhat * self.centred) * -0.5 / self.std**3
        dmean = -total(dxhat) / self.std + dvar * total(-2 * self.centred) / self.n
        return dxhat / self.std + dvar * 2 * self.centred / self.n + dmean / self.n


class Conv2d(Layer):
    def __init__(self, number, W, b, padding):
        self.W, self.bias, self.bias_shape, self.p = W, b.ravel(), b.shape, padding

    def f(self, x):
        p, k = self.p, self.W.shape[2]
        self.x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        self.rows = self.x.shape[2] - k + 1
        out = np.zeros((len(x), len(self.W), self.rows, self.x.shape[3] - k + 1))
        for i in range(k):
            for j in range(k):
                part = self.x[:, :, i : i + self.rows, j : j + out.shape[3]]
                out += np.einsum("nchw,oc->nohw", part, self.W[:, :, i, j])
        return out + self.bias[:, None, None]

    def b(self, dy):
        k, p = self.W.shape[2], self.p
        self.dW, dx = np.zeros_like(self.W), np.zeros_like(self.x)
        self.db = dy.sum(axis=(0, 2, 3)).reshape(self.bias_shape)
        for i in range(k):
            for j in range(k):
                part = np.s_[:, :, i : i + dy.shape[2], j : j + dy.shape[3]]
                self.dW[:, :, i, j] = np.einsum("nohw,nchw->oc", dy, self.x[part])
                dx[part] += np.einsum("nohw,oc->nchw", dy, self.W[:, :, i, j])
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class MaxPool2d(Layer):
    def windows(self, x):
        n, c, h, w = x.shape
        x = x[:, :, : h // 2 * 2, : w // 2 * 2]
        return x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5)

    def f(self, x):
        self.shape, windows = x.shape, self.windows(x)
        flat = windows.reshape(*windows.shape[:4], 4)
        self.first = flat.argmax(axis=-1)
        return flat.max(axis=-1)

    def spread(self, parts):
        dx = np.zeros(self.shape)
        n, c, h, w = parts.shape[:4]
        parts = parts.reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5)
        dx[:, :, : 2 * h, : 2 * w] = parts.reshape(n, c, 2 * h, 2 * w)
        return dx

    def b(self, dy):
        return self.spread(dy[..., None] * (np.arange(4) == self.first[..., None]))


class AvgPool2d(MaxPool2d):
    def f(self, x):
        self.shape = x.shape
        return self.windows(x).mean(axis=(4, 5))

    def b(self, dy):
        return self.spread(np.repeat(dy[..., None] / 4, 4, axis=-1))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Loss:
    def forward(self, out, y):
        self.shape = np.shape(out)
        z, t = rows_first(out), rows_first(y)
        self.z, self.t = z, t
        if LOSS == "mse":
            return np.mean((z - t) ** 2)
        if LOSS == "cross_entropy":
            if t.ndim == 1:
                self.t = t = np.eye(z.shape[1])[t]
            self.p = softmax(z)
            if SOFTMAX == 0:
                return -np.sum(t * np.log(self.p)) / len(z)
            shifted = z - z.max(axis=1, keepdims=True)
            log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            return -np.mean((t * log_p).sum(axis=1))
        if LOSS == "bce":
            return -np.mean(t * np.log(z) + (1 - t) * np.log(1 - z))
        return np.mean(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z))))

    def backward(self, dout=1):
        z, t = self.z, self.t
        if LOSS == "mse":
            d = 2 * (z - t) / z.size
        elif LOSS == "cross_entropy":
            d = (self.p - t) / len(z)
            if SOFTMAX == 2:
                dp = -t / self.p / len(z)
                d = self.p * (dp - (dp * self.p).sum(axis=1, keepdims=True))
        elif LOSS == "bce":
            d = -(t / z - (1 - t) / (1 - z)) / z.size if BCE else (z - t) / (z * (1 - z)) / z.size
        else:
            d = (1 / (1 + np.exp(-z)) - t) / z.size
        return rows_back(d * dout)


def build(params):
    layers = []
    for number, (kind, args) in enumerate(LAYERS):
        own = [params.get(f"W{number}"), params.get(f"b{number}")]
        if kind == "Linear":
            layers.append(Linear(number, *own))
        elif kind.startswith("BatchNorm"):
            layers.append(BatchNorm(number, *own))
        elif kind == "Conv2d":
            layers.append(Conv2d(number, *own, args[-1]))
        elif kind == "LeakyReLU":
            layers.append(LeakyReLU(*args))
        else:
            layers.append(globals()[kind]())
    return layers
'''

NETWORK = """

def network(params):
    return build(params), Loss()
"""

FUNCTIONS = """

def run(params, x):
    layers = build(params)
    for layer in layers:
        x = layer.forward(x)
    return x, layers


def forward(params, x):
    return run(params, x)[0]


def loss(params, x, y):
    return Loss().forward(forward(params, x), y)


def gradients(params, x, y):
    out, layers = run(params, x)
    criterion = Loss()
    criterion.forward(out, y)
    d = criterion.backward()
    for layer in reversed(layers):
        d = layer.backward(d)
    return {
        name: layer.dW if name[0] == "W" else layer.db
        for number, layer in enumerate(layers)
        if hasattr(layer, "dW")
        for name in (f"W{number}", f"b{number}")
    }
"""
