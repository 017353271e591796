"""Schedules along a line and along a cosine."""

import math

from ..optimizer import Optimizer
from .scheduler import LRScheduler


class LinearLR(LRScheduler):
    """The learning rate along a line from one factor to another.

    Formula, over T epochs:  γₑ = γ₀ (a + (b − a) min(e, T) / T).

    Args:
        optimizer: whose groups are scheduled.
        start_factor: a, in (0, 1].
        end_factor: b, in [0, 1].
        total_iters: T.
        last_epoch: the epoch to go on from, −1 to begin.

    Raises:
        ValueError: if a factor is outside its range.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> from numpy_nn.optim import SGD
        >>> optimizer = SGD([Parameter(numpy.zeros(2))], lr=1.0)
        >>> schedule = LinearLR(optimizer, start_factor=0.5, total_iters=2)
        >>> for _ in range(3):
        ...     print(schedule.get_last_lr())
        ...     optimizer.step()
        ...     schedule.step()
        [0.5]
        [0.75]
        [1.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if start_factor > 1.0 or start_factor <= 0:
            raise ValueError(f"start_factor must be in (0, 1]. Received: {start_factor}")
        if end_factor > 1.0 or end_factor < 0:
            raise ValueError(f"end_factor must be in [0, 1]. Received: {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Compute the learning rates: times the line here over the line one epoch before."""
        self._warn_outside_step()
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._current()]
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._current()
        rise = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * rise
        return [lr * (1.0 + rise / before) for lr in self._current()]

    def _get_closed_form_lr(self) -> list[float]:
        epoch = min(self.total_iters, self.last_epoch)
        rise = (self.end_factor - self.start_factor) * epoch / self.total_iters
        return [lr * (self.start_factor + rise) for lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """The learning rate along half a wave of a cosine, down to its minimum.

    Formula, over T epochs:  γₑ = η + (γ₀ − η)(1 + cos(πe / T)) / 2.

    Convention: there are no restarts; past T the learning rate rises again, as in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html).

    Args:
        optimizer: whose groups are scheduled.
        T_max: T.
        eta_min: η, the least learning rate.
        last_epoch: the epoch to go on from, −1 to begin.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> from numpy_nn.optim import SGD
        >>> optimizer = SGD([Parameter(numpy.zeros(2))], lr=1.0)
        >>> schedule = CosineAnnealingLR(optimizer, T_max=3)
        >>> for _ in range(4):
        ...     print([round(lr, 4) for lr in schedule.get_last_lr()])
        ...     optimizer.step()
        ...     schedule.step()
        [1.0]
        [0.75]
        [0.25]
        [0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Compute the learning rates: the way to η times the cosine here over that before.

        One epoch after the minimum, where that is 0, the formula's own first value is added.
        """
        self._warn_outside_step()
        if self._is_initial:
            return self._current()
        epoch, period = self.last_epoch, self.T_max
        if (epoch - 1 - period) % (2 * period) == 0:
            return [
                lr + (base - self.eta_min) * (1 - math.cos(math.pi / period)) / 2
                for base, lr in zip(self.base_lrs, self._current(), strict=True)
            ]
        ratio = (1 + math.cos(math.pi * epoch / period)) / (
            1 + math.cos(math.pi * (epoch - 1) / period)
        )
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in self._current()]

    def _get_closed_form_lr(self) -> list[float]:
        wave = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        return [self.eta_min + (lr - self.eta_min) * wave / 2 for lr in self.base_lrs]
