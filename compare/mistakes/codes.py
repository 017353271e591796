"""The codes of all mistakes that can be named, as docs/mistakes.md explains them."""

from __future__ import annotations

CODES = (
    "softmax-without-axis",
    "log-offset-mismatch",
    "sum-not-mean",
    "divided-twice",
    "divided-by-classes",
    "half-mismatch",
    "half-squared-error",
    "double-softmax",
    "sign-flip",
    "softmax-overflow",
    "transposed",
    "missing-bias-gradient",
    "biased-variance",
    "momentum-reversed",
    "eps-outside-sqrt",
    "batchnorm-missing-terms",
    "wrong-slope",
    "no-bias-correction",
    "adam-eps-placement",
    "adam-step-count",
    "l2-missing-in-gradient",
    "decay-coupling",
    "unscaled-dropout",
    "pool-overwrite",
    "pool-ties",
    "flipped-kernel",
    "flatten-order",
)
