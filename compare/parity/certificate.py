"""Was this training step faithful to rounding? Every site of it is compared.

A step of the NumPy run is recorded: the state before it, what went into and out of every module,
and the state after. Each stage is then judged alone, from the very values that it had in the run,
so that neither an early fault nor bad conditioning affects what comes later:

- float32: NumPy's values and PyTorch's float32 values against PyTorch's float64 values;
- float64: both backends in float64 from the same inputs, under a random output gradient;
- whole: the step end to end in both backends in float64, which shows that the stages are
  connected as specified.

Of a large batch the two checks in float64 take a few rows, others at each step
(:mod:`compare.parity.rows`): they judge formulas and connections, which every row has alike. What
the run itself computed is judged on all of its rows. A certified step so makes 13 products of
matrices for each of a plain step's 3, and 21 more on the few rows. Modules that pass values on,
as ReLU and pooling do, are not run again for the sizes of their values, and where nothing is
rounded PyTorch's float32 values stand for the referee's, which are the same.

A certified step that is faithful is the step that was specified, computed in float32. Where every
step of a run was certified so is the run, however far it has drifted from another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from compare.backends import Backend, Call, RecordedStep, Referee, Stage, State
from compare.backends.protocol import Arrays
from compare.parity import tolerances
from compare.parity.comparison import (
    Comparison,
    Follower,
    References,
    SiteValues,
    compare_sites,
    in_execution_order,
)
from compare.parity.rows import MIXES_ROWS, batch_of_rows, call_of_rows, chosen_rows
from compare.parity.sizes import (
    KINKED_AT_ZERO,
    KINKS,
    passed_on,
    sizes_of_passed,
    unrounded,
    update_sizes,
)
from compare.parity.stages import (
    class_of,
    longest_sum,
    recorded_stage,
    run_stage,
    stage_sites,
    stage_sizes,
    step_sites,
    update_sites,
)
from compare.parity.tolerances import NOISE
from compare.records.run import KinkCount


def certify(
    step: RecordedStep, references: References, seed: int, follower: Follower | None = None
) -> tuple[list[Comparison], KinkCount]:
    """Compare every site of a recorded step of the NumPy backend.

    Args:
        step: The step, as :meth:`Backend.record_step` gives it.
        references: The other backends.
        seed: For the random output gradients.
        follower: Keeps one number of each stage alone.

    Returns:
        The comparisons in the order of execution, and the places near a kink.
    """
    random = np.random.default_rng(seed)
    rows = chosen_rows(len(step.targets), seed)
    stages = in_execution_order(
        certify_call(call, step, references, random, follower, rows) for call in step.calls
    )
    update = list(certify_update(step, references, follower))
    kinks = count_kinks(step, references.torch64)
    whole = certify_whole(step, references, seed, rows)
    return [*stages, *update, *whole], kinks


# ---- Each stage alone


def certify_call(
    call: Call,
    step: RecordedStep,
    references: References,
    random: np.random.Generator,
    follower: Follower | None = None,
    rows: np.ndarray | None = None,
) -> Iterable[Comparison]:
    """Compare one module, or the loss, alone: as it was in the step, and again in float64.

    The latter with ``rows`` of the batch alone, where they are given and the module treats rows
    alike.
    """
    if call.grad_output is None or call.grad_input is None:
        # The backward pass went past the module without calling it.
        return [Comparison(step.dtype, f"backward/{call.name}/grad_input", np.inf, 0.0, 0.0)]
    terms = longest_sum(call, step.before.of_module(call.name))
    return compare_sites(terms, _site_values(call, step, references, random, rows), follower)


def _site_values(
    call: Call,
    step: RecordedStep,
    references: References,
    random: np.random.Generator,
    rows: np.ndarray | None,
) -> Iterator[SiteValues]:
    numpy64, torch32, torch64 = references
    module = None if call.name == "loss" else torch64.module(call.name)
    passes_on = module is not None and passed_on(module)
    same_in_both = module is not None and unrounded(module)

    def again(backend: Backend, call: Call, dy: np.ndarray, input_too: bool = True) -> Stage:
        return run_stage(backend, call, step, dy, input_too)

    def sizes(call: Call, dy: np.ndarray, exact: Stage, input_too: bool = True) -> Stage:
        if passes_on:
            return sizes_of_passed(exact)
        return stage_sizes(torch64, call, step, dy, input_too)

    def judged(call: Call, dy: np.ndarray, input_too: bool = True) -> tuple[Arrays, Arrays, Arrays]:
        """PyTorch's values in the precision of the step, the referee's, and their sizes."""
        if step.dtype == "float64" or same_in_both:
            exact = again(torch32 if step.dtype == "float32" else torch64, call, dy, input_too)
            near = exact
        else:
            near, exact = (again(one, call, dy, input_too) for one in (torch32, torch64))
        stages = near, exact, sizes(call, dy, exact, input_too)
        torch, referee, summed = (stage_sites(call.name, stage) for stage in stages)
        return torch, referee, summed

    dy = call.grad_output
    assert dy is not None
    kind = class_of(torch64, call)
    actual = stage_sites(call.name, recorded_stage(call, step))
    # No step needs the gradient by the data: of a large batch some rows of it are judged.
    half = None if rows is None or call is not step.calls[0] else rows[::2]
    some = call if kind in MIXES_ROWS else call_of_rows(call, half)
    values = judged(call, dy, some is call)
    site = f"backward/{call.name}/grad_input"
    if some is not call:
        del values[1][site]
    yield SiteValues(step.dtype, actual, *values)
    if some is not call:
        assert half is not None
        given = actual[site]
        found = {site: given[half] if given.shape == call.input.shape else given}
        runs = judged(some, dy[half])
        yield SiteValues(step.dtype, found, *({site: run[site]} for run in runs))
    few = call_of_rows(call, rows)
    drawn = random.standard_normal(few.output.shape)
    exact = again(torch64, few, drawn)
    stages = again(numpy64, few, drawn), exact, exact, sizes(few, drawn, exact)
    yield SiteValues("float64", *(stage_sites(call.name, stage) for stage in stages))


def certify_update(
    step: RecordedStep, references: References, follower: Follower | None = None
) -> Iterator[Comparison]:
    """Compare the optimizer's step alone: from the same state with the same gradients."""
    numpy64, torch32, torch64 = references
    maximize = torch64.optimizer.param_groups[0].get("maximize", False)

    def again(backend: Backend) -> Arrays:
        return update_sites(backend.update_stage(step.before, step.gradients), step)

    referee = again(torch64)
    sizes = update_sites(update_sizes(torch64, step.before, step.gradients, maximize), step)
    site_values = {
        "float64": SiteValues("float64", again(numpy64), referee, referee, sizes),
        # A step that was itself made in float64 stands in the place of the one made again.
        step.dtype: SiteValues(
            step.dtype, update_sites(step.after, step), again(torch32), referee, sizes
        ),
    }
    yield from compare_sites(1, site_values.values(), follower)


# ---- The step end to end


def certify_whole(
    step: RecordedStep, references: References, seed: int, rows: np.ndarray | None = None
) -> list[Comparison]:
    """Make the step again in both backends in float64, from the same state; compare every value.

    What rounding at one stage does to the stages after it depends on the network and the batch.
    It is measured: the referee makes the step once more with noise of NOISE times the size of
    what was summed at every stage, and the change that this makes, divided by NOISE, is added to
    the size of each value (Parker, Monte Carlo Arithmetic, 1997).

    Args:
        step: The step of the NumPy run.
        references: The other backends.
        seed: For the noise.
        rows: Make it with these rows of the batch; with all if None. Either is a step of the
            network, batch normalisation or not: both backends make the same.

    Returns:
        The comparisons in the order of execution.
    """
    numpy64, _, torch64 = references
    step = batch_of_rows(step, rows)
    before = State(step.before.model)  # the update is judged elsewhere
    numpy64.load(before)
    numpy64.give_masks(step.masks)
    numpy = numpy64.record_step(_batch(numpy64, step), update=False)
    kinks = {call.name: call.input for call in numpy.calls if class_of(torch64, call) in KINKS}

    def replayed(noise: dict[str, tuple[np.ndarray, np.ndarray]] | None = None) -> RecordedStep:
        torch64.load(before)
        torch64.give_masks(step.masks)
        batch = _batch(torch64, step)
        return torch64.replay(
            batch, kinks, noise, seed, update=False, kink_width=tolerances.KINK_WIDTH
        )

    torch = replayed()
    if [call.name for call in numpy.calls] != [call.name for call in torch.calls]:
        missing = Comparison("float64", "whole/forward", np.inf, 0.0, 0.0)
        return [missing]
    # A step of a large network takes gigabytes: each is let go as soon as it can be.
    exact = _recorded_sites(torch)
    apart = {
        site: largest_difference(value, exact[site])
        for site, value in _recorded_sites(numpy).items()
    }
    del numpy
    for call in torch.calls:
        call.mask = step.masks.get(call.name)
    sizes = {
        call.name: sizes_of_passed(recorded_stage(call, torch))
        if call.name != "loss" and passed_on(torch64.module(call.name))
        else stage_sizes(torch64, call, torch, call.grad_output)
        for call in torch.calls
        if call.grad_output is not None
    }
    noise = {name: (NOISE * s.output, NOISE * s.grad_input) for name, s in sizes.items()}
    largest = {site: largest_size(size) for site, size in step_sites(sizes).items()}
    del sizes
    moved = _recorded_sites(replayed(noise))
    del noise

    longest = max(longest_sum(c, torch.before.of_module(c.name)) for c in torch.calls)
    bound = tolerances.float64_bound(longest)
    found = []
    for site, size in largest.items():
        if site not in apart:
            found.append(Comparison("float64", f"whole/{site}", np.inf, 0.0, 0.0))
            continue
        with np.errstate(invalid="ignore"):
            change = np.abs(moved[site] - exact[site]) / NOISE
        whole = max(size + largest_size(change), tolerances.SMALLEST_NORMAL["float64"])
        found.append(Comparison("float64", f"whole/{site}", apart[site] / whole, 0.0, bound))
    return found


def _batch(backend: Backend, step: RecordedStep) -> Any:
    return backend.batch(backend.rows(step.inputs, step.targets), np.arange(len(step.targets)))


def _recorded_sites(step: RecordedStep) -> Arrays:
    return step_sites({call.name: recorded_stage(call, step) for call in step.calls})


def largest_difference(value: np.ndarray, exact: np.ndarray) -> float:
    """The largest |value − exact|; what overflowed in both counts as equal."""
    if (lost := tolerances.overflowed_alike(value, exact)).any():
        value, exact = np.where(lost, 0.0, value), np.where(lost, 0.0, exact)
    return tolerances.whole_error(value, exact, 1.0)


def largest_size(sizes: np.ndarray) -> float:
    """The largest finite one."""
    return float(np.max(sizes, initial=0.0, where=np.isfinite(sizes)))


def count_kinks(step: RecordedStep, referee: Referee) -> KinkCount:
    """Where NumPy's input and the referee's lie on different sides of a kink at 0, in all rows."""
    places = flips = 0
    largest = 0.0
    kinked = [
        call.name
        for call in step.calls
        if call.name != "loss" and class_of(referee, call) in KINKED_AT_ZERO
    ]
    if not kinked:
        return KinkCount(step=-1, places=0, flips=0, largest=0.0)
    referee.load(State(step.before.model))
    referee.give_masks(step.masks)
    exact = referee.module_inputs(_batch(referee, step), kinked)
    for call in step.calls:
        if call.name not in exact:
            continue
        other = exact[call.name]
        different = (call.input > 0) != (other > 0)
        places += call.input.size
        flips += int(different.sum())
        if different.any():
            largest = max(largest, float(np.abs(other[different]).max()))
    return KinkCount(step=-1, places=places, flips=flips, largest=largest)
