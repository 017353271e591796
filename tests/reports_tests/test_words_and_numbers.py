"""Words, statistics, and what is read from source code."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reports.facts import confusions, mcnemar, wilson
from reports.wording import (
    capitalised,
    code,
    command_line,
    escaped,
    fixed,
    joined,
    number,
    percent,
    plural,
)

from compare.records.run import read_run
from compare.records.tables import ParityRow
from reports.method import INITIALISATIONS, bounds_of, latex, method_of
from reports.network import has_defaults, module_kinds, modules_of
from reports.tables import pipe_table

MakeRun = Callable[..., Path]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1e-8, "10⁻⁸"),
        (1.17e-5, "1.17 × 10⁻⁵"),
        (-2.5e-7, "−2.50 × 10⁻⁷"),
        (0.00141, "0.00141"),
        (2.3, "2.30"),
        (123.4, "123"),
        (12345.6, "12300"),
        (1.5e7, "1.50 × 10⁷"),
        (math.nan, "not a number"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers(value: float, expected: str) -> None:
    assert number(value) == expected


def test_small_words() -> None:
    assert number(1e-8, 1) == "10⁻⁸"
    assert plural(1, "step") == "1 step"
    assert plural(2000, "batch", "batches") == "2,000 batches"
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert joined([]) == ""
    assert percent(math.nan) == "not a number"
    assert fixed(None) == "–"
    assert fixed(-0.5, 1) == "−0.5"
    assert fixed(math.nan) == "not a number"
    assert capitalised("an MNIST") == "An MNIST"
    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert code("a|b") == "`a\\|b`"


def test_text_of_a_record_is_escaped() -> None:
    assert escaped("a_b *c* $d$ [e] <f> `g` a|b") == (
        "a\\_b \\*c\\* \\$d\\$ \\[e\\] \\<f\\> \\`g\\` a\\|b"
    )
    assert escaped("# no heading") == "\\# no heading"
    assert escaped("1. no list") == "1\\. no list"
    assert escaped("- no list -- no dash") == "\\- no list \\-- no dash"
    assert escaped("one\n\ntwo") == "one two"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("nncompare run x --sample --out /a/b", "nncompare run x --sample"),
        ("nncompare run x --out=/a/b --resume", "nncompare run x"),
        ("nncompare run /home/me/x.toml", "nncompare run x.toml"),
        ("nncompare run x --data-dir /d/mnist", "nncompare run x --data-dir mnist"),
        ("nncompare run x --data-dir=C:\\\\d\\\\mnist", "nncompare run x --data-dir=mnist"),
        ("nncompare run x --data-dir /", "nncompare run x --data-dir DIR"),
        ("nncompare run 'it is", "nncompare run 'it is"),
        ("nncompare run x --set training.epochs=3", "nncompare run x --set training.epochs=3"),
    ],
)
def test_a_command_without_what_belongs_to_one_machine(command: str, expected: str) -> None:
    assert command_line(command) == expected


def test_statistics_against_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for b, c in [(0, 0), (1, 0), (5, 75), (11, 312), (20, 21), (7, 7)]:
        expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
        assert mcnemar(b, c) == pytest.approx(expected)
    for right, rows in [(950, 1000), (0, 10), (10, 10), (1, 3)]:
        interval = stats.binomtest(right, rows).proportion_ci(method="wilson")
        assert wilson(right, rows) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_confusions_come_with_the_most_frequent_first() -> None:
    targets, predicted = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 2, 2, 0, 2])
    assert confusions(targets, predicted) == [(1, 2, 2), (0, 1, 1), (2, 0, 1)]


def test_module_kinds_in_order_of_appearance() -> None:
    source = (
        "def f(net, n):\n    a = [net.Linear(1, n), net.ReLU()]\n    return net.Sequential(*a)\n"
    )
    assert module_kinds(source) == ["Linear", "ReLU", "Sequential"]
    assert module_kinds("a partial, without source code") == []
    assert module_kinds("x = 1") == []
    assert module_kinds("def f():\n    return nn.Linear(1, 2)") == []


def test_modules_with_arguments_of_their_own_are_seen() -> None:
    plain = "def f(nn):\n    return nn.BatchNorm1d(3)\n"
    assert has_defaults(plain, "BatchNorm")
    assert not has_defaults(plain.replace("3", "3, 1e-3"), "BatchNorm")
    assert not has_defaults(plain.replace("3", "3, momentum=0.5"), "BatchNorm")


def test_modules_are_recognised_by_their_parameters(make_run: MakeRun) -> None:
    run = read_run(make_run())
    modules = modules_of(run, run.record.trainings[0])
    assert [(m.name, m.kind) for m in modules] == [
        ("0", "Linear"),
        ("1", "BatchNorm1d"),
        ("2", "LeakyReLU"),
        ("3", "Linear"),
    ]
    assert modules[0].shapes == {"weight": (3, 4), "bias": (3,)}
    assert modules[2].shapes == {}


def test_modules_of_a_loop_are_recognised_where_one_class_fits(make_run: MakeRun) -> None:
    loop = "def f(nn):\n    return nn.Sequential(*[nn.Linear(2, 2) for _ in 'ab'], nn.ReLU(), {})\n"
    for rest, kind in [("nn.BatchNorm1d(2)", "ReLU"), ("nn.Tanh(), nn.Flatten(), nn.GELU()", "")]:
        path = make_run(rest, sources={"mine.py, f": loop.format(rest)})
        run = read_run(path)
        modules = modules_of(run, run.record.trainings[0])
        assert [m.kind for m in modules][::3] == ["Linear", "Linear"]
        assert modules[2].kind == kind


def test_bounds_are_read_off_the_comparisons() -> None:
    u = 2.0**-24
    rows = [
        ParityRow("SGD", 0, 0, "float32", "initial/0.weight", 0.0, 0.0, 0.0, True),
        ParityRow("SGD", 0, 0, "float32", "forward/0/output", 0.0, u, 6 * 4 * u, True),
        ParityRow("SGD", 0, 0, "float32", "forward/1/output", 0.0, 9 * u, 6 * 9 * u, True),
        ParityRow("SGD", 0, 0, "float32", "forward/2/output", 0.0, math.inf, 6 * 4 * u, True),
        ParityRow("SGD", 0, 0, "float64", "forward/0/output", 0.0, 0.0, 1e-13, True),
        ParityRow("SGD", 0, 0, "float64", "whole/forward/0/output", 0.0, 0.0, 1e-10, True),
    ]
    assert bounds_of(rows) == (6.0, 4.0, 1e-13, 1e-10)
    assert bounds_of([]) == (None, None, None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1e-5, "10^{-5}"), (2e-6, "2\\cdot10^{-6}"), (0.1, "0.1"), (None, "None"), (8.0, "8")],
)
def test_numbers_in_formulas(value: object, expected: str) -> None:
    assert latex(value) == expected


@pytest.mark.parametrize("scheme", sorted(INITIALISATIONS))
def test_every_initialisation_has_its_words(make_run: MakeRun, scheme: str) -> None:
    model = {"architecture": "tiny", "initialisation": scheme, "std": 0.25}
    run = read_run(make_run(optimizers=("SGD",), experiment={"model": model}))
    cited: list[str] = []
    words = method_of(run)["initialisation"](lambda key: cited.append(key) or f"[{key}]")
    assert "{" not in words.replace("{{", "").replace("\\sqrt{", "").replace("W_{", "")
    assert cited == [key for key in ("he", "glorot", "efficient") if f"[{key}]" in words]
    assert ("0.25" in words) == (scheme == "normal")


def test_the_settings_of_the_optimizers_choose_the_words(make_run: MakeRun) -> None:
    optimizers = {
        "plain": {"algorithm": "SGD", "lr": 0.1},
        "heavy": {"algorithm": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True},
        "Adam": {"lr": 0.1, "weight_decay": 0.1, "amsgrad": True, "maximize": True},
    }
    run = read_run(make_run(optimizers=tuple(optimizers), experiment={"optimizers": optimizers}))
    told = method_of(run)
    assert told["sgd"] == {
        "plain": True,
        "momentum": True,
        "dampening": False,
        "nesterov": True,
        "decay": False,
    }
    assert told["adam"] == {"decay": True, "amsgrad": True}
    assert told["maximize"]


def test_a_table_without_rows_is_no_table() -> None:
    assert pipe_table(("a",), []) == ""
    assert pipe_table(("a", "b"), [("1", "2")], "lr") == "| a | b |\n| :-- | --: |\n| 1 | 2 |"
