"""Kullback–Leibler divergence."""

import warnings
from typing import Any

import numpy as np

from .regression_loss import DistanceLoss


class KLDivLoss(DistanceLoss):
    """Divergence of a distribution, given as logarithms x, from a target distribution t.

    Formula:  l = t (log t − x), and 0 − t x where t = 0;  dx = − t dl.
    With ``log_target`` the target holds log t:  l = exp(t) (t − x);  dx = − exp(t) dl.

    Convention: "mean" divides by the number of values, which is not the definition of the
    divergence; "batchmean", by the size of the first axis, is. PyTorch warns of the former,
    and so does this (https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html).

    Args:
        size_average: None only; PyTorch deprecates it.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "batchmean", "sum" or "none".
        log_target: whether the target holds logarithms too.

    Shape:
        input and target (*); the loss is a number, or (*) with reduction "none". A target of
        another shape is broadcast.

    Raises:
        ValueError: if the target cannot be broadcast to the input.
        TypeError: if the target is no float array.

    Example:
        >>> import numpy
        >>> loss = KLDivLoss(reduction="batchmean")
        >>> loss(numpy.log([[0.5, 0.5]]), numpy.array([[0.25, 0.75]])).round(4)
        np.float64(0.1308)
        >>> loss.backward()
        array([[-0.25, -0.75]])
    """

    reductions = ("none", "mean", "batchmean", "sum")
    warns_of_shape = False
    target_kinds = "f"

    def __init__(
        self,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: np.ndarray, target: np.ndarray) -> Any:
        """Compute the loss: a NumPy scalar, or an array with reduction "none"."""
        if self.reduction == "mean":
            warnings.warn(
                "reduction: 'mean' divides the total loss by both the batch size and the support "
                "size. 'batchmean' divides only by the batch size, and aligns with the KL div "
                "math definition.",
                stacklevel=3,
            )
        return super().forward(input, target)

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        if self.log_target:
            return np.exp(t) * (t - x)
        return np.where(t == 0, 0, t * np.log(t)) - t * x

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return -np.exp(t) if self.log_target else -t

    def _count(self, losses: np.ndarray) -> int:
        if self.reduction == "batchmean":
            return self._input.shape[0] if self._input.ndim else 1
        return losses.size
