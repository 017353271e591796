"""The scores of a class, as bars."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from reports.figures.style import BLUE, Drawing, Figure, paper, rendered, style
from reports.text import plural

# Bars between 0 and 1; those who lost nothing have one of their own.
TENTHS = 10


def score_counts(scores: Sequence[float]) -> list[int]:
    """How many scores are in each tenth from 0 to 1, without 1 itself, and how many are 1."""
    found = [0] * (TENTHS + 1)
    for score in scores:
        # 0.3 is in the tenth that begins with it, whatever its binary digits are.
        found[int(score * TENTHS + 1e-9) if score < 1 else TENTHS] += 1
    return found


def draw_scores(scores: Sequence[float]) -> Figure:
    """The distribution of the scores, as the first figure of a page.

    Args:
        scores: From 0 to 1, one for each submission.
    """
    counts = score_counts(scores)
    labels = [f"{i / TENTHS:g} to {(i + 1) / TENTHS:g}" for i in range(TENTHS)] + ["1"]
    with style():
        canvas, ((axis,),) = paper(4.6)
        bars = axis.bar(range(len(counts)), counts, width=0.85, color=BLUE)
        axis.bar_label(bars, [str(number) if number else "" for number in counts], padding=1.5)
        axis.set_xticks(range(len(counts)), labels)
        axis.set_xlabel("score")
        axis.set_ylabel("submissions")
        axis.set_ylim(0, max(counts) * 1.15 if any(counts) else 1)
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(visible=False, axis="x")
        filled = [
            f"{plural(number, 'score')} {'of' if label == '1' else 'from'} {label}"
            for number, label in zip(counts, labels, strict=True)
            if number
        ]
        return rendered(
            Drawing(
                "scores",
                canvas,
                "Scores. A bar holds those from its lower end on and below its upper end; those "
                "who lost nothing have the last bar.",
                f"Bars: {', '.join(filled) or 'none'}.",
            ),
            1,
        )
