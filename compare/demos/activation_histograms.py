"""Inputs pass through equal layers on both backends, every layer's output compared and counted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from compare.backends import Backend, Call, State
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays
from compare.backends.torch_backend import TorchBackend
from compare.parity import tolerances
from compare.parity.comparison import (
    Comparison,
    References,
    SiteValues,
    compare_initial,
    compare_sites,
)
from compare.parity.sizes import module_sizes
from compare.parity.stages import longest_sum
from compare.parity.tolerances import NOISE
from compare.records.run import TrainingRecord
from compare.records.tables import HistogramRow, LayerRow, ParityRow
from compare.spec.demos import ActivationHistograms, network_label, spread_label
from compare.spec.model import ModelSpec

RANGES = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
"""What an activation's values lie in; ReLU has no upper end."""

BINS = 30
OUTER, MIDDLE = 0.1, 0.2  # what a uniform distribution has in the outer tenth and the middle fifth


def equal_layers(nn: Any, activation: str = "Sigmoid", units: int = 100, layers: int = 5) -> Any:
    """Layers of as many units as there are inputs, without bias, each with an activation."""
    modules = []
    for _ in range(layers):
        modules += [nn.Linear(units, units, bias=False), getattr(nn, activation)()]
    return nn.Sequential(*modules)


def model_spec_of(
    settings: ActivationHistograms, activation: str, spread: float | str
) -> ModelSpec:
    """What both backends build for one activation and one spread of the weights."""
    return ModelSpec(
        equal_layers,
        {"activation": activation, "units": settings.units, "layers": settings.layers},
        initialisation="normal",
        std=settings.std(spread),
        settings={"lr": 1.0},  # of an optimizer that makes no step
    )


def inputs_of(settings: ActivationHistograms, seed: int) -> np.ndarray:
    """The rows that a seed draws, the same for every activation and spread."""
    random = np.random.Generator(np.random.PCG64(seed))
    return random.standard_normal((settings.rows, settings.units)).astype(settings.dtype)


def propagate(
    settings: ActivationHistograms, activation: str, spread: float | str, seed: int, *, first: bool
) -> tuple[TrainingRecord, dict[str, list[Any]]]:
    """Send one seed's inputs through one network on both backends.

    PyTorch is given NumPy's weights: normal draws differ by nature. Each module is then compared
    alone, from the very inputs that it had in NumPy, in float32 with a float64 referee and in
    float64.

    Args:
        settings: The demonstration's.
        activation: One of its activations.
        spread: One of its spreads.
        seed: One of its seeds.
        first: Whether the histograms are kept, and the whole network is compared end to end: how
            it is connected does not depend on the seed.

    Returns:
        The training's record, and its rows: table → rows.
    """
    began = time.perf_counter()
    spec = model_spec_of(settings, activation, spread)
    references = References.build(spec)
    numpy = NumpyBackend(spec, settings.dtype, seed)
    torch = TorchBackend(spec, settings.dtype, seed)
    label = network_label(activation, spread)
    initial, parity = compare_initial(numpy, torch, label, seed)
    names = [name for name, module in numpy.model.named_modules() if not any(module.children())]
    x = inputs_of(settings, seed)
    calls = {backend.name: list(_forward(backend, names, x)) for backend in (numpy, torch)}
    weights = numpy.state()
    comparisons = list(_compare_modules(calls["numpy"], weights, references))
    if first:
        comparisons += _compare_whole(names, x, weights, references, seed)
    parity += [ParityRow(label, seed, 0, *c, passed=c.passed) for c in comparisons]
    # Every second module is an activation.
    outputs = {backend: [call.output for call in made[1::2]] for backend, made in calls.items()}
    training = TrainingRecord(
        label=label,
        variant={"activation": activation, "spread": spread_label(spread)},
        seed=seed,
        finished=True,
        steps=0,
        parameters=initial.values,
        parity_rows=len(parity),
        initial=initial,
        kinks=[],
        wall_s=time.perf_counter() - began,
    )
    return training, {
        "parity": parity,
        "layers": layer_rows(label, seed, activation, outputs),
        "histogram": histogram_rows(label, seed, activation, outputs) if first else [],
    }


def _forward(backend: Backend, names: list[str], x: np.ndarray) -> Iterator[Call]:
    """Every module of a backend in turn, each from the output of the one before it."""
    weights = backend.state()
    for name in names:
        stage = backend.stage(name, weights.of_module(name), x, np.zeros_like(x))
        yield Call(name, type(backend.module(name)).__name__, x, stage.output)
        x = stage.output


def _compare_modules(
    calls: list[Call], weights: State, references: References
) -> Iterator[Comparison]:
    """Compare each module alone, from the inputs that it had in NumPy."""
    for call in calls:
        state, no_gradient = weights.of_module(call.name), np.zeros_like(call.input)
        site = f"forward/{call.name}/output"
        numpy64, torch32, torch64 = (
            {site: backend.stage(call.name, state, call.input, no_gradient).output}
            for backend in references
        )
        sizes = {site: _size(references, call.name, state, call.input)}
        dtype = str(call.output.dtype)
        site_values = {
            "float64": SiteValues("float64", numpy64, torch64, torch64, sizes),
            # A network computed in float64 replaces the one computed again.
            dtype: SiteValues(dtype, {site: call.output}, torch32, torch64, sizes),
        }
        yield from compare_sites(longest_sum(call, state), site_values.values())


def _compare_whole(
    names: list[str], x: np.ndarray, weights: State, references: References, seed: int
) -> Iterator[Comparison]:
    """Compare the network end to end in float64.

    What rounding at one layer does to those after it is measured as for a training step: with
    noise of NOISE times the size of what was summed at every stage.
    """
    numpy64, _, torch64 = references
    for backend in (numpy64, torch64):
        backend.load(weights)
    random = np.random.default_rng(seed)
    candidate = exact = noisy = x.astype(np.float64)
    longest = 1
    for name in names:
        state, no_gradient = weights.of_module(name), np.zeros_like(exact)
        size = _size(references, name, state, exact)
        longest = max(longest, longest_sum(Call(name, "", exact, exact), state))
        candidate = numpy64.stage(name, state, candidate, no_gradient).output
        noisy = torch64.stage(name, state, noisy, no_gradient).output
        noisy = noisy + NOISE * size * random.uniform(-1.0, 1.0, size.shape)
        exact = torch64.stage(name, state, exact, no_gradient).output
        if name == names[-1]:  # as the network itself connects them
            candidate, exact = numpy64.logits(x), torch64.logits(x)
        spread = float(size.max() + np.abs(noisy - exact).max() / NOISE)
        error = tolerances.whole_error(candidate, exact, spread)
        bound = tolerances.float64_bound(longest)
        yield Comparison("float64", f"whole/forward/{name}/output", error, 0.0, bound)


def _size(references: References, name: str, state: Arrays, x: np.ndarray) -> np.ndarray:
    """The size of what was summed to make a module's output."""
    _, _, referee = references
    layer = type(referee.module(name)).__name__
    no_gradient = np.zeros_like(x, dtype=np.float64)
    return module_sizes(referee, name, layer, state, x, no_gradient).output


Outputs = Mapping[str, Sequence[np.ndarray]]
"""Backend → the activations of every layer."""


def layer_rows(label: str, seed: int, activation: str, outputs: Outputs) -> list[LayerRow]:
    """Mean, spread and shares of every layer's activations, on each backend."""
    rows = []
    for backend, layers in outputs.items():
        for layer, output in enumerate(layers, 1):
            values = output.astype(np.float64)
            mean, std = float(values.mean()), float(values.std())
            shares = _outer(activation, values), _middle(activation, values)
            rows.append(LayerRow(backend, label, seed, layer, mean, std, *shares))
    return rows


def _outer(activation: str, values: np.ndarray) -> float:
    """The share in the outer tenth of the range; of ReLU's values, the share that is 0."""
    if activation not in RANGES:
        return float(np.mean(values == 0))
    low, high = RANGES[activation]
    margin = OUTER / 2 * (high - low)
    return float(np.mean((values < low + margin) | (values > high - margin)))


def _middle(activation: str, values: np.ndarray) -> float:
    """The share in the middle fifth of the range; 0 for ReLU."""
    if activation not in RANGES:
        return 0.0
    low, high = RANGES[activation]
    return float(np.mean(np.abs(values - (low + high) / 2) < MIDDLE / 2 * (high - low)))


def histogram_rows(label: str, seed: int, activation: str, outputs: Outputs) -> list[HistogramRow]:
    """Histograms of every layer, with the same bins for both backends.

    Bounded activations have 30 bins over their whole range; ReLU's go from 0 to the largest value
    of all layers, so that layers can be set beside each other.
    """
    rows = []
    largest = max(float(output.max()) for layers in outputs.values() for output in layers)
    low, high = RANGES.get(activation) or (0.0, largest or 1.0)
    edges = np.linspace(low, high, BINS + 1)
    for layer, pair in enumerate(zip(*outputs.values(), strict=True), 1):
        for backend, output in zip(outputs, pair, strict=True):
            counts, _ = np.histogram(output.astype(np.float64), edges)
            rows += [
                HistogramRow(backend, label, seed, layer, float(a), float(b), int(n))
                for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
            ]
    return rows
