"""How far the two backends drift apart, and how far right runs do by rounding alone.

Two trainings that are both right drift apart: rounding differs, Adam turns noise into steps, an
activation changes its sign. The distance proves nothing about either; it is drawn beside that of
PyTorch runs which are the same training by construction. Where it grows most, the steps are made
once more, to see at which of them it does and whether an activation lay on two sides there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from compare.analysis.timings import STRETCH
from compare.backends import Backend, State
from compare.backends.protocol import Arrays
from compare.backends.torch_backend import TorchBackend
from compare.parity.sizes import KINKED_AT_ZERO
from compare.records.run import (
    RUNNING,
    TOGETHER,
    WEIGHTS,
    DistancePart,
    FirstStep,
    Growth,
    Handover,
    SidesApart,
)
from compare.records.tables import APART, DriftRow
from compare.spec.model import ModelSpec
from compare.training.schedule import Schedule, scheduler_position, set_scheduler_position


class Replicas:
    """PyTorch runs of the same training: a float64 reference, and some with rows in other order.

    The rows of each batch are the same; their order inside the batch, which only changes the
    order of summation, is reversed in the first replica and random in the others.

    Args:
        model_spec: What to build.
        count: How many replicas; the reference comes on top.
        steps: How many steps they follow; 0 for no replicas at all.
        dtype: The precision of the replicas.
        seed: For the random orders.
        schedule: The schedule of their learning rate.

    Attributes:
        reference: The run in float64; None where there is none.
    """

    def __init__(
        self,
        model_spec: ModelSpec,
        count: int,
        steps: int,
        dtype: str,
        seed: int,
        schedule: Schedule | None = None,
    ) -> None:
        self.steps = steps if count else 0
        self._seed = seed
        self.reference: Backend | None = None
        self._replicas: list[TorchBackend] = []
        if self.steps:
            self.reference = TorchBackend(model_spec, "float64")
            self._replicas = [TorchBackend(model_spec, dtype) for _ in range(count)]
        self._random = [np.random.default_rng([seed, number]) for number in range(count)]
        self._rows: Any = None
        self._schedule = schedule
        self._schedulers: dict[int, Any] = {}

    def start(self, state: State, rows: Any) -> None:
        """Begin from the state of the main run, on its rows."""
        self._rows = rows
        for backend in (self.reference, *self._replicas):
            if backend is not None:
                backend.load(state)
                if self._schedule is not None:
                    self._schedulers[id(backend)] = self._schedule.scheduler(backend)

    def snapshot(self, step: int) -> dict[str, Any] | None:
        """What :meth:`restore` needs after so many steps; None when the replicas' are over."""
        if step >= self.steps:
            return None
        assert self.reference is not None
        backends = (self.reference, *self._replicas)
        schedulers = [self._schedulers.get(id(backend)) for backend in backends]
        return {
            "backends": [backend.snapshot() for backend in backends],
            "schedulers": [s if s is None else scheduler_position(s) for s in schedulers],
            "random": [random.bit_generator.state for random in self._random],
        }

    def restore(self, snapshot: dict[str, Any] | None) -> None:
        """Go on from a snapshot, after :meth:`start`."""
        if snapshot is None:
            return
        assert self.reference is not None
        backends = (self.reference, *self._replicas)
        for backend, state, position in zip(
            backends, snapshot["backends"], snapshot["schedulers"], strict=True
        ):
            backend.restore(state)
            if position is not None:
                set_scheduler_position(self._schedulers[id(backend)], position)
        for random, state in zip(self._random, snapshot["random"], strict=True):
            random.bit_generator.state = state

    def _train_step(self, backend: Backend, step: int, indices: np.ndarray) -> None:
        backend.train_step(backend.batch(self._rows, indices))
        if self._schedule is not None and self._schedule.due(step):
            self._schedulers[id(backend)].step()

    def measured(self, step: int) -> bool:
        """Whether the runs are measured after a step: after 1 to 10 steps and each tenth."""
        done = step + 1
        return done <= self.steps and (done <= 10 or done % 10 == 0)

    def follow(
        self,
        label: str,
        steps: Sequence[tuple[int, np.ndarray]],
        masks: Sequence[Arrays],
        numpy: Backend,
        torch: Backend,
    ) -> list[DriftRow]:
        """Make steps on all replicas; measure all runs if they are measured after the last one.

        Args:
            label: The training's label.
            steps: The number of each step and the rows of its batch.
            masks: The masks of dropout of each step.
            numpy: The NumPy backend after the last of them.
            torch: The PyTorch backend.
        """
        if self.reference is None:
            return []
        followed = [
            (step, indices, mask)
            for (step, indices), mask in zip(steps, masks, strict=True)
            if step < self.steps
        ]
        for step, indices, mask in followed:
            self.reference.give_masks(mask)
            self._train_step(self.reference, step, indices)
        for number, replica in enumerate(self._replicas):
            for step, indices, mask in followed:
                places = np.arange(len(indices))
                places = places[::-1] if number == 0 else self._random[number].permutation(places)
                replica.give_masks({name: values[places] for name, values in mask.items()})
                self._train_step(replica, step, indices[places])
        last = steps[-1][0]
        if not self.measured(last):
            return []
        exact = self.reference.weights()
        names = ["rows reversed", *(f"rows shuffled {n}" for n in range(1, len(self._replicas)))]
        runs = {"numpy": numpy, "torch": torch, **dict(zip(names, self._replicas, strict=True))}
        size = np.linalg.norm(exact)
        return [
            DriftRow(
                label, self._seed, last + 1, name, float(np.linalg.norm(b.weights() - exact) / size)
            )
            for name, b in runs.items()
        ]


POINTS, POINTS_OF_LARGE = 100, 20
"""In how many places of a training the distance is measured; fewer of large networks."""

LARGE = 1_000_000
"""Of networks with more parameters no states are kept, and no step is made once more."""

LEAST_GROWTH = 5.0
"""What grows less from one measurement to the next has grown steadily."""

Batches = list[tuple[int, np.ndarray]]
Held = dict[str, Any]


class Distance:
    """How far the weights of NumPy and PyTorch are apart along a training.

    Args:
        steps: How many steps the training has.
        parameters: How many values are trained.
        replays: Whether steps can be made once more: nothing but the batches decides them.
        measured: Whether it is measured after a step; None for some hundred times in all.
    """

    def __init__(
        self,
        steps: int,
        parameters: int,
        replays: bool,
        measured: Callable[[int], bool] | None = None,
    ) -> None:
        points = POINTS if parameters <= LARGE else POINTS_OF_LARGE
        every = max(STRETCH, steps // points)
        self.measured = measured or (lambda step: (step + 1) % every == 0)
        self._replays = replays and parameters <= LARGE
        self._batches: Batches = []
        self._last: tuple[int, float, tuple[State, State] | None] | None = None
        self._window: tuple[tuple[State, State], Batches] | None = None
        self._latest: tuple[tuple[State, State], Batches] | None = None
        self.growth: Growth | None = None

    def snapshot(self) -> dict[str, Any]:
        """What :meth:`restore` needs."""
        last = None
        if self._last is not None:
            step, distance, states = self._last
            last = {"step": step, "distance": distance, "states": _state_trees(states)}
        return {
            "batches": self._batches,
            "last": last,
            "window": _window_tree(self._window),
            "latest": _window_tree(self._latest),
            "growth": None if self.growth is None else self.growth.model_dump_json(),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        growth, last = snapshot["growth"], snapshot["last"]
        self._batches = [(step, indices) for step, indices in snapshot["batches"]]
        self.growth = None if growth is None else Growth.model_validate_json(growth)
        self._last = None
        if last is not None:
            self._last = last["step"], last["distance"], _states(last["states"])
        self._window, self._latest = _window(snapshot["window"]), _window(snapshot["latest"])

    def follow(
        self, label: str, seed: int, stretch: Batches, numpy: Backend, torch: Backend
    ) -> list[DriftRow]:
        """Measure after the last of some steps, if it is to be; keep the place of largest growth.

        Args:
            label, seed: The training's.
            stretch: The steps, and the rows of their batches.
            numpy, torch: The backends after them.
        """
        self._batches += stretch
        if not self.measured(stretch[-1][0]):
            return []
        step = stretch[-1][0] + 1
        distance = _distance(numpy, torch)
        if self._last is not None:
            before, smaller, states = self._last
            grown = distance / smaller if smaller > 0 else 0.0
            least = LEAST_GROWTH if self.growth is None else self.growth.factor
            if np.isfinite(grown) and grown > least:
                self.growth = Growth(first=before, last=step, before=smaller, after=distance)
                self._window = None if states is None else (states, self._batches)
            self._latest = None if states is None else (states, self._batches)
        states = (numpy.state(), torch.state()) if self._replays else None
        self._last = step, distance, states
        self._batches = []
        return [DriftRow(label, seed, step, APART, distance)]

    def explain(
        self, numpy: Backend, torch: Backend, held: Held, most: float = float("inf")
    ) -> int:
        """Make the steps of the largest growth once more, and look where activations lie.

        Args:
            numpy, torch: The backends, whose states are lost.
            held: Backend → split → its rows.
            most: More steps than this are not made.

        Returns:
            How many were made.
        """
        if self.growth is None or self._window is None:
            return 0
        states, batches = self._window
        if len(batches) > most:
            self.growth = self.growth.model_copy(update={"too_dear": True})
            return 0
        for backend, state in zip((numpy, torch), states, strict=True):
            backend.load(state)
        before = self.growth.before
        steepest, elsewhere = 0.0, 0
        for step, indices in batches:
            sides = _Sides()
            for backend in (numpy, torch):
                with sides.watching(backend):
                    backend.train_step(backend.batch(held[backend.name]["train"], indices))
            after = _distance(numpy, torch)
            grown = after / before if before > 0 else 0.0
            if grown > steepest:
                if self.growth.step is not None:
                    elsewhere += self.growth.sides
                steepest = grown
                self.growth = self.growth.model_copy(
                    update={
                        "step": step, "step_before": before, "step_after": after, **sides.found(),
                    }
                )  # fmt: skip
            else:
                elsewhere += sides.count
            before = after
        update = {"replayed": len(batches), "elsewhere": elsewhere}
        self.growth = self.growth.model_copy(update=update)
        return len(batches)

    def hand_over(self, numpy: Backend, torch: Backend, held: Held, most: float) -> Handover | None:
        """Make the steps before the last measurement once more, PyTorch from NumPy's state too.

        Both then begin at the same place, and what lies between them at the end is what rounding
        has made in these steps alone.

        Args:
            numpy, torch: The backends, whose states are lost.
            held: Backend → split → its rows.
            most: More steps than this are not made.

        Returns:
            What was found; None where nothing was kept or the steps are too many.
        """
        if self._latest is None or len(self._latest[1]) > most:
            return None
        states, batches = self._latest
        for backend, state in zip((numpy, torch), states, strict=True):
            backend.load(state)
        before = _distance(numpy, torch)
        counts = []
        inputs = 0
        for _, indices in batches:
            sides = _Sides()
            for backend in (numpy, torch):
                with sides.watching(backend):
                    backend.train_step(backend.batch(held[backend.name]["train"], indices))
            inputs = sides.found()["inputs"]
            counts.append(sides.count)
        after = _distance(numpy, torch)
        torch.load(states[0])
        for _, indices in batches:
            torch.train_step(torch.batch(held[torch.name]["train"], indices))
        return Handover(
            first=batches[0][0],
            last=batches[-1][0] + 1,
            before=before,
            after=after,
            handed=_distance(numpy, torch),
            fewest=min(counts),
            most=max(counts),
            inputs=inputs,
        )


def _window_tree(window: tuple[tuple[State, State], Batches] | None) -> dict[str, Any] | None:
    return None if window is None else {"states": _state_trees(window[0]), "batches": window[1]}


def _window(tree: dict[str, Any] | None) -> tuple[tuple[State, State], Batches] | None:
    if tree is None:
        return None
    states = _states(tree["states"])
    assert states is not None
    return states, [(step, indices) for step, indices in tree["batches"]]


def _state_trees(states: tuple[State, State] | None) -> list[dict[str, Any]] | None:
    if states is None:
        return None
    return [{"model": state.model, "optimizer": state.optimizer} for state in states]


def _states(trees: list[dict[str, Any]] | None) -> tuple[State, State] | None:
    if trees is None:
        return None
    numpy, torch = (State(tree["model"], tree["optimizer"]) for tree in trees)
    return numpy, torch


def _distance(numpy: Backend, torch: Backend) -> float:
    """‖θ − θ'‖ / ‖θ'‖ of NumPy's weights from PyTorch's."""
    exact = torch.weights()
    size = float(np.linalg.norm(exact))
    return float(np.linalg.norm(numpy.weights() - exact)) / size if size else 0.0


class _Sides:
    """What goes into the activations with a kink at 0, on both backends in one step."""

    def __init__(self) -> None:
        self._inputs: dict[str, dict[str, list[np.ndarray]]] = {}
        self.count = 0

    @contextmanager
    def watching(self, backend: Backend) -> Iterator[None]:
        """While this lasts, keep what goes into the activations of a backend."""
        kept: dict[str, list[np.ndarray]] = {}
        self._inputs[backend.name] = kept
        removals = []
        for name, module in dict(backend.model.named_modules()).items():  # type: ignore[attr-defined]
            if type(module).__name__ in KINKED_AT_ZERO:

                def keep(_: Any, arguments: Any, name: str = name) -> None:
                    array = arguments[0]
                    array = array.detach().numpy() if hasattr(array, "detach") else array
                    kept.setdefault(name, []).append(np.array(array))

                removals.append(module.register_forward_pre_hook(keep).remove)
        try:
            yield
        finally:
            for remove in removals:
                remove()

    def found(self) -> dict[str, Any]:
        """How many inputs lie on different sides, of how many, and the first of them."""
        first: dict[str, Any] = {"module": "", "numpy": 0.0, "torch": 0.0}
        inputs = 0
        for name, arrays in self._inputs["numpy"].items():
            for x, y in zip(arrays, self._inputs["torch"].get(name, []), strict=False):
                inputs += x.size
                other = np.argwhere((x > 0) != (y > 0))
                if len(other) and not self.count:
                    place = tuple(other[0])
                    first = {"module": name, "numpy": float(x[place]), "torch": float(y[place])}
                self.count += len(other)
        return {"sides": self.count, "inputs": inputs, **first}


def sides_apart(numpy: Backend, torch: Backend, inputs: np.ndarray) -> SidesApart:
    """How many inputs of activations lie on different sides of the kink, on test rows.

    Args:
        numpy, torch: The backends after the training.
        inputs: The rows as the network takes them.
    """
    sides = _Sides()
    for backend in (numpy, torch):
        with sides.watching(backend):
            backend.logits(inputs)
    found = sides.found()
    return SidesApart(sides=found["sides"], inputs=found["inputs"], rows=len(inputs))


# ---- Which part of the networks lies apart

BIASES = "other biases"
CANCELLED = "biases before a batch normalisation"
AFFINE = "scales and shifts of normalisations"
NOTHING = "nothing"
PARTS = (WEIGHTS, CANCELLED, BIASES, AFFINE, RUNNING)


def parts_of(names: Sequence[str], modules: dict[str, str]) -> dict[str, list[str]]:
    """Part → the names of the state that belong to it.

    Args:
        names: Those of the state.
        modules: Name → how it prints itself, in the order of the network.
    """
    leaves = list(modules)
    found: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in names:
        owner, _, own = name.rpartition(".")
        if own == "num_batches_tracked":
            continue
        kind = modules.get(owner, "").partition("(")[0]
        place = leaves.index(owner) if owner in modules else -1
        after = modules[leaves[place + 1]] if 0 <= place < len(leaves) - 1 else ""
        if own.startswith("running_"):
            part = RUNNING
        elif "Norm" in kind:
            part = AFFINE
        elif own == "bias":
            part = CANCELLED if after.startswith("BatchNorm") else BIASES
        else:
            part = WEIGHTS
        found[part].append(name)
    return {part: members for part, members in found.items() if members}


def first_step(numpy: Backend, reference: Backend, modules: dict[str, str]) -> FirstStep:
    """How far NumPy's weights are from the float64 run's after the first step, and where.

    Args:
        numpy, reference: The backends after that step.
        modules: Name → how it prints itself, in the order of the network.
    """
    squares = _squares(numpy.state(), reference.state())
    parts = parts_of(list(squares), modules)
    parts.pop(RUNNING, None)  # they are not trained
    apart = {part: sum(squares[name] for name in members) for part, members in parts.items()}
    largest = max(apart, key=lambda part: apart[part])
    whole = sum(apart.values())
    share = apart[largest] / whole if whole else 0.0
    return FirstStep(distance=_distance(numpy, reference), part=largest, share=share)


def _squares(ours: State, theirs: State) -> dict[str, float]:
    """Name → the squared distance of two backends there."""
    return {
        name: float(np.sum((np.float64(ours.model[name]) - np.float64(theirs.model[name])) ** 2))
        for name in ours.model
    }


def distance_parts(
    numpy: Backend, torch: Backend, modules: dict[str, str], test: Held | None, rows: int | None
) -> list[DistancePart]:
    """What each part has in the distance, and in the difference of the losses on the test rows.

    The first part is ``nothing``, for the difference of the two as they are; the last is weights
    and running statistics together, where there are both.

    Args:
        numpy, torch: The backends after the training; PyTorch's state is lost.
        modules: Name → how it prints itself.
        test: Backend → test rows; None where there are none.
        rows: At most so many are evaluated.
    """
    ours, theirs = numpy.state(), torch.state()
    squares = _squares(ours, theirs)
    loss = None if test is None else numpy.evaluate(test["numpy"], rows).loss
    parts = parts_of(list(ours.model), modules)
    whole = sum(squares[name] for members in parts.values() for name in members)
    found = []
    both = {TOGETHER: parts[WEIGHTS] + parts[RUNNING]} if {WEIGHTS, RUNNING} <= set(parts) else {}
    for part, members in {NOTHING: [], **parts, **both}.items():
        difference = None
        if test is not None and loss is not None:
            mixed = {**theirs.model, **{name: ours.model[name] for name in members}}
            torch.load(State(mixed, theirs.optimizer))
            difference = loss - torch.evaluate(test["torch"], rows).loss
        share = sum(squares[name] for name in members) / whole if whole else 0.0
        found.append(DistancePart(name=part, share=share, loss_difference=difference))
    return found
