"""The targets of the batches: what they have to hold so that right code can count the classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.check.cases import draw_parameters, draw_targets, input_shape, make_cases
from compare.check.contract import Assignment
from compare.check.reference import Reference


def net(nn):
    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 7))


COUNTED = (
    "dz[np.arange(len(y)), y] -= 1",
    "dz = dz - np.eye(y.max() + 1)[y]",
)


@pytest.mark.parametrize("layers", [False, True])
def test_the_largest_class_is_in_every_batch(layers):
    cases = make_cases(Assignment("net", net), functions=not layers, layers=layers)
    assert cases
    assert all(case.targets.max() == 6 for case in cases)


def test_classes_may_be_counted_by_the_largest_label(check):
    found = check(COUNTED)
    assert found.status == 0


@pytest.mark.parametrize("rows", range(1, 12))
def test_every_third_row_stays_wrong_with_confidence(rows):
    reference = Reference(Assignment("net", net))
    random = np.random.default_rng(rows)
    x = random.standard_normal((rows, 12))
    targets = draw_targets(reference, "cross_entropy", x, random)
    logits = reference.exact.logits(x)
    assert targets.max() == 6
    assert targets.dtype.kind == "i"
    if rows > 1:
        np.testing.assert_array_equal(targets[::3], logits.argmin(axis=1)[::3])


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("sizes", [(12, 9, 7), (5, 4, 2), (30, 8, 10)])
def test_one_probability_is_smaller_than_what_is_held_against_it(sizes, normalised):
    first, hidden, classes = sizes

    def own(nn):
        norm = (nn.BatchNorm1d(hidden),) * normalised
        return nn.Sequential(nn.Linear(first, hidden), *norm, nn.Tanh(), nn.Linear(hidden, classes))

    cases = [case for case in make_cases(Assignment("net", own)) if not case.large_logits]
    log_p = [
        torch.log_softmax(torch.tensor(case.expected["logits"]), 1)[range(len(y)), y].min()
        for case in cases
        for y in [case.targets]
    ]
    assert -42.5 < min(log_p) <= -40
    assert log_p[1] == min(log_p)
    assert all(case.targets.max() == classes - 1 for case in cases)
    small = cases[1]
    if small.evaluation is not None and np.ptp(small.expected["logits"], axis=1).argmax() != 0:
        assert small.targets[0] == small.evaluation[0].argmin()  # wrong with confidence as before


STABLE = (
    "-np.log(softmax(forward(params, x))[np.arange(len(y)), y]).mean()",
    "-log_softmax(forward(params, x))[np.arange(len(y)), y].mean()",
)
LOG_SOFTMAX = (
    "def loss",
    "def log_softmax(z):\n    z = z - z.max(axis=1, keepdims=True)\n"
    "    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))\n\n\ndef loss",
)


def test_both_ways_to_take_the_logarithm_are_right(check):
    assert check().status == 0
    assert check(STABLE, LOG_SOFTMAX).status == 0


@pytest.mark.parametrize(
    "held",
    [
        "np.clip({}, 1e-15, 1 - 1e-15)", "np.clip({}, 1e-15, None)", "np.maximum({}, 1e-12)",
        "{} + 1e-15",
    ],
)  # fmt: skip
def test_what_is_held_against_a_probability_is_named(check, held):
    p = "softmax(forward(params, x))[np.arange(len(y)), y]"
    found = check((p, held.format(p)))
    assert [c.key for c in found.result.checks if not c.passed] == ["loss"]
    assert found.result.first_divergence.diagnosis.code == "log-offset-mismatch"


# ---------------------------------------------------------------------- what is drawn


def plain_logits(case) -> np.ndarray:
    """The logits of :func:`net`, by its formula."""
    p = case.parameters
    h = np.maximum(case.inputs @ p["0.weight"].T + p["0.bias"], 0)
    return h @ p["2.weight"].T + p["2.bias"]


def test_the_batches_of_functions():
    """Of 5, 1, 23 and 4 rows, from two sets of parameters, and one with large logits."""
    cases = make_cases(Assignment("net", net, optimizer="Adam"))
    assert [len(case.inputs) for case in cases] == [5, 1, 23, 4, 5]
    assert [case.large_logits for case in cases] == [False] * 4 + [True]
    assert not any(case.other_size or case.given for case in cases)
    first, one, second, third, large = cases
    for case in cases:
        assert case.inputs.shape[1:] == (12,)
        np.testing.assert_allclose(case.expected["logits"], plain_logits(case), rtol=1e-12)
    for key, value in first.parameters.items():
        if key in ("0.weight", "0.bias"):
            np.testing.assert_array_equal(one.parameters[key], value)
        np.testing.assert_array_equal(third.parameters[key], second.parameters[key])
        assert not np.array_equal(second.parameters[key], value)
        by = 1000.0 if key == "2.bias" else 0.0
        np.testing.assert_array_equal(large.parameters[key], value + by)
    np.testing.assert_array_equal(large.inputs, first.inputs)
    np.testing.assert_array_equal(large.targets, first.targets)
    # A typical row of the two sets, and no row more than twice as far apart; one of e⁻⁴⁰.
    apart = [np.ptp(plain_logits(case), axis=1) for case in cases]
    assert apart[1].max() == pytest.approx(40.0)
    assert one.targets[apart[1].argmax()] == 6 == plain_logits(one).argmin(axis=1)[0]
    assert apart[0].max() <= 10.0 + 1e-9
    wide = np.concatenate([apart[2], apart[3]])
    assert wide.max() <= 40.0 + 1e-9
    assert np.isclose(np.median(wide), 20.0) or np.isclose(wide.max(), 40.0)
    # Updates of the first case alone, with gradients down to Adam's ε.
    assert [len(case.update_gradients) for case in cases] == [3, 0, 0, 0, 0]
    sizes = np.abs(np.concatenate([g.ravel() for s in first.update_gradients for g in s.values()]))
    assert 1e-12 < sizes.min() < 1e-9
    assert 0.1 < sizes.max() < 5
    assert -5.5 < np.median(np.log10(sizes)) < -4


def test_probabilities_that_are_small():
    """For a loss of probabilities: down to e⁻¹⁸, and half of the targets are 1."""

    def sigmoid(nn):
        return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4), nn.Sigmoid())

    cases = make_cases(Assignment("net", sigmoid, "bce"))
    assert [len(case.inputs) for case in cases] == [5, 1, 23, 5, 5]
    assert not any(case.large_logits for case in cases)
    last, first = cases[-1], cases[0]
    assert last.expected["logits"].min() == pytest.approx(1 / (1 + np.exp(18)))
    np.testing.assert_array_equal(last.inputs, first.inputs)
    rows, columns = np.indices(last.targets.shape)
    np.testing.assert_array_equal(last.targets, (rows + columns) % 2)
    changed = {k for k, v in first.parameters.items() if not np.array_equal(v, last.parameters[k])}
    assert changed == {"2.bias"}
    for case in cases[:-1]:
        z = plain_logits(case)
        np.testing.assert_allclose(case.expected["logits"], 1 / (1 + np.exp(-z)), rtol=1e-9)


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits"])
def test_no_such_batches_for_other_losses(loss):
    cases = make_cases(Assignment("net", net, loss))
    assert [len(case.inputs) for case in cases] == [5, 1, 23, 4]
    if loss == "bce_with_logits":
        apart = [2 * np.abs(plain_logits(case)).max(axis=1) for case in cases]
        assert np.concatenate(apart[:2]).max() <= 10.0 + 1e-9
        assert np.concatenate(apart[2:]).max() <= 40.0 + 1e-9
        typical = np.median(np.concatenate(apart[2:]))
        assert np.isclose(typical, 20.0) or np.isclose(np.concatenate(apart[2:]).max(), 40.0)


def test_parameters_that_are_drawn():
    """In sizes that keep values near 1, none 0 or 1; weights of a normalisation of both signs."""

    def large(nn):
        return nn.Sequential(
            nn.Conv2d(50, 400, 3), nn.BatchNorm2d(400), nn.Flatten(), nn.Linear(400, 400)
        )

    reference = Reference(Assignment("net", large))
    found = draw_parameters(reference, np.random.default_rng(0))
    assert list(found) == list(reference.exact.state().model)
    for key, fan_in in (("0.weight", 450), ("3.weight", 400)):
        assert found[key].std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.02)
        assert abs(found[key].mean()) < 0.001
    for key in ("0.bias", "1.bias", "3.bias"):
        assert found[key].std() == pytest.approx(0.3, rel=0.15)
    scale = found["1.weight"]
    assert (np.abs(scale) >= 0.5).all()
    assert (np.abs(scale) <= 1.5).all()
    assert np.abs(scale).mean() == pytest.approx(1.0, abs=0.06)
    assert np.mean(scale < 0) == pytest.approx(0.25, abs=0.08)
    assert found["1.running_mean"].std() == pytest.approx(0.5, rel=0.15)
    variance = found["1.running_var"]
    assert 0.5 <= variance.min() < 0.53
    assert 1.97 < variance.max() <= 2.0
    assert found["1.num_batches_tracked"] == 3


def images(nn, stride=2, classes=7):
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=stride, padding=1), nn.Tanh(), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, classes),
    )  # fmt: skip


def test_images_of_another_size_come_last():
    cases = make_cases(Assignment("net", images), functions=True, layers=True)
    shapes = [case.inputs.shape for case in cases if not case.large_logits]
    sides = {shape[1:] for shape in shapes}
    usual, other = shapes[0][1:], shapes[-1][1:]
    assert sides == {usual, other}
    assert usual[0] == other[0] == 2
    assert usual[1] == usual[2]
    assert other[1] != other[2]
    assert (other[1] + other[2]) % 2 == 1
    assert max(abs(side - usual[1]) for side in other[1:]) <= 1
    assert [case.other_size for case in cases] == [case.inputs.shape[1:] != usual for case in cases]


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_windows_end_where_images_do(stride):
    """Of the sides that fit the first at which nothing is left over, by the formula of a window."""

    def network(nn):
        return nn.Sequential(
            nn.Conv2d(2, 3, 4, stride=stride, padding=1), nn.MaxPool2d(3, 2), nn.Flatten()
        )  # fmt: skip

    side = input_shape(Reference(Assignment("net", network, "mse")))[1]
    rests = {}
    for one in (8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64, *range(2, 65)):
        after = (one + 2 - 4) // stride + 1
        if after >= 3:
            rests[one] = ((one + 2 - 4) % stride, (after - 3) % 2)
    assert side == next((one for one, rest in rests.items() if rest == (0, 0)), next(iter(rests)))


def test_rows_of_a_batch_are_of_different_sizes():
    case = make_cases(Assignment("net", net))[2]
    sizes = np.sqrt(np.mean(case.inputs**2, axis=1))
    assert sizes.max() > 1.8 * sizes.min()
    assert sizes.min() > 0.2
    assert sizes.max() < 2.6


def test_a_number_of_rows_is_no_other_number():
    """5 inputs, 4 classes: so many rows would hide a wrong axis."""

    def five(nn):
        return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4))

    assert [len(c.inputs) for c in make_cases(Assignment("n", five))] == [6, 1, 23, 6, 6]

    def normalised(nn):
        return nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Linear(6, 4))

    assert [len(c.inputs) for c in make_cases(Assignment("n", normalised))][:4] == [5, 5, 23, 5]


def test_gradients_of_layers_alone_and_in_a_row():
    """In the first case each has an output gradient of its own, in the others that from above."""
    cases = make_cases(Assignment("net", net), functions=False, layers=True)
    assert [len(case.inputs) for case in cases] == [5, 23, 4, 5]
    assert [bool(case.given["chained"]) for case in cases] == [False, True, True, True]
    for case in cases:
        for above, below in (("2", "1"), ("1", "0")):
            follows = np.array_equal(
                case.given[f"grad_output/{below}"], case.expected[f"gradient/{above}.input"]
            )
            assert follows is bool(case.given["chained"])
            np.testing.assert_array_equal(
                case.given[f"input/{above}"], case.expected[f"activation/{below}"]
            )
        x = torch.tensor(case.given["input/0"], requires_grad=True)
        w = torch.tensor(case.parameters["0.weight"], requires_grad=True)
        out = x @ w.T + torch.tensor(case.parameters["0.bias"])
        out.backward(torch.tensor(case.given["grad_output/0"]))
        for key, wanted in (("0.input", x.grad), ("0.weight", w.grad)):
            np.testing.assert_allclose(case.expected[f"gradient/{key}"], wanted, rtol=1e-10)
        np.testing.assert_allclose(case.expected["activation/0"], out.detach(), rtol=1e-10)
        single = case.expected32["gradient/0.weight"]
        np.testing.assert_allclose(single, w.grad, rtol=1e-3, atol=1e-3)
        assert not np.array_equal(single, case.expected["gradient/0.weight"])
        assert set(case.expected) == set(case.expected32) == set(case.sizes)
