"""The mistakes by hand: the right line gives what PyTorch does, and the wrong one does not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from compare.mistakes.codes import CODES
from compare.mistakes.examples import EXAMPLES, example_lines, results

T = torch.tensor
LOGITS = T([[1.0, 2, 3], [0, 0, 0]], dtype=torch.float64)
BATCH = T([[1.0, 2, 3], [4, 6, 9]], dtype=torch.float64)
CLASSES = T([2, 0])


def gradient(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    x = x.detach().double().clone().requires_grad_()
    function(x).backward()
    assert x.grad is not None
    return x.grad


def of_logits() -> torch.Tensor:
    return gradient(lambda z: F.cross_entropy(z, CLASSES), LOGITS)


def normalised() -> torch.nn.BatchNorm1d:
    layer = torch.nn.BatchNorm1d(3).double()
    layer(BATCH)
    return layer


def adam() -> torch.Tensor:
    weight = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    weight.grad = T([1e-8, 0.5], dtype=torch.float64)
    torch.optim.Adam([weight], lr=0.001).step()
    return -weight


def pooled() -> torch.Tensor:
    dy = T([[10.0, 20.0]], dtype=torch.float64)
    return gradient(lambda x: (F.max_pool1d(x[None], 2, stride=1) * dy).sum(), T([[1.0, 5, 2]]))[0]


def norm_gradient() -> torch.Tensor:
    dh = T([[1.0], [0], [0]], dtype=torch.float64)
    return gradient(
        lambda x: (F.batch_norm(x, None, None, training=True) * dh).sum(), T([[1.0], [2], [6]])
    )


TORCH: dict[str, Callable[[], torch.Tensor]] = {
    "softmax-without-axis": lambda: LOGITS.softmax(dim=1),
    "softmax-overflow": lambda: T([1000.0, 1001, 1002], dtype=torch.float64).softmax(dim=0),
    "log-offset-mismatch": lambda: F.cross_entropy(T([[0.0, 30]], dtype=torch.float64), T([0])),
    "sum-not-mean": of_logits,
    "divided-twice": of_logits,
    "divided-by-classes": of_logits,
    "double-softmax": lambda: LOGITS.softmax(dim=1),
    "softmax-derivative-twice": of_logits,
    "half-mismatch": lambda: gradient(
        lambda y: F.mse_loss(y, T([[0.0, 2, 5]], dtype=torch.float64)), T([[1.0, 2, 3]])
    ),
    "transposed": lambda: F.linear(T([[1.0, 0]]), T([[1.0, 2], [3, 4]])),
    "missing-bias-gradient": lambda: gradient(
        lambda b: ((torch.zeros(2, 3) + b) * T([[1.0, 2, 3], [10, 20, 30]])).sum(), torch.zeros(3)
    ),
    "relu-derivative": lambda: gradient(
        lambda x: (x.relu() * T([-1.0, 5, 6])).sum(), T([2.0, -3, 4])
    ),
    "wrong-slope": lambda: gradient(lambda x: F.leaky_relu(x, 0.01).sum(), T([2.0, -3])),
    "biased-variance": lambda: normalised().running_var,  # type: ignore[dict-item, return-value]
    "momentum-reversed": lambda: normalised().running_mean,  # type: ignore[dict-item, return-value]
    "eps-outside-sqrt": lambda: F.batch_norm(
        T([[1.0], [1.02]], dtype=torch.float64), None, None, training=True
    ),
    "batchnorm-missing-terms": norm_gradient,
    "no-bias-correction": adam,
    "adam-eps-placement": adam,
    "unscaled-dropout": lambda: T([1.0, 2, 3]) * T([1, 0, 1]) / 0.5,
    "pool-overwrite": pooled,
    "flipped-kernel": lambda: F.conv1d(T([[[1.0, 2, 3, 4]]]), T([[[1.0, 0, -1]]]))[0, 0],
    "flatten-order": lambda: torch.nn.Flatten()(T([[[[1.0, 2]], [[3, 4]]]])),
}


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_right_line_is_pytorchs_and_the_wrong_one_is_not(code: str) -> None:
    right, wrong = results(EXAMPLES[code])
    if code != "decay-coupling":  # its Adam is a stand-in
        np.testing.assert_allclose(right, TORCH[code]().detach().numpy(), rtol=1e-12, atol=1e-15)
    assert np.shape(right) != np.shape(wrong) or not np.allclose(right, wrong, atol=0)


def test_the_lines_say_what_they_give() -> None:
    assert set(EXAMPLES) <= set(CODES)
    assert example_lines("missing-bias-gradient")[-4:] == [
        "dy.sum(axis=0)", "# right: [11, 22, 33]", "dy.sum(axis=1)", "# the mistake: [6, 60]",
    ]  # fmt: skip
    assert example_lines("no such code") == []


@pytest.mark.parametrize("code", EXAMPLES)
def test_what_is_shown_are_the_values_in_one_line(code: str) -> None:
    lines = example_lines(code)
    shown = [x.partition(": ")[2] for x in lines if x.startswith(("# right: ", "# the mistake: "))]
    for text, value in zip(shown, results(EXAMPLES[code]), strict=True):
        found = np.array(eval(text, {"nan": np.nan, "inf": np.inf}))
        assert found.shape == np.shape(value)
        np.testing.assert_allclose(found, value, rtol=6e-4)
