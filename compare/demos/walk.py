"""Optimizers walk down a bowl on both sides, every step of NumPy's path certified."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compare.backends import Call, RecordedStep, State
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays
from compare.backends.torch_backend import TorchBackend
from compare.demos.bowl import bowl, bowl_by_autograd, point
from compare.demos.records import PartRecord, PathRow
from compare.parity.certificate import certify_update
from compare.parity.comparison import Comparison, Opinions, References, compare_sites
from compare.parity.initial import compare_initial
from compare.records.tables import ParityRow
from compare.spec.demos import OptimizerPaths
from compare.spec.model import ModelSpec

# The name that the point has in the state_dict of its network, and the one that people read.
WEIGHT, POINT = "weight", "point"


def model_spec_of(form: OptimizerPaths, label: str) -> ModelSpec:
    """What both sides build for one optimizer."""
    settings = form.optimizers[label].model_dump()
    return ModelSpec(
        point,
        initialisation="default",
        algorithm=settings.pop("algorithm"),
        settings=settings,
    )


def walk(
    form: OptimizerPaths, label: str, steps: int
) -> tuple[PartRecord, list[ParityRow], list[PathRow]]:
    """Walk with one optimizer on both sides.

    Each step is certified as the update of a training step is: the value and the gradient from
    NumPy's point, the optimizer's state and the new point from NumPy's state and gradient, each
    in float32 with a float64 referee, and in float64.
    """
    walker = _Walker(form, label)
    initial, rows = compare_initial(walker.numpy, walker.torch, label, 0)
    rows = [row._replace(site=_readable(row.site)) for row in rows]
    paths: dict[str, list[PathRow]] = {"numpy": [], "torch": []}
    for step in range(steps):
        recorded = walker.numpy_step()
        comparisons = list(walker.certify(recorded))
        rows += [ParityRow(label, 0, step, *c, passed=c.passed) for c in comparisons]
        here = recorded.before.model[WEIGHT], recorded.calls[0].output
        paths["numpy"].append(_row("numpy", label, step, *here))
        paths["torch"].append(_row("torch", label, step, *walker.torch_step()))
    for side, value in ((walker.numpy, walker.numpy_value), (walker.torch, walker.torch_value)):
        at = side.state().model[WEIGHT]
        paths[side.name].append(_row(side.name, label, steps, at, value(at)[0]))
    part = PartRecord(label=label, seed=None, parity_rows=len(rows), initial=initial)
    return part, rows, [*paths["numpy"], *paths["torch"]]


class _Walker:
    """Both backends and the references, all of them at the starting point."""

    def __init__(self, form: OptimizerPaths, label: str) -> None:
        model_spec = model_spec_of(form, label)
        self.dtype = form.dtype
        self.divisors = np.array(form.divisors).reshape(2, 1)
        self.references = References.build(model_spec)
        self.numpy, self.torch = (
            NumpyBackend(model_spec, form.dtype),
            TorchBackend(model_spec, form.dtype),
        )
        start = {WEIGHT: np.array(form.start, form.dtype).reshape(2, 1)}
        for side in (self.numpy, self.torch):
            side.load(State(start, side.state().optimizer))

    @np.errstate(all="ignore")  # a path that diverges says so by its numbers, as in PyTorch
    def numpy_value(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and gradient on the NumPy side."""
        return bowl(at, self.divisors)

    def torch_value(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value and gradient on the PyTorch side."""
        return bowl_by_autograd(at, self.divisors, self.dtype)

    @np.errstate(all="ignore")
    def numpy_step(self) -> RecordedStep:
        """Make NumPy's next step, and record it."""
        before = self.numpy.state()
        at = before.model[WEIGHT]
        value, gradient = self.numpy_value(at)
        for _, parameter in self.numpy.model.named_parameters():
            parameter.grad = gradient
        self.numpy.optimizer.step()
        call = Call("f", "f", at, np.array(value), np.ones((), at.dtype), gradient)
        return RecordedStep(before, at, np.zeros(0), [call], {WEIGHT: gradient}, self.numpy.state())

    def torch_step(self) -> tuple[np.ndarray, np.ndarray]:
        """Make PyTorch's next step; return the point and the value before it."""
        before = self.torch.state()
        at = before.model[WEIGHT]
        value, gradient = self.torch_value(at)
        self.torch.update_stage(before, {WEIGHT: gradient})
        return at, value

    @np.errstate(all="ignore")
    def certify(self, step: RecordedStep) -> Iterator[Comparison]:
        """Compare every site of one of NumPy's steps, in the order of execution."""
        [call] = step.calls
        at = call.input
        value, gradient = bowl_by_autograd(at, self.divisors, "float64")

        def sites(value: np.ndarray, gradient: np.ndarray | None) -> Arrays:
            assert gradient is not None
            return {"forward/f/output": value, f"gradient/{POINT}": gradient}

        referee = sites(value, gradient)
        # Neither cancels: all terms of the value have one sign, the gradient has one term.
        sizes = sites(value, np.abs(gradient))
        numpy64 = sites(*bowl(at.astype(np.float64), self.divisors))
        torch32 = sites(*bowl_by_autograd(at, self.divisors, "float32"))
        actual = sites(call.output, call.grad_input)
        opinions = {
            "float64": Opinions("float64", numpy64, referee, referee, sizes),
            # A path that was itself made in float64 stands in the place of the one made again.
            step.dtype: Opinions(step.dtype, actual, torch32, referee, sizes),
        }
        yield from compare_sites(2, opinions.values())
        for comparison in certify_update(step, self.references):
            yield comparison._replace(site=_readable(comparison.site))


def _readable(site: str) -> str:
    return "/".join(POINT if word == WEIGHT else word for word in site.split("/"))


def _row(backend: str, label: str, step: int, at: np.ndarray, value: np.ndarray) -> PathRow:
    x, y = at.ravel().tolist()
    return PathRow(backend, label, step, x, y, float(value))
