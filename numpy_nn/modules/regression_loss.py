"""Losses of the distance between a value and its target."""

import warnings
from typing import Any

import numpy as np

from ..parameter import FLOAT_DTYPES
from .loss import PointwiseLoss


class DistanceLoss(PointwiseLoss):
    """A loss of d = x − t, where the target may be of another shape and dtype.

    Convention: as in PyTorch a target of another shape is broadcast, with a warning, since
    that is mostly a mistake; a target of integers counts in the input's dtype, and with one
    of float64 a float32 input gives a float64 loss and a float32 gradient.
    """

    # Whether PyTorch warns of another shape.
    warns_of_shape = True
    # Kinds of dtype that the target may have beside the input's own.
    target_kinds = "fiub"

    def _pair(self, input: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        name = type(self).__name__
        target = np.asarray(target)
        allowed = target.dtype.kind in self.target_kinds
        if not allowed or (target.dtype.kind == "f" and target.dtype not in FLOAT_DTYPES):
            raise TypeError(
                f"{name} expects a target of the input's dtype {input.dtype}. "
                f"Received: {target.dtype}. Convert it with target.astype(numpy.{input.dtype})"
            )
        dtype = np.result_type(input, target) if target.dtype.kind == "f" else input.dtype
        if target.shape != input.shape:
            self._check_broadcast(input.shape, target.shape)
        x, t = np.broadcast_arrays(
            input.astype(dtype, copy=False), target.astype(dtype, copy=False)
        )
        return x, t

    def _check_broadcast(self, input: tuple[int, ...], target: tuple[int, ...]) -> None:
        try:
            np.broadcast_shapes(input, target)
        except ValueError:
            raise ValueError(
                f"{type(self).__name__} expects a target of the input's shape {input}. "
                f"Received: {target}, which cannot be broadcast to it"
            ) from None
        if self.warns_of_shape:
            warnings.warn(
                f"Using a target size ({target}) that is different to the input size ({input}). "
                "This will likely lead to incorrect results due to broadcasting. "
                "Please ensure they have the same size.",
                stacklevel=6,
            )


class MSELoss(DistanceLoss):
    """Squared distance.

    Formula, with d = x − t:  l = d²;  dx = 2d dl.

    Convention: there is no factor of one half, and the mean is over all values, not over the
    samples, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html).

    Args:
        size_average: None only; PyTorch deprecates it.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".

    Shape:
        input and target (*); the loss is a number, or (*) with reduction "none".

    Raises:
        ValueError: if the target cannot be broadcast to the input.
        TypeError: if a dtype does not fit.

    Example:
        >>> import numpy
        >>> loss = MSELoss()
        >>> loss(numpy.array([1.0, 2.0]), numpy.array([0.0, 4.0]))
        np.float64(2.5)
        >>> loss.backward()
        array([ 1., -2.])
    """

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        d = x - t
        return d * d

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return 2 * (x - t)


class L1Loss(DistanceLoss):
    """Absolute distance.

    Formula, with d = x − t:  l = |d|;  dx = sign(d) dl.

    Convention: the derivative at d = 0 is 0, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.L1Loss.html).

    Args:
        size_average: None only; PyTorch deprecates it.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".

    Shape:
        input and target (*); the loss is a number, or (*) with reduction "none".

    Raises:
        ValueError: if the target cannot be broadcast to the input.
        TypeError: if a dtype does not fit.

    Example:
        >>> import numpy
        >>> loss = L1Loss(reduction="sum")
        >>> loss(numpy.array([1.0, 2.0]), numpy.array([0.0, 4.0]))
        np.float64(3.0)
        >>> loss.backward()
        array([ 1., -1.])
    """

    target_kinds = "fiu"

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.abs(x - t)

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.subtract(x > t, x < t, dtype=x.dtype)


class SmoothL1Loss(DistanceLoss):
    """Absolute distance with a parabola in place of its kink.

    Formula, with d = x − t:
        l = d² / 2β where |d| < β, and |d| − β/2 elsewhere;  dx = clip(d / β, −1, 1) dl.

    Convention: this is HuberLoss over β, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html); with β = 0
    it is L1Loss.

    Args:
        size_average: None only; PyTorch deprecates it.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".
        beta: β, where the parabola ends.

    Shape:
        input and target (*); the loss is a number, or (*) with reduction "none".

    Raises:
        ValueError: if the target cannot be broadcast to the input, or β is negative.
        TypeError: if a dtype does not fit.

    Example:
        >>> import numpy
        >>> loss = SmoothL1Loss(reduction="none")
        >>> loss(numpy.array([0.5, 3.0]), numpy.array([0.0, 0.0]))
        array([0.125, 2.5  ])
        >>> loss.backward()
        array([0.5, 1. ])
    """

    def __init__(
        self,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if not beta >= 0:
            raise ValueError(f"SmoothL1Loss expects beta >= 0. Received: {beta}")
        self.beta = beta

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        z = np.abs(x - t)
        if self.beta == 0:
            return z
        return np.where(z < self.beta, 0.5 * z * z / self.beta, z - 0.5 * self.beta)

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        if self.beta == 0:
            return np.subtract(x > t, x < t, dtype=x.dtype)
        return np.clip((x - t) / self.beta, -1, 1)


class HuberLoss(DistanceLoss):
    """A parabola near the target, and straight lines of slope δ away from it.

    Formula, with d = x − t:
        l = d² / 2 where |d| ≤ δ, and δ(|d| − δ/2) elsewhere;  dx = clip(d, −δ, δ) dl.

    Convention: the lines have slope δ, not 1, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html).

    Args:
        reduction: "mean", "sum" or "none".
        delta: δ, where the parabola ends.

    Shape:
        input and target (*), of one dtype; the loss is a number, or (*) with reduction "none".

    Raises:
        ValueError: if the target cannot be broadcast to the input, or δ is not positive.
        TypeError: if the dtypes differ.

    Example:
        >>> import numpy
        >>> loss = HuberLoss(reduction="none", delta=2.0)
        >>> loss(numpy.array([0.5, 3.0]), numpy.array([0.0, 0.0]))
        array([0.125, 4.   ])
        >>> loss.backward()
        array([0.5, 2. ])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        if not delta > 0:
            raise ValueError(f"HuberLoss expects delta > 0. Received: {delta}")
        self.delta = delta

    def _pair(self, input: np.ndarray, target: Any) -> tuple[np.ndarray, np.ndarray]:
        if target.dtype != input.dtype:
            raise TypeError(
                f"HuberLoss expects a target of the input's dtype {input.dtype}. "
                f"Received: {target.dtype}. Convert it with target.astype(numpy.{input.dtype})"
            )
        return super()._pair(input, target)

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        z = np.abs(x - t)
        return np.where(z <= self.delta, 0.5 * z * z, self.delta * (z - 0.5 * self.delta))

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.clip(x - t, -self.delta, self.delta)
