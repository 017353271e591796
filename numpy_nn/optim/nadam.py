"""NAdam."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from .._kernels.flat_parameters import Chunk
from ..parameter import Parameter
from .optimizer import (
    Optimizer,
    check_betas,
    check_not_negative,
    gradient,
    move_average,
    move_average_of_squares,
)

# Dozat's, which PyTorch has as a literal too.
MOMENTUM_BASE = 0.96


class Factors(NamedTuple):
    """What multiplies the gradient and its average in a step, and corrects that of squares."""

    of_gradient: float
    of_average: float
    correction: float


class NAdam(Optimizer):
    """Adam with Nesterov's momentum.

    Formula, for values θ, their gradient g, and step t = 1, 2, …:
        μₜ = β₁(1 − ½ · 0.96^(tψ));  Π ← Π μₜ;
        m ← m + (1 − β₁)(g − m);  v ← β₂v + (1 − β₂)g²;  r = √(v / (1 − β₂ᵗ)) + ε;
        θ ← θ − γ(1 − μₜ) / (1 − Π) · g / r − γ μₜ₊₁ / (1 − Π μₜ₊₁) · m / r.
    With weight decay g ← g + λθ first.

    Convention: Π is kept in float32 whatever the parameters are, and in their dtype after
    ``load_state_dict``, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html).

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        betas: β₁ and β₂.
        eps: ε.
        weight_decay: λ.
        momentum_decay: ψ.
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
        >>> NAdam([p], lr=0.1).step()
        >>> p.data.round(4)
        array([0.8944, 2.1056])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative(group, "lr", "eps", "weight_decay", "momentum_decay")
        check_betas(group)

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq")

    def _begin_state(self) -> dict[str, Any]:
        return {"step": 0.0, "mu_product": np.float32(1.0)}

    def _loaded_number(self, name: str, value: np.ndarray, parameter: Parameter) -> Any:
        return float(value) if name == "step" else parameter.dtype.type(value)

    def _run_key(self, state: dict[str, Any]) -> Any:
        begun = state or self._begin_state()
        return begun["step"], begun["mu_product"], begun["mu_product"].dtype

    def _begin(self, group: dict[str, Any], key: Any, states: list[dict[str, Any]]) -> Factors:
        step, lr, (beta1, beta2) = key[0] + 1, group["lr"], group["betas"]

        def mu(step: float) -> float:
            return beta1 * (1.0 - 0.5 * MOMENTUM_BASE ** (step * group["momentum_decay"]))

        product = key[1] * key[2].type(mu(step))
        for state in states:
            state["step"], state["mu_product"] = step, product
        following = float(product) * mu(step + 1)
        return Factors(
            lr * (1.0 - mu(step)) / (1.0 - float(product)),
            lr * mu(step + 1) / (1.0 - following),
            1 - beta2**step,
        )

    def _update(self, group: dict[str, Any], factors: Factors, chunk: Chunk) -> None:
        beta1, beta2 = group["betas"]
        p, g = chunk.param(), gradient(group, chunk)
        m, v = chunk.state("exp_avg"), chunk.state("exp_avg_sq")
        root, scratch = chunk.scratch(1), chunk.scratch(2)

        move_average(m, g, beta1, scratch)  # m ← m + (1 − β₁)(g − m)
        move_average_of_squares(v, g, beta2, scratch)  # v ← β₂v + (1 − β₂)g²

        np.divide(v, factors.correction, out=root)  # √(v / (1 − β₂ᵗ)) + ε
        np.sqrt(root, out=root)
        root += group["eps"]

        np.multiply(g, factors.of_gradient, out=scratch)
        scratch /= root
        p -= scratch
        np.multiply(m, factors.of_average, out=scratch)
        scratch /= root
        p -= scratch
