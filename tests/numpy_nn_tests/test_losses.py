"""What losses do at the edges, against PyTorch. Their values are in test_modules."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn
import torch_nn

IGNORED = -100


def both_losses(x: Any, y: Any, **kwargs: Any) -> tuple[Any, Any, Any, Any]:
    loss = numpy_nn.CrossEntropyLoss(**kwargs)
    value = loss(np.array(x), np.array(y))
    tensor = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    if "weight" in kwargs:
        kwargs["weight"] = torch.from_numpy(kwargs["weight"])
    reference = torch_nn.CrossEntropyLoss(**kwargs)(tensor, torch.from_numpy(np.array(y)))
    reference.backward()
    assert tensor.grad is not None
    return value, reference.detach().numpy(), loss.backward(), tensor.grad.numpy()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_nothing_to_average_over(smoothing: float) -> None:
    x = [[1.0, 2.0], [3.0, 4.0]]
    given = [
        ([IGNORED, IGNORED], {}),
        ([0, 0], {"weight": np.array([0.0, 1.0])}),
        ([0, IGNORED], {"weight": np.array([0.0, 1.0])}),
    ]
    for y, kwargs in given:
        value, expected, grad, expected_grad = both_losses(
            x, y, label_smoothing=smoothing, **kwargs
        )
        assert np.isnan(value) == np.isnan(expected)
        assert type(value) is np.float64
        np.testing.assert_array_equal(np.isnan(grad), np.isnan(expected_grad))
    value = numpy_nn.CrossEntropyLoss()(np.zeros((0, 3)), np.zeros(0, np.int64))
    assert np.isnan(value)


@pytest.mark.parametrize("size", [1e4, 1e300])
@pytest.mark.parametrize("y", [[0, 1], [2, 2], [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]])
def test_extreme_logits(size: float, y: Any, close: Any) -> None:
    x = [[size, -size, 0.0], [-size, -size, size]]
    value, expected, grad, expected_grad = both_losses(x, y)
    close(value, expected, "module")
    close(grad, expected_grad, "module")


def test_logits_of_minus_infinity(close: Any) -> None:
    x = [[0.0, -np.inf, 1.0]]
    for y in ([0], [2], [IGNORED]):
        value, expected, grad, expected_grad = both_losses(x, y, reduction="sum")
        close(value, expected, "module")
        close(grad, expected_grad, "module")
    value, expected, _, _ = both_losses(x, [1])
    assert value == expected == np.inf


def test_initial_loss_is_the_logarithm_of_the_classes() -> None:
    value = numpy_nn.CrossEntropyLoss()(np.zeros((5, 10), np.float32), np.zeros(5, np.int64))
    assert type(value) is np.float32
    assert value == pytest.approx(np.log(10))


def test_rows_of_the_gradient_add_up_to_zero() -> None:
    rng = np.random.default_rng(0)
    loss = numpy_nn.CrossEntropyLoss(label_smoothing=0.1)
    loss(rng.normal(size=(7, 10)), rng.integers(0, 10, 7))
    assert np.abs(loss.backward().sum(axis=1)).max() < 1e-15


def test_bytes_are_class_indices_too() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    loss = numpy_nn.CrossEntropyLoss()
    assert loss(x, np.array([0, 3, 1], np.uint8)) == loss(x, np.array([0, 3, 1]))


def test_a_number_as_target_of_one_sample() -> None:
    loss = numpy_nn.CrossEntropyLoss()
    assert loss(np.zeros(3), np.int64(1)) == loss(np.zeros(3), np.array(1))


def test_gradient_by_the_loss_multiplies(close: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3)), rng.integers(0, 3, 4)
    for reduction in ("mean", "sum", "none"):
        loss = numpy_nn.CrossEntropyLoss(reduction=reduction)
        value = loss(x, y)
        single = loss.backward()
        close(loss.backward(np.full(np.shape(value), -2.0)), -2 * single, "module")
    close(
        numpy_nn.CrossEntropyLoss(reduction="sum").train()(x, y), np.float64(value.sum()), "module"
    )


ZEROS = np.zeros((2, 3))
CLASSES = np.array([0, 1])


@pytest.mark.parametrize(
    ("settings", "x", "y", "message"),
    [
        ({}, ZEROS, np.array([3, 0]), "Target 3 is out of bounds: there are 3 classes"),
        ({}, ZEROS, np.array([-1, 0]), "Target -1 is out of bounds"),
        ({}, ZEROS, CLASSES.astype(np.int32), "int64. Received: int32"),
        ({}, ZEROS, np.zeros(3, np.int64), r"shape \(2,\).*\(2, 3\).*Received: \(3,\)"),
        ({}, ZEROS, np.zeros((2, 1), np.int64), r"Received: \(2, 1\)"),
        ({}, ZEROS, np.zeros((2, 4)), r"probabilities.*\(2, 3\) float64.*\(2, 4\)"),
        ({"ignore_index": 1}, ZEROS, np.zeros((2, 3)), "ignore_index"),
        ({"weight": np.ones(2)}, ZEROS, CLASSES, r"\(3,\).*Received: \(2,\)"),
        ({"weight": np.ones(3, np.float32)}, ZEROS, CLASSES, "float64. Received.* float32"),
        ({}, np.zeros(()), np.array(0), "at least one axis"),
        ({"label_smoothing": 1.5}, ZEROS, CLASSES, "1.5"),
        ({"reduction": "average"}, ZEROS, CLASSES, "average"),
    ],
)
def test_refusals_are_torchs(settings: Any, x: Any, y: Any, message: str) -> None:
    tensors = {k: torch.from_numpy(v) if k == "weight" else v for k, v in settings.items()}
    with pytest.raises((ValueError, IndexError, RuntimeError)):
        torch_nn.CrossEntropyLoss(**tensors)(torch.from_numpy(x), torch.from_numpy(y))
    with pytest.raises((ValueError, TypeError, IndexError), match=message):
        numpy_nn.CrossEntropyLoss(**settings)(x, y)


@pytest.mark.parametrize("name", ["size_average", "reduce"])
def test_deprecated_arguments_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=True is not supported"):
        numpy_nn.CrossEntropyLoss(**{name: True})


def test_target_must_be_an_array_and_probabilities_of_the_same_dtype() -> None:
    with pytest.raises(TypeError, match="list"):
        numpy_nn.CrossEntropyLoss()(ZEROS, [0, 1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="float32"):
        numpy_nn.CrossEntropyLoss()(ZEROS, ZEROS.astype(np.float32))
