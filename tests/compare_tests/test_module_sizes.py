"""Sizes of what was summed, against sums written out in loops."""

from __future__ import annotations

import ast
import itertools
import math

import numpy as np
import pytest
import torch

import torch_nn
from compare.backends import State
from compare.backends.torch_backend import TorchBackend
from compare.parity.sizes import (
    MODULES,
    cross_entropy_sizes,
    module_sizes,
    passed_on,
    sizes_of_passed,
    unrounded,
    update_sizes,
)
from compare.spec.model import ModelSpec
from experiments.errors import InputError

N, C, D = 4, 3, 5


def net(nn):
    return nn.Sequential(nn.Linear(D, C), nn.BatchNorm1d(C), nn.LeakyReLU(0.1))


@pytest.fixture
def referee() -> TorchBackend:
    return TorchBackend(ModelSpec(net, algorithm="Adam", settings={"lr": 0.1}), "float64")


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_linear(referee, random):
    x, dy = random.standard_normal((N, D)), random.standard_normal((N, C))
    state = {"weight": random.standard_normal((C, D)), "bias": random.standard_normal(C)}
    sizes = module_sizes(referee, "0", "Linear", state, x, dy)
    for n, c in itertools.product(range(N), range(C)):
        terms = [abs(x[n, d] * state["weight"][c, d]) for d in range(D)] + [abs(state["bias"][c])]
        assert sizes.output[n, c] == pytest.approx(sum(terms))
    for c, d in itertools.product(range(C), range(D)):
        terms = [abs(dy[n, c] * x[n, d]) for n in range(N)]
        assert sizes.gradients["weight"][c, d] == pytest.approx(sum(terms))
    for c in range(C):
        assert sizes.gradients["bias"][c] == pytest.approx(sum(abs(dy[:, c])))
    for n, d in itertools.product(range(N), range(D)):
        terms = [abs(dy[n, c] * state["weight"][c, d]) for c in range(C)]
        assert sizes.grad_input[n, d] == pytest.approx(sum(terms))


def test_activation(referee):
    x, dy = np.array([[-2.0, 3.0, 0.5]]), np.array([[1.0, -2.0, 3.0]])
    sizes = module_sizes(referee, "2", "LeakyReLU", {}, x, dy)
    np.testing.assert_allclose(sizes.output, [[0.2, 3.0, 0.5]])
    np.testing.assert_allclose(sizes.grad_input, [[0.1, 2.0, 3.0]])


@pytest.mark.parametrize(
    ("module", "passes", "rounds"),
    [
        (torch_nn.ReLU(), True, False),
        (torch_nn.Flatten(), True, False),
        (torch_nn.MaxPool2d(2), True, False),
        (torch_nn.MaxPool2d((2, 1), stride=(3, 1), padding=(1, 0)), True, False),
        (torch_nn.LeakyReLU(0.1), True, True),
        (torch_nn.MaxPool2d(3, stride=2), False, False),
        (torch_nn.MaxPool2d((2, 3), stride=2), False, False),
        (torch_nn.MaxPool2d(2, dilation=2), False, False),
        (torch_nn.AvgPool2d(2), False, True),
        (torch_nn.Sigmoid(), False, True),
    ],
)
def test_what_is_passed_on_has_its_own_values_as_sizes(module, passes, rounds, random):
    def build(nn):
        return nn.Sequential(nn.Linear(6, 6), module)

    both = [TorchBackend(ModelSpec(build, settings={"lr": 0.1}), d) for d in ("float32", "float64")]
    x = random.integers(-3, 4, (2, 3, 6, 6)).astype(np.float32)  # with ties
    x += np.float32(0.1) * random.random(x.shape, np.float32)
    shape = both[1].stage("1", {}, x, 0 * module(torch.tensor(x)).numpy()).output.shape
    dy = random.standard_normal(shape).astype(np.float32)
    stages = [backend.stage("1", {}, x, dy) for backend in both]
    assert passed_on(module) is passes
    if passes:
        sizes = module_sizes(both[1], "1", type(module).__name__, {}, x, dy)
        found = sizes_of_passed(stages[1])
        assert (found.output == sizes.output).all()
        assert (found.grad_input == sizes.grad_input).all()
    assert unrounded(module) is (passes and not rounds)
    if unrounded(module):
        assert (stages[0].output == stages[1].output).all()
        assert (stages[0].grad_input == stages[1].grad_input).all()


@pytest.mark.parametrize("shape", [(N, C), (N, C, 6)])
def test_batch_norm_bounds_rounding(referee, random, shape):
    """A relative perturbation of every input moves each value by less than that part of
    its size, and by no less than a thousandth of that: the sizes are neither short nor idle."""
    if len(shape) == 3:
        plan = ModelSpec(
            lambda nn: nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(C)), settings={"lr": 0.1}
        )
        referee = TorchBackend(plan, "float64")
    x = random.standard_normal(shape) + 10.0
    dy = random.standard_normal(shape)
    state = {
        "weight": random.standard_normal(C),
        "bias": random.standard_normal(C),
        "running_mean": random.standard_normal(C),
        "running_var": random.random(C) + 0.5,
        "num_batches_tracked": np.array(3),
    }
    sizes = module_sizes(referee, "1", "BatchNorm1d", state, x, dy)
    exact = referee.stage("1", state, x, dy)
    noise = 1e-6
    moved = referee.stage(
        "1",
        state,
        x * (1 + noise * random.uniform(-1, 1, shape)),
        dy * (1 + noise * random.uniform(-1, 1, shape)),
    )

    def ratio(a, b, size):
        return np.max(np.abs(a - b) / size) / noise

    pairs = {
        "output": (moved.output, exact.output, sizes.output),
        "grad_input": (moved.grad_input, exact.grad_input, sizes.grad_input),
        **{
            k: (moved.gradients[k], exact.gradients[k], sizes.gradients[k]) for k in exact.gradients
        },
        **{
            k: (moved.buffers[k], exact.buffers[k], sizes.buffers[k])
            for k in ("running_mean", "running_var")
        },
    }
    for name, pair in pairs.items():
        assert 1e-3 < ratio(*pair) < 3, name


def test_noise_gradient_has_a_size(referee, random):
    """The bias before BatchNorm: its gradient is 0, what was summed to get there is not."""
    x = random.standard_normal((N, C))
    dy = random.standard_normal((N, C))
    state = referee.state().of_module("1")
    grad = referee.stage("1", state, x, dy).grad_input
    assert np.abs(grad.sum(axis=0)).max() < 1e-14
    linear = referee.state().of_module("0")
    sizes = module_sizes(referee, "0", "Linear", linear, random.standard_normal((N, D)), grad)
    assert sizes.gradients["bias"].min() > 0.1


def test_cross_entropy(random):
    z = 5 * random.standard_normal((N, C))
    targets = np.array([0, 2, 1, 1])
    sizes = cross_entropy_sizes(z, targets, -2.0)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    terms = np.abs(z) + z.max(axis=1, keepdims=True).__abs__()
    terms += np.log(np.exp(z - z.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
    assert sizes.output == pytest.approx(terms[range(N), targets].mean())
    expected = p * (1 + terms)
    expected[range(N), targets] += 1
    np.testing.assert_allclose(sizes.grad_input, 2.0 * expected / N)
    # At extreme logits nothing overflows.
    assert np.isfinite(cross_entropy_sizes(1e4 * z, targets, 1.0).grad_input).all()


def test_update_sizes_do_not_cancel(referee, random):
    """m and g of opposite sign cancel in the average; the size keeps both."""
    state = referee.state()
    gradients = {k: np.ones_like(v) for k, v in state.model.items() if k in ("0.weight", "0.bias")}
    gradients |= {k: np.ones_like(state.model[k]) for k in ("1.weight", "1.bias")}
    slot = {
        name: {
            "step": np.array(5.0),
            "exp_avg": -np.ones_like(g) / 9,
            "exp_avg_sq": np.ones_like(g),
        }
        for name, g in gradients.items()
    }
    before = State(state.model, slot)
    stepped = referee.update_stage(before, gradients)
    assert np.abs(stepped.optimizer["0.weight"]["exp_avg"]).max() < 1e-15
    sizes = update_sizes(referee, before, gradients, maximize=False)
    np.testing.assert_allclose(sizes.optimizer["0.weight"]["exp_avg"], 0.2)
    assert (sizes.model["0.weight"] > np.abs(before.model["0.weight"])).all()


def test_an_unknown_kind_says_so(referee):
    with pytest.raises(InputError, match="Bilinear cannot be judged yet: expected one of Linear"):
        module_sizes(referee, "0", "Bilinear", {}, np.ones(1), np.ones(1))


def test_every_module_that_can_be_built_has_a_size():
    layers = {
        name
        for name in torch_nn.__all__
        if isinstance(getattr(torch_nn, name), type)
        and issubclass(getattr(torch_nn, name), torch_nn.Module)
        and not name.endswith("Loss")
    }
    assert layers - {"Module", "Sequential"} == set(MODULES)


def test_batch_norm_counts_what_was_summed_to_the_mean(referee):
    """The mean of a channel that cancels carries the rounding of its large values."""
    x = np.zeros((N, C))
    x[:2, 0] = 1e3, -1e3
    state = {"weight": np.ones(C), "bias": np.zeros(C)}
    sizes = module_sizes(referee, "1", "BatchNorm1d", state, x, np.ones((N, C)))
    inverse = 1 / np.sqrt(x[:, 0].var() + 1e-5)
    assert sizes.output[3, 0] == pytest.approx(500 * inverse)


def alone(build) -> TorchBackend:
    """A referee whose module "0" is one layer."""
    plan = ModelSpec(lambda nn: nn.Sequential(build(nn), nn.Linear(1, 1)), settings={"lr": 0.1})
    return TorchBackend(plan, "float64")


@pytest.mark.parametrize("groups", [None, 2], ids=["LayerNorm", "GroupNorm"])
@pytest.mark.parametrize("affine", [True, False])
def test_row_norms(random, groups, affine):
    """Each x − μ counts with |x| + mean |x|, over the values of a row or a group of channels."""
    N, C, H = 2, 4, 3
    if groups:
        referee = alone(lambda nn: nn.GroupNorm(groups, C, eps=0.3, affine=affine))
        kind, shape = "GroupNorm", (C,)
    else:
        referee = alone(lambda nn: nn.LayerNorm((C, H), eps=0.3, elementwise_affine=affine))
        kind, shape = "LayerNorm", (C, H)
    x = random.standard_normal((N, C, H)) * random.random((N, C, H)) + np.arange(N)[:, None, None]
    dy = random.standard_normal(x.shape)
    state = {"weight": random.standard_normal(shape), "bias": random.standard_normal(shape)}
    sizes = module_sizes(referee, "0", kind, state if affine else {}, x, dy)
    weight, bias = np.zeros(shape), np.zeros(shape)
    for n, c, h in np.ndindex(x.shape):
        width = C // (groups or 1)
        group = x[n, c // width * width : (c // width + 1) * width]
        grads = dy[n, c // width * width : (c // width + 1) * width]
        at = (c,) if groups else (c, h)
        scale = np.abs(state["weight"])[c // width * width : (c // width + 1) * width]
        scale = np.broadcast_to(scale.reshape(scale.shape[0], -1) if affine else 1.0, group.shape)
        inverse = 1 / np.sqrt(np.mean((group - group.mean()) ** 2) + 0.3)
        terms = inverse * (np.abs(group) + np.abs(group).mean())
        one = inverse * (abs(x[n, c, h]) + np.abs(group).mean())
        g = abs(state["weight"][at]) if affine else 1.0
        b = abs(state["bias"][at]) if affine else 0.0
        assert sizes.output[n, c, h] == pytest.approx(g * one + b)
        dz = np.abs(grads) * scale
        expected = inverse * (g * abs(dy[n, c, h]) + dz.mean() + one * (dz * terms).mean())
        assert sizes.grad_input[n, c, h] == pytest.approx(expected)
        weight[at] += abs(dy[n, c, h]) * one
        bias[at] += abs(dy[n, c, h])
    assert set(sizes.gradients) == ({"weight", "bias"} if affine else set())
    if affine:
        np.testing.assert_allclose(sizes.gradients["weight"], weight)
        np.testing.assert_allclose(sizes.gradients["bias"], bias)


def test_softmaxes(random):
    """x − max x has the terms |x| and |max x|, which are the relative error of its exponential."""
    x, dy = random.standard_normal((N, C, D)), random.standard_normal((N, C, D))
    for dim in (1, 2, -1):
        soft = module_sizes(alone(lambda nn, dim=dim: nn.Softmax(dim)), "0", "Softmax", {}, x, dy)
        logs = module_sizes(
            alone(lambda nn, dim=dim: nn.LogSoftmax(dim)), "0", "LogSoftmax", {}, x, dy
        )
        for place in np.ndindex(x.shape):
            row = tuple(slice(None) if a == dim % 3 else i for a, i in enumerate(place))
            here = place[dim]
            z, slopes = x[row], np.abs(dy[row])
            terms = np.abs(z) + abs(z.max())
            p = np.exp(z) / np.exp(z).sum()
            y = p * (1 + terms + (p * terms).sum())
            assert soft.output[place] == pytest.approx(y[here])
            expected = y[here] * (slopes[here] + (slopes * y).sum())
            assert soft.grad_input[place] == pytest.approx(expected)
            total = terms[here] + np.log(np.exp(z - z.max()).sum())
            assert logs.output[place] == pytest.approx(total)
            expected = slopes[here] + p[here] * (1 + total) * slopes.sum()
            assert logs.grad_input[place] == pytest.approx(expected)


def _phi(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


# What is summed to make the value and the slope of each, at one x.
SMOOTH = {
    "Sigmoid()": lambda x, s: (s, s + s * s),
    "Tanh()": lambda x, s: (abs(math.tanh(x)), 1 + math.tanh(x) ** 2),
    "SiLU()": lambda x, s: (abs(x) * s, s + s * abs(x) + s * abs(x) * s),
    "GELU()": lambda x, s: (
        abs(x) / 2 + abs(x * math.erf(x / 2**0.5)) / 2,
        0.5 + abs(math.erf(x / 2**0.5)) / 2 + abs(x) * _phi(x) * (1 + x * x / 2),
    ),
    "GELU('tanh')": lambda x, s: (
        abs(x) / 2 + abs(x * math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
        0.5
        + abs(math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2
        + abs(x)
        * (1 + math.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)) ** 2)
        * (2 / math.pi) ** 0.5
        * (1 + 0.134145 * x * x)
        / 2,
    ),
    "ELU(0.7)": lambda x, s: (
        (x, 1) if x > 0 else (0.7 * math.exp(x) + 0.7, 0.7 * math.exp(x))
    ),
    "ELU(-0.7)": lambda x, s: (
        (x, 1) if x > 0 else (0.7 * math.exp(x) + 0.7, 0.7 * math.exp(x))
    ),
    "Softplus(2.0)": lambda x, s: (
        math.log(1 + math.exp(2 * x)) / 2 + abs(x) / (1 + math.exp(-2 * x)),
        (1 + 2 * abs(x)) / (1 + math.exp(-2 * x)),
    ),
    "Hardswish()": lambda x, s: (
        min(abs(x) * (abs(x) + 3) / 6, abs(x)), abs(x) / 3 + 0.5 if abs(x) < 3 else 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("written", SMOOTH)
def test_smooth_functions(written):
    x = np.array([-3.5, -3.0, -1.3, -0.2, 0.0, 0.4, 2.1, 3.0, 4.5])
    kind, arguments = written.removesuffix(")").split("(")
    given = [] if not arguments else [ast.literal_eval(arguments)]
    named = {"approximate": given[0]} if arguments == "'tanh'" else {}
    referee = alone(lambda nn: getattr(nn, kind)(*([] if named else given), **named))
    sizes = module_sizes(referee, "0", kind, {}, x, np.full(x.shape, -3.0))
    for place, one in enumerate(x):
        value, slope = SMOOTH[written](float(one), 1 / (1 + math.exp(-one)))
        assert sizes.output[place] == pytest.approx(value), one
        assert sizes.grad_input[place] == pytest.approx(3 * slope), one


@pytest.mark.parametrize("momentum", [0.3, None])
def test_batch_norm_in_loops(random, momentum):
    referee = alone(lambda nn: nn.BatchNorm1d(C, eps=0.2, momentum=momentum))
    x, dy = random.standard_normal((N, C, 2)) + 2.0, random.standard_normal((N, C, 2))
    state = {
        "weight": random.standard_normal(C), "bias": random.standard_normal(C),
        "running_mean": random.standard_normal(C), "running_var": random.random(C),
        "num_batches_tracked": np.array(3),
    }  # fmt: skip
    sizes = module_sizes(referee, "0", "BatchNorm1d", state, x, dy)
    share = 0.3 if momentum else 1 / 4
    for c in range(C):
        v, d = x[:, c].ravel(), np.abs(dy[:, c]).ravel()
        terms = np.abs(v) + np.abs(v).mean()
        inverse = 1 / np.sqrt(np.mean((v - v.mean()) ** 2) + 0.2)
        g, b = abs(state["weight"][c]), abs(state["bias"][c])
        np.testing.assert_allclose(sizes.output[:, c].ravel(), g * terms * inverse + b)
        expected = g * inverse * (d + d.mean() + terms * inverse * (d * terms * inverse).mean())
        np.testing.assert_allclose(sizes.grad_input[:, c].ravel(), expected)
        assert sizes.gradients["weight"][c] == pytest.approx((d * terms * inverse).sum())
        assert sizes.gradients["bias"][c] == pytest.approx(d.sum())
        kept = (1 - share) * abs(state["running_mean"][c])
        assert sizes.buffers["running_mean"][c] == pytest.approx(kept + share * np.abs(v).mean())
        spread = sum(abs(one - v.mean()) * t for one, t in zip(v, terms, strict=True)) / (
            len(v) - 1
        )
        kept = (1 - share) * abs(state["running_var"][c])
        assert sizes.buffers["running_var"][c] == pytest.approx(kept + share * spread)
    assert sizes.buffers["num_batches_tracked"] == 1
