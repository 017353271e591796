"""What a homework is to compute, by its options, its preset and what it declares."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace

import numpy as np
import pytest

from compare.check.contract import Assignment, Contract
from compare.check.isolation import STANDARD
from compare.check.loading import _dots, _free, package_folders
from compare.check.option_values import (
    checked_codes,
    checked_functions,
    checked_loss,
    checked_targets,
)
from compare.check.presets import PRESETS
from compare.check.reading import (
    Options,
    _question,
    chosen_optimizer,
    find_assignment,
    find_cases,
    module_leaves,
    optimizer_class,
    with_preset,
)
from compare.check.return_values import CallResult
from compare.check.source import PYTHON_2, PYTHON_2_LINES, Source, python_2_sign
from compare.mistakes.case import Case
from experiments.errors import InputError


def test_the_options_that_nobody_gives() -> None:
    assert Options() == Options(
        architecture=None, loss=None, optimizer=None, settings={}, golden=None, mapping=None,
        required=(), timeout_s=30.0, memory_mb=2048, definitions_only=False, accept=(),
        preset=None, targets=None, isolation=STANDARD, allow_import=(), others=(), seed=None,
        answers=None,
    )  # fmt: skip


L_LAYER, DLFS = PRESETS["deeplearning-ai-l-layer"], PRESETS["dlfs-layers"]
UPDATE = Contract(functions=("update",))


def test_the_defaults_of_a_preset() -> None:
    plain = Options(accept=("a",))
    assert with_preset(plain, UPDATE) is plain
    own = replace(plain, preset=DLFS)
    assert with_preset(own, UPDATE) == replace(own, accept=("a", *DLFS.accept))
    sgd = replace(plain, preset=L_LAYER)
    assert with_preset(sgd, UPDATE) == replace(sgd, optimizer="SGD", settings={"lr": 0.0075})
    assert with_preset(sgd, UPDATE).settings is not L_LAYER.settings
    assert with_preset(sgd, Contract()) == sgd  # the homework has not come so far
    golden = replace(sgd, golden="golden")  # type: ignore[arg-type]
    assert with_preset(golden, UPDATE) == golden
    with pytest.raises(InputError) as error:
        with_preset(replace(sgd, optimizer="Adam"), UPDATE)
    assert str(error.value) == (
        "--optimizer Adam: the preset deeplearning-ai-l-layer has an optimizer of its own, SGD "
        "with lr=0.0075; leave the option out."
    )


DECLARED = Contract(optimizer="adam", settings={"lr": 0.1})


@pytest.mark.parametrize(
    ("contract", "name", "settings", "chosen"),
    [
        (Contract(), None, {}, (None, {})),
        (Contract(), "SGD", {"lr": 2}, ("SGD", {"lr": 2})),
        (DECLARED, None, {}, ("Adam", {"lr": 0.1})),
        (DECLARED, "ADAM", {}, ("Adam", {"lr": 0.1})),
        (DECLARED, "Adam", {"lr": 3}, ("Adam", {"lr": 3})),
        (DECLARED, "sgd", {}, ("SGD", {})),
        (DECLARED, "Own", {}, ("Own", {})),
    ],
)
def test_the_optimizer_that_is_chosen(contract, name, settings, chosen) -> None:
    assert chosen_optimizer(contract, name, settings) == chosen


def test_names_of_optimizers() -> None:
    names = {"rmsprop": "RMSprop", "ADAMW": "AdamW", "Nothing": "Nothing", None: None}
    assert {name: optimizer_class(name) for name in names} == names


class Homework:
    """A homework that answers which network it is."""

    def __init__(self, tree=None, problem=None) -> None:
        self.result, self.asked = CallResult(problem=problem, details={"tree": tree}), []

    def request(self, action, arrays=None, *, description="", **details):
        self.asked.append((action, description, details))
        return self.result


TREE = {"make": "Linear", "args": [3, 2], "kwargs": {}}
OWN = Contract(functions=("architecture",))


def test_where_an_assignment_is_said() -> None:
    homework = Homework(TREE)
    found = find_assignment(homework, "a.py", OWN, Options())
    assert homework.asked == [("architecture", "architecture(nn)", {})]
    assert found.architecture == "architecture(nn) of a.py"
    assert found.build.tree == TREE
    assert (found.loss, found.optimizer, found.settings) == ("cross_entropy", None, {})
    assert (found.torch_loss, found.one_sample) == (None, False)
    declared = replace(OWN, loss="mse", optimizer="sgd", settings={"lr": 1})
    found = find_assignment(Homework(TREE), "a.py", declared, Options())
    assert (found.loss, found.optimizer, found.settings) == ("mse", "SGD", {"lr": 1})
    found = find_assignment(Homework(TREE), "a.py", declared, Options(loss="bce"))
    assert found.loss == "bce"
    homework = Homework(TREE)
    named = replace(OWN, architecture="softmax_mlp")
    found = find_assignment(homework, "a.py", named, Options(architecture="bn_mlp"))
    assert (found.architecture, homework.asked) == ("bn_mlp", [])
    found = find_assignment(homework, "a.py", Contract(architecture="softmax_mlp"), Options())
    assert found.architecture == "softmax_mlp"
    one = replace(OWN, batches=replace(OWN.batches, one_sample=True, channels_last=True))
    flatten = {"make": "Flatten", "args": [], "kwargs": {}}
    found = find_assignment(Homework(flatten), "a.py", one, Options())
    assert found.one_sample
    assert found.build.tree["make"] != "Flatten"
    with pytest.raises(InputError) as error:
        find_assignment(Homework(problem="It broke."), "a.py", OWN, Options())
    assert str(error.value) == "It broke."
    with pytest.raises(InputError) as error:
        find_assignment(homework, "a.py", Contract(), Options())
    assert str(error.value) == (
        'a.py does not say which network it is: write ARCHITECTURE = "softmax_mlp" into it '
        "(nncompare list names the others), or def architecture(nn): return nn.Sequential(…), or "
        "pass --architecture."
    )
    assert len(module_leaves(found)) == 1
    assert module_leaves(Assignment("n", print)) == []


def case(given: bool, **more) -> Case:
    values = {"loss": np.ones(()), "step/0.weight": np.ones(2)}
    return Case({}, np.ones((2, 3)), np.zeros(2), values, {}, steps=3,
                given={"input/0": np.ones(1)} if given else {}, **more)  # fmt: skip


def test_which_cases_are_asked_for() -> None:
    asked = []

    class Answers:
        def ask(self, question):
            asked.append(question)
            return ["cases"]

    assignment = Assignment("n", print)
    options = Options(seed=3, timeout_s=4.0, memory_mb=900, answers=Answers())
    for functions, expected in (
        (("forward",), (True, False)), (("network",), (True, True)),
        (("update",), (True, False)), (("architecture",), (False, False)),
    ):  # fmt: skip
        assert find_cases(assignment, Contract(functions=functions), options) == ["cases"]
        question = asked.pop()
        assert (question.functions, question.layers) == expected
        assert (question.assignment, question.seed) == (assignment, 3)
        assert (question.timeout_s, question.memory_mb) == (4.0, 900)
    assert _question(assignment, options, case="a case").case == "a case"
    of_functions, of_layers = case(False), case(True)
    golden = type("Golden", (), {"cases": [of_functions, of_layers]})
    held = Options(golden=golden)  # type: ignore[arg-type]

    def cases(*functions: str, **more) -> list[tuple[bool, int, list[str]]]:
        found = find_cases(assignment, Contract(functions=functions), replace(held, **more))
        return [(bool(c.given), c.steps, list(c.expected)) for c in found]

    both = ["loss", "step/0.weight"]
    assert cases("forward") == [(False, 0, ["loss"])]
    assert cases("step") == [(False, 3, both)]
    assert cases("forward", required=("step",)) == [(False, 3, both)]
    assert cases("network") == [(False, 0, ["loss"]), (True, 0, ["loss"])]
    assert cases("architecture") == []


@pytest.mark.parametrize(
    ("check", "good", "bad", "sentence"),
    [
        (checked_loss, "mse", "hinge", "--x expects one of cross_entropy, mse, bce, "
                                       "bce_with_logits, or FILE.py:FUNCTION, but got 'hinge'."),
        (checked_loss, "a.py:f", "a.py", "--x expects one of cross_entropy, mse, bce, "
                                         "bce_with_logits, or FILE.py:FUNCTION, but got 'a.py'."),
        (checked_targets, "values", "images", "--x expects one of classes, values, binary, but got "
                                              "'images'."),
        (checked_functions, ("loss", "network"), ("loss", "back"),
         "--x expects some of forward, loss, gradients, loss_and_gradients, update, step, network, "
         "but got 'back'."),
        (checked_codes, ("sum-not-mean",), ("sum-not-man",),
         "--x expects codes of docs/mistakes.md, but got 'sum-not-man'. Did you mean "
         "'sum-not-mean'?"),
        (checked_codes, (), ("qqqq",), "--x expects codes of docs/mistakes.md, but got 'qqqq'."),
    ],
)  # fmt: skip
def test_values_of_options(check, good, bad, sentence) -> None:
    assert check(good, "--x") == good
    with pytest.raises(InputError) as error:
        check(bad, "--x")
    assert str(error.value) == sentence


def test_no_value_and_the_same_value_twice() -> None:
    assert checked_loss(None, "--x") is None
    assert checked_targets(None, "--x") is None
    assert checked_codes(["sum-not-mean"] * 2, "--x") == ("sum-not-mean",)


# --------------------------------------------------------------------------------- files


def test_lines_of_a_file_and_of_a_notebook(tmp_path) -> None:
    plain = Source(tmp_path / "a.py", b"\xef\xbb\xbfx = 1\n\xff")
    assert (plain.text, plain.line(3), plain.place(3)) == ("x = 1\n\ufffd", "line 3", "at line 3")
    cells = ((1, 1), (1, 2), (3, 1))
    book = Source(tmp_path / "a.ipynb", "a = 1\nb = 2\nc = 3", cells)
    assert [book.line(n) for n in (0, 1, 2, 3, 9)] == [
        "cell 1, line 1", "cell 1, line 1", "cell 1, line 2", "cell 3, line 1", "cell 3, line 1",
    ]  # fmt: skip
    assert book.place(2) == "in cell 1, line 2"
    assert [type(one).__name__ for one in book.parse().body] == ["Assign"] * 3
    for code, line in (("a = (1\nb = 2\nc = 3", 1), ("a = 1\nb = (2\nc = 3", 2),
                       ("a = 1\nb = 2\nc = ", 3)):  # fmt: skip
        with pytest.raises(SyntaxError) as error:
            replace(book, code=code).parse()
        assert error.value.lineno == line


@pytest.mark.parametrize("words", sorted({*PYTHON_2.values(), *PYTHON_2_LINES.values()}))
def test_what_is_python_2(words) -> None:
    """The line in words as Python 2 has it, by the error that Python itself raises."""
    code = {
        "print without parentheses": "print 'x'",
        "exec without parentheses": "exec 'x'",
        "except X, e instead of except X as e": "try: pass\nexcept ValueError, e: pass",
        "raise X, message instead of raise X(message)": "raise ValueError, 'x'",
        "<> instead of !=": "x = 1 <> 2",
        "backquotes instead of repr": "x = `1`",
    }[words]
    with pytest.raises(SyntaxError) as error:
        ast.parse(code)
    assert python_2_sign(error.value, code) == words
    assert python_2_sign(error.value, f"{code}\nx = f'{{1}}'") is None
    assert python_2_sign(error.value, f"{code}\nprint(1, end='')") is None


def test_what_is_no_python_2() -> None:
    for code in ("x = = 1", "raise ValueError 'x'", "x = '<>' = 1"):
        with pytest.raises(SyntaxError) as error:
            ast.parse(code)
        assert python_2_sign(error.value, code) is None
    odd = SyntaxError("invalid syntax")
    odd.lineno = 99
    assert python_2_sign(odd, "x") is None


def test_folders_of_packages(tmp_path, monkeypatch) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    file = inner / "hw.py"
    assert package_folders(file, 0) == []
    assert package_folders(file, 1) == [inner]
    assert package_folders(file, 2) == [inner.parent, inner]
    (inner / "__init__.py").touch()
    assert package_folders(file, 0) == [inner]
    (inner.parent / "__init__.py").touch()
    assert package_folders(file, 1) == [inner.parent, inner]
    dots = {"import a": 0, "from a import b": 0, "from . import a\nfrom ...b import c": 3}
    assert {code: _dots(ast.parse(code)) for code in dots} == dots
    assert _free("hw_free") == "hw_free"
    for taken in ("hw_taken", "_hw_taken"):
        monkeypatch.setitem(sys.modules, taken, ast)
    assert _free("hw_taken") == "__hw_taken"
