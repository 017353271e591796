"""Few rows of a large batch in float64: what a certificate costs, and what it still finds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode

from compare.backends import Call
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.parity.certificate import certify
from compare.parity.comparison import References
from compare.parity.rows import LARGE, ROWS, batch_of_rows, call_of_rows, chosen_rows
from compare.spec.model import ModelSpec
from experiments.architectures import bn_mlp, cnn, deep_convnet, softmax_mlp

IMAGE = (1, 28, 28)


def recorded(architecture, shape, rows, arguments=None):
    spec = ModelSpec(architecture, arguments or {}, algorithm="Adam", settings={"lr": 1e-3})
    references, backend = References.build(spec), NumpyBackend(spec)
    random = np.random.default_rng(0)
    batch = backend.batch(
        (random.random((rows, *shape), np.float32), random.integers(0, 10, rows)), np.arange(rows)
    )
    return spec, references, backend, batch


def test_rows_differ_from_step_to_step_and_have_the_last():
    found = [chosen_rows(100, step) for step in range(50)]
    for rows in found:
        assert len(set(rows.tolist())) == ROWS
        assert list(rows) == sorted(rows)
        assert rows[-1] == 99
    assert len({row for rows in found for row in rows.tolist()}) > 90
    assert (chosen_rows(100, 3) == chosen_rows(100, 3)).all()
    assert chosen_rows(LARGE - 1, 0) is None
    assert chosen_rows(LARGE, 0) is not None


def test_every_row_has_its_turn():
    found = {row for step in range(200) for row in chosen_rows(LARGE, step).tolist()}
    assert found == set(range(LARGE))


def test_only_calls_whose_rows_are_those_of_the_batch_are_cut():
    rows, x = chosen_rows(40, 0), np.arange(80.0).reshape(40, 2)
    call = Call("0", "ReLU", x, x, mask=x > 0)
    few = call_of_rows(call, rows)
    assert (few.input == x[rows]).all()
    assert (few.output == x[rows]).all()
    assert (few.mask == (x > 0)[rows]).all()
    assert (few.name, few.kind) == ("0", "ReLU")
    assert call_of_rows(call, None) is call
    other = Call("0", "Flatten", x, x.reshape(-1))
    assert call_of_rows(other, rows) is other
    few = x[: rows[-1]]
    assert call_of_rows(short := Call("0", "ReLU", few, few), rows) is short


@pytest.mark.parametrize(
    ("architecture", "shape"),
    [
        (bn_mlp, (784,)),
        (softmax_mlp, (784,)),
        pytest.param(cnn, IMAGE, marks=pytest.mark.slow),
        pytest.param(deep_convnet, IMAGE, marks=pytest.mark.slow),
    ],
)
def test_a_certified_step_makes_the_products_of_six_plain_ones_at_most(architecture, shape):
    """NumPy's products are as many as PyTorch's for the same passes, which torch counts."""
    spec, references, backend, batch = recorded(architecture, shape, 100)
    torch = TorchBackend(spec)

    def flops(function, *arguments) -> int:
        with FlopCounterMode(display=False) as counter:
            function(*arguments)
        return counter.get_total_flops()

    rows = torch.rows(*batch)
    whole, few = torch.batch(rows, np.arange(100)), torch.batch(rows, np.arange(ROWS))
    plain = flops(torch.train_step, whole)
    step = backend.record_step(batch)
    references_made = flops(certify, step, references, 0)
    recording, again = flops(torch.record_step, whole), flops(torch.record_step, few)
    # NumPy records the step, and in float64 runs each stage and the whole with few rows.
    assert (references_made + recording + 2 * again) / plain <= 6


@pytest.mark.parametrize(("architecture", "shape"), [(bn_mlp, (784,)), (softmax_mlp, (784,))])
def test_a_right_step_of_a_large_batch_passes(architecture, shape):
    _, references, backend, batch = recorded(architecture, shape, 32)
    for seed in range(2):
        comparisons, kinks = certify(backend.record_step(batch), references, seed)
        assert [c for c in comparisons if not c.passed] == []
        # Of kinks all rows are looked at.
        assert kinks.places % 32 == 0
        assert kinks.places > 0


def failing(step, references, seed=0) -> list[str]:
    return [f"{c.dtype} {c.site}" for c in certify(step, references, seed)[0] if not c.passed]


@pytest.fixture
def mlp():
    arguments = {"sizes": (12, 10, 10)}
    _, references, backend, batch = recorded(bn_mlp, (12,), 64, arguments)
    return references, backend, batch


@pytest.mark.parametrize("row", range(0, 64, 9))
def test_a_wrong_float32_value_in_any_row_is_found(mlp, row):
    references, backend, batch = mlp
    step = backend.record_step(batch)
    call = step.calls[2]  # the activation
    call.output = call.output.copy()
    call.output[row, 3] += 0.01
    assert "float32 forward/2/output" in failing(step, references)


def test_a_gradient_that_belongs_to_a_part_of_the_batch_is_found(mlp):
    references, backend, batch = mlp
    step = backend.record_step(batch)
    weight = dict(step.gradients)
    weight["0.weight"] = step.calls[0].grad_output[:-1].T @ step.inputs[:-1]
    found = failing(dataclasses.replace(step, gradients=weight), references)
    assert "float32 gradient/0.weight" in found


def test_a_gradient_by_the_data_of_another_shape_is_found(mlp):
    references, backend, batch = mlp
    step = backend.record_step(batch)
    step.calls[0].grad_input = step.calls[0].grad_input[:5]
    assert failing(step, references) == ["float32 backward/0/grad_input"]


def test_a_gradient_by_the_data_that_is_wrong_everywhere_is_found(mlp):
    references, backend, batch = mlp
    step = backend.record_step(batch)
    step.calls[0].grad_input = 1.001 * step.calls[0].grad_input
    assert failing(step, references) == ["float32 backward/0/grad_input"]


def test_a_formula_that_is_wrong_is_found_in_float64(mlp):
    references, backend, batch = mlp
    references.numpy64.module("2").negative_slope = 0.010001
    found = failing(backend.record_step(batch), references)
    assert "float64 forward/2/output" in found
    assert "float64 whole/forward/2/output" in found


def test_a_batch_normalisation_of_the_few_rows_alone_shows_a_wrong_formula(mlp):
    references, backend, batch = mlp
    references.numpy64.module("1").eps = 1.00001e-5
    found = failing(backend.record_step(batch), references)
    assert "float64 forward/1/output" in found
    assert "float64 backward/1/grad_input" in found


@pytest.mark.parametrize("row", [0, 17, 29])
@pytest.mark.parametrize("place", [1, 4])  # a ReLU, and a pooling: nothing is rounded there
def test_a_wrong_value_where_nothing_is_rounded_is_found_in_any_row(row, place):
    arguments = {"channels": (2, 2, 2)}
    _, references, backend, batch = recorded(deep_convnet, IMAGE, 30, arguments)
    step = backend.record_step(batch)
    call = step.calls[place]
    assert call.kind in ("ReLU", "MaxPool2d")
    for name, site in (("output", "forward"), ("grad_input", "backward")):
        right = getattr(call, name)
        wrong = right.copy()
        wrong[row, 1, 0, 0] = np.nextafter(wrong[row, 1, 0, 0] + np.float32(0.1), np.float32(1))
        setattr(call, name, wrong)
        assert f"float32 {site}/{call.name}/{name}" in failing(step, references)
        setattr(call, name, right)


def test_a_step_of_a_part_has_the_masks_of_its_rows():
    arguments = {"channels": (2, 2, 2)}
    _, references, backend, batch = recorded(deep_convnet, IMAGE, 30, arguments)
    step = backend.record_step(batch)
    rows = chosen_rows(30, 0)
    part = batch_of_rows(step, rows)
    assert part.inputs.shape == (ROWS, *IMAGE)
    assert (part.targets == step.targets[rows]).all()
    ((name, mask),) = step.masks.items()
    assert (part.masks[name] == mask[rows]).all()
    assert failing(step, references) == []
    assert batch_of_rows(step, None) is step
