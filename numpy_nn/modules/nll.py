"""Negative log-likelihood."""

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


class NLLLoss(Loss):
    """Negative log-likelihood of the classes, given the logarithms of their probabilities.

    Formula, with the class yₙ of sample n and the weights w of the classes:
        lₙ = − w[yₙ] xₙ[yₙ];  dxₙ[yₙ] = − w[yₙ] dlₙ, and 0 at every other class.
    The mean is Σ lₙ over Σ w[yₙ] of the samples that are not ignored.

    Convention: the weighted mean divides by the sum of the weights, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html). Without a sample
    to average over it is nan.

    Args:
        weight: w of shape (C,), of the input's dtype, or None for ones.
        size_average: None only; PyTorch deprecates it.
        ignore_index: a class index whose samples count nothing.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".

    Shape:
        input (C,), (N, C) or (N, C, d₁, …), log-probabilities as LogSoftmax gives them; target
        the same without C, of int64. The loss is a number, or has the target's shape with
        reduction "none".

    Raises:
        ValueError: if the shapes do not fit.
        TypeError: if a dtype does not.
        IndexError: if a class index is not in [0, C).

    Example:
        >>> import numpy
        >>> loss = NLLLoss()
        >>> loss(numpy.log([[0.5, 0.5], [0.25, 0.75]]), numpy.array([0, 1])).round(4)
        np.float64(0.4904)
        >>> loss.backward()
        array([[-0.5,  0. ],
               [ 0. , -0.5]])
    """

    weight: np.ndarray | None

    def __init__(
        self,
        weight: np.ndarray | None = None,
        size_average: None = None,
        ignore_index: int = -100,
        reduce: None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    @quiet
    def forward(self, input: np.ndarray, target: np.ndarray) -> Any:
        """Compute the loss: a NumPy scalar of the input's dtype, or an array."""
        check_input(self, input)
        check_target(self, target)
        check_class_weight(self, self.weight, input)
        target = np.asarray(target)
        check_class_indices(self, input, target)
        x = classes_first(input)
        self._at, self._weight_at, self._ignored = weigh_indices(
            target.ravel(), x, self.weight, self.ignore_index
        )
        self._shape, self._dtype = input.shape, input.dtype
        losses = -self._weight_at * x[self._at]
        if self._ignored is not None:
            losses[self._ignored] = 0
        return self._reduce(losses.reshape(without_classes(input.shape)), self._weight_at.sum())

    @quiet
    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return dx, −w dl at the classes of the targets."""
        at = self._saved("_at")
        dx = np.zeros(classes_first(np.empty(self._shape, np.bool_)).shape, self._dtype)
        grad = np.ravel(self._grad_losses(grad_output))
        if self._ignored is not None:
            grad = np.where(self._ignored, 0, grad)
        dx[at] = -self._weight_at * grad
        return classes_back(dx, self._shape)
