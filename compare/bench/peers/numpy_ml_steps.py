"""numpy-ml: layers in NumPy by David Bourgin."""

from __future__ import annotations

import collections
import collections.abc
import warnings
from time import perf_counter
from typing import Any

import numpy as np

from compare.bench.contender import CannotRunError, Evidence
from compare.bench.contenders.numpy_steps import EVIDENT_STEPS
from compare.bench.peers.plan import Layer, layers_of, one_hot
from compare.bench.workloads import SETTINGS, TrainingStep

# A step on so many takes seconds.
MOST_IMAGES = 32
CAN = {"Linear", "BatchNorm1d", "ReLU", "LeakyReLU", "Conv2d", "MaxPool2d", "Flatten"}


def _library() -> tuple[Any, Any, Any, Any]:
    """Its layers, losses, activations and optimizers.

    numpy-ml 0.1.2 asks for ``collections.Hashable``, which Python 3.10 removed; it is put back
    while numpy-ml is imported.
    """
    had = hasattr(collections, "Hashable")
    if not had:
        collections.Hashable = collections.abc.Hashable  # type: ignore[attr-defined]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from numpy_ml.neural_nets import activations, layers, losses, optimizers
    finally:
        if not had:
            del collections.Hashable  # type: ignore[attr-defined]
    return layers, losses, activations, optimizers


class NumpyMlSteps:
    """Sequential networks with cross-entropy. What it computes in float64 stays so."""

    dtype = "float32 and float64"
    phases: tuple[str, ...] = ("forward", "backward", "update")

    def __init__(self, workload: TrainingStep) -> None:
        self._plan = layers_of(workload, CAN, "what is written here for numpy-ml")
        images = any(layer.kind == "MaxPool2d" for layer in self._plan)
        if images and workload.batch_size > MOST_IMAGES:
            raise CannotRunError(
                f"its pooling is a Python loop over every output; more than {MOST_IMAGES} images "
                "are not tried"
            )
        if workload.algorithm not in SETTINGS:
            raise CannotRunError(f"no {workload.algorithm} written here for numpy-ml")
        self._library, losses, self._activations, optimizers = _library()
        self._optimizer = getattr(optimizers, workload.algorithm)
        self._settings = {"lr": SETTINGS[workload.algorithm]["lr"]}
        self._loss = losses.CrossEntropy()
        _, self._start = workload.start()
        inputs, targets = workload.batch()
        self.inputs = inputs if inputs.ndim == 2 else inputs.transpose(0, 2, 3, 1).copy()
        model, _ = workload.start()
        self.targets = one_hot(targets, model(inputs[:2]).shape[1])
        self._image_shape = self._shapes(model, inputs[:2])
        self.start()

    @staticmethod
    def _shapes(model: Any, x: np.ndarray) -> tuple[int, ...]:
        """The shape of an image (C, H, W) that is flattened, where there is one."""
        shape: tuple[int, ...] = ()
        for module in model:
            if type(module).__name__ == "Flatten":
                shape = x.shape[1:]
            x = module(x)
        return shape

    def start(self) -> None:
        self.layers: list[tuple[Any, Layer]] = []
        follows_images = False
        for place, layer in enumerate(self._plan):
            if layer.kind in ("ReLU", "LeakyReLU"):
                continue
            following = self._plan[place + 1] if place + 1 < len(self._plan) else None
            made = self._made(layer, following)
            self._fill(made, layer, follows_images)
            follows_images = layer.kind == "Flatten"
            self.layers.append((made, layer))

    def _made(self, layer: Layer, following: Layer | None) -> Any:
        module = layer.module
        act: Any = None
        if following is not None and following.kind == "ReLU":
            act = self._activations.ReLU()
        elif following is not None and following.kind == "LeakyReLU":
            act = self._activations.LeakyReLU(following.module.negative_slope)
        # One for each layer: what it remembers of a parameter goes by the parameter's name.
        known: dict[str, Any] = {"optimizer": self._optimizer(**self._settings)}
        if layer.kind == "Linear":
            return self._library.FullyConnected(module.out_features, act, **known)
        if layer.kind == "Conv2d":
            padding = module.padding[0]
            return self._library.Conv2D(
                module.out_channels, module.kernel_size, padding, act_fn=act, **known
            )
        if layer.kind == "BatchNorm1d":
            return _Normed(self._library.BatchNorm1D(1 - module.momentum, module.eps, **known), act)
        if layer.kind == "MaxPool2d":
            size = module.kernel_size
            size = size if isinstance(size, tuple) else (size, size)
            return self._library.Pool2D(size, stride=size[0], pad=0, mode="max", **known)
        return self._library.Flatten(**known)

    def _fill(self, made: Any, layer: Layer, follows_images: bool) -> None:
        """Put the common start into a layer of numpy-ml."""
        weight = self._start.get(f"{layer.name}.weight")
        if weight is None:
            return
        bias = self._start[f"{layer.name}.bias"]
        if layer.kind == "Linear":
            made.n_in = weight.shape[1]
            w = weight if not follows_images else _by_pixels(weight, self._image_shape)
            values = {"W": w.T.copy(), "b": bias[None].copy()}
        elif layer.kind == "Conv2d":
            made.in_ch = weight.shape[1]
            values = {"W": weight.transpose(2, 3, 1, 0).copy(), "b": bias[None, None, None].copy()}
        else:
            made.n_in = made.n_out = len(weight)
            values = {"scaler": weight.copy(), "intercept": bias.copy()}
            for name in ("running_mean", "running_var"):
                values[name] = self._start[f"{layer.name}.{name}"].copy()
        made._init_params()
        made.parameters.update(values)
        made.gradients = {key: np.zeros_like(values[key]) for key in made.gradients}

    def step(self) -> tuple[float, ...]:
        begun = perf_counter()
        x = self.inputs
        for made, _ in self.layers:
            x = made.forward(x)
        shifted = np.exp(x - x.max(axis=1, keepdims=True))
        p = shifted / shifted.sum(axis=1, keepdims=True)
        loss = self._loss.loss(self.targets, p) / len(p)
        forward = perf_counter()
        gradient = self._loss.grad(self.targets, p) / len(p)
        for made, _ in reversed(self.layers):
            gradient = made.backward(gradient)
        backward = perf_counter()
        if self._looking:
            self._kept = self._gradients()
        updating = perf_counter()
        for made, _ in self.layers:
            made.update()
        update = perf_counter()
        self.last_loss = float(loss)
        return forward - begun, backward - forward, update - updating

    _looking = False

    def evidence(self) -> list[Evidence]:
        self.start()
        losses: list[float] = []
        for number in range(EVIDENT_STEPS):
            self._looking = number == 0
            self.step()
            losses.append(self.last_loss)
        self._looking = False
        return [Evidence(losses, self._kept, "gradients")]

    def _gradients(self) -> dict[str, np.ndarray]:
        found = {}
        follows_images = False
        for made, layer in self.layers:
            g = made.gradients
            if layer.kind == "Linear":
                w = g["W"].T
                w = w if not follows_images else _by_channels(w, self._image_shape)
                found[f"{layer.name}.weight"], found[f"{layer.name}.bias"] = w.copy(), g["b"][0]
            elif layer.kind == "Conv2d":
                found[f"{layer.name}.weight"] = g["W"].transpose(3, 2, 0, 1).copy()
                found[f"{layer.name}.bias"] = g["b"].ravel()
            elif layer.kind == "BatchNorm1d":
                found[f"{layer.name}.weight"] = g["scaler"]
                found[f"{layer.name}.bias"] = g["intercept"]
            follows_images = layer.kind == "Flatten"
        return {name: np.array(value) for name, value in found.items()}


class _Normed:
    """A BatchNorm of numpy-ml, whose layers of that kind take no activation, and one after it."""

    def __init__(self, norm: Any, act: Any) -> None:
        object.__setattr__(self, "norm", norm)
        object.__setattr__(self, "act", act)
        object.__setattr__(self, "seen", None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.norm, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.norm, name, value)

    def forward(self, x: np.ndarray) -> np.ndarray:
        y = self.norm.forward(x)
        object.__setattr__(self, "seen", y)
        return y if self.act is None else self.act(y)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        return self.norm.backward(
            gradient if self.act is None else gradient * self.act.grad(self.seen)
        )


def _by_pixels(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(O, C·H·W) → (O, H·W·C): numpy-ml's images have their channels last."""
    return weight.reshape(len(weight), *shape).transpose(0, 2, 3, 1).reshape(len(weight), -1)


def _by_channels(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(O, H·W·C) → (O, C·H·W)."""
    channels, height, width = shape
    images = weight.reshape(len(weight), height, width, channels)
    return images.transpose(0, 3, 1, 2).reshape(len(weight), -1)
