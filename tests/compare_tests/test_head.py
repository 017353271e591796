"""What each loss makes of the classes, and of a network's outputs."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from compare.spec.experiment import Training
from compare.spec.targets import HEADS, NO_CLASS

CLASSES = np.array([0, 1, 1, 0])


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_every_loss_of_the_form_has_a_head():
    losses = get_args(Training.model_fields["loss"].annotation)
    assert set(HEADS) == set(losses)


@pytest.mark.parametrize("loss", ["CrossEntropyLoss", "NLLLoss"])
def test_one_output_a_class(loss):
    head = HEADS[loss]
    assert head.targets(CLASSES) is CLASSES
    outputs = np.array([[0.1, 0.9, 0.3], [-1.0, -2.0, -0.5]])
    assert head.predicted(outputs).tolist() == [1, 2]


@pytest.mark.parametrize("loss", [name for name, head in HEADS.items() if head.one_output])
def test_one_output_takes_a_column(loss):
    targets = HEADS[loss].targets(CLASSES)
    assert (targets.dtype, targets.shape) == (np.float32, (4, 1))
    np.testing.assert_array_equal(targets[:, 0], CLASSES)


def test_probabilities_and_logits():
    assert HEADS["BCELoss"].predicted(column(0.0, 0.49, 0.5, 0.51, 1.0)).tolist() == [0, 0, 0, 1, 1]
    found = HEADS["BCEWithLogitsLoss"].predicted(column(-9.0, -0.1, 0.1, np.nan))
    assert found.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("loss", ["MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss"])
def test_the_nearest_integer(loss):
    outputs = column(2.4, 2.6, -0.2, -3.0, 11.7, np.nan, np.inf, 1e30)
    found = HEADS[loss].predicted(outputs)
    assert found.dtype == np.int64
    assert found.tolist() == [2, 3, 0, -3, 12, NO_CLASS, NO_CLASS, NO_CLASS]
