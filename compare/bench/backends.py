"""``numpy_nn`` and PyTorch at a training step and at a convolution alone, and the floor.

PyTorch is imported by what uses it, so that NumPy's process does without.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.synthetic import input_shape
from compare.bench.cases import SEED, Convolution, TrainingStep
from compare.bench.contenders import Arrays, CannotRunError, Contender
from experiments.errors import InputError


class BackendStep(Contender):
    """Network, loss and optimizer of the namespace ``nn``.

    ``array`` makes an array of the backend from one of NumPy's; ``settings`` are further arguments
    of the optimizer.
    """

    def __init__(
        self,
        case: TrainingStep,
        nn: Any = numpy_nn,
        array: Callable[[np.ndarray], Any] = np.array,
        **settings: bool,
    ) -> None:
        model_spec = case.model_spec(**settings)
        self.nn, self.model, self.criterion = nn, model_spec.model(nn), model_spec.criterion(nn)
        self.optimizer = model_spec.optimizer(nn, self.model)
        self.inputs, self.targets = map(array, case.batch())
        self._weights = {name: array(value) for name, value in case.model().state_dict().items()}
        self._optimizer_state = copy.deepcopy(self.optimizer.state_dict())

    def start(self) -> None:
        self.nn.manual_seed(SEED)  # for dropout's masks
        self.model.load_state_dict(self._weights)
        self.optimizer.load_state_dict(copy.deepcopy(self._optimizer_state))
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

    def backward(self) -> None:
        # Like autograd, without the gradient of the data.
        self.model.backward_parameters(self.criterion.backward())


class TorchStep(BackendStep):
    """A step of PyTorch; ``settings`` of the optimizer are ``foreach`` and ``fused``.

    Raises:
        CannotRunError: The optimizer has no such setting.
    """

    def __init__(
        self,
        case: TrainingStep,
        channels_last: bool = False,
        compiled: bool = False,
        **settings: bool,
    ) -> None:
        import torch

        import torch_nn

        try:
            super().__init__(case, torch_nn, torch.tensor, **settings)
        except (InputError, RuntimeError) as error:
            if settings:
                raise CannotRunError(str(error)) from None
            raise
        if channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.inputs = self.inputs.to(memory_format=torch.channels_last)
        if compiled:
            # One function may be compiled for eight shapes in a process, and after that it runs
            # uncompiled without a word; what was compiled for earlier cases is forgotten here.
            torch.compiler.reset()
            compiled_forward = torch.compile(self._network_and_loss, dynamic=False)
            # In the place of the method, for this object alone.
            self._network_and_loss = compiled_forward  # type: ignore[method-assign]

    def _network_and_loss(self, inputs: Any, targets: Any) -> Any:
        return self.criterion(self.model(inputs), targets)

    def forward(self) -> None:
        self.loss = self._network_and_loss(self.inputs, self.targets)

    def backward(self) -> None:
        self.loss.backward()

    def finish(self) -> None:
        self.loss = self.loss.item()


class NumpyConvolution(Contender):
    """``numpy_nn.Conv2d``, forward and backward."""

    phases = ("forward", "backward")
    x: Any  # an array here, a tensor in TorchConvolution
    dy: Any

    def __init__(self, case: Convolution) -> None:
        arrays = case.arrays()
        self.x, self.dy = arrays.pop("x"), arrays.pop("dy")
        self.layer: Any = numpy_nn.Conv2d(case.in_channels, case.out_channels, 3, padding=1)
        self.layer.load_state_dict(arrays)

    def start(self) -> None:
        self.layer.zero_grad()

    def forward(self) -> None:
        self.y = self.layer(self.x)

    def backward(self) -> None:
        self.dx = self.layer.backward(self.dy)

    def finish(self) -> None:
        self.start()

    def gradients(self) -> Arrays:
        return {"y": copied(self.y), "dx": copied(self.dx), **gradients_of(self.layer)}


class TorchConvolution(NumpyConvolution):
    """``torch.nn.Conv2d``; images and kernels may have their channels last in memory."""

    def __init__(self, case: Convolution, *, channels_last: bool = False) -> None:
        import torch

        arrays = {name: torch.tensor(array) for name, array in case.arrays().items()}
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.x = arrays.pop("x").to(memory_format=layout).requires_grad_()
        self.dy = arrays.pop("dy").to(memory_format=layout)
        layer = torch.nn.Conv2d(case.in_channels, case.out_channels, 3, padding=1)
        layer.load_state_dict(arrays)
        # PyTorch takes this argument alone, as its documentation says; its types do not.
        self.layer = layer.to(memory_format=layout)  # type: ignore[call-overload]

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
        random = np.random.default_rng(SEED)
        self.forward_products: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.backward_products: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

        def array(*shape: int) -> np.ndarray:
            return random.standard_normal(shape, np.float32)

        def add_products(module: Any, args: Any, y: np.ndarray) -> None:
            if not isinstance(module, numpy_nn.Linear | numpy_nn.Conv1d | numpy_nn.Conv2d):
                return
            fan_out = len(module.weight.data)
            fan_in = module.weight.data.size // fan_out
            rows = case.batch_size * (y[0].size // fan_out)
            w, x, dy = array(fan_out, fan_in), array(rows, fan_in), array(rows, fan_out)
            if self.forward_products:
                self.backward_products.insert(0, (dy, w, array(rows, fan_in)))
            self.backward_products.insert(0, (dy.T, x, array(fan_out, fan_in)))
            self.forward_products.append((x, w.T, array(rows, fan_out)))

        model = case.model()
        for module in model.modules():
            module.register_forward_hook(add_products)
        model(np.zeros((2, *input_shape(model)), np.float32))
        if not self.forward_products:
            raise CannotRunError("the network has no Linear or convolution layer")

    def forward(self) -> None:
        for a, b, out in self.forward_products:
            np.matmul(a, b, out=out)

    def backward(self) -> None:
        for a, b, out in self.backward_products:
            np.matmul(a, b, out=out)
