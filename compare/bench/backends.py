"""``numpy_nn`` and PyTorch at a training step and at a convolution alone, and the floor.

PyTorch is imported by what uses it, so that NumPy's process does without.
"""

from __future__ import annotations

import copy
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.synthetic import input_shape
from compare.bench.cases import Convolution, TrainingStep
from compare.bench.contenders import Arrays, CannotRunError, Contender
from experiments.errors import InputError

# Compilers that torch.compile looks for, after what the variable CXX names.
COMPILERS = ("g++", "clang++", "cl")


class BackendStep(Contender):
    """Network, loss and optimizer of a namespace.

    Args:
        case: What to do.
        nn: The namespace.
        array: Makes an array of the backend from one of NumPy's.
        settings: Further arguments of the optimizer.
    """

    def __init__(
        self, case: TrainingStep, nn: Any, array: Callable[..., Any], settings: dict[str, bool]
    ) -> None:
        model_spec = case.model_spec(**settings)
        self.nn, self.seed = nn, case.seed
        self.model, self.criterion = model_spec.model(nn), model_spec.criterion(nn)
        self.inputs, self.targets = (array(values) for values in case.batch())
        self.optimizer = model_spec.optimizer(nn, self.model)
        _, initial = case.initial()
        self._initial = {name: array(values) for name, values in initial.items()}
        self._fresh = copy.deepcopy(self.optimizer.state_dict())

    def start(self) -> None:
        self.nn.manual_seed(self.seed)  # for dropout's masks
        self.model.load_state_dict(self._initial)
        self.optimizer.load_state_dict(copy.deepcopy(self._fresh))
        self.optimizer.zero_grad()

    def forward(self) -> None:
        self.loss = self.criterion(self.model(self.inputs), self.targets)

    def update(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()

    def gradients(self) -> Arrays:
        return gradients_of(self.model)


def gradients_of(module: Any) -> Arrays:
    """Name → a copy of the gradient of each parameter."""
    return {name: copied(parameter.grad) for name, parameter in module.named_parameters()}


def copied(array: Any) -> np.ndarray:
    """A NumPy array that shares nothing with an array of either backend."""
    return array.detach().numpy().copy() if hasattr(array, "detach") else np.array(array)


class NumpyStep(BackendStep):
    """A step of ``numpy_nn``."""

    def __init__(self, case: TrainingStep) -> None:
        super().__init__(case, numpy_nn, np.asarray, {})

    def backward(self) -> None:
        # Like autograd, without the gradient of the data.
        self.model.backward_parameters(self.criterion.backward())


class TorchStep(BackendStep):
    """A step of PyTorch.

    Args:
        case: What to do.
        optimizer: Arguments of the optimizer that say how it computes: ``foreach`` or ``fused``.
        channels_last: Images and kernels with their channels last in memory.
        compiled: Network and loss through ``torch.compile``.

    Raises:
        CannotRunError: The optimizer has no such setting, or there is no compiler.
    """

    def __init__(
        self,
        case: TrainingStep,
        optimizer: dict[str, bool] | None = None,
        *,
        channels_last: bool = False,
        compiled: bool = False,
    ) -> None:
        import torch

        import torch_nn

        settings = optimizer or {}
        try:
            super().__init__(case, torch_nn, torch.tensor, settings)
        except (InputError, RuntimeError):
            if not settings:
                raise
            said = " and ".join(f"{name}={value}" for name, value in settings.items())
            raise CannotRunError(f"PyTorch's {case.algorithm} has no {said} here") from None
        if channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.inputs = self.inputs.to(memory_format=torch.channels_last)
        if compiled:
            compilers = filter(None, (os.environ.get("CXX"), *COMPILERS))
            if sys.platform == "win32" or not any(map(shutil.which, compilers)):
                raise CannotRunError("torch.compile needs a C++ compiler, and none is here")
            # One function may be compiled for eight shapes in a process, and after that it runs
            # uncompiled without a word; what was compiled for earlier cases is forgotten here.
            torch.compiler.reset()
            network_and_loss = torch.compile(self._network_and_loss, dynamic=False)
            self._network_and_loss = network_and_loss  # type: ignore[method-assign]

    def _network_and_loss(self, inputs: Any, targets: Any) -> Any:
        return self.criterion(self.model(inputs), targets)

    def forward(self) -> None:
        self.loss = self._network_and_loss(self.inputs, self.targets)

    def backward(self) -> None:
        self.loss.backward()

    def finish(self) -> None:
        self.loss = self.loss.item()


class BackendConvolution(Contender):
    """A layer ``Conv2d``, forward and backward."""

    phases = ("forward", "backward")
    layer: Any
    x: Any
    dy: Any
    dx: Any

    def start(self) -> None:
        self.layer.zero_grad()

    def forward(self) -> None:
        self.y = self.layer(self.x)

    def finish(self) -> None:
        self.start()

    def gradients(self) -> Arrays:
        return {"y": copied(self.y), "dx": copied(self.dx), **gradients_of(self.layer)}


class NumpyConvolution(BackendConvolution):
    """``numpy_nn.Conv2d``."""

    def __init__(self, case: Convolution) -> None:
        arrays = case.arrays()
        self.x, self.dy = arrays["x"], arrays["dy"]
        self.layer = numpy_nn.Conv2d(case.in_channels, case.out_channels, 3, padding=1)
        self.layer.load_state_dict({"weight": arrays["w"], "bias": arrays["b"]})

    def backward(self) -> None:
        self.dx = self.layer.backward(self.dy)


class TorchConvolution(BackendConvolution):
    """``torch.nn.Conv2d``; images and kernels may have their channels last in memory."""

    def __init__(self, case: Convolution, *, channels_last: bool = False) -> None:
        import torch

        form = torch.channels_last if channels_last else torch.contiguous_format
        arrays = {name: torch.tensor(values) for name, values in case.arrays().items()}
        layer = torch.nn.Conv2d(case.in_channels, case.out_channels, 3, padding=1)
        layer.load_state_dict({"weight": arrays["w"], "bias": arrays["b"]})
        self.layer = layer.to(memory_format=form)  # type: ignore[call-overload]
        self.x = arrays["x"].to(memory_format=form).requires_grad_()
        self.dy = arrays["dy"].to(memory_format=form)

    def start(self) -> None:
        super().start()
        self.x.grad = None

    def backward(self) -> None:
        self.y.backward(self.dy)
        self.dx = self.x.grad


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
                self.backward_products.insert(0, (dy, w, array(rows, fan_in)))
            self.backward_products.insert(0, (dy.T, x, array(fan_out, fan_in)))
            self.forward_products.append((x, w.T, array(rows, fan_out)))
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
    model(np.zeros((2, *input_shape(model)), np.float32))
    return sizes
