"""Mistakes in an update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.mistakes.mistake import Catalogue, Mistake

Array = np.ndarray


# Values of ε that stand in books and libraries.
EPSILONS = (0.0, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)


class Slot(NamedTuple):
    """One parameter in one update: its number, value, gradient, and the optimizer's state of it."""

    number: int
    decayed: bool
    p: Array
    g: Array
    memory: dict[str, Any]


def update_mistake(
    code: str,
    explanation: str,
    settings: dict[str, Any],
    update: Callable[[dict[str, Any], Slot], Array],
) -> Mistake:
    """A wrong optimizer from a function of (settings, slot) that gives the new value."""

    def step(self: Any) -> None:
        number = -1
        for group in self.param_groups:
            for parameter in group["params"]:
                number += 1
                memories = self.__dict__.setdefault("_memories", {})
                memory = memories.setdefault(number, _memory(self.state.get(parameter, {})))
                slot = Slot(number, parameter.data.ndim > 1, parameter.data, parameter.grad, memory)
                parameter.data[...] = update(settings, slot)

    return Mistake(code, explanation, {"step": step})


def _memory(state: dict[str, Any]) -> dict[str, Any]:
    """The right optimizer's state of a parameter, to go on from."""
    names = {"step": "t", "exp_avg": "m", "exp_avg_sq": "v", "momentum_buffer": "buffer"}
    names |= {"square_avg": "v", "sum": "s"}
    return {
        names[key]: int(value) if key == "step" else np.array(value)
        for key, value in state.items()
        if key in names and value is not None
    }


def wrong_adam(
    first: bool = True,
    second: bool = True,
    eps: float | None = None,
    denominator: str = "right",
    step: Callable[[int, int], int] = lambda t, number: t,
    coupled: bool = True,
    decay: Callable[[bool], bool] = lambda is_weight: True,
    reset: bool = False,
) -> Callable[[dict[str, Any], Slot], Array]:
    """Adam with any of its parts changed."""

    def update(group: dict[str, Any], slot: Slot) -> Array:
        beta1, beta2 = group["betas"]
        e = group["eps"] if eps is None else eps
        decayed = group["weight_decay"] if decay(slot.decayed) else 0.0
        g, p = slot.g, slot.p
        if coupled:
            g = g + decayed * p
        else:
            p = p * (1 - group["lr"] * decayed)
        memory = slot.memory
        memory["t"] = memory.get("t", 0) + 1
        t = step(memory["t"], slot.number)
        m, v = (0.0, 0.0) if reset else (memory.get("m", 0.0), memory.get("v", 0.0))
        m = memory["m"] = beta1 * m + (1 - beta1) * g
        v = memory["v"] = beta2 * v + (1 - beta2) * g * g
        with np.errstate(all="ignore"):
            m_hat = m / (1 - beta1**t) if first else m
            v_hat = v / (1 - beta2**t) if second else v
            if denominator == "inside":
                root = np.sqrt(v_hat + e)
            elif denominator == "before correction":
                root = (np.sqrt(v) + e) / np.sqrt(1 - beta2**t)
            elif denominator == "missing root":
                root = v_hat + e
            else:
                root = np.sqrt(v_hat) + e
            return p - group["lr"] * m_hat / root

    return update


def adam(optimizer: Any) -> Iterator[Mistake]:
    """Mistakes in Adam and AdamW."""
    group = optimizer.param_groups[0]
    coupled = not group["decoupled_weight_decay"]
    formula = "θ ← θ − lr · m̂ / (√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)"

    def wrong(code: str, words: str, **parts: Any) -> Mistake:
        parts.setdefault("coupled", coupled)
        return update_mistake(code, f"{words}: {formula}", group, wrong_adam(**parts))

    yield wrong(
        "no-bias-correction", "the moments m and v are not corrected", first=False, second=False
    )
    yield wrong("no-bias-correction", "m is not corrected", first=False)
    yield wrong("no-bias-correction", "v is not corrected", second=False)
    yield wrong("adam-eps-placement", "ε stands inside the root, √(v̂ + ε)", denominator="inside")
    yield wrong(
        "adam-eps-placement",
        "ε is added to √v before the correction",
        denominator="before correction",
    )
    for eps in EPSILONS:
        if eps != group["eps"]:
            words = f"ε is {eps:g} where {group['eps']:g} is specified"
            yield wrong("adam-eps-placement", words, eps=eps)
            yield wrong(
                "adam-eps-placement",
                f"{words}, and is added to √v before the correction",
                eps=eps,
                denominator="before correction",
            )
            yield wrong(
                "adam-eps-placement", f"{words}, inside the root", eps=eps, denominator="inside"
            )
            yield wrong(
                "no-bias-correction",
                f"the moments m and v are not corrected; besides, {words}",
                first=False,
                second=False,
                eps=eps,
            )
    for words, t in (("and so does t", 1), ("while t goes on", 0)):
        yield wrong(
            "moments-reset",
            f"the moments begin at 0 in every update, {words}",
            reset=True,
            step=(lambda t, number: 1) if t else (lambda t, number: t),
        )
    for words, step in (
        ("t begins at 2", lambda t, number: t + 1),
        ("t begins at 0", lambda t, number: t - 1),
        ("t stays 1", lambda t, number: 1),
    ):
        yield wrong("adam-step-count", words, step=step)
    yield wrong(
        "adam-step-count",
        "t counts each parameter and begins at 2",
        step=lambda t, number: (t - 1) * len(group["params"]) + number + 2,
    )
    count = len(group["params"])
    yield wrong(
        "adam-step-count",
        "t counts each parameter",
        step=lambda t, number: (t - 1) * count + number + 1,
    )
    if group["weight_decay"]:
        yield from _decay(wrong, coupled)


def _decay(wrong: Callable[..., Mistake], coupled: bool) -> Iterator[Mistake]:
    other = "decoupled, θ ← θ(1 − lr λ)," if coupled else "added to the gradient, g + λθ,"
    yield wrong(
        "decay-coupling", f"the weight decay is {other} which is not specified", coupled=not coupled
    )
    yield wrong("decay-coupling", "the biases are not decayed", decay=lambda is_weight: is_weight)
    yield wrong("decay-coupling", "nothing is decayed", decay=lambda is_weight: False)
    yield wrong(
        "decay-coupling",
        f"the weight decay is {other} and not of the biases",
        coupled=not coupled,
        decay=lambda is_weight: is_weight,
    )


def sgd(optimizer: Any) -> Iterator[Mistake]:
    """Mistakes in stochastic gradient descent."""
    group = optimizer.param_groups[0]
    yield update_mistake(
        "sign-flip",
        "the update goes up the gradient: θ ← θ − lr · g",
        group,
        lambda settings, slot: slot.p + settings["lr"] * slot.g,
    )
    if group["momentum"] and not group["dampening"]:
        yield update_mistake(
            "momentum-dampened",
            "the momentum takes (1 − μ) of each gradient, v ← μ v + (1 − μ) g; PyTorch's takes all "
            "of it, v ← μ v + g",
            group,
            _dampened,
        )
    if group["momentum"] and not group["dampening"]:
        used, specified = "plain", "Nesterov's, θ ← θ − lr · (g + μ v),"
        if not group["nesterov"]:
            used, specified = "Nesterov's, θ ← θ − lr · (g + μ v)", "plain, θ ← θ − lr · v,"
        yield update_mistake(
            "nesterov-mismatch",
            f"the momentum is {used} where {specified} is specified; both have v ← μ v + g",
            group,
            _with_momentum(not group["nesterov"]),
        )
    if group["weight_decay"]:
        cases: tuple[tuple[str, Callable[[Slot], bool]], ...] = (
            ("the biases are not decayed", lambda slot: slot.decayed),
            ("nothing is decayed", lambda slot: False),
        )
        for words, decayed in cases:
            yield update_mistake(
                "decay-coupling",
                f"{words}: g ← g + λθ for every parameter",
                group,
                _decaying(decayed),
            )


def _dampened(settings: dict[str, Any], slot: Slot) -> Array:
    """SGD with a running mean of gradients for the momentum."""
    g, momentum = slot.g + settings["weight_decay"] * slot.p, settings["momentum"]
    v = slot.memory["buffer"] = momentum * slot.memory.get("buffer", 0.0) + (1 - momentum) * g
    return slot.p - settings["lr"] * v


def _with_momentum(nesterov: bool) -> Callable[[dict[str, Any], Slot], Array]:
    """SGD with Nesterov's momentum, or with the plain one."""

    def update(settings: dict[str, Any], slot: Slot) -> Array:
        g, momentum = slot.g + settings["weight_decay"] * slot.p, settings["momentum"]
        v = slot.memory["buffer"] = momentum * slot.memory.get("buffer", 0.0) + g
        return slot.p - settings["lr"] * (g + momentum * v if nesterov else v)

    return update


def _decaying(decayed: Callable[[Slot], bool]) -> Callable[[dict[str, Any], Slot], Array]:
    """SGD with momentum that decays some parameters."""

    def update(settings: dict[str, Any], slot: Slot) -> Array:
        g = slot.g + settings["weight_decay"] * slot.p if decayed(slot) else slot.g
        if settings["momentum"]:
            old = slot.memory.get("buffer")
            damp = 1 - settings["dampening"]
            g = slot.memory["buffer"] = g if old is None else settings["momentum"] * old + damp * g
        return slot.p - settings["lr"] * g

    return update


def rmsprop(optimizer: Any) -> Iterator[Mistake]:
    """Mistakes in RMSprop: v ← α v + (1 − α) g², θ ← θ − lr · g / (√v + ε)."""
    group = optimizer.param_groups[0]
    if group["centered"] or group["momentum"] or group["weight_decay"]:
        return

    def mean_of_squares(slot: Slot) -> Array:
        alpha = group["alpha"]
        v = slot.memory["v"] = alpha * slot.memory.get("v", 0.0) + (1 - alpha) * slot.g**2
        return v

    yield from _other_epsilons(group, mean_of_squares, "√v + ε", "RMSprop")


def adagrad(optimizer: Any) -> Iterator[Mistake]:
    """Mistakes in AdaGrad: s ← s + g², θ ← θ − lr · g / (√s + ε)."""
    group = optimizer.param_groups[0]
    if group["lr_decay"] or group["weight_decay"]:
        return

    def sum_of_squares(slot: Slot) -> Array:
        first = slot.memory.get("s", group["initial_accumulator_value"])
        s = slot.memory["s"] = first + slot.g**2
        return s

    yield from _other_epsilons(group, sum_of_squares, "√s + ε", "AdaGrad")


def _other_epsilons(
    group: dict[str, Any], squares: Callable[[Slot], Array], right: str, name: str
) -> Iterator[Mistake]:
    """ε inside the root, or another ε, in θ ← θ − lr · g / (√… + ε)."""

    def update(eps: float, inside: bool) -> Callable[[dict[str, Any], Slot], Array]:
        def updated(settings: dict[str, Any], slot: Slot) -> Array:
            v = squares(slot)
            with np.errstate(all="ignore"):
                root = np.sqrt(v + eps) if inside else np.sqrt(v) + eps
                return slot.p - settings["lr"] * slot.g / root

        return updated

    for eps in (group["eps"], *EPSILONS):
        words = "" if eps == group["eps"] else f"ε is {eps:g} where {group['eps']:g} is specified"
        for inside in (True, False):
            if not words and not inside:
                continue
            stands = "ε stands inside the root" if inside else ""
            yield update_mistake(
                "optimizer-eps-placement",
                f"{', and '.join(filter(None, (words, stands)))}: {name} divides by {right}",
                group,
                update(eps, inside),
            )


OPTIMIZERS: Catalogue = {
    "Adam": adam,
    "AdamW": adam,
    "SGD": sgd,
    "RMSprop": rmsprop,
    "Adagrad": adagrad,
}
