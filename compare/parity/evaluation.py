"""Does the trained network compute right in evaluation mode? Every module's output is compared.

Training and evaluation are two programs where a module has two modes: batch normalisation uses its
running statistics there, dropout passes its input on. What is said of test data rests on the
second. The forward pass over some rows is recorded and judged as a training step is
(:mod:`compare.parity.certificate`): each module alone from the values that it was given in
float32, again in float64, and the pass from end to end in float64. There is no backward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from compare.backends import Backend, Call, Referee, State
from compare.backends.protocol import Arrays
from compare.parity import tolerances
from compare.parity.certificate import largest_difference, largest_size
from compare.parity.comparison import Comparison, References, SiteValues, compare_sites
from compare.parity.sizes import LOSSES, module_sizes, passed_on, sums_products
from compare.parity.stages import class_of, longest_sum
from compare.parity.tolerances import NOISE

EVALUATION_ROWS, FEW_EVALUATION_ROWS = 100, 8
"""So many rows are evaluated, of large networks fewer: in this mode no row depends on another."""


def certify_evaluation(
    calls: list[Call],
    state: State,
    inputs: np.ndarray,
    targets: np.ndarray,
    references: References,
    seed: int,
) -> list[Comparison]:
    """Compare every module's output, and the loss, of a recorded pass of the NumPy backend.

    Args:
        calls: The pass, as :meth:`Backend.record_evaluation` gives it.
        state: The state of the network.
        inputs, targets: The rows.
        references: The other backends.
        seed: For the noise of the pass from end to end.

    Returns:
        The comparisons in the order of execution.
    """
    for reference in references:
        reference.load(State(state.model))
    alone = [one for call in calls for one in _alone(call, state, targets, references)]
    return [*alone, *_end_to_end(inputs, targets, state, references, seed)]


def _site(call: Call) -> str:
    return f"evaluation/{call.name}/output"


def _alone(
    call: Call, state: State, targets: np.ndarray, references: References
) -> Iterable[Comparison]:
    own, site, dtype = state.of_module(call.name), _site(call), str(call.output.dtype)

    def again(backend: Backend) -> Arrays:
        if call.name == "loss":
            return {site: backend.loss_stage(call.input, targets, 1.0).output}
        return {site: backend.evaluation_stage(call.name, own, call.input)}

    numpy64, torch32, torch64 = (again(backend) for backend in references)
    sizes = {site: evaluation_size(references.torch64, call, own, targets, torch64[site])}
    values = {
        "float64": SiteValues("float64", numpy64, torch64, torch64, sizes),
        # A pass that was itself made in float64 stands in the place of the one made again.
        dtype: SiteValues(dtype, {site: call.output}, torch32, torch64, sizes),
    }
    yield from compare_sites(longest_sum(call, own), values.values())


def evaluation_size(
    referee: Referee, call: Call, state: Arrays, targets: np.ndarray, output: np.ndarray
) -> np.ndarray:
    """What is summed, in absolute values, to make the output of a module in evaluation mode.

    Args:
        referee: A float64 backend that has the module.
        call: The module's name and input.
        state: Its parameters and buffers.
        targets: For the loss.
        output: The referee's own.
    """
    kind = class_of(referee, call)
    if call.name == "loss":
        return LOSSES[kind](call.input, targets, 1.0).output
    if passed_on(referee.module(call.name)):
        return np.abs(output)
    if sums_products(kind):
        absolute = {key: np.abs(value) for key, value in state.items()}
        return np.abs(referee.evaluation_stage(call.name, absolute, np.abs(call.input)))
    if kind.startswith("BatchNorm") and "running_mean" in state:
        # |γ| (|x| + |running mean|) / √(running variance + ε) + |β|
        each = (1, -1) + (1,) * (call.input.ndim - 2)
        wide = {key: np.float64(value).reshape(each) for key, value in state.items() if value.ndim}
        terms = np.abs(np.float64(call.input)) + np.abs(wide["running_mean"])
        normalised = terms / np.sqrt(wide["running_var"] + referee.module(call.name).eps)
        return np.abs(wide.get("weight", 1.0)) * normalised + np.abs(wide.get("bias", 0.0))
    no_gradient = np.zeros(output.shape)
    return module_sizes(referee, call.name, kind, state, call.input, no_gradient).output


def _end_to_end(
    inputs: np.ndarray, targets: np.ndarray, state: State, references: References, seed: int
) -> Iterator[Comparison]:
    """The pass again in both backends in float64, with every module's own output as its input.

    What rounding at one module does to those after it is measured, as for a training step: with
    noise of NOISE times the size of what was summed at every module.
    """
    numpy64, _, torch64 = references
    for backend in (numpy64, torch64):
        backend.load(State(state.model))
    candidates = {call.name: call.output for call in numpy64.record_evaluation(inputs, targets)}
    exact = torch64.record_evaluation(inputs, targets)
    sizes = {
        call.name: evaluation_size(
            torch64, call, state.of_module(call.name), targets, call.output
        )
        for call in exact
    }  # fmt: skip
    # The sizes were found with the modules themselves.
    torch64.load(State(state.model))
    noise = {name: NOISE * size for name, size in sizes.items() if name != "loss"}
    noisy = torch64.record_evaluation(inputs, targets, noise, seed)
    longest = max(longest_sum(call, state.of_module(call.name)) for call in exact)
    bound = tolerances.float64_bound(longest)
    for call, moved in zip(exact, noisy, strict=True):
        site = f"whole/{_site(call)}"
        if call.name not in candidates:
            yield Comparison("float64", site, np.inf, 0.0, 0.0)
            continue
        with np.errstate(invalid="ignore"):
            change = np.abs(moved.output - call.output) / NOISE
        spread = largest_size(sizes[call.name]) + largest_size(change)
        least = tolerances.SMALLEST_NORMAL["float64"]
        apart = largest_difference(candidates[call.name], call.output)
        yield Comparison("float64", site, apart / max(spread, least), 0.0, bound)
