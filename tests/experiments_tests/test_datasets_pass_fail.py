"""The made-up students: the same everywhere, as documented, and not to be told apart perfectly."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from experiments.datasets import load, pass_fail
from experiments.errors import InputError


def people_from_raw_bits(seed, count):
    """The documented story once more, from the generator's own 64 bits, a person at a time."""
    bits = np.random.PCG64(seed)
    for _ in range(count):
        # 53 bits make a float64 from 0 to 1, of which the first 30 are kept.
        drawn = [(int(bits.random_raw()) >> 11 >> 23) / 2**30 for _ in range(26)]
        hours = round(100 * (drawn[0] + drawn[1]) / 2) / 10
        chance, luck = sum(drawn[2:14]) - 6, sum(drawn[14:]) - 6
        score = min(max(round(30 + 5 * hours + 15 * chance), 0), 100)
        yield score, hours, int(score + 4 * hours + 12 * luck >= 75)


def test_shapes():
    data = load("pass_fail")
    for split, size in [(data.train, 1000), (data.test, 500)]:
        assert split.inputs.shape == (size, 2)
        assert split.inputs.dtype == np.float32
        assert split.inputs.flags.c_contiguous
        assert split.targets.shape == (size,)
        assert split.targets.dtype == np.int64
        assert set(split.targets) == {0, 1}
        assert 0.4 < split.targets.mean() < 0.6


def test_says_that_it_is_made_up():
    data = load("pass_fail")
    assert data.name == "pass_fail"
    assert "made-up" in data.title
    assert "made up by a generator" in data.source
    assert str(pass_fail.SEED) in data.source
    assert data.class_names == ("fail", "pass")
    assert data.digests == {"pass_fail": pass_fail.DIGEST}


def test_the_story_from_raw_bits():
    expected = np.array(list(people_from_raw_bits(pass_fail.SEED, 1500)))
    found = pass_fail.make_people(pass_fail.SEED, 1500)
    np.testing.assert_array_equal(found.score, expected[:, 0])
    np.testing.assert_array_equal(found.hours, expected[:, 1])
    np.testing.assert_array_equal(found.passed, expected[:, 2])
    data = load("pass_fail")
    mean, std = expected[:1000, :2].mean(axis=0), expected[:1000, :2].std(axis=0)
    for split, part in [(data.train, expected[:1000]), (data.test, expected[1000:])]:
        np.testing.assert_allclose(split.inputs, (part[:, :2] - mean) / std, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(split.targets, part[:, 2])


def test_numpy_s_global_generator_has_no_part_in_it():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = load("pass_fail").train.inputs
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.testing.assert_array_equal(first, load("pass_fail").train.inputs)


def test_no_classifier_is_perfect():
    """Equal numbers with both outcomes, and the share that the best prediction gets right."""
    people = pass_fail.make_people(1, 200_000)
    best = people.score + 4 * people.hours >= 75
    assert np.mean(best == people.passed) == pytest.approx(0.854, abs=0.003)
    outcomes = {}
    for score, hours, passed in zip(*people, strict=True):
        outcomes.setdefault((score, hours), set()).add(int(passed))
    assert sum(len(found) == 2 for found in outcomes.values()) > 1000


def test_a_straight_line_learns_it():
    data = load("pass_fail")
    line = LogisticRegression().fit(data.train.inputs, data.train.targets)
    assert 0.80 < line.score(data.test.inputs, data.test.targets) < 0.90


def test_a_folder_is_refused_rather_than_ignored(tmp_path):
    with pytest.raises(InputError, match=r"made up by a generator .* found .*some"):
        load("pass_fail", tmp_path / "some")


def test_the_variable_has_no_part_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NNCOMPARE_DATA", str(tmp_path / "nowhere"))
    assert len(load("pass_fail").train) == 1000


def test_a_numpy_that_draws_otherwise_is_noticed(monkeypatch):
    monkeypatch.setattr(pass_fail, "SEED", 1)
    with pytest.raises(InputError, match=r"draws other numbers .*use another version of NumPy"):
        load("pass_fail")
