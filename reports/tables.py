"""Markdown pipe tables."""

from __future__ import annotations

from collections.abc import Sequence


def pipe_table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A table; ``align`` has ``l`` or ``r`` for each column. Without rows there is no table."""
    if not rows:
        return ""
    rules = ["--:" if side == "r" else ":--" for side in align.ljust(len(columns), "l")]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rules, *rows))
