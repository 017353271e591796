"""Losses, each called with (input, target); their backward starts the chain rule."""

import warnings
from typing import Any

import numpy as np

from .._kernels.reductions import classes_back, classes_first, number_of_classes, without_classes
from ..parameter import FLOAT_DTYPES
from .module import Module
from .validation import check_grad_output, check_input

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]

# A decorator: like PyTorch's, a loss of infinite values or NaN gives no warning.
quiet = np.errstate(all="ignore")

# Of BCELoss, and PyTorch's: log p is never below this, so that the loss at p = 0 and p = 1 is
# finite, and p (1 − p) in the derivative never below that, which is a float32 there in float64 too.
LEAST_LOG = -100.0
LEAST_VARIANCE = float(np.float32(1e-12))


class _Loss(Module):
    """Base class of all losses: called with (input, target), and with a default for backward.

    Formula, for the loss l of each sample or value, L = l ("none"), Σ l ("sum") or
    Σ l / size ("mean"): dl = dL, dL or dL / size.

    Args:
        size_average: None only; PyTorch deprecates it.
        reduce: None only; PyTorch deprecates it.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: if the reduction is unknown, or a deprecated argument is given.
    """

    reductions: tuple[str, ...] = ("none", "mean", "sum")

    def __init__(
        self, size_average: None = None, reduce: None = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        for name, value in (("size_average", size_average), ("reduce", reduce)):
            if value is not None:
                raise ValueError(
                    f"{name}={value!r} is not supported: PyTorch deprecates it. Use reduction"
                )
        self.reduction = reduction
        self._check_reduction()

    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return the gradient by the input, times ``grad_output``, that by the loss."""
        raise NotImplementedError

    def _check_reduction(self) -> None:
        if self.reduction not in self.reductions:
            raise ValueError(
                f"{self.reduction} is not a valid value for reduction. There are: {self.reductions}"
            )

    def _reduce(self, losses: np.ndarray, size: Any) -> Any:
        """The losses as they are, their sum, or their sum over ``size``."""
        self._check_reduction()
        self._losses_shape, self._losses_dtype, self._size = losses.shape, losses.dtype, size
        if self.reduction == "none":
            return losses
        total = losses.sum()
        return total if self.reduction == "sum" else total / size

    def _grad_losses(self, grad_output: Any) -> Any:
        """The gradient by each of the losses: an array of their shape, or one number."""
        dtype = self._losses_dtype
        if self.reduction == "none" and self._losses_shape != ():
            if np.ndim(grad_output) == 0 and grad_output == 1.0:
                return np.ones(self._losses_shape, dtype)
            check_grad_output(self, grad_output, self._losses_shape, dtype)
            return grad_output
        if np.ndim(grad_output) != 0:
            raise ValueError(
                f"{type(self).__name__}.backward expects a number as the gradient by the loss. "
                f"Received: shape {np.shape(grad_output)}"
            )
        grad = dtype.type(grad_output)
        return grad if self.reduction in ("none", "sum") else grad / self._size


class _PointwiseLoss(_Loss):
    """A loss of every value of the input and the value of the target beside it.

    A subclass gives the losses (``_losses``) and their derivative by the input (``_slopes``).
    """

    @quiet
    def forward(self, input: np.ndarray, target: np.ndarray) -> Any:
        """Compute the loss: a NumPy scalar, or an array with reduction "none"."""
        check_input(self, input)
        _check_target(self, target)
        x, t = self._pair(input, target)
        self._input, self._x, self._t = input, x, t
        losses = self._losses(x, t)
        return self._reduce(losses, self._count(losses))

    @quiet
    def backward(self, grad_output: Any = 1.0) -> np.ndarray:
        """Return dx, the derivative of each loss times the gradient by that loss."""
        x = self._saved("_x")
        dx = np.asarray(self._slopes(x, self._t) * self._grad_losses(grad_output))
        return _summed_to(dx, self._input.shape).astype(self._input.dtype, copy=False)

    def _pair(self, input: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Input and target in one shape and dtype."""
        raise NotImplementedError

    def _losses(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _slopes(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _count(self, losses: np.ndarray) -> int:
        """What the mean divides by."""
        return losses.size


class _DistanceLoss(_PointwiseLoss):
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


class MSELoss(_DistanceLoss):
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


class L1Loss(_DistanceLoss):
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


class SmoothL1Loss(_DistanceLoss):
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


class HuberLoss(_DistanceLoss):
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


class KLDivLoss(_DistanceLoss):
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


class BCELoss(_PointwiseLoss):
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
        _check_same_shape(self, input, target)
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


class BCEWithLogitsLoss(_PointwiseLoss):
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
        _check_same_shape(self, input, target)
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


class _ClassLoss(_Loss):
    """Base class of losses whose targets are classes, weighted or ignored."""

    weight: np.ndarray | None
    ignore_index: int

    def _weigh_indices(
        self, target: np.ndarray, x: np.ndarray
    ) -> tuple[tuple[Any, Any], np.ndarray, np.ndarray | None]:
        """Where in ``x``, (C, samples), the targets' classes stand, their weights, who is ignored.

        The weight of an ignored sample is 0; where none is ignored the third result is None.

        Raises:
            IndexError: naming a target that is no class.
        """
        ignored = None
        wrong = (target < 0) | (target >= len(x))
        if 0 <= self.ignore_index < len(x) or wrong.any():
            ignored = target == self.ignore_index
            if (wrong := wrong & ~ignored).any():
                raise IndexError(
                    f"Target {target[wrong][0]} is out of bounds: there are {len(x)} classes"
                )
            if not ignored.any():
                ignored = None
            else:
                target = np.where(ignored, 0, target)
        if self.weight is None:
            weights = np.ones(len(target), x.dtype)
        else:
            weights = self.weight.astype(x.dtype, copy=False)[target]
        if ignored is not None:
            weights[ignored] = 0
        return (target, np.arange(len(target))), weights, ignored


class NLLLoss(_ClassLoss):
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
        ignore_index: a class index; samples of that class are left out.
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
        _check_target(self, target)
        _check_class_weight(self, self.weight, input)
        target = np.asarray(target)
        _check_class_indices(self, input, target)
        x = classes_first(input)
        self._at, self._weight_at, self._ignored = self._weigh_indices(target.ravel(), x)
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


class CrossEntropyLoss(_ClassLoss):
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
        ignore_index: a class index; samples of that class are left out.
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

    _spread: np.ndarray | None

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
        self._check(input, target)
        target = np.asarray(target)
        self._shape, self._dtype = input.shape, input.dtype
        x = self._scores(input, target)
        shifted = x - x.max(axis=0, initial=-np.inf)  # so that no exp overflows
        self._exp = np.exp(shifted)
        self._sum = self._exp.sum(axis=0)
        log_sum = np.log(self._sum)

        if target.dtype.kind == "f":
            q = classes_first(target).astype(x.dtype, copy=False)
            self._spread, self._ignored = self._probabilities(q), None
            size = x.shape[1]
        else:
            self._at, self._weight_at, self._ignored = self._weigh_indices(target.ravel(), x)
            self._spread = None
            if self.label_smoothing != 0:
                self._spread = self._smooth_indices(x)
            size = self._weight_at.sum()
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

    def _scores(self, input: np.ndarray, target: np.ndarray) -> np.ndarray:
        """The input as (C, samples), in a type that holds given probabilities too."""
        given = target.dtype.kind == "f"
        dtype = np.result_type(input, target) if given else input.dtype
        return classes_first(input).astype(dtype, copy=False)

    def _probabilities(self, q: np.ndarray) -> np.ndarray:
        """v for given probabilities: smoothed, and weighted."""
        s = self.label_smoothing
        v = q * q.dtype.type(1 - s) + q.dtype.type(s / max(len(q), 1))
        return v if self.weight is None else v * self.weight[:, None]

    def _smooth_indices(self, x: np.ndarray) -> np.ndarray:
        """v for class indices whose labels are smoothed."""
        s = self.label_smoothing
        weight = np.ones(len(x), x.dtype) if self.weight is None else self.weight
        v = np.repeat(weight[:, None] * x.dtype.type(s / len(x)), x.shape[1], axis=1)
        v[self._at] += self._weight_at * x.dtype.type(1 - s)
        return v

    def _check(self, input: np.ndarray, target: Any) -> None:
        check_input(self, input)
        _check_target(self, target)
        _check_class_weight(self, self.weight, input)
        target = np.asarray(target)
        if target.dtype.kind != "f":
            _check_class_indices(self, input, target)
        elif target.shape != input.shape or target.dtype not in (np.float32, np.float64):
            raise ValueError(
                "CrossEntropyLoss expects class probabilities of the input's shape, "
                f"{input.shape} {input.dtype}. Received: {target.shape} {target.dtype}"
            )
        elif self.ignore_index >= 0:
            raise ValueError("ignore_index is not supported for floating point target")


def _check_target(loss: _Loss, target: Any) -> None:
    """Refuse a target that is no array.

    Raises:
        TypeError: naming the loss, and what was received.
    """
    if not isinstance(target, np.ndarray | np.generic):
        raise TypeError(
            f"{type(loss).__name__} expects the target as a numpy array. "
            f"Received: {type(target).__name__}"
        )


def _check_same_shape(loss: _Loss, input: np.ndarray, target: np.ndarray) -> None:
    """Refuse a target of another shape than the input's.

    Raises:
        ValueError: naming both shapes.
    """
    if target.shape != input.shape:
        raise ValueError(
            f"{type(loss).__name__} expects a target of the input's shape {input.shape}. "
            f"Received: {target.shape}"
        )


def _check_class_weight(loss: _Loss, weight: np.ndarray | None, input: np.ndarray) -> None:
    """Refuse an input without classes, and a weight that does not fit them.

    Raises:
        ValueError: naming shapes and dtypes.
    """
    if input.ndim == 0:
        raise ValueError(f"{type(loss).__name__} expects at least one axis. Received: shape ()")
    classes = number_of_classes(input.shape)
    if weight is not None and (weight.shape != (classes,) or weight.dtype != input.dtype):
        raise ValueError(
            f"weight must have shape ({classes},), one value a class, and the input's dtype "
            f"{input.dtype}. Received: {weight.shape} {weight.dtype}"
        )


def _check_class_indices(loss: _Loss, input: np.ndarray, target: np.ndarray) -> None:
    """Refuse what are no class indices, one for each sample of the input.

    Raises:
        TypeError: naming the dtype.
        ValueError: naming the shapes.
    """
    name = type(loss).__name__
    if target.dtype not in (np.int64, np.uint8):
        raise TypeError(
            f"{name} expects class indices of int64. Received: {target.dtype}. "
            "Convert them with target.astype(numpy.int64)"
        )
    if target.shape != (shape := without_classes(input.shape)):
        raise ValueError(
            f"{name} expects class indices of shape {shape} for an input of shape "
            f"{input.shape}. Received: {target.shape}"
        )


def _weighted(loss: _PointwiseLoss, weight: np.ndarray | None, values: np.ndarray) -> np.ndarray:
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


def _summed_to(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The gradient by what was broadcast from ``shape``: summed over every repetition."""
    if array.shape == shape:
        return array
    array = array.sum(axis=tuple(range(array.ndim - len(shape))))
    repeated = tuple(i for i, n in enumerate(shape) if n == 1 and array.shape[i] != 1)
    return array.sum(axis=repeated, keepdims=True)
