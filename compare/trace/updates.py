"""The optimizer's step: made again in float64 from what the second trace recorded."""

from __future__ import annotations

from collections.abc import Iterator

from compare.trace.format import Trace
from compare.trace.mapping import NameMap
from compare.trace.result import Site


def update_sites(a: Trace, b: Trace, names: NameMap, step: int) -> Iterator[Site]:
    """The sites of one step's update."""
    yield from ()
