"""Adadelta."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._kernels.flat_parameters import Chunk
from .optimizer import Optimizer, check_not_negative, gradient, move_average_of_squares


class Adadelta(Optimizer):
    """Steps in proportion to the root of the squared steps over that of the squared gradients.

    Formula, for values θ, their gradient g, the average v of g² and that of the squared steps, u:
        v ← ρv + (1 − ρ)g²;  d = √(u + ε) / √(v + ε) · g;  u ← ρu + (1 − ρ)d²;  θ ← θ − γd.
    With weight decay g ← g + λθ first.

    Convention: ε is added under both roots, and a learning rate multiplies the step, which the
    paper (https://arxiv.org/abs/1212.5701) does not have; as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html).

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        rho: ρ.
        eps: ε.
        weight_decay: λ.
        foreach: None only: it chooses how PyTorch computes, as the two others like it.
        capturable: False only.
        maximize: go up instead of down.
        differentiable: False only.

    Raises:
        ValueError: if a setting is negative, or ρ is above 1.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> Adadelta([p]).step()
        >>> p.data.round(6)
        array([0.996838, 2.003162])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative(group, "lr", "eps", "weight_decay")
        if not 0.0 <= group["rho"] <= 1.0:
            raise ValueError(f"Invalid rho value: {group['rho']}")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("square_avg", "acc_delta")

    def _update(self, group: dict[str, Any], common: None, chunk: Chunk) -> None:
        rho, eps = group["rho"], group["eps"]
        p, g = chunk.param(), gradient(group, chunk)
        v, u = chunk.state("square_avg"), chunk.state("acc_delta")
        d, scratch = chunk.scratch(1), chunk.scratch(2)

        move_average_of_squares(v, g, rho, scratch)  # v ← ρv + (1 − ρ)g²

        np.add(u, eps, out=d)  # d = √(u + ε) / √(v + ε) · g
        np.sqrt(d, out=d)
        np.add(v, eps, out=scratch)
        np.sqrt(scratch, out=scratch)
        d /= scratch
        d *= g

        move_average_of_squares(u, d, rho, scratch)  # u ← ρu + (1 − ρ)d²

        p -= np.multiply(d, group["lr"], out=scratch)  # θ ← θ − lr · d
