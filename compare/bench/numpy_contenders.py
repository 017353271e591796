"""``numpy_nn`` at a training step and at a convolution alone, and its matrix products alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

import numpy_nn
from compare.bench.cases import Convolution, TrainingStep
from compare.bench.contenders import Arrays, CannotRunError, Contender
from compare.made_up import input_shape


def gradients_of(module: Any) -> Arrays:
    """Name → a copy of the gradient of each parameter."""
    return {name: np.array(p.grad) for name, p in module.named_parameters()}


class NumpyStep(Contender):
    """Network, loss and optimizer of ``numpy_nn``."""

    def __init__(self, case: TrainingStep) -> None:
        blueprint = case.blueprint()
        self.model, self._initial = case.initial()
        self.inputs, self.targets = case.batch()
        self.seed, self.criterion = case.seed, blueprint.criterion(numpy_nn)
        self.optimizer = blueprint.optimizer(numpy_nn, self.model)
        self._fresh = copy.deepcopy(self.optimizer.state_dict())

    def start(self) -> None:
        numpy_nn.manual_seed(self.seed)  # for dropout's masks
        self.model.load_state_dict(self._initial)
        self.optimizer.load_state_dict(copy.deepcopy(self._fresh))
        self.optimizer.zero_grad()

    def forward(self) -> None:
        self.loss = self.criterion(self.model(self.inputs), self.targets)

    def backward(self) -> None:
        # Like autograd, without the gradient of the data.
        self.model.backward_parameters(self.criterion.backward())

    def update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()

    def gradients(self) -> Arrays:
        return gradients_of(self.model)


class NumpyConvolution(Contender):
    """``numpy_nn.Conv2d``, forward and backward."""

    phases = ("forward", "backward")

    def __init__(self, case: Convolution) -> None:
        self.arrays = case.arrays()
        self.layer = numpy_nn.Conv2d(case.in_channels, case.out_channels, 3, padding=1)
        self.layer.load_state_dict({"weight": self.arrays["w"], "bias": self.arrays["b"]})

    def start(self) -> None:
        self.layer.zero_grad()

    def forward(self) -> None:
        self.y = self.layer(self.arrays["x"])

    def backward(self) -> None:
        self.dx = self.layer.backward(self.arrays["dy"])

    def finish(self) -> None:
        self.layer.zero_grad()

    def gradients(self) -> Arrays:
        return {"y": np.array(self.y), "dx": np.array(self.dx), **gradients_of(self.layer)}


class MatrixProducts(Contender):
    """The floor: the matrix products of a training step, into arrays that exist already.

    A Linear layer takes y = x Wᵀ forward and dW = dyᵀ x, dx = dy W backward. A convolution takes
    the same three with the values under the kernel as the columns of x; the columns are not made
    here. The dx of the first layer is not needed and not computed.
    """

    phases = ("forward", "backward")

    def __init__(self, case: TrainingStep) -> None:
        random = np.random.default_rng(0)
        self.forward_products: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.backward_products: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

        def array(*shape: int) -> np.ndarray:
            return random.standard_normal(shape, np.float32)

        for fan_in, fan_out, rows in _product_sizes(case):
            w, x, dy = array(fan_out, fan_in), array(rows, fan_in), array(rows, fan_out)
            if self.forward_products:
                self.backward_products.insert(0, (dy, w, np.empty_like(x)))
            self.backward_products.insert(0, (dy.T, x, np.empty_like(w)))
            self.forward_products.append((x, w.T, np.empty_like(dy)))
        if not self.forward_products:
            raise CannotRunError("the network has no layer that is a matrix product")

    def forward(self) -> None:
        for a, b, out in self.forward_products:
            np.matmul(a, b, out=out)

    def backward(self) -> None:
        for a, b, out in self.backward_products:
            np.matmul(a, b, out=out)


def _product_sizes(case: TrainingStep) -> list[tuple[int, int, int]]:
    """(inputs, outputs, rows) of the matrix product of each layer that is one, in order."""
    model, _ = case.initial()
    two_rows = np.zeros((2, *input_shape(model)), np.float32)
    sizes = []
    for module in model.modules():

        def recording(x: np.ndarray, module: Any = module) -> np.ndarray:
            y = type(module).forward(module, x)
            if hasattr(module, "in_features"):
                sizes.append((module.in_features, module.out_features, case.batch_size))
            elif hasattr(module, "in_channels") and getattr(module, "groups", 1) == 1:
                outputs, inputs = module.weight.data.reshape(module.out_channels, -1).shape
                sizes.append((inputs, outputs, y[0, 0].size * case.batch_size))
            return y

        module.__dict__["forward"] = recording
    model(two_rows)
    return sizes
