"""Mistakes planted in homework files: found, placed and named; others found, placed, unnamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted.homeworks import MEANING, NAMED, UNNAMED
from planted.in_process import check_in_process
from planted.layers import PLANTED as LAYERS

from compare.check.checking import Outcome
from compare.check.reading import Options
from compare.check.result import mistake_sentences

TESTS = Path(__file__).resolve().parent.parent
PLANTED, EXAMPLES = TESTS / "planted", TESTS.parent / "examples"
UPDATES = {"no-bias-correction", "adam-eps-placement", "adam-step-count"}


def outcome(
    tmp_path: Path,
    base: str,
    changes: list[tuple[str, str]],
    options: Options = Options(),  # noqa: B008
) -> Outcome:
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
    if code == "optimizer-eps-placement":
        return Options(optimizer="RMSprop", settings={"lr": 1e-3, "alpha": 0.999})
    if code == "momentum-dampened":
        return Options(optimizer="SGD", settings={"lr": 1e-3, "momentum": 0.9})
    if code == "nesterov-mismatch":
        settings = {"lr": 1e-3, "momentum": 0.9, "nesterov": True}
        return Options(optimizer="SGD", settings=settings)
    settings = {"lr": 1e-3} | ({"weight_decay": 0.01} if code == "decay-coupling" else {})
    return Options(optimizer="Adam", settings=settings)


def test_every_mistake_is_planted_in_a_layer_and_in_a_homework():
    assert set(NAMED) == set(MEANING)
    # In the recorded step no logit is near 1000, no bias other than 0, and the optimizer is Adam.
    alone = {"softmax-overflow", "missing-bias", "optimizer-eps-placement", "l2-penalty"}
    alone |= {"momentum-dampened", "nesterov-mismatch"}
    assert {code for _, _, code in LAYERS.values()} == set(MEANING) - alone


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


def said(found) -> str:
    return "\n".join(mistake_sentences(found))


def test_a_half_in_both_directions_is_not_said_to_be_in_one(tmp_path):
    base, changes, _ = NAMED["loss-convention"]
    sentence = said(outcome(tmp_path, base, changes))
    assert "loss-convention" in sentence
    assert "does not have" not in sentence
    assert "lacks" not in sentence


def test_nothing_is_said_of_a_gradient_that_is_something_else(tmp_path):
    base, changes, _ = NAMED["log-offset-mismatch"]
    sentence = said(outcome(tmp_path, base, [*changes, *SCALED]))
    assert "log-offset-mismatch" in sentence
    assert "gradient (p − t)/N" not in sentence


def test_a_loss_that_agrees_has_no_penalty(tmp_path):
    decayed = [('"W3": a2.T @ d,', '"W3": a2.T @ d + 0.005 * params["W3"],')]
    found = outcome(tmp_path, "softmax", decayed)
    assert "in the loss" not in said(found)
    assert "has 0.005 · W that the loss does not have" in said(found)


def test_a_penalty_is_not_said_to_be_missing_where_nobody_asked(tmp_path):
    """Of a homework that has no gradients nobody can say what they lack."""
    base, changes, _ = NAMED["l2-missing-in-gradient"]
    without = [*changes, ("def gradients(", "def _gradients(")]
    found = outcome(tmp_path, base, without)
    assert "l2-missing-in-gradient" in said(found)
    assert "no gradient has" not in said(found)
    assert "nobody asked for a penalty" in said(found)


def test_an_unnamed_place_before_a_named_one_is_told_apart(tmp_path):
    found = outcome(
        tmp_path, "softmax", [*SCALED, ("a1.T @ d, d.sum(axis=0)", 'a1.T @ d, 0 * params["b2"]')]
    )
    sentences = mistake_sentences(found)
    assert sentences[-1].startswith("Mistake: missing-bias-gradient.") or len(sentences) == 1
    assert not any("exactly these values" in s for s in sentences[:-1])


def test_a_factor_is_said_whether_it_has_a_name_or_not(tmp_path):
    base, changes, _ = NAMED["sum-not-mean"]
    assert said(outcome(tmp_path, base, changes)).startswith(
        "Every gradient is exactly 5 times the right one; 5 is N, the rows of the batch."
    )
    thrice = [("d = d / len(y)", "d = 3 * d / len(y)")]
    assert said(outcome(tmp_path, base, thrice)).startswith(
        "Every gradient is exactly 3 times the right one."
    )


def test_one_number_for_all_gradients_of_a_bias(tmp_path):
    """``b -= rate * np.sum(d)`` works, and so nobody notices."""
    found = outcome(tmp_path, "softmax", [('"b3": d.sum(axis=0)', '"b3": d.sum() + 1e-3')])
    assert found.status == 1
    assert found.result.first_divergence.key == "gradient/4.bias"
    summed = outcome(tmp_path, "softmax", [("a1.T @ d, d.sum(axis=0)", "a1.T @ d, d.sum()")])
    assert said(summed).startswith(
        "Mistake: missing-bias-gradient. The bias gradient is the sum over"
    )


def test_a_factor_of_one_is_no_factor(tmp_path):
    base, changes, _ = NAMED["softmax-overflow"]
    assert "times the right one" not in said(outcome(tmp_path, base, changes))


PER_BATCH = [
    ("return -np.mean(np.log(p[np.arange(len(y)), y]))",
     "return -np.mean(np.log(p[np.arange(len(y)), y])) + 0.05 / len(y) * sum("
     'np.sum(params[k] ** 2) for k in ("W1", "W2", "W3"))'),
]  # fmt: skip
BOTH = [
    *PER_BATCH,
    ("    return grads",
     '    return {k: g + 0.1 / len(y) * params[k] * (k[0] == "W") for k, g in grads.items()}'),
]  # fmt: skip


def test_a_penalty_that_is_divided_by_the_rows(tmp_path):
    missing = outcome(tmp_path, "softmax", PER_BATCH)
    assert (
        "the loss has a penalty of ½ · 0.1/N · ΣW² that no gradient has".lower()
        in said(missing).lower()
    )
    both = outcome(tmp_path, "softmax", BOTH)
    assert "Mistake: l2-penalty." in said(both)
    assert "each weight gradient 0.1/N · W, which belong together" in said(both)
    # A loss that is larger than its logits allow has a reason: nobody asks for another.
    assert not any("normalised" in sentence for sentence in both.result.invariants)
