"""Layers composed of nodes, closed formulas and PyTorch: each stage of a step in three ways.

The network is built a third time, from layers that are composed of nodes
(:mod:`numpy_nn.graph`). A training step of the closed formulas is recorded, and each of its
stages is then run in all three ways from the same inputs: how far is each from PyTorch in
float64?
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter
from statistics import median
from typing import NamedTuple

import numpy_nn
import numpy_nn.graph
from compare.backends import Backend, Call, RecordedStep, Referee
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays
from compare.backends.synthetic import synthetic_steps
from compare.backends.torch_backend import TorchBackend
from compare.parity import tolerances
from compare.parity.comparison import Comparison, SiteValues, compare_sites, in_execution_order
from compare.parity.stages import is_backward, longest_sum, run_stage, stage_sites, stage_sizes
from compare.spec.model import ModelSpec


class GraphRow(NamedTuple):
    """One value of a step, computed in three ways.

    Attributes:
        step: The training step.
        site: Where in it.
        nodes: The error of the layer composed of nodes, against PyTorch in float64 and in units
            of what was summed to make the value.
        closed: The error of the closed formula.
        torch: The error of PyTorch; 0 in float64, where it is itself the referee.
        apart: How far nodes and closed formula are from each other, in the same units.
        tolerance: How far both may be from the referee.
    """

    step: int
    site: str
    nodes: float
    closed: float
    torch: float
    apart: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether both are within the bound."""
        return max(self.nodes, self.closed) <= self.tolerance

    @property
    def is_gradient(self) -> bool:
        """Whether it is the gradient by a parameter or by an input."""
        return is_backward(self.site)


class GraphBackends(NamedTuple):
    """The backends that run each stage."""

    nodes: Backend
    closed: Backend
    torch: Backend
    referee: Referee


def compare_graph(
    model_spec: ModelSpec, dtype: str, seed: int, steps: int, batch_size: int
) -> list[GraphRow]:
    """Train some steps with closed formulas, and run every stage of them in three ways."""
    trained = NumpyBackend(model_spec, dtype, seed)
    backends = GraphBackends(
        NumpyBackend(model_spec, dtype, seed, numpy_nn.graph),
        NumpyBackend(model_spec, dtype, seed),
        TorchBackend(model_spec, dtype, seed),
        TorchBackend(model_spec, "float64", seed),
    )
    rows = []
    recorded = synthetic_steps(trained, model_spec.loss, steps, batch_size, seed)
    for number, step in enumerate(recorded):
        rows += in_execution_order(
            _compare_call(number, step, call, backends) for call in step.calls
        )
    return rows


def _compare_call(
    number: int, step: RecordedStep, call: Call, backends: GraphBackends
) -> Iterator[GraphRow]:
    dy = call.grad_output
    assert dy is not None
    nodes, closed, torch, referee = (
        stage_sites(call.name, run_stage(backend, call, step, dy)) for backend in backends
    )
    sizes = stage_sites(call.name, stage_sizes(backends.referee, call, step, dy))
    terms = longest_sum(call, step.before.of_module(call.name))

    def compared(numpy: Arrays, exact: Arrays) -> Iterator[Comparison]:
        return compare_sites(terms, [SiteValues(step.dtype, numpy, torch, exact, sizes)])

    for one, other, apart in zip(
        compared(nodes, referee), compared(closed, referee), compared(nodes, closed), strict=True
    ):
        yield GraphRow(
            step=number,
            site=one.site,
            nodes=one.numpy_error,
            closed=other.numpy_error,
            torch=one.torch_error,
            apart=apart.numpy_error,
            tolerance=one.tolerance,
        )


def graph_summary(rows: list[GraphRow], dtype: str) -> str:
    """What the numbers say of the gradients, in a sentence or two.

    An error below one unit of roundoff counts as one, so that no ratio divides by luck.
    """
    unit = tolerances.UNIT_ROUNDOFF[dtype]
    failed = [row for row in rows if not row.passed]
    if failed:
        first = failed[0]
        name, error = max(
            ("nodes", first.nodes), ("the closed formula", first.closed), key=itemgetter(1)
        )
        return (
            f"{len(failed):,} of {len(rows):,} values {'is' if len(failed) == 1 else 'are'} "
            f"beyond the bound, the first at "
            f"{first.site}: {name}: {error / unit:.3g} units of roundoff from the referee, "
            f"allowed are {first.tolerance / unit:.3g}. That is more than rounding."
        )
    gradients = [row for row in rows if row.is_gradient]
    ratios = [max(row.nodes, unit) / max(row.closed, unit) for row in gradients]
    largest = max(range(len(ratios)), key=ratios.__getitem__)
    apart = max(gradients, key=lambda row: row.apart)
    return (
        f"Over {len(gradients):,} gradients the error of nodes is {median(ratios):.2f} times "
        f"that of the closed formula in the median and {ratios[largest]:.2f} times at most, at "
        f"{gradients[largest].site}; the two are at most {apart.apart / unit:.3g} units of "
        f"roundoff apart, at {apart.site}: rounding alone."
    )
