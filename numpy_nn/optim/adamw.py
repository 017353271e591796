"""Adam with decoupled weight decay."""

from collections.abc import Iterable, Mapping
from typing import Any

from .adam import Adam


class AdamW(Adam):
    """Adam whose weight decay does not pass through the averages.

    Formula, for values θ, their gradient g, and step t = 1, 2, …:
        θ ← θ(1 − γλ);  m ← m + (1 − β₁)(g − m);  v ← β₂v + (1 − β₂)g²;
        θ ← θ − γ / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε).

    Convention: the decay is multiplied by the learning rate, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html); in the paper
    (https://arxiv.org/abs/1711.05101) only by the schedule's factor.

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: λ.
        amsgrad: whether to divide by the largest v so far.
        maximize: go up instead of down.
        foreach: None only: it chooses how PyTorch computes, as the three others like it.
        capturable: False only.
        differentiable: False only.
        fused: None only.

    Raises:
        ValueError: if a setting is negative, or a β is not a float in [0, 1).

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> AdamW([p], lr=0.1).step()
        >>> p.data.round(6)
        array([0.899, 2.098])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state of AdamW or Adam; the weight decay stays decoupled."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
