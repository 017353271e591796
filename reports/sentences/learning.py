"""What the networks learned."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.wording import count, joined, percent, plural, points

SIGNIFICANCE = 0.05


def loss_change(side: str, first: float, last: float) -> str:
    """Whether training lowered the training loss."""
    if not math.isfinite(last):
        return f"{side}'s training loss is not a finite number at the end: the training diverged."
    if not math.isfinite(first):
        return f"{side}'s training loss was not a finite number at the start."
    if last < first:
        return f"{side}'s training loss fell from {first:.4f} to {last:.4f}."
    return f"{side}'s training loss did not fall: it went from {first:.4f} to {last:.4f}."


def accuracy_interval(share: float, low: float, high: float, rows: int) -> str:
    """How well a test set of so many rows determines NumPy's accuracy."""
    if rows == 0:
        return "Without test rows nothing is known of the accuracy on new data."
    return (
        f"NumPy's {percent(share)} of {plural(rows, 'test row')} stands for an accuracy on new "
        f"data between {percent(low, 1)} and {percent(high, 1)} (Wilson's 95% interval)."
    )


def best_and_worst(
    what: str,
    trainings: int,
    best: tuple[str, float | None, float | None],
    worst: tuple[str, float | None, float | None],
) -> str:
    """The ends of a ranking of many trainings: (label, NumPy's figure, PyTorch's)."""

    def told(end: tuple[str, float | None, float | None]) -> str:
        label, *figures = end
        numpy, torch = ("none" if figure is None else percent(figure) for figure in figures)
        return f"*{label}* with {numpy} (PyTorch {torch})"

    return (
        f"Of the {plural(trainings, 'training')} NumPy's best by final {what} is {told(best)}, "
        f"the worst {told(worst)}."
    )


def diverged(trainings: dict[str, int]) -> str:
    """In how many trainings a loss was not a finite number: side → how many."""
    if not any(trainings.values()):
        return "No training met a loss that is not a finite number."
    told = joined([f"{count(number)} with {side}" for side, number in trainings.items()])
    return f"Trainings that met a loss that is not a finite number: {told}."


def generalisation(train: float, test: float) -> str:
    """The final accuracy on the training set against that on the test set."""
    if math.isnan(train) or math.isnan(test):
        return "An accuracy is not a number, so nothing can be said of generalisation."
    if train > test:
        return (
            f"NumPy's accuracy on the training set, {percent(train)}, is {points(train - test)} "
            f"above that on the test set, {percent(test)}."
        )
    return (
        f"NumPy's accuracy on the training set, {percent(train)}, is not above that on the test "
        f"set, {percent(test)}."
    )


def better_optimizer(
    first: str, second: str, accuracies: tuple[float, float], only: tuple[int, int], p: float
) -> str:
    """Two optimizers on the same test rows, with McNemar's exact test on where they differ."""
    a, b = accuracies
    if not sum(only):
        return f"{first} and {second} are right on the same test rows: {percent(a)} each."
    test = (
        f"only {first} is right on {plural(only[0], 'row')} and only {second} on {count(only[1])}; "
        f"exact McNemar test, p {'< 0.001' if p < 0.001 else f'= {p:.3f}'}"
    )
    if p >= SIGNIFICANCE:
        return (
            f"No difference between {first} ({percent(a)}) and {second} ({percent(b)}) can be told "
            f"from these test rows ({test})."
        )
    winner, loser, high, low = (first, second, a, b) if a > b else (second, first, b, a)
    return (
        f"{winner} ends {points(high - low)} above {loser}, {percent(high)} against {percent(low)} "
        f"({test})."
    )


def reported_note(reasons: Sequence[str]) -> str:
    """Whether published figures can be compared with those of this run."""
    if reasons:
        return f"**The figures are not comparable**: this run {joined(reasons)}."
    return "The run is the full experiment, so the figures are comparable."


def reported_figure(
    what: str, by: str, value: float, numpy: float | None, torch: float | None
) -> str:
    """A published figure against the same quantity of both sides."""
    if numpy is None or torch is None:
        return f"This run has no {what} to set beside the {value:.4f} reported by {by}."
    if math.isnan(numpy) or math.isnan(torch):
        return f"The {what} of this run is not a number; {by} reported {value:.4f}."

    def offset(ours: float) -> str:
        if ours == value:
            return "equal to it"
        return f"{abs(ours - value):.4f} {'above' if ours > value else 'below'}"

    return (
        f"For the {what} ({value:.4f} reported by {by}) NumPy here is {offset(numpy)}, PyTorch "
        f"here {offset(torch)}."
    )


def confusion(side: str, pairs: Sequence[tuple[str, str, int]], wrong: int, rows: int) -> str:
    """How many test rows a side gets wrong and what it takes for what most often."""
    if rows == 0:
        return f"{side} has no recorded predictions."
    if wrong == 0:
        return f"{side} classifies all {plural(rows, 'test row')} rightly."
    said = f"{side} gets {count(wrong)} of {plural(rows, 'test row')} wrong"
    true, taken, times = pairs[0]
    return f"{said}; most often it takes {true} for {taken} ({plural(times, 'time')})."


def over_seeds(what: str, side: str, values: Sequence[float]) -> str:
    """The mean and range of a quantity over several seeds."""
    if not all(math.isfinite(value) for value in values):
        return f"{side}'s {what} is not a number for at least one seed."
    mean = sum(values) / len(values)
    return (
        f"Over {plural(len(values), 'seed')} {side}'s {what} is {percent(mean)} on average, from "
        f"{percent(min(values))} to {percent(max(values))}."
    )
