"""Cross-entropy of two classes, from probabilities and from logits."""

from typing import Any

import numpy as np

from ..parameter import FLOAT_DTYPES
from .loss import PointwiseLoss, check_same_shape

# PyTorch's: log p is never below this, so that the loss at p = 0 and p = 1 is finite, and
# p (1 − p) in the derivative never below that, which is a float32 there in float64 too.
LEAST_LOG = -100.0
LEAST_VARIANCE = float(np.float32(1e-12))


class BCELoss(PointwiseLoss):
    """Binary cross-entropy of probabilities.

    Formula, for the probability x of the class t = 1:
        l = − w (t log x + (1 − t) log(1 − x));  dx = w (x − t) / (x (1 − x)) dl.

    Convention: a logarithm counts as at least −100, and x (1 − x) as at least 1e-12, as in
    PyTorch (https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html). The
    weighted mean divides by the number of values, not by the sum of the weights.

    Args:
        weight: w, an array that can be broadcast to the input, or None for ones.
        size_average: None only; PyTorch deprecates it.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".

    Shape:
        input and target (*), of one dtype, both in [0, 1]; the loss is a number, or (*) with
        reduction "none".

    Raises:
        ValueError: if the shapes do not fit, or a value is outside [0, 1].
        TypeError: if the dtypes differ.

    Example:
        >>> import numpy
        >>> loss = BCELoss(reduction="none")
        >>> loss(numpy.array([0.5, 0.0]), numpy.array([1.0, 1.0])).round(4)
        array([  0.6931, 100.    ])
        >>> loss.backward()
        array([-2.e+00, -1.e+12])
    """

    weight: np.ndarray | None

    def __init__(
        self,
        weight: np.ndarray | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)

    def _pair(self, input: np.ndarray, target: Any) -> tuple[np.ndarray, np.ndarray]:
        check_same_shape(self, input, target)
        if target.dtype != input.dtype:
            raise TypeError(
                f"BCELoss expects a target of the input's dtype {input.dtype}. "
                f"Received: {target.dtype}. Convert it with target.astype(numpy.{input.dtype})"
            )
        for name, values in (("input", input), ("target", target)):
            outside = ~((values >= 0) & (values <= 1))
            if outside.any():
                raise ValueError(
                    f"BCELoss expects every value of the {name} between 0 and 1. "
                    f"Received: {values[outside][0]}"
                    + (". For logits there is BCEWithLogitsLoss" if name == "input" else "")
                )
        return input, np.asarray(target)

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        log_x = np.maximum(np.log(x), LEAST_LOG)
        log_rest = np.maximum(np.log1p(-x), LEAST_LOG)
        return _weighted(self, self.weight, (t - 1) * log_rest - t * log_x)

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return _weighted(self, self.weight, (x - t) / np.maximum((1 - x) * x, LEAST_VARIANCE))


class BCEWithLogitsLoss(PointwiseLoss):
    """Binary cross-entropy of a sigmoid.

    Formula, with p = 1 / (1 + exp(−x)) and the weight c of positive targets:
        l = − w (c t log p + (1 − t) log(1 − p));
        dx = w ((c t + 1 − t) p − c t) dl.
    It is computed as w ((1 − t) x + (1 + (c − 1) t) s) with s = − log p, which is
    log(1 + exp(−|x|)) + max(−x, 0) and overflows nowhere.

    Convention: as in PyTorch the loss has the dtype of the target, and the weighted mean
    divides by the number of values, not by the sum of the weights
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html).

    Args:
        weight: w, an array that can be broadcast to the input, or None for ones.
        size_average: None only; PyTorch deprecates it.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".
        pos_weight: c, an array that can be broadcast to the input, or None for ones.

    Shape:
        input and target (*); the loss is a number, or (*) with reduction "none".

    Raises:
        ValueError: if the shapes do not fit.
        TypeError: if the target is no float array.

    Example:
        >>> import numpy
        >>> loss = BCEWithLogitsLoss(reduction="none")
        >>> loss(numpy.array([0.0, -1e4]), numpy.array([1.0, 1.0])).round(4)
        array([6.931e-01, 1.000e+04])
        >>> loss.backward()
        array([-0.5, -1. ])
    """

    weight: np.ndarray | None
    pos_weight: np.ndarray | None

    def __init__(
        self,
        weight: np.ndarray | None = None,
        size_average: None = None,
        reduce: None = None,
        reduction: str = "mean",
        pos_weight: np.ndarray | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def _pair(self, input: np.ndarray, target: Any) -> tuple[np.ndarray, np.ndarray]:
        check_same_shape(self, input, target)
        if target.dtype not in FLOAT_DTYPES:
            raise TypeError(
                f"BCEWithLogitsLoss expects a target of the input's dtype {input.dtype}. "
                f"Received: {target.dtype}. Convert it with target.astype(numpy.{input.dtype})"
            )
        return input, np.asarray(target)

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        minus_log_p = np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, 0)
        if self.pos_weight is not None:
            minus_log_p = minus_log_p * (1 + _weighted(self, self.pos_weight, t) - t)
        losses = (1 - t) * x + minus_log_p
        return _weighted(self, self.weight, losses).astype(t.dtype, copy=False)

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        small = np.exp(-np.abs(x))
        p = np.where(x >= 0, 1, small) / (1 + small)
        if self.pos_weight is None:
            return _weighted(self, self.weight, p - t)
        ct = _weighted(self, self.pos_weight, t)
        return _weighted(self, self.weight, (ct + 1 - t) * p - ct)


def _weighted(loss: PointwiseLoss, weight: np.ndarray | None, values: np.ndarray) -> np.ndarray:
    """Values times their weights, in the values' dtype.

    Raises:
        ValueError: if the weights cannot be broadcast to the values' shape.
    """
    if weight is None:
        return values
    try:
        np.broadcast_to(weight, values.shape)
    except ValueError:
        raise ValueError(
            f"a weight of {type(loss).__name__} must be of the input's shape {values.shape}, or "
            f"one that can be broadcast to it. Received: {weight.shape}"
        ) from None
    return values * weight.astype(values.dtype, copy=False)
