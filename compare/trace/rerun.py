"""A recorded call, made again: in float64 as the referee, and in its own format for the noise.

What is allowed is what :mod:`compare.parity.functions` allows: K times the error that the module
itself makes in this format on inputs that differ in the last bit, element by element.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from compare.parity import tolerances
from compare.trace import trees

Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]
Build = Callable[[], nn.Module]

# At so many inputs that differ in the last bit the module is run in both formats; at more where
# that says that a value is too far: among millions, some are judged by unlucky draws.
REPLAYS, MORE_REPLAYS = 4, 24
DOUBTFUL = 100 * tolerances.FUNCTION_K
DTYPES = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "tf32": torch.float32,
    "float32": torch.float32,
    "float64": torch.float64,
}


# Buffers that no output depends on, but for a momentum of None.
COUNTERS = ("num_batches_tracked",)


class NotRunError(Exception):
    """A call could not be made again; the message says why."""


@dataclass
class Question:
    """What a module was asked: everything that its answer depends on.

    Attributes:
        inputs, keywords: Trees of its arguments.
        tensors: The tensors in them, by name.
        parameters, buffers: The module's own, by their local names.
        training: Its mode.
        gradients: Output's number → the gradient by it; empty where there was no backward pass.
    """

    inputs: list[trees.Tree]
    keywords: dict[str, trees.Tree]
    tensors: Tensors
    parameters: Tensors
    buffers: Tensors
    training: bool
    gradients: dict[int, torch.Tensor] = field(default_factory=dict)

    @property
    def leaves(self) -> list[str]:
        """Names of the tensors, one for each place."""
        every = [*self.inputs, *self.keywords.values()]
        return [name for tree in every for name in trees.names_in(tree)]

    @property
    def is_mixed(self) -> bool:
        """Whether its floats have several formats."""
        every = [*self.tensors.values(), *self.parameters.values(), *self.gradients.values()]
        return len({t.dtype for t in every if t.is_floating_point()}) > 1

    def moved(self, random: np.random.Generator, precision: str) -> Question:
        """Every float moved to a neighbour in the format, up or down."""

        def each(tensors: Mapping[str, torch.Tensor]) -> Tensors:
            return {name: last_bit(t, random, precision) for name, t in tensors.items()}

        gradients = {
            i: last_bit(gradient, random, precision) for i, gradient in self.gradients.items()
        }
        return replace(
            self,
            tensors=each(self.tensors),
            parameters=each(self.parameters),
            gradients=gradients,
        )

    def rounded(self, precision: str) -> Question:
        """Every float rounded to the format."""

        def each(tensors: Mapping[str, torch.Tensor]) -> Tensors:
            return {name: _rounded(t, precision) for name, t in tensors.items()}

        gradients = {i: _rounded(g, precision) for i, g in self.gradients.items()}
        return replace(
            self,
            tensors=each(self.tensors),
            parameters=each(self.parameters),
            gradients=gradients,
        )


def _rounded(tensor: torch.Tensor, precision: str) -> torch.Tensor:
    """Floats in a format; ``tf32`` is float32 without the last 13 bits."""
    if not tensor.is_floating_point():
        return tensor
    near = tensor.to(DTYPES[precision])
    if precision == "tf32":
        bits = near.contiguous().view(torch.int32)
        cut = ((bits + (1 << 12)) & ~((1 << 13) - 1)).view(torch.float32)
        near = torch.where(near.isfinite() & cut.isfinite(), cut, near)
    return near


def last_bit(tensor: torch.Tensor, random: np.random.Generator, precision: str) -> torch.Tensor:
    """Every float moved to a neighbour in the format, up or down."""
    if not tensor.is_floating_point():
        return tensor
    wide = tensor.double()
    signs = torch.from_numpy(random.choice((-1.0, 1.0), tuple(tensor.shape)))
    moved = wide + signs * wide.abs() * (2 * tolerances.FORMATS[precision])
    near = _rounded(moved, precision).double()
    return torch.where(torch.isfinite(near), near, wide)


def output_name(number: int, count: int) -> str:
    """What an output is called."""
    return "output" if count == 1 else f"output {number}"


def answer(build: Build, question: Question, precision: str, backward: bool = False) -> Arrays:
    """What the module gives in a format: outputs and buffers, or gradients.

    Args:
        build: Makes the module.
        question: What it is asked.
        precision: The format that everything is computed in.
        backward: Ask for gradients by inputs and parameters instead.

    Raises:
        NotRunError: It fails, or something that it needs is not stored.
    """
    dtype = DTYPES[precision]
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _answer(build().to(dtype), question, dtype, backward)
    except trees.NotStoredError as error:
        raise NotRunError(f"its argument of type {error} is not stored") from None
    except NotRunError:
        raise
    except Exception as error:  # a module of anybody, or a file's numbers: whatever it raises
        raise NotRunError(f"{type(error).__name__}: {error}".splitlines()[0]) from None


def _answer(module: nn.Module, question: Question, dtype: torch.dtype, backward: bool) -> Arrays:
    _fill(dict(module.named_parameters(remove_duplicate=False)), question.parameters, "parameter")
    _fill(dict(module.named_buffers(remove_duplicate=False)), question.buffers, "buffer")
    if not any(module.children()):
        module.train(question.training)
    tensors = {
        name: t.detach().to(dtype) if t.is_floating_point() else t.detach().clone()
        for name, t in question.tensors.items()
    }
    # An in-place module must not change what is asked again.
    tensors = {name: t.clone() for name, t in tensors.items()}
    floats = {name: t for name, t in tensors.items() if t.is_floating_point()}
    with torch.set_grad_enabled(backward):
        if backward:
            for t in floats.values():
                t.requires_grad_(True)
        given = {name: t.view_as(t) for name, t in tensors.items()}
        arguments = [trees.put_together(tree, given.__getitem__) for tree in question.inputs]
        keywords = {
            key: trees.put_together(t, given.__getitem__) for key, t in question.keywords.items()
        }
        output = module(*arguments, **keywords)
    outputs = list(trees.tensors_of(output))
    if not backward:
        found = {output_name(i, len(outputs)): as_array(t) for i, t in enumerate(outputs)}
        buffers = module.named_buffers(remove_duplicate=False)
        return found | {f"buffer {n}": as_array(t) for n, t in buffers if n in question.buffers}
    return _gradients(module, question, outputs, floats)


def _fill(own: Mapping[str, torch.Tensor], given: Tensors, word: str) -> None:
    """Give a module the recorded values.

    The counter of a batch normalisation, which other frameworks do not have, may be missing.
    """
    for name in COUNTERS:
        if name in own and name not in given:
            own[name].zero_()
    own = {name: t for name, t in own.items() if name in given or name not in COUNTERS}
    if own.keys() != given.keys():
        raise NotRunError(
            f"it has the {word}s {', '.join(sorted(own)) or 'none'}, but the trace "
            f"{', '.join(sorted(given)) or 'none'}"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            if tensor.shape != given[name].shape:
                raise NotRunError(
                    f"its {word} {name} has the shape {tuple(tensor.shape)}, but in the trace "
                    f"{tuple(given[name].shape)}"
                )
            tensor.copy_(given[name])


def _gradients(
    module: nn.Module, question: Question, outputs: list[torch.Tensor], floats: Tensors
) -> Arrays:
    asked = [(outputs[i], g) for i, g in question.gradients.items() if outputs[i].requires_grad]
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    names, sources = [*floats, *parameters], [*floats.values(), *parameters.values()]
    found = torch.autograd.grad(
        [y for y, _ in asked],
        sources,
        [g.to(y.dtype).reshape(y.shape) for y, g in asked],
        allow_unused=True,
    )
    values = {
        name: torch.zeros_like(source) if gradient is None else gradient
        for name, source, gradient in zip(names, sources, found, strict=True)
    }
    result = {f"gradient by {name}": as_array(values[name]) for name in parameters}
    seen: set[str] = set()
    for leaf, name in enumerate(question.leaves):
        if name in floats and name not in seen:
            result[f"gradient by input {leaf}"] = as_array(values[name])
            seen.add(name)
    return result


def as_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy in NumPy; floats in float64, which holds all narrower formats."""
    tensor = tensor.detach().cpu()
    wide = tensor.double() if tensor.is_floating_point() else tensor
    return np.array(wide.numpy())


def reused(build: Build) -> Build:
    """Makes a module once, and gives it again: it is filled anew for every question."""
    made: list[nn.Module] = []

    def again() -> nn.Module:
        if not made:
            made.append(build())
        return made[0]

    return again


def judged(
    build: Build,
    question: Question,
    precision: str,
    found: Mapping[str, np.ndarray],
    backward: bool,
) -> tuple[list[Judged], Arrays, Arrays]:
    """Compare what was recorded with the referee, also what it expected and the noise there.

    Raises:
        NotRunError: The module could not be run.
    """
    build = reused(build)
    exact = answer(build, question, "float64", backward)
    noise = expected_noise(build, question, precision, backward)
    checks = [judge(q, found[q], exact[q], noise[q]) for q in exact if q in found]
    if any(not check.passed and check.times < DOUBTFUL for check in checks):
        noise = expected_noise(build, question, precision, backward, MORE_REPLAYS)
        checks = [judge(q, found[q], exact[q], noise[q]) for q in exact if q in found]
    return checks, exact, noise


def expected_noise(
    build: Build, question: Question, precision: str, backward: bool, replays: int = REPLAYS
) -> Arrays:
    """The error that the module may be expected to make at each element of its answer.

    Where formats are mixed, as under autocast, what is given is first rounded to the narrower one.
    """
    # The growth of rounding is the same in every format: float64's is measured in float32.
    low = "float32" if precision == "float64" else precision
    unit, unit_low = tolerances.FORMATS[precision], tolerances.FORMATS[low]
    random = np.random.default_rng(0)
    begun = question.rounded(low)
    at = answer(build, begun, "float64", backward)
    squares = {q: np.zeros(a.shape) for q, a in at.items()}
    local = {q: np.zeros(a.shape) for q, a in at.items()}
    for _ in range(replays):
        near = begun.moved(random, low)
        right = answer(build, near, "float64", backward)
        own = answer(build, near, low, backward)
        for q in at:
            if right[q].shape != at[q].shape or own[q].shape != at[q].shape:
                continue
            with np.errstate(all="ignore"):
                squares[q] += np.nan_to_num((right[q] * 1.0 - at[q]) ** 2)
                error = np.nan_to_num(np.abs(own[q] * 1.0 - right[q]), nan=0.0, posinf=0.0)
            local[q] = np.maximum(local[q], error)
    found = {}
    for q in at:
        with np.errstate(all="ignore"):
            size = np.nan_to_num(np.abs(at[q] * 1.0), posinf=0.0)
            sigma = np.sqrt(squares[q] / replays) + unit_low * size + tolerances.SMALLEST[low]
            ratio = local[q] / sigma
        typical = float(np.quantile(ratio, 0.9)) if ratio.size else 0.0
        typical = max(typical, tolerances.FUNCTION_FLOOR)
        noise = np.maximum(local[q], typical * sigma) + (sigma if question.is_mixed else 0.0)
        found[q] = noise * (unit / unit_low)
    return found


@dataclass(frozen=True)
class Judged:
    """One quantity of a call, compared.

    Attributes:
        quantity: ``output``, ``buffer running_mean``, ``gradient by input 0``.
        times: The largest error, in those that the module may be expected to make.
        elements, outside: How many there are, and how many are further than allowed.
        place: Where the error is largest; the values there are ``expected`` and ``found``.
        note: What else is to be said, such as another shape.
    """

    quantity: str
    times: float
    elements: int = 0
    outside: int = 0
    place: tuple[int, ...] = ()
    expected: float | None = None
    found: float | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is as near as allowed."""
        return self.times <= tolerances.FUNCTION_K


def judge(quantity: str, found: np.ndarray, exact: np.ndarray, noise: np.ndarray) -> Judged:
    """Compare recorded values with the referee's."""
    if found.shape != exact.shape:
        note = f"its shape is {found.shape}, but expected {exact.shape}"
        return Judged(quantity, float("inf"), note=note)
    if not found.size:
        return Judged(quantity, 0.0)
    found, exact = found * 1.0, exact * 1.0
    with np.errstate(all="ignore"):
        times = np.abs(found - exact) / noise
    equal = (found == exact) | (np.isnan(found) & np.isnan(exact))
    times = np.where(equal, 0.0, np.where(np.isnan(times), np.inf, times))
    worst = np.unravel_index(int(times.argmax()), times.shape) if times.ndim else ()
    return Judged(
        quantity,
        float(times[worst]),
        int(times.size),
        int((times > tolerances.FUNCTION_K).sum()),
        tuple(int(i) for i in worst),
        float(exact[worst]),
        float(found[worst]),
    )


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """How far two arrays are apart, relative to the first: of root mean squares."""
    if one.shape != other.shape:
        return float("inf")
    if not one.size:
        return 0.0
    one, other = one * 1.0, other * 1.0
    finite = np.isfinite(one) & np.isfinite(other)
    unequal = (one != other) & ~(np.isnan(one) & np.isnan(other))
    if (unequal & ~finite).any():
        return float("inf")
    with np.errstate(all="ignore"):
        gap = float(np.sqrt(np.mean(np.where(finite & unequal, one - other, 0.0) ** 2)))
        size = float(np.sqrt(np.mean(np.where(finite, one, 0.0) ** 2)))
    if not gap:
        return 0.0
    return gap / size if size else float("inf")


def copy_of(module: nn.Module) -> Build:
    """Makes copies of a live module, without hooks."""

    def build() -> nn.Module:
        made = copy.deepcopy(module)
        for part in made.modules():
            for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks"):
                getattr(part, hooks).clear()
        return made

    return build
