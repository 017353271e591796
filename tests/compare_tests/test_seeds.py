"""What ``--seeds`` may say."""

from __future__ import annotations

import pytest

from compare.spec.loading import MOST_SEEDS, parse_seeds
from experiments.errors import InputError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0..9", list(range(10))),
        ("7", [7]),
        ("1,5,7", [1, 5, 7]),
        ("3..3", [3]),
        ("0..2,20", [0, 1, 2, 20]),
        (" 20 , 0..2 ", [20, 0, 1, 2]),
        ("4294967294..4294967295", [2**32 - 2, 2**32 - 1]),
        (f"0..{MOST_SEEDS - 1}", list(range(MOST_SEEDS))),
    ],
)
def test_right(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--seeds expects numbers and ranges such as 0..9 or 1,5,7, but got ''."),
        ("a", "but got 'a'."),
        ("-1", "but got '-1'."),
        ("0.9", "but got '0.9'."),
        ("0...9", "but got '0...9'."),
        ("0..", "but got '0..'."),
        ("1,,2", "but got '' in '1,,2'."),
        ("1,x", "but got 'x' in '1,x'."),
        ("٣", "but got '٣'."),
        ("9..0", "--seeds expects the smaller end of a range first, but got 9..0."),
        ("4294967296", "--seeds expects numbers from 0 to 4294967295, but got 4294967296."),
        ("0..4294967295", "--seeds expects at most 10,000 seeds, but '0..4294967295' has more."),
        (f"0..{MOST_SEEDS}", "at most 10,000 seeds"),
        ("0..9,5", "--seeds expects each seed once, but '0..9,5' has 5 twice."),
    ],
)
def test_wrong(text, message):
    with pytest.raises(InputError) as caught:
        parse_seeds(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
