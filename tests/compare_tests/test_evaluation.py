"""Evaluation mode certified: right networks pass, and a module that is wrong there is found."""

from __future__ import annotations

import numpy as np
import pytest

from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.parity.comparison import References
from compare.parity.evaluation import certify_evaluation, evaluation_size
from compare.spec.model import ModelSpec
from experiments.architectures import bn_mlp

pytestmark = pytest.mark.parity

SIZES = (12, 10, 8, 5)
ROWS = 20


def wide(nn, channels=4):
    """Every kind of module that has an evaluation mode of its own, and some that have none."""
    return nn.Sequential(
        *(nn.Conv2d(1, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout(0.5), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(channels, 6)),
        *(nn.BatchNorm1d(6, affine=False), nn.Tanh(), nn.BatchNorm1d(6, track_running_stats=False)),
        *(nn.LayerNorm(6), nn.Sigmoid(), nn.Linear(6, 5)),
    )


NETWORKS = {
    "bn_mlp": (bn_mlp, {"sizes": SIZES}, (12,)),
    "wide": (wide, {}, (1, 7, 7)),
}


def trained(network="bn_mlp", dtype="float32", steps=5):
    """A NumPy backend after some steps, rows, and the references."""
    architecture, arguments, shape = NETWORKS[network]
    spec = ModelSpec(architecture, arguments, algorithm="SGD", settings={"lr": 0.1})
    references = References.build(spec)
    backend = NumpyBackend(spec, dtype, 0)
    random = np.random.default_rng(0)
    inputs = (2 * random.standard_normal((ROWS, *shape)) + 1).astype(np.float32)
    targets = random.integers(0, 5, ROWS)
    for _ in range(steps):
        backend.train_step(backend.batch(backend.rows(inputs, targets), np.arange(ROWS)))
    return backend, inputs, targets, references


def certified(backend, inputs, targets, references):
    calls = backend.record_evaluation(inputs, targets)
    return certify_evaluation(calls, backend.state(), inputs, targets, references, seed=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_right_network_passes(network, dtype):
    backend, *rest = trained(network, dtype)
    found = certified(backend, *rest)
    assert all(c.passed for c in found)
    modules = [name for name, m in backend.model.named_modules() if not any(m.children())]
    sites = [f"evaluation/{name}/output" for name in [*modules, "loss"]]
    precisions = ("float32", "float64") if dtype == "float32" else ("float64",)
    assert [(c.dtype, c.site) for c in found] == [
        *((precision, site) for site in sites for precision in precisions),
        *(("float64", f"whole/{site}") for site in sites),
    ]
    # Differences of rounding are there: it is not the same array that is compared.
    assert sum(c.numpy_error > 0 for c in found) > len(found) / 4


def test_it_changes_nothing():
    backend, inputs, targets, references = trained()
    before = backend.state().model
    certified(backend, inputs, targets, references)
    after = backend.state().model
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert all(module.training for module in backend.modules())
    assert all(m.training for reference in references for m in reference.modules())


def test_what_is_recorded_is_what_is_evaluated():
    backend, inputs, targets, references = trained()
    calls = backend.record_evaluation(inputs, targets)
    evaluated = backend.evaluate(backend.rows(inputs, targets))
    assert np.array_equal(calls[-1].input, evaluated.outputs)
    assert float(calls[-1].output) == pytest.approx(evaluated.loss)
    torch = references.torch64
    torch.load(backend.state())
    exact = torch.record_evaluation(inputs, targets)
    assert np.array_equal(exact[-1].input, torch.logits(inputs))


def plant(backend, references, method):
    """Put a method in the place of BatchNorm's forward pass, on both of NumPy's networks."""
    for one in (backend, references.numpy64):
        module = one.module("1")
        right = module.forward

        def wrong(x, module=module, right=right):
            return right(x) if module.training else method(module, x, right)

        module.forward = wrong


def batch_statistics(module, x, right):
    scaled = (x - x.mean(0)) / np.sqrt(x.var(0) + module.eps)
    return (scaled * module.weight.data + module.bias.data).astype(x.dtype)


def no_epsilon(module, x, right):
    scaled = (x - module.running_mean) / np.sqrt(module.running_var)
    return (scaled * module.weight.data + module.bias.data).astype(x.dtype)


def biased_variance(module, x, right):
    variance = module.running_var * (ROWS - 1) / ROWS
    scaled = (x - module.running_mean) / np.sqrt(variance + module.eps)
    return (scaled * module.weight.data + module.bias.data).astype(x.dtype)


def in_half_precision(module, x, right):
    return right(x).astype(np.float16).astype(x.dtype)


def of_other_rows(module, x, right):
    return right(x)[::-1]


MISTAKES = (batch_statistics, no_epsilon, biased_variance, in_half_precision, of_other_rows)


@pytest.mark.parametrize("method", MISTAKES)
def test_what_is_wrong_in_evaluation_alone_is_found_where_it_is(method):
    backend, inputs, targets, references = trained()
    plant(backend, references, method)
    failing = [c.site for c in certified(backend, inputs, targets, references) if not c.passed]
    alone = {site for site in failing if not site.startswith("whole/")}
    assert alone == {"evaluation/1/output"}
    whole = [site for site in failing if site.startswith("whole/")]
    assert whole[0] == "whole/evaluation/1/output"
    assert "whole/evaluation/loss/output" in whole


def test_a_dropout_that_drops_in_evaluation_is_found():
    backend, inputs, targets, references = trained("wide")
    for one in (backend, references.numpy64):
        module = one.module("4")
        module.eval = lambda module=module: module.train()
    failing = [c.site for c in certified(backend, inputs, targets, references) if not c.passed]
    assert "evaluation/4/output" in failing
    assert {site for site in failing if not site.startswith("whole/")} == {"evaluation/4/output"}


def test_modules_connected_otherwise_are_found_from_end_to_end():
    """Each module is right alone; the network leaves one out in evaluation mode."""
    backend, inputs, targets, references = trained()
    for one in (backend, references.numpy64):
        model, right = one.model, one.model.forward

        def skipping(x, model=model, right=right):
            if model.training:
                return right(x)
            for name, module in model._modules.items():
                x = x if name == "2" else module(x)
            return x

        model.forward = skipping
    found = certified(backend, inputs, targets, references)
    failing = [c.site for c in found if not c.passed]
    assert failing[0] == "whole/evaluation/2/output"
    assert all(site.startswith("whole/") for site in failing)


def test_the_size_of_a_batch_normalisation_is_what_it_sums():
    """|γ| (|x| + |running mean|) / √(running variance + ε) + |β|, one value at a time."""
    backend, inputs, targets, references = trained()
    referee = references.torch64
    calls = backend.record_evaluation(inputs, targets)
    call, state = calls[1], backend.state().of_module("1")
    size = evaluation_size(referee, call, state, targets, call.output)
    for row, channel in ((0, 0), (3, 7), (19, 9)):
        terms = abs(float(call.input[row, channel])) + abs(float(state["running_mean"][channel]))
        root = (float(state["running_var"][channel]) + 1e-5) ** 0.5
        expected = abs(float(state["weight"][channel])) * terms / root
        expected += abs(float(state["bias"][channel]))
        assert size[row, channel] == pytest.approx(expected, rel=1e-12)


def test_noise_moves_the_referee_by_as_much_as_it_says():
    backend, inputs, targets, references = trained()
    torch = references.torch64
    torch.load(backend.state())
    exact = torch.record_evaluation(inputs, targets)
    noise = {call.name: np.full(call.output.shape, 1e-6) for call in exact[:-1]}
    noisy = torch.record_evaluation(inputs, targets, noise, seed=3)
    moved = np.abs(noisy[0].output - exact[0].output)
    assert 0 < moved.max() <= 1e-6
    assert moved.mean() == pytest.approx(0.5e-6, rel=0.2)
    again = torch.record_evaluation(inputs, targets, noise, seed=3)
    assert np.array_equal(again[-1].input, noisy[-1].input)


@pytest.mark.parametrize("kind", [NumpyBackend, TorchBackend])
def test_a_module_alone_in_evaluation_mode(kind):
    """Running statistics are used and stay as they are."""
    spec = ModelSpec(bn_mlp, {"sizes": SIZES}, algorithm="SGD", settings={"lr": 0.1})
    backend = kind(spec, "float64", 0)
    state = backend.state().of_module("1")
    state["running_mean"] = np.arange(10.0)
    state["running_var"] = np.arange(1.0, 11.0)
    x = np.random.default_rng(0).standard_normal((3, 10))
    found = backend.evaluation_stage("1", state, x)
    assert np.allclose(found, (x - np.arange(10)) / np.sqrt(np.arange(1, 11) + 1e-5), rtol=1e-12)
    assert np.array_equal(backend.state().of_module("1")["running_mean"], np.arange(10))
