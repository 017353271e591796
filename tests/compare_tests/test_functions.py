"""Two functions, judged by the reference in float64."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import numpy_nn
from compare.parity.callables import CallError, Inputs, Subject, as_array, rounded
from compare.parity.functions import FunctionCheck, FunctionsRecord, compare_functions


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def layer_norm(eps: float) -> Callable[[np.ndarray], np.ndarray]:
    def normalised(x: np.ndarray) -> np.ndarray:
        d = x - x.mean(axis=-1, keepdims=True)
        return d / np.sqrt((d * d).mean(axis=-1, keepdims=True) + x.dtype.type(eps))

    return normalised


DRAWS = iter(np.random.default_rng(0).random(100))
LAYER_NORM = torch.nn.LayerNorm(64, elementwise_affine=False)


@pytest.mark.parametrize("seed", range(10))
def test_an_epsilon_of_another_size_fails(seed: int) -> None:
    """A fixed tolerance of 1e-5 let it pass: it changes the result by 4.5e-6."""
    x = normal(8, 64, seed=seed)
    record = compare_functions(layer_norm(1e-6), LAYER_NORM, [x], hard=False)
    assert not record.passed
    assert record.checks[0].times > 20
    assert compare_functions(layer_norm(1e-5), LAYER_NORM, [x]).passed


@pytest.mark.parametrize("seed", range(10))
def test_a_right_one_on_data_offset_by_1000_passes(seed: int) -> None:
    """It is as near to the truth as PyTorch's, though 1e-5 away."""
    x = normal(8, 64, seed=seed) + np.float32(1000)
    record = compare_functions(layer_norm(1e-5), LAYER_NORM, [x])
    assert record.passed, record.text()
    exact = LAYER_NORM(torch.from_numpy(x.astype(np.float64))).numpy()
    assert np.abs(layer_norm(1e-5)(x) - exact).max() > 1e-5


def softmax_without_small_values(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return np.where(p < 1e-10, np.zeros((), p.dtype), p)


def test_small_probabilities_that_are_zero_fail() -> None:
    x = 8 * normal(8, 10)
    record = compare_functions(softmax_without_small_values, torch.nn.Softmax(-1), [x])
    assert not record.passed
    first = record.first_failure
    assert first is not None
    assert first.inputs == "as given"
    assert first.found == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_every_format(dtype: torch.dtype) -> None:
    x = torch.randn(6, 16, generator=torch.Generator().manual_seed(0)).to(dtype)

    def composed(x: torch.Tensor) -> torch.Tensor:
        e = (x.double() - x.double().max(dim=-1, keepdim=True).values).exp()
        return (e / e.sum(dim=-1, keepdim=True)).to(x.dtype)

    record = compare_functions(composed, torch.nn.Softmax(-1), [x])
    assert record.passed, record.text()
    assert record.precision == str(dtype).removeprefix("torch.")
    assert any(check.quantity == "gradient of input 0" for check in record.checks)

    def halved(x: torch.Tensor) -> torch.Tensor:
        return composed(x) * (1 + 40 * torch.finfo(dtype).eps)

    assert not compare_functions(halved, torch.nn.Softmax(-1), [x]).passed


def test_modules_of_both_kinds_with_gradients_and_buffers() -> None:
    theirs = torch.nn.BatchNorm1d(5)
    ours = numpy_nn.BatchNorm1d(5)
    ours.load_state_dict({k: v.numpy().copy() for k, v in theirs.state_dict().items()})
    state = copy.deepcopy(theirs.state_dict())
    record = compare_functions(ours, theirs, [normal(7, 5)])
    assert record.passed, record.text()
    quantities = {check.quantity for check in record.checks}
    assert {"gradient of weight", "gradient of bias", "buffer running_var"} <= quantities
    for name, value in theirs.state_dict().items():  # neither is changed
        assert torch.equal(value, state[name])
    assert not np.any(ours.running_mean)

    class Biased(numpy_nn.BatchNorm1d):
        def forward(self, input: np.ndarray) -> np.ndarray:
            before = self.running_var.copy()
            output = super().forward(input)
            self.running_var[...] = 0.9 * before + 0.1 * input.var(axis=0)
            return output

    biased = Biased(5)
    record = compare_functions(biased, theirs, [normal(7, 5)])
    first = record.first_failure
    assert first is not None
    assert first.quantity == "buffer running_var"


def test_parameters_that_differ_before_the_call() -> None:
    one, other = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    record = compare_functions(one, other, [normal(5, 4)])
    assert "start with other values of weight" in record.text()
    other.load_state_dict(one.state_dict())
    assert compare_functions(one, other, [normal(5, 4)]).passed


def test_a_gradient_alone_is_wrong() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, dy: torch.Tensor) -> torch.Tensor:
            return dy * ctx.saved_tensors[0]  # the 2 is missing

    record = compare_functions(Square.apply, torch.square, [torch.randn(4, 3)])
    first = record.first_failure
    assert first is not None
    assert first.quantity == "gradient of input 0"
    assert compare_functions(
        Square.apply, torch.square, [torch.randn(4, 3)], gradients=False
    ).passed


def test_vector_jacobian_products() -> None:
    def tanh_vjp(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
        return dy * (1 - np.tanh(x) ** 2)

    x = normal(5, 3)
    record = compare_functions(np.tanh, torch.tanh, [x], candidate_vjp=tanh_vjp, hard=False)
    assert record.passed, record.text()
    assert len(record.checks) == 2
    wrong = compare_functions(
        np.tanh, torch.tanh, [x], candidate_vjp=lambda x, dy: dy * (1 - np.tanh(x)), hard=False
    )
    assert not wrong.passed
    both = compare_functions(
        np.tanh, np.tanh, [x], candidate_vjp=tanh_vjp, reference_vjp=tanh_vjp, hard=False
    )
    assert len(both.checks) == 2


@pytest.mark.parametrize(
    ("candidate", "sentence"),
    [
        (lambda x, w: x.at, "raised AttributeError"),
        (
            lambda x, w: (x @ w).T,
            r"it has the shape \(3, 5\), but expected \(5, 3\)|It has the shape",
        ),
        (lambda x, w: [x @ w, x], "returned output 0, output 1, but"),
        (
            lambda x, w: x.__imul__(1) @ w + 0 * x.__iadd__(1).sum(),
            "changed its argument 0 in place",
        ),
        (lambda x, w: x @ w + next(DRAWS), "gave another answer when it was called again"),
        (lambda x, w: np.where(x @ w > 1, np.nan, x @ w), "elements are outside"),
    ],
)
def test_what_a_candidate_may_do_wrong(candidate: Any, sentence: str) -> None:
    record = compare_functions(candidate, np.matmul, [normal(5, 4), normal(4, 3)])
    assert not record.passed
    import re

    assert re.search(sentence, record.text()), record.text()


def test_a_candidate_that_fails_for_a_single_row() -> None:
    def needs_rows(x: np.ndarray) -> np.ndarray:
        if len(x) < 2:
            raise IndexError("no second row")
        return np.exp(x)

    record = compare_functions(needs_rows, np.exp, [normal(3, 2)])
    assert "raised IndexError: no second row" in record.text()
    assert [c.inputs for c in record.checks if not c.passed] == ["a single row"]


def test_harder_inputs_find_what_the_given_ones_do_not() -> None:
    def naive(x: np.ndarray) -> np.ndarray:
        e = np.exp(x)
        return e / e.sum(axis=-1, keepdims=True)

    x = normal(4, 6)
    assert compare_functions(naive, torch.nn.Softmax(-1), [x], hard=False).passed
    record = compare_functions(naive, torch.nn.Softmax(-1), [x])
    first = record.first_failure
    assert first is not None
    assert "1000" in first.inputs


def test_questions_without_an_answer_are_not_asked() -> None:
    """The logarithm of negative numbers, a probability above 1."""
    assert compare_functions(np.log, torch.log, [np.abs(normal(4, 3)) + 1]).passed
    p = np.random.default_rng(0).uniform(0.1, 0.9, (4, 3)).astype(np.float32)
    t = (p > 0.5).astype(np.float32)
    record = compare_functions(numpy_nn.BCELoss(), torch.nn.BCELoss(), [p, t])
    assert record.passed, record.text()


def test_nested_arguments_integers_and_several_outputs() -> None:
    def ours(arrays: dict[str, Any], index: np.ndarray, scale: float) -> dict[str, Any]:
        table, rows = arrays["table"], [arrays["rows"][0] * scale]
        return {"taken": table[index], "rows": rows, "largest": int(table.argmax())}

    def theirs(arrays: dict[str, Any], index: torch.Tensor, scale: float) -> dict[str, Any]:
        taken = F.embedding(index, arrays["table"])
        return {"taken": taken, "rows": [arrays["rows"][0] * scale],
                "largest": int(arrays["table"].argmax())}  # fmt: skip

    inputs = [{"table": normal(6, 3), "rows": (normal(4),)}, np.array([1, 5, 1]), 2.5]
    record = compare_functions(ours, theirs, inputs)
    assert record.passed, record.text()
    assert {"output['taken']", "output['rows'][0]", "output['largest']"} <= {
        check.quantity for check in record.checks
    }


def test_an_ill_conditioned_question_is_said_to_be_one() -> None:
    x = (1e6 + normal(1, 8)).astype(np.float32)
    record = compare_functions(lambda x: x - x.mean(), lambda x: x - x.mean(), [x], hard=False)
    assert record.passed
    assert any("is ill-conditioned" in note for note in record.notes)


def test_a_reference_without_float64_needs_a_bound() -> None:
    def kernel(x: torch.Tensor) -> torch.Tensor:
        return x.float().exp()

    x = torch.randn(5, 4)
    with pytest.raises(ValueError, match=r"has no float64 .* bound="):
        compare_functions(torch.exp, kernel, [x])
    record = compare_functions(torch.exp, kernel, [x], bound=1e-6)
    assert record.passed
    assert "as was declared" in record.referee
    near = compare_functions(lambda x: x.exp() * (1 + 1e-4), kernel, [x], bound=1e-6)
    assert not near.passed
    assert "times as far as was declared" in near.text()


def test_what_makes_no_question() -> None:
    with pytest.raises(ValueError, match="at least one array"):
        compare_functions(abs, abs, [3])
    with pytest.raises(ValueError, match="the reference, broken, raised ZeroDivisionError"):
        compare_functions(np.exp, broken, [normal(3)])
    drop = torch.nn.Dropout()
    with pytest.raises(ValueError, match="gives another answer each time"):
        compare_functions(drop, drop, [normal(50)])


def broken(x: Any) -> Any:
    return x / 0 if np.ndim(x) > 5 else 1 / 0


def test_overflow_of_a_format_is_nobodys_fault() -> None:
    x = np.array([[10.0, 11.5, 5.0]], np.float16)
    record = compare_functions(np.exp, torch.exp, [x], hard=False)
    assert record.passed, record.text()
    with np.errstate(over="ignore"):
        assert np.isinf(np.exp(x)).any()


def test_the_same_question_twice_gives_the_same_record() -> None:
    x = normal(4, 64)
    one, other = (compare_functions(layer_norm(1e-6), LAYER_NORM, [x]) for _ in range(2))
    assert one.to_json() == other.to_json()
    content = json.loads(one.to_json())
    assert (content["schema"], content["passed"]) == (1, False)
    assert content["checks"][0]["times"] > 16


def test_the_text_says_where_and_how_far() -> None:
    def off(x: np.ndarray) -> np.ndarray:
        y = np.exp(x)
        y[1, 2] *= 1.001
        return y

    lines = compare_functions(off, np.exp, [normal(3, 4)], hard=False).text().splitlines()
    assert lines[0] == (
        "off differs from exp in 1 of 1 comparisons (float32), first in the output, for the inputs "
        "as given."
    )
    assert lines[1] == "The output at element [1, 2]:"
    assert lines[-2].endswith("16 times are allowed. 1 of 12 elements are outside.")


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "float32"])
def test_rounding_is_pytorchs(precision: str) -> None:
    x = np.random.default_rng(0).standard_normal(2000) * 10.0 ** (np.arange(2000) % 7)
    x = np.concatenate([x, [0.0, -0.0, np.inf, -np.inf, 1e39, 65520.0, 1 + 2**-9, 1 + 3 * 2**-9]])
    expected = torch.from_numpy(x).to(torch.float32).to(getattr(torch, precision)).double().numpy()
    np.testing.assert_array_equal(rounded(x, precision), expected)


def test_inputs_keep_their_formats() -> None:
    given = Inputs.of([np.float32([1, 2]), [torch.zeros(2, dtype=torch.float16)], np.arange(3), 7])
    assert (given.floats, given.precision, given.tensors) == (
        ["float32", "float16", ""],
        "float16",
        True,
    )
    assert as_array(torch.ones(2, dtype=torch.bfloat16))[1] == "bfloat16"


def test_a_record_is_a_door(tmp_path: Any) -> None:
    import nncompare

    record = nncompare.compare_functions(np.exp, torch.exp, [normal(3)])
    assert isinstance(record, FunctionsRecord)
    assert record.passed


# ---- the record, field by field


def test_a_failure_is_recorded_with_its_place_and_reason() -> None:
    def needs_rows(x: np.ndarray) -> np.ndarray:
        if len(x) < 2:
            raise IndexError
        return np.exp(x)

    record = compare_functions(needs_rows, np.exp, [normal(3, 2)])
    assert record.first_failure == FunctionCheck(
        "output", "a single row", False, np.inf, 16.0,
        note="needs_rows raised IndexError",
    )  # fmt: skip
    wide = compare_functions(lambda x: x[:, :1], np.exp, [normal(3, 2)], hard=False)
    assert wide.checks == [
        FunctionCheck(
            "output", "as given", False, np.inf, 16.0,
            note="it has the shape (3, 1), but expected (3, 2)",
        )
    ]  # fmt: skip


def test_a_comparison_is_recorded_with_its_worst_element() -> None:
    x = normal(3, 4)
    exact = torch.exp(torch.from_numpy(x).double()).numpy()
    single = torch.exp(torch.from_numpy(x)).double().numpy()

    def off(x: np.ndarray) -> np.ndarray:
        y = np.exp(x)
        y[2, 1] *= 1.01
        y[0, 3] *= 1.001
        return y

    (check,) = compare_functions(off, torch.exp, [x], hard=False, gradients=False).checks
    assert (check.quantity, check.inputs, check.passed) == ("output", "as given", False)
    assert (check.elements, check.outside, check.place) == (12, 2, (2, 1))
    assert check.expected == exact[2, 1]
    assert check.found == float(off(x)[2, 1])
    assert check.reference == single[2, 1]
    assert check.allowed == 16.0
    nothing = compare_functions(np.exp, np.exp, [np.zeros((0, 3))], hard=False)
    assert nothing.checks == [FunctionCheck("output", "as given", True, 0.0, 16.0)]


def test_a_declared_bound_is_a_share_of_the_largest_value() -> None:
    x = np.array([1.0, 4.0])
    near, far = (
        compare_functions(lambda x, by=by: x + by, np.abs, [x], bound=1e-3, hard=False).checks[0]
        for by in (0.003, 0.005)
    )
    assert (near.passed, far.passed) == (True, False)
    assert (near.allowed, far.allowed) == (1.0, 1.0)
    assert far.times == pytest.approx(5 / 4)


def test_what_is_not_compared_is_said() -> None:
    def notes(one: Any, other: Any, *inputs: Any) -> list[str]:
        return compare_functions(one, other, inputs, hard=False).notes

    x = normal(3, 4)
    assert notes(np.exp, torch.exp, x) == ["Gradients are not compared: exp has none."]
    assert notes(torch.exp, np.abs, np.float32([0.0]))[:1] == [
        "Gradients are not compared: absolute has none."
    ]
    assert notes(np.exp, np.exp, x) == ["Gradients are not compared: both have none."]
    one, other = torch.nn.Linear(4, 3), torch.nn.Sequential(torch.nn.Linear(4, 3))
    other[0].load_state_dict(one.state_dict())
    assert notes(one, other, x) == [
        "Parameters and their gradients are not compared: they have other names."
    ]
    plain = torch.nn.BatchNorm1d(4, affine=False, track_running_stats=False)
    kept = torch.nn.BatchNorm1d(4, affine=False)
    assert notes(kept, plain, x) == [
        "Only one of the two has the buffer num_batches_tracked, buffer running_mean, buffer "
        "running_var."
    ]


def test_how_far_parameters_start_apart() -> None:
    one, other = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3)
    other.load_state_dict({k: v.clone() for k, v in one.state_dict().items()})
    with torch.no_grad():
        other.bias[1] += 0.25
    record = compare_functions(one, other, [normal(5, 4)])
    assert record.checks == [
        FunctionCheck(
            "parameter bias", "before the call", False, np.inf, 0.0,
            note="the two start with other values of bias: they are up to 0.25 apart",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("x", "asked"),
    [
        (normal(3, 2), ["offset by 1000", "1000 times as large", "1e-06 times as large",
                        "with near ties", "a single row"]),
        (normal(1, 2), ["offset by 1000", "1000 times as large", "1e-06 times as large",
                        "with near ties"]),
        (normal(5), ["offset by 1000", "1000 times as large", "1e-06 times as large",
                     "with near ties"]),
        (normal(2, 2, dtype=np.float16), ["offset by 30", "8 times as large",
                                          "0.01 times as large", "with near ties", "a single row"]),
        (np.arange(3), []),
    ],
    ids=["rows", "a row", "one axis", "float16", "integers"],
)  # fmt: skip
def test_which_harder_inputs_are_asked(x: np.ndarray, asked: list[str]) -> None:
    seen: list[np.ndarray] = []

    def noted(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return np.abs(x)

    record = compare_functions(noted, np.abs, [x])
    assert record.passed
    assert [check.inputs for check in record.checks] == ["as given", *asked]
    if not asked:
        return
    typical = np.sqrt(np.mean(x.astype(np.float64) ** 2))
    factors = [float(name.split()[0]) for name in asked[1:3]]
    offset = float(asked[0].removeprefix("offset by "))
    given = [np.asarray(one, np.float64) for one in seen]
    for expected in (x + offset * typical, factors[0] * x, factors[1] * x):
        assert any(
            a.shape == x.shape and np.allclose(a, expected, rtol=2e-3, atol=0) for a in given
        )
    bits = 2.0 ** (-10 if x.dtype == np.float16 else -23)
    ties = next(a for a in given if a.shape == x.shape and a.flat[1] != x.flat[1]
                and 0 < abs(a.flat[1] / x.flat[0] - 1) <= 2 * bits)  # fmt: skip
    np.testing.assert_array_equal(ties.ravel()[::2], x.ravel()[::2])
    if asked[-1] == "a single row":
        assert any(np.array_equal(a, x[:1]) for a in given)


def test_in_float64_the_noise_is_not_the_slope() -> None:
    """A relative error of 1e-10 is a million of float64's own bits."""
    x = normal(4, 3, dtype=np.float64)
    record = compare_functions(lambda x: np.exp(x) * (1 + 1e-10), np.exp, [x], hard=False)
    assert not record.passed
    assert compare_functions(np.exp, torch.exp, [x], hard=False, gradients=False).passed


# ---- calls


def test_formats_of_modules_and_answers() -> None:
    assert Subject(numpy_nn.Linear(2, 2)).precision() == "float32"
    assert Subject(torch.nn.Linear(2, 2).half()).precision() == "float16"
    assert Subject(np.exp).precision() == "float64"
    given = Inputs.of([np.ones((1, 2), np.float32)])
    assert Subject(np.exp).call(given, "float32").precision == "float32"
    assert Subject(np.argmax).call(given, "float32").precision == ""


def test_a_module_of_numpy_computes_in_the_format_that_is_asked() -> None:
    layer = numpy_nn.Linear(1, 1)
    weights = {"weight": np.array([[0.1]]), "bias": np.array([0.2])}
    given = Inputs.of([np.array([[0.3]])])
    for precision, dtype in (("float64", np.float64), ("float32", np.float32)):
        answer = Subject(layer).call(given, precision, weights)
        x, w, b = (np.asarray(v, dtype) for v in (0.3, 0.1, 0.2))
        assert answer.precision == precision
        assert answer.outputs["output"].item() == pytest.approx(float(x * w + b), rel=1e-15)
    norm = numpy_nn.BatchNorm1d(2)
    answer = Subject(norm).call(Inputs.of([normal(4, 2, dtype=np.float64)]), "float64")
    assert answer.buffers["buffer num_batches_tracked"].dtype.kind == "i"
    assert norm.running_mean.dtype == np.float32
    mean = normal(4, 2, dtype=np.float64).mean(axis=0)
    np.testing.assert_allclose(answer.buffers["buffer running_mean"], 0.1 * mean, rtol=1e-14)


def test_a_gradient_that_fails_says_how() -> None:
    def vjp(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
        raise KeyError("x")

    record = compare_functions(
        np.exp, np.exp, [normal(2)], hard=False, candidate_vjp=vjp, reference_vjp=np.multiply
    )
    assert record.checks[0].note == "exp raised KeyError: 'x', in its gradient"
    with pytest.raises(CallError, match=r"^raised StopIteration$"):
        Subject(lambda x: next(iter(()))).call(Inputs.of([np.ones(1)]), "float64")
    with pytest.raises(CallError, match=r"^returned NoneType, not an array$"):
        Subject(lambda x: None).call(Inputs.of([np.ones(1)]), "float64")
