"""Every public layer and loss, by the cases of layer_cases.py, through the same checks.

What depends on the values, the shape or the settings is checked for every case; what depends on
the class alone, once for each number of axes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from layer_cases import EMPTY, KINK, LAYERS, LOSSES, Case, Pair, off_grid, one_of_each

import numpy_nn
import torch_nn

DTYPES = ("float64", "float32")
DIFFERENCE_STEP = 1e-6
DIRECTIONS = 4
pytestmark = [
    pytest.mark.parity,
    # PyTorch's, about its own copies.
    pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning"),
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]
ONE_OF_EACH = one_of_each(LAYERS)


def compare_step(pair: Pair, close: Any, overwrite: bool = False) -> list[tuple[Any, np.ndarray]]:
    """One forward and backward on both sides, everything compared.

    With ``overwrite`` a caller writes into the output before the step back. Returns what a caller
    may still hold, with copies of it.
    """
    x = pair.draw_input()
    given, target = x.copy(), None if pair.target is None else pair.target.copy()
    output = pair.forward(x)
    if pair.target is not None and pair.module.reduction != "none":
        assert isinstance(output, np.generic)
        assert output.dtype == pair.dtype
    grad_output = pair.draw(np.shape(output))
    expected, expected_grad = pair.torch_step(given, grad_output)
    close(output, expected, "module", "output")
    if overwrite and isinstance(output, np.ndarray) and not np.shares_memory(output, x):
        output.fill(7.0)
    kept, kept_grad = np.copy(output), grad_output.copy()
    grad_input = pair.module.backward(grad_output)
    assert isinstance(grad_input, np.ndarray) or pair.target is None
    close(grad_input, expected_grad, "module", "grad_input")

    assert (x == given).all(), "the input was modified"
    assert target is None or (pair.target == target).all(), "the target was modified"
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
    return [(output, kept), (grad_input, grad_input.copy())]


@pytest.mark.parametrize("case", LAYERS + LOSSES + EMPTY, ids=str)
def test_equals_torch(case: Case, close: Any) -> None:
    """Over two steps: output, gradients, which add up, buffers, and how it is printed.

    What is given is not modified, neither are the first step's results by the second one, and
    what a caller writes into an output changes no gradient.
    """
    for dtype in DTYPES:
        pair = Pair(case, dtype)
        held = compare_step(pair, close)
        compare_step(pair, close, overwrite=True)
        for array, before in held:
            assert (array == before).all(), "a later call modified an earlier result"
    assert repr(pair.module) == repr(pair.reference)


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


def numerical_slope(f: Callable[[], float], array: np.ndarray, direction: np.ndarray) -> float:
    value = array.copy()
    array += DIFFERENCE_STEP * direction
    above = f()
    array[...] = value - DIFFERENCE_STEP * direction
    below = f()
    array[...] = value
    return (above - below) / (2 * DIFFERENCE_STEP)


@pytest.mark.parametrize("case", [c for c in LAYERS + LOSSES if np.prod(c.shape) < 1000], ids=str)
def test_backward_equals_central_differences(case: Case, close: Any) -> None:
    """Value by value for one case of each class, along random directions for the others.

    A wrong value shows in a random direction as it does alone: the slope along it is the sum of
    all of them, each times a number of its own.
    """
    pair = Pair(case, "float64")
    if case.input is off_grid:
        for kink in (0.0, 0.7, 1.0, 2.0):
            assert (abs(abs(pair.input - pair.target) - kink) > KINK).all(), "drawn at a kink"
    grad_output = pair.draw(np.shape(pair.forward(pair.input)))
    grad_input = pair.module.backward(grad_output)
    arrays = {"input": (pair.input, grad_input)}
    for name, parameter in pair.module.named_parameters():
        arrays[name] = (parameter.data, parameter.grad)

    def objective() -> float:
        return float(np.sum(pair.forward(pair.input) * grad_output))

    for name, (array, gradient) in arrays.items():
        if case in ONE_OF_EACH:
            close(gradient, numerical_gradient(objective, array), "difference", name)
            continue
        for _ in range(DIRECTIONS):
            # Of length 1 at the most, so that no value moves further than in a single difference.
            direction = pair.rng.normal(size=array.shape)
            direction = np.asarray(direction / max(np.linalg.norm(direction), 1.0))
            slope = numerical_slope(objective, array, direction)
            close(np.sum(gradient * direction), slope, "difference", name)


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "every other": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: np.flip(np.flip(array).copy()),
}


LAID_OUT = [case for case in LAYERS + one_of_each(LOSSES) if len(case.shape) > 1]


@pytest.mark.parametrize("case", LAID_OUT, ids=str)
def test_layout_of_the_input_does_not_matter(case: Case, close: Any) -> None:
    pair = Pair(case, "float64")
    state = {k: v.copy() for k, v in pair.module.state_dict().items()}
    dy = pair.draw(np.shape(pair.forward(pair.input)))

    def run(layout: Callable[[np.ndarray], np.ndarray]) -> list[Any]:
        pair.module.load_state_dict(state)
        pair.module.zero_grad()
        output = pair.forward(layout(pair.input))
        results = [output, pair.module.backward(layout(dy) if dy.ndim else dy)]
        return results + [p.grad for p in pair.module.parameters()]

    expected = run(lambda array: array)
    for layout in LAYOUTS.values():
        for actual, wanted in zip(run(layout), expected, strict=True):
            close(actual, wanted, "layout")


# What does nothing checks nothing.
CHECKING = [case for case in ONE_OF_EACH if case.name != "Identity" and case.note != "empty"]


@pytest.mark.parametrize("case", CHECKING, ids=str)
def test_backward_refuses_a_gradient_that_does_not_fit(case: Case) -> None:
    pair = Pair(case, "float32")
    with pytest.raises(RuntimeError, match="before forward"):
        pair.module.backward(pair.draw((2,)))
    output = pair.forward(pair.input)
    with pytest.raises(ValueError, match=r"(?s)expects a.*Received"):
        pair.module.backward(pair.draw((*np.shape(output), 2)))
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
        pair.forward([1.0])


@pytest.mark.parametrize("case", ONE_OF_EACH, ids=str)
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


def test_every_public_module_has_a_case() -> None:
    public = {
        name
        for name in numpy_nn.__all__
        if isinstance(getattr(numpy_nn, name), type)
        and issubclass(getattr(numpy_nn, name), numpy_nn.Module)
    }
    others = {"Module", "Embedding"}  # test_embedding.py: its input is whole numbers
    assert public - others == {case.name for case in LAYERS + LOSSES}
    losses = {name for name in public if name.endswith("Loss")}
    assert losses == {case.name for case in LOSSES}
    assert public - others - losses == {case.name for case in EMPTY}
    assert losses == {name for name in torch_nn.__all__ if name.endswith("Loss")}


def test_no_case_stands_twice() -> None:
    names = [str(case) for case in LAYERS + LOSSES + EMPTY]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("change", ["a value", "a sign", "a factor"])
def test_a_direction_finds_a_wrong_value(change: str, close: Any) -> None:
    """What the differences along random directions rest on."""
    case = next(c for c in LAYERS if c.name == "Conv2d" and c not in ONE_OF_EACH)
    original = numpy_nn.Conv2d.backward

    class Wrong(numpy_nn.Conv2d):
        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            dx = original(self, grad_output)
            grad = self.weight.grad
            assert grad is not None
            if change == "a value":
                grad[0, 0, 0, 0] += 1e-4
            elif change == "a sign":
                dx[0, 0, 2, 2] *= -1
            else:
                dx *= 1 + 1e-5
            return dx

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numpy_nn, "Conv2d", Wrong)
        with pytest.raises(AssertionError, match="allowed"):
            test_backward_equals_central_differences(case, close)


def test_torch_is_used_as_it_is() -> None:
    """The two sides of a case are of two packages."""
    pair = Pair(LAYERS[0], "float32")
    assert isinstance(pair.reference, torch.nn.Module)
    assert isinstance(pair.module, numpy_nn.Module)


@pytest.mark.parametrize("case", CHECKING, ids=str)
def test_refusals_of_arrays_name_the_layer(case: Case) -> None:
    module = Pair(case, "float32").module
    while type(module).__name__ == "Sequential":
        module = next(iter(module.children()))
    name = type(module).__name__
    with pytest.raises((TypeError, ValueError), match=rf"^{name} expects .*Received: list"):
        module([1.0])
    with pytest.raises((TypeError, ValueError), match=rf"^{name} (expects|has) .*(float16|shape)"):
        module(np.zeros((2, 3, 4, 4), np.float16))
    pair = Pair(case, "float32")
    if pair.module is module:
        return
    output = pair.forward(pair.input)
    with pytest.raises(TypeError, match=r"\.backward expects .*Received"):
        pair.module.backward(np.ones(np.shape(output), np.float64))


def test_a_sequential_goes_back_as_far_as_its_first_parameters() -> None:
    layers = [numpy_nn.Flatten(), numpy_nn.Linear(4, 3), numpy_nn.ReLU(), numpy_nn.Linear(3, 2)]
    network = numpy_nn.Sequential(*layers)
    x = np.random.default_rng(0).standard_normal((5, 2, 2)).astype(np.float32)
    dy = np.ones((5, 2), np.float32)
    network(x)
    network.backward(dy)
    whole = [p.grad.copy() for p in network.parameters()]  # type: ignore[union-attr]
    asked: list[str] = []
    for layer in layers:
        name, backward = type(layer).__name__, layer.backward
        layer.backward = lambda dy, name=name, backward=backward: (  # type: ignore[method-assign]
            asked.append(name), backward(dy)
        )[1]  # fmt: skip
    network.zero_grad()
    network(x)
    network.backward_parameters(dy)
    assert asked == ["Linear", "ReLU"]  # the first Linear computes no gradient by its input
    for parameter, gradient in zip(network.parameters(), whole, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)


@pytest.mark.parametrize("dims", [(3, -1), (1, 3), (-4, -1), (1, -4)])
def test_an_axis_that_flatten_has_not_is_named_as_torch_does(dims: tuple[int, int]) -> None:
    x = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(IndexError) as theirs:
        torch.nn.Flatten(*dims)(torch.from_numpy(x))
    with pytest.raises(IndexError) as ours:
        numpy_nn.Flatten(*dims)(x)
    said = str(theirs.value)
    assert str(ours.value).endswith(said[said.index("(expected") :])


def test_what_embeddings_and_norms_refuse() -> None:
    refused = (ValueError, NotImplementedError)
    with pytest.raises(refused, match=r"^Embedding\(sparse=True\) is not supported"):
        numpy_nn.Embedding(3, 2, sparse=True)
    with pytest.raises(ValueError, match=r"at least one axis\. Received: \(\)$"):
        numpy_nn.LayerNorm(())


def test_a_parameter_as_an_array() -> None:
    parameter = numpy_nn.Parameter(np.arange(3.0, dtype=np.float32))
    assert np.shares_memory(np.asarray(parameter), parameter.data)
    assert not np.shares_memory(np.array(parameter, copy=True), parameter.data)
    assert parameter.__array__(np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        parameter.__array__(np.float64, copy=False)


def test_what_a_parameter_refuses() -> None:
    expects = "^Parameter expects a numpy array of float32 or float64. Received: "
    for value, received in (([1.0], "list"), (np.zeros(2, np.int64), "int64")):
        with pytest.raises(TypeError, match=f"{expects}{received}$"):
            numpy_nn.Parameter(value)  # type: ignore[arg-type]
    parameter = numpy_nn.Parameter(np.zeros(2, np.float32))
    with pytest.raises((TypeError, ValueError), match=r"Received: list$"):
        parameter.grad = [1.0, 2.0]  # type: ignore[assignment]
