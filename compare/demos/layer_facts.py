"""What the activations of a layer look like, in numbers: spread, saturation, histogram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from compare.demos.records import BinRow, LayerRow

RANGES = {"Sigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
"""What an activation's values lie in; ReLU has no upper end."""

BINS = 30
OUTER, MIDDLE = 0.1, 0.2  # what a uniform distribution has in the outer tenth and the middle fifth


def layer_rows(
    backend: str, activation: str, spread: str, seed: int, outputs: Sequence[np.ndarray]
) -> list[LayerRow]:
    """The numbers of every layer of one side, from its activations."""
    rows = []
    for layer, output in enumerate(outputs, 1):
        values = output.astype(np.float64)
        rows.append(
            LayerRow(
                backend,
                activation,
                spread,
                seed,
                layer,
                float(values.mean()),
                float(values.std()),
                _outer(activation, values),
                _middle(activation, values),
            )
        )
    return rows


def _outer(activation: str, values: np.ndarray) -> float:
    if activation not in RANGES:
        return float(np.mean(values == 0))
    low, high = RANGES[activation]
    margin = OUTER / 2 * (high - low)
    return float(np.mean((values < low + margin) | (values > high - margin)))


def _middle(activation: str, values: np.ndarray) -> float:
    if activation not in RANGES:
        return 0.0
    low, high = RANGES[activation]
    return float(np.mean(np.abs(values - (low + high) / 2) < MIDDLE / 2 * (high - low)))


def bin_rows(
    activation: str, spread: str, outputs: Mapping[str, Sequence[np.ndarray]]
) -> list[BinRow]:
    """Histograms of every layer, with the same bins on both sides.

    Bounded activations have 30 bins over their whole range; ReLU's go from 0 to the largest value
    of all layers, so that layers can be set beside each other.
    """
    rows = []
    largest = max(float(output.max()) for outputs_ in outputs.values() for output in outputs_)
    low, high = RANGES.get(activation) or (0.0, largest or 1.0)
    edges = np.linspace(low, high, BINS + 1)
    for layer, pair in enumerate(zip(*outputs.values(), strict=True), 1):
        for backend, output in zip(outputs, pair, strict=True):
            counts, _ = np.histogram(output.astype(np.float64), edges)
            rows += [
                BinRow(backend, activation, spread, layer, float(a), float(b), int(n))
                for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
            ]
    return rows
