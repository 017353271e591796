"""Every mistake of an update: its code, its sentence, and what PyTorch's optimizer makes of it.

Most are PyTorch's own update with another setting or another state, put there before each step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn
from compare.mistakes.optimizers import OPTIMIZERS

SHAPES = ((3, 2), (2,))
EPSILONS = ("0", "0.0001", "1e-05", "1e-06", "1e-07", "1e-08", "1e-09", "1e-10", "1e-12")
Optimizer = torch.optim.Optimizer
# Changes a PyTorch optimizer before its step number t, and the parameters after it, from those of
# before it.
Before = Callable[[Optimizer, int], None]
After = Callable[[Optimizer, int, list[torch.Tensor]], list[torch.Tensor]]
Row = tuple[str, str, Before | None, After | None]


def values(seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape) for shape in SHAPES]


def in_numpy(name: str, settings: dict[str, Any], steps: int) -> Any:
    """An optimizer after so many right steps."""
    parameters = [numpy_nn.Parameter(v) for v in values(0)]
    optimizer = getattr(numpy_nn.optim, name)(parameters, **settings)
    for step in range(1, steps + 1):
        stepped(optimizer, step)
    return optimizer


def stepped(optimizer: Any, step: int) -> None:
    for parameter, gradient in zip(optimizer.param_groups[0]["params"], values(step), strict=True):
        parameter.grad = gradient
    with np.errstate(all="ignore"):
        optimizer.step()


def in_torch(
    name: str, settings: dict[str, Any], steps: int, before: Before | None, after: After | None
) -> list[np.ndarray]:
    """The parameters after so many right steps and two wrong ones."""
    parameters = [torch.nn.Parameter(torch.from_numpy(v)) for v in values(0)]
    groups = [{"params": [one]} for one in parameters]
    optimizer = getattr(torch.optim, name)(groups, **settings)
    for one in parameters if name.startswith("Adam") else []:
        optimizer.state[one] = {
            "step": torch.tensor(0.0), "exp_avg": torch.zeros_like(one),
            "exp_avg_sq": torch.zeros_like(one),
        }  # fmt: skip
    for step in range(1, steps + 3):
        for parameter, gradient in zip(parameters, values(step), strict=True):
            parameter.grad = torch.from_numpy(gradient)
        old = [one.detach().clone() for one in parameters]
        if before and step > steps:
            before(optimizer, step)
        optimizer.step()
        if after and step > steps:
            with torch.no_grad():
                for one, new in zip(parameters, after(optimizer, step, old), strict=True):
                    one.copy_(new)
    return [one.detach().numpy() for one in parameters]


def states(optimizer: Optimizer) -> list[dict[str, Any]]:
    return [optimizer.state[group["params"][0]] for group in optimizer.param_groups]


def setting(name: str, *of_each: Any) -> Before:
    """Give weight and bias a setting, each its own or both the same."""

    def before(optimizer: Optimizer, t: int) -> None:
        for number, group in enumerate(optimizer.param_groups):
            value = of_each[number % len(of_each)]
            group[name] = value(t) if callable(value) else value

    return before


def counted(step: Callable[[int, int], float]) -> Before:
    """Let the optimizer's t be another: a function of t and of the number of the parameter."""

    def before(optimizer: Optimizer, t: int) -> None:
        for number, state in enumerate(states(optimizer)):
            state["step"] = torch.tensor(float(step(t, number) - 1), dtype=torch.float64)

    return before


def all_of(*parts: Before) -> Before:
    def before(optimizer: Optimizer, t: int) -> None:
        for part in parts:
            part(optimizer, t)

    return before


def uncorrected(t: int, number: int) -> float:
    return 1e9  # β to this power is 0, so that 1 − βᵗ is 1


def forgotten(optimizer: Optimizer, t: int) -> None:
    for state in states(optimizer):
        state["exp_avg"].zero_()
        state["exp_avg_sq"].zero_()


def inside(eps: float, lr: float, betas: tuple[float, float]) -> After:
    """m̂ / √(v̂ + ε), with PyTorch's moments."""

    def after(optimizer: Optimizer, t: int, old: list[torch.Tensor]) -> list[torch.Tensor]:
        return [
            p - lr * (s["exp_avg"] / (1 - betas[0] ** t))
            / (s["exp_avg_sq"] / (1 - betas[1] ** t) + eps).sqrt()
            for p, s in zip(old, states(optimizer), strict=True)
        ]  # fmt: skip

    return after


def adam_rows(settings: dict[str, Any], decoupled: bool) -> Iterator[Row]:
    formula = "θ ← θ − lr · m̂ / (√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ)"
    lr, (b1, b2), eps = settings["lr"], settings["betas"], settings["eps"]
    decay = settings["weight_decay"]

    def row(code: str, words: str, before: Any = None, after: Any = None) -> Row:
        return code, f"{words}: {formula}", before, after

    plain = counted(uncorrected)
    yield row("no-bias-correction", "the moments m and v are not corrected", plain)
    # The rate also scales a decoupled decay, which these two are therefore tried without.
    yield row("no-bias-correction", "m is not corrected", setting("lr", lambda t: lr * (1 - b1**t)))
    yield row("no-bias-correction", "v is not corrected",
              all_of(plain, setting("lr", lambda t: lr / (1 - b1**t))))  # fmt: skip
    code = "adam-eps-placement"
    yield row(code, "ε stands inside the root, √(v̂ + ε)", None, inside(eps, lr, (b1, b2)))
    yield row(code, "ε is added to √v before the correction",
              setting("eps", lambda t: eps / (1 - b2**t) ** 0.5))  # fmt: skip
    for other in EPSILONS:
        e = float(other)
        if e == eps:
            continue
        words = f"ε is {other} where {eps:g} is specified"
        yield row(code, words, setting("eps", e))
        yield row(code, f"{words}, and is added to √v before the correction",
                  setting("eps", lambda t, e=e: e / (1 - b2**t) ** 0.5))  # fmt: skip
        yield row(code, f"{words}, inside the root", None, inside(e, lr, (b1, b2)))
        yield row("no-bias-correction",
                  f"the moments m and v are not corrected; besides, {words}",
                  all_of(plain, setting("eps", e)))  # fmt: skip
    words = "the moments begin at 0 in every update, "
    yield row("moments-reset", f"{words}and so does t",
              all_of(forgotten, counted(lambda t, n: 1)))  # fmt: skip
    yield row("moments-reset", f"{words}while t goes on", forgotten)
    code = "adam-step-count"
    yield row(code, "t begins at 2", counted(lambda t, n: t + 1))
    yield row(code, "t begins at 0", counted(lambda t, n: t - 1))
    yield row(code, "t stays 1", counted(lambda t, n: 1))
    yield row(code, "t counts each parameter and begins at 2",
              counted(lambda t, n: 2 * (t - 1) + n + 2))  # fmt: skip
    yield row(code, "t counts each parameter", counted(lambda t, n: 2 * (t - 1) + n + 1))
    if decay:
        code = "decay-coupling"
        other = "added to the gradient, g + λθ," if decoupled else "decoupled, θ ← θ(1 − lr λ),"
        turned = setting("decoupled_weight_decay", not decoupled)
        yield row(code, f"the weight decay is {other} which is not specified", turned)
        yield row(code, "the biases are not decayed", setting("weight_decay", decay, 0.0))
        yield row(code, "nothing is decayed", setting("weight_decay", 0.0))
        yield row(code, f"the weight decay is {other} and not of the biases",
                  all_of(turned, setting("weight_decay", decay, 0.0)))  # fmt: skip


def sgd_rows(settings: dict[str, Any]) -> Iterator[Row]:
    momentum, decay = settings.get("momentum", 0), settings.get("weight_decay", 0)
    lr = settings["lr"]

    def uphill(optimizer: Optimizer, t: int, old: list[torch.Tensor]) -> list[torch.Tensor]:
        gradients = [group["params"][0].grad for group in optimizer.param_groups]
        return [p + lr * g for p, g in zip(old, gradients, strict=True)]

    yield "sign-flip", "the update goes up the gradient: θ ← θ − lr · g", None, uphill
    if momentum and not settings.get("dampening"):

        def from_zero(optimizer: Optimizer, t: int) -> None:
            for group, state in zip(optimizer.param_groups, states(optimizer), strict=True):
                state.setdefault("momentum_buffer", torch.zeros_like(group["params"][0]))

        yield (
            "momentum-dampened",
            "the momentum takes (1 − μ) of each gradient, v ← μ v + (1 − μ) g; PyTorch's takes all "
            "of it, v ← μ v + g",
            all_of(from_zero, setting("dampening", momentum), setting("nesterov", False)),
            None,
        )
        words = (
            "the momentum is plain where Nesterov's, θ ← θ − lr · (g + μ v), is specified"
            if settings.get("nesterov")
            else "the momentum is Nesterov's, θ ← θ − lr · (g + μ v) where plain, θ ← θ − lr · v, "
            "is specified"
        )
        turned = setting("nesterov", not settings.get("nesterov", False))
        yield "nesterov-mismatch", f"{words}; both have v ← μ v + g", turned, None
    if decay:
        end = ": g ← g + λθ for every parameter"
        plain = setting("nesterov", False)
        for words, of_each in (
            ("the biases are not decayed", (decay, 0.0)),
            ("nothing is decayed", (0.0,)),
        ):
            before = all_of(plain, setting("weight_decay", *of_each))
            yield "decay-coupling", words + end, before, None


def epsilon_rows(settings: dict[str, Any], name: str) -> Iterator[Row]:
    eps, lr = settings["eps"], settings["lr"]
    right, key = {"RMSprop": ("√v + ε", "square_avg"), "AdaGrad": ("√s + ε", "sum")}[name]

    def under(e: float) -> After:
        def after(optimizer: Optimizer, t: int, old: list[torch.Tensor]) -> list[torch.Tensor]:
            gradients = [group["params"][0].grad for group in optimizer.param_groups]
            return [
                p - lr * g / (state[key] + e).sqrt()
                for p, g, state in zip(old, gradients, states(optimizer), strict=True)
            ]

        return after

    code, end = "optimizer-eps-placement", f": {name} divides by {right}"
    yield code, f"ε stands inside the root{end}", None, under(eps)
    for other in EPSILONS:
        e = float(other)
        words = f"ε is {other} where {eps:g} is specified"
        if e == eps:
            yield code, f"ε stands inside the root{end}", None, under(eps)
            continue
        yield code, f"{words}, and ε stands inside the root{end}", None, under(e)
        yield code, f"{words}{end}", setting("eps", e), None


ADAM = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.0}
CASES: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], Iterator[Row]]]] = [
    ("Adam", ADAM, lambda s: adam_rows(s, False)),
    ("Adam", ADAM | {"eps": 1e-8}, lambda s: adam_rows(s, False)),
    ("Adam", ADAM | {"weight_decay": 0.3}, lambda s: adam_rows(s, False)),
    ("AdamW", ADAM | {"weight_decay": 0.3}, lambda s: adam_rows(s, True)),
    ("SGD", {"lr": 0.1}, sgd_rows),
    ("SGD", {"lr": 0.1, "momentum": 0.9}, sgd_rows),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.2}, sgd_rows),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "weight_decay": 0.2}, sgd_rows),
    ("SGD", {"lr": 0.1, "weight_decay": 0.2}, sgd_rows),
    ("RMSprop", {"lr": 0.1, "alpha": 0.7, "eps": 1e-3}, lambda s: epsilon_rows(s, "RMSprop")),
    ("RMSprop", {"lr": 0.1, "alpha": 0.7, "eps": 1e-8}, lambda s: epsilon_rows(s, "RMSprop")),
    ("Adagrad", {"lr": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.4},
     lambda s: epsilon_rows(s, "AdaGrad")),
]  # fmt: skip


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize(("name", "settings", "rows"), CASES)
def test_every_mistake(name: str, settings: dict[str, Any], rows: Any, steps: int) -> None:
    expected = list(rows(settings))
    found = list(OPTIMIZERS[name](in_numpy(name, settings, 0)))
    assert [(one.code, one.explanation) for one in found] == [row[:2] for row in expected]
    for number, (_, sentence, before, after) in enumerate(expected):
        if name == "AdamW" and sentence.startswith(("m is not", "v is not", "ε stands inside")):
            continue
        if settings.get("weight_decay") and "inside the root" in sentence and name != "Adam":
            continue
        if sentence.startswith("t begins at 0") and not steps:
            continue  # PyTorch divides 0 by 0 in another order
        right = in_numpy(name, settings, steps)
        wrong = list(OPTIMIZERS[name](right))[number].apply(right)
        for step in (steps + 1, steps + 2):
            stepped(wrong, step)
        with np.errstate(all="ignore"):
            theirs = in_torch(name, settings, steps, before, after)
        for ours, value in zip(right.param_groups[0]["params"], theirs, strict=True):
            np.testing.assert_allclose(ours.data, value, rtol=1e-9, err_msg=sentence)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("RMSprop", {"centered": True}),
        ("RMSprop", {"momentum": 0.5}),
        ("RMSprop", {"weight_decay": 0.1}),
        ("Adagrad", {"lr_decay": 0.1}),
        ("Adagrad", {"weight_decay": 0.1}),
    ],
)
def test_other_settings_have_no_mistakes_in_the_list(name: str, settings: dict[str, Any]) -> None:
    assert list(OPTIMIZERS[name](in_numpy(name, settings, 0))) == []
