"""RMSprop."""

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


class RMSprop(Optimizer):
    """Steps divided by the root of a moving average of the squared gradients.

    Formula, for values θ, their gradient g, the average v of g², that of g, a, and the momentum
    buffer b:
        v ← αv + (1 − α)g²;  r = √v + ε, or centered a ← a + (1 − α)(g − a), r = √(v − a²) + ε;
        θ ← θ − γ g / r, or with momentum b ← μb + g / r, θ ← θ − γb.
    With weight decay g ← g + λθ first.

    Convention: ε is added after the root, and the learning rate is not part of the momentum
    buffer, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html); TensorFlow adds ε
    under the root, and its α is 0.9.

    Args:
        params: parameters, or dicts of groups.
        lr: γ.
        alpha: α.
        eps: ε.
        weight_decay: λ.
        momentum: μ.
        centered: whether to divide by the estimated standard deviation.
        capturable: False only: it chooses how PyTorch computes, as the two others like it.
        foreach: None only.
        maximize: go up instead of down.
        differentiable: False only.

    Raises:
        ValueError: if a setting is negative.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> RMSprop([p], lr=0.1).step()
        >>> p.data.round(6)
        array([0., 3.])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative(group, "lr", "eps", "momentum", "weight_decay", "alpha")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return tuple(names)

    def _update(self, group: dict[str, Any], common: None, chunk: Chunk) -> None:
        lr, alpha, mu = group["lr"], group["alpha"], group["momentum"]
        p, g, v = chunk.param(), gradient(group, chunk), chunk.state("square_avg")
        root, scratch = chunk.scratch(1), chunk.scratch(2)

        move_average_of_squares(v, g, alpha, scratch)  # v ← αv + (1 − α)g²

        if group["centered"]:  # a ← a + (1 − α)(g − a), √(v − a²) + ε
            a = chunk.state("grad_avg")
            move_average(a, g, alpha, scratch)
            np.multiply(a, a, out=scratch)
            np.subtract(v, scratch, out=root)
            np.sqrt(root, out=root)
        else:
            np.sqrt(v, out=root)
        root += group["eps"]

        if mu > 0:  # b ← μb + g / r, θ ← θ − lr · b
            b = chunk.state("momentum_buffer")
            b *= mu
            b += np.divide(g, root, out=scratch)
            p -= np.multiply(b, lr, out=scratch)
        else:  # θ ← θ − lr · g / r
            np.multiply(g, lr, out=scratch)
            scratch /= root
            p -= scratch
