"""Cross-entropy of a softmax."""

from typing import Any

import numpy as np

from .checks import check_input
from .class_axis import (
    check_class_indices,
    check_class_weight,
    classes_back,
    classes_first,
    weigh_indices,
    without_classes,
)
from .loss import Loss, check_target, quiet


class CrossEntropyLoss(Loss):
    """Cross-entropy of a softmax over the classes.

    Formula, with p = softmax(x), the target as a distribution q over the C classes (1 at the
    target's class, or given; with label smoothing (1 − s) q + s / C), and v = w q:
        lₙ = − Σ꜀ v꜀ log p꜀;  dx꜀ = (p꜀ Σₖ vₖ − v꜀) dlₙ.
    The mean is Σ lₙ over Σ w[yₙ] of the samples that are not ignored; where targets are
    probabilities it is Σ lₙ / N.

    Convention: the weighted mean divides by the sum of the weights, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html). Without
    a sample to average over it is nan.

    Args:
        weight: w of shape (C,), of the input's dtype, or None for ones.
        size_average: None only; PyTorch deprecates it.
        ignore_index: a class index whose samples count nothing.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".
        label_smoothing: s, in [0, 1].

    Shape:
        input (C,), (N, C) or (N, C, d₁, …); target the same without C and of int64 (class
        indices), or as the input (class probabilities). The loss is a number, or has the
        input's shape without C with reduction "none".

    Raises:
        ValueError: if the shapes do not fit.
        TypeError: if a dtype does not.
        IndexError: if a class index is not in [0, C).

    Example:
        >>> import numpy
        >>> loss = CrossEntropyLoss()
        >>> loss(numpy.zeros((2, 4)), numpy.array([0, 3])).round(4)  # ln 4
        np.float64(1.3863)
        >>> loss.backward()
        array([[-0.375,  0.125,  0.125,  0.125],
               [ 0.125,  0.125,  0.125, -0.375]])
    """

    weight: np.ndarray | None

    def __init__(
        self,
        weight: np.ndarray | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(
                f"label_smoothing must be between 0.0 and 1.0. Received: {label_smoothing}"
            )
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    @quiet
    def forward(self, input: np.ndarray, target: np.ndarray) -> Any:
        """Compute the loss: a NumPy scalar of the input's dtype, or an array."""
        target = self._check(input, target)
        self._shape, self._dtype = input.shape, input.dtype
        given = target.dtype.kind == "f"
        dtype = np.result_type(input, target) if given else input.dtype
        x = classes_first(input).astype(dtype, copy=False)
        shifted = x - x.max(axis=0, initial=-np.inf)  # so that no exp overflows
        self._exp = np.exp(shifted)
        self._sum = self._exp.sum(axis=0)
        log_sum = np.log(self._sum)

        self._spread = self._ignored = None
        if given:
            self._spread = self._probabilities(classes_first(target).astype(dtype, copy=False))
            size = x.shape[1]
        else:
            self._at, self._weight_at, self._ignored = weigh_indices(
                target.ravel(), x, self.weight, self.ignore_index
            )
            size = self._weight_at.sum()
            if self.label_smoothing > 0:
                self._spread = self._smooth_indices(x)
        if self._spread is None:
            losses = self._weight_at * (log_sum - shifted[self._at])
        else:
            losses = (self._spread * (log_sum - shifted)).sum(axis=0)
        if self._ignored is not None:
            losses[self._ignored] = 0
        return self._reduce(losses.reshape(without_classes(input.shape)), size)

    @quiet
    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return dx = (p Σ v − v) dl."""
        p = self._saved("_exp") / self._sum
        grad = np.ravel(self._grad_losses(grad_output))
        if self._ignored is not None:
            grad = np.where(self._ignored, 0, grad)
        if self._spread is None:  # v is the weight at the target, and 0 elsewhere
            v = self._weight_at * grad
            dx = p * v
            dx[self._at] -= v
        else:
            v = self._spread
            dx = (p * v.sum(axis=0) - v) * grad
        return classes_back(dx, self._shape).astype(self._dtype, copy=False)

    def _probabilities(self, q: np.ndarray) -> np.ndarray:
        """v for given probabilities: smoothed, and weighted."""
        s = self.label_smoothing
        v = q * q.dtype.type(1 - s) + q.dtype.type(s / max(len(q), 1))
        return v if self.weight is None else v * self.weight[:, None]

    def _smooth_indices(self, x: np.ndarray) -> np.ndarray:
        """v for class indices with label smoothing."""
        s = self.label_smoothing
        weight = np.ones(len(x), x.dtype) if self.weight is None else self.weight
        v = np.repeat(weight[:, None] * x.dtype.type(s / len(x)), x.shape[1], axis=1)
        v[self._at] += self._weight_at * x.dtype.type(1 - s)
        return v

    def _check(self, input: np.ndarray, target: Any) -> np.ndarray:
        check_input(self, input)
        check_target(self, target)
        check_class_weight(self, self.weight, input)
        target = np.asarray(target)
        if target.dtype.kind != "f":
            check_class_indices(self, input, target)
        elif target.shape != input.shape or target.dtype not in (np.float32, np.float64):
            raise ValueError(
                "CrossEntropyLoss expects class probabilities of the input's shape, "
                f"{input.shape} {input.dtype}. Received: {target.shape} {target.dtype}"
            )
        elif self.ignore_index >= 0:
            raise ValueError("ignore_index is not supported for floating point target")
        return target
