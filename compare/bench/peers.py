"""Other code at the same work: libraries behind thin adapters, and convolutions in loops.

The adapters know networks of Linear and ReLU with cross-entropy, which all of these libraries
have.
"""

from __future__ import annotations

import collections
import collections.abc
import os
import shutil
import warnings
from typing import Any

import numpy as np

from compare.bench.cases import SETTINGS, Convolution, TrainingStep
from compare.bench.contenders import Arrays, CannotRunError, Contender


class Peer(Contender):
    """A network of Linear and ReLU with cross-entropy, from NumPy's weights.

    Raises:
        CannotRunError: The network has another layer, or the optimizer is another.
    """

    def __init__(self, case: TrainingStep) -> None:
        model, self.initial = case.initial()
        kinds = {type(module).__name__ for module in model}
        others = sorted(kinds - {"Linear", "ReLU"} | {case.algorithm} - SETTINGS.keys())
        if others:
            raise CannotRunError(f"its adapter knows no {', '.join(others)}")
        self.algorithm, self.lr = case.algorithm, SETTINGS[case.algorithm]["lr"]
        self.linear = [name for name, m in model.named_children() if hasattr(m, "in_features")]
        self.weights = [f"{name}.weight" for name in self.linear]
        self.biases = [f"{name}.bias" for name in self.linear]
        self.inputs, self.targets = case.batch()
        self.sizes = [len(self.initial[name]) for name in self.biases]
        self.one_hot = np.eye(self.sizes[-1], dtype=np.float32)[self.targets]


class ScikitLearn(Peer):
    """``MLPClassifier``: a call of ``partial_fit`` is one step.

    It also checks its inputs and turns labels into rows at every call; there is no public way to
    make a step without that. Its Adam adds ε before the second moment's bias is corrected,
    PyTorch's after: with the ε below the first steps of both are the same.
    """

    phases = ("step",)

    def __init__(self, case: TrainingStep) -> None:
        from sklearn.neural_network import MLPClassifier

        class Observed(MLPClassifier):  # keeps its gradients
            def _backprop(self, *args: Any) -> Any:
                found = super()._backprop(*args)
                self.gradients_ = found[1:]  # after the loss
                return found

        super().__init__(case)
        self.network: Any = Observed(
            hidden_layer_sizes=self.sizes[:-1],
            solver=self.algorithm.lower(),
            alpha=0.0,
            batch_size=case.batch_size,
            learning_rate_init=self.lr,
            shuffle=False,
            momentum=0.0,
            nesterovs_momentum=False,
            epsilon=1e-8 * (1 - 0.999) ** 0.5,
            random_state=0,
        )
        classes = np.arange(self.sizes[-1])
        self.network.partial_fit(self.inputs, self.targets, classes=classes)

    def start(self) -> None:
        self.network.coefs_ = [np.array(self.initial[n].T, order="C") for n in self.weights]
        self.network.intercepts_ = [np.array(self.initial[n]) for n in self.biases]
        del self.network._optimizer  # partial_fit makes a new one of the new arrays
        self.network.loss_curve_ = []

    def step(self) -> None:
        self.network.partial_fit(self.inputs, self.targets)
        self.loss = self.network.loss_

    def gradients(self) -> Arrays:
        weights, biases = self.network.gradients_
        found = {name: g.T.copy() for name, g in zip(self.weights, weights, strict=True)}
        return found | {name: g.copy() for name, g in zip(self.biases, biases, strict=True)}


class Autograd(Peer):
    """NumPy with gradients by tracing, the network and the optimizer as its users write them."""

    def __init__(self, case: TrainingStep) -> None:
        import autograd.numpy
        from autograd.core import make_vjp

        super().__init__(case)
        self.np, self.make_vjp = autograd.numpy, make_vjp

    def start(self) -> None:
        self.params = {name: np.array(value) for name, value in self.initial.items()}
        self.moments = {n: (np.zeros_like(v), np.zeros_like(v)) for n, v in self.params.items()}
        self.steps = 0

    def cross_entropy(self, params: dict[str, Any]) -> Any:
        """The loss of the batch."""
        anp, x = self.np, self.inputs
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = anp.dot(x, params[weight].T) + params[bias]
            x = anp.maximum(x, np.float32(0)) if weight != self.weights[-1] else x
        shifted = x - anp.max(x, axis=1, keepdims=True)
        log_p = shifted - anp.log(anp.sum(anp.exp(shifted), axis=1, keepdims=True))
        return -anp.sum(log_p * self.one_hot) / np.float32(len(x))

    def forward(self) -> None:
        self.vjp, self.loss = self.make_vjp(self.cross_entropy, self.params)

    def backward(self) -> None:
        self.found = self.vjp(np.float32(1))

    def update(self) -> None:
        self.steps += 1
        lr, beta1, beta2, eps = (np.float32(v) for v in (self.lr, 0.9, 0.999, 1e-8))
        size = np.float32(self.lr / (1 - 0.9**self.steps))
        root = np.float32((1 - 0.999**self.steps) ** 0.5)
        for name, value in self.params.items():
            g, (m, v) = self.found[name], self.moments[name]
            if self.algorithm == "SGD":
                value -= lr * g
            else:
                m += (1 - beta1) * (g - m)
                v += (1 - beta2) * (g * g - v)
                value -= size * m / (np.sqrt(v) / root + eps)

    def gradients(self) -> Arrays:
        return {name: np.array(value) for name, value in self.found.items()}


class NumpyMl(Peer):
    """numpy-ml, layers in NumPy by David Bourgin; what it computes in float64 stays so."""

    dtype = "float32 and float64"

    def __init__(self, case: TrainingStep) -> None:
        super().__init__(case)
        # numpy-ml 0.1.2 asks for collections.Hashable, which Python 3.10 removed.
        collections.Hashable = collections.abc.Hashable  # type: ignore[attr-defined]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from numpy_ml.neural_nets import activations, layers, losses, optimizers
        self.relu, self.layer = activations.ReLU, layers.FullyConnected
        self.criterion, self.optimizer = losses.CrossEntropy(), getattr(optimizers, self.algorithm)

    def start(self) -> None:
        self.layers = []
        for weight, bias, size in zip(self.weights, self.biases, self.sizes, strict=True):
            act = self.relu() if weight != self.weights[-1] else None
            # An optimizer for each: what it remembers goes by the name of the parameter.
            made = self.layer(size, act, optimizer=self.optimizer(lr=self.lr))
            made.n_in = self.initial[weight].shape[1]
            made._init_params()
            made.parameters["W"] = self.initial[weight].T.copy()
            made.parameters["b"] = self.initial[bias][None].copy()
            made.gradients = {k: np.zeros_like(made.parameters[k]) for k in made.gradients}
            self.layers.append(made)

    def forward(self) -> None:
        x = self.inputs
        for layer in self.layers:
            x = layer.forward(x)
        shifted = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = shifted / shifted.sum(axis=1, keepdims=True)
        self.loss = self.criterion.loss(self.one_hot, self.p) / len(x)

    def backward(self) -> None:
        gradient = self.criterion.grad(self.one_hot, self.p) / len(self.p)
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)

    def update(self) -> None:
        for layer in self.layers:
            layer.update()

    def gradients(self) -> Arrays:
        found = {}
        for weight, bias, layer in zip(self.weights, self.biases, self.layers, strict=True):
            found[weight] = layer.gradients["W"].T.copy()
            found[bias] = layer.gradients["b"][0].copy()
        return found


class Tinygrad(Peer):
    """tinygrad on the CPU: forward, backward and update are one program, traced and replayed."""

    phases = ("step",)

    def __init__(self, case: TrainingStep) -> None:
        if shutil.which("clang") is None:
            raise CannotRunError("tinygrad compiles for the CPU with clang, which is not here")
        super().__init__(case)
        os.environ.setdefault("DEV", "CPU")
        os.environ.setdefault("CPU_COUNT", os.environ.get("OMP_NUM_THREADS", "1"))
        from tinygrad import Tensor, TinyJit
        from tinygrad.helpers import Context
        from tinygrad.nn import optim
        from tinygrad.nn.state import get_parameters

        self.tensor, self.context = Tensor, Context
        self.x, self.t = (Tensor(array).realize() for array in (self.inputs, self.targets))
        self.params = {n: Tensor(np.array(v)) for n, v in self.initial.items()}
        self.optimizer = getattr(optim, self.algorithm)(list(self.params.values()), lr=self.lr)
        # The parameters, the moments and the counters, as they are before the first step.
        self.state = [(t, t.numpy().copy()) for t in get_parameters(self.optimizer)]
        self.replayed = TinyJit(self.traced)
        for _ in range(3):  # traced in its first two calls, replayed from the third on
            self.step()

    def cross_entropy(self) -> Any:
        """The loss of the batch."""
        x = self.x
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = x.linear(self.params[weight].T, self.params[bias])
            x = x.relu() if weight != self.weights[-1] else x
        return x.sparse_categorical_crossentropy(self.t)

    def traced(self) -> Any:
        """A step; all at once, so that the loss is that of the weights before the update."""
        self.optimizer.zero_grad()
        loss = self.cross_entropy()
        loss.backward()
        return loss.realize(*self.optimizer.schedule_step())

    def start(self) -> None:
        for tensor, value in self.state:
            tensor.assign(self.tensor(value)).realize()

    def step(self) -> None:
        with self.context(TRAINING=1):
            self.loss = self.replayed().item()

    def gradients(self) -> Arrays:
        self.start()
        self.optimizer.zero_grad()
        self.cross_entropy().backward()
        found = {name: tensor.grad.numpy() for name, tensor in self.params.items()}
        self.optimizer.zero_grad()
        return found


class PlainLoops(Contender):
    """A convolution in loops over images, channels, rows and columns, as it is first written."""

    phases = ("forward", "backward")

    def __init__(self, case: Convolution) -> None:
        arrays = case.arrays()
        self.x, self.w, self.b, self.dy = (arrays[name] for name in ("x", "w", "b", "dy"))

    def forward(self) -> None:
        padded = np.pad(self.x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        self.y = y = np.zeros_like(self.dy)
        for n in range(len(y)):
            for o in range(y.shape[1]):
                for i in range(y.shape[2]):
                    for j in range(y.shape[3]):
                        products = padded[n, :, i : i + 3, j : j + 3] * self.w[o]
                        y[n, o, i, j] = np.sum(products) + self.b[o]

    def backward(self) -> None:
        padded = np.pad(self.x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        dpadded, dw, db = (np.zeros_like(array) for array in (padded, self.w, self.b))
        dy = self.dy
        for n in range(len(dy)):
            for o in range(dy.shape[1]):
                for i in range(dy.shape[2]):
                    for j in range(dy.shape[3]):
                        g = dy[n, o, i, j]
                        db[o] += g
                        dw[o] += g * padded[n, :, i : i + 3, j : j + 3]
                        dpadded[n, :, i : i + 3, j : j + 3] += g * self.w[o]
        self.dx, self.dw, self.db = dpadded[:, :, 1:-1, 1:-1], dw, db

    def gradients(self) -> Arrays:
        return {"y": self.y, "dx": self.dx, "weight": self.dw, "bias": self.db}


class NumbaLoops(PlainLoops):
    """A convolution in loops over every number, compiled by Numba, images in parallel.

    They are compiled when their results are compared, before anything is timed.
    """

    def __init__(self, case: Convolution) -> None:
        import numba

        super().__init__(case)
        compiled = numba.njit(parallel=True, fastmath=True)
        prange = numba.prange

        def forward(x: Any, w: Any, b: Any) -> Any:
            images, channels, height, width = x.shape
            y = np.empty((images, len(w), height, width), x.dtype)
            for n in prange(images):
                for o in range(len(w)):
                    y[n, o] = b[o]
                    for c, k, m in np.ndindex(channels, 3, 3):
                        for i in range(max(0, 1 - k), min(height, height + 1 - k)):
                            for j in range(max(0, 1 - m), min(width, width + 1 - m)):
                                y[n, o, i, j] += w[o, c, k, m] * x[n, c, i + k - 1, j + m - 1]
            return y

        def backward(x: Any, w: Any, dy: Any) -> Any:
            images, channels, height, width = x.shape
            dx = np.zeros_like(x)
            dws = np.zeros((images, len(w), channels, 3, 3), w.dtype)  # one for each image
            for n in prange(images):
                for o in range(len(w)):
                    for c, k, m in np.ndindex(channels, 3, 3):
                        for i in range(max(0, 1 - k), min(height, height + 1 - k)):
                            for j in range(max(0, 1 - m), min(width, width + 1 - m)):
                                g = dy[n, o, i, j]
                                dws[n, o, c, k, m] += g * x[n, c, i + k - 1, j + m - 1]
                                dx[n, c, i + k - 1, j + m - 1] += w[o, c, k, m] * g
            return dx, dws.sum(axis=0), dy.sum(axis=3).sum(axis=2).sum(axis=0)

        self._forward, self._backward = compiled(forward), compiled(backward)

    def forward(self) -> None:
        self.y = self._forward(self.x, self.w, self.b)

    def backward(self) -> None:
        self.dx, self.dw, self.db = self._backward(self.x, self.w, self.dy)
