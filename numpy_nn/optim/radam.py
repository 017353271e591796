"""RAdam."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .._kernels.flat_parameters import Chunk
from .optimizer import (
    Optimizer,
    check_betas,
    check_not_negative,
    gradient,
    move_average,
    move_average_of_squares,
)

# Below this length of the average of squares its variance is not tractable. The paper has 4.
LEAST_LENGTH = 5.0


class Corrections(NamedTuple):
    """1 − β₁ᵗ, √(1 − β₂ᵗ), and the rectification, or None while it cannot be had."""

    of_average: float
    of_root: float
    rectification: float | None


class RAdam(Optimizer):
    """Adam that is careful as long as the average of the squares rests on few gradients.

    Formula, for values θ, their gradient g, and step t = 1, 2, …, with ρ = 2 / (1 − β₂) − 1:
        m ← m + (1 − β₁)(g − m);  v ← β₂v + (1 − β₂)g²;  ρₜ = ρ − 2t β₂ᵗ / (1 − β₂ᵗ);
        θ ← θ − γ m / (1 − β₁ᵗ) · s, where s = 1 if ρₜ ≤ 5, and otherwise
        s = √(1 − β₂ᵗ) / (√v + ε) · √((ρₜ − 4)(ρₜ − 2)ρ / ((ρ − 4)(ρ − 2)ρₜ)).
    With weight decay g ← g + λθ first.

    Convention: the threshold is 5, and ε is added before the correction of v, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html); the paper
    (https://arxiv.org/abs/1908.03265) has 4, and no ε.

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: λ.
        decoupled_weight_decay: θ ← θ(1 − γλ) first, in place of adding λθ to g.
        foreach: None only: it chooses how PyTorch computes, as the two others like it.
        maximize: go up instead of down.
        capturable: False only.
        differentiable: False only.

    Raises:
        ValueError: if a setting is negative, or a β is not in [0, 1).

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> RAdam([p], lr=0.1).step()
        >>> p.data.round(6)
        array([0.95, 2.05])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative(group, "lr", "eps", "weight_decay")
        check_betas(group)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _prepare(self, group: dict[str, Any], step: float) -> Corrections:
        beta1, beta2 = group["betas"]
        of_square = 1 - beta2**step
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / of_square
        rectification = None
        if length > LEAST_LENGTH:
            above = (length - 4) * (length - 2) * longest
            rectification = (above / ((longest - 4) * (longest - 2) * length)) ** 0.5
        return Corrections(1 - beta1**step, of_square**0.5, rectification)

    def _update(self, group: dict[str, Any], corrections: Corrections, chunk: Chunk) -> None:
        beta1, beta2 = group["betas"]
        p, g = chunk.param(), gradient(group, chunk)
        m, v = chunk.state("exp_avg"), chunk.state("exp_avg_sq")
        scale, scratch = chunk.scratch(1), chunk.scratch(2)

        move_average(m, g, beta1, scratch)  # m ← m + (1 − β₁)(g − m)
        move_average_of_squares(v, g, beta2, scratch)  # v ← β₂v + (1 − β₂)g²

        np.divide(m, corrections.of_average, out=scratch)  # lr · m / (1 − β₁ᵗ)
        scratch *= group["lr"]
        if corrections.rectification is not None:
            np.sqrt(v, out=scale)  # √(1 − β₂ᵗ) / (√v + ε)
            scale += group["eps"]
            np.divide(corrections.of_root, scale, out=scale)
            scratch *= scale
            scratch *= corrections.rectification
        p -= scratch
