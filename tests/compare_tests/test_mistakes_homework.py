"""Mistakes planted in homework files: found, placed and named; others found, placed, unnamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from planted.homeworks import MEANING, NAMED, UNNAMED
from planted.layers import PLANTED as LAYERS

from compare.check.checking import Options, Outcome, check_homework

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
    return check_homework(file, options)


def options_for(base: str, code: str) -> Options:
    if base != "softmax":
        return Options()
    settings = {"lr": 1e-3} | ({"weight_decay": 0.01} if code == "decay-coupling" else {})
    return Options(optimizer="Adam", settings=settings)


def test_every_mistake_is_planted_in_a_layer_and_in_a_homework():
    assert {code for _, _, code in LAYERS.values()} == set(MEANING) == set(NAMED)


@pytest.mark.parametrize(
    "base", ["softmax", "norm", "squared", "images", "layers", "pooled", "dropped"]
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
    assert first.diagnosis is None
