"""Mistakes planted in homework files: found, placed and named; others found, placed, unnamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted.homeworks import MEANING, NAMED, UNNAMED
from planted.in_process import check_in_process
from planted.layers import PLANTED as LAYERS

from compare.check.checking import Options, Outcome

TESTS = Path(__file__).resolve().parent.parent
PLANTED, EXAMPLES = TESTS / "planted", TESTS.parent / "examples"
UPDATES = {"no-bias-correction", "adam-eps-placement", "adam-step-count"}


def outcome(tmp_path: Path, base: str, changes: list[tuple[str, str]], options: Options) -> Outcome:
    folder = EXAMPLES if base == "layers" else PLANTED
    text = (folder / f"{base}.py").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"{base} has no {old!r}"
        text = text.replace(old, new)
    file = tmp_path / "homework.py"
    file.write_text(text, encoding="utf-8")
    return check_in_process(file, options)


def options_for(base: str, code: str) -> Options:
    if base != "softmax":
        return Options()
    settings = {"lr": 1e-3} | ({"weight_decay": 0.01} if code == "decay-coupling" else {})
    return Options(optimizer="Adam", settings=settings)


def test_every_mistake_is_planted_in_a_layer_and_in_a_homework():
    assert set(NAMED) == set(MEANING)
    # In a training no logit is near 1000, where the softmax overflows.
    assert {code for _, _, code in LAYERS.values()} == set(MEANING) - {"softmax-overflow"}


@pytest.mark.parametrize(
    "base", ["softmax", "norm", "squared", "images", "layers", "pooled", "dropout"]
)
def test_the_homeworks_are_right_without_a_mistake(base, tmp_path):
    found = outcome(tmp_path, base, [], options_for(base, ""))
    assert found.result.error is None
    assert found.status == 0


@pytest.mark.parametrize("code", NAMED)
def test_a_planted_mistake_is_found_placed_and_named(code, tmp_path):
    base, changes, place = NAMED[code]
    found = outcome(tmp_path, base, changes, options_for(base, code))
    assert found.status == 1
    first = found.result.first_divergence
    assert first is not None
    assert (first.quantity, first.name) == place
    assert first.diagnosis is not None
    assert first.diagnosis.code == code


@pytest.mark.parametrize("name", UNNAMED)
def test_another_mistake_is_found_and_placed_and_gets_no_name(name, tmp_path):
    base, changes, place = UNNAMED[name]
    found = outcome(tmp_path, base, changes, options_for(base, name))
    assert found.status == 1
    first = found.result.first_divergence
    assert first is not None
    assert (first.quantity, first.name) == place
    assert not any(check.diagnosis for check in found.result.checks)


def planted(*codes: str) -> list[tuple[str, str]]:
    return [change for code in codes for change in NAMED[code][1]]


AFFINE = [("self.db = dout.sum(axis=0)", "self.db = dout.mean(axis=0)")]
SCALED = UNNAMED["scaled gradient"][1]
# Homework, changes, and the mistakes in the order of execution: code → first place it is seen in.
TOGETHER = {
    "gradient, bias, update": (
        "softmax",
        planted("sum-not-mean", "missing-bias-gradient", "no-bias-correction"),
        {"sum-not-mean": "4.weight", "missing-bias-gradient": "2.bias",
         "no-bias-correction": "0.weight"},
    ),
    "loss, gradient, update": (
        "softmax",
        planted("log-offset-mismatch", "sign-flip", "adam-eps-placement"),
        {"log-offset-mismatch": "loss", "sign-flip": "4.weight", "adam-eps-placement": "0.weight"},
    ),
    "forwards and backwards": (
        "norm",
        planted("eps-outside-sqrt", "transposed", "wrong-slope"),
        {"eps-outside-sqrt": "logits", "wrong-slope": "4.weight", "transposed": "3.weight"},
    ),
    "layers": (
        "layers",
        [*planted("biased-variance"), *AFFINE],
        {"biased-variance": "1.running_var", "divided-twice": "3.bias"},
    ),
    "after one that has no name": (
        "softmax",
        [*SCALED, *planted("no-bias-correction")],
        {"no-bias-correction": "0.weight"},
    ),
    "layers, after one that has no name": (
        "layers",
        [("np.where(self.mask, 0, x)", "np.where(self.mask, 0, 1.1 * x)"), *AFFINE],
        {"divided-twice": "3.bias"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOGETHER)
def test_several_mistakes_are_named_one_after_the_other(name, tmp_path):
    """The first is named, and the rest is looked at as if it were mended."""
    base, changes, expected = TOGETHER[name]
    found = outcome(tmp_path, base, changes, options_for(base, ""))
    failed = [check for check in found.result.checks if not check.passed]
    named: dict[str, str] = {}
    for check in failed:
        if check.diagnosis is not None:
            named.setdefault(check.diagnosis.code, check.name)
    assert list(named.items()) == list(expected.items())
    unnamed = [check.name for check in failed if check.diagnosis is None]
    assert bool(unnamed) == ("no name" in name)
    assert (failed[0].diagnosis is None) == ("no name" in name)
