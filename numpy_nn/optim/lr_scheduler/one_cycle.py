"""One cycle of the learning rate up and down, and of the momentum down and up."""

import math
from typing import Any, Literal, TypedDict

from ..optimizer import Optimizer
from .scheduler import LRScheduler, check_optimizer


class Phase(TypedDict):
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
        groups = check_optimizer(optimizer).param_groups
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


def _phases(rise_steps: float, total_steps: int, three_phase: bool) -> list[Phase]:
    up: Phase = {
        "end_step": float(rise_steps) - 1,
        "start_lr": "initial_lr",
        "end_lr": "max_lr",
        "start_momentum": "max_momentum",
        "end_momentum": "base_momentum",
    }
    down: Phase = {
        "end_step": total_steps - 1,
        "start_lr": "max_lr",
        "end_lr": "min_lr",
        "start_momentum": "base_momentum",
        "end_momentum": "max_momentum",
    }
    if not three_phase:
        return [up, down]
    back: Phase = {**down, "end_step": float(2 * rise_steps) - 2, "end_lr": "initial_lr"}
    out: Phase = {**down, "start_lr": "initial_lr", "start_momentum": "max_momentum"}
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
