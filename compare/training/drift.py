"""How far the two backends drift apart along a training, and why.

Two trainings that are both right drift apart: rounding differs, Adam turns noise into steps, an
activation changes its sign. The distance proves nothing about either. Where it grows most, at the
beginning and near the end, steps are made once more: to see at which of them it grows, whether
activations lay on two sides there, and what PyTorch makes of NumPy's state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from compare.analysis.timings import STRETCH
from compare.backends import Backend, State
from compare.backends.protocol import IMAGES_TOGETHER
from compare.backends.torch_backend import TorchBackend
from compare.parity.sizes import KINKED_AT_ZERO
from compare.records.run import (
    CANCELLED,
    RUNNING,
    TOGETHER,
    WEIGHTS,
    DistancePart,
    FirstStep,
    Growth,
    Handover,
    Opening,
    SidesApart,
)
from compare.records.tables import APART, DriftRow

POINTS, POINTS_OF_LARGE = 100, 20
"""In how many places of a training the distance is measured; fewer of large networks."""

LARGE = 1_000_000
"""Of networks with more parameters no states are kept, and no step is made once more."""

FEWEST_OPENING = 5
"""Fewer of the first steps say little of when activations first lie on two sides."""

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
        self._opening: tuple[tuple[State, State], Batches] | None = None
        self.growth: Growth | None = None

    def begin(self, numpy: Backend, torch: Backend) -> None:
        """Keep the states before the first step, where steps can be made once more."""
        if self._replays:
            self._opening = (numpy.state(), torch.state()), []

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
            "opening": _window_tree(self._opening),
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
        self._opening = _window(snapshot["opening"])

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
        if self._last is None and self._opening is not None:
            self._opening = self._opening[0], [*self._opening[1], *stretch]
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
        steepest_step: tuple[tuple[State, State], np.ndarray] | None = None
        for step, indices in batches:
            begun = numpy.state(), torch.state()
            sides = _Sides()
            for backend in (numpy, torch):
                with sides.watching(backend):
                    backend.train_step(backend.batch(held[backend.name]["train"], indices))
            after = _distance(numpy, torch)
            grown = after / before if before > 0 else 0.0
            if grown > steepest:
                if self.growth.step is not None:
                    elsewhere += self.growth.sides
                steepest, steepest_step = grown, (begun, indices)
                self.growth = self.growth.model_copy(
                    update={
                        "step": step, "step_before": before, "step_after": after, **sides.found(),
                    }
                )  # fmt: skip
            else:
                elsewhere += sides.count
            before = after
        update: dict[str, Any] = {"replayed": len(batches), "elsewhere": elsewhere}
        if steepest_step is not None and self.growth.sides:
            begun, indices = steepest_step
            update["same_side"] = _on_the_same_side(numpy, torch, held, begun, [(0, indices)])
        self.growth = self.growth.model_copy(update=update)
        return len(batches)

    def open(
        self, numpy: Backend, torch: Backend, held: Held, modules: dict[str, str], most: float
    ) -> Opening | None:
        """Make the first steps once more, and look when activations first lie on two sides.

        Args:
            numpy, torch: The backends, whose states are lost.
            held: Backend → split → its rows.
            modules: Name → how it prints itself, in the order of the network.
            most: No more steps than this are made; none if they would be fewer than
                :data:`FEWEST_OPENING`.
        """
        if self._opening is None:
            return None
        states, batches = self._opening
        batches = batches[: int(min(most, len(batches)))]
        if len(batches) < FEWEST_OPENING:
            return None
        for backend, state in zip((numpy, torch), states, strict=True):
            backend.load(state)
        first, sides = None, _Sides()
        for step, indices in batches:
            sides = _Sides()
            for backend in (numpy, torch):
                with sides.watching(backend):
                    backend.train_step(backend.batch(held[backend.name]["train"], indices))
            sides.found()
            if sides.count and first is None:
                first = step
        found = Opening(
            steps=len(batches),
            step=first,
            last=sides.count,
            inputs=sides.found()["inputs"],
            after=_distance(numpy, torch),
            effective=_effective_distance(numpy, torch, modules),
        )
        if first is None or 2 * len(batches) > most:
            return found
        same_side = _on_the_same_side(numpy, torch, held, states, batches)
        if same_side is None:
            return found
        effective = _effective_distance(numpy, torch, modules)
        return found.model_copy(update={"same_side": same_side, "effective_same_side": effective})

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
        self.count = inputs = 0
        for name, arrays in self._inputs["numpy"].items():
            for x, y in zip(arrays, self._inputs["torch"].get(name, []), strict=False):
                inputs += x.size
                other = np.argwhere((x > 0) != (y > 0))
                if len(other) and not self.count:
                    place = tuple(other[0])
                    first = {"module": name, "numpy": float(x[place]), "torch": float(y[place])}
                self.count += len(other)
        return {"sides": self.count, "inputs": inputs, **first}

    def of_numpy(self) -> dict[str, np.ndarray] | None:
        """Module → NumPy's input; None where a module is called several times in a step."""
        inputs = self._inputs["numpy"]
        if any(len(arrays) != 1 for arrays in inputs.values()):
            return None
        return {name: arrays[0] for name, arrays in inputs.items()}


def _on_the_same_side(
    numpy: Backend,
    torch: Backend,
    held: Held,
    states: tuple[State, State],
    batches: Batches,
) -> float | None:
    """The distance after steps in which PyTorch takes NumPy's value where the sides differ.

    Args:
        numpy, torch: The backends, whose states are lost.
        held: Backend → split → its rows.
        states: Those before the first step.
        batches: The steps.

    Returns:
        The distance; None where a module is called several times in a step.
    """
    if not isinstance(torch, TorchBackend):
        return None
    for backend, state in zip((numpy, torch), states, strict=True):
        backend.load(state)
    for _, indices in batches:
        sides = _Sides()
        with sides.watching(numpy):
            numpy.train_step(numpy.batch(held[numpy.name]["train"], indices))
        given = sides.of_numpy()
        if given is None:
            return None
        torch.replay(torch.batch(held[torch.name]["train"], indices), given, kink_width=None)
    return _distance(numpy, torch)


def sides_apart(numpy: Backend, torch: Backend, inputs: np.ndarray) -> SidesApart:
    """How many inputs of activations lie on different sides of the kink, on test rows.

    Args:
        numpy, torch: The backends after the training.
        inputs: The rows as the network takes them.
    """
    apart = seen = 0
    # A few rows at a time: every input of every activation is kept.
    for start in range(0, len(inputs), IMAGES_TOGETHER):
        sides = _Sides()
        for backend in (numpy, torch):
            with sides.watching(backend):
                backend.logits(inputs[start : start + IMAGES_TOGETHER])
        found = sides.found()
        apart, seen = apart + found["sides"], seen + found["inputs"]
    return SidesApart(sides=apart, inputs=seen, rows=len(inputs))


# ---- Which part of the networks lies apart

BIASES = "other biases"
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


def _effective_distance(numpy: Backend, torch: Backend, modules: dict[str, str]) -> float | None:
    """The distance without the biases that a batch normalisation cancels; None without such."""
    if not any(shown.startswith("BatchNorm") for shown in modules.values()):
        return None
    squares = _squares(numpy.state(), torch.state())
    parts = parts_of(list(squares), modules)
    if CANCELLED not in parts:
        return None
    counted = [name for part in (WEIGHTS, BIASES, AFFINE) for name in parts.get(part, ())]
    size = float(np.linalg.norm(torch.weights()))
    return float(np.sqrt(sum(squares[name] for name in counted))) / size if size else 0.0


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
