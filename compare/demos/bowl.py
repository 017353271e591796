"""f(x, y) = x²/p + y²/q with its gradient, by formula in NumPy and by autograd in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def point(nn: Any) -> Any:
    """The point that walks: the two weights of the smallest network there is."""
    return nn.Linear(1, 2, bias=False)


def bowl(at: np.ndarray, divisors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value and the gradient by formula: f = Σ v²/d, ∂f/∂v = 2v/d.

    Args:
        at: x and y, in any shape that the divisors have too.
        divisors: p and q.
    """
    divisors = divisors.astype(at.dtype)
    return np.sum(at * at / divisors), 2 * at / divisors


def bowl_by_autograd(
    at: np.ndarray, divisors: np.ndarray, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """The same in PyTorch, in a precision of its own; only the value is written down."""
    kind = getattr(torch, dtype)
    leaf = torch.tensor(at).to(kind).requires_grad_()
    value = (leaf**2 / torch.tensor(divisors).to(kind)).sum()
    value.backward()
    assert leaf.grad is not None
    return np.array(value.detach().numpy()), np.array(leaf.grad.numpy())
