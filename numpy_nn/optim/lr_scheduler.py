"""Schedules of the learning rate, named as in torch.optim.lr_scheduler."""

import math
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, NoReturn, SupportsFloat, TypedDict

from .optimizer import Optimizer

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]


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
        self.optimizer = _check_optimizer(optimizer)
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


class StepLR(LRScheduler):
    """The learning rate times a factor every so many epochs.

    Formula:  γₑ = γ₀ η^⌊e / k⌋.

    Args:
        optimizer: whose groups are scheduled.
        step_size: k.
        gamma: η.
        last_epoch: the epoch to go on from, −1 to begin.

    Raises:
        TypeError: if the optimizer is none.
        KeyError: if last_epoch is not −1 and a group has no "initial_lr".

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

    Raises:
        TypeError: if the optimizer is none.
        KeyError: if last_epoch is not −1 and a group has no "initial_lr".

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

    Raises:
        TypeError: if the optimizer is none.
        KeyError: if last_epoch is not −1 and a group has no "initial_lr".

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

    Raises:
        TypeError: if the optimizer is none.
        KeyError: if last_epoch is not −1 and a group has no "initial_lr".

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


class _Phase(TypedDict):
    """Up to which step a phase goes, and what in the group it starts and ends with."""

    end_step: float
    start_lr: str
    end_lr: str
    start_momentum: str
    end_momentum: str


class OneCycleLR(LRScheduler):
    """The learning rate up to a maximum, and down to far below where it started.

    Formula, in a phase from step s to step e with the learning rates a and b at its ends, and
    τ = (t − s) / (e − s):
        γₜ = b + (a − b)(1 + cos πτ) / 2, or a + (b − a)τ ("linear").
    It goes from max_lr / div_factor to max_lr in the first ``pct_start`` of the steps, and in the
    rest to max_lr / div_factor / final_div_factor; with three phases first back to where it
    started in as many steps. The momentum goes from max_momentum to base_momentum and back.

    Convention: the schedule makes a step a batch, not an epoch, and in PyTorch
    (https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html)
    has two phases by default, where the paper (https://arxiv.org/abs/1708.07120) has three.

    Args:
        optimizer: whose groups are scheduled.
        max_lr: the largest learning rate, or one a group.
        total_steps: how many steps the cycle has, or None for epochs · steps_per_epoch.
        epochs: see total_steps.
        steps_per_epoch: see total_steps.
        pct_start: the share of the steps in which the learning rate rises, a float.
        anneal_strategy: "cos" or "linear".
        cycle_momentum: whether the momentum goes the other way: "momentum" of the groups where
            there is one, the first of "betas" otherwise.
        base_momentum: the least momentum, or one a group.
        max_momentum: the largest momentum, or one a group.
        div_factor: max_lr over the learning rate at the start.
        final_div_factor: the learning rate at the start over that at the end.
        three_phase: see above.
        last_epoch: the step to go on from, −1 to begin.

    Raises:
        ValueError: if a setting cannot be, or there are more steps than the cycle has.

    Example:
        >>> import numpy
        >>> from numpy_nn import Parameter
        >>> from numpy_nn.optim import SGD
        >>> optimizer = SGD([Parameter(numpy.zeros(2))], lr=0.1, momentum=0.9)
        >>> schedule = OneCycleLR(optimizer, max_lr=1.0, total_steps=5, pct_start=0.4)
        >>> for _ in range(5):
        ...     group = optimizer.param_groups[0]
        ...     print(f"{group['lr']:.4f} {group['momentum']:.4f}")
        ...     optimizer.step()
        ...     schedule.step()
        0.0400 0.9500
        1.0000 0.8500
        0.7500 0.8750
        0.2500 0.9250
        0.0000 0.9500
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        groups = _check_optimizer(optimizer).param_groups
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        if pct_start < 0 or pct_start > 1 or not isinstance(pct_start, float):
            raise ValueError(f"pct_start must be a float in [0, 1]. Received: {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be 'cos' or 'linear'. Received: {anneal_strategy!r}"
            )
        self._schedule_phases = _phases(pct_start * self.total_steps, self.total_steps, three_phase)
        self._anneal_func_type = anneal_strategy

        max_lrs = _one_a_group("max_lr", groups, max_lr)
        if last_epoch == -1:
            for group, largest in zip(groups, max_lrs, strict=True):
                group["initial_lr"] = largest / div_factor
                group["max_lr"] = largest
                group["min_lr"] = group["initial_lr"] / final_div_factor

        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            if not {"momentum", "betas"} & set(optimizer.defaults):
                raise ValueError(
                    f"{type(optimizer).__name__} has no momentum and no betas: it must support "
                    "one of them with cycle_momentum=True"
                )
            self.use_beta1 = "betas" in optimizer.defaults
            largest_ones = _one_a_group("max_momentum", groups, max_momentum)
            least_ones = _one_a_group("base_momentum", groups, base_momentum)
            if last_epoch == -1:
                for group, largest, least in zip(groups, largest_ones, least_ones, strict=True):
                    self._set_momentum(group, largest)
                    group["max_momentum"] = largest
                    group["base_momentum"] = least
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Compute the learning rates, and set the momentum."""
        self._warn_outside_step()
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"Tried to step {self.last_epoch} times. The specified number of total steps is "
                f"{self.total_steps}"
            )
        start, phase = 0.0, self._schedule_phases[0]
        for following in self._schedule_phases[1:]:
            if self.last_epoch <= phase["end_step"]:
                break
            start, phase = phase["end_step"], following
        share = (self.last_epoch - start) / (phase["end_step"] - start)

        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                ends = group[phase["start_momentum"]], group[phase["end_momentum"]]
                self._set_momentum(group, self._anneal(*ends, share))
        return rates

    def _anneal(self, start: float, end: float, share: float) -> float:
        if self._anneal_func_type == "linear":
            return (end - start) * share + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)

    def _set_momentum(self, group: dict[str, Any], value: float) -> None:
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


def _total_steps(total: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    given = {"total_steps": total}
    if total is None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        if None in given.values():
            raise ValueError("define either total_steps, or epochs and steps_per_epoch")
    product = 1
    for name, number in given.items():
        if not isinstance(number, int) or number <= 0:
            raise ValueError(f"{name} must be a positive integer. Received: {number}")
        product *= number
    return product


def _phases(rise_steps: float, total_steps: int, three_phase: bool) -> list[_Phase]:
    up: _Phase = {
        "end_step": float(rise_steps) - 1,
        "start_lr": "initial_lr",
        "end_lr": "max_lr",
        "start_momentum": "max_momentum",
        "end_momentum": "base_momentum",
    }
    down: _Phase = {
        "end_step": total_steps - 1,
        "start_lr": "max_lr",
        "end_lr": "min_lr",
        "start_momentum": "base_momentum",
        "end_momentum": "max_momentum",
    }
    if not three_phase:
        return [up, down]
    back: _Phase = {**down, "end_step": float(2 * rise_steps) - 2, "end_lr": "initial_lr"}
    out: _Phase = {**down, "start_lr": "initial_lr", "start_momentum": "max_momentum"}
    return [up, back, out]


def _one_a_group(
    name: str, groups: list[dict[str, Any]], value: float | list[float] | tuple[float, ...]
) -> list[float]:
    if not isinstance(value, list | tuple):
        return [value] * len(groups)
    if len(value) != len(groups):
        raise ValueError(
            f"{name} must have one value for each of the {len(groups)} groups. "
            f"Received: {len(value)}"
        )
    return list(value)


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
        self.optimizer = _check_optimizer(optimizer)
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


def _check_optimizer(optimizer: Any) -> Optimizer:
    """Refuse what is no optimizer.

    Raises:
        TypeError: naming what was received.
    """
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(
        f"numpy_nn.optim.lr_scheduler has no {name!r}; what PyTorch has under that name, if "
        f"anything, is not supported here. There are: {', '.join(__all__)}"
    )
