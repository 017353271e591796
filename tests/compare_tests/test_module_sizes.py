"""Sizes of what was summed, against sums written out in loops."""

from __future__ import annotations

import itertools

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
