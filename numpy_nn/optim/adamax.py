"""Adamax."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._kernels.flat_parameters import Chunk
from .optimizer import Optimizer, check_betas, check_not_negative, gradient, move_average


class Adamax(Optimizer):
    """Adam with the largest gradient of late in place of the root of the mean square.

    Formula, for values θ, their gradient g, and step t = 1, 2, …:
        m ← m + (1 − β₁)(g − m);  u ← max(β₂u, |g| + ε);  θ ← θ − γ / (1 − β₁ᵗ) · m / u.
    With weight decay g ← g + λθ first.

    Convention: ε is added to |g| inside the maximum, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html); the paper's
    Algorithm 2 (https://arxiv.org/abs/1412.6980) has none.

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: λ.
        foreach: None only: it chooses how PyTorch computes, as the two others like it.
        maximize: go up instead of down.
        differentiable: False only.
        capturable: False only.

    Raises:
        ValueError: if a setting is negative, or a β is not in [0, 1).

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> Adamax([p], lr=0.1).step()
        >>> p.data.round(6)
        array([0.9, 2.1])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative(group, "lr", "eps", "weight_decay")
        check_betas(group)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_inf")

    def _prepare(self, group: dict[str, Any], step: float) -> float:
        return group["lr"] / (1 - group["betas"][0] ** step)

    def _update(self, group: dict[str, Any], step_size: float, chunk: Chunk) -> None:
        beta1, beta2 = group["betas"]
        p, g = chunk.param(), gradient(group, chunk)
        m, u = chunk.state("exp_avg"), chunk.state("exp_inf")
        scratch = chunk.scratch(2)

        move_average(m, g, beta1, scratch)  # m ← m + (1 − β₁)(g − m)

        np.abs(g, out=scratch)  # u ← max(β₂u, |g| + ε)
        scratch += group["eps"]
        u *= beta2
        np.maximum(u, scratch, out=u)

        np.multiply(m, step_size, out=scratch)  # θ ← θ − step_size · m / u
        scratch /= u
        p -= scratch
