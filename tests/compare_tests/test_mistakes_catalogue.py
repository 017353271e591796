"""Every mistake of the catalogue: its code, its sentence, and the numbers that it gives.

The numbers are computed here once more, by PyTorch's functions and their derivatives where the
mistake is one of them, and otherwise by the formula that the sentence says. Their order counts: of
two that explain as much, the first is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import numpy_nn
from compare.mistakes.batchnorm import BATCHNORM
from compare.mistakes.convolution import CONVOLUTION
from compare.mistakes.layers import LAYERS
from compare.mistakes.losses import LOSSES
from compare.mistakes.mistake import Mistake

OFFSETS = ("0.0001", "1e-05", "1e-06", "1e-07", "1e-08", "1e-09", "1e-10", "1e-12", "1e-15")
Tensor = torch.Tensor
# The code, the sentence, and name → value of what is computed.
Row = tuple[str, str, dict[str, Any]]


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def derivative(function: Callable[..., Tensor], x: Tensor, dy: Any = 1.0) -> Tensor:
    x = x.detach().clone().requires_grad_()
    y = function(x)
    y.backward(torch.as_tensor(dy, dtype=y.dtype).expand(y.shape))
    assert x.grad is not None
    return x.grad


def as_it_says(
    found: list[Mistake], rows: list[Row], run: Callable[[Mistake], dict[str, Any]]
) -> None:
    """Every mistake has the code and the sentence of its row, and its numbers."""
    assert [(one.code, one.explanation) for one in found] == [row[:2] for row in rows]
    for one, (_, sentence, expected) in zip(found, rows, strict=True):
        answer = run(one)
        assert answer.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(
                answer[name],
                np.asarray(value),
                rtol=1e-9,
                atol=1e-12,
                err_msg=f"{sentence}: {name}",
            )
            assert np.shape(answer[name]) == np.shape(value), (sentence, name)


def passes(layer: Any, x: Tensor, dy: Tensor) -> Callable[[Mistake], dict[str, Any]]:
    """Run a wrong layer forward and backward."""

    def run(one: Mistake) -> dict[str, Any]:
        for parameter in layer.parameters():
            parameter.grad = None
        wrong = one.apply(layer)
        given = x.numpy().copy()
        with np.errstate(all="ignore"):
            y = np.array(wrong.forward(given))
            found = {"y": y, "dx": np.array(wrong.backward(dy.numpy().copy()))}
        np.testing.assert_array_equal(given, x.numpy())
        for name, parameter in layer.named_parameters():
            found[name] = parameter.grad.copy()
        return found

    return run


def test_a_wrong_object_is_called_as_the_right_one() -> None:
    """By the name of its class the harness knows what it is; the right one stays as it is."""
    right = numpy_nn.Linear(2, 2)
    wrong = next(LAYERS["Linear"](right)).apply(right)
    assert type(wrong).__name__ == "Linear"
    assert isinstance(wrong, numpy_nn.Linear)
    assert wrong.weight is right.weight
    assert type(right) is numpy_nn.Linear


# ---- Linear and activations


@pytest.mark.parametrize("outputs", [3, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(outputs: int, bias: bool) -> None:
    N = outputs  # so that sums over the units of each sample fit the bias
    x, dy, w = draw(N, 3), draw(N, outputs, seed=1), draw(outputs, 3, seed=2)
    b = draw(outputs, seed=3) if bias else torch.zeros(outputs, dtype=torch.float64)
    layer = numpy_nn.Linear(3, outputs, bias=bias).to(np.float64)
    state = {"weight": w.numpy(), "bias": b.numpy()}
    layer.load_state_dict({k: state[k] for k in layer.state_dict()})
    dw = derivative(lambda w: F.linear(x, w), w, dy)
    db = derivative(lambda b: F.linear(x, w, b), b, dy)
    dx = derivative(lambda x: F.linear(x, w), x, dy)
    right = {"y": F.linear(x, w, b), "dx": dx, "weight": dw, "bias": db}
    zero = "the bias gradient {}; it is the sum of dy over the samples: dy.sum(axis=0)"
    mean = "the bias gradient is a mean over the samples; it is their sum, dy.sum(axis=0)"
    signs, twice = "the gradient of the {} has the wrong sign", "divided by N once too often"
    by_samples = torch.stack([row.sum() for row in dy])
    wrong: list[Row] = [
        ("sign-flip", signs.format("weight"), {"weight": -dw}),
        ("sign-flip", signs.format("bias"), {"bias": -db}),
        ("sign-flip", signs.format("input"), {"dx": -dx}),
        ("sign-flip", "the gradients of weight and bias have the wrong sign",
         {"weight": -dw, "bias": -db}),
        ("missing-bias-gradient", zero.format("is zero"), {"bias": 0 * db}),
        ("missing-bias-gradient", zero.format("is the sum over everything"),
         {"bias": torch.full_like(db, float(dy.sum()))}),
        ("missing-bias-gradient", zero.format("is that of the first sample"), {"bias": dy[0]}),
        ("missing-bias-gradient", zero.format("is that of the last sample"), {"bias": dy[N - 1]}),
        ("missing-bias-gradient", zero.format("is summed over the units of each sample"),
         {"bias": by_samples}),
        ("divided-twice", mean, {"bias": db / N}),
        ("divided-twice", f"the weight gradient is {twice}: dW = dyᵀ x", {"weight": dw / N}),
        ("divided-twice", f"the gradients of weight and bias are {twice}: dW = dyᵀ x, db = Σ dy",
         {"weight": dw / N, "bias": db / N}),
        ("sum-not-mean",
         "the gradients of weight and bias are N times too large: the loss is a mean",
         {"weight": N * dw, "bias": N * db}),
    ]  # fmt: skip
    if bias:
        wrong.append(("missing-bias", "the bias is not added: y = x Wᵀ + b", {"y": F.linear(x, w)}))
    if outputs == 3:
        words = "the weight is square and {}: y = x Wᵀ + b, dW = dyᵀ x, dx = dy W"
        y = F.linear(x, w.T, b)
        dw_t = derivative(lambda w: F.linear(x, w.T), w, dy)
        dx_t = derivative(lambda x: F.linear(x, w.T), x, dy)
        wrong += [
            ("transposed", words.format("its gradient is returned transposed"), {"weight": dw_t}),
            ("transposed", words.format("dx uses it transposed"), {"dx": dx_t}),
            ("transposed", words.format("is used transposed"),
             {"y": y, "weight": dw_t, "dx": dx_t}),
            ("transposed", words.format("is used transposed in the forward direction"), {"y": y}),
        ]  # fmt: skip
    kept = {"y", "dx", "weight"} | ({"bias"} if bias else set())
    rows = [
        (code, text, {k: v for k, v in (right | part).items() if k in kept})
        for code, text, part in wrong
    ]
    as_it_says(list(LAYERS["Linear"](layer)), rows, passes(layer, x, dy))


SLOPES = (0.0, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 1.0)


def leaky_rows(right: float, x: Tensor, dy: Tensor) -> Iterator[Row]:
    def y(slope: float) -> Tensor:
        return F.leaky_relu(x, slope)

    def dx(slope: float) -> Tensor:
        return derivative(lambda x: F.leaky_relu(x, slope), x, dy)

    for slope in SLOPES:
        if slope == right or (slope, right) == (1.0, 0.0):
            continue
        words = f"the slope is {slope:g} where {right:g} is specified"
        yield "wrong-slope", f"in both directions {words}", {"y": y(slope), "dx": dx(slope)}
        yield "wrong-slope", f"in the forward direction {words}", {"y": y(slope), "dx": dx(right)}
        yield "wrong-slope", f"in the backward direction {words}", {"y": y(right), "dx": dx(slope)}
    flipped = torch.where(x <= 0, dy, right * dy)
    text = "the derivative has its sides the wrong way round: it is 1 where x > 0"
    yield "sign-flip", text, {"y": y(right), "dx": flipped}


# A 0 among the inputs, on which side it counts is a convention.
X = torch.tensor([[-2.0, -0.5, 0.0], [0.3, 1.7, -0.1]], dtype=torch.float64)
DY = torch.tensor([[1.5, -2.0, 3.0], [-0.7, 0.4, 0.9]], dtype=torch.float64)


@pytest.mark.parametrize("slope", [0.01, 0.2, 0.35])
def test_leaky_relu(slope: float) -> None:
    layer = numpy_nn.LeakyReLU(slope)
    as_it_says(
        list(LAYERS["LeakyReLU"](layer)), list(leaky_rows(slope, X, DY)), passes(layer, X, DY)
    )


def test_relu() -> None:
    rows = list(leaky_rows(0.0, X, DY))
    for words, dx in (
        ("lets everything through", DY),
        ("is taken where dy > 0", F.relu(DY)),
        ("multiplies by x", DY * X),
        ("multiplies by max(x, 0)", DY * F.relu(X)),
        ("is 1 where x > 0 and does not multiply dy", torch.heaviside(X, 0 * X)),
    ):
        text = f"the derivative of ReLU {words}: dx is dy where x > 0, and 0 elsewhere"
        rows.append(("relu-derivative", text, {"y": F.relu(X), "dx": dx}))
    layer = numpy_nn.ReLU()
    as_it_says(list(LAYERS["ReLU"](layer)), rows, passes(layer, X, DY))


# ---- Losses


def loss_run(loss: Any, z: Tensor, t: Tensor) -> Callable[[Mistake], dict[str, Any]]:
    def run(one: Mistake) -> dict[str, Any]:
        wrong = one.apply(loss)
        with np.errstate(all="ignore"):
            value = wrong.forward(z.numpy().copy(), t.numpy().copy())
            once = wrong.backward(np.float64(1.0))
            np.testing.assert_allclose(wrong.backward(np.float64(-3.0)), -3 * once)
            np.testing.assert_allclose(wrong.backward(), once)
        return {"value": value, "gradient": once}

    return run


def both(function: Callable[[Tensor], Tensor], z: Tensor) -> dict[str, Any]:
    return {"value": function(z).item(), "gradient": derivative(function, z)}


def cross_entropy_rows(z: Tensor, t: Tensor) -> Iterator[Row]:
    N, C = z.shape
    one_hot = F.one_hot(t, C).double() if t.ndim == 1 else t
    right = both(lambda z: F.cross_entropy(z, t), z)

    def nll(p: Tensor) -> Tensor:
        return -(p * one_hot).sum(1).log().mean()

    for p, words in (
        (z.flatten().softmax(0).reshape(N, C), "over the whole batch"),
        (z.softmax(0), "over the samples instead of the classes"),
    ):
        text = (
            f"the softmax is normalised {words}; each row must sum to 1: take the maximum and "
            "the sum along the class axis, with keepdims=True"
        )
        value, gradient = {"value": nll(p).item()}, {"gradient": (p - one_hot) / N}
        code = "softmax-without-axis"
        yield code, text, value | gradient
        yield code, text, right | gradient
        yield code, text, right | value
        for offset in OFFSETS:
            more = f"{text}; besides, {offset} is added to p before the logarithm"
            yield code, more, {"value": nll(p + float(offset)).item()} | gradient
    for offset in OFFSETS:
        o, code = float(offset), "log-offset-mismatch"
        added = both(lambda z, o=o: nll(z.softmax(1) + o), z)
        clipped = {"value": nll(z.softmax(1).clamp(min=o)).item()}
        for words, value in (
            (f"log(p + {offset})", {"value": added["value"]}),
            (f"log(max(p, {offset}))", clipped),
        ):
            yield (
                code,
                (
                    f"the loss is the mean of −{words} and not of −log p: the two differ for "
                    "confidently wrong rows; take log p as z − max z − log Σ exp(z − max z), which "
                    "needs no offset"
                ),
                right | value,
            )
        yield (
            code,
            (f"loss and gradient are those of −log(p + {offset}), not of −log p: drop the offset"),
            added,
        )
        yield (
            code,
            (f"the gradient is that of −log(p + {offset}) and not of −log p: drop the offset"),
            right | {"gradient": added["gradient"]},
        )
    yield from scaled_rows(
        right,
        (
            ("sum-not-mean",
             "is not divided by the batch size N: the loss is a mean, divide by N", N),
            ("divided-twice",
             "is divided by the batch size N twice: divide once, in the loss or in each layer",
             1 / N),
            ("divided-by-classes",
             "is a mean over N·C elements: a cross-entropy is a mean over the N samples", 1 / C),
        ),
        value_alone=True,
    )  # fmt: skip
    minus = {name: -value for name, value in right.items()}
    yield (
        "sign-flip",
        "the gradient of the loss has the wrong sign: it is p − t, not t − p",
        (right | {"gradient": minus["gradient"]}),
    )
    yield (
        "sign-flip",
        "the loss has the wrong sign: it is the mean of −log p",
        (right | {"value": minus["value"]}),
    )
    text = "(p − t)/N is multiplied by {} once more: it is the gradient by the logits already"
    p, code = z.softmax(1), "softmax-derivative-twice"
    again = derivative(lambda z: z.softmax(1), z, right["gradient"])
    yield code, text.format("the derivative of the softmax"), right | {"gradient": again}
    slope = torch.autograd.functional.jvp(torch.sigmoid, p.logit(), right["gradient"])[1]
    yield code, text.format("p (1 − p)"), right | {"gradient": slope}
    text = "softmax is applied before a cross-entropy that applies it again: pass the logits"
    twice = both(lambda z: F.cross_entropy(z.softmax(1), t), z)
    plain = {"gradient": (z.softmax(1).softmax(1) - one_hot) / N}
    yield "double-softmax", text, twice
    yield "double-softmax", text, twice | plain
    yield "double-softmax", text, right | plain
    yield "double-softmax", text, right | {"value": twice["value"]}


def scaled_rows(
    right: dict[str, Any], cases: Any, value_alone: bool = False, name: str = "loss"
) -> Iterator[Row]:
    for code, words, factor in cases:
        scaled = {key: factor * value for key, value in right.items()}
        yield code, f"the gradient {words}", right | {"gradient": scaled["gradient"]}
        yield code, f"the {name} {words}", scaled
        if value_alone:
            yield code, f"the {name} {words}", right | {"value": scaled["value"]}


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "shares"])
def test_cross_entropy(labels: bool) -> None:
    z = 3 * draw(4, 3)
    t = torch.tensor([2, 0, 0, 1])
    t = t if labels else F.one_hot(t, 3).double()
    rows = list(cross_entropy_rows(z, t))
    loss = numpy_nn.CrossEntropyLoss()
    as_it_says(list(LOSSES["CrossEntropyLoss"](loss)), rows, loss_run(loss, z, t))


def test_large_logits_overflow_in_no_mistake_but_that() -> None:
    """z − max z is taken in each of them, so that 1000 is a logit as any other."""
    z, t = 3 * draw(4, 3), torch.tensor([2, 0, 0, 1])
    loss = numpy_nn.CrossEntropyLoss()
    for one in LOSSES["CrossEntropyLoss"](loss):
        near, far = (loss_run(loss, z + by, t)(one) for by in (0, 1000))
        for name, value in near.items():
            np.testing.assert_allclose(far[name], value, rtol=1e-9, atol=1e-12)


def test_squared_error() -> None:
    y, t = draw(4, 3), draw(4, 3, seed=1)
    N, n = 4, 12
    right = both(lambda y: F.mse_loss(y, t), y)
    gradient, value = right["gradient"], right["value"]
    belong = (
        "loss and gradient are those of {}, and belong together; PyTorch's loss is the mean of "
        "(y − t)² over all elements"
    )
    rows: list[Row] = [
        ("half-mismatch",
         "the gradient lacks the factor 2: the derivative of the mean of (y − t)² is 2 (y − t)/n",
         right | {"gradient": (y - t) / n}),
        ("half-mismatch", "the loss has a factor ½: it is the mean of (y − t)² without it",
         right | {"value": 0.5 * value}),
        ("loss-convention", belong.format("½ the mean of (y − t)²"),
         both(lambda y: ((y - t) ** 2).mean() / 2, y)),
        ("loss-convention", belong.format("the mean over the rows of Σ (y − t)²"),
         both(lambda y: ((y - t) ** 2).sum(1).mean(), y)),
        ("loss-convention", belong.format("the mean over the rows of ½ Σ (y − t)²"),
         both(lambda y: ((y - t) ** 2).sum(1).mean() / 2, y)),
        ("loss-convention", belong.format("½ the sum of (y − t)²"),
         both(lambda y: ((y - t) ** 2).sum() / 2, y)),
        ("half-mismatch", "the gradient is twice that of the mean of (y − t)²",
         right | {"gradient": 4 * (y - t) / n}),
        *scaled_rows(right, (
            ("sum-not-mean", "is a sum over all elements, not their mean: divide", n),
            ("sum-not-mean",
             "is not divided by the batch size N: the loss is a mean, divide by N", N),
            ("divided-twice", "is divided by the batch size N twice", 1 / N),
        )),
        ("sign-flip",
         "the gradient of the loss has the wrong sign: it is 2 (y − t)/n, not 2 (t − y)/n",
         right | {"gradient": -gradient}),
    ]  # fmt: skip
    loss = numpy_nn.MSELoss()
    as_it_says(list(LOSSES["MSELoss"](loss)), rows, loss_run(loss, y, t))


def test_binary_cross_entropy() -> None:
    p = torch.tensor([[0.3, 0.9, 1e-5], [0.5, 1 - 1e-6, 0.05]], dtype=torch.float64)
    t = torch.tensor([[1.0, 0.0, 1.0], [0.25, 0.0, 0.0]], dtype=torch.float64)
    right = both(lambda p: F.binary_cross_entropy(p, t), p)
    rows: list[Row] = []
    for offset in OFFSETS:
        o = float(offset)
        added = both(lambda p, o=o: -(t * (p + o).log() + (1 - t) * (1 - p + o).log()).mean(), p)
        kept = p.clamp(o, 1 - o)
        clipped = both(lambda p: -(t * p.log() + (1 - t) * (1 - p).log()).mean(), kept)
        for words, wrong in (
            (f"{offset} is added to p and 1 − p", added),
            (f"p is held between {offset} and 1 − {offset}", clipped),
        ):
            rows += [
                ("log-offset-mismatch", f"{words} before the logarithm of the loss",
                 right | {"value": wrong["value"]}),
                ("log-offset-mismatch", f"{words}, in the loss and in its gradient", wrong),
                ("log-offset-mismatch", f"{words} in the gradient",
                 right | {"gradient": wrong["gradient"]}),
            ]  # fmt: skip
    rows += scaled_rows(
        right,
        (
            ("sum-not-mean", "is a sum over all elements, not their mean: divide", 6),
            ("sum-not-mean",
             "is not divided by the batch size N: the loss is a mean, divide by N", 2),
            ("divided-twice", "is divided by the batch size N twice", 1 / 2),
        ),
        value_alone=True,
    )  # fmt: skip
    text = "the gradient of the loss has the wrong sign: with a sigmoid it is p − t by the logits"
    rows.append(("sign-flip", text, right | {"gradient": -right["gradient"]}))
    loss = numpy_nn.BCELoss()
    as_it_says(list(LOSSES["BCELoss"](loss)), rows, loss_run(loss, p, t))


# ---- BatchNorm


EPSILONS = ("0", "0.001", "0.0001", "1e-06", "1e-07", "1e-08", "1e-09", "1e-10", "1e-12", "1e-15")


def norm_rows(layer: Any, x: Tensor, dy: Tensor, state: dict[str, Tensor]) -> Iterator[Row]:
    axes = [0, *range(2, x.ndim)]
    shape = [1, -1] + [1] * (x.ndim - 2)
    count = x.numel() // x.shape[1]
    gamma, beta = state["weight"].reshape(shape), state["bias"].reshape(shape)
    mean = x.mean(axes, keepdim=True)
    var = x.var(axes, keepdim=True, correction=0)

    def row(
        scale: Tensor, back: Tensor | None = None, m: float = layer.momentum or 1 / 8,
        ddof: int = 1, dx: Tensor | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        back = scale if back is None else back
        x_hat, x_back = (x - mean) * scale, (x - mean) * back
        terms = dy - dy.mean(axes, keepdim=True) - x_back * (dy * x_back).mean(axes, keepdim=True)
        return {
            "y": x_hat * gamma + beta,
            "dx": gamma * back * terms if dx is None else dx,
            "weight": (dy * x_back).sum(axes),
            "bias": dy.sum(axes),
            "running_mean": torch.lerp(state["running_mean"], mean.flatten(), m),
            "running_var": torch.lerp(
                state["running_var"], var.flatten() * count / (count - ddof), m
            ),
        }

    eps, specified = layer.eps, f"{layer.eps:g}"
    inside = "x̂ = (x − μ)/√(σ² + ε)"
    right = (var + eps).rsqrt()
    # The right one is PyTorch's.
    torch.testing.assert_close(row(right)["dx"], derivative(
        lambda x: F.batch_norm(x, None, None, state["weight"], state["bias"], True, eps=eps), x, dy
    ))  # fmt: skip
    for other in EPSILONS:
        if other != specified:
            text = f"ε is {other} where {specified} is specified: {inside}"
            yield "eps-outside-sqrt", text, row((var + float(other)).rsqrt())
    for other in (specified, *EPSILONS):
        for back in (None, right):
            text = f"ε = {other} stands outside the root, (x − μ)/(σ + ε); it is {inside}"
            yield "eps-outside-sqrt", text, row(1 / (var.sqrt() + float(other)), back)
    for words, detached in (
        ("mean and variance", (True, True)),
        ("the mean", (True, False)),
        ("the variance", (False, True)),
    ):

        def normalised(x: Tensor, detached: tuple[bool, bool] = detached) -> Tensor:
            m, v = x.mean(axes, keepdim=True), x.var(axes, keepdim=True, correction=0)
            m, v = (a.detach() if d else a for a, d in zip((m, v), detached, strict=True))
            return (x - m) * (v + eps).rsqrt() * gamma + beta

        text = (
            f"the backward pass treats {words} as constant; dx = γ/√(σ² + ε) · (dy − mean(dy) − x̂ "
            "mean(dy x̂)): mean and variance depend on x, so their derivatives belong to it"
        )
        yield "batchnorm-missing-terms", text, row(right, dx=derivative(normalised, x, dy))
    m = layer.momentum or 0.0
    kept = f"the running statistics keep {m:g} of the old value and not of the new one"
    biased = "running_var follows the biased variance"
    text = f"{kept}: r ← (1 − m) r + m · batch; besides, {biased}"
    if m:
        yield "momentum-reversed", text, row(right, m=1 - m, ddof=0)
    for other in EPSILONS:
        if other == specified:
            continue
        scale = (var + float(other)).rsqrt()
        words = f"ε is {other} where {specified} is specified; besides, "
        yield "eps-outside-sqrt", words + biased, row(scale, ddof=0)
        if m:
            yield "eps-outside-sqrt", words + kept, row(scale, m=1 - m)
            yield "eps-outside-sqrt", f"{words}{biased}, and {kept}", row(scale, m=1 - m, ddof=0)
    text = (
        "running_var follows the biased variance, (N−1)/N of the expected; the running estimate "
        "divides by N − 1, the normalisation by N"
    )
    yield "biased-variance", text, row(right, ddof=0)
    text = "the batch is normalised with the unbiased variance; the normalisation divides by N"
    yield "biased-variance", text, row((var * count / (count - 1) + eps).rsqrt())
    text = (
        f"the running statistics keep {m:g} of the old value where momentum {m:g} is the weight "
        "of the new one: r ← (1 − m) r + m · batch"
    )
    if m:
        yield "momentum-reversed", text, row(right, m=1 - m)


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2, 2)])
@pytest.mark.parametrize(("eps", "momentum"), [(1e-5, 0.3), (1e-3, 0.1), (1e-5, None)])
def test_batch_norm(shape: tuple[int, ...], eps: float, momentum: float | None) -> None:
    kind = "BatchNorm1d" if len(shape) == 2 else "BatchNorm2d"
    layer = getattr(numpy_nn, kind)(3, eps=eps, momentum=momentum).to(np.float64)
    x, dy = 0.1 * draw(*shape), draw(*shape, seed=1)
    state = {
        name: draw(3, seed=number) ** 2 for number, name in enumerate(
            ("weight", "bias", "running_mean", "running_var"))
    }  # fmt: skip
    start = {k: v.numpy() for k, v in state.items()} | {"num_batches_tracked": np.array(7)}
    found, rows = list(BATCHNORM[kind](layer)), list(norm_rows(layer, x, dy, state))
    forward = passes(layer, x, dy)

    def run(one: Mistake) -> dict[str, Any]:
        layer.load_state_dict(start)
        answer = forward(one)
        assert layer.num_batches_tracked == 8
        return answer | {
            "running_mean": layer.running_mean.copy(), "running_var": layer.running_var.copy()
        }  # fmt: skip

    as_it_says(found, rows, run)


def test_batch_norm_without_running_statistics_or_without_weights() -> None:
    layer = numpy_nn.BatchNorm1d(3, track_running_stats=False).to(np.float64)
    x = draw(4, 3)
    for one in BATCHNORM["BatchNorm1d"](layer):
        one.apply(layer).forward(x.numpy())
    assert list(BATCHNORM["BatchNorm1d"](numpy_nn.BatchNorm1d(3, affine=False))) == []


# ---- Layers for images


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 1), ((2, 3), (2, 1), (0, 1)), (2, 2, 0)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_convolution(kernel: Any, stride: Any, padding: Any, bias: bool) -> None:
    layer = numpy_nn.Conv2d(2, 3, kernel, stride, padding, bias=bias).to(np.float64)
    w, x = draw(*layer.weight.shape), draw(2, 2, 5, 6, seed=1)
    b = draw(3, seed=2) if bias else torch.zeros(3, dtype=torch.float64)
    state = {"weight": w.numpy(), "bias": b.numpy()}
    layer.load_state_dict({k: state[k] for k in layer.state_dict()})

    def convolved(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x, w, None, stride, padding)

    dy = draw(*convolved(x, w).shape, seed=3)

    def row(change: Callable[[Tensor], Tensor] = lambda w: w, backward: bool = True) -> dict:
        undo = change if backward else (lambda w: w)
        found = {
            "y": convolved(x, change(w)) + b[:, None, None],
            "dx": derivative(lambda x: convolved(x, undo(w)), x, dy),
            "weight": derivative(lambda w: convolved(x, undo(w)), w, dy),
        }
        return found | ({"bias": dy.sum((0, 2, 3))} if bias else {})

    words = (
        "the kernel is flipped{}: what the field calls a convolution is a cross-correlation, "
        "y[i, j] = Σ w[k, l] x[i + k, j + l]"
    )
    flip = lambda w: w.flip(2, 3)  # noqa: E731
    rows: list[Row] = [
        ("flipped-kernel", words.format(""), row(flip)),
        ("flipped-kernel", words.format(" in the forward direction alone"), row(flip, False)),
    ]
    if w.shape[2] == w.shape[3]:
        text = "the kernel is square and is used with rows and columns exchanged"
        rows.append(("transposed", text, row(lambda w: w.transpose(2, 3))))
    if bias:
        text = "the bias of the convolution is not added: y = x ⋆ W + b, b for each output channel"
        rows.append(("missing-bias", text, row() | {"y": convolved(x, w)}))
    # The last window that reaches a place is what stands there.
    (kh, kw), (sh, sw), (ph, pw) = (
        (v, v) if isinstance(v, int) else v for v in (kernel, stride, padding)
    )
    padded = torch.zeros(2, 2, 5 + 2 * ph, 6 + 2 * pw, dtype=torch.float64)
    for n, i, j in np.ndindex(len(x), *dy.shape[2:]):
        here = torch.einsum("o,ockl->ckl", dy[n, :, i, j], w)
        padded[n, :, i * sh : i * sh + kh, j * sw : j * sw + kw] = here
    text = "the input gradient is written with = where windows overlap; it must be added with +="
    rows.append(("pool-overwrite", text, row() | {"dx": padded[:, :, ph : ph + 5, pw : pw + 6]}))
    as_it_says(list(CONVOLUTION["Conv2d"](layer)), rows, passes(layer, x, dy))


@pytest.mark.parametrize(
    "settings",
    [{"groups": 2}, {"dilation": 2}, {"padding": "same"},
     {"padding": 1, "padding_mode": "reflect"}],
)  # fmt: skip
def test_other_convolutions_have_no_mistakes_in_the_list(settings: dict[str, Any]) -> None:
    assert list(CONVOLUTION["Conv2d"](numpy_nn.Conv2d(2, 4, 3, **settings))) == []


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((2, 3), (1, 2), (1, 0))]
)
def test_max_pool(kernel: Any, stride: Any, padding: Any) -> None:
    layer = numpy_nn.MaxPool2d(kernel, stride, padding)
    x = torch.from_numpy(np.random.default_rng(0).integers(-2, 1, (2, 2, 6, 7)).astype(np.float64))
    y = F.max_pool2d(x, kernel, stride, padding)
    dy = draw(*y.shape)
    (kh, kw), (sh, sw), (ph, pw) = (
        (v, v) if isinstance(v, int) else v
        for v in (kernel, kernel if stride is None else stride, padding)
    )
    padded = F.pad(x, (pw, pw, ph, ph), value=-np.inf)
    kinds = ("written", "chosen", "all", "shared", "last")
    back = {kind: torch.zeros_like(padded) for kind in kinds}
    for n, c, i, j in np.ndindex(*dy.shape):
        rows, columns = slice(i * sh, i * sh + kh), slice(j * sw, j * sw + kw)
        window = padded[n, c, rows, columns]
        places = [tuple(p) for p in (window == window.max()).nonzero().tolist()]
        d = dy[n, c, i, j]
        back["written"][n, c, rows, columns] = 0.0
        for kind in kinds:
            target = back[kind][n, c, rows, columns]
            for place in {"written": places[:1], "chosen": places[:1], "all": places,
                          "shared": places, "last": places[-1:]}[kind]:  # fmt: skip
                if kind in ("written", "chosen"):
                    target[place] = d
                else:
                    target[place] += d / (len(places) if kind == "shared" else 1)
    text = "the input gradient is written with = where windows overlap; it must be added with +="
    sentences = {
        "written": ("pool-overwrite", text),
        "chosen": ("pool-overwrite", text),
        "all": ("pool-ties", "every one of several equal largest values gets the whole gradient; "
                             "it goes to the first"),
        "shared": ("pool-ties", "several equal largest values share the gradient; it goes to the "
                                "first"),
        "last": ("pool-ties", "the last of several equal largest values gets the gradient; it "
                              "goes to the first"),
    }  # fmt: skip
    expected = [
        (*sentences[kind], {"y": y, "dx": back[kind][:, :, ph : ph + 6, pw : pw + 7]})
        for kind in kinds
    ]
    as_it_says(list(CONVOLUTION["MaxPool2d"](layer)), expected, passes(layer, x, dy))
    for settings in ({"dilation": 2}, {"ceil_mode": True}):
        assert list(CONVOLUTION["MaxPool2d"](numpy_nn.MaxPool2d(2, **settings))) == []


def test_flatten() -> None:
    text = (
        "the image is flattened with its channels last; the next layer expects (C, H, W) order: "
        "transpose to channels first before the reshape"
    )
    for x in (draw(2, 3, 4, 5), draw(2, 3, 4)):
        last = x.movedim(1, -1) if x.ndim == 4 else x
        dy = draw(2, x.numel() // 2, seed=1)
        dx = derivative(lambda x: (x.movedim(1, -1) if x.ndim == 4 else x).flatten(1), x, dy)
        rows = [("flatten-order", text, {"y": last.flatten(1), "dx": dx})]
        layer = numpy_nn.Flatten()
        as_it_says(list(CONVOLUTION["Flatten"](layer)), rows, passes(layer, x, dy))


@pytest.mark.parametrize("p", [0.25, 1.0])
def test_dropout(p: float) -> None:
    layer = numpy_nn.Dropout(p)
    x, dy = draw(3, 4), draw(3, 4, seed=1)
    mask = torch.from_numpy(np.random.default_rng(2).integers(0, 2, (3, 4)).astype(np.float64))
    layer.mask = mask.numpy()
    kept = 1 - p
    by = 1 / kept if kept else 1.0
    plain = f"the values that are kept are not divided by 1 − p = {kept:g}"
    mean = ": y = x m / (1 − p), so that their mean stays what it is in evaluation mode"
    rows: list[tuple[str, float, float, float]] = [
        (f"{plain} in both directions{mean}", 1.0, 1.0, 1.0),
        (f"{plain} in the forward direction{mean}", 1.0, by, 1.0),
        (f"{plain} in the backward direction{mean}", by, 1.0, 1.0),
        (f"{plain}; evaluation multiplies by it instead. The two ways have the same mean, but "
         "PyTorch's is the other one: y = x m / (1 − p) in training, and y = x in evaluation",
         1.0, 1.0, kept),
    ]  # fmt: skip
    as_it_says(
        list(CONVOLUTION["Dropout"](layer)),
        [("unscaled-dropout", t, {"y": f * x * mask, "dx": b * dy * mask}) for t, f, b, _ in rows],
        passes(layer, x, dy),
    )
    layer.eval()
    as_it_says(
        list(CONVOLUTION["Dropout"](layer)),
        [("unscaled-dropout", t, {"y": e * x, "dx": dy}) for t, _, _, e in rows],
        passes(layer, x, dy),
    )
    layer.train()
    layer.mask = None
    one = next(CONVOLUTION["Dropout"](layer))
    np.testing.assert_array_equal(one.apply(layer).forward(x.numpy()), x.numpy())
