"""Optimizers walk down f(x, y) = x²/p + y²/q on both backends, every step of NumPy's certified."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

import numpy_nn
from compare.backends import Call, RecordedStep, State
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays
from compare.backends.torch_backend import TorchBackend
from compare.parity.certificate import certify_update
from compare.parity.comparison import (
    Comparison,
    References,
    SiteValues,
    compare_initial,
    compare_sites,
)
from compare.records.run import TrainingRecord
from compare.records.tables import ParityRow, PathRow
from compare.spec.demos import OptimizerPaths
from compare.spec.model import ModelSpec

# The name that the point has in the state_dict of its network, and the one that people read.
WEIGHT, POINT = "weight", "point"

SEED = 0
"""Nothing is drawn: every path has this seed in the records."""


def point(nn: Any) -> Any:
    """The point that moves: the two weights of the smallest network there is."""
    return nn.Linear(1, 2, bias=False)


def surface(at: np.ndarray, divisors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value and the gradient by formula: f = Σ v²/d, ∂f/∂v = 2v/d.

    Args:
        at: x and y, in any shape that the divisors have too.
        divisors: p and q.
    """
    divisors = divisors.astype(at.dtype)
    return np.sum(at * at / divisors), 2 * at / divisors


def surface_by_autograd(
    at: np.ndarray, divisors: np.ndarray, dtype: str
) -> tuple[np.ndarray, np.ndarray]:
    """The same in PyTorch, computed in ``dtype``: the value by formula, the gradient from it."""
    precision = getattr(torch, dtype)
    leaf = torch.tensor(at).to(precision).requires_grad_()
    value = (leaf**2 / torch.tensor(divisors).to(precision)).sum()
    value.backward()
    assert leaf.grad is not None
    return np.array(value.detach().numpy()), np.array(leaf.grad.numpy())


def model_spec_of(settings: OptimizerPaths, label: str) -> ModelSpec:
    """What both backends build for one optimizer."""
    arguments = settings.optimizers[label].model_dump()
    return ModelSpec(
        point,
        initialisation="default",
        algorithm=arguments.pop("algorithm"),
        settings=arguments,
    )


def check_optimizers(settings: OptimizerPaths) -> None:
    """Build every optimizer once, before the first path is followed.

    Raises:
        InputError: Settings that an optimizer refuses.
    """
    for label in settings.optimizers:
        spec = model_spec_of(settings, label)
        spec.optimizer(numpy_nn, spec.model(numpy_nn))


def follow_path(
    settings: OptimizerPaths, label: str, steps: int
) -> tuple[TrainingRecord, dict[str, list[Any]]]:
    """Follow one optimizer on both backends.

    Each step is certified as the update of a training step is: the value and the gradient from
    NumPy's point, the optimizer's state and the new point from NumPy's state and gradient, each
    in float32 with a float64 referee, and in float64.

    Args:
        settings: The demonstration's.
        label: One of its optimizers.
        steps: How many steps to make.

    Returns:
        The training's record, and its rows: table → rows.
    """
    began = time.perf_counter()
    path = _Path(settings, label)
    initial, parity = compare_initial(path.numpy, path.torch, label, SEED)
    parity = [row._replace(site=_readable(row.site)) for row in parity]
    rows: dict[str, list[PathRow]] = {"numpy": [], "torch": []}
    for step in range(steps):
        recorded = path.numpy_step()
        comparisons = list(path.certify(recorded))
        parity += [ParityRow(label, SEED, step, *c, passed=c.passed) for c in comparisons]
        before = recorded.before.model[WEIGHT], recorded.calls[0].output
        rows["numpy"].append(_row("numpy", label, step, *before))
        rows["torch"].append(_row("torch", label, step, *path.torch_step()))
    for backend, surface_of in ((path.numpy, path.numpy_surface), (path.torch, path.torch_surface)):
        at = backend.state().model[WEIGHT]
        rows[backend.name].append(_row(backend.name, label, steps, at, surface_of(at)[0]))
    training = TrainingRecord(
        label=label,
        seed=SEED,
        finished=True,
        steps=steps,
        parameters=initial.values,
        parity_rows=len(parity),
        initial=initial,
        kinks=[],
        wall_s=time.perf_counter() - began,
    )
    return training, {"parity": parity, "paths": [*rows["numpy"], *rows["torch"]]}


class _Path:
    """Both backends and the references, all of them at the starting point."""

    def __init__(self, settings: OptimizerPaths, label: str) -> None:
        spec = model_spec_of(settings, label)
        self.dtype = settings.dtype
        self.divisors = np.array(settings.divisors).reshape(2, 1)
        self.references = References.build(spec)
        self.numpy = NumpyBackend(spec, settings.dtype)
        self.torch = TorchBackend(spec, settings.dtype)
        start = {WEIGHT: np.array(settings.start, settings.dtype).reshape(2, 1)}
        for backend in (self.numpy, self.torch):
            backend.load(State(start, backend.state().optimizer))

    @np.errstate(all="ignore")  # a path that diverges says so by its numbers, as in PyTorch
    def numpy_surface(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and gradient in NumPy."""
        return surface(at, self.divisors)

    def torch_surface(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and gradient in PyTorch."""
        return surface_by_autograd(at, self.divisors, self.dtype)

    @np.errstate(all="ignore")
    def numpy_step(self) -> RecordedStep:
        """Make NumPy's next step, and record it."""
        before = self.numpy.state()
        at = before.model[WEIGHT]
        value, gradient = self.numpy_surface(at)
        for _, parameter in self.numpy.model.named_parameters():
            parameter.grad = gradient
        self.numpy.optimizer.step()
        call = Call("f", "f", at, np.array(value), np.ones((), at.dtype), gradient)
        return RecordedStep(before, at, np.zeros(0), [call], {WEIGHT: gradient}, self.numpy.state())

    def torch_step(self) -> tuple[np.ndarray, np.ndarray]:
        """Make PyTorch's next step; return the point and the value before it."""
        before = self.torch.state()
        at = before.model[WEIGHT]
        value, gradient = self.torch_surface(at)
        self.torch.update_stage(before, {WEIGHT: gradient})
        return at, value

    @np.errstate(all="ignore")
    def certify(self, step: RecordedStep) -> Iterator[Comparison]:
        """Compare every site of one of NumPy's steps, in the order of execution."""
        yield from self._compare_surface(step)
        for comparison in certify_update(step, self.references):
            yield comparison._replace(site=_readable(comparison.site))

    def _compare_surface(self, step: RecordedStep) -> Iterator[Comparison]:
        """Compare the value and the gradient at NumPy's point."""
        [call] = step.calls
        at = call.input
        value, gradient = surface_by_autograd(at, self.divisors, "float64")

        def sites(value: np.ndarray, gradient: np.ndarray | None) -> Arrays:
            assert gradient is not None
            return {"forward/f/output": value, f"gradient/{POINT}": gradient}

        referee = sites(value, gradient)
        # Neither cancels: all terms of the value have one sign, the gradient has one term.
        sizes = sites(value, np.abs(gradient))
        numpy64 = sites(*surface(at.astype(np.float64), self.divisors))
        torch32 = sites(*surface_by_autograd(at, self.divisors, "float32"))
        actual = sites(call.output, call.grad_input)
        site_values = {
            "float64": SiteValues("float64", numpy64, referee, referee, sizes),
            # A path computed in float64 replaces the one computed again.
            step.dtype: SiteValues(step.dtype, actual, torch32, referee, sizes),
        }
        yield from compare_sites(2, site_values.values())


def _readable(site: str) -> str:
    return "/".join(POINT if word == WEIGHT else word for word in site.split("/"))


def _row(backend: str, label: str, step: int, at: np.ndarray, value: np.ndarray) -> PathRow:
    x, y = at.ravel().tolist()
    return PathRow(backend, label, SEED, step, x, y, float(value))
