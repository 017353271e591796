"""Other code at the same work: two libraries behind thin adapters, and a convolution in loops.

The adapters know networks of Linear and ReLU with cross-entropy, which both libraries have.
"""

from __future__ import annotations

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
        model = case.model()
        used = {type(module).__name__ for module in model}
        others = sorted(used - {"Linear", "ReLU"} | {case.algorithm} - SETTINGS.keys())
        if others:
            raise CannotRunError(f"its adapter knows no {', '.join(others)}")
        self.algorithm, self.lr = case.algorithm, SETTINGS[case.algorithm]["lr"]
        self.initial = {name: np.array(value) for name, value in model.state_dict().items()}
        self.weights = [name for name in self.initial if name.endswith("weight")]
        self.biases = [name for name in self.initial if name.endswith("bias")]
        self.inputs, self.targets = case.batch()
        self.sizes = [len(self.initial[name]) for name in self.biases]


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
        self.one_hot = np.eye(self.sizes[-1], dtype=np.float32)[self.targets]

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


class PlainLoops(Contender):
    """A convolution in loops over images, channels, rows and columns, as it is first written."""

    phases = ("forward", "backward")

    def __init__(self, case: Convolution) -> None:
        self.x, self.dy, self.w, self.b = case.arrays().values()

    def forward(self) -> None:
        padded = np.pad(self.x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        self.y = np.zeros_like(self.dy)
        for n, o, i, j in np.ndindex(self.y.shape):
            products = padded[n, :, i : i + 3, j : j + 3] * self.w[o]
            self.y[n, o, i, j] = np.sum(products) + self.b[o]

    def backward(self) -> None:
        padded = np.pad(self.x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        dpadded, self.dw, self.db = map(np.zeros_like, (padded, self.w, self.b))
        for n, o, i, j in np.ndindex(self.dy.shape):
            g = self.dy[n, o, i, j]
            self.db[o] += g
            self.dw[o] += g * padded[n, :, i : i + 3, j : j + 3]
            dpadded[n, :, i : i + 3, j : j + 3] += g * self.w[o]
        self.dx = dpadded[:, :, 1:-1, 1:-1]

    def gradients(self) -> Arrays:
        return {"y": self.y, "dx": self.dx, "weight": self.dw, "bias": self.db}
