"""Experiment files and ``--set`` that are not as they should be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from malformed_tests.malformed import (
    QUICK,
    THOROUGH,
    as_toml,
    called,
    nested,
    places,
    refused_or_done,
    spoiled,
    spoiled_bytes,
    tables,
    values,
)

from experiments.errors import InputError

EXPERIMENT: dict[str, Any] = {
    "title": "Made-up students",
    "summary": "who passes",
    "task": "Tell *who* passes.",
    "minutes": 1.0,
    "data": {"name": "pass_fail", "limit": 100, "validation": 0.1, "layout": "flat"},
    "model": {
        "architecture": "mlp",
        "arguments": {"sizes": [2, 4, 2]},
        "initialisation": "normal",
        "std": 0.1,
    },
    "training": {
        "epochs": 1,
        "batch_size": 20,
        "seeds": [0, 1],
        "loss": "CrossEntropyLoss",
        "schedule": {"name": "StepLR", "step_size": 3},
    },
    "optimizers": {"SGD": {"lr": 0.1, "momentum": 0.9}, "mine": {"algorithm": "Adam", "lr": 0.1}},
    "vary": {
        "width": {"cases": {"narrow": {"model": {"arguments": {"sizes": [2, 3, 2]}}}, "wide": {}}},
        "rate": {"key": "optimizers.SGD.lr", "log_steps": {"first": 0.1, "last": 1.0, "count": 2}},
    },
    "figures": [{"kind": "curves", "quantity": "train loss", "panels": "width", "caption": "c"}],
    "claims": [
        {
            "says": "it is so",
            "by": "somebody",
            "quantity": "test accuracy",
            "of": {"width": "wide"},
            "relation": "at least",
            "value": 0.5,
        }
    ],
    "parity": {"first_steps": 1, "every": 10, "replicas": 1, "replica_steps": 2},
    "report": {"author": "A. Uthor", "course": "101", "student": "7", "language": "en"},
    "small": {"training": {"epochs": 1}},
}


@pytest.fixture
def stops_before_training(monkeypatch):
    """An experiment that is accepted is refused where its training would begin."""

    def stop(name: str, *_: Any, **__: Any) -> None:
        raise InputError(f"{name} would begin to train.")

    monkeypatch.setattr("compare.training.run.run_experiment", stop)


def written(folder: Path, tree: dict[str, Any]) -> Path:
    path = folder / "own.toml"
    text = "".join(f"{as_toml(str(key))} = {as_toml(value)}\n" for key, value in tree.items())
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("malformed")


def test_the_unspoiled_one_would_be_trained(folder, stops_before_training):
    ended = called(["run", written(folder, EXPERIMENT), "--out", folder / "run"])
    assert "own would begin to train." in ended.err


def check_file(folder: Path, tree: dict[str, Any]) -> None:
    path = written(folder, tree)
    arguments = ["run", path, "--out", folder / "run"]
    refused_or_done(arguments, [str(path), "own"], [path, folder / "run"])


@given(tree=spoiled(EXPERIMENT))
@QUICK
def test_files_spoiled(folder, stops_before_training, tree):
    check_file(folder, tree)


@pytest.mark.slow
@given(tree=spoiled(EXPERIMENT))
@THOROUGH
def test_many_files_spoiled(folder, stops_before_training, tree):
    check_file(folder, tree)


TEXT = "".join(f"{key} = {as_toml(value)}\n" for key, value in EXPERIMENT.items()).encode()


def check_bytes(folder: Path, content: bytes) -> None:
    path = folder / "own.toml"
    path.write_bytes(content)
    refused_or_done(["run", path, "--out", folder / "run"], [str(path), "own"], [path])


@given(content=spoiled_bytes(TEXT))
@QUICK
def test_bytes_spoiled(folder, stops_before_training, content):
    check_bytes(folder, content)


@pytest.mark.slow
@given(content=spoiled_bytes(TEXT))
@THOROUGH
def test_many_bytes_spoiled(folder, stops_before_training, content):
    check_bytes(folder, content)


changes = st.one_of(
    st.tuples(
        st.sampled_from([".".join(map(str, p)) for p in places(EXPERIMENT)]), values.map(as_toml)
    ).map("=".join),
    st.tuples(st.sampled_from(["lr", "title", "epochs", "sizes", "x"]), st.text(max_size=9)).map(
        "=".join
    ),
    st.text(st.characters(), max_size=30),
).filter(lambda text: "\0" not in text)  # which no command line holds


def check_change(folder: Path, change: str) -> None:
    path = written(folder, EXPERIMENT)
    refused_or_done(["run", path, f"--set={change}", "--out", folder / "run"], ["--set", "own"])


@given(change=changes)
@QUICK
def test_set_options(folder, stops_before_training, change):
    check_change(folder, change)


@pytest.mark.slow
@given(change=changes)
@THOROUGH
def test_many_set_options(folder, stops_before_training, change):
    check_change(folder, change)


DEEP = 5000
TEXTS = {
    "lists a few thousand deep": f"title = {'[' * DEEP}{']' * DEEP}",
    "tables a few thousand deep": f"title = {'{a=' * DEEP}1{'}' * DEEP}",
    "a key of thousands of parts": f"{'.'.join('a' * DEEP)} = 1",
    "headings of thousands of parts": f"[{'.'.join('a' * DEEP)}]\nb = 1",
    "a number of fifty digits": f"minutes = {'9' * 50}",
    "a number of thousands of digits": f"minutes = {'9' * 5000}",
    "fifty digits as epochs": f"training.epochs = {'9' * 50}",
    "a power beyond all floats": "minutes = 1e9999",
    "NUL in the title": 'title = "a\\u0000b"',
    "escape in the title": 'title = "a\\u001b[31m"',
    "an override in the title": 'title = "a\\u202e"',
    "NUL in a key": '"a\\u0000b" = 1',
    "a date as the title": "title = 2020-01-01",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_what_toml_allows_and_no_setting_has(folder, text):
    path = folder / "own.toml"
    path.write_text(text)
    assert refused_or_done(["run", path], [str(path)]).status == 2
    key, _, value = text.partition(" = ")
    if value:
        assert (
            refused_or_done(["run", "mnist_bn_mlp", f"--set={key}={value}"], ["--set"]).status == 2
        )


@pytest.mark.parametrize("value", [nested(900), tables(900)], ids=["lists", "tables"])
def test_values_nested_deeply_in_the_arguments(folder, value):
    tree = {**EXPERIMENT, "model": {**EXPERIMENT["model"], "arguments": {"sizes": value}}}
    assert "nested too deeply" in refused_or_done(["run", written(folder, tree)], ["own.toml"]).err


def test_inputs_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "random.toml").symlink_to("/dev/urandom")
    (tmp_path / "large.toml").touch()
    os.truncate(tmp_path / "large.toml", 2**40)
    for name in ("pipe", "folder", "loop", "zero", "random", "large", "absent", "a\nb", "a\x1bb"):
        path = tmp_path / f"{name}.toml"
        assert refused_or_done(["run", path], ["toml"]).status == 2
    assert refused_or_done(["run", "a\udc80.toml"], ["U+DC80"]).status == 2
    assert refused_or_done(["run", "~nobody/x.toml"], ["~nobody/x.toml"]).status == 2
    assert refused_or_done(["run", "/" + "a" * 5000 + ".toml"], ["aaaa"]).status == 2


def test_a_thousand_trainings_are_not_begun_without_a_word(folder, stops_before_training):
    path = written(folder, EXPERIMENT)
    many = ["run", path, "--set", "vary.rate.log_steps.count=250", "--out", folder / "run"]
    said = refused_or_done(many, [str(path)]).err
    # 2 optimizers, 2 widths, 250 rates and 2 seeds; the file says 1 minute for 16 trainings.
    assert "2,000 trainings (1,000 combinations from 2 seeds)" in said
    assert "about 2 hours" in said
    assert "--yes" in said
    assert "would begin" in called([*many, "--yes"]).err


def test_combinations_without_end(folder):
    axis = {"key": "optimizers.SGD.lr", "log_steps": {"first": 0.1, "last": 1.0, "count": 1000}}
    tree = {**EXPERIMENT, "vary": dict.fromkeys("abcdef", axis)}
    assert "are too many" in refused_or_done(["run", written(folder, tree)], ["own.toml"]).err
