"""Whether the sides did the same, step by step and at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from compare.records.run import NamedMistake
from compare.records.tables import ParityRow
from reports.wording import code, count, escaped, number, percent, plural, points


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
