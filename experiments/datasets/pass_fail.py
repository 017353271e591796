"""Who passes a course, from the score of an exam and the hours of study: made-up data.

Nobody was asked: the rows come from a generator with a fixed seed of its own. With z and z' two
independent sums of 12 uniform numbers, less 6 (mean 0, standard deviation 1, nearly normal), and
h the mean of two uniform numbers, a person

- studies H = 10 h hours a week, to the tenth of an hour (0 to 10, most often 5);
- scores S = 30 + 5 H + 15 z in the exam, to the whole point, from 0 to 100;
- passes if S + 4 H + 12 z' ≥ 75, where z' is what neither number tells.

The best that anybody can predict is a pass where S + 4 H ≥ 75. That is right for 85% of all people
and no classifier is right for all: with z' = 0 the two classes would be separable. About half pass.

1,000 rows are trained on, some three for each of the 354 values of a 2-16-16-2 network; with 500
test rows the standard error of an accuracy of 85% is 1.6 points.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.datasets.dataset import Dataset, Split, standard_of
from experiments.errors import InputError

SEED = 20260101
TRAIN_ROWS, TEST_ROWS = 1000, 500
CLASS_NAMES = ("fail", "pass")
NAME = "pass_fail"
DIGEST = "38cef8701aab3158afdd5cb70709bcf7"
"""MD5 of score, tenths of an hour and pass of all rows, as little-endian int16."""

_BITS = 30


class People(NamedTuple):
    """What was made up, in the units of the story.

    Attributes:
        score: points, (N,), whole numbers from 0 to 100.
        hours: hours a week, (N,), in tenths from 0 to 10.
        passed: int64, (N,), 1 for a pass.
    """

    score: NDArray[np.float64]
    hours: NDArray[np.float64]
    passed: NDArray[np.int64]


def make_people(seed: int, count: int) -> People:
    """Draw so many people from NumPy's PCG64 with this seed.

    Only sums, products and roundings are used, and the uniform numbers have 30 bits, so that
    their sums are exact in whatever order they are added: every machine makes the same people.
    """
    drawn = np.random.Generator(np.random.PCG64(seed)).random((count, 26))
    uniform = np.floor(drawn * 2**_BITS) / 2**_BITS
    hours = np.rint(100 * (uniform[:, 0] + uniform[:, 1]) / 2) / 10
    chance, luck = uniform[:, 2:14].sum(axis=1) - 6, uniform[:, 14:].sum(axis=1) - 6
    score = np.clip(np.rint(30 + 5 * hours + 15 * chance), 0, 100)
    passed = score + 4 * hours + 12 * luck >= 75
    return People(score, hours, passed.astype(np.int64))


def load_pass_fail(
    data_dir: str | os.PathLike[str] | None,
    cache_dir: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
) -> Dataset:
    """Make the data set; both features are standardised on the training rows.

    The first column of the inputs is the exam score, the second the hours of study.

    Raises:
        InputError: a data folder was given, which would go unread, or this NumPy draws other
            numbers from the seed than NumPy did when the data set was published.
    """
    if data_dir is not None:
        raise InputError(
            f"The data set {NAME} is made up by a generator and is not read from a folder: "
            f"expected no data folder with it, found {os.fspath(data_dir)}."
        )
    people = make_people(SEED, TRAIN_ROWS + TEST_ROWS)
    digest = digest_of(people)
    if digest != DIGEST:
        raise InputError(
            f"NumPy {np.__version__} draws other numbers for the data set {NAME}: expected rows "
            f"with MD5 {DIGEST}, found {digest}; use another version of NumPy."
        )
    rows = np.column_stack([people.score, people.hours])
    inputs = standard_of(rows[:TRAIN_ROWS]).apply(rows)
    train, test = slice(TRAIN_ROWS), slice(TRAIN_ROWS, None)
    return Dataset(
        name=NAME,
        title="made-up students who pass or fail, from exam score and study hours",
        train=Split(inputs[train], people.passed[train]),
        test=Split(inputs[test], people.passed[test]),
        class_names=CLASS_NAMES,
        source=f"made up by a generator (NumPy's PCG64 with the seed {SEED}), not observed",
        licence="none needed: the rows are made up",
        digests={NAME: digest},
    )


def digest_of(people: People) -> str:
    """The MD5 of the rows as they were made, before they are standardised."""
    table = np.column_stack([people.score, np.rint(10 * people.hours), people.passed])
    return hashlib.md5(table.astype("<i2").tobytes(), usedforsecurity=False).hexdigest()
