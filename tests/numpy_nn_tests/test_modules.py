"""Every public module against PyTorch and against central differences, from one table."""

import inspect
import runpy
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn
import torch_nn

DTYPES = ("float64", "float32")
DIFFERENCE_STEP = 1e-6
# PyTorch's, about its own copies.
pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
]
KINK = 1e-3  # no value is drawn nearer to 0, where the rectifiers have their kinks


@dataclass(frozen=True)
class Draw:
    """An array argument of a constructor: one positive value for each of so many classes."""

    size: int


@dataclass(frozen=True)
class Case:
    """A module, how it is made, and what it is given."""

    name: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    training: bool = True
    args: tuple[Any, ...] = ()
    # For losses: draws the target.
    target: Callable[[np.random.Generator, str], np.ndarray] | None = None
    # For containers: makes the module from a namespace and a dtype.
    build: Callable[[Any, Any], Any] | None = None
    note: str = ""

    def __str__(self) -> str:
        given = [str(a) for a in self.args] + [f"{k}={v}" for k, v in self.kwargs.items()]
        mode = "" if self.training else " eval"
        return f"{self.name}({', '.join(given)}) {self.shape}{mode} {self.note}".strip()

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(str(self).encode()))


def indices(classes: int, *shape: int, ignored: int | None = None) -> Any:
    def draw(rng: np.random.Generator, dtype: str) -> np.ndarray:
        target = np.asarray(rng.integers(0, classes, shape))
        if ignored is not None:
            target.flat[::3] = ignored
        return target

    return draw


def probabilities(*shape: int) -> Any:
    def draw(rng: np.random.Generator, dtype: str) -> np.ndarray:
        weights = rng.random(shape)
        axis = 0 if len(shape) == 1 else 1
        return (weights / weights.sum(axis=axis, keepdims=True)).astype(dtype)

    return draw


def nested(nn: Any, dtype: Any) -> Any:
    return nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(6, 5, dtype=dtype), nn.BatchNorm1d(5, dtype=dtype)),
        nn.LeakyReLU(0.1),
        nn.Identity(),
        nn.Linear(5, 3, dtype=dtype),
    )


# Test files cannot import one another; this table is a file of plain tuples.
TABLE = runpy.run_path(str(Path(__file__).with_name("layer_cases.py")))


def of_table(name: str) -> list[Case]:
    return [
        Case(layer, kwargs, shape, training, args)
        for layer, args, kwargs, shape, training in TABLE[name]
    ]


BATCH_NORM = [
    Case("BatchNorm1d", {**settings}, shape, training, args=(3,))
    for shape in [(6, 3), (4, 3, 5), (2, 3), (1, 3, 4)]
    for training in (True, False)
    for settings in [
        {},
        {"eps": 0.1, "momentum": 0.3},
        {"momentum": None},
        {"momentum": 0.0},
        {"affine": False},
        {"bias": False},
        {"track_running_stats": False},
        {"affine": False, "track_running_stats": False},
    ]
]
CROSS_ENTROPY = [
    Case("CrossEntropyLoss", {"reduction": reduction, **settings}, shape, target=target)
    for reduction in ("mean", "sum", "none")
    for settings in [{}, {"weight": Draw(4)}, {"label_smoothing": 0.2}, {"label_smoothing": 1.0}]
    for shape, target in [
        ((6, 4), indices(4, 6)),
        ((4,), indices(4)),
        ((1, 4), indices(4, 1)),
        ((3, 4, 5), indices(4, 3, 5)),
        ((2, 4, 3, 2), indices(4, 2, 3, 2)),
        ((6, 4), probabilities(6, 4)),
        ((4,), probabilities(4)),
        ((3, 4, 5), probabilities(3, 4, 5)),
    ]
] + [
    Case(
        "CrossEntropyLoss",
        {"reduction": reduction, "ignore_index": ignored, "weight": Draw(4), **settings},
        (7, 4),
        target=indices(4, 7, ignored=ignored),
    )
    for reduction in ("mean", "sum", "none")
    for ignored in (-100, 2)
    for settings in [{}, {"label_smoothing": 0.3}]
]
CASES = [
    *(Case("Linear", {}, shape, args=(4, 3)) for shape in [(5, 4), (1, 4), (4,), (2, 3, 4)]),
    Case("Linear", {}, (2, 2, 3, 4), args=(4, 1)),
    Case("Linear", {"bias": False}, (5, 4), args=(4, 3)),
    Case("Linear", {}, (1100, 4), args=(4, 3), note="more rows than a block of the bias's sum"),
    Case("Identity", {"unused": 1}, (2, 3), args=(54,)),
    *BATCH_NORM,
    Case("BatchNorm1d", {}, (1100, 3), args=(3,), note="more rows than a block of its sums"),
    *(Case("ReLU", {}, shape) for shape in [(), (5,), (3, 4), (2, 3, 4, 5)]),
    *(
        Case("LeakyReLU", {"negative_slope": slope}, shape)
        for slope in (0.01, 0.0, 1.0, 2.0, -0.5)
        for shape in [(), (3, 4), (2, 3, 4)]
    ),
    *(
        Case("Flatten", {"start_dim": start, "end_dim": end}, (2, 3, 4, 5))
        for start, end in [(1, -1), (0, -1), (0, 1), (2, 3), (-2, -1), (1, 2), (1, 1)]
    ),
    Case("Flatten", {"start_dim": 0}, ()),
    Case("Flatten", {"start_dim": 0}, (3,)),
    *CROSS_ENTROPY,
    *(Case("Sequential", {}, (4, 2, 3), training, build=nested) for training in (True, False)),
    Case("Sequential", {}, (2, 3), build=lambda nn, dtype: nn.Sequential(), note="empty"),
    *of_table("CASES"),
]
# Empty batches: nothing to difference, and a mean that is nan, so they are compared apart.
EMPTY = [
    Case("Linear", {}, (0, 4), args=(4, 3)),
    Case("Linear", {}, (2, 0, 4), args=(4, 3)),
    Case("BatchNorm1d", {}, (0, 3), args=(3,)),
    Case("BatchNorm1d", {}, (0, 3), False, args=(3,)),
    Case("BatchNorm1d", {"momentum": None}, (2, 3, 0), args=(3,)),
    Case("ReLU", {}, (0, 3)),
    Case("LeakyReLU", {}, (0, 3)),
    Case("Flatten", {}, (0, 3, 2)),
    Case("Identity", {}, (0, 3)),
    Case("CrossEntropyLoss", {"reduction": "sum"}, (0, 4), target=indices(4, 0)),
    Case("CrossEntropyLoss", {"reduction": "none"}, (0, 4), target=indices(4, 0)),
    Case("CrossEntropyLoss", {"reduction": "none"}, (2, 4, 0), target=indices(4, 2, 0)),
    Case("CrossEntropyLoss", {"reduction": "sum"}, (0, 4), target=probabilities(0, 4)),
    Case("Sequential", {}, (0, 2, 3), False, build=nested),
    *of_table("EMPTY"),
]


class Pair:
    """One case on both sides, from the same values, and what it is given."""

    def __init__(self, case: Case, dtype: str) -> None:
        self.case, self.dtype = case, np.dtype(dtype)
        rng = case.rng()
        self.rng = rng
        self.module = self._make(numpy_nn, np.dtype(dtype), lambda a: a, rng)
        self.reference = self._make(torch_nn, getattr(torch, dtype), torch.from_numpy, case.rng())
        for name, array in self.module.state_dict().items():
            if array.dtype.kind == "f":
                low = 0.5 if name.endswith(("running_var", "weight")) else -1.0
                array[...] = rng.uniform(low, 2.0, array.shape)
        self.reference.load_state_dict(
            {k: torch.from_numpy(v.copy()) for k, v in self.module.state_dict().items()}
        )
        self.module.train(case.training)
        self.reference.train(case.training)
        self.input = self.draw(case.shape)
        self.target = case.target(rng, dtype) if case.target else None

    def _make(self, nn: Any, dtype: Any, convert: Any, rng: np.random.Generator) -> Any:
        case = self.case
        if case.build:
            return case.build(nn, dtype)
        kwargs = {
            name: convert(rng.uniform(0.5, 2, value.size).astype(self.dtype))
            if isinstance(value, Draw)
            else value
            for name, value in case.kwargs.items()
        }
        make = getattr(nn, case.name)
        if "dtype" in inspect.signature(make.__init__).parameters:
            kwargs["dtype"] = dtype
        return make(*case.args, **kwargs)

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """Normal values, none of them near a kink."""
        values = np.asarray(self.rng.normal(size=shape))
        return np.where(np.abs(values) < KINK, 1.0, values).astype(self.dtype)

    def forward(self, input: np.ndarray) -> Any:
        numpy_nn.manual_seed(0)  # the same mask every time, and on both sides
        return self.module(input) if self.target is None else self.module(input, self.target)

    def torch_forward(self, input: torch.Tensor) -> torch.Tensor:
        torch_nn.manual_seed(0)
        if self.target is None:
            return self.reference(input)
        return self.reference(input, torch.from_numpy(self.target))


def compare_step(pair: Pair, close: Any) -> None:
    """One forward and backward on both sides, everything compared."""
    x = pair.draw(pair.case.shape)
    given = x.copy()
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    output = pair.forward(x)
    expected = pair.torch_forward(tensor)
    if isinstance(output, np.generic):
        assert output.dtype == pair.dtype
    close(output, expected.detach().numpy(), "module", "output")
    kept = np.copy(output)
    grad_output = pair.draw(np.shape(output))
    kept_grad = grad_output.copy()
    grad_input = pair.module.backward(grad_output)
    expected.backward(torch.from_numpy(kept_grad.copy()))
    assert tensor.grad is not None
    close(grad_input, tensor.grad.numpy(), "module", "grad_input")

    assert (x == given).all(), "the input was modified"
    assert (grad_output == kept_grad).all(), "the gradient was modified"
    assert (output == kept).all(), "backward modified the output"
    reference = dict(pair.reference.named_parameters())
    for name, parameter in pair.module.named_parameters():
        grad = reference[name].grad
        assert grad is not None
        close(parameter.grad, grad.numpy(), "module", f"gradient of {name}")
    buffers = dict(pair.reference.named_buffers())
    assert [name for name, _ in pair.module.named_buffers()] == list(buffers)
    for name, buffer in pair.module.named_buffers():
        close(buffer, buffers[name].numpy(), "module", f"buffer {name}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES + EMPTY, ids=str)
def test_equals_torch(case: Case, dtype: str, close: Any) -> None:
    """Output, gradients (accumulated over two steps) and buffers."""
    pair = Pair(case, dtype)
    compare_step(pair, close)
    compare_step(pair, close)


def numerical_gradient(f: Callable[[], float], array: np.ndarray) -> np.ndarray:
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + DIFFERENCE_STEP
        above = f()
        array[index] = value - DIFFERENCE_STEP
        below = f()
        array[index] = value
        gradient[index] = (above - below) / (2 * DIFFERENCE_STEP)
    return gradient


@pytest.mark.parametrize("case", [c for c in CASES if np.prod(c.shape) < 1000], ids=str)
def test_backward_equals_central_differences(case: Case, close: Any) -> None:
    pair = Pair(case, "float64")
    grad_output = pair.draw(np.shape(pair.forward(pair.input)))
    grad_input = pair.module.backward(grad_output)
    arrays = {"input": (pair.input, grad_input)}
    for name, parameter in pair.module.named_parameters():
        arrays[name] = (parameter.data, parameter.grad)
    for name, (array, gradient) in arrays.items():

        def objective() -> float:
            return float(np.sum(pair.forward(pair.input) * grad_output))

        close(gradient, numerical_gradient(objective, array), "difference", name)


@pytest.mark.parametrize("case", [c for c in CASES if len(c.shape) > 1], ids=str)
def test_layout_of_the_input_does_not_matter(case: Case, close: Any) -> None:
    pair = Pair(case, "float64")

    def run(layout: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
        state = {k: v.copy() for k, v in pair.module.state_dict().items()}
        pair.module.zero_grad()
        output = pair.forward(layout(pair.input))
        grad_output = np.asarray(np.random.default_rng(0).normal(size=np.shape(output)))
        if grad_output.ndim:
            grad_output = layout(grad_output)
        results = [output, pair.module.backward(grad_output)]
        results += [p.grad for p in pair.module.parameters()]
        pair.module.load_state_dict(state)
        return results

    def every_other(array: np.ndarray) -> np.ndarray:
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan)
        wide[..., ::2] = array
        return wide[..., ::2]

    def backwards(array: np.ndarray) -> np.ndarray:
        return np.flip(np.flip(array).copy())

    expected = run(lambda array: array)
    for layout in (np.asfortranarray, every_other, backwards):
        for actual, wanted in zip(run(layout), expected, strict=True):
            close(actual, wanted, "layout")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_earlier_results_stay_as_they_were(case: Case) -> None:
    pair = Pair(case, "float32")
    output = pair.forward(pair.input)
    grad_input = pair.module.backward(np.ones(np.shape(output), np.float32))
    before = [np.copy(output), np.copy(grad_input)]
    for _ in range(2):
        again = pair.forward(pair.draw(case.shape))
        pair.module.backward(pair.draw(np.shape(again)))
    assert (before[0] == output).all()
    assert (before[1] == grad_input).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_writing_into_an_output_changes_no_gradient(case: Case) -> None:
    pair = Pair(case, "float64")
    output = pair.forward(pair.input)
    grad_output = pair.draw(np.shape(output))
    expected = np.copy(pair.module.backward(grad_output))
    output = pair.forward(pair.input)
    if isinstance(output, np.ndarray) and not np.shares_memory(output, pair.input):
        output.fill(7.0)
    assert (pair.module.backward(grad_output) == expected).all()


# What does nothing checks nothing.
CHECKING = [case for case in CASES if case.name != "Identity" and case.note != "empty"]


@pytest.mark.parametrize("case", CHECKING, ids=str)
def test_backward_refuses_a_gradient_that_does_not_fit(case: Case) -> None:
    pair = Pair(case, "float32")
    with pytest.raises(RuntimeError, match="before forward"):
        pair.module.backward(1.0 if case.target else pair.draw((2,)))
    output = pair.forward(pair.input)
    with pytest.raises(ValueError, match=r"(?s)expects a.*Received"):
        pair.module.backward(pair.draw((*np.shape(output), 2)))
    if np.ndim(output):
        with pytest.raises(TypeError, match="float64"):
            pair.module.backward(np.ones(np.shape(output), np.float64))


@pytest.mark.parametrize("case", CHECKING, ids=str)
def test_input_that_is_no_float_array_is_refused(case: Case) -> None:
    pair = Pair(case, "float32")
    if case.name != "Flatten" and case.build is None:
        with pytest.raises(TypeError, match="int64"):
            pair.forward(np.ones(case.shape, np.int64))
        if list(pair.module.state_dict()):
            with pytest.raises((TypeError, ValueError), match="float64"):
                pair.forward(np.ones(case.shape, np.float64))
    with pytest.raises(TypeError, match="list"):
        pair.forward([1.0])  # type: ignore[arg-type]


def test_every_public_module_has_a_case() -> None:
    public = {
        name
        for name in numpy_nn.__all__
        if isinstance(getattr(numpy_nn, name), type)
        and issubclass(getattr(numpy_nn, name), numpy_nn.Module)
    }
    losses = {name for name in public if name.endswith("Loss")}  # test_losses.py has them all
    others = {"Module", "Embedding"}  # test_embedding.py: its input is whole numbers
    assert public - others - losses == {case.name for case in CASES} - losses


@pytest.mark.parametrize("case", CASES, ids=str)
def test_state_goes_to_torch_and_back(case: Case) -> None:
    pair = Pair(case, "float32")
    state = pair.module.state_dict()
    assert list(state) == list(pair.reference.state_dict())
    other = Pair(case, "float32").module
    for array in other.state_dict().values():
        array[...] = 0
    other.load_state_dict(pair.reference.state_dict())
    for name, array in other.state_dict().items():
        assert array.dtype == state[name].dtype
        assert (array == state[name]).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_prints_as_torch_does(case: Case) -> None:
    pair = Pair(case, "float32")
    assert repr(pair.module) == repr(pair.reference)
