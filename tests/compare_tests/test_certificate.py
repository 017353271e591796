"""The certificate: silent on honest steps, and right about where a planted mistake is."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable

import numpy as np
import pytest

import numpy_nn
from compare.backends import Call, RecordedStep
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import copy_once, rows_first
from compare.backends.torch_backend import TorchBackend
from compare.mistakes.mistake import Mistake, as_instance
from compare.parity import tolerances
from compare.parity.certificate import certify, largest_size
from compare.parity.comparison import (
    Comparison,
    References,
    SiteValues,
    compare_sites,
    compare_values,
)
from compare.parity.stages import longest_sum
from compare.spec.model import ModelSpec
from experiments.architectures import bn_mlp, softmax_mlp

pytestmark = pytest.mark.parity

SIZES = (12, 10, 8, 5)
SETTINGS = {
    "SGD": {"lr": 1e-2, "momentum": 0.9},
    "plain SGD": {"lr": 1e-3},
    "Adam": {"lr": 1e-3},
}


def plan(architecture: Callable = bn_mlp, algorithm: str = "Adam") -> ModelSpec:
    return ModelSpec(
        architecture,
        {"sizes": SIZES},
        algorithm=algorithm.split()[-1],
        settings=SETTINGS[algorithm],
    )


def batch_of(
    backend: NumpyBackend | TorchBackend,
    random: np.random.Generator,
    rows: int = 16,
    scale: float = 1.0,
    shift: float = 0.0,
):
    inputs = (scale * random.standard_normal((rows, SIZES[0])) + shift).astype(np.float32)
    targets = random.integers(0, SIZES[-1], rows)
    return backend.batch(backend.rows(inputs, targets), np.arange(rows))


def train(
    model_spec: ModelSpec,
    *,
    seed: int = 0,
    steps: int = 3,
    dtype: str = "float32",
    plant: Callable[[NumpyBackend], None] = lambda backend: None,
    numpy64_too: bool = True,
    **batch: float,
) -> list[Comparison]:
    """Certify the first steps, with a mistake planted in the NumPy backends."""
    references = References.build(model_spec)
    backend = NumpyBackend(model_spec, dtype, seed)
    plant(backend)
    if numpy64_too:
        plant(references.numpy64)
    random = np.random.default_rng(seed)
    found = []
    for step in range(steps):
        recorded = backend.record_step(batch_of(backend, random, **batch))
        comparisons, _ = certify(recorded, references, seed=step)
        found += comparisons
    return found


def train_again_with(change: Callable[[NumpyBackend], NumpyBackend]) -> list[Comparison]:
    """Certify a step with a change of the NumPy backend that makes the whole step again."""
    model_spec = plan(bn_mlp, "SGD")
    references = References.build(model_spec)
    references = references._replace(numpy64=change(references.numpy64))
    backend = NumpyBackend(model_spec)
    recorded = backend.record_step(batch_of(backend, np.random.default_rng(0)))
    return certify(recorded, references, seed=0)[0]


def first_failure(comparisons: list[Comparison]) -> str | None:
    return next((c.site for c in comparisons if not c.passed), None)


# ---------------------------------------------------------------------- no false alarm


# Stages know nothing of the optimizer, and the optimizer nothing of the layers: of both each meets
# each precision, with batches of its own.
@pytest.mark.parametrize(
    ("architecture", "algorithm", "dtype", "seed"),
    [
        (bn_mlp, "Adam", "float32", 0),
        (bn_mlp, "SGD", "float32", 1),
        (bn_mlp, "SGD", "float64", 2),
        (softmax_mlp, "SGD", "float32", 0),
        (softmax_mlp, "Adam", "float32", 1),
        (softmax_mlp, "Adam", "float64", 2),
    ],
)
def test_honest_steps_pass(architecture, algorithm, dtype, seed):
    found = train(plan(architecture, algorithm), seed=seed, dtype=dtype)
    assert first_failure(found) is None
    assert {c.dtype for c in found} == {dtype, "float64"}


STRESS = {
    "two rows, whose BatchNorm gradient cancels": {"rows": 2},
    "two rows of raw pixels": {"rows": 2, "scale": 1e4},
    "many rows, saturated softmax": {"rows": 513, "shift": 100.0},
    "tiny inputs": {"scale": 1e-6},
    "a rate at which training overflows": {"scale": 1e4, "lr": 10.0},
}


@pytest.mark.parametrize(
    ("architecture", "algorithm"), [(bn_mlp, "plain SGD"), (softmax_mlp, "Adam")]
)
@pytest.mark.parametrize("name", STRESS)
def test_honest_steps_pass_under_stress(architecture, algorithm, name):
    stress = dict(STRESS[name])
    model_spec = plan(architecture, algorithm)
    if "lr" in stress:
        model_spec = dataclasses.replace(model_spec, settings={"lr": stress.pop("lr")})
    assert first_failure(train(model_spec, steps=5, **stress)) is None


def test_the_overflow_is_real():
    model_spec = dataclasses.replace(plan(softmax_mlp, "plain SGD"), settings={"lr": 10.0})
    backend, random = NumpyBackend(model_spec), np.random.default_rng(0)
    losses = [backend.train_step(batch_of(backend, random, scale=1e4))[0] for _ in range(5)]
    assert not np.isfinite(losses[-1])


def test_every_site_is_compared():
    sites = [c.site for c in train(plan(), steps=2) if c.dtype == "float32"]
    for site in (
        "forward/0/output",
        "forward/1/output",
        "buffer/1.running_mean",
        "buffer/1.running_var",
        "buffer/1.num_batches_tracked",
        "forward/loss/output",
        "backward/loss/grad_input",
        "gradient/6.weight",
        "backward/6/grad_input",
        "gradient/0.bias",
        "update/0.weight",
        "optimizer/0.weight/exp_avg",
        "optimizer/0.weight/exp_avg_sq",
        "optimizer/0.weight/step",
    ):
        assert sites.count(site) == 2, site
    # In the order of execution: forwards, then backwards from the loss, then the update.
    assert sites.index("forward/6/output") < sites.index("forward/loss/output")
    assert sites.index("backward/loss/grad_input") < sites.index("gradient/6.weight")
    assert sites.index("gradient/6.weight") < sites.index("gradient/0.weight")
    assert sites.index("gradient/0.weight") < sites.index("update/0.weight")


def test_noise_gradients_are_no_alarm():
    """The bias before BatchNorm has gradient 0; Adam turns its rounding noise into full steps."""
    model_spec = plan(bn_mlp, "Adam")
    assert first_failure(train(model_spec, steps=15)) is None
    # The trap is real: the two runs' biases part by whole steps although every step is right.
    backends = NumpyBackend(model_spec, "float32", 0), TorchBackend(model_spec, "float32", 0)
    for backend in backends:
        random = np.random.default_rng(0)
        for _ in range(15):
            backend.train_step(batch_of(backend, random))
    numpy, torch = (backend.state().model["0.bias"] for backend in backends)
    assert np.abs(numpy - torch).max() > 0.1 * SETTINGS["Adam"]["lr"]


# ---------------------------------------------------------------------- kinks


def relu_net(nn):
    return nn.Sequential(nn.Linear(SIZES[0], 6), nn.ReLU(), nn.Linear(6, SIZES[-1]))


def test_the_referee_stands_on_the_other_side_of_a_kink():
    model_spec = ModelSpec(relu_net, settings={"lr": 0.1})
    referee = TorchBackend(model_spec, "float64")
    state = referee.state()
    state.model["0.weight"][0] = 0.0
    state.model["0.weight"][0, :2] = 1.0, -1.0
    referee.load(state)
    random = np.random.default_rng(0)
    inputs, targets = batch_of(referee, random)
    inputs[0, :2] = 0.25  # the first unit of the first row is at its kink, exactly

    def first_unit_gradient(kinks: dict[str, np.ndarray]) -> np.ndarray:
        referee.load(state)
        step = referee.replay((inputs, targets), kinks, kink_width=tolerances.KINK_WIDTH)
        return step.calls[0].grad_output[0, 0]

    at_kink = referee.replay((inputs, targets), {}).calls[1].input
    assert at_kink[0, 0] == 0.0
    above, below = at_kink.copy(), at_kink.copy()
    above[0, 0], below[0, 0] = 1e-16, -1e-16
    assert first_unit_gradient({"1": above}) != 0
    assert first_unit_gradient({"1": below}) == 0
    # Outside rounding the referee keeps to its own value.
    above[0, 0] = 1e-3
    assert first_unit_gradient({"1": above}) == 0


def test_rounding_at_a_kink_is_no_alarm_in_the_whole_step():
    """NumPy computes 1e-17 where the referee has 0: either derivative of ReLU is right."""

    def rounded(layer, honest, x):
        y = honest(x)
        return y + (y == 0) * y.dtype.type(1e-17)

    model_spec = ModelSpec(relu_net, settings={"lr": 0.1})
    references = References.build(model_spec)
    backend = NumpyBackend(model_spec, "float32", 0)
    layer = backend.model.get_submodule("0")
    layer.weight.data[0], layer.bias.data[0] = 0, 0
    layer.weight.data[0, :2] = 1, -1
    for one in (backend, references.numpy64):
        forward_of("0", rounded)(one)
    inputs, targets = batch_of(backend, np.random.default_rng(0))
    inputs[:, 1] = inputs[:, 0]  # the first unit is 0 in every row, as a difference
    comparisons, _ = certify(backend.record_step((inputs, targets)), references, seed=0)
    assert first_failure(comparisons) is None


def test_kinks_of_several_layers_are_counted_together():
    model_spec = ModelSpec(softmax_mlp, {"sizes": SIZES}, settings={"lr": 0.1})
    backend = NumpyBackend(model_spec, "float32", 0)
    backend.model.get_submodule("0").weight.data[0] = 0
    backend.model.get_submodule("0").bias.data[0] = 0  # 16 zeros on both backends are no flips
    recorded = backend.record_step(batch_of(backend, np.random.default_rng(0)))
    for number in (1, 3):
        recorded.calls[number].input[0, 1] *= -1
    _, kinks = certify(recorded, References.build(model_spec), seed=0)
    assert (kinks.places, kinks.flips) == (16 * (10 + 8), 2)


def test_kinks_are_counted():
    references = References.build(ModelSpec(relu_net, settings={"lr": 0.1}))
    backend = NumpyBackend(ModelSpec(relu_net, settings={"lr": 0.1}), "float32", 0)
    recorded = backend.record_step(batch_of(backend, np.random.default_rng(0)))
    _, kinks = certify(recorded, references, seed=0)
    assert kinks.places == 16 * 6
    assert kinks.flips == 0
    moved = recorded.calls[1].input
    moved[0, 0] = -moved[0, 0]
    _, kinks = certify(recorded, references, seed=0)
    assert kinks.flips == 1
    assert kinks.largest == pytest.approx(abs(float(moved[0, 0])), rel=1e-4)


# ---------------------------------------------------------------------- planted mistakes


def setting(name: str, value: float) -> Callable[[NumpyBackend], None]:
    def plant(backend: NumpyBackend) -> None:
        backend.optimizer.param_groups[0][name] = value

    return plant


def attribute(module: str, name: str, value: object) -> Callable[[NumpyBackend], None]:
    def plant(backend: NumpyBackend) -> None:
        setattr(backend.model.get_submodule(module), name, value)

    return plant


def backward_of(module: str, change: Callable) -> Callable[[NumpyBackend], None]:
    return method_of(module, "backward", change)


def forward_of(module: str, change: Callable) -> Callable[[NumpyBackend], None]:
    return method_of(module, "forward", change)


def method_of(module: str, method: str, change: Callable) -> Callable[[NumpyBackend], None]:
    """Let ``change(layer, honest method, *arguments)`` stand for a layer's method."""

    def plant(backend: NumpyBackend) -> None:
        layer = backend.model.get_submodule(module) if module != "loss" else backend.loss
        honest = getattr(type(layer), method)

        def changed(self, *arguments):
            return change(self, functools.partial(honest, self), *arguments)

        backend.replace(module, Mistake("", "", {method: changed}).apply(layer))

    return plant


def no_bias_gradient(layer, honest, dy):
    grad_input = honest(dy)
    layer.bias.grad[...] = 0
    return grad_input


def statistics_as_constants(layer, honest, dy):
    honest(dy)  # for the gradients of γ and β
    x_hat_scale = layer.weight.data * (layer._invstd)
    return dy * x_hat_scale


def biased_variance(layer, honest, x):
    before = layer.running_var.copy()
    output = honest(x)
    biased = x.var(axis=0)
    layer.running_var[...] = (1 - layer.momentum) * before + layer.momentum * biased
    return output


def half_precision(layer, honest, x):
    return honest(x).astype(np.float16).astype(x.dtype)


MISTAKES = {
    "Adam's epsilon": ("Adam", setting("eps", 1e-7), "update/0.weight"),
    "weight decay under Adam": (
        "Adam",
        setting("weight_decay", 1e-6),
        "optimizer/0.weight/exp_avg",
    ),
    "weight decay under plain SGD": (
        "plain SGD",
        setting("weight_decay", 1e-6),
        "update/0.weight",
    ),
    "weight decay under SGD": (
        "SGD",
        setting("weight_decay", 1e-6),
        "optimizer/0.weight/momentum_buffer",
    ),
    "another momentum": (
        "SGD",
        setting("momentum", 0.9001),
        "optimizer/0.weight/momentum_buffer",
    ),
    "BatchNorm's epsilon": ("SGD", attribute("1", "eps", 1e-6), "forward/1/output"),
    "BatchNorm's momentum": ("SGD", attribute("4", "momentum", 0.9), "buffer/4.running_mean"),
    "another slope": ("SGD", attribute("2", "negative_slope", 0.02), "forward/2/output"),
    "a slope in one direction": (
        "SGD",
        backward_of("5", lambda layer, honest, dy: honest(dy) + 1e-5 * dy),
        "backward/5/grad_input",
    ),
    "no bias gradient": ("SGD", backward_of("3", no_bias_gradient), "gradient/3.bias"),
    "statistics as constants": (
        "SGD",
        backward_of("4", statistics_as_constants),
        "backward/4/grad_input",
    ),
    "biased running variance": ("SGD", forward_of("1", biased_variance), "buffer/1.running_var"),
    "sum for mean": (
        "SGD",
        backward_of("loss", lambda layer, honest, *dy: 16 * honest(*dy)),
        "backward/loss/grad_input",
    ),
    "a gradient of the wrong sign": (
        "Adam",
        backward_of("6", lambda layer, honest, dy: -honest(dy)),
        "backward/6/grad_input",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_placed(name):
    algorithm, plant, site = MISTAKES[name]
    found = train(plan(bn_mlp, algorithm), plant=plant)
    assert first_failure(found) == site


def test_lost_precision_is_found_in_float32_alone():
    """A float32 path that rounds to half precision, in a program whose float64 path is right."""
    found = train(plan(), plant=forward_of("3", half_precision), numpy64_too=False)
    assert first_failure(found) == "forward/3/output"
    assert all(c.passed for c in found if c.dtype == "float64")


@pytest.mark.parametrize(
    ("algorithm", "name", "value"), [("Adam", "eps", 1e-7), ("Adam", "weight_decay", 1e-6)]
)
def test_adams_mistakes_show_in_float32_alone(algorithm, name, value):
    found = train(plan(bn_mlp, algorithm), plant=setting(name, value), numpy64_too=False)
    assert any(not c.passed for c in found if c.dtype == "float32")


def test_a_module_that_backward_passes_by_is_found():
    class Hasty(numpy_nn.Sequential):
        def backward(self, grad_output):
            layers = list(self)
            for number in range(len(layers) - 1, -1, -1):
                if number != 2:
                    grad_output = layers[number].backward(grad_output)
            return grad_output

    def plant(backend: NumpyBackend) -> None:
        backend.model = as_instance(Hasty, backend.model)

    found = train(plan(bn_mlp, "SGD"), plant=plant, steps=1)
    failing = [c.site for c in found if not c.passed]
    assert failing[0] == "backward/2/grad_input"


def test_a_certificate_is_the_same_the_second_time():
    model_spec = plan()
    references = References.build(model_spec)
    recorded = NumpyBackend(model_spec).record_step(
        batch_of(NumpyBackend(model_spec), np.random.default_rng(0))
    )
    first, second = (certify(recorded, references, seed=7)[0] for _ in range(2))
    assert first == second
    other = certify(recorded, references, seed=8)[0]
    assert [c.site for c in other] == [c.site for c in first]
    assert other != first  # other random output gradients


def test_every_module_that_backward_passes_by_is_named():
    model_spec = plan(bn_mlp, "SGD")
    references = References.build(model_spec)
    recorded = NumpyBackend(model_spec).record_step(
        batch_of(NumpyBackend(model_spec), np.random.default_rng(0))
    )
    recorded.calls[2].grad_output = None
    recorded.calls[5].grad_input = None
    comparisons, _ = certify(recorded, references, seed=0)
    failing = [c for c in comparisons if not c.passed]
    assert [(c.dtype, c.site) for c in failing] == [
        ("float32", "backward/5/grad_input"),
        ("float32", "backward/2/grad_input"),
    ]
    assert [c[2:] for c in failing] == [(np.inf, 0.0, 0.0)] * 2
    # All others are judged as ever.
    assert sum(c.site.startswith("forward/") for c in comparisons) == 2 * (8 - 2)


def test_stages_in_another_order_are_found_by_the_whole_step():
    """Each stage alone is right; only the step end to end shows that they are wired wrongly."""

    def plant(backend: NumpyBackend) -> None:
        inner = backend.model
        honest = type(inner).forward

        class Doubled(type(inner)):  # type: ignore[misc]
            def forward(self, x):
                return honest(self, x) * 1.001

        backend.model = as_instance(Doubled, backend.model)

    found = train(plan(bn_mlp, "SGD"), plant=plant, steps=1)
    failing = [c.site for c in found if not c.passed]
    assert failing
    assert all(site.startswith("whole/") for site in failing)


def test_a_missing_optimizer_state_is_a_failure():
    model_spec = plan(bn_mlp, "Adam")
    references = References.build(model_spec)
    backend = NumpyBackend(model_spec, "float32", 0)
    recorded = backend.record_step(batch_of(backend, np.random.default_rng(0)))
    del recorded.after.optimizer["0.weight"]["exp_avg"]
    comparisons, _ = certify(recorded, references, seed=0)
    assert first_failure(comparisons) == "optimizer/0.weight/exp_avg"


def test_an_optimizer_without_any_state_is_a_failure():
    model_spec = plan(bn_mlp, "Adam")
    backend = NumpyBackend(model_spec, "float32", 0)
    recorded = backend.record_step(batch_of(backend, np.random.default_rng(0)))
    recorded.after.optimizer.clear()
    comparisons, _ = certify(recorded, References.build(model_spec), seed=0)
    failing = [c for c in comparisons if not c.passed]
    assert {c.site.partition("/")[0] for c in failing} == {"optimizer"}
    assert {c.numpy_error for c in failing} == {np.inf}


def test_a_value_that_the_whole_step_lacks_is_a_failure_and_the_others_are_compared():
    def forgetful(backend: NumpyBackend) -> NumpyBackend:
        honest = type(backend).record_step

        class Forgetful(type(backend)):  # type: ignore[misc]
            def record_step(self, batch, update=True):
                recorded = honest(self, batch)
                recorded.calls[5].grad_input = None
                return recorded

        return as_instance(Forgetful, backend)

    found = train_again_with(forgetful)
    whole = [c for c in found if c.site.startswith("whole/")]
    failing = [c for c in whole if not c.passed]
    site = "whole/backward/5/grad_input"
    assert failing == [Comparison("float64", site, np.inf, 0.0, 0.0)]
    assert [c.site for c in whole].index(site) < len(whole) - 10


def test_a_loss_of_numbers_is_certified_with_its_targets():
    model_spec = ModelSpec(relu_net, loss="MSELoss", settings={"lr": 0.1})
    backend, random = NumpyBackend(model_spec, "float32", 0), np.random.default_rng(0)
    inputs, targets = (random.standard_normal((16, n)).astype(np.float32) for n in (12, 5))
    targets[0] = 1e6  # the size of the difference is |z| + |t|
    recorded = backend.record_step((inputs, targets))
    comparisons, _ = certify(recorded, References.build(model_spec), seed=0)
    assert first_failure(comparisons) is None


def test_a_whole_step_that_calls_other_modules_is_one_failure():
    def passes_by(backend: NumpyBackend) -> NumpyBackend:
        honest = type(backend).record_step

        class Short(type(backend)):  # type: ignore[misc]
            def record_step(self, batch, update=True):
                recorded = honest(self, batch)
                del recorded.calls[5]
                return recorded

        return as_instance(Short, backend)

    found = train_again_with(passes_by)
    whole = [c for c in found if c.site.startswith("whole/")]
    assert whole == [Comparison("float64", "whole/forward", np.inf, 0.0, 0.0)]


def test_what_is_written_beside_an_error():
    found = train(plan(), steps=1)
    assert {c.torch_error for c in found if c.dtype == "float64"} == {0.0}
    single = [c for c in found if c.dtype == "float32" and c.site.startswith("gradient/")]
    assert all(c.torch_error > 0 for c in single)
    assert all(c.tolerance == tolerances.float32_bound(c.torch_error) for c in single)


def test_the_whole_step_has_the_bound_of_its_longest_sum():
    def wide(nn):
        return nn.Sequential(nn.Linear(SIZES[0], 2000), nn.Linear(2000, SIZES[-1]))

    found = train(ModelSpec(wide, settings={"lr": 0.1}), steps=1)
    bounds = {c.tolerance for c in found if c.site.startswith("whole/")}
    assert bounds == {tolerances.float64_bound(2000)}
    assert bounds != {tolerances.float64_bound(1)}


def test_a_step_that_overflows_in_float64_too_passes():
    def deep(nn):
        return nn.Sequential(
            *(nn.Linear(SIZES[0], SIZES[0]) for _ in range(12)), nn.Linear(SIZES[0], SIZES[-1])
        )

    def enormous(backend: NumpyBackend) -> None:
        for parameter in backend.model.parameters():
            parameter.data *= parameter.data.dtype.type(1e36)

    model_spec = ModelSpec(deep, settings={"lr": 0.1})
    assert first_failure(train(model_spec, plant=enormous, steps=1)) is None
    # One row alone overflows; the others are judged beside it.
    backend = NumpyBackend(model_spec, "float32", 0)
    enormous(backend)
    for name, parameter in backend.model.named_parameters():
        parameter.data *= not name.endswith("bias")
    inputs, targets = batch_of(backend, np.random.default_rng(0))
    inputs[1:] = 0
    recorded = backend.record_step((inputs, targets))
    comparisons, _ = certify(recorded, References.build(model_spec), seed=0)
    assert first_failure(comparisons) is None
    # What is left in range is judged all the same.
    wrong = backward_of("12", lambda layer, honest, dy: honest(dy) * 1.001)
    found = train(
        ModelSpec(deep, settings={"lr": 0.1}), steps=1, plant=lambda s: (enormous(s), wrong(s))
    )
    assert first_failure(found) is not None


def test_gradient_ascent_is_certified_with_its_own_sizes():
    """With weight decay the step is −g + λw; its size is |g| + λ|w| all the same."""
    settings = {"lr": 1e-2, "weight_decay": 0.1, "maximize": True}
    for algorithm in ("SGD", "Adam"):
        model_spec = ModelSpec(
            softmax_mlp, {"sizes": SIZES}, algorithm=algorithm, settings=settings
        )
        assert first_failure(train(model_spec)) is None


def test_nan_is_a_failure():
    def plant(backend: NumpyBackend) -> None:
        backend.model.get_submodule("3").weight.data[0, 0] = np.nan

    model_spec = plan(bn_mlp, "SGD")
    references = References.build(model_spec)
    backend = NumpyBackend(model_spec, "float32", 0)
    recorded = backend.record_step(batch_of(backend, np.random.default_rng(0)))
    recorded.calls[3].output[0, 0] = np.nan
    comparisons, _ = certify(recorded, references, seed=0)
    assert first_failure(comparisons) == "forward/3/output"


def test_recording_does_not_change_the_step():
    model_spec = plan()
    recording, plain = (
        NumpyBackend(model_spec, "float32", 3),
        NumpyBackend(model_spec, "float32", 3),
    )
    torch_recording, torch_plain = (
        TorchBackend(model_spec, seed=3),
        TorchBackend(model_spec, seed=3),
    )
    for one, other in ((recording, plain), (torch_recording, torch_plain)):
        for _ in range(3):
            random = np.random.default_rng(1)
            step: RecordedStep = one.record_step(batch_of(one, random))
            random = np.random.default_rng(1)
            loss, logits = other.train_step(batch_of(other, random))
            assert float(step.calls[-1].output) == loss
            np.testing.assert_array_equal(step.calls[-1].input, logits)
        for key, value in other.state().model.items():
            np.testing.assert_array_equal(one.state().model[key], value)


@pytest.mark.parametrize("kind", [NumpyBackend, TorchBackend])
def test_a_step_without_its_update_is_the_same_up_to_there(kind):
    model_spec = plan(bn_mlp, "Adam")
    whole, passes = kind(model_spec, "float64", 3), kind(model_spec, "float64", 3)
    for backend in (whole, passes):
        backend.train_step(batch_of(backend, np.random.default_rng(0)))
    before = passes.state()
    one = whole.record_step(batch_of(whole, np.random.default_rng(1)))
    other = passes.record_step(batch_of(passes, np.random.default_rng(1)), update=False)
    for a, b in zip(one.calls, other.calls, strict=True):
        np.testing.assert_array_equal(a.output, b.output)
        np.testing.assert_array_equal(a.grad_input, b.grad_input)
    for name, gradient in one.gradients.items():
        np.testing.assert_array_equal(gradient, other.gradients[name])
        assert (other.after.model[name] == before.model[name]).all()
        assert not (one.after.model[name] == before.model[name]).all()
    assert (other.after.model["1.running_mean"] == one.after.model["1.running_mean"]).all()
    assert one.before.optimizer
    assert not other.before.optimizer
    assert not other.after.optimizer
    for name, slots in before.optimizer.items():
        for key, value in slots.items():
            np.testing.assert_array_equal(passes.state().optimizer[name][key], value)


# ---------------------------------------------------------------------- parts


def site_values(dtype: str, **errors: float) -> SiteValues:
    """About numbers that are to be 1, each with an error of the NumPy backend."""
    right = {site: np.ones(1) for site in errors}
    wrong = {site: np.ones(1) + error for site, error in errors.items()}
    return SiteValues(dtype, wrong, right, right, right)


def errors(*found: SiteValues) -> list[tuple[str, str, float]]:
    return [(c.site, c.dtype, round(c.numpy_error, 6)) for c in compare_sites(1, found)]


def test_both_precisions_stand_side_by_side():
    own, exact = site_values("float32", b=0.1, a=0.2), site_values("float64", b=0.3, a=0.1)
    expected = [
        ("b", "float32", 0.1),
        ("b", "float64", 0.3),
        ("a", "float32", 0.2),
        ("a", "float64", 0.1),
    ]
    assert errors(own, exact) == errors(exact, own) == expected
    assert errors() == []
    assert errors(own, site_values("float64", b=0.3)) == [*expected[:3]]


def test_of_two_float64_comparisons_the_worse_counts():
    own, again = site_values("float64", a=0.1, b=0.2), site_values("float64", a=0.3, b=0.1)
    assert errors(own, again) == [("a", "float64", 0.3), ("b", "float64", 0.2)]


def test_a_value_that_is_missing_is_infinitely_far_away():
    whole = site_values("float32", a=0.0, b=0.0)
    for missing in ("numpy", "torch"):
        values = dict(getattr(whole, missing))
        del values["a"]
        found = list(compare_sites(1, [whole._replace(**{missing: values})]))
        assert [c.site for c in found] == ["a", "b"]
        assert getattr(found[0], f"{missing}_error") == np.inf
        assert found[0].passed == (missing == "torch")
        assert found[1].passed


@pytest.mark.parametrize(
    ("shape", "weights", "terms"),
    [
        ((100, 784), {"weight": (256, 784), "bias": (256,)}, 784),
        ((1000, 20), {"weight": (5, 20)}, 1000),
        ((128, 3, 28, 28), {"weight": (16, 3, 3, 3), "bias": (9999,)}, 128 * 28 * 28),
        ((4, 8, 2, 2), {"weight": (2, 8, 5, 5)}, 200),
        ((3, 50), {"weight": (1, 50)}, 50),
        ((64, 32), {"weight": (32,), "running_mean": (32,)}, 64),
        ((7,), {}, 7),
        ((5, 1), {}, 5),
        ((0, 3), {}, 1),
        ((3, 0), {}, 1),
        ((1, 9), {}, 1),
    ],
)
def test_the_longest_sum(shape, weights, terms):
    call = Call("0", "Linear", np.zeros(shape), np.zeros(0))
    state = {name: np.zeros(s) for name, s in weights.items()}
    found = longest_sum(call, state)
    assert found == terms
    assert isinstance(found, int)


def test_infinite_sizes_excuse_nothing():
    assert largest_size(np.array([0.25, np.inf, np.nan, 0.5])) == 0.5
    assert largest_size(np.zeros(0)) == 0


def test_below_the_normal_numbers_float32_has_no_relative_accuracy():
    """PyTorch's last denormal bit must not excuse NumPy's."""
    exact = np.array([1.4e-45])
    values = [a.astype(np.float32) for a in (exact * 3, exact * 2)]
    found = compare_values("float32", "a", 1, *values, exact, exact)
    assert found.torch_error < 1e-6
    assert found.tolerance == tolerances.float32_bound(0.0)


def test_a_long_sum_may_lose_more():
    assert tolerances.float64_bound(1) == tolerances.float64_bound(900) == 1e-13
    assert tolerances.float64_bound(2**20) == 2.0**-33


def dropout_net(nn):
    return nn.Sequential(
        nn.Linear(SIZES[0], 10), nn.Tanh(), nn.Dropout(0.3), nn.Linear(10, SIZES[-1])
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_is_judged_with_the_mask_that_it_drew(dtype):
    model_spec = ModelSpec(dropout_net, algorithm="Adam", settings={"lr": 1e-3})
    found = train(model_spec, dtype=dtype)
    assert first_failure(found) is None
    assert any(c.site == "forward/2/output" for c in found)


def test_dropout_of_the_wrong_scale_is_placed():
    model_spec = ModelSpec(dropout_net, settings={"lr": 0.1})
    twice = forward_of("2", lambda layer, honest, x: honest(x) * 1.01)
    assert first_failure(train(model_spec, plant=twice)) == "forward/2/output"
    back = backward_of("2", lambda layer, honest, dy: honest(dy) * 0.7)
    assert first_failure(train(model_spec, plant=back)) == "backward/2/grad_input"


def test_other_values_beside_an_overflow_are_judged():
    """An infinity on both backends excuses itself, not its neighbours."""
    model_spec = plan(bn_mlp, "SGD")
    references = References.build(model_spec)
    backend = NumpyBackend(model_spec)
    recorded = backend.record_step(batch_of(backend, np.random.default_rng(0)))
    inputs = recorded.calls[3].input
    inputs[0, :2] = 3e38, 3e38
    inputs[0, 2:] = 0
    output = recorded.calls[3].output
    w = recorded.before.model["3.weight"]
    with np.errstate(all="ignore"):
        exact = inputs.astype(np.float64) @ w.T.astype(np.float64) + recorded.before.model["3.bias"]
        output[...] = exact.astype(np.float32)
    comparisons, _ = certify(recorded, references, seed=0)
    forward = [c for c in comparisons if c.site == "forward/3/output" and c.dtype == "float32"]
    assert forward[0].passed
    output[1, 0] += np.float32(0.01)
    comparisons, _ = certify(recorded, references, seed=0)
    forward = [c for c in comparisons if c.site == "forward/3/output" and c.dtype == "float32"]
    assert not forward[0].passed


def test_a_recorded_step_keeps_once_what_passes_from_module_to_module():
    references = References.build(ModelSpec(relu_net, settings={"lr": 0.1}))
    backend = NumpyBackend(ModelSpec(relu_net, settings={"lr": 0.1}), "float32", 0)
    recorded = backend.record_step(batch_of(backend, np.random.default_rng(0)))
    references.torch64.load(recorded.before)
    replayed = references.torch64.replay(batch_of(references.torch64, np.random.default_rng(0)), {})
    for calls in (recorded.calls, replayed.calls[:-1]):  # the loss, last, is small
        for one, following in itertools.pairwise(calls):
            assert following.input is one.output
            np.testing.assert_array_equal(one.grad_output, following.grad_input)
        assert calls[0].output is not calls[0].input


def test_an_input_that_was_changed_after_it_was_given_is_kept_apart():
    earlier = np.array([1.0, 2.0])
    same = np.array([1.0, 2.0])
    assert copy_once(same, earlier) is earlier
    same[0] = 5.0
    assert copy_once(same, earlier).tolist() == [5.0, 2.0]
    assert copy_once(same, None) is not same
    assert copy_once(earlier.astype(np.float32), earlier).dtype == np.float32
    nan = np.array([np.nan])
    np.testing.assert_array_equal(copy_once(nan, nan.copy()), nan)


@pytest.mark.parametrize("shift", [40.0, -40.0, -750.0])
def test_probabilities_of_exactly_0_and_1_are_certified(shift):
    """Noise must not lift a probability above 1: the loss would refuse it."""

    def net(nn):
        return nn.Sequential(nn.Linear(SIZES[0], 1), nn.Sigmoid())

    model_spec = ModelSpec(net, loss="BCELoss", settings={"lr": 0.1})
    backend = NumpyBackend(model_spec, "float32", 0)
    backend.model.get_submodule("0").bias.data[:] = shift
    random = np.random.default_rng(0)
    inputs = random.standard_normal((16, SIZES[0])).astype(np.float32)
    targets = random.integers(0, 2, (16, 1)).astype(np.float32)
    recorded = backend.record_step((inputs, targets))
    comparisons, _ = certify(recorded, References.build(model_spec), seed=0)
    assert first_failure(comparisons) is None


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (1, 2, 3, 0), (1, 0, 3, 2)])
def test_arrays_lie_rows_first_whatever_they_were(axes):
    values = np.arange(3 * 4 * 5 * 30.0).reshape(3, 4, 5, 30)
    array = np.ascontiguousarray(values.transpose(axes)).transpose(np.argsort(axes))
    found = rows_first(array)
    assert found.flags.c_contiguous
    assert (found == values).all()
    many = np.arange(1000.0).reshape(500, 2).T  # more columns than are transposed at once
    assert (rows_first(many) == many).all()
