"""Adagrad."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._kernels.flat_parameters import Chunk
from .optimizer import Optimizer, check_not_negative, gradient


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

    Formula, for values θ, their gradient g, and step t = 1, 2, …:
        s ← s + g²;  θ ← θ − γ / (1 + (t − 1)η) · g / (√s + ε).
    With weight decay g ← g + λθ first.

    Convention: ε is added after the root, and s starts at the initial value when the optimizer
    is made, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html); TensorFlow starts
    at 0.1.

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        lr_decay: η.
        weight_decay: λ.
        initial_accumulator_value: s before the first step.
        eps: ε.
        foreach: None only: it chooses how PyTorch computes, as the two others like it.
        maximize: go up instead of down.
        differentiable: False only.
        fused: None only.

    Raises:
        ValueError: if a setting is negative.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> Adagrad([p], lr=0.1).step()
        >>> p.data.round(6)
        array([0.9, 2.1])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group, flats in zip(self.param_groups, self._flats, strict=True):
            for flat in flats:
                for index in range(len(flat.params)):
                    self._state_of(group, self._state_names(group), flat, index)

    def _check_group(self, group: dict[str, Any]) -> None:
        names = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
        check_not_negative(group, *names)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("sum",)

    def _start(self, group: dict[str, Any], name: str) -> float:
        # PyTorch reads the constructor's, not the group's.
        return self.defaults["initial_accumulator_value"]

    def _prepare(self, group: dict[str, Any], step: float) -> float:
        return group["lr"] / (1 + (step - 1) * group["lr_decay"])

    def _update(self, group: dict[str, Any], lr: float, chunk: Chunk) -> None:
        p, g, s = chunk.param(), gradient(group, chunk), chunk.state("sum")
        root, scratch = chunk.scratch(1), chunk.scratch(2)

        np.multiply(g, g, out=scratch)  # s ← s + g²
        s += scratch

        np.sqrt(s, out=root)  # θ ← θ − lr · g / (√s + ε)
        root += group["eps"]
        np.multiply(g, lr, out=scratch)
        scratch /= root
        p -= scratch
