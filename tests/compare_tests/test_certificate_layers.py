"""The certificate on layers of images and on activations: silent on honest steps, and right about
where a planted mistake is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import numpy_nn
from compare.backends.numpy_backend import NumpyBackend
from compare.mistakes.mistake import Mistake
from compare.parity.certificate import certify
from compare.parity.comparison import Comparison, References
from compare.spec.model import ModelSpec

SHAPE, CLASSES, ROWS = (2, 12, 12), 5, 8
SETTINGS: dict[str, dict[str, Any]] = {"SGD": {"lr": 1e-2, "momentum": 0.9}, "Adam": {"lr": 1e-3}}


def conv_net(nn):
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(6, 8, (3, 2), stride=(2, 1), padding=1, groups=2),
        nn.SiLU(),
        nn.AvgPool2d(3, 1, 1, count_include_pad=False),
        nn.Flatten(),
        nn.Linear(168, CLASSES),
    )


def other_net(nn):
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), dilation=2, padding="same", padding_mode="reflect"),
        nn.ELU(0.8),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, bias=False),
        nn.BatchNorm2d(8, momentum=None),
        nn.GELU(),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.Flatten(),
        nn.Linear(48, CLASSES),
    )


def activations(*names: str) -> Callable:
    def net(nn):
        layers = [nn.Flatten(), nn.Linear(288, 20)]
        for name in names:
            name, _, argument = name.partition(" ")
            args = [int(argument) if argument.isdigit() else argument] if argument else []
            layers += [getattr(nn, name)(*args), nn.Linear(20, 20)]
        return nn.Sequential(*layers, nn.Linear(20, CLASSES))

    return net


def normalised_net(nn):
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2),
        nn.GroupNorm(3, 6),
        nn.Tanh(),
        nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, output_padding=1),
        nn.LayerNorm((10, 10)),
        nn.SiLU(),
        nn.Flatten(2),
        nn.Conv1d(4, 3, 5, stride=5),
        nn.LayerNorm(20, bias=False),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(60, CLASSES),
    )


NETS = {
    "normalised": normalised_net,
    "convolutions": conv_net,
    "other convolutions": other_net,
    "bounded": activations("Sigmoid", "Tanh", "Softmax 1", "LogSoftmax 1"),
    "smooth": activations("SiLU", "GELU", "GELU tanh", "ELU", "Softplus", "Hardswish"),
}


def train(
    net: Callable,
    algorithm: str = "SGD",
    *,
    seed: int = 0,
    scale: float = 1.0,
    dtype: str = "float32",
    plant: Callable[[NumpyBackend], None] = lambda backend: None,
) -> list[Comparison]:
    """Certify the first two steps, with a mistake planted in the NumPy backends."""
    model_spec = ModelSpec(net, algorithm=algorithm, settings=SETTINGS[algorithm])
    references = References.build(model_spec)
    backend = NumpyBackend(model_spec, dtype, seed)
    plant(backend)
    plant(references.numpy64)
    random = np.random.default_rng(seed)
    found = []
    for step in range(2):
        inputs = (scale * random.standard_normal((ROWS, *SHAPE))).astype(np.float32)
        rows = backend.rows(inputs, random.integers(0, CLASSES, ROWS))
        comparisons, _ = certify(
            backend.record_step(backend.batch(rows, np.arange(ROWS))), references, step
        )
        found += comparisons
    return found


def failures(comparisons: list[Comparison]) -> list[str]:
    return [c.site for c in comparisons if not c.passed]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(
    ("seed", "scale", "algorithm"), [(0, 1.0, "SGD"), (1, 10.0, "SGD"), (2, 10.0, "Adam")]
)
def test_honest_steps_pass(net, algorithm, scale, seed):
    assert not failures(train(NETS[net], algorithm, seed=seed, scale=scale))


@pytest.mark.parametrize("net", NETS)
def test_honest_steps_in_float64_pass(net):
    assert not failures(train(NETS[net], "Adam", dtype="float64"))


# ---------------------------------------------------------------------- planted mistakes


def method_of(module: str, method: str, change: Callable) -> Callable[[NumpyBackend], None]:
    """Let ``change(layer, honest method, *arguments)`` stand for a layer's method."""

    def plant(backend: NumpyBackend) -> None:
        layer = backend.model.get_submodule(module)
        honest = getattr(type(layer), method)

        def changed(self, *arguments):
            return change(self, functools.partial(honest, self), *arguments)

        backend.replace(module, Mistake("", "", {method: changed}).apply(layer))

    return plant


def attribute(module: str, name: str, value: object) -> Callable[[NumpyBackend], None]:
    return lambda backend: setattr(backend.model.get_submodule(module), name, value)


def flipped(layer, honest):
    return honest().reshape(layer.weight.shape)[..., ::-1, ::-1].reshape(honest().shape)


def ties_shared(layer, honest, dy):
    """Every place that holds a window's maximum gets its part of the gradient."""
    dx, x = np.zeros_like(layer.seen), layer.seen
    best = numpy_nn.MaxPool2d.forward(layer, x)
    points = layer._points
    count = sum(_placed(x[places] == best[windows], windows, best) for places, windows in points)
    for places, windows in points:
        dx[places] += (x[places] == best[windows]) * (dy / count)[windows]
    return dx


def _placed(part, windows, like):
    out = np.zeros(like.shape, like.dtype)
    out[windows] = part
    return out


def remembering(layer, honest, x):
    layer.seen = x
    return honest(x)


def both(*plants: Callable[[NumpyBackend], None]) -> Callable[[NumpyBackend], None]:
    def plant(backend: NumpyBackend) -> None:
        for one in plants:
            one(backend)

    return plant


def mean_not_sum(layer, honest, dy):
    dx = honest(dy)
    layer.bias.grad /= dy.shape[2] * dy.shape[3]
    return dx


def one_image_short(layer, honest, dy):
    short = dy.copy()
    short[-1] = 0
    honest(short)
    gradient = layer.weight.grad.copy()
    layer.zero_grad()
    dx = honest(dy)
    layer.weight.grad[...] = gradient
    return dx


def without_product_rule(layer, honest, dy):
    return dy * layer._logistic


MISTAKES = {
    "a flipped kernel": (
        conv_net,
        method_of("0", "_weight_by_group", flipped),
        "forward/0/output",
    ),
    "a kernel flipped on the way back": (
        conv_net,
        method_of("4", "backward", lambda layer, honest, dy: honest(dy[..., ::-1, ::-1].copy())),
        "gradient/4.weight",
    ),
    "= for += where windows overlap": (
        conv_net,
        attribute("3", "_disjoint", True),
        "backward/3/grad_input",
    ),
    "ties shared": (
        conv_net,
        both(method_of("3", "forward", remembering), method_of("3", "backward", ties_shared)),
        "backward/3/grad_input",
    ),
    "padding counted": (conv_net, attribute("6", "count_include_pad", True), "forward/6/output"),
    "mean for sum in the bias": (
        conv_net,
        method_of("4", "backward", mean_not_sum),
        "gradient/4.bias",
    ),
    "one image short": (
        conv_net,
        method_of("0", "backward", one_image_short),
        "gradient/0.weight",
    ),
    "no product rule": (
        conv_net,
        method_of("5", "backward", without_product_rule),
        "backward/5/grad_input",
    ),
    "edges repeated for mirrored": (
        other_net,
        attribute("0", "padding_mode", "replicate"),
        "forward/0/output",
    ),
    "another α": (other_net, attribute("1", "alpha", 0.8001), "forward/1/output"),
    "a weight for the old value": (
        other_net,
        attribute("4", "momentum", 0.9),
        "buffer/4.running_mean",
    ),
    "groups of the wrong channels": (
        normalised_net,
        attribute("1", "num_groups", 2),
        "forward/1/output",
    ),
    "a transposed kernel flipped": (
        normalised_net,
        method_of("3", "_weight_by_group", flipped),
        "forward/3/output",
    ),
    "dropout without scaling": (
        normalised_net,
        method_of("10", "_scaled", lambda layer, honest, mask: mask.astype(layer._dtype)),
        "forward/10/output",
    ),
    "the mean left out": (
        normalised_net,
        method_of("4", "_normalise_backward", lambda layer, honest, g: g * layer._invstd),
        "backward/4/grad_input",
    ),
    "the approximation by tanh": (
        other_net,
        attribute("5", "approximate", "tanh"),
        "forward/5/output",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_placed(name):
    net, plant, site = MISTAKES[name]
    assert failures(train(net, plant=plant))[0] == site
