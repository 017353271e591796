"""Mistakes by hand: for each a few lines of NumPy with small arrays, first right, then wrong.

The lines can be pasted into Python after ``import numpy as np``; what they give is computed when it
is shown.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Example(NamedTuple):
    """What a mistake does, on arrays that one can follow by hand.

    Attributes:
        given: Lines that prepare both.
        right: The right expression.
        wrong: The mistake.
    """

    given: str
    right: str
    wrong: str


_LOGITS = """z = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])  # logits of 2 rows, 3 classes"""
_ROWS = f"""{_LOGITS}
t = np.array([2, 0])  # the classes of the rows
p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
dz = p - np.eye(3)[t]"""
_BATCH = """x = np.array([[1.0, 2.0, 3.0], [4.0, 6.0, 9.0]])  # 2 rows, 3 features"""
_ADAM = """g, lr, beta1, beta2, eps = np.array([1e-8, 0.5]), 0.001, 0.9, 0.999, 1e-8
m, v = (1 - beta1) * g, (1 - beta2) * g**2  # after the first step, t = 1"""

EXAMPLES: dict[str, Example] = {
    "softmax-without-axis": Example(
        f"{_LOGITS}\ne = np.exp(z)", "e / e.sum(axis=1, keepdims=True)", "e / e.sum()"
    ),
    "softmax-overflow": Example(
        "z = np.array([1000.0, 1001.0, 1002.0])\nshifted = np.exp(z - z.max())",
        "shifted / shifted.sum()",
        "np.exp(z) / np.exp(z).sum()",
    ),
    "log-offset-mismatch": Example(
        "z = np.array([0.0, 30.0])  # the class is 0\np = np.exp(z) / np.exp(z).sum()",
        "-np.log(p[0])",
        "-np.log(p[0] + 1e-7)",
    ),
    "sum-not-mean": Example(_ROWS, "dz / len(z)", "dz"),
    "divided-twice": Example(_ROWS, "dz / len(z)", "dz / len(z) / len(z)"),
    "divided-by-classes": Example(_ROWS, "dz / len(z)", "dz / z.size"),
    "double-softmax": Example(
        _ROWS, "p", "np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)"
    ),
    "softmax-derivative-twice": Example(_ROWS, "dz / len(z)", "p * (1 - p) * dz / len(z)"),
    "half-mismatch": Example(
        "y, t = np.array([[1.0, 2.0, 3.0]]), np.array([[0.0, 2.0, 5.0]])\n"
        "loss = np.mean((y - t) ** 2)",
        "2 * (y - t) / y.size",
        "(y - t) / y.size",
    ),
    "transposed": Example(
        "x, W = np.array([[1.0, 0.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])  # W is (out, in)",
        "x @ W.T",
        "x @ W",
    ),
    "missing-bias-gradient": Example(
        "dy = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])  # 2 rows, 3 outputs",
        "dy.sum(axis=0)",
        "dy.sum(axis=1)",
    ),
    "relu-derivative": Example(
        "x, dy = np.array([2.0, -3.0, 4.0]), np.array([-1.0, 5.0, 6.0])",
        "dy * (x > 0)",
        "dy * (dy > 0)",
    ),
    "wrong-slope": Example(
        "x, dy, slope = np.array([2.0, -3.0]), np.array([1.0, 1.0]), 0.01",
        "np.where(x > 0, dy, slope * dy)",
        "np.where(x > 0, dy, 0)",
    ),
    "biased-variance": Example(
        f"{_BATCH}\nold = np.ones(3)  # running_var, momentum 0.1",
        "0.9 * old + 0.1 * x.var(axis=0, ddof=1)",
        "0.9 * old + 0.1 * x.var(axis=0)",
    ),
    "momentum-reversed": Example(
        f"{_BATCH}\nold = np.zeros(3)  # running_mean, momentum 0.1",
        "0.9 * old + 0.1 * x.mean(axis=0)",
        "0.1 * old + 0.9 * x.mean(axis=0)",
    ),
    "eps-outside-sqrt": Example(
        "x = np.array([[1.0], [1.02]])\nd, var, eps = x - x.mean(axis=0), x.var(axis=0), 1e-5",
        "d / np.sqrt(var + eps)",
        "d / (np.sqrt(var) + eps)",
    ),
    "batchnorm-missing-terms": Example(
        "x = np.array([[1.0], [2.0], [6.0]])  # 3 rows, 1 feature\n"
        "s = 1 / np.sqrt(x.var(axis=0) + 1e-5)\nh = (x - x.mean(axis=0)) * s\n"
        "dh = np.array([[1.0], [0.0], [0.0]])",
        "s * (dh - dh.mean(axis=0) - h * (dh * h).mean(axis=0))",
        "s * dh",
    ),
    "no-bias-correction": Example(
        _ADAM,
        "lr * (m / (1 - beta1)) / (np.sqrt(v / (1 - beta2)) + eps)",
        "lr * m / (np.sqrt(v) + eps)",
    ),
    "adam-eps-placement": Example(
        _ADAM,
        "lr * (m / (1 - beta1)) / (np.sqrt(v / (1 - beta2)) + eps)",
        "lr * (m / (1 - beta1)) / np.sqrt(v / (1 - beta2) + eps)",
    ),
    "decay-coupling": Example(
        "w, g, lr, decay = np.array([1.0, -2.0]), np.array([0.5, 0.5]), 0.1, 0.01\n"
        "step = lambda g: lr * np.sign(g)  # stands for Adam, whose steps have one length",
        "w - step(g + decay * w)",
        "w - step(g) - lr * decay * w",
    ),
    "unscaled-dropout": Example(
        "x, mask, p = np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1]), 0.5",
        "x * mask / (1 - p)",
        "x * mask",
    ),
    "pool-overwrite": Example(
        "x, dy = np.array([1.0, 5.0, 2.0]), np.array([10.0, 20.0])  # windows x[:2] and x[1:]\n"
        "at = [0 + x[:2].argmax(), 1 + x[1:].argmax()]\nadded, kept = np.zeros(3), np.zeros(3)\n"
        "np.add.at(added, at, dy)  # dx[i] += dy\nkept[at] = dy  # dx[i] = dy",
        "added",
        "kept",
    ),
    "flipped-kernel": Example(
        "x, w = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, -1.0])",
        "np.correlate(x, w)",
        "np.convolve(x, w, 'valid')",
    ),
    "flatten-order": Example(
        "x = np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])  # (N, C, H, W) = (1, 2, 1, 2)",
        "x.reshape(1, -1)",
        "x.transpose(0, 2, 3, 1).reshape(1, -1)",
    ),
}  # fmt: skip


def example_lines(code: str) -> list[str]:
    """The lines of a mistake's example, with what they give as comments; none if it has none."""
    example = EXAMPLES.get(code)
    if example is None:
        return []
    right, wrong = results(example)
    return [
        *example.given.splitlines(),
        example.right,
        f"# right: {_shown(right)}",
        example.wrong,
        f"# the mistake: {_shown(wrong)}",
    ]


def results(example: Example) -> tuple[Any, Any]:
    """What the right and the wrong expression give."""
    names: dict[str, Any] = {"np": np}
    with np.errstate(all="ignore"):
        exec(example.given, names)
        return eval(example.right, names), eval(example.wrong, names)


def _shown(value: Any) -> str:
    """An array or number with a few digits, in one line."""
    return np.array2string(
        np.asarray(value), separator=", ", formatter={"float_kind": lambda number: f"{number:.4g}"}
    ).replace("\n", "")
