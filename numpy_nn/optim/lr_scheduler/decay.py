"""Schedules that multiply the learning rate by a factor, now and then or always."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable

from ..optimizer import Optimizer
from .scheduler import LRScheduler


class StepLR(LRScheduler):
    """The learning rate times a factor every so many epochs.

    Formula:  γₑ = γ₀ η^⌊e / k⌋.

    Args:
        optimizer: whose groups are scheduled.
        step_size: k.
        gamma: η.
        last_epoch: the epoch to go on from, −1 to begin.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> from numpy_nn.optim import SGD
        >>> optimizer = SGD([Parameter(numpy.zeros(2))], lr=0.5)
        >>> schedule = StepLR(optimizer, step_size=2, gamma=0.5)
        >>> for _ in range(4):
        ...     optimizer.step()
        ...     schedule.step()
        ...     print(schedule.get_last_lr())
        [0.5]
        [0.25]
        [0.25]
        [0.125]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Compute the learning rates: times η where k divides the epoch."""
        self._warn_outside_step()
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._current()
        return [lr * self.gamma for lr in self._current()]

    def _get_closed_form_lr(self) -> list[float]:
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class MultiStepLR(LRScheduler):
    """The learning rate times a factor at given epochs.

    Formula:  γₑ = γ₀ ηᵐ with m the number of milestones up to e.

    Args:
        optimizer: whose groups are scheduled.
        milestones: epochs; one that is given twice counts twice.
        gamma: η.
        last_epoch: the epoch to go on from, −1 to begin.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> from numpy_nn.optim import SGD
        >>> optimizer = SGD([Parameter(numpy.zeros(2))], lr=0.5)
        >>> schedule = MultiStepLR(optimizer, milestones=[1, 3], gamma=0.5)
        >>> for _ in range(3):
        ...     optimizer.step()
        ...     schedule.step()
        ...     print(schedule.get_last_lr())
        [0.25]
        [0.25]
        [0.125]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Compute the learning rates: times η for each milestone at this epoch."""
        self._warn_outside_step()
        if self.last_epoch not in self.milestones:
            return self._current()
        return [lr * self.gamma ** self.milestones[self.last_epoch] for lr in self._current()]

    def _get_closed_form_lr(self) -> list[float]:
        passed = bisect_right(sorted(self.milestones.elements()), self.last_epoch)
        return [lr * self.gamma**passed for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """The learning rate times a factor every epoch.

    Formula:  γₑ = γ₀ ηᵉ.

    Args:
        optimizer: whose groups are scheduled.
        gamma: η.
        last_epoch: the epoch to go on from, −1 to begin.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> from numpy_nn.optim import SGD
        >>> optimizer = SGD([Parameter(numpy.zeros(2))], lr=0.5)
        >>> schedule = ExponentialLR(optimizer, gamma=0.5)
        >>> for _ in range(2):
        ...     optimizer.step()
        ...     schedule.step()
        ...     print(schedule.get_last_lr())
        [0.25]
        [0.125]
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Compute the learning rates: times η, but not when the schedule is made."""
        self._warn_outside_step()
        if self._is_initial:
            return self._current()
        return [lr * self.gamma for lr in self._current()]

    def _get_closed_form_lr(self) -> list[float]:
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]
