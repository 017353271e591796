"""What measured times add up to: medians with their spread, and ratios with an interval.

Times come in blocks: steps that one contender makes one after the other. Steps of one block are
alike (the same caches, the same neighbours on the machine), so the block and not the step is
what is drawn in a bootstrap. In a lock-step training a block is one of at most :data:`PARTS`
consecutive parts of it, each of some stretches of :data:`STRETCH` steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
# Programs that want a core beside ours: one of several threads that has to wait for its core holds
# up all.
BUSY_LOAD = 0.5
# A training of one thread that had a core for less of its time than this was kept waiting.
LEAST_SHARE = 0.95
STRETCH = 10
"""Steps that a backend makes in a lock-step training, at most, before the other's turn."""
PARTS = 30
"""A training's times are drawn in so many parts at most: longer parts hold what changes slowly, and
more of them would add little (Schmeiser 1982, https://doi.org/10.1287/opre.30.3.556)."""
# An interval from fewer blocks would say little.
FEWEST_BLOCKS = 5
# A median of so many blocks is known well enough; drawing more would only take time.
MOST_DRAWN = 2000
MOST_STEPS_DRAWN = 20_000
"""Of more steps only some of each part are drawn, evenly spread: the rest would only take time."""


# In fewer times a hump may be chance.
FEWEST_FOR_HUMPS = 100


class Spread(NamedTuple):
    """Quantiles of single times, in seconds."""

    low_s: float
    quartile_s: float
    median_s: float
    upper_quartile_s: float
    high_s: float


class Ratio(NamedTuple):
    """A ratio of times, with its 95% interval."""

    value: float
    low: float
    high: float


def spread(times: np.ndarray) -> Spread:
    """The 5th, 25th, 50th, 75th and 95th percentiles of the times.

    Args:
        times: Seconds, of any shape but not empty.
    """
    found = np.quantile(times, [0.05, 0.25, 0.5, 0.75, 0.95])
    return Spread(*(float(value) for value in found))


def humps(times: np.ndarray) -> list[float]:
    """Where the times are densest: one place, or several with a valley between them, in seconds.

    The density is that of the logarithms, smoothed with Silverman's bandwidth. A place counts if it
    is a twenty-fifth as dense as the densest, and if the density falls to half of it on the way to
    the next one.

    Args:
        times: Seconds, of shape (steps,).
    """
    if len(times) < FEWEST_FOR_HUMPS or np.min(times) <= 0:
        return [float(np.median(times))] if len(times) else []
    logs = np.log(times)
    low, high = np.quantile(logs, [0.005, 0.995])
    quartiles = np.quantile(logs, [0.25, 0.75])
    scale = min(float(np.std(logs)), float(quartiles[1] - quartiles[0]) / 1.34) or 0.01
    width = max(0.9 * scale * len(logs) ** -0.2, 0.02)
    counts, edges = np.histogram(logs, bins=400, range=(low - 4 * width, high + 4 * width))
    middles = (edges[1:] + edges[:-1]) / 2
    step = middles[1] - middles[0]
    window = np.exp(-0.5 * (np.arange(-200, 201) * step / width) ** 2)
    density = np.convolve(counts, window, mode="same")
    inner = density[1:-1]
    tops = np.flatnonzero((inner > density[:-2]) & (inner >= density[2:])) + 1
    kept: list[int] = []
    for top in tops[density[tops] >= density.max() / 25]:
        if kept:
            valley = density[kept[-1] : top + 1].min()
            if valley > min(density[kept[-1]], density[top]) / 2:
                kept[-1] = max(kept[-1], int(top), key=lambda place: density[place])
                continue
        kept.append(int(top))
    return [float(np.exp(middles[place])) for place in kept]


def ratio_of_medians(above: np.ndarray, below: np.ndarray, seed: int = 0) -> Ratio:
    """Median of ``above`` over median of ``below``, with a bootstrap interval.

    The interval is the percentile interval of Efron (1979): blocks are drawn with replacement,
    the two blocks of a round together since they met the same machine, and the ratio of the
    medians is taken anew.

    Args:
        above: Seconds of shape (rounds, steps of a block); positive.
        below: Seconds of shape (rounds, steps of a block): as many rounds, any number of steps.
        seed: For the draws.

    Raises:
        ValueError: if there are no rounds, or not equally many of both.
    """
    rounds = len(above)
    if not rounds or rounds != len(below):
        raise ValueError(f"expected equally many rounds, at least one: {rounds} and {len(below)}")
    random = np.random.default_rng(seed)
    drawn = random.integers(0, rounds, (RESAMPLES, min(rounds, MOST_DRAWN)))
    ratios = _medians(above, drawn) / _medians(below, drawn)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Ratio(float(np.median(above) / np.median(below)), float(low), float(high))


def median_ratio(above: np.ndarray, below: np.ndarray, seed: int = 0) -> Ratio:
    """Median over steps of ``above`` over ``below``, with a bootstrap interval over parts.

    A step is compared with the same step of the other, which met the same machine: where its load
    changes during a run, the ratio of two medians would set a step of a quiet stretch beside one of
    a busy stretch. What is drawn, with replacement, are consecutive parts of the training, at most
    :data:`PARTS`, as equal as whole stretches of :data:`STRETCH` steps allow. Where there would be
    fewer than :data:`FEWEST_BLOCKS` of those, single steps are drawn.

    Args:
        above: Seconds of each step, of shape (steps,); positive.
        below: Seconds of the same steps, of the same shape.
        seed: For the draws.

    Raises:
        ValueError: if there are no steps, or the shapes differ.
    """
    if not len(above) or above.shape != below.shape:
        raise ValueError(f"expected equal shapes, of a step at least: {above.shape}, {below.shape}")
    random = np.random.default_rng(seed)
    ratios = above / below
    parts = _parts(ratios)
    thin = -(-len(ratios) // MOST_STEPS_DRAWN)
    drawn = random.integers(0, len(parts), (RESAMPLES, len(parts)))
    medians = [np.median(np.concatenate([parts[k][::thin] for k in draw])) for draw in drawn]
    low, high = np.quantile(medians, [0.025, 0.975])
    return Ratio(float(np.median(ratios)), float(low), float(high))


def _parts(values: np.ndarray) -> list[np.ndarray]:
    """Values of single steps in the parts that :func:`median_ratio` draws; none is left out."""
    stretches = len(values) // STRETCH
    if stretches < FEWEST_BLOCKS:
        return np.split(values, len(values))
    number = min(stretches, PARTS)
    return np.split(values, [k * stretches // number * STRETCH for k in range(1, number)])


def _medians(blocks: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The median of all steps in each draw of blocks."""
    # By parts, since all draws of long blocks together may not fit into memory.
    part = max(1, 4_000_000 // (drawn.shape[1] * blocks.shape[1]))
    return np.concatenate(
        [
            np.median(blocks[drawn[start : start + part]], axis=(1, 2))
            for start in range(0, len(drawn), part)
        ]
    )
