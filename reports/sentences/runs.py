"""What a run covers: how much of it was made, on which data, and what it comes to."""

from __future__ import annotations

from reports.wording import count, joined, plural


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
