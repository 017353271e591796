"""Tables of the report, as Markdown pipe tables."""

from __future__ import annotations

from collections.abc import Sequence


def pipe_table(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> str:
    """A Markdown table; ``align`` has ``l`` or ``r`` for each column, ``l`` where it is short."""
    rules = [
        "--:" if place < len(align) and align[place] == "r" else ":--"
        for place in range(len(columns))
    ]
    lines = [columns, rules, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
