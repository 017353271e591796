"""Where two backends part most quickly, why, and what of the distance is handed down."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from compare.backends import State
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.records.tables import APART
from compare.spec.model import model_spec
from compare.training.drift import (
    Distance,
    _distance,
    _on_the_same_side,
    distance_parts,
    first_step,
    parts_of,
)
from compare.training.lockstep import printed_modules

ROWS = 40


class ReLU:
    """A module that calls its hooks."""

    def __init__(self):
        self.hooks = {}

    def register_forward_pre_hook(self, hook):
        number = len(self.hooks)
        self.hooks[number] = hook
        return SimpleNamespace(remove=lambda: self.hooks.pop(number))


class Counting:
    """A backend whose weights part by 10⁻⁸ a step, and by 10⁻³ at step 13.

    There one input of an activation lies on the other side than in the other backend.
    """

    def __init__(self, name, sign):
        self.name, self.sign, self.relu = name, sign, ReLU()
        self.values = np.ones(4)
        self.model = SimpleNamespace(named_modules=lambda: [("", self), ("2", self.relu)])

    def weights(self):
        return self.values

    def state(self):
        return self.values.copy()

    def load(self, state):
        self.values = state.copy()

    def batch(self, rows, indices):
        return rows[indices]

    def train_step(self, batch):
        jumps = 13 in batch
        for hook in self.relu.hooks.values():
            hook(self.relu, (np.array([1.0, self.sign * 1e-9 if jumps else 2.0, -1.0]),))
        if self.name == "numpy":
            self.values = self.values + (1e-3 if jumps else 1e-8)


def counted(steps=40, replays=True, most=np.inf):
    distance = Distance(steps, 4, replays, lambda step: (step + 1) % 4 == 0)
    backends = Counting("numpy", -1), Counting("torch", 1)
    held = {backend.name: {"train": np.arange(steps)} for backend in backends}
    rows = []
    for step in range(steps):
        for backend in backends:
            backend.train_step([step])
        rows += distance.follow("SGD", 3, [(step, np.array([step]))], *backends)
    made = distance.explain(*backends, held, most)
    assert made == (0 if distance.growth is None else distance.growth.replayed)
    return rows, distance.growth, backends


def test_the_step_at_which_the_distance_grows_most_is_found():
    rows, growth, backends = counted()
    assert [row.step for row in rows] == list(range(4, 41, 4))
    assert {row.run for row in rows} == {APART}
    assert (growth.first, growth.last, growth.replayed, growth.step) == (12, 16, 4, 13)
    assert growth.before == pytest.approx(12e-8)
    assert growth.after == pytest.approx(1e-3, rel=1e-3)
    assert growth.step_before == pytest.approx(13e-8)
    assert (growth.sides, growth.inputs, growth.elsewhere, growth.module) == (1, 3, 0, "2")
    assert (growth.numpy, growth.torch) == (-1e-9, 1e-9)
    assert not any(backend.relu.hooks for backend in backends)


def test_what_draws_random_numbers_is_not_made_once_more():
    _, growth, _ = counted(replays=False)
    assert (growth.first, growth.last) == (12, 16)
    assert (growth.replayed, growth.step) == (0, None)


@pytest.mark.parametrize(("most", "made"), [(3, 0), (4, 4)])
def test_what_costs_too_much_is_not_made_once_more(most, made):
    _, growth, _ = counted(most=most)
    assert (growth.first, growth.last) == (12, 16)
    assert (growth.replayed, growth.too_dear) == (made, made == 0)


def test_steady_growth_is_no_place():
    _, growth, _ = counted(steps=12)
    assert growth is None


def test_parts_of_a_network(tiny):
    spec = model_spec(tiny(), "SGD")
    numpy, torch = NumpyBackend(spec, "float32", 0), TorchBackend(spec, "float32", 0)
    modules = printed_modules(numpy.model)
    names = list(numpy.state().model)
    parts = parts_of(names, modules)
    assert sorted(n for p in parts.values() for n in p) == sorted(
        n for n in names if not n.endswith("num_batches_tracked")
    )
    assert parts["biases before a batch normalisation"] == ["0.bias"]
    state = numpy.state()
    state.model["0.bias"] = state.model["0.bias"] + np.float32(0.5)
    numpy.load(state)
    random = np.random.default_rng(0)
    data = random.random((ROWS, 784), np.float32), random.integers(0, 10, ROWS)
    test = {backend.name: backend.rows(*data) for backend in (numpy, torch)}
    found = {p.name: p for p in distance_parts(numpy, torch, modules, test, None)}
    assert found["biases before a batch normalisation"].share == 1.0
    whole = numpy.evaluate(test["numpy"]).loss - torch.evaluate(test["torch"]).loss
    assert abs(found["nothing"].loss_difference) > 1e-4
    torch.load(TorchBackend(spec, "float32", 0).state())
    assert found["weights"].loss_difference == pytest.approx(found["nothing"].loss_difference)
    assert abs(found["biases before a batch normalisation"].loss_difference) < 1e-6
    assert whole != 0


def test_the_part_that_the_first_step_moves_most(tiny):
    spec = model_spec(tiny(), "Adam")
    numpy, reference = NumpyBackend(spec, "float32", 0), TorchBackend(spec, "float64", 0)
    modules = printed_modules(numpy.model)
    alike = first_step(numpy, reference, modules)
    assert alike.distance < 2.0**-24
    random = np.random.default_rng(0)
    data = random.random((ROWS, 784), np.float32), random.integers(0, 10, ROWS)
    for backend in (numpy, reference):
        backend.train_step(backend.batch(backend.rows(*data), np.arange(ROWS)))
    found = first_step(numpy, reference, modules)
    assert found.part == "biases before a batch normalisation"
    assert found.share > 0.99
    assert found.distance > 10 * alike.distance
    apart = np.linalg.norm(numpy.weights() - reference.weights())
    assert found.distance == pytest.approx(apart / np.linalg.norm(reference.weights()))


def handed_over(steps, most=np.inf, replays=True):
    distance = Distance(steps, 4, replays, lambda step: (step + 1) % 4 == 0)
    backends = Counting("numpy", -1), Counting("torch", 1)
    held = {backend.name: {"train": np.arange(steps)} for backend in backends}
    for step in range(steps):
        for backend in backends:
            backend.train_step([step])
        distance.follow("SGD", 3, [(step, np.array([step]))], *backends)
    return distance.hand_over(*backends, held, most)


def test_the_last_steps_once_more_from_the_state_of_numpy():
    """NumPy's steps alone move its weights: what PyTorch makes of its state stays where it was."""
    found = handed_over(40)
    assert (found.first, found.last, found.inputs) == (36, 40, 3)
    assert found.before == pytest.approx(1e-3 + 35e-8, rel=1e-9)
    assert found.after == pytest.approx(1e-3 + 39e-8, rel=1e-9)
    assert found.handed == pytest.approx(4e-8 / (1 + 1e-3 + 35e-8), rel=1e-6)
    assert (found.fewest, found.most) == (0, 0)


def test_the_sides_of_the_last_steps_are_counted():
    found = handed_over(16)
    assert (found.first, found.last, found.fewest, found.most) == (12, 16, 0, 1)
    assert found.handed == pytest.approx((1e-3 + 3e-8) / (1 + 12e-8), rel=1e-9)


@pytest.mark.parametrize("arguments", [{"most": 3}, {"replays": False}])
def test_nothing_is_handed_over_that_costs_too_much_or_cannot_be_made_again(arguments):
    assert handed_over(40, **arguments) is None


def test_pytorch_makes_the_same_of_the_state_of_numpy(tiny):
    """From one state the two make the same steps to rounding, though they are far apart."""
    spec = model_spec(tiny("optimizers.SGD.lr=0.1"), "SGD")
    backends = NumpyBackend(spec, "float32", 3), TorchBackend(spec, "float32", 4)
    random = np.random.default_rng(0)
    data = random.random((ROWS, 784), np.float32), random.integers(0, 10, ROWS)
    held = {backend.name: {"train": backend.rows(*data)} for backend in backends}
    distance = Distance(6, 10, True, lambda step: (step + 1) % 3 == 0)
    for step in range(6):
        indices = random.permutation(ROWS)[:10]
        for backend in backends:
            backend.train_step(backend.batch(held[backend.name]["train"], indices))
        distance.follow("SGD", 3, [(step, indices)], *backends)
    apart = distance._last[1]
    found = distance.hand_over(*backends, held, 3)
    assert found.after == apart > 0.1
    assert found.handed < 1e-6
    assert 0 < found.fewest <= found.most < found.inputs


def opened(steps=16, most=np.inf, replays=True):
    distance = Distance(steps, 4, replays, lambda step: (step + 1) % 15 == 0)
    backends = Counting("numpy", -1), Counting("torch", 1)
    distance.begin(*backends)
    held = {backend.name: {"train": np.arange(steps)} for backend in backends}
    for step in range(steps):
        for backend in backends:
            backend.train_step([step])
        distance.follow("SGD", 3, [(step, np.array([step]))], *backends)
    return distance.open(*backends, held, {}, most)


def test_the_first_step_with_an_activation_on_two_sides():
    found = opened()
    assert (found.steps, found.step, found.last, found.inputs) == (15, 13, 0, 3)
    found = opened(most=14.5)
    assert (found.steps, found.step, found.last, found.inputs) == (14, 13, 1, 3)
    found = opened(most=13)
    assert (found.steps, found.step, found.last) == (13, None, 0)


@pytest.mark.parametrize("arguments", [{"most": 4.9}, {"replays": False}])
def test_the_first_steps_are_not_made_once_more_for_nothing(arguments):
    assert opened(**arguments) is None


def test_biases_that_a_normalisation_cancels_are_told_from_the_rest(tiny):
    """Adam makes steps of their noise: without them the first steps leave almost no distance."""
    spec = model_spec(tiny(), "Adam")
    numpy, torch = NumpyBackend(spec, "float32", 3), TorchBackend(spec, "float32", 3)
    random = np.random.default_rng(1)
    data = random.random((ROWS, 784), np.float32), random.integers(0, 10, ROWS)
    held = {b.name: {"train": b.rows(*data)} for b in (numpy, torch)}
    modules = {name: str(module) for name, module in torch.model.named_children()}
    distance = Distance(6, 10, True, lambda step: step == 5)
    distance.begin(numpy, torch)
    for step in range(6):
        for backend in (numpy, torch):
            backend.train_step(backend.batch(held[backend.name]["train"], np.arange(10)))
        distance.follow("Adam", 3, [(step, np.arange(10))], numpy, torch)
    ours, theirs = dict(numpy.state().model), dict(torch.state().model)
    trained = [name for name in ours if name.endswith((".weight", ".bias"))]
    apart = {name: np.linalg.norm(np.float64(ours[name]) - theirs[name]) for name in trained}
    size = np.sqrt(sum(np.linalg.norm(np.float64(theirs[name])) ** 2 for name in trained))
    cancelled = apart.pop("0.bias")
    found = distance.open(numpy, torch, held, modules, np.inf)
    rest = np.linalg.norm([*apart.values()])
    assert found.effective == pytest.approx(rest / size, rel=1e-6)
    assert found.after == pytest.approx(np.hypot(rest, cancelled) / size, rel=1e-6)
    assert found.effective < found.after / 10
    assert found.effective_same_side is None or found.effective_same_side <= 2 * found.effective


def test_a_step_on_the_same_side_as_numpy(tiny):
    """PyTorch's input of one activation is moved over its kink: its gradient is another there.

    With NumPy's value there, the step parts the two by no more than that move did.
    """
    spec = model_spec(tiny("optimizers.SGD.lr=0.1"), "SGD")
    numpy, torch = NumpyBackend(spec, "float32", 3), TorchBackend(spec, "float32", 3)
    random = np.random.default_rng(1)
    data = random.random((ROWS, 784), np.float32), random.integers(0, 10, ROWS)
    held = {b.name: {"train": b.rows(*data)} for b in (numpy, torch)}
    indices = np.arange(10)
    step = numpy.record_step(numpy.batch(held["numpy"]["train"], indices), update=False)
    call = next(call for call in step.calls if "ReLU" in call.kind)
    row, channel = np.unravel_index(np.abs(call.input).argmin(), call.input.shape)
    state = step.before
    moved = {name: value.copy() for name, value in state.model.items()}
    moved["1.bias"][channel] -= 1.5 * call.input[row, channel]
    states = state, State(moved)

    apart = []
    for backend, own in zip((numpy, torch), states, strict=True):
        backend.load(own)
    apart.append(_distance(numpy, torch))
    for backend in (numpy, torch):
        backend.train_step(backend.batch(held[backend.name]["train"], indices))
    apart.append(_distance(numpy, torch))
    same = _on_the_same_side(numpy, torch, held, states, [(0, indices)])
    assert apart[1] > 2 * apart[0]
    assert same < apart[0] + 0.2 * (apart[1] - apart[0])
