"""Stochastic gradient descent."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._kernels.flat_parameters import Chunk
from .optimizer import Optimizer, check_not_negative, gradient


class SGD(Optimizer):
    """Gradient descent with momentum.

    Formula, for values θ, their gradient g, and b the momentum buffer:
        g ← g + λθ;  b ← μb + (1 − τ)g;  θ ← θ − γb,
    or θ ← θ − γ(g + μb) with Nesterov's momentum, or θ ← θ − γg without momentum.

    Convention: the first buffer is g itself, whatever the dampening τ; and the learning rate
    multiplies the buffer, it is not part of it. Both as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html).

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        momentum: μ.
        dampening: τ.
        weight_decay: λ.
        nesterov: whether to look ahead by one more step of momentum.
        maximize: go up instead of down.
        foreach: None only, as the two after it: they choose how PyTorch computes.
        differentiable: False only.
        fused: None only.

    Raises:
        ValueError: if a setting is negative, or nesterov goes without momentum.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> SGD([p], lr=0.1).step()
        >>> p.data
        array([0.95, 2.05])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: None = None,
        differentiable: bool = False,
        fused: None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative(group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _begin_state(self) -> dict[str, Any]:
        return {}  # PyTorch's counts no steps either

    def _run_key(self, state: dict[str, Any]) -> bool:
        return "momentum_buffer" in state

    def _begin(self, group: dict[str, Any], key: bool, states: list[dict[str, Any]]) -> bool:
        return not key

    def _update(self, group: dict[str, Any], first: bool, chunk: Chunk) -> None:
        """Called for each chunk, a piece of all values; ``first``: where momentum begins."""
        lr, mu = group["lr"], group["momentum"]
        p, g, scratch = chunk.param(), gradient(group, chunk), chunk.scratch(1)
        if mu != 0:
            b = chunk.state("momentum_buffer")
            if first:
                b[...] = g
            else:  # b ← μb + (1 − τ)g
                b *= mu
                np.multiply(g, 1 - group["dampening"], out=scratch)
                b += scratch
            if group["nesterov"]:  # g + μb
                np.multiply(b, mu, out=scratch)
                g = np.add(g, scratch, out=chunk.scratch(0))
            else:
                g = b
        np.multiply(g, lr, out=scratch)  # θ ← θ − lr · g
        p -= scratch
