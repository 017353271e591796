"""Every claim of the report, each made from the numbers of a run and opposite when they are.

A function takes plain numbers and returns one or two sentences of Markdown. Nothing here looks
anything up, so that each can be tried with either outcome.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from compare.records import NamedMistake
from compare.tables import ParityRow
from reports.wording import code, count, escaped, joined, number, percent, plural, points

ENOUGH_STEPS = 10
SIGNIFICANCE = 0.05


def completeness(complete: bool, finished: int, planned: int) -> str:
    """What a run that was broken off has to say first; nothing for a complete one."""
    if complete:
        return ""
    return (
        f"**This run is incomplete**: {finished} of {plural(planned, 'training')} "
        f"{'was' if finished == 1 else 'were'} finished before it was broken off. What follows "
        "describes what was recorded until then."
    )


def extent(sample: bool, max_steps: int | None, data_title: str) -> str:
    """Whether the run did less than the experiment says; nothing if it did all."""
    reasons = []
    if sample:
        reasons.append(f"used {data_title} instead of the full data set")
    if max_steps is not None:
        reasons.append(f"stopped each training after {plural(max_steps, 'step')}")
    if not reasons:
        return ""
    return f"This run {joined(reasons)}; its figures are not those of the full experiment."


def failure(label: str, seed: int, error: str) -> str:
    """A training that ended in an error while the others went on."""
    return f"**The training {label} with seed {seed} failed** and is missing here: {error}"


def more_failures(number: int) -> str:
    """How many failed beyond those that are listed."""
    return f"**{plural(number, 'more training')} failed**; run.json has them." if number > 0 else ""


def broken_off(finished: bool, steps: int) -> str:
    """What a training that was not finished has to say; nothing for a finished one."""
    if finished:
        return ""
    return f"This training was broken off after {plural(steps, 'step')}."


def initial_bits(values: int, differing: int, copied: bool) -> str:
    """The comparison at step 0."""
    said = f"{plural(values, 'value')} compared, {plural(differing, 'bit')} "
    said += "differs" if differing == 1 else "differ"
    if values == 0:
        return "No starting value was compared, so nothing is known of the start."
    if differing == 0:
        return f"{said}: both sides start from the same network, with nothing copied across."
    if copied:
        return f"{said}, so PyTorch was given NumPy's values before training began."
    return f"{said}, and nothing was copied: the two trainings start apart."


def initial_of_many(bits: Sequence[int], copied: int) -> str:
    """The comparison at step 0 of many trainings."""
    apart = [number for number in bits if number]
    if not apart:
        return "no bit differs in any of them, with nothing copied across."
    span = f"between {count(min(apart))} and {plural(max(apart), 'bit')} differ"
    said = f"in {count(len(bits) - len(apart))} no bit differs; in {count(len(apart))} {span}"
    if len(apart) == len(bits):
        said = f"in each of them {span}"
    if copied == len(apart):
        return f"{said}, and there PyTorch was given NumPy's values before training began."
    return (
        f"{said}; PyTorch was given NumPy's values in {count(copied)} of these, the others start "
        "apart."
    )


def parity(compared: int, failed: int) -> str:
    """The verdict on all comparisons of a training."""
    if compared == 0:
        return "Nothing was compared, so parity is not shown."
    if failed == 0:
        return (
            f"All {count(compared)} comparisons pass."
            if compared > 1
            else "The only comparison passes."
        )
    verb = "fails" if failed == 1 else "fail"
    return f"**{count(failed)} of {plural(compared, 'comparison')} {verb}.**"


def nearest_pass(worst: float) -> str:
    """How much of its bound the worst passing comparison uses."""
    return f"The passing comparison nearest to its bound uses {percent(worst, 1)} of it."


def first_divergence(row: ParityRow | None) -> str:
    """Where the two sides part first."""
    if row is None:
        return "No site diverges."
    if row.site.startswith("initial/"):
        name = row.site.removeprefix("initial/")
        return (
            f"The first divergence is at step 0: {code(name)} starts with "
            f"{row.numpy_error:.0f} bits different."
        )
    if row.site == "shuffle":
        return (
            f"The first divergence is at step {count(row.step)}: the two sides draw different "
            "orders of the training rows."
        )
    return (
        f"The first divergence is at step {count(row.step)}, {row.dtype}, at the site "
        f"{code(row.site)}: NumPy is {number(row.numpy_error)} from the float64 referee, PyTorch "
        f"{number(row.torch_error)}; the bound is {number(row.tolerance)}, and "
        + (
            f"the smallest one that would pass is {number(row.numpy_error)}."
            if math.isfinite(row.numpy_error)
            else "none would pass."
        )
    )


def named_mistake(mistake: NamedMistake | None) -> str:
    """Which mistake, put in the place of the code there, gives the values that were found."""
    if mistake is None:
        return "No mistake of the catalogue gives the values that were found there."
    return (
        f"The mistake {code(mistake.code)}, put in the place of the code there, gives the very "
        f"values that were found: {escaped(mistake.explanation)}."
    )


def certificate(compared: int, failed: int, certified: int, steps: int, dtype: str) -> str:
    """What the comparisons say of the whole training."""
    if certified == 0 or compared == 0:
        return "No step was certified, so nothing can be said of the training as a whole."
    if failed == 0:
        return (
            f"Each of the {plural(certified, 'certified step')}, of {count(steps)}, is faithful to "
            f"rounding: by induction NumPy's run is a {dtype} run of the training that was "
            "specified, however far it has drifted from PyTorch's."
        )
    return (
        f"Of the {plural(certified, 'certified step')} at least one is not faithful to rounding: "
        "NumPy's run is not shown to be the training that was specified."
    )


def kinks(places: int, flips: int, largest: float) -> str:
    """Values that rounding put on the other side of an activation's kink."""
    if places == 0:
        return "The network has no activation with a kink, or none was looked at."
    looked = f"Of {plural(places, 'activation input')} at the certified steps"
    if flips == 0:
        return f"{looked}, none lies on another side of the kink in float64 than in NumPy's run."
    verb = "lies" if flips == 1 else "lie"
    return (
        f"{looked}, {count(flips)} {verb} on another side of the kink in float64 than in NumPy's "
        f"run, at most {number(largest)} from it; there the referee takes NumPy's side."
    )


def loss_change(side: str, first: float, last: float) -> str:
    """Whether training lowered the training loss."""
    if not math.isfinite(last):
        return f"{side}'s training loss is not a finite number at the end: the training diverged."
    if not math.isfinite(first):
        return f"{side}'s training loss was not a finite number at the start."
    if last < first:
        return f"{side}'s training loss fell from {first:.4f} to {last:.4f}."
    return f"{side}'s training loss did not fall: it went from {first:.4f} to {last:.4f}."


def loss_gap(largest: float, step: int | None, values: int, equal: int) -> str:
    """The largest difference between the two sides' batch losses."""
    if values == 0:
        return "No batch loss was recorded on both sides."
    if not math.isfinite(largest):
        return "At least one batch loss is not a finite number, nor is the largest difference."
    if largest == 0:
        batches = plural(values, "batch", "batches")
        return f"The two sides' losses are equal to the bit on all {batches}."
    return (
        f"The two sides' losses are equal to the bit on {count(equal)} of "
        f"{plural(values, 'batch', 'batches')}; they differ by at most {number(largest)}, at step "
        f"{count(step or 0)}."
    )


def accuracy_gap(differences: Sequence[float], what: str) -> str:
    """How often and how far the two sides' accuracies differ along a training."""
    if not differences:
        return f"The {what} was not measured on both sides."
    if not all(math.isfinite(difference) for difference in differences):
        return f"At least one {what} is not a number."
    several = what.replace("accuracy", "accuracies")
    apart = sum(difference > 0 for difference in differences)
    evaluations = plural(len(differences), "evaluation")
    if apart == 0:
        every = f"all {evaluations}" if len(differences) > 1 else "the only evaluation"
        return f"Their {several} are equal at {every}."
    return (
        f"Their {several} differ at {count(apart)} of {evaluations}, by at most "
        f"{points(max(differences))}."
    )


def gaps_of_many(losses: Sequence[float], accuracies: Sequence[float], what: str) -> str:
    """The largest differences between the two sides over many trainings."""
    finite = [gap for gap in losses if math.isfinite(gap)]
    said = "No batch loss is finite on both sides"
    if finite:
        said = f"The two sides' batch losses differ by at most {number(max(finite))}"
        if len(finite) < len(losses):
            said += f" in the {count(len(finite))} in which every loss is finite"
    known = [gap for gap in accuracies if math.isfinite(gap)]
    if not known:
        return f"{said}."
    several = what.replace("accuracy", "accuracies")
    return f"{said}, their {several} by at most {points(max(known))}."


def final_gaps(gaps: Sequence[float], what: str) -> str:
    """How far the two sides' final accuracies are from each other, over many trainings."""
    known = [gap for gap in gaps if math.isfinite(gap)]
    if not known:
        return f"No {what} was measured on both sides."
    equal = sum(gap == 0 for gap in known)
    said = f"The two sides end at the same {what} in {count(equal)} of {count(len(known))}"
    return f"{said}." if equal == len(known) else f"{said}, at most {points(max(known))} apart."


def side_agreement(numpy: float | None, torch: float | None, what: str) -> str:
    """How far the two sides' final accuracies are from each other."""
    if numpy is None or torch is None:
        return f"No {what} was measured after training began."
    if math.isnan(numpy) or math.isnan(torch):
        return f"The {what} of at least one side is not a number."
    if numpy == torch:
        return f"Both sides end at the same {what}, {percent(numpy)}."
    return (
        f"The two sides end {points(numpy - torch)} of {what} apart: {percent(numpy)} with NumPy, "
        f"{percent(torch)} with PyTorch."
    )


def accuracy_interval(share: float, low: float, high: float, rows: int) -> str:
    """How well a test set of so many rows determines NumPy's accuracy."""
    if rows == 0:
        return "Without test rows nothing is known of the accuracy on new data."
    return (
        f"NumPy's {percent(share)} of {plural(rows, 'test row')} stands for an accuracy on new "
        f"data between {percent(low, 1)} and {percent(high, 1)} (Wilson's 95% interval)."
    )


def same_predictions(different: int, rows: int) -> str:
    """On how many test rows the two sides' answers differ."""
    if rows == 0:
        return "No test prediction was recorded."
    if different == 0:
        return f"The two sides predict the same class for all {plural(rows, 'test row')}."
    return (
        f"The two sides predict different classes for {count(different)} of "
        f"{plural(rows, 'test row')}."
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


def speed(ratio: float, low: float, high: float, steps: int) -> str:
    """Time a step: ``ratio`` is PyTorch's time over NumPy's, with its 95% interval."""
    if steps < ENOUGH_STEPS:
        return (
            f"Only {plural(steps, 'step')} could be timed on both sides: too few to compare speeds."
        )
    if low <= 1.0 <= high:
        return (
            f"No difference in speed can be told: the 95% interval of the ratio, {low:.2f} to "
            f"{high:.2f}, contains 1 ({plural(steps, 'step')})."
        )
    if ratio > 1:
        return (
            f"NumPy is {ratio:.2f} times as fast as PyTorch (95% interval {low:.2f} to {high:.2f}, "
            f"{plural(steps, 'step')})."
        )
    return (
        f"NumPy is slower than PyTorch: it takes {1 / ratio:.2f} times as long "
        f"(95% interval {1 / high:.2f} to {1 / low:.2f}, {plural(steps, 'step')})."
    )


def speed_of_many(ratios: Sequence[float]) -> str:
    """The median times a step, PyTorch's over NumPy's, over many trainings."""
    if len(ratios) == 1:
        return f"PyTorch's median time over NumPy's is {ratios[0]:.2f}."
    faster = sum(ratio > 1 for ratio in ratios)
    return (
        f"NumPy has the lower median time in {count(faster)} of {count(len(ratios))}; PyTorch's "
        f"time over NumPy's is between {min(ratios):.2f} and {max(ratios):.2f}."
    )


def nothing_timed() -> str:
    """When every step was certified, or none was made."""
    return "No step was timed: certified steps are not, as they do more than train."


def drift(step: int, numpy: float, torch: float, replicas: Sequence[float]) -> str:
    """NumPy's distance from the float64 run among those of right PyTorch runs."""
    others = [torch, *replicas]
    if not all(math.isfinite(value) for value in (numpy, *others)):
        return f"After {plural(step, 'step')} at least one distance is not a finite number."
    nearest, farthest = min(others), max(others)
    said = (
        f"After {plural(step, 'step')} NumPy's weights are {number(numpy)} from PyTorch's float64 "
        f"run, those of the {plural(len(others), 'PyTorch run')} between {number(nearest)} and "
        f"{number(farthest)}: NumPy lies"
    )
    if number(numpy) in (number(nearest), number(farthest)):
        return f"{said} level with one of them."
    if numpy > farthest:
        times = f", {numpy / farthest:.2f} times as far" if farthest > 0 else ""
        return f"{said} beyond the farthest of them{times}."
    return f"{said} {'nearer than any of' if numpy < nearest else 'among'} them."


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


def conclusion(compared: int, failed: int, complete: bool) -> str:
    """What the whole run shows about the NumPy network."""
    if compared == 0:
        return "Nothing was compared, so the run does not show that the two networks are the same."
    if failed:
        return (
            f"The two sides are **not** the same network trained the same way: {count(failed)} of "
            f"{plural(compared, 'comparison')} failed."
        )
    so_far = "" if complete else ", as far as the run went"
    return (
        f"The NumPy network is the PyTorch network, trained the same way{so_far}: all "
        f"{plural(compared, 'comparison')} of values, gradients and updates agree to rounding."
    )
