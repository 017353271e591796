"""The size of what was summed by an optimizer's step, for the parameters and for its state."""

from __future__ import annotations

import numpy as np

from compare.backends.protocol import Arrays, Referee, State
from compare.parity import tolerances


@np.errstate(all="ignore")
def update_sizes(referee: Referee, state: State, gradients: Arrays, maximize: bool) -> State:
    """Sizes of the updated parameters and of the optimizer's state.

    The referee's optimizer makes the step on absolute values, so that nothing cancels; a
    parameter then counts with itself and with the length of that step.

    Args:
        referee: A float64 backend.
        state: Before the step.
        gradients: Of the step.
        maximize: Whether the optimizer goes up the gradient.
    """
    absolute = state.map(np.abs)
    sign = -1.0 if maximize else 1.0
    stepped = referee.update_stage(absolute, {k: sign * np.abs(g) for k, g in gradients.items()})
    if any("grad_avg" in slot for slot in stepped.optimizer.values()):
        return _centered_sizes(referee, state, gradients, absolute, stepped, sign)
    lengths = {k: np.abs(stepped.model[k] - absolute.model[k]) for k in gradients}
    return State(
        {k: absolute.model[k] + lengths[k] for k in gradients},
        {p: {k: np.abs(v) for k, v in slot.items()} for p, slot in stepped.optimizer.items()},
    )


def _centered_sizes(
    referee: Referee, state: State, gradients: Arrays, absolute: State, stepped: State, sign: float
) -> State:
    """Sizes of a centered RMSprop step, which divides by √(v − a²), a difference that may cancel.

    v is the average of the squared gradients and a that of the gradients. Where the gradients
    hardly change, v − a² is small beside v and a², and its relative error larger than theirs by
    the factor (v + a²) / (v − a²). A step counts with its length times that.

    Args:
        referee: A float64 backend.
        state: Before the step.
        gradients: Of the step.
        absolute: The absolute values of the state.
        stepped: The referee's step from there, with the absolute values of the gradients.
        sign: −1 where the loss is maximized, otherwise 1.
    """
    exact = referee.update_stage(state, gradients)
    # With the average of the gradients at 0 nothing cancels: v − ((1 − α)g)² ≥ αv.
    open_state = State(
        absolute.model,
        {
            name: {k: np.zeros_like(v) if k == "grad_avg" else v for k, v in slot.items()}
            for name, slot in absolute.optimizer.items()
        },
    )
    wide = referee.update_stage(open_state, {k: sign * np.abs(g) for k, g in gradients.items()})
    eps = referee.optimizer.param_groups[0]["eps"]
    model, optimizer = {}, {}
    for name in gradients:
        sizes = {key: np.abs(value) for key, value in stepped.optimizer[name].items()}
        spread = _spread(exact.optimizer[name])
        summed = sizes["square_avg"] + sizes["grad_avg"] ** 2
        factor = np.where(summed == 0, 1.0, summed / spread)
        factor = np.where(factor <= tolerances.LARGEST_CANCELLATION, 1.0 + factor, np.inf)
        narrower = (np.sqrt(_spread(wide.optimizer[name])) + eps) / (np.sqrt(spread) + eps)
        factor = factor * np.fmax(narrower, 1.0)
        length = np.abs(wide.model[name] - absolute.model[name])
        model[name] = absolute.model[name] + _scaled(length, factor)
        if "momentum_buffer" in sizes:
            buffer = np.abs(wide.optimizer[name]["momentum_buffer"])
            sizes["momentum_buffer"] = _scaled(buffer, factor)
        optimizer[name] = sizes
    return State(model, optimizer)


def _spread(slot: Arrays) -> np.ndarray:
    return slot["square_avg"] - slot["grad_avg"] ** 2


def _scaled(size: np.ndarray, factor: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(factor), size * factor, np.inf)
