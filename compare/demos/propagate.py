"""Inputs pass through equal layers on both sides, every layer's output compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.backends import Backend, Call, State
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays
from compare.backends.torch_backend import TorchBackend
from compare.demos.layer_facts import bin_rows, layer_rows
from compare.demos.records import BinRow, LayerRow, PartRecord
from compare.parity import tolerances
from compare.parity.comparison import Comparison, Opinions, References, compare_sites
from compare.parity.initial import compare_initial
from compare.parity.module_sizes import module_sizes
from compare.parity.stages import longest_sum
from compare.parity.tolerances import NOISE
from compare.records.tables import ParityRow
from compare.spec.demos import ActivationHistograms, network_label, spread_label
from compare.spec.model import ModelSpec


def equal_layers(nn: Any, activation: str = "Sigmoid", units: int = 100, layers: int = 5) -> Any:
    """Layers of as many units as there are inputs, without bias, each with an activation."""
    modules = []
    for _ in range(layers):
        modules += [nn.Linear(units, units, bias=False), getattr(nn, activation)()]
    return nn.Sequential(*modules)


def model_spec_of(form: ActivationHistograms, activation: str, spread: float | str) -> ModelSpec:
    """What both sides build for one activation and one spread of the weights."""
    return ModelSpec(
        equal_layers,
        {"activation": activation, "units": form.units, "layers": form.layers},
        initialisation="normal",
        std=form.std(spread),
        settings={"lr": 1.0},  # of an optimizer that makes no step
    )


def inputs_of(form: ActivationHistograms, seed: int) -> np.ndarray:
    """The rows that a seed draws, the same for every activation and spread."""
    random = np.random.Generator(np.random.PCG64(seed))
    return random.standard_normal((form.rows, form.units)).astype(form.dtype)


class Propagated(NamedTuple):
    """What one part of a run gives."""

    part: PartRecord
    parity: list[ParityRow]
    layers: list[LayerRow]
    bins: list[BinRow]


def propagate(
    form: ActivationHistograms, activation: str, spread: float | str, seed: int, *, first: bool
) -> Propagated:
    """Send one seed's inputs through one network on both sides.

    PyTorch is given NumPy's weights: normal draws differ by nature. Each module is then compared
    alone, from the very inputs that NumPy's run gave it, in float32 with a float64 referee and in
    float64.

    Args:
        form: What is computed.
        activation: One of its activations.
        spread: One of its spreads.
        seed: One of its seeds.
        first: Whether the histograms are kept, and the whole network is compared end to end: how
            it is connected does not depend on the seed.
    """
    model_spec = model_spec_of(form, activation, spread)
    references = References.build(model_spec)
    numpy, torch = (
        NumpyBackend(model_spec, form.dtype, seed),
        TorchBackend(model_spec, form.dtype, seed),
    )
    key = activation, spread_label(spread)
    label = network_label(*key)
    initial, parity = compare_initial(numpy, torch, label, seed)
    names = [name for name, module in numpy.model.named_modules() if not any(module.children())]
    x = inputs_of(form, seed)
    calls = {side.name: list(_forward(side, names, x)) for side in (numpy, torch)}
    weights = numpy.state()
    comparisons = list(_stages(calls["numpy"], weights, references))
    if first:
        comparisons += _whole(names, x, weights, references, seed)
    parity += [ParityRow(label, seed, 0, *c, passed=c.passed) for c in comparisons]
    layers: list[LayerRow] = []
    bins: list[BinRow] = []
    outputs = {backend: [call.output for call in made[1::2]] for backend, made in calls.items()}
    for backend, found in outputs.items():
        layers += layer_rows(backend, *key, seed, found)
    if first:
        bins = bin_rows(*key, outputs)
    part = PartRecord(label=label, seed=seed, parity_rows=len(parity), initial=initial)
    return Propagated(part, parity, layers, bins)


def _forward(side: Backend, names: list[str], x: np.ndarray) -> Iterator[Call]:
    """Every module of a side's own run, each given what the one before it made."""
    weights = side.state()
    for name in names:
        stage = side.stage(name, weights.of_module(name), x, np.zeros_like(x))
        yield Call(name, type(side.module(name)).__name__, x, stage.output)
        x = stage.output


def _stages(calls: list[Call], weights: State, references: References) -> Iterator[Comparison]:
    """Each module alone, from the inputs that NumPy's run gave it."""
    for call in calls:
        state, nothing = weights.of_module(call.name), np.zeros_like(call.input)
        site = f"forward/{call.name}/output"
        numpy64, torch32, torch64 = (
            {site: backend.stage(call.name, state, call.input, nothing).output}
            for backend in references
        )
        sizes = {site: _size(references, call.name, state, call.input)}
        dtype, actual = str(call.output.dtype), {site: call.output}
        opinions = {
            "float64": Opinions("float64", numpy64, torch64, torch64, sizes),
            dtype: Opinions(dtype, actual, torch32, torch64, sizes),
        }
        yield from compare_sites(longest_sum(call, state), opinions.values())


def _whole(
    names: list[str], x: np.ndarray, weights: State, references: References, seed: int
) -> Iterator[Comparison]:
    """The network end to end in float64.

    What rounding at one layer does to those after it is measured as for a training step: with
    noise of NOISE times the size of what was summed at every stage.
    """
    numpy64, _, torch64 = references
    for side in (numpy64, torch64):
        side.load(weights)
    random = np.random.default_rng(seed)
    mine = exact = noisy = x.astype(np.float64)
    longest = 1
    for name in names:
        state, nothing = weights.of_module(name), np.zeros_like(exact)
        size = _size(references, name, state, exact)
        longest = max(longest, longest_sum(Call(name, "", exact, exact), state))
        mine = numpy64.stage(name, state, mine, nothing).output
        noisy = torch64.stage(name, state, noisy, nothing).output
        noisy = noisy + NOISE * size * random.uniform(-1.0, 1.0, size.shape)
        exact = torch64.stage(name, state, exact, nothing).output
        if name == names[-1]:  # as the network itself connects them
            mine, exact = numpy64.logits(x), torch64.logits(x)
        spread = float(size.max() + np.abs(noisy - exact).max() / NOISE)
        error = tolerances.whole_error(mine, exact, spread)
        bound = tolerances.float64_bound(longest)
        yield Comparison("float64", f"whole/forward/{name}/output", error, 0.0, bound)


def _size(references: References, name: str, state: Arrays, x: np.ndarray) -> np.ndarray:
    """The size of what was summed to make a module's output."""
    kind = type(references.torch64.module(name)).__name__
    nothing = np.zeros_like(x, dtype=np.float64)
    return module_sizes(references.torch64, name, kind, state, x, nothing).output
