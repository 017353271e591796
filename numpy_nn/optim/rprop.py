"""Rprop."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .._kernels.flat_parameters import Chunk
from .optimizer import Optimizer, check_not_negative, gradient


class Rprop(Optimizer):
    """Steps whose length follows from the signs of the gradients alone.

    Formula, for values θ, their gradient g, the one before, h, and the step lengths s:
        s ← clip(s η₊) where gh > 0, clip(s η₋) where gh < 0, clip(s) elsewhere;
        g ← 0 where gh < 0;  θ ← θ − sign(g) s;  h ← g.

    Convention: where the sign changed the value stays for one step and is not set back, as in
    PyTorch (https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html): the
    variant known as iRprop−. A NaN has the sign 0.

    Args:
        params: parameters, or dicts of groups.
        lr: s before the first step.
        etas: η₋ and η₊.
        step_sizes: the least and the largest s.
        capturable: False only: it chooses how PyTorch computes, as the two others like it.
        foreach: None only.
        maximize: go up instead of down.
        differentiable: False only.

    Raises:
        ValueError: if the learning rate is negative, or not 0 < η₋ < 1 < η₊.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> p = Parameter(numpy.array([1.0, 2.0]))
        >>> p.grad = numpy.array([0.5, -0.5])
        >>> Rprop([p], lr=0.1).step()
        >>> p.data
        array([0.9, 2.1])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _check_group(self, group: dict[str, Any]) -> None:
        check_not_negative(group, "lr")
        if not 0.0 < group["etas"][0] < 1.0 < group["etas"][1]:
            raise ValueError(f"Invalid eta values: {group['etas'][0]}, {group['etas'][1]}")

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("prev", "step_size")

    def _start(self, group: dict[str, Any], name: str) -> float:
        return group["lr"] if name == "step_size" else 0.0

    def _update(self, group: dict[str, Any], common: None, chunk: Chunk) -> None:
        (shorter, longer), (least, largest) = group["etas"], group["step_sizes"]
        p, g = chunk.param(), gradient(group, chunk)
        h, s = chunk.state("prev"), chunk.state("step_size")
        scratch = chunk.scratch(1)

        product = np.multiply(g, h, out=scratch)
        same, turned = product > 0, product < 0
        np.multiply(s, longer, out=s, where=same)
        np.multiply(s, shorter, out=s, where=turned)
        np.clip(s, least, largest, out=s)

        h[...] = g  # h ← g, and 0 where it turned
        h[turned] = 0

        np.subtract(h > 0, h < 0, out=scratch, dtype=scratch.dtype)  # θ ← θ − sign(g) s
        scratch *= s
        p -= scratch
