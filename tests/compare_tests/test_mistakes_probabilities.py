"""Outputs in the form of probabilities: the values, their sizes, and how a form is recognised."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compare.mistakes.probabilities import FORMS, form_of, form_sizes, in_form

LABELS, SHARES = np.array([0, 2]), np.array([[0.2, 1.0, 0.0], [1.0, 0.0, 0.5]])
Z = np.array([[1.0, -2.0, 0.5], [3.0, 3.0, -1.0]])


@pytest.mark.parametrize("offset", [0.0, 900.0, -900.0, np.array([[900.0], [-900.0]])])
def test_the_values_are_torchs(offset: float) -> None:
    z = torch.from_numpy(Z + offset)
    with np.errstate(all="raise"):
        for form, expected in zip(FORMS, (z, z.softmax(1), z.log_softmax(1)), strict=True):
            np.testing.assert_allclose(in_form(form, z.numpy(), LABELS), expected, rtol=1e-12)
    np.testing.assert_allclose(
        in_form("probabilities", z.numpy(), SHARES), z.sigmoid(), rtol=1e-12, atol=1e-300
    )
    assert in_form("probabilities", np.float32(Z), LABELS).dtype == np.float32


@pytest.mark.parametrize("sizes", [np.full((2, 3), 4.0), np.arange(1.0, 7.0).reshape(2, 3),
                                   np.array(5.0)])  # fmt: skip
def test_the_sizes_follow_those_of_the_logits(sizes: np.ndarray) -> None:
    each = np.broadcast_to(sizes, (2, 3))
    p = torch.from_numpy(Z).softmax(1).numpy()
    s = torch.from_numpy(Z).sigmoid().numpy()
    assert form_sizes("logits", Z, sizes, LABELS) is sizes
    soft = form_sizes("probabilities", Z, sizes, LABELS)
    logs = form_sizes("log_probabilities", Z, sizes, LABELS)
    one = form_sizes("probabilities", Z, sizes, SHARES)
    for n, c in np.ndindex(2, 3):
        between = 2 * max(each[n])  # of a difference of two logits of the row
        assert soft[n, c] == pytest.approx(p[n, c] * (1 + between))
        assert logs[n, c] == pytest.approx(1 - np.log(p[n, c]) + between)
        # The derivative of the sigmoid times the error of its argument.
        assert one[n, c] == pytest.approx(1 + s[n, c] * (1 - s[n, c]) * each[n, c])


@pytest.mark.parametrize(
    ("values", "targets", "form"),
    [
        ([[0.2, 0.8], [1.0, 0.0]], LABELS, "probabilities"),
        ([[0.2, 0.8 + 9e-7], [1.0, 0.0]], LABELS, "probabilities"),
        ([[0.2, 0.8 + 2e-6], [1.0, 0.0]], LABELS, "logits"),
        ([[0.2, 0.8], [1.0, 1.0]], LABELS, "logits"),
        ([[0.2, 0.7], [1.0, 0.1]], LABELS, "logits"),
        (np.log([[0.2, 0.8], [0.9, 0.1]]), LABELS, "log_probabilities"),
        (np.log([[0.2, 0.8], [0.9, 0.2]]), LABELS, "logits"),
        ([[-1.0, 2.0], [0.5, -0.5]], LABELS, "logits"),
        # It sums to 1 as exp, but a logarithm of a probability is not above 0.
        ([[np.log(2.0) - 1, np.log(1 - 2 / np.e)], [0.3, np.log(1e-9)]], LABELS, "logits"),
        ([[0.2, np.nan], [1.0, 0.0]], LABELS, "logits"),
        ([[-np.inf, 0.0], [-np.inf, 0.0]], LABELS, "logits"),
        ([[1.0], [1.0]], LABELS, "logits"),
        ([0.3, 0.7], LABELS, "logits"),
        ([[0.2, 0.8], [1.0, 0.0]], LABELS.astype(np.uint8), "probabilities"),
        ([[0.2, 0.9], [1.0, 0.0]], SHARES, "probabilities"),
        ([0.2, 1.0], SHARES, "probabilities"),
        ([[0.2, 1.1], [1.0, 0.0]], SHARES, "logits"),
        ([[0.2, -1e-9], [1.0, 0.0]], SHARES, "logits"),
        ([[0.2, np.inf], [1.0, 0.0]], SHARES, "logits"),
    ],
)
def test_which_form_it_looks_like(values: object, targets: np.ndarray, form: str) -> None:
    with np.errstate(all="raise"):
        assert form_of(np.asarray(values), targets) == form
