"""A smaller learning rate when there is no more progress."""

import math
import warnings
from typing import Any, Literal, SupportsFloat

from ..optimizer import Optimizer
from .scheduler import EPOCH_WARNING, LRScheduler, check_optimizer


class ReduceLROnPlateau(LRScheduler):
    """The learning rate times a factor when a measured quantity has stopped to improve.

    Formula, for the best value b so far and the threshold τ, a value m is better if
        m < b (1 − τ) ("min", "rel"), m < b − τ ("min", "abs"), m > b (1 + τ) or m > b + τ ("max").
    After more than ``patience`` epochs without a better one, γ ← max(γη, least γ).

    Convention: an epoch is counted as bad also where the value is as good as the best; with a
    negative b "rel" asks for less than b, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html).

    Args:
        optimizer: whose groups are scheduled.
        mode: whether the quantity should become small ("min") or large ("max").
        factor: η, below 1.
        patience: how many bad epochs are allowed.
        threshold: τ.
        threshold_mode: "rel" or "abs".
        cooldown: for how many epochs after a reduction no bad one is counted.
        min_lr: the least learning rate, or one a group.
        eps: a reduction by no more than this is left out.

    Raises:
        ValueError: if a setting cannot be.
        TypeError: if the optimizer is none.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> from numpy_nn.optim import SGD
        >>> schedule = ReduceLROnPlateau(SGD([Parameter(numpy.zeros(2))], lr=1.0), patience=1)
        >>> for loss in (3.0, 2.0, 2.0, 2.0, 1.0):
        ...     schedule.step(loss)
        ...     print(schedule.get_last_lr())
        [1.0]
        [1.0]
        [1.0]
        [0.1]
        [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError(f"factor must be below 1. Received: {factor}")
        self.optimizer = check_optimizer(optimizer)
        count = len(optimizer.param_groups)
        self.default_min_lr: float | None = None
        if not isinstance(min_lr, list | tuple):
            self.default_min_lr = min_lr
            self.min_lrs = [min_lr] * count
        elif len(min_lr) != count:
            raise ValueError(
                f"min_lr must have one value for each of the {count} groups. "
                f"Received: {len(min_lr)}"
            )
        else:
            self.min_lrs = list(min_lr)
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = self._current()
        self._set_mode(mode, threshold, threshold_mode)
        self._reset()

    def _set_mode(self, mode: str, threshold: float, threshold_mode: str) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max'. Received: {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs'. Received: {threshold_mode!r}")
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.mode_worse = math.inf if mode == "min" else -math.inf

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether no bad epochs are counted."""
        return self.cooldown_counter > 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Count an epoch with the quantity's value, and reduce the learning rate if it is time.

        Args:
            metrics: the value.
            epoch: deprecated, as in PyTorch: the epoch's number.
        """
        current = float(metrics)
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._current()

    def _is_better(self, value: float, best: float) -> bool:
        if self.threshold_mode == "rel":
            if self.mode == "min":
                return value < best * (1.0 - self.threshold)
            return value > best * (self.threshold + 1.0)
        if self.mode == "min":
            return value < best - self.threshold
        return value > best + self.threshold

    def _reduce_lr(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"the optimizer has {len(groups)} groups, and min_lrs {len(self.min_lrs)} "
                    "values: a group was added. Set min_lrs to one value a group"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, least in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, least)
            if old - new > self.eps:
                group["lr"] = new

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that ``state_dict()`` gave, here or in PyTorch."""
        super().load_state_dict(state_dict)
        self._set_mode(self.mode, self.threshold, self.threshold_mode)
