"""What losses do at the edges, against PyTorch. Their values are in test_modules."""

import inspect
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_cases import LOSSES as CASES
from layer_cases import REDUCTIONS, Case, Pair, Weight, indices, normal, unit

import numpy_nn
import torch_nn

DTYPES = ("float64", "float32")

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning"),
]


def same(actual: Any, expected: Any, rtol: float) -> None:
    """Equal in shape, dtype and values up to rounding; NaN where the other is NaN."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol)


RTOL = {"float64": 1e-10, "float32": 2e-5}


ONE_OF_EACH_REDUCTION = {(case.name, case.kwargs["reduction"]): case for case in CASES[::-1]}


@pytest.mark.parametrize("case", ONE_OF_EACH_REDUCTION.values(), ids=str)
def test_backward_starts_at_one(case: Case) -> None:
    pair = Pair(case, "float32")
    value = pair.forward(pair.input)
    first = pair.module.backward()
    assert (first == pair.module.backward(np.ones(np.shape(value), np.float32))).all()
    if np.ndim(value) == 0:
        for one in (1.0, 1, np.float32(1.0), np.float64(1.0), np.array(1.0)):
            assert (first == pair.module.backward(one)).all()
            assert first.dtype == np.float32


INF, NAN = np.inf, np.nan
# (loss, settings, input, target): values at which a formula written down as it stands fails.
EXTREMES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("BCELoss", {}, [0, 1, 0, 1, 1e-30, 1e-13, 1 - 1e-7, 0.5], [0, 1, 1, 0, 1, 0.5, 0, 0.5]),
    ("BCELoss", {}, [0.0, 1.0], [0.3, 0.3]),
    ("BCEWithLogitsLoss", {}, [1e4, -1e4, 1e4, -1e4, 0, -0.0, 1e4], [1, 1, 0, 0, 0.5, 1, 0.5]),
    ("BCEWithLogitsLoss", {"pos_weight": [3.0]}, [1e4, -1e4, 1e4, -1e4], [1, 1, 0, 0]),
    ("BCEWithLogitsLoss", {}, [INF, -INF, INF, -INF, NAN], [1, 1, 0, 0, 0]),
    ("BCEWithLogitsLoss", {}, [50, -50, 20, -20, 90, -90, 700, -700], [0, 0, 0, 0, 1, 0, 0, 1]),
    ("BCEWithLogitsLoss", {}, [0.5, -3.0], [7.0, -2.0]),
    ("MSELoss", {}, [1e30, -1e30, INF, NAN, 0], [0, 0, 0, 0, 0]),
    ("L1Loss", {}, [1, 2, INF, NAN, -INF, INF], [1, 3, 0, 0, 0, INF]),
    ("SmoothL1Loss", {}, [1, 2, 3, 0, INF, NAN], [1, 1, 1, 1, 1, 1]),
    ("SmoothL1Loss", {"beta": 0.0}, [1, 2, 0, NAN], [1, 1, 1, 1]),
    ("HuberLoss", {"delta": 2.0}, [1, 3, -1, 5, INF, NAN], [1, 1, 1, 1, 1, 1]),
    ("KLDivLoss", {}, [0, -1, -INF, -INF, -1], [0, 0.5, 0.5, 0, -0.5]),
    ("KLDivLoss", {"log_target": True}, [0, -1, -1], [-INF, 0.5, -1e4]),
    *(
        ("CrossEntropyLoss", settings, x, y)
        for settings in ({}, {"label_smoothing": 0.1}, {"weight": [1.0, 0.0, 2.0]})
        for x, y in [
            ([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [1e4, 1e4, 1e4]], [1, 0, 2]),
            ([[1e4, -1e4, 0.0]], [[0.0, 0.5, 0.5]]),
            ([[-1e4, -1e4 - 1, -1e4 - 3], [1e4, 1e4 + 1, 1e4 + 3]], [1, 1]),
            ([[INF, 0.0, 0.0], [0, 0, 0]], [1, 0]),
            ([[-INF, 0.0, 0.0], [0, 0, 0]], [1, 2]),
            ([[-INF, 0.0, 0.0], [0, 0, 0]], [0, 2]),
            ([[-INF, 0.0, 0.0]], [[0.0, 1.0, 0.0]]),
            ([[NAN, 0.0, 0.0], [0, 0, 0]], [1, 2]),
            ([[NAN, 0.0, 0.0], [0, 0, 0]], [-100, 2]),
            ([[1.0, 2.0, 3.0], [4, 5, 6]], [-100, -100]),
            ([1.0, 2.0, 3.0], -100),
            ([[1.0, 2.0, 3.0]], [1]),  # with the weight 0: nothing to average over
        ]
    ),
    *(
        ("NLLLoss", settings, x, y)
        for settings in ({}, {"weight": [1.0, 0.0, 2.0]})
        for x, y in [
            ([[-INF, 0.0, 0.0], [0, 0, -1]], [0, 2]),
            ([[NAN, 0.0, 0.0], [0, 0, -1]], [-100, 2]),
            ([[1.0, 2.0, 3.0], [4, 5, 6]], [-100, -100]),
            ([1.0, 2.0, 3.0], -100),
            ([[1.0, 2.0, 3.0], [4, 5, 6]], [1, 1]),
        ]
    ),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "x", "t"), EXTREMES)
def test_extremes(name: str, options: Any, x: Any, t: Any, reduction: str, dtype: str) -> None:
    """Infinite, NaN, 0 and 1 where PyTorch has them, and without a warning."""
    arrays = {k: np.array(v, dtype) for k, v in options.items() if isinstance(v, list)}
    loss = getattr(numpy_nn, name)(reduction=reduction, **options | arrays)
    tensors = {k: torch.from_numpy(v) for k, v in arrays.items()}
    reference = getattr(torch_nn, name)(reduction=reduction, **options | tensors)
    x = np.array(x, dtype)
    t = np.array(t)
    if t.dtype.kind == "f" or name not in ("CrossEntropyLoss", "NLLLoss"):
        t = t.astype(dtype)
    value = loss(x, t)
    tensor = torch.from_numpy(x.copy()).requires_grad_()
    expected = reference(tensor, torch.from_numpy(t))
    same(value, expected.detach().numpy(), RTOL[dtype])
    expected.sum().backward()
    assert tensor.grad is not None
    same(loss.backward(), tensor.grad.numpy(), RTOL[dtype])


def test_tiny_probabilities_keep_their_digits() -> None:
    """− log(1 − p) is p there, not 0."""
    p = np.array([1e-20, 1e-9])
    value = numpy_nn.BCELoss(reduction="none")(p, np.zeros(2))
    expected = torch_nn.BCELoss(reduction="none")(torch.from_numpy(p), torch.zeros(2).double())
    np.testing.assert_allclose(value, expected.numpy(), rtol=1e-15, atol=0)
    np.testing.assert_allclose(value, p, rtol=1e-8, atol=0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0), (0, 3, 2), (0,)])
@pytest.mark.parametrize("name", sorted({case.name for case in CASES}))
def test_empty_batches(name: str, shape: tuple[int, ...], reduction: str) -> None:
    """The mean of nothing is nan, the sum 0."""
    of_classes = name in ("CrossEntropyLoss", "NLLLoss")
    if of_classes and shape == (0,):  # one sample without classes
        return
    target = indices if of_classes else unit
    case = Case(name, (), {"reduction": reduction}, shape, input=unit, target=target)
    pair = Pair(case, "float32")
    value = pair.forward(pair.input)
    expected, expected_grad = pair.torch_step(pair.input, np.ones(np.shape(value)))
    same(value, expected, 0)
    same(pair.module.backward(), expected_grad, 0)


BROADCAST = [((2, 1), (2,)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 3), ()), ((), (2,)),
             ((2, 1, 3), (1, 4, 1)), ((1,), (0,))]  # fmt: skip


@pytest.mark.parametrize(("input", "target"), BROADCAST)
@pytest.mark.parametrize("name", ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "KLDivLoss"])
def test_targets_of_another_shape_are_broadcast(name: str, input: Any, target: Any) -> None:
    """With PyTorch's warning, where it gives one."""
    reductions = REDUCTIONS if name != "KLDivLoss" else ("batchmean", "sum", "none")
    for reduction in reductions:
        rng = np.random.default_rng(0)
        loss = getattr(numpy_nn, name)(reduction=reduction)
        reference = getattr(torch_nn, name)(reduction=reduction)
        x, t = unit(rng, input), unit(rng, target)
        tensor = torch.from_numpy(x.copy()).requires_grad_()
        with warnings.catch_warnings(record=True) as ours:
            warnings.simplefilter("always")
            value = loss(x, t)
        with warnings.catch_warnings(record=True) as theirs:
            warnings.simplefilter("always")
            expected = reference(tensor, torch.from_numpy(t))
        assert [w.category for w in ours] == [w.category for w in theirs]
        if ours:
            assert f"target size ({target})" in str(ours[0].message)
        grad_output = np.asarray(rng.normal(size=expected.shape))
        expected.backward(torch.from_numpy(grad_output))
        assert tensor.grad is not None
        same(value, expected.detach().numpy(), 1e-10)
        same(loss.backward(grad_output), tensor.grad.numpy(), 1e-10)


MIXED = [
    (name, first, second)
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "KLDivLoss", "BCEWithLogitsLoss",
                 "CrossEntropyLoss")
    for first, second in [("float32", "float64"), ("float64", "float32")]
] + [
    (name, "float32", second)
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss")
    for second in ("int64", "int32", "uint8")
]  # fmt: skip


@pytest.mark.parametrize(("name", "first", "second"), MIXED)
def test_targets_of_another_dtype(name: str, first: str, second: str) -> None:
    """The loss has the dtype that PyTorch gives it, the gradient that of the input."""
    for reduction in ("sum", "none"):
        rng = np.random.default_rng(0)
        x, t = normal(rng, (3, 4)).astype(first), (5 * unit(rng, (3, 4))).astype(second)
        loss = getattr(numpy_nn, name)(reduction=reduction)
        tensor = torch.from_numpy(x.copy()).requires_grad_()
        expected = getattr(torch_nn, name)(reduction=reduction)(tensor, torch.from_numpy(t))
        value = loss(x, t)
        same(value, expected.detach().numpy(), 1e-6)
        expected.sum().backward()
        assert tensor.grad is not None
        same(loss.backward(), tensor.grad.numpy(), 1e-6)


@pytest.mark.parametrize("name", ["BCELoss", "BCEWithLogitsLoss"])
def test_weights_of_another_dtype(name: str) -> None:
    x, t = np.full(3, 0.25, np.float32), np.ones(3, np.float32)
    weight = np.array([1.0, 2.0, 3.0])
    value = getattr(numpy_nn, name)(weight=weight, reduction="none")(x, t)
    expected = getattr(torch_nn, name)(weight=torch.from_numpy(weight), reduction="none")(
        torch.from_numpy(x), torch.from_numpy(t)
    )
    same(value, expected.numpy(), 1e-6)


def zeros(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.zeros(shape, dtype)


def ints(*values: Any) -> np.ndarray:
    return np.array(values)


# (loss, settings, input, target, words of our message); PyTorch refuses them too.
REFUSED: list[tuple[str, dict[str, Any], Any, Any, str]] = [
    ("BCELoss", {}, zeros(2, 1), zeros(2), r"\(2, 1\).*Received: \(2,\)"),
    ("BCELoss", {}, zeros(2), zeros(2, dtype=np.float64), "Received: float64"),
    ("BCELoss", {}, zeros(2), zeros(2, dtype=np.int64), "Received: int64"),
    ("BCELoss", {}, zeros(2) + 1.5, zeros(2), "input between 0 and 1.*1.5.*BCEWithLogitsLoss"),
    ("BCELoss", {}, zeros(2) * np.float32(np.nan), zeros(2), "input between 0 and 1.*nan"),
    ("BCELoss", {}, zeros(2), zeros(2) - 1, "target between 0 and 1.*-1"),
    ("BCELoss", {"weight": zeros(2, 4)}, zeros(2, 3), zeros(2, 3), r"\(2, 3\).*\(2, 4\)"),
    ("BCELoss", {"weight": zeros(4, 2, 3)}, zeros(2, 3), zeros(2, 3), r"\(4, 2, 3\)"),
    ("BCEWithLogitsLoss", {}, zeros(2, 1), zeros(2), r"\(2, 1\).*Received: \(2,\)"),
    ("BCEWithLogitsLoss", {}, zeros(2), zeros(2, dtype=np.int64), "Received: int64"),
    ("BCEWithLogitsLoss", {}, zeros(2), zeros(2, dtype=bool), "Received: bool"),
    ("BCEWithLogitsLoss", {"weight": zeros(3)}, zeros(2), zeros(2), r"\(2,\).*\(3,\)"),
    ("BCEWithLogitsLoss", {"pos_weight": zeros(4, 2, 3)}, zeros(2, 3), zeros(2, 3), r"\(4, 2, 3"),
    ("MSELoss", {}, zeros(2, 3), zeros(2), r"\(2, 3\).*\(2,\)"),
    ("MSELoss", {}, zeros(2, dtype=np.int64), zeros(2, dtype=np.int64), "int64"),
    ("L1Loss", {}, zeros(2), zeros(2, dtype=bool), "bool"),
    ("SmoothL1Loss", {"beta": -1}, zeros(2), zeros(2), "beta >= 0. Received: -1"),
    ("HuberLoss", {"delta": 0}, zeros(2), zeros(2), "delta > 0. Received: 0"),
    ("HuberLoss", {"delta": -1}, zeros(2), zeros(2), "delta > 0. Received: -1"),
    ("HuberLoss", {}, zeros(2), zeros(2, dtype=np.float64), "Received: float64"),
    ("KLDivLoss", {}, zeros(2), zeros(2, dtype=np.int64), "Received: int64"),
    ("CrossEntropyLoss", {"label_smoothing": 1.01}, zeros(2, 3), ints(0, 1), "label_smoothing"),
    ("NLLLoss", {}, zeros(3), ints(1), r"shape \(\) .*\(3,\). Received: \(1,\)"),
    ("NLLLoss", {}, zeros(2, 3), ints(1), r"shape \(2,\) .*\(2, 3\). Received: \(1,\)"),
    ("NLLLoss", {}, zeros(2, 3, 4), np.zeros((2, 5), int), r"shape \(2, 4\).*\(2, 5\)"),
    ("NLLLoss", {}, zeros(2, 3), ints(0, 3), "Target 3 is out of bounds: there are 3"),
    ("NLLLoss", {}, zeros(2, 3), ints(0, -1), "Target -1 is out of bounds"),
    ("NLLLoss", {"ignore_index": 5}, zeros(2, 3), ints(5, 6), "Target 6 is out of bounds"),
    ("NLLLoss", {"ignore_index": 5}, zeros(2, 3), ints(5, 3), "Target 3 is out of bounds"),
    ("NLLLoss", {}, zeros(2, 0), ints(0, 0), "there are 0 classes"),
    ("NLLLoss", {}, zeros(2, 3), zeros(2), "float32"),
    ("NLLLoss", {}, zeros(2, 3), zeros(2, dtype=np.int32), "int32.*astype"),
    ("NLLLoss", {"weight": zeros(2)}, zeros(2, 3), ints(0, 1), r"\(3,\).*\(2,\)"),
    ("NLLLoss", {"weight": zeros(3, dtype=np.float64)}, zeros(2, 3), ints(0, 1), "float64"),
    ("NLLLoss", {}, np.array(0.0), np.array(0), "at least one axis"),
    ("CrossEntropyLoss", {}, zeros(2, 3), ints(0, 3), "Target 3 is out of bounds"),
    ("CrossEntropyLoss", {}, zeros(2, 3), ints(0, -7), "Target -7 is out of bounds"),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, zeros(2, 3), ints(0, 3), "Target 3"),
    ("CrossEntropyLoss", {}, zeros(2, 0), ints(0, 0), "there are 0 classes"),
    ("CrossEntropyLoss", {}, zeros(2, 3), zeros(2, dtype=np.int32), "int32"),
    ("CrossEntropyLoss", {}, zeros(2, 3), zeros(2), r"\(2, 3\).*\(2,\)"),
    ("CrossEntropyLoss", {}, zeros(2, 3, 4), np.zeros((2, 3), int), r"\(2, 4\).*\(2, 3\)"),
    ("CrossEntropyLoss", {"ignore_index": 1}, zeros(2, 3), zeros(2, 3), "ignore_index"),
    ("CrossEntropyLoss", {"weight": zeros(2)}, zeros(2, 3), ints(0, 1), r"\(3,\).*\(2,\)"),
    ("CrossEntropyLoss", {"weight": zeros(3, dtype=np.float64)}, zeros(2, 3), ints(0, 1), "float"),
]


def torch_step(make: Any, options: Any, x: np.ndarray, t: np.ndarray) -> None:
    tensor = torch.from_numpy(x.copy()).requires_grad_(x.dtype.kind == "f")
    make(**options)(tensor, torch.from_numpy(t)).sum().backward()


@pytest.mark.parametrize(("name", "options", "x", "t", "message"), REFUSED)
def test_refusals_are_torchs(name: str, options: Any, x: Any, t: Any, message: str) -> None:
    tensors = {
        k: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()
    }
    with pytest.raises(
        (ValueError, TypeError, RuntimeError, IndexError, NotImplementedError, UserWarning)
    ):
        torch_step(getattr(torch_nn, name), tensors, x, t)
    with pytest.raises((ValueError, TypeError, IndexError), match=f"(?s){message}"):
        getattr(numpy_nn, name)(**options)(x, t)


LOSSES = sorted(name for name in numpy_nn.__all__ if name.endswith("Loss"))


@pytest.mark.parametrize("name", LOSSES)
def test_what_every_loss_refuses(name: str) -> None:
    make = getattr(numpy_nn, name)
    parameters = inspect.signature(make).parameters
    for old in {"size_average", "reduce"} & set(parameters):
        for value in (True, False):
            with pytest.raises(ValueError, match=f"{old}={value} is not supported.*reduction"):
                make(**{old: value})
    with pytest.raises(ValueError, match=r"average is not a valid value for reduction.*'mean'"):
        make(reduction="average")
    loss = make(reduction="sum")
    with pytest.raises(RuntimeError, match=f"{name}.backward was called before forward"):
        loss.backward()
    x = zeros(2, 3)
    t = ints(0, 1) if name in ("CrossEntropyLoss", "NLLLoss") else zeros(2, 3)
    with pytest.raises(TypeError, match=f"{name} expects a numpy array. Received: list"):
        loss([[0.0]], t)
    with pytest.raises(TypeError, match=f"{name} expects the target as a numpy array.*list"):
        loss(x, [0, 1])
    with pytest.raises(TypeError, match="float16"):
        loss(x.astype(np.float16), t)
    loss(x, t)
    with pytest.raises(ValueError, match=r"expects a number.*shape \(2,\)"):
        loss.backward(zeros(2))
    loss.reduction = "none"
    shape = np.shape(loss(x, t))
    with pytest.raises(ValueError, match=r"output's shape.*Received: \(7,\)"):
        loss.backward(zeros(7))
    with pytest.raises(TypeError, match="Received: float64"):
        loss.backward(np.zeros(shape))
    loss.reduction = "average"
    with pytest.raises(ValueError, match="average is not a valid value"):
        loss(x, t)


@pytest.mark.parametrize("name", LOSSES)
def test_state_and_print_are_torchs(name: str) -> None:
    ours, theirs = getattr(numpy_nn, name)(), getattr(torch_nn, name)()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict()) == []
    for key in {"weight", "pos_weight"} & set(inspect.signature(type(ours)).parameters):
        kwargs = {key: np.array([1.0, 2.0])}
        state = getattr(numpy_nn, name)(**kwargs).state_dict()
        loaded = getattr(torch_nn, name)(**{key: torch.zeros(2)})
        loaded.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
        assert getattr(loaded, key).tolist() == [1, 2]
        with pytest.raises(TypeError, match=r"must be an array or None. Received: list"):
            getattr(numpy_nn, name)(**{key: [1.0, 2.0]})


@pytest.mark.parametrize("name", LOSSES)
def test_signatures_are_torchs(name: str) -> None:
    """Names, order, kind and defaults of the constructor's arguments, without exception."""
    ours, theirs = (
        [
            (p.name, p.kind, p.default)
            for p in inspect.signature(getattr(nn, name)).parameters.values()
        ]
        for nn in (numpy_nn, torch_nn)
    )
    assert ours == theirs


def test_the_mean_of_a_divergence_warns_as_torchs() -> None:
    x = zeros(2, 3)
    for make, x_of in ((numpy_nn.KLDivLoss, x), (torch_nn.KLDivLoss, torch.from_numpy(x))):
        with pytest.warns(UserWarning, match="'batchmean' divides only by the batch size"):
            make()(x_of, x_of)


def test_uint8_class_indices() -> None:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for name in ("NLLLoss", "CrossEntropyLoss"):
        value = getattr(numpy_nn, name)()(x, np.array([2, 0], np.uint8))
        expected = getattr(torch_nn, name)()(
            torch.from_numpy(x), torch.tensor([2, 0], dtype=torch.uint8)
        )
        same(value, expected.numpy(), 1e-6)


@settings(max_examples=60, deadline=None)
@given(
    case=st.sampled_from(CASES),
    extents=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 1000),
)
def test_any_shape(case: Case, extents: list[int], dtype: str, seed: int) -> None:
    shape = tuple(extents)
    kwargs = {
        k: v for k, v in case.kwargs.items() if not (isinstance(v, Weight) and v.shape is not None)
    }
    of_classes = case.name in ("CrossEntropyLoss", "NLLLoss")
    if of_classes:  # at least as many classes as the one that is ignored needs, and one sample
        shape = tuple(max(n, 3) if i == min(len(shape) - 1, 1) else n for i, n in enumerate(shape))
    pair = Pair(replace(case, kwargs=kwargs, shape=shape), dtype, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = pair.forward(pair.input)
        grad_output = np.asarray(pair.rng.normal(size=np.shape(value))).astype(dtype)
        grad_input = pair.module.backward(grad_output)
        expected, expected_grad = pair.torch_step(pair.input, grad_output)
    same(value, expected, RTOL[dtype])
    same(grad_input, expected_grad, RTOL[dtype])
