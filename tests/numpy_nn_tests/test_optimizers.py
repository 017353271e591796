"""Every public optimizer against PyTorch over 20 steps, from one table."""

import copy
import inspect
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_nn
import torch_nn
from numpy_nn import optim
from numpy_nn._kernels.flat_parameters import CHUNK
from numpy_nn.optim import SGD, Adam, Optimizer

pytestmark = pytest.mark.parity

STEPS = 20
# One larger than a piece of the update, so that pieces of one and of several parameters occur.
LARGE = [(3, 4), (), (5,), (2, CHUNK // 2 + 7), (7,), (0, 3), (2, 3, 4)]
SHAPES = [(3, 4), (), (5,), (2, 9), (7,), (0, 3), (2, 3, 4)]
CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "maximize": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.0)}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adam", {"lr": 0.0}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.3}),
    ("AdamW", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.0}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.3, "eps": 0.1}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.5, "eps": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "centered": True}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.3, "centered": True, "momentum": 0.5}),
    ("RMSprop", {"lr": 0.1, "centered": True, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.5, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", {"lr": 0.5, "rho": 0.5, "eps": 0.1}),
    ("Adadelta", {"lr": 0.5, "weight_decay": 0.1, "maximize": True}),
    ("Adadelta", {"rho": 1.0}),
    ("Adamax", {}),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.1}),
    ("Adamax", {"lr": 0.1, "betas": (0, 0), "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "maximize": True, "momentum_decay": 0}),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Rprop", {}),
    ("Rprop", {"lr": 0.1, "etas": (0.3, 2.0), "step_sizes": (0.05, 0.4)}),
    ("Rprop", {"lr": 0.1, "maximize": True}),
]
# What a state holds beside arrays: PyTorch has tensors of one float32 there.
NUMBERS = ("step", "mu_product")
# Of each class the first case, and that with the most settings.
TWO_OF_EACH = [
    chosen
    for name in {name for name, _ in CASES}
    for own in [[case for case in CASES if case[0] == name]]
    for chosen in (own[0], max(own, key=lambda case: len(case[1])))
]
IDS = [f"{name} {settings}" for name, settings in CASES]


class Backends:
    """The same parameters on both backends, and the same random gradients."""

    def __init__(self, dtype: str = "float64", shapes: Any = SHAPES) -> None:
        self.rng = np.random.default_rng(0)
        values = [np.asarray(self.rng.normal(size=s)).astype(dtype) for s in shapes]
        self.numpy = [numpy_nn.Parameter(v.copy()) for v in values]
        self.torch = [torch.nn.Parameter(torch.from_numpy(v.copy())) for v in values]

    def draw_gradients(self, without: Any = ()) -> None:
        for number, (p, q) in enumerate(zip(self.numpy, self.torch, strict=True)):
            gradient = np.asarray(self.rng.normal(size=p.shape)).astype(p.dtype)
            p.grad = None if number in without else gradient
            q.grad = None if number in without else torch.from_numpy(gradient.copy())

    def compare(self, close: Any) -> None:
        for number, (p, q) in enumerate(zip(self.numpy, self.torch, strict=True)):
            close(p.data, q.detach().numpy(), "optimizer", f"parameter {number}")

    def compare_state(self, optimizer: Optimizer, reference: torch.optim.Optimizer, close: Any):
        ours, theirs = optimizer.state_dict(), reference.state_dict()
        assert ours["param_groups"] == theirs["param_groups"]
        assert list(ours["state"]) == list(theirs["state"])
        for number, expected in theirs["state"].items():
            state = ours["state"][number]
            assert set(state) == set(expected)
            for name, value in expected.items():
                if name in NUMBERS:
                    assert state[name] == value.item()
                else:
                    close(state[name], value.numpy(), "optimizer", f"{name} of {number}")


def make(backends: Backends, name: str, settings: dict[str, Any]) -> tuple[Any, Any]:
    return (
        getattr(numpy_nn.optim, name)(backends.numpy, **settings),
        getattr(torch_nn.optim, name)(backends.torch, **settings),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_equals_torch(name: str, settings: dict[str, Any], dtype: str, close: Any) -> None:
    # How values are cut into pieces does not depend on the settings.
    backends = Backends(dtype, LARGE if (name, settings) in TWO_OF_EACH else SHAPES)
    optimizer, reference = make(backends, name, settings)
    # A wrong dtype shows at once; what only adds up shows in float64.
    for _ in range(STEPS if dtype == "float64" else 5):
        backends.draw_gradients()
        gradients = [p.grad.copy() for p in backends.numpy]  # type: ignore[union-attr]
        optimizer.step()
        reference.step()
        for parameter, gradient in zip(backends.numpy, gradients, strict=True):
            assert parameter.grad is not None
            assert (parameter.grad == gradient).all(), "the gradient was modified"
    backends.compare(close)
    backends.compare_state(optimizer, reference, close)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_parameters_without_a_gradient_are_skipped(
    name: str, settings: dict[str, Any], close: Any
) -> None:
    """Neither they nor their state move, and their own count of steps stays behind."""
    backends = Backends()
    optimizer, reference = make(backends, name, settings)
    for without in [(0,), (), (1, 3), (2, 3, 4), (0, 1, 2, 3, 4, 5, 6), (6,), (), (0, 2, 4, 6)]:
        backends.draw_gradients(without)
        optimizer.step()
        reference.step()
        backends.compare(close)
    ours = optimizer.state_dict()["state"]
    for number, expected in reference.state_dict()["state"].items():
        if "step" in expected:
            assert ours[number]["step"] == expected["step"].item()


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_arrays_put_in_place_of_data_are_taken_over(
    name: str, settings: dict[str, Any], close: Any
) -> None:
    backends = Backends()
    optimizer, reference = make(backends, name, settings)
    for step in range(6):
        if step in (1, 3):
            for p, q in zip(backends.numpy[step:], backends.torch[step:], strict=True):
                value = np.asarray(backends.rng.normal(size=p.shape))
                p.data = np.asfortranarray(value).reshape(value.shape)
                q.data = torch.from_numpy(value.copy())
        backends.draw_gradients()
        optimizer.step()
        reference.step()
        backends.compare(close)


def test_an_array_of_another_shape_or_dtype_is_refused() -> None:
    for data in (np.zeros(4), np.zeros(3, np.float32)):
        p = numpy_nn.Parameter(np.zeros(3))
        optimizer = SGD([p])
        p.data = data
        p.grad = np.zeros_like(data)
        with pytest.raises(ValueError, match=r"\(3,\) float64 .* and is now"):
            optimizer.step()


def test_state_written_by_hand_is_taken_over(close: Any) -> None:
    backends = Backends(shapes=[(3,), (4,)])
    optimizer, reference = make(backends, "Adam", {"lr": 0.1})
    for _ in range(3):
        backends.draw_gradients()
        optimizer.step()
        reference.step()
        value = backends.rng.random(4)
        optimizer.state[backends.numpy[1]]["exp_avg_sq"] = value
        reference.state[backends.torch[1]]["exp_avg_sq"] = torch.from_numpy(value.copy())
    backends.compare(close)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_groups_with_settings_of_their_own(name: str, settings: dict[str, Any], close: Any) -> None:
    backends = Backends()

    def groups(params: list[Any]) -> list[dict[str, Any]]:
        return [{"params": params[:3], "lr": 0.01}, {"params": params[3]}]

    optimizer = getattr(numpy_nn.optim, name)(groups(backends.numpy), **settings)
    reference = getattr(torch_nn.optim, name)(groups(backends.torch), **settings)
    other = {"weight_decay": 0.2} if name != "Rprop" else {"etas": (0.4, 1.5)}
    optimizer.add_param_group({"params": backends.numpy[4:], **other})
    reference.add_param_group({"params": backends.torch[4:], **other})
    for step in range(STEPS):
        for backend in (optimizer, reference):  # as a scheduler does
            backend.param_groups[1]["lr"] = 0.1 / (step + 1)
        backends.draw_gradients()
        optimizer.step()
        reference.step()
    backends.compare(close)
    backends.compare_state(optimizer, reference, close)
    assert repr(optimizer) == repr(reference)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_parameters_of_two_dtypes(name: str, settings: dict[str, Any], close: Any) -> None:
    backends = Backends()
    for number in (0, 3, 4):
        backends.numpy[number].data = backends.numpy[number].data.astype(np.float32)
        backends.torch[number].data = backends.torch[number].data.float()
    optimizer, reference = make(backends, name, settings)
    for _ in range(STEPS):
        backends.draw_gradients()
        optimizer.step()
        reference.step()
    backends.compare(close)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
def test_state_goes_to_torch_and_back(name: str, settings: dict[str, Any], close: Any) -> None:
    """Five steps; each backend goes on from the other's state for five more."""
    backends = Backends()
    optimizer, reference = make(backends, name, settings)
    for _ in range(5):
        backends.draw_gradients(without=(2,))
        optimizer.step()
        reference.step()
    ours, theirs = optimizer.state_dict(), reference.state_dict()
    as_tensors = {
        number: {
            key: torch.tensor(value, dtype=torch.float32)
            if key in NUMBERS
            else torch.from_numpy(value.copy())
            for key, value in state.items()
        }
        for number, state in ours["state"].items()
    }
    optimizer, reference = make(backends, name, {"lr": 7.0})
    optimizer.load_state_dict(theirs)
    reference.load_state_dict({**ours, "state": as_tensors})
    for _ in range(5):
        backends.draw_gradients()
        optimizer.step()
        reference.step()
    backends.compare(close)
    backends.compare_state(optimizer, reference, close)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=IDS)
@pytest.mark.parametrize("how", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_copies_train_on_alone(name: str, settings: dict[str, Any], how: Any) -> None:
    backends = Backends(shapes=[(3, 4), (5,)])
    optimizer, _ = make(backends, name, {**settings, "lr": 0.1})
    backends.draw_gradients()
    optimizer.step()
    copied_params, copied = how((backends.numpy, optimizer))
    before = [p.data.copy() for p in backends.numpy]
    copied.step()
    assert all((p.data == b).all() for p, b in zip(backends.numpy, before, strict=True))
    optimizer.step()
    for p, c in zip(backends.numpy, copied_params, strict=True):
        assert (p.data == c.data).all()
        assert (p.data != before[0]).any() if p.shape == before[0].shape else True


def test_parameters_lie_in_one_array() -> None:
    backends = Backends()
    values = [p.data.copy() for p in backends.numpy]
    SGD(backends.numpy)
    bases = {id(p.data.base) for p in backends.numpy if p.numel()}
    assert len(bases) == 1
    for parameter, value in zip(backends.numpy, values, strict=True):
        assert (parameter.data == value).all()


def test_two_optimizers_of_the_same_parameter(close: Any) -> None:
    backends = Backends(shapes=[(3,)])
    pairs = [make(backends, "SGD", {"lr": 0.1}), make(backends, "Adam", {"lr": 0.1})]
    for _ in range(3):
        for pair in pairs:
            backends.draw_gradients()
            for backend in pair:
                backend.step()
    backends.compare(close)


def test_zero_grad() -> None:
    p = numpy_nn.Parameter(np.zeros(2))
    optimizer = SGD([p])
    p.grad = np.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert (p.grad == 0).all()
    optimizer.zero_grad()
    assert p.grad is None
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is None


def test_closure() -> None:
    p = numpy_nn.Parameter(np.ones(1))
    optimizer = SGD([p], lr=0.5)

    def closure() -> float:
        p.grad = p.data.copy()
        return float(p.data[0] ** 2 / 2)

    assert optimizer.step(closure) == 0.5
    assert p.data == [0.5]
    assert optimizer.step() is None


def test_names_of_parameters_are_kept() -> None:
    named = [("weight", numpy_nn.Parameter(np.ones(1))), ("bias", numpy_nn.Parameter(np.ones(2)))]
    group = SGD(named).state_dict()["param_groups"][0]
    assert group["param_names"] == ["weight", "bias"]
    assert group["params"] == [0, 1]


P = numpy_nn.Parameter(np.zeros(2))
Q = numpy_nn.Parameter(np.zeros(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD([]), "empty parameter list"),
        (lambda: SGD(P), "iterable"),
        (lambda: SGD([np.zeros(2)]), "takes Parameters.*ndarray"),
        (lambda: SGD([{"params": {P}}]), "a set"),
        (lambda: SGD([P, P]), "more than once"),
        (lambda: SGD([{"params": [P]}, {"params": P}]), "more than once"),
        (lambda: SGD([{"params": [P], "learning_rate": 1}]), "learning_rate"),
        (lambda: SGD([{"params": [P]}, [Q]]), "must be a dict"),
        (lambda: SGD([("a", P), Q]), "all parameters have names"),
        (lambda: SGD([{"params": [("a", P)]}, {"params": Q}]), "all groups"),
        (lambda: SGD([P], lr=-1), "Invalid learning rate: -1"),
        (lambda: SGD([P], lr=float("nan")), "Invalid learning rate"),
        (lambda: SGD([P], momentum=-1), "Invalid momentum"),
        (lambda: SGD([P], weight_decay=-1), "Invalid weight_decay"),
        (lambda: SGD([P], nesterov=True), "Nesterov"),
        (lambda: SGD([P], momentum=0.9, dampening=0.1, nesterov=True), "Nesterov"),
        (lambda: SGD([{"params": P, "lr": -2}]), "Invalid learning rate: -2"),
        (lambda: SGD([P], foreach=True), "foreach"),
        (lambda: SGD([P], fused=True), "fused"),
        (lambda: SGD([P], differentiable=True), "differentiable"),
        (lambda: Adam([P], capturable=True), "capturable"),
        (lambda: Adam([{"params": P, "fused": True}]), "fused"),
        (lambda: Adam([P], lr=-1), "Invalid learning rate"),
        (lambda: Adam([P], eps=-1), "Invalid epsilon"),
        (lambda: Adam([P], betas=(1.0, 0.9)), "index 0: 1.0"),
        (lambda: Adam([P], betas=(0.9, 1)), "index 1: 1"),
        (lambda: Adam([P], weight_decay=-1), "Invalid weight_decay"),
        (lambda: optim.Adagrad([P], lr_decay=-1), "Invalid lr_decay value: -1"),
        (lambda: optim.Adagrad([P], initial_accumulator_value=-1), "Invalid initial_acc.*: -1"),
        (lambda: optim.Adagrad([P], eps=-1), "Invalid epsilon value: -1"),
        (lambda: optim.RMSprop([P], alpha=-1), "Invalid alpha value: -1"),
        (lambda: optim.RMSprop([P], momentum=-1), "Invalid momentum value: -1"),
        (lambda: optim.Adadelta([P], rho=1.5), "Invalid rho value: 1.5"),
        (lambda: optim.Adamax([P], betas=(0.9, 1.0)), "index 1: 1.0"),
        (lambda: optim.NAdam([P], momentum_decay=-1), "Invalid momentum_decay value: -1"),
        (lambda: optim.RAdam([P], betas=(-0.1, 0.9)), "index 0: -0.1"),
        (lambda: optim.Rprop([P], etas=(0.5, 0.9)), "Invalid eta values: 0.5, 0.9"),
        (lambda: optim.Rprop([P], lr=-1), "Invalid learning rate: -1"),
        *(
            (lambda make=make: make([P], foreach=True), "foreach=True is not supported")
            for make in (optim.AdamW, optim.Adagrad, optim.RMSprop, optim.Adadelta, optim.Adamax)
        ),
        *(
            (lambda make=make: make([P], capturable=True), "capturable=True is not supported")
            for make in (optim.NAdam, optim.RAdam, optim.Rprop)
        ),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


# What PyTorch refuses of each argument.
REFUSED = {
    "betas": [(-0.1, 0.9), (1.0, 0.9), (0.9, -0.1), (0.9, 1.0)],
    "rho": [-0.1, 1.1],
    "etas": [(0.0, 1.2), (1.0, 1.2), (0.5, 1.0)],
}
NOT_NEGATIVE = (
    "lr", "eps", "weight_decay", "momentum", "alpha", "lr_decay", "initial_accumulator_value",
    "momentum_decay",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_each_argument_is_refused_in_torchs_words(name: str) -> None:
    ours, theirs = getattr(optim, name), getattr(torch_nn.optim, name)
    refused = 0
    for argument in inspect.signature(ours).parameters:
        values = [-1.0] if argument in NOT_NEGATIVE else REFUSED.get(argument, [])
        for value in values:
            with pytest.raises(ValueError, match="Invalid") as expected:
                theirs([torch.nn.Parameter(torch.zeros(2))], **{argument: value})
            with pytest.raises(ValueError, match="Invalid") as raised:
                ours([P], **{argument: value})
            assert str(raised.value) == str(expected.value)
            refused += 1
        if argument in ("foreach", "capturable", "differentiable", "fused"):
            with pytest.raises(ValueError, match=f"{argument}=True is not supported"):
                ours([P], **{argument: True})
    assert refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["param_groups"].append(s["param_groups"][0]), "number of parameter groups"),
        (lambda s: s["param_groups"][0].update(params=[0]), "group 0 has 1, not 2"),
        (lambda s: s["state"][0].pop("exp_avg"), "parameter 0 should hold"),
        (lambda s: s["state"][1].update(momentum_buffer=np.zeros(2)), "momentum_buffer"),
        (lambda s: s["state"][1].update(exp_avg=np.zeros(3)), r"\(2,\).*Received: \(3,\)"),
        (lambda s: s["param_groups"][0].update(fused=True), "fused"),
    ],
)
def test_state_that_does_not_fit_is_refused(change: Any, message: str) -> None:
    p, q = numpy_nn.Parameter(np.zeros(2)), numpy_nn.Parameter(np.zeros(2))
    optimizer = Adam([p, q])
    p.grad, q.grad = np.ones(2), np.ones(2)
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    change(state)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    assert repr(optimizer.state_dict()) == repr(before)


ARGUMENTS = {
    "lr": st.sampled_from([0.0, 1e-3, 0.1, 1.0]),
    "momentum": st.sampled_from([0, 0.5, 0.99, 1.5]),
    "dampening": st.sampled_from([0, 0.3, 1.0]),
    "weight_decay": st.sampled_from([0, 1e-3, 0.5]),
    "nesterov": st.booleans(),
    "maximize": st.booleans(),
    "amsgrad": st.booleans(),
    "centered": st.booleans(),
    "decoupled_weight_decay": st.booleans(),
    "betas": st.tuples(
        st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.99]), st.sampled_from([0.0, 0.4, 0.9, 0.999])
    ),
    "eps": st.sampled_from([0, 1e-10, 1e-4, 0.3]),
    "lr_decay": st.sampled_from([0, 0.1]),
    "initial_accumulator_value": st.sampled_from([0, 0.7]),
    # Not 0: centered it would divide by the rounding of g² − g².
    "alpha": st.sampled_from([0.2, 0.7, 0.99]),
    "rho": st.sampled_from([0.0, 0.4, 0.95, 1.0]),
    "momentum_decay": st.sampled_from([0, 4e-3, 0.5]),
    "etas": st.tuples(st.sampled_from([0.1, 0.9]), st.sampled_from([1.1, 3.0])),
    "step_sizes": st.tuples(st.sampled_from([0, 1e-3, 0.09]), st.sampled_from([0.11, 2.0])),
}


@settings(max_examples=100, deadline=None)
@given(data=st.data(), name=st.sampled_from(sorted({name for name, _ in CASES})))
def test_any_settings(data: Any, name: str) -> None:
    """Also those that a case above does not combine, changed between the steps, and infinite
    and NaN where PyTorch has them: a step without a gradient and an ε is 0 / 0."""
    arguments = inspect.signature(getattr(optim, name)).parameters
    names = [n for n in ARGUMENTS if n in arguments]
    chosen = data.draw(st.fixed_dictionaries({}, optional={n: ARGUMENTS[n] for n in names}))
    if chosen.get("nesterov"):
        chosen |= {"momentum": chosen.get("momentum") or 0.5, "dampening": 0}
    backends = Backends(shapes=[(3,), (2, 2), ()])
    optimizer, reference = make(backends, name, chosen)
    fixed = {"nesterov", "momentum", "amsgrad", "centered"}  # others may change as one goes along
    for step in range(8):
        backends.draw_gradients(without=data.draw(st.sampled_from([(), (0,), (1, 2)])))
        if step == 4 and backends.numpy[0].grad is not None:
            backends.numpy[0].grad[:] = 0
            backends.torch[0].grad.zero_()  # type: ignore[union-attr]
        change = data.draw(st.sampled_from([n for n in names if n not in fixed]))
        value = data.draw(ARGUMENTS[change])
        if change != "dampening" or not optimizer.param_groups[0]["nesterov"]:
            optimizer.param_groups[0][change] = reference.param_groups[0][change] = value
        optimizer.step()
        reference.step()
    for p, q in zip(backends.numpy, backends.torch, strict=True):
        expected = q.detach().numpy()
        np.testing.assert_allclose(p.data, expected, rtol=1e-11, atol=1e-12)


def test_the_sum_of_adagrad_is_there_from_the_start() -> None:
    backends = Backends(shapes=[(2,), (3,)])
    for backend, parameters in (("numpy", backends.numpy), ("torch", backends.torch)):
        namespace = numpy_nn if backend == "numpy" else torch_nn
        optimizer = namespace.optim.Adagrad(parameters, initial_accumulator_value=0.5)
        state = optimizer.state_dict()["state"]
        assert [float(state[i]["step"]) for i in (0, 1)] == [0.0, 0.0]
        assert [state[i]["sum"].tolist() for i in (0, 1)] == [[0.5] * 2, [0.5] * 3]


def test_the_sum_of_adagrad_starts_at_the_constructors_value() -> None:
    """In every group, whatever the group says, as in PyTorch."""
    backends = Backends(shapes=[(2,), (3,), (4,)])
    for namespace, (p, q, r) in ((numpy_nn, backends.numpy), (torch_nn, backends.torch)):
        groups = [{"params": p}, {"params": q, "initial_accumulator_value": 9.0}]
        optimizer = namespace.optim.Adagrad(groups, initial_accumulator_value=0.5)
        optimizer.add_param_group({"params": r, "initial_accumulator_value": 9.0})
        assert r not in optimizer.state
        backends.draw_gradients()
        r.grad = r.grad * 0
        optimizer.step()
        assert optimizer.state[r]["sum"].tolist() == [0.5] * 4
        assert all((optimizer.state[x]["sum"] < 9.0).all() for x in (p, q))


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_infinite_gradients_and_nan(name: str) -> None:
    """They go where they go in PyTorch, and nobody is warned."""
    backends = Backends(shapes=[(6,)])
    optimizer, reference = make(backends, name, {"lr": 0.1})
    for gradient in ([1, np.nan, np.inf, -np.inf, 0, 1e200], [1, 1, 1, np.nan, 0, 3e200]):
        backends.numpy[0].grad = np.array(gradient, float)
        backends.torch[0].grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        reference.step()
        np.testing.assert_allclose(
            backends.numpy[0].data, backends.torch[0].detach().numpy(), rtol=1e-12
        )


def test_adamw_goes_on_from_adam() -> None:
    """The weight decay is decoupled then, as it is in PyTorch."""
    backends = Backends(shapes=[(2,)])
    optimizer, reference = make(backends, "Adam", {"weight_decay": 0.1})
    after = make(backends, "AdamW", {})
    for backend, following in zip((optimizer, reference), after, strict=True):
        following.load_state_dict(backend.state_dict())
        group = following.param_groups[0]
        assert (group["weight_decay"], group["decoupled_weight_decay"]) == (0.1, True)


def test_the_product_of_nadam_has_torchs_precision() -> None:
    """float32 at first, and the parameters' dtype after loading."""
    backends = Backends(shapes=[(2,)])
    optimizer, reference = make(backends, "NAdam", {})
    for number, dtype in enumerate((np.float32, np.float64)):
        backends.draw_gradients()
        optimizer.step()
        reference.step()
        product = optimizer.state[backends.numpy[0]]["mu_product"]
        expected = reference.state[backends.torch[0]]["mu_product"].numpy()
        assert product.dtype == expected.dtype == dtype
        assert product == expected
        if number == 0:
            optimizer.load_state_dict(optimizer.state_dict())
            reference.load_state_dict(reference.state_dict())


def test_every_public_optimizer_has_a_case() -> None:
    classes = {n for n in numpy_nn.optim.__all__ if isinstance(getattr(optim, n), type)}
    assert classes - {"Optimizer"} == {name for name, _ in CASES}
