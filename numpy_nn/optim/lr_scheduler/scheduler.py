"""The base class of every schedule."""

import warnings
from typing import Any

from ..optimizer import Optimizer

EPOCH_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated. "
    "Please use `scheduler.step()` to step the scheduler."
)


class LRScheduler:
    """Base class of all schedules: sets the learning rate of every group of an optimizer.

    A subclass defines ``get_lr``, and may define ``_get_closed_form_lr``, the same as a
    function of ``last_epoch`` alone.

    Convention: as in PyTorch ``get_lr`` makes the next learning rate from the one that stands in
    the group, so that schedules can be chained and a rate set by hand is gone on from; the first
    step is made by the constructor. ``scheduler.step()`` follows ``optimizer.step()``.

    Args:
        optimizer: whose groups are scheduled.
        last_epoch: −1 to begin; otherwise the epoch to go on from, with the optimizer's groups
            as they were then: their learning rate, and "initial_lr" beside it.

    Attributes:
        base_lrs: the learning rates that the schedule started from.
        last_epoch: how many steps were made.

    Raises:
        TypeError: if the optimizer is none.
        KeyError: if last_epoch is not −1 and a group has no "initial_lr".
    """

    _last_lr: list[float]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(optimizer)
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{number}] when resuming "
                    "a scheduler with last_epoch >= 0. Load the optimizer's state first"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        if optimizer._opt_called is None:
            optimizer._opt_called = False
        self._step_count = 0
        self._is_initial = True
        self._get_lr_called_within_step = False
        self.step()
        self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All of the schedule's attributes but the optimizer, in PyTorch's form."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that ``state_dict()`` gave, here or in PyTorch.

        Load the optimizer's state too: it holds the learning rates.
        """
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[float]:
        """The learning rates that were set last, one a group."""
        return self._last_lr

    def get_lr(self) -> list[float]:
        """Compute the learning rates of ``last_epoch`` from those before."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rates of the next epoch.

        Args:
            epoch: deprecated, as in PyTorch: the epoch to go to.
        """
        if self._step_count == 1 and not self.optimizer._opt_called:
            warnings.warn(
                "Detected call of `lr_scheduler.step()` before `optimizer.step()`. Call them in "
                "the opposite order: otherwise the first value of the schedule is skipped",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_WARNING, UserWarning, stacklevel=2)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        self._get_lr_called_within_step = True
        try:
            closed_form = getattr(self, "_get_closed_form_lr", self.get_lr)
            rates = self.get_lr() if epoch is None else closed_form()
        finally:
            self._get_lr_called_within_step = False
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._current()

    def _warn_outside_step(self) -> None:
        """``get_lr`` makes the next rates from the last ones: it does not tell the last ones."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "To get the last learning rate computed by the scheduler, please use "
                "`get_last_lr()`.",
                UserWarning,
                stacklevel=3,
            )

    def _current(self) -> list[float]:
        """The learning rates that stand in the groups."""
        return [group["lr"] for group in self.optimizer.param_groups]


def check_optimizer(optimizer: Any) -> Optimizer:
    """Refuse what is no optimizer.

    Raises:
        TypeError: naming what was received.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer
