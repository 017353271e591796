"""One number of a training, kept with all that its verdict rests on."""

from __future__ import annotations

import numpy as np

from compare.parity.comparison import Follower, SiteValues, compare_sites

EXACT = np.array([[1.0, 2.0], [3.0, 4.0]])
SIZE = np.full((2, 2), 2.0)
UNIT = 2.0**-24


def offered(follower: Follower, apart: float, site: str = "forward/0/output") -> None:
    """Compare values of which one is so far from the truth, in units of roundoff of its size."""
    numpy = EXACT.copy()
    numpy[1, 0] += apart * UNIT * 2.0
    values = SiteValues("float32", {site: numpy}, {site: EXACT}, {site: EXACT}, {site: SIZE})
    list(compare_sites(1, [values], follower))


def test_the_number_nearest_to_its_bound_is_kept() -> None:
    follower = Follower()
    for step, apart in enumerate((1.0, 20.0, 3.0)):
        follower.step = step
        offered(follower, apart)
    found = follower.found
    assert found is not None
    assert (found.step, found.index, found.site) == (1, [1, 0], "forward/0/output")
    assert found.referee == 3.0
    assert found.size == 2.0
    assert np.isclose(found.numpy_error, 20 * UNIT)
    assert np.isclose(abs(found.numpy - found.referee) / found.size, found.numpy_error)
    assert found.numpy_error <= found.tolerance == 32 * UNIT


def test_the_first_failure_takes_its_place() -> None:
    follower = Follower()
    for step, apart in enumerate((31.0, 40.0, 1e6)):
        follower.step = step
        offered(follower, apart)
    assert follower.found is not None
    assert follower.found.step == 1
    assert follower.found.numpy_error > follower.found.tolerance


def test_what_has_no_number_is_not_followed() -> None:
    follower = Follower()
    offered(follower, np.nan)
    offered(follower, np.inf)
    values = SiteValues("float32", {}, {"a": EXACT}, {"a": EXACT}, {"a": SIZE})
    list(compare_sites(1, [values], follower))
    assert follower.found is None


def test_the_first_step_is_0() -> None:
    follower = Follower()
    offered(follower, 3.0)
    assert follower.found is not None
    assert follower.found.step == 0
