"""Terms that several optimizers have in their formulas, computed in PyTorch's order."""

from typing import Any

import numpy as np

from .flat import Chunk


def gradient(group: dict[str, Any], chunk: Chunk) -> np.ndarray:
    """The gradient g to descend by, not to be modified.

    Formula, for the weight decay λ:  g ← −g where the loss is maximized;  g ← g + λθ, or with
    decoupled weight decay θ ← θ(1 − γλ) in place.

    It uses the scratch 0 and, for a moment, 2.
    """
    p, g = chunk.param(), chunk.grad()
    if group["maximize"]:
        g = np.negative(g, out=chunk.scratch(0))
    if (decay := group.get("weight_decay", 0)) != 0:
        if group.get("decoupled_weight_decay", False):
            p *= 1 - group["lr"] * decay
        else:
            decayed = np.multiply(p, decay, out=chunk.scratch(2))
            g = np.add(g, decayed, out=chunk.scratch(0))
    return g


def move_average(m: np.ndarray, g: np.ndarray, beta: float, t: np.ndarray) -> None:
    """m ← m + (1 − β)(g − m), and where g is nearer, g − β(g − m); ``t`` is scratch."""
    np.subtract(g, m, out=t)
    if 1 - beta < 0.5:
        t *= 1 - beta
        m += t
    else:
        t *= 1 - (1 - beta)
        np.subtract(g, t, out=m)


def move_average_of_squares(v: np.ndarray, g: np.ndarray, beta: float, t: np.ndarray) -> None:
    """v ← βv + (1 − β)g²; ``t`` is scratch."""
    v *= beta
    np.multiply(g, 1 - beta, out=t)
    t *= g
    v += t
