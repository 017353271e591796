"""Adam."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._kernels.flat_parameters import Chunk
from .optimizer import (
    Optimizer,
    check_not_negative,
    gradient,
    move_average,
    move_average_of_squares,
)


class Adam(Optimizer):
    """Steps of a size that adapts to each value's gradients.

    Formula, for values θ, their gradient g, and step t = 1, 2, …:
        m ← m + (1 − β₁)(g − m);  v ← β₂v + (1 − β₂)g²;
        θ ← θ − γ / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).
    With weight decay g ← g + λθ first; with amsgrad the largest v so far divides.

    Convention: ε is added after the root and after the correction of v, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html) and the paper's
    Algorithm 1 (https://arxiv.org/abs/1412.6980); TensorFlow follows the paper's section 2,
    where ε is added before the correction.

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: λ.
        amsgrad: whether to divide by the largest v so far.
        foreach: None only: it chooses how PyTorch computes, as the three others like it.
        maximize: go up instead of down.
        capturable: False only.
        differentiable: False only.
        fused: None only.
        decoupled_weight_decay: θ ← θ(1 − γλ) first, in place of adding λθ to g (AdamW).

    Raises:
        ValueError: if a setting is negative, or a β is not a float in [0, 1).

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> Adam([p], lr=0.1).step()
        >>> p.data.round(6)
        array([0.9, 2.1])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "foreach": foreach,
            "maximize": maximize,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative(group, "lr", "eps")
        for index, beta in enumerate(group["betas"]):
            if not (isinstance(beta, float) and 0.0 <= beta < 1.0):
                raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
        check_not_negative(group, "weight_decay")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))

    def _prepare(self, group: dict[str, Any], step: float) -> tuple[float, float]:
        beta1, beta2 = group["betas"]
        root = (1 - beta2**step) ** 0.5  # of the correction of v, by which all is multiplied
        return group["lr"] / (1 - beta1**step) * root, group["eps"] * root

    def _update(self, group: dict[str, Any], common: tuple[float, float], chunk: Chunk) -> None:
        step_size, eps = common
        beta1, beta2 = group["betas"]
        p, g = chunk.param(), gradient(group, chunk)
        m, v = chunk.state("exp_avg"), chunk.state("exp_avg_sq")
        scratch = chunk.scratch(2)

        move_average(m, g, beta1, scratch)  # m ← m + (1 − β₁)(g − m)
        move_average_of_squares(v, g, beta2, scratch)  # v ← β₂v + (1 − β₂)g²

        if group["amsgrad"]:  # the largest v so far
            v = np.maximum(chunk.state("max_exp_avg_sq"), v, out=chunk.state("max_exp_avg_sq"))

        # θ ← θ − step_size · m / (√v + ε √(1 − β₂ᵗ))
        np.sqrt(v, out=scratch)
        scratch += eps
        np.divide(m, scratch, out=scratch)
        scratch *= step_size
        p -= scratch
