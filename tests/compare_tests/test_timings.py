"""Medians, spreads and bootstrap intervals of data whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from compare.analysis.timings import _parts, humps, median_ratio, ratio_of_medians, spread


def test_spread_of_known_quantiles():
    """0 to 100 in any order and shape: the percentiles are the numbers themselves."""
    times = np.random.default_rng(0).permutation(np.arange(101.0))[:100]
    times = np.append(times, 4950 + 100 - times.sum()).reshape(1, 101)
    assert spread(times) == pytest.approx((5, 25, 50, 75, 95))


def test_ratio_where_every_round_has_it():
    below = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert ratio_of_medians(3 * below, below) == pytest.approx((3, 3, 3))


def test_blocks_may_differ_in_length():
    above, below = np.full((4, 7), 6.0), np.full((4, 2), 2.0)
    assert ratio_of_medians(above, below) == pytest.approx((3, 3, 3))


def test_the_rounds_are_drawn_together():
    """A machine that is slow in some rounds slows both: the ratio is as certain as before."""
    slow = np.array([1.0, 5.0, 1.0, 9.0, 2.0, 1.0])[:, None]
    found = ratio_of_medians(2 * slow, slow)
    assert (found.low, found.high) == pytest.approx((2, 2))
    apart = ratio_of_medians(2 * slow, slow[[1, 0, 3, 2, 5, 4]])
    assert apart.high - apart.low > 1


def blocks(random: np.random.Generator, rounds: int, steps: int, middle: float) -> np.ndarray:
    """Steps of a block share what the machine did then, and differ little among themselves."""
    shared = random.normal(0, 0.1, (rounds, 1))
    return middle * np.exp(shared + random.normal(0, 0.02, (rounds, steps)))


@pytest.mark.slow
def test_the_interval_covers_the_truth():
    """In 95 of 100 repetitions, about; drawing steps instead of blocks would cover far fewer."""
    random = np.random.default_rng(1)
    by_block = by_step = 0
    for number in range(100):
        above, below = blocks(random, 30, 10, 3.0), blocks(random, 30, 10, 2.0)
        found = ratio_of_medians(above, below, seed=number)
        by_block += found.low <= 1.5 <= found.high
        single = ratio_of_medians(above.reshape(-1, 1), below.reshape(-1, 1), seed=number)
        by_step += single.low <= 1.5 <= single.high
    assert by_block >= 88  # 95 less three standard deviations
    assert by_step < 70


def test_equal_data_gives_equal_intervals():
    random = np.random.default_rng(2)
    above, below = blocks(random, 9, 4, 1.0), blocks(random, 9, 4, 1.0)
    assert ratio_of_medians(above, below) == ratio_of_medians(above, below)


@pytest.mark.parametrize(("above", "below"), [(0, 0), (3, 2), (0, 1)])
def test_rounds_must_be_there_and_equal(above, below):
    with pytest.raises(ValueError, match="equally many rounds"):
        ratio_of_medians(np.ones((above, 1)), np.ones((below, 1)))


@pytest.mark.parametrize("steps", [50, 299, 300, 310, 5971])
def test_parts_of_a_training_leave_no_step_out(steps):
    times = np.arange(float(steps))
    parts = _parts(times)
    assert len(parts) == min(steps // 10, 30)
    assert np.concatenate(parts).tolist() == times.tolist()
    assert all(part[0] % 10 == 0 for part in parts)  # a part begins with a stretch
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) < 20


def test_steps_are_parts_where_stretches_are_few():
    assert [len(part) for part in _parts(np.arange(49.0))] == [1] * 49


def test_steps_that_share_their_part_widen_the_interval():
    """Ten stretches that are slow or fast as a whole: drawing single steps would hide it."""
    random = np.random.default_rng(0)
    slow = np.repeat(random.uniform(1.0, 2.0, 10), 10) + 0.01 * random.random(100)
    fast = np.ones(100)
    by_part = median_ratio(slow, fast)
    by_step = ratio_of_medians(slow[:, None], fast[:, None])
    assert by_part.value == np.median(slow)
    assert by_part.high - by_part.low > 1.5 * (by_step.high - by_step.low)


def test_the_interval_of_known_steps():
    """Where half of the parts take twice as long, all are drawn from one half now and then."""
    slow = np.repeat([1.0, 2.0], [150, 150])
    found = median_ratio(slow, np.ones(300))
    assert (found.low, found.value, found.high) == (1.0, 1.5, 2.0)
    many = median_ratio(np.full(100_000, 3.0), np.ones(100_000))
    assert many == (3.0, 3.0, 3.0)


def test_a_ratio_of_steps_needs_pairs():
    with pytest.raises(ValueError, match="equal shapes"):
        median_ratio(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="equal shapes"):
        median_ratio(np.ones(0), np.ones(0))


@pytest.mark.parametrize("seed", range(5))
def test_one_hump_is_one(seed):
    random = np.random.default_rng(seed)
    for times in (
        random.lognormal(-6, 0.1, 3000),
        random.lognormal(-6, 0.5, 300),
        2e-3 + random.exponential(2e-4, 3000),  # as steps are: a sharp edge and a long tail
    ):
        assert len(humps(times)) == 1


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_two_humps_are_two(share):
    random = np.random.default_rng(0)
    first = random.random(5000) < share
    found = humps(
        np.where(first, random.lognormal(np.log(2e-3), 0.1, 5000), 6e-3)
        * random.lognormal(0, 0.05, 5000)
    )
    assert found == pytest.approx([2e-3, 6e-3], rel=0.05)


def test_few_times_have_no_humps():
    assert humps(np.array([1e-3, 5e-3] * 20)) == [pytest.approx(3e-3)]
    assert humps(np.array([])) == []
