"""What each loss makes of the classes, and of a network's outputs."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from compare.spec.experiment import TrainingSettings
from compare.spec.model import NO_CLASS, TARGET_TYPES

CLASSES = np.array([0, 1, 1, 0])


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_every_loss_has_a_target_type():
    losses = get_args(TrainingSettings.model_fields["loss"].annotation)
    assert set(TARGET_TYPES) == set(losses)


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "NLLLoss"])
def test_one_output_a_class(loss):
    target_type = TARGET_TYPES[loss]
    assert target_type.targets(CLASSES) is CLASSES
    outputs = np.array([[0.1, 0.9, 0.3], [-1.0, -2.0, -0.5]])
    assert target_type.predicted_classes(outputs).tolist() == [1, 2]


@pytest.mark.parametrize(
    "loss", [name for name, target_type in TARGET_TYPES.items() if target_type.one_output]
)
def test_one_output_takes_a_column(loss):
    targets = TARGET_TYPES[loss].targets(CLASSES)
    assert (targets.dtype, targets.shape) == (np.float32, (4, 1))
    np.testing.assert_array_equal(targets[:, 0], CLASSES)


def test_probabilities_and_logits():
    assert TARGET_TYPES["BCELoss"].predicted_classes(
        column(0.0, 0.49, 0.5, 0.51, 1.0)
    ).tolist() == [0, 0, 0, 1, 1]
    found = TARGET_TYPES["BCEWithLogitsLoss"].predicted_classes(column(-9.0, -0.1, 0.1, np.nan))
    assert found.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("loss", ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"])
def test_the_nearest_integer(loss):
    outputs = column(2.4, 2.6, -0.2, -3.0, 11.7, np.nan, np.inf, 1e30)
    found = TARGET_TYPES[loss].predicted_classes(outputs)
    assert found.dtype == np.int64
    assert found.tolist() == [2, 3, 0, -3, 12, NO_CLASS, NO_CLASS, NO_CLASS]
