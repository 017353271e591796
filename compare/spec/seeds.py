"""The seeds that a text such as ``0..9,20`` means."""

from __future__ import annotations

import re

from experiments.errors import InputError

LARGEST = 2**32 - 1
MOST_SEEDS = 10_000


def parse_seeds(text: str) -> list[int]:
    """Read numbers and ranges, both ends of a range included: ``0..9``, ``1,5,7``, ``0..4,20``.

    Raises:
        InputError: Something else, a falling range, a seed out of range or given twice, or more
            than :data:`MOST_SEEDS` of them.
    """
    seeds: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", part.strip(), re.ASCII)
        if ends is None:
            raise InputError(
                "--seeds expects numbers and ranges such as 0..9 or 1,5,7, but got "
                f"{part.strip()!r}{f' in {text!r}' if ',' in text else ''}."
            )
        first = int(ends[1])
        last = int(ends[2] or ends[1])
        if last < first:
            raise InputError(
                f"--seeds expects the smaller end of a range first, but got {ends[0]}."
            )
        if last > LARGEST:
            raise InputError(f"--seeds expects numbers from 0 to {LARGEST}, but got {last}.")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise InputError(
                f"--seeds expects at most {MOST_SEEDS:,} seeds, but {text!r} has more."
            )
        seeds += range(first, last + 1)
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise InputError(f"--seeds expects each seed once, but {text!r} has {twice} twice.")
    return seeds
