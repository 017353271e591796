"""Cases by a second writing of how they are drawn, and what they take from PyTorch's step."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from compare.check import cases as drawing
from compare.check.cases import (
    IMAGE_SIDES,
    batch_sizes,
    draw_batch,
    draw_inputs,
    draw_parameters,
    draw_targets,
    input_shape,
    make_cases,
    row_spreads,
    rows_near_kinks,
    spread_logits,
)
from compare.check.contract import Assignment
from compare.check.ratios import Ratio, _formulas, constant_ratio
from compare.check.reference import Reference
from compare.check.result import Observed
from compare.check.sequences import LENGTHS, SequenceNamespace, draw_tokens, pass_on_outputs
from compare.mistakes.case import Case
from compare.parity.tolerances import HOMEWORK, KINK_MARGIN
from experiments.errors import InputError


def of(*layers, loss: str = "cross_entropy", **more) -> Reference:
    def build(nn):
        return nn.Sequential(*(layer(nn) for layer in layers))

    return Reference(Assignment("net", build, loss, **more))


LINEAR = of(lambda nn: nn.Linear(4, 3))
TOKENS = of(lambda nn: nn.Embedding(6, 3), lambda nn: nn.Flatten(), lambda nn: nn.Linear(15, 3))
NORMALISED = of(
    lambda nn: nn.Linear(4, 3), lambda nn: nn.BatchNorm1d(3), lambda nn: nn.Linear(3, 2)
)  # fmt: skip


def generators(seed: int = 0) -> tuple[np.random.Generator, np.random.Generator]:
    return np.random.default_rng(seed), np.random.default_rng(seed)


def test_parameters_as_they_are_documented() -> None:
    random, again = generators()
    found = draw_parameters(NORMALISED, random)
    expected = {
        "0.weight": again.standard_normal((3, 4)) * np.sqrt(2 / 4),
        "0.bias": 0.3 * again.standard_normal(3),
        "1.weight": again.uniform(0.5, 1.5, 3) * again.choice((1, 1, 1, -1), 3),
        "1.bias": 0.3 * again.standard_normal(3),
        "1.running_mean": 0.5 * again.standard_normal(3),
        "1.running_var": again.uniform(0.5, 2.0, 3),
        "1.num_batches_tracked": np.array(3),
        "2.weight": again.standard_normal((2, 3)) * np.sqrt(2 / 3),
        "2.bias": 0.3 * again.standard_normal(2),
    }
    assert list(found) == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, strict=True, err_msg=key)


def test_inputs_as_they_are_documented() -> None:
    random, again = generators()
    found = draw_inputs(LINEAR, (2, 4), 5, random)
    sizes = again.uniform(0.5, 1.5, (5, 1, 1))
    np.testing.assert_array_equal(found, again.standard_normal((5, 2, 4)) * sizes)
    random, again = generators()
    tokens = draw_inputs(TOKENS, (5,), 4, random)
    np.testing.assert_array_equal(tokens, draw_tokens((5,), 4, 6, again))
    assert tokens.dtype == np.int64


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_targets_as_they_are_documented(rows) -> None:
    x = np.random.default_rng(5).standard_normal((rows, 4))
    logits = LINEAR.exact.logits(x)
    third = np.arange(rows) % 3 == 0
    random, again = generators()
    expected = np.where(third, logits.argmin(axis=1), again.integers(0, 3, rows))
    expected[0 if rows == 1 else [i for i in range(rows) if i % 3][-1]] = 2
    np.testing.assert_array_equal(draw_targets(LINEAR, "cross_entropy", x, random), expected)
    random, again = generators()
    np.testing.assert_array_equal(
        draw_targets(LINEAR, "mse", x, random), again.standard_normal((rows, 3))
    )
    for loss, middle in (("bce", 0.5), ("bce_with_logits", 0.0)):
        random, again = generators()
        drawn = again.integers(0, 2, (rows, 3))
        expected = np.where(third[:, None], logits < middle, drawn).astype(float)
        found = draw_targets(LINEAR, loss, x, random)
        np.testing.assert_array_equal(found, expected, strict=True)


def test_targets_of_logits_of_another_shape() -> None:
    sequences = of(lambda nn: nn.Linear(4, 3))
    words = r"^expected logits of shape \(N, classes\), but got \(2, 5, 3\)$"
    with pytest.raises(ValueError, match=words):
        draw_targets(sequences, "cross_entropy", np.ones((2, 5, 4)), np.random.default_rng(0))


def recorded(**kinds: np.ndarray) -> SimpleNamespace:
    calls = [SimpleNamespace(kind=kind, input=x) for kind, x in kinds.items()]
    return SimpleNamespace(inputs=next(iter(kinds.values())), calls=calls)


def test_rows_that_are_near_a_kink() -> None:
    typical = np.ones((4, 3))
    near = typical.copy()
    near[2, 1] = 0.9 * KINK_MARGIN
    assert rows_near_kinks(recorded(ReLU=near)).tolist() == [False, False, True, False]
    near[2, 1] = -0.9 * KINK_MARGIN
    assert rows_near_kinks(recorded(Linear=typical, ReLU=near)).tolist()[2]
    near[2, 1] = 1.2 * KINK_MARGIN
    assert not rows_near_kinks(recorded(ReLU=near)).any()
    assert not rows_near_kinks(recorded(Tanh=0 * near)).any()
    # Of very many values the margin is less: 0.3 of them are as near, on average.
    many = np.ones((2, int(0.3 / KINK_MARGIN * 4)))
    margin = 0.3 / many.size
    assert margin < KINK_MARGIN
    many[1, 0] = 0.9 * margin
    assert rows_near_kinks(recorded(ReLU=many)).tolist() == [False, True]
    many[1, 0] = 1.1 * margin
    assert not rows_near_kinks(recorded(ReLU=many)).any()


def test_a_batch_is_drawn_until_no_row_is_near(monkeypatch) -> None:
    """Rows near a kink alone are drawn anew, and all of them every twentieth time."""
    drawn, asked = [], []
    monkeypatch.setattr(drawing, "rows_near_kinks", lambda step: asked.pop(0))
    monkeypatch.setattr(drawing, "_draw_rows", lambda reference, shape, rows, random: (
        drawn.append((shape, rows)) or np.full((rows, *shape), 7.0)))  # fmt: skip
    params = draw_parameters(LINEAR, np.random.default_rng(0))
    some, none = np.array([False, True, False]), np.zeros(3, bool)
    asked[:] = [some.copy() for _ in range(20)] + [none]
    x = np.zeros((3, 4))
    found, targets, step = draw_batch(LINEAR, params, "cross_entropy", x, np.random.default_rng(0))
    assert found is x
    assert drawn == [((4,), 1)] * 19 + [((4,), 3)]
    np.testing.assert_array_equal(x, np.full((3, 4), 7.0))
    assert targets.shape == (3,)
    assert step.inputs.shape == (3, 4)
    assert drawing.ATTEMPTS == 300
    monkeypatch.setattr(drawing, "ATTEMPTS", 25)
    asked[:] = [some.copy() for _ in range(25)]
    with pytest.raises(InputError) as error:
        draw_batch(LINEAR, params, "cross_entropy", x, np.random.default_rng(0))
    assert str(error.value) == (
        "No batch was found whose values all keep away from the kinks of the network."
    )
    assert asked == []


@pytest.mark.parametrize("loss", ["cross_entropy", "bce_with_logits"])
def test_logits_are_spread(loss) -> None:
    """A typical row has the spread, and none more than twice as much."""
    random = np.random.default_rng(3)
    params = draw_parameters(LINEAR, random)
    before = dict(params)
    batches = [random.standard_normal((5, 4)), 3 * random.standard_normal((8, 4))]

    def spreads(parameters) -> np.ndarray:
        z = np.concatenate(batches) @ parameters["0.weight"].T + parameters["0.bias"]
        return np.ptp(z, axis=1) if loss == "cross_entropy" else 2 * np.abs(z).max(axis=1)

    for spread, larger in ((6.0, 1.0), (6.0, 40.0)):
        batches[1][0] *= larger
        params.update(before)
        factor = min(spread / np.median(spreads(before)), 2 * spread / spreads(before).max())
        spread_logits(LINEAR, params, loss, batches, spread)
        for key in ("0.weight", "0.bias"):
            np.testing.assert_allclose(params[key], factor * before[key], rtol=1e-12)
        assert np.isclose(np.median(spreads(params)), spread) or np.isclose(
            spreads(params).max(), 2 * spread
        )
    without = of(lambda nn: nn.Tanh(), loss="mse")
    kept = {"a": np.ones(2)}
    spread_logits(without, kept, "cross_entropy", [np.ones((2, 3))], 5.0)
    assert kept == {"a": kept["a"]}


def test_spreads_of_rows() -> None:
    z = np.array([[1.0, 4.0, -2.0], [0.0, 0.5, 0.25]])
    step = SimpleNamespace(calls=[SimpleNamespace(name="a", output=9 * z),
                                  SimpleNamespace(name="0", output=z)])  # fmt: skip
    np.testing.assert_array_equal(row_spreads(step, "0", "cross_entropy"), [6.0, 0.5])
    np.testing.assert_array_equal(row_spreads(step, "0", "bce"), [8.0, 1.0])
    one = SimpleNamespace(calls=[SimpleNamespace(name="0", output=z[:, :1])])
    np.testing.assert_array_equal(row_spreads(one, "0", "cross_entropy"), [2.0, 0.0])


def test_rows_of_batches() -> None:
    assert batch_sizes(LINEAR, 3, (4,)) == [(5, 0), (1, 0), (23, 1), (5, 1)]
    assert batch_sizes(NORMALISED, 2, (4,)) == [(5, 0), (3, 0), (23, 1), (5, 1)]
    assert batch_sizes(NORMALISED, 3, (4,))[1] == (5, 0)
    assert batch_sizes(TOKENS, 3, (5,)) == [(6, 0), (1, 0), (23, 1), (4, 1)]
    assert batch_sizes(LINEAR, 3, (4,), one_sample=True) == [(1, 0), (1, 0), (1, 1), (1, 1)]
    with pytest.raises(InputError) as error:
        batch_sizes(NORMALISED, 2, (4,), one_sample=True)
    assert str(error.value) == (
        "ONE_SAMPLE = True, but the network has a batch normalisation, which takes several rows."
    )


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([lambda nn: nn.Linear(7, 2)], (7,)),
        ([lambda nn: nn.ReLU(), lambda nn: nn.BatchNorm1d(6)], (6,)),
        ([lambda nn: nn.LayerNorm((2, 3))], (2, 3)),
        ([lambda nn: nn.Conv2d(3, 2, 3)], (3, 8, 8)),
        ([lambda nn: nn.BatchNorm2d(5)], (5, 8, 8)),
        ([lambda nn: nn.Conv2d(1, 2, 9), lambda nn: nn.Flatten(), lambda nn: nn.Linear(8, 2)],
         (1, 10, 10)),
        ([lambda nn: nn.Conv2d(1, 2, 3, stride=4), lambda nn: nn.Flatten(),
          lambda nn: nn.Linear(8, 2)], (1, 7, 7)),
    ],
)  # fmt: skip
def test_the_shape_of_a_row(layers, shape) -> None:
    assert input_shape(of(*layers, loss="mse")) == shape


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([lambda nn: nn.ReLU()],
         "The network has no layer that says how many inputs it takes, such as Linear or Conv2d."),
        ([lambda nn: nn.Conv2d(1, 2, 70)],
         "The network takes no square image of 2 to 64 pixels a side."),
        ([lambda nn: nn.Conv2d(1, 2, 3), lambda nn: nn.Linear(3000, 2)],
         "The network takes no square image of 2 to 64 pixels a side: is nn.Flatten() missing "
         "before its first Linear?"),
    ],
)  # fmt: skip
def test_no_shape_of_a_row(layers, sentence) -> None:
    with pytest.raises(InputError) as error:
        input_shape(of(*layers, loss="mse"))
    assert str(error.value) == sentence


def test_sides_of_images_in_order() -> None:
    assert IMAGE_SIDES[:11] == (8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)
    assert IMAGE_SIDES[11:15] == (2, 3, 4, 5)
    assert sorted(IMAGE_SIDES) == list(range(2, 65))
    assert sorted(LENGTHS) == list(range(1, 65))
    assert LENGTHS[:6] == (5, 4, 6, 7, 3, 8)


def test_what_pytorch_cannot_run_is_one_sentence() -> None:
    def broken(nn):
        return nn.Sequential(nn.Linear(3, 2), nn.Linear(5, 2))

    with pytest.raises(InputError) as error:
        make_cases(Assignment("my net", broken, "mse"))
    assert str(error.value) == (
        "PyTorch cannot run my net on a batch with the loss mse: RuntimeError: mat1 and mat2 "
        "shapes cannot be multiplied (2x2 and 5x2)."
    )


def test_gradients_of_updates_as_they_are_documented() -> None:
    reference = of(lambda nn: nn.Linear(4, 3), optimizer="SGD", settings={"lr": 0.5})
    random, again = generators(4)
    params = draw_parameters(reference, np.random.default_rng(1))
    case = Case(params, np.ones((2, 4)), np.zeros(2), {}, {})
    found = drawing._with_updates(reference, case, random)
    assert len(found.update_gradients) == 3
    for step in found.update_gradients:
        for key in reference.trainable:
            shape = params[key].shape
            expected = again.standard_normal(shape) * 10.0 ** again.uniform(-9.0, 0.0, shape)
            np.testing.assert_array_equal(step[key], expected)
    for key in reference.trainable:
        after = params[key] - 0.5 * sum(step[key] for step in found.update_gradients)
        np.testing.assert_allclose(found.expected[f"update/{key}"], after, rtol=1e-12)
        np.testing.assert_allclose(found.expected32[f"update/{key}"], after, rtol=1e-5, atol=1e-6)
        assert (found.sizes[f"update/{key}"] >= (1 - 1e-12) * np.abs(after)).all()


def test_buffers_show_in_evaluation_mode() -> None:
    """The logits of evaluation mode are those of PyTorch's module in that mode."""
    case = make_cases(Assignment("net", lambda nn: nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))))[0]  # fmt: skip
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Tanh(),
                                torch.nn.Linear(6, 3)).double()  # fmt: skip
    model.load_state_dict({k: torch.tensor(v) for k, v in case.parameters.items()})
    logits = model.eval()(torch.tensor(case.inputs)).detach().numpy()
    np.testing.assert_allclose(case.evaluation, logits, rtol=1e-12)
    assert not np.allclose(case.expected["logits"], logits, rtol=1e-3)
    assert {k for k in case.expected if k.startswith("buffer/")} == {
        "buffer/1.running_mean", "buffer/1.running_var"
    }  # fmt: skip


@pytest.mark.parametrize(("shape", "rows", "tokens"), [((5,), 4, 6), ((1,), 3, 9), ((3,), 1, 3)])
def test_tokens(shape, rows, tokens) -> None:
    for seed in range(20):
        x = draw_tokens(shape, rows, tokens, np.random.default_rng(seed))
        assert x.shape == (rows, *shape)
        assert (x.min() >= 0, x.max()) == (True, tokens - 1)
        for group in x if shape[0] > 1 else x.T:
            assert len(set(group)) < len(group)


def test_recurrent_layers_return_their_outputs_alone() -> None:
    namespace = SequenceNamespace()
    assert namespace.Linear is torch.nn.Linear
    x = torch.ones(2, 3, 4)
    np.testing.assert_array_equal(namespace.LastStep()(x), x[:, -1])
    for name in ("RNN", "LSTM", "GRU"):
        two = getattr(namespace, name)(4, 5, num_layers=2, batch_first=True)
        one = getattr(namespace, name)(4, 5, num_layers=2, batch_first=True, one_bias=True)
        biases = {n for n, _ in two.named_parameters() if n.startswith("bias_hh")}
        assert biases == {"bias_hh_l0", "bias_hh_l1"}
        assert {n for n, _ in two.named_parameters()} - biases == {
            n for n, _ in one.named_parameters()
        }
        assert not one.bias_hh_l0.any()
        assert "bias_hh_l0" not in one.state_dict()
        model = torch.nn.Sequential(one)
        pass_on_outputs(model)
        assert model(x).shape == (2, 3, 5)
    with pytest.raises(InputError) as error:
        pass_on_outputs(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.GRU(4, 5)))
    assert str(error.value) == (
        "Layer 1 is nn.GRU(…) without batch_first=True, which is needed: its inputs are (N, steps, "
        "features)."
    )


# ------------------------------------------------------- by which factor values are away

FACTORS = {
    "2": "2 times the right one", "0.5": "0.5 times the right one",
    "-1": "the right one with the opposite sign", "-2": "-2 times the right one",
    "-0.5": "-0.5 times the right one", "4": "4 times the right one",
    "0.25": "0.25 times the right one",
    "N": "5 times the right one; 5 is N, the rows of the batch",
    "1/N": "0.2 times the right one; 0.2 is 1/N, for N rows",
    "-N": "-5 times the right one; -5 is -N, for N = 5 rows",
    "-1/N": "-0.2 times the right one; -0.2 is -1/N, for N = 5 rows",
    "N/2": "2.5 times the right one; 2.5 is N/2, for N = 5 rows",
    "2/N": "0.4 times the right one; 0.4 is 2/N, for N = 5 rows",
    "4/N": "0.8 times the right one; 0.8 is 4/N, for N = 5 rows",
    "1/(2N)": "0.1 times the right one; 0.1 is 1/(2N), for N = 5 rows",
    "N²": "25 times the right one; 25 is N², for N = 5 rows",
    "1/N²": "0.04 times the right one; 0.04 is 1/N², for N = 5 rows",
    "C": "3 times the right one; 3 is C and C outputs",
    "1/C": "0.3333333333 times the right one; 0.3333333333 is 1/C and C outputs",
    "N·C": "15 times the right one; 15 is N·C, for N = 5 rows and C outputs",
    "1/(N·C)": "0.06666666667 times the right one; 0.06666666667 is 1/(N·C), for N = 5 rows and C "
               "outputs",
    "C/2": "1.5 times the right one; 1.5 is C/2 and C outputs",
    "2/C": "0.6666666667 times the right one; 0.6666666667 is 2/C and C outputs",
    "N·C/2": "7.5 times the right one; 7.5 is N·C/2, for N = 5 rows and C outputs",
    "2/(N·C)": "0.1333333333 times the right one; 0.1333333333 is 2/(N·C), for N = 5 rows and C "
               "outputs",
    "-C": "-3 times the right one; -3 is -C and C outputs",
    "-1/C": "-0.3333333333 times the right one; -0.3333333333 is -1/C and C outputs",
    "N/C": "1.666666667 times the right one; 1.666666667 is N/C, for N = 5 rows and C outputs",
    "C/N": "0.6 times the right one; 0.6 is C/N, for N = 5 rows and C outputs",
    "": "0.7 times the right one",
}  # fmt: skip


def value(formula: str, n: int, c: int) -> float:
    """What a formula gives, by Python's arithmetic."""
    if not formula:
        return 0.7
    text = formula.replace("²", "**2").replace("·", "*").replace("2N", "2*N")
    return float(eval(text, {"N": n, "C": c}))


def right(rows: int, outputs: int = 3, key: str = "logits") -> Case:
    random = np.random.default_rng(rows)
    expected = {key: random.standard_normal((rows, outputs)), "gradient/W": random.random((4, 3))}
    sizes = {name: np.abs(a) for name, a in expected.items()}
    return Case({}, np.ones((rows, 2)), np.zeros(rows), expected, sizes)


def factor_of(formula: str, cases, **more) -> Ratio | None:
    observed = [
        Observed({"gradient/W": value(formula, len(c.inputs), 3) * c.expected["gradient/W"]})
        for c in cases
    ]
    return constant_ratio("gradient/W", cases, observed, **more)


@pytest.mark.parametrize("formula", FACTORS)
def test_a_factor_is_found_and_said(formula) -> None:
    cases = [right(5), right(7)]
    found = factor_of(formula, cases)
    assert found is not None
    assert found.formula == formula
    assert found.factor == pytest.approx(value(formula, 5, 3))
    assert found.rows == 5
    assert found.in_words() == FACTORS[formula]
    assert dict(_formulas(cases[0])).get(formula, 0.7) == pytest.approx(value(formula, 5, 3))


def test_formulas_by_what_there_is() -> None:
    without = [name for name, _ in _formulas(right(5, 1))]
    assert not [name for name in without if "C" in name]
    assert len(without) == 17
    for key in ("logits/evaluation", "probabilities", "log_probabilities"):
        assert dict(_formulas(right(5, 3, key)))["C"] == 3
    none = replace(right(5), expected={})
    assert not [name for name, _ in _formulas(none) if "C" in name]


def test_what_is_no_factor() -> None:
    cases = [right(5), right(7)]

    def ratio(change, single: bool = False) -> Ratio | None:
        observed = [Observed({"gradient/W": change(c.expected["gradient/W"], len(c.inputs))})
                    for c in cases]  # fmt: skip
        return constant_ratio("gradient/W", cases, observed, single)

    assert ratio(lambda g, n: g) is None
    assert ratio(lambda g, n: 0 * g) is None
    assert ratio(lambda g, n: g + 1) is None
    assert ratio(lambda g, n: 2 * g if n == 5 else 3 * g) is None
    assert ratio(lambda g, n: g * np.inf) is None
    assert ratio(lambda g, n: 2 * g[:2]) is None
    assert ratio(lambda g, n: 2 * g * (1 + 0.9 * HOMEWORK * (g > 0.5))) is not None
    assert ratio(lambda g, n: 2 * g * (1 + 1e-7 * (g > 0.5))) is None
    assert ratio(lambda g, n: 2 * g * (1 + 1e-7 * (g > 0.5)), single=True) is not None
    noise = [replace(c, sizes={"gradient/W": np.full((4, 3), 1e12)}) for c in cases]
    assert factor_of("2", noise) is None
    found = factor_of("2", [noise[0], cases[1]])
    assert (found.factor, found.rows) == (pytest.approx(2), 7)
