"""``nncompare parity --graph``: nodes, closed formulas and PyTorch, side by side.

The network is built a third time, from layers that are composed of nodes
(:mod:`numpy_nn.graph`). A training step of the closed formulas is recorded, and each of its
stages is then made by all three from the same inputs: how far is each from PyTorch in float64?
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

import numpy_nn
import numpy_nn.graph
from compare.backends import Backend, Call, Referee, Stage, Step
from compare.backends.environment import default_threads, set_threads
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.synthetic import input_shape, loss_of, random_targets
from compare.backends.torch_backend import TorchBackend
from compare.commands.parity import SETTINGS
from compare.parity import sizes as magnitude
from compare.parity import tolerances
from compare.parity.comparison import longest_sum
from compare.spec.model import ModelSpec, find_architecture
from experiments.errors import InputError


class Opinions(NamedTuple):
    """One value of a step by three ways.

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
        return self.site.startswith(("gradient/", "backward/"))


class Ways(NamedTuple):
    """The sides that make a stage."""

    nodes: Backend
    closed: Backend
    torch: Backend
    referee: Referee


def graph_command(
    architecture: str,
    dtype: str,
    optimizer: str,
    seed: int,
    steps: int,
    batch_size: int,
    *,
    as_json: bool,
) -> int:
    """Print the three errors of every value of a training step on random inputs.

    Returns:
        0 when nodes and closed formulas are within the bound everywhere, 1 when not.
    """
    if dtype not in ("float32", "float64"):
        raise InputError(f"--dtype expects float32 or float64, but got {dtype!r}.")
    if optimizer not in SETTINGS:
        raise InputError(f"--optimizer expects {' or '.join(SETTINGS)}, but got {optimizer!r}.")
    for name, value, least in (
        ("--steps", steps, 1),
        ("--batch-size", batch_size, 2),
        ("--seed", seed, 0),
    ):
        if value < least:
            raise InputError(f"{name} expects a number of at least {least}, but got {value}.")
    function = find_architecture(architecture)
    model_spec = ModelSpec(
        function, loss=loss_of(function), algorithm=optimizer, settings=SETTINGS[optimizer]
    )
    set_threads(default_threads(model_spec.model(numpy_nn)))
    rows = opinions(model_spec, dtype, seed, steps, batch_size)
    passed = all(row.passed for row in rows)
    if as_json:
        tree = {
            "schema": 1,
            "architecture": architecture,
            "optimizer": optimizer,
            "dtype": dtype,
            "seed": seed,
            "batch_size": batch_size,
            "passed": passed,
            "summary": summary(rows, dtype),
            "rows": [{**row._asdict(), "passed": row.passed} for row in rows],
        }
        print(json.dumps(tree, indent=2))
    else:
        _show(architecture, dtype, batch_size, rows)
    return 0 if passed else 1


def opinions(
    model_spec: ModelSpec, dtype: str, seed: int, steps: int, batch_size: int
) -> list[Opinions]:
    """Train some steps with closed formulas, and make every stage of them three times."""
    trained = NumpyBackend(model_spec, dtype, seed)
    ways = Ways(
        NumpyBackend(model_spec, dtype, seed, numpy_nn.graph),
        NumpyBackend(model_spec, dtype, seed),
        TorchBackend(model_spec, dtype, seed),
        TorchBackend(model_spec, "float64", seed),
    )
    random = np.random.default_rng(seed)
    shape = input_shape(trained)
    outputs = trained.logits(np.zeros((2, *shape), dtype)).shape[1]
    rows = []
    for number in range(steps):
        inputs = random.standard_normal((batch_size, *shape)).astype(np.float32)
        targets = random_targets(model_spec.loss, random, batch_size, outputs)
        batch = trained.batch(trained.rows(inputs, targets), np.arange(batch_size))
        step = trained.record_step(batch)
        backward: list[list[Opinions]] = []
        for call in step.calls:
            found = list(_of_call(number, step, call, ways))
            backward.insert(0, [row for row in found if row.is_gradient])
            rows += [row for row in found if not row.is_gradient]
        rows += [row for part in backward for row in part]
    return rows


def _of_call(number: int, step: Step, call: Call, ways: Ways) -> Iterator[Opinions]:
    """Everything that one module, or the loss, makes in a step."""
    name, dtype = call.name, step.dtype
    dy = call.grad_output
    assert dy is not None
    if call.mask is not None:
        for way in ways:
            way.give_masks({name: call.mask})
    if name == "loss":
        stages = [way.loss_stage(call.input, step.targets, float(dy)) for way in ways]
        sizes = magnitude.LOSSES[call.kind](call.input, step.targets, float(dy))
    else:
        state = step.before.of_module(name)
        stages = [way.stage(name, state, call.input, dy) for way in ways]
        sizes = magnitude.module_sizes(ways.referee, name, call.kind, state, call.input, dy)

    def compare(site: str, part: str, key: str | None = None) -> Opinions:
        def value(stage: Stage) -> np.ndarray:
            return getattr(stage, part) if key is None else getattr(stage, part)[key]

        nodes, closed, torch, referee = (value(stage) for stage in stages)
        size = value(sizes)
        error = tolerances.componentwise_error
        torch_error = error(torch, referee, size)
        return Opinions(
            step=number,
            site=site,
            nodes=error(nodes, referee, size),
            closed=error(closed, referee, size),
            torch=torch_error,
            apart=error(nodes, closed, size),
            tolerance=tolerances.float32_bound(torch_error)
            if dtype == "float32"
            else tolerances.float64_bound(longest_sum(call, step.before.of_module(name))),
        )

    yield compare(f"forward/{name}/output", "output")
    for key in stages[-1].buffers:
        yield compare(f"buffer/{name}.{key}", "buffers", key)
    for key in stages[-1].gradients:
        yield compare(f"gradient/{name}.{key}", "gradients", key)
    yield compare(f"backward/{name}/grad_input", "grad_input")


def summary(rows: list[Opinions], dtype: str) -> str:
    """What the numbers say of the gradients, in a sentence or two.

    An error below one unit of roundoff counts as one, so that no ratio divides by luck.
    """
    unit = tolerances.UNIT_ROUNDOFF[dtype]
    failed = [row for row in rows if not row.passed]
    if failed:
        first = failed[0]
        who, error = max(("nodes", first.nodes), ("the closed formula", first.closed), key=_second)
        return (
            f"{len(failed):,} of {len(rows):,} values {'is' if len(failed) == 1 else 'are'} "
            f"beyond the bound, the first at "
            f"{first.site}: {who}: {error / unit:.3g} units of roundoff from the referee, "
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


def _second(pair: tuple[str, float]) -> float:
    return pair[1]


def _show(architecture: str, dtype: str, batch_size: int, rows: list[Opinions]) -> None:
    unit = tolerances.UNIT_ROUNDOFF[dtype]
    console = Console(highlight=False)
    console.print(
        f"Errors against PyTorch in float64, in units of roundoff ({unit:.1e}) of the size of "
        f"what was summed. Apart: nodes from closed formula."
    )
    several = len({row.step for row in rows}) > 1
    table = Table(
        title=f"{architecture}, {dtype}, batch of {batch_size}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    if several:
        table.add_column("step", justify="right")
    table.add_column("site", overflow="fold")
    for column in ("nodes", "closed", "PyTorch", "apart", "bound"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        cells = [row.site, *(_units(error / unit) for error in (row.nodes, row.closed))]
        cells.append("referee" if dtype == "float64" else _units(row.torch / unit))
        cells += [_units(row.apart / unit), _units(row.tolerance / unit)]
        cells.append("[green]pass[/]" if row.passed else "[bold red]FAIL[/]")
        table.add_row(*([str(row.step), *cells] if several else cells))
    console.print(table)
    console.print(summary(rows, dtype))


def _units(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.1e}"
