"""Every claim of the report, each made from the numbers of a run and opposite when they are.

A function takes plain numbers and returns one or two sentences of Markdown. Nothing here looks
anything up, so that each can be tried with either outcome.
"""

from reports.sentences.agreement import (
    accuracy_gap,
    certificate,
    drift,
    final_gaps,
    first_divergence,
    gaps_of_many,
    initial_bits,
    initial_of_many,
    kinks,
    loss_gap,
    named_mistake,
    nearest_pass,
    parity,
    same_predictions,
    side_agreement,
)
from reports.sentences.learning import (
    accuracy_interval,
    best_and_worst,
    better_optimizer,
    confusion,
    diverged,
    generalisation,
    loss_change,
    over_seeds,
    reported_figure,
    reported_note,
)
from reports.sentences.runs import (
    broken_off,
    completeness,
    conclusion,
    extent,
    failure,
    more_failures,
)
from reports.sentences.timing import (
    nothing_timed,
    speed,
    speed_of_many,
)

__all__ = [
    "accuracy_gap",
    "accuracy_interval",
    "best_and_worst",
    "better_optimizer",
    "broken_off",
    "certificate",
    "completeness",
    "conclusion",
    "confusion",
    "diverged",
    "drift",
    "extent",
    "failure",
    "final_gaps",
    "first_divergence",
    "gaps_of_many",
    "generalisation",
    "initial_bits",
    "initial_of_many",
    "kinks",
    "loss_change",
    "loss_gap",
    "more_failures",
    "named_mistake",
    "nearest_pass",
    "nothing_timed",
    "over_seeds",
    "parity",
    "reported_figure",
    "reported_note",
    "same_predictions",
    "side_agreement",
    "speed",
    "speed_of_many",
]
