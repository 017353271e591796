"""From a file to an outcome: what is asked, what has to be there, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from compare.check import checking
from compare.check.architecture import RecordedArchitecture, record_architecture
from compare.check.checking import (
    _asks_for_update,
    _counted,
    _coverage_notes,
    _incomplete,
    _may_be_read_otherwise,
    _required_quantities,
    _updated_in_place,
    check_homework,
    load_homework,
    require_file,
    sandbox_of,
)
from compare.check.contract import ArrayLayout, Assignment, Contract
from compare.check.presets import PRESETS
from compare.check.reading import Options
from compare.check.result import Check, Observed, Outcome, Result
from compare.check.return_values import CallResult
from compare.check.sandbox import ProcessEndedError
from compare.mistakes.case import Case
from compare.parity.tolerances import STEP_CANCELLATION
from experiments.errors import InputError


def contract(*functions: str, **more) -> Contract:
    return Contract(functions=functions, **more)


def case(*expected: str, given: bool = False, **parameters: np.ndarray) -> Case:
    values = {key: np.zeros(2) for key in expected}
    return Case(parameters, np.zeros((2, 2)), np.zeros(2), values, dict(values),
                given={"chained": np.array(True)} if given else {})  # fmt: skip


AGREES, DIFFERS = (Check("loss", "loss", passed, 0.0, 1.0) for passed in (True, False))


@pytest.mark.parametrize(
    ("functions", "options", "checks", "faults", "sentence"),
    [
        (["forward"], {"required": ("loss",)}, [AGREES], [],
         "a.py defines no loss(params, x, y), which is asked for."),
        (["forward"], {"required": ("network",)}, [AGREES], [],
         "a.py defines no network(params), which is asked for."),
        (["loss_and_gradients"], {"required": ("loss", "gradients")}, [AGREES], [], None),
        (["loss_and_gradients"], {"required": ("forward",)}, [AGREES], [],
         "a.py defines no forward(params, x), which is asked for."),
        (["forward"], {"optimizer": "SGD"}, [AGREES], [],
         "a.py defines no update(params, grads, state), which is asked for."),
        (["forward"], {"required": ("forward",), "optimizer": "SGD"}, [AGREES], [],
         "a.py defines no update(params, grads, state), which is asked for."),
        (["step"], {"optimizer": "SGD"}, [AGREES], [], None),
        (["forward"], {}, [], [], "Nothing could be compared."),
        (["forward"], {}, [], ["A fault."], "Nothing could be compared."),
        (["forward"], {}, [AGREES], ["A fault.", "More."], "A fault."),
        (["forward"], {}, [AGREES, DIFFERS], ["A fault."], None),
        (["forward"], {}, [AGREES], [], None),
    ],
)  # fmt: skip
def test_why_it_does_not_count_as_checked(functions, options, checks, faults, sentence) -> None:
    result = Result(tuple(checks))
    found = _incomplete("a.py", contract(*functions), Options(**options), result, faults)
    assert found == sentence


@pytest.mark.parametrize(
    ("functions", "options", "asked"),
    [
        (["update"], {}, False),
        ([], {"optimizer": "SGD"}, True),
        (["step"], {"optimizer": "SGD"}, False),
        ([], {"optimizer": "SGD", "required": ("step",)}, False),
    ],
)
def test_when_an_optimizer_asks_for_an_update(functions, options, asked) -> None:
    assert _asks_for_update(contract(*functions), Options(**options)) is asked


ALL = ("logits", "probabilities", "loss", "gradient/0.weight", "update/0.weight",
       "step/0.weight", "buffer/1.running_mean", "gradient/network/0.weight")  # fmt: skip


@pytest.mark.parametrize(
    ("functions", "options", "required"),
    [
        (["forward"], {}, ALL[:2]),
        (["loss"], {}, ALL[2:3]),
        (["gradients"], {}, ALL[3:4]),
        (["loss_and_gradients"], {}, ALL[2:4]),
        (["update"], {}, ALL[4:5]),
        (["step"], {}, ALL[5:6]),
        (["forward"], {"optimizer": "SGD"}, (*ALL[:2], *ALL[4:5])),
        ([], {"required": ("forward", "gradients")}, (*ALL[:2], *ALL[3:4])),
        ([], {"required": ("loss_and_gradients", "step")}, (*ALL[2:4], *ALL[5:6])),
        ([], {}, ()),
    ],
)
def test_what_functions_should_give(functions, options, required) -> None:
    found = _required_quantities(contract(*functions), Options(**options), [case(*ALL)], {})
    assert found == required


def test_what_layers_should_give() -> None:
    layers = case("activation/0", "loss", "gradient/0.weight", "loss/network", given=True)
    every = ("activation/0", "loss", "gradient/0.weight")

    def required(*functions: str, quantities=()) -> tuple[str, ...]:
        cases = [case("loss", "logits"), layers]
        return _required_quantities(contract(*functions), Options(), cases, quantities)

    assert required("network") == every
    assert required("network", quantities=("loss", "activation/0")) == ("activation/0", "loss")
    assert required("network", "forward") == ("logits", *every)


def test_what_came_and_does_not_count_is_not_asked_for() -> None:
    observed = [Observed({"loss": np.zeros(())}), Observed({"logits": np.zeros(2)})]
    found = _counted(("logits", "loss", "gradient/0.bias"), observed, Result((AGREES,)))
    assert found == ("loss", "gradient/0.bias")


def network(*layers) -> Assignment:
    tree = record_architecture(lambda nn: nn.Sequential(*(make(nn) for make in layers)))
    return Assignment("net", RecordedArchitecture(tree, "net"))


def test_what_is_left_out_is_said() -> None:
    linear, dropout = (lambda nn: nn.Linear(3, 2)), (lambda nn: nn.Dropout(0.5))
    plain, with_dropout = network(linear), network(linear, dropout, dropout)

    def notes(one: Contract, of: Assignment, *values: str) -> list[str]:
        observed = [Observed({}), Observed(dict.fromkeys(values, np.zeros(1)))]
        return _coverage_notes(one, Options(), of, observed)

    assert notes(contract("forward"), plain) == []
    assert notes(contract("update"), plain) == [
        "update was not checked: name its optimizer with --optimizer."
    ]
    assert notes(contract("update"), Assignment("n", print, optimizer="SGD")) == []
    assert notes(contract("forward"), with_dropout) == [
        "Dropout is left out of the comparison of functions: its masks are random."
    ]
    layers = contract("network")
    assert notes(layers, with_dropout) == ["Dropout (1, 2) is left out of the comparison."]
    assert notes(layers, with_dropout, "activation/2") == [
        "Dropout (1) is left out of the comparison."
    ]
    assert notes(layers, with_dropout, "activation/1", "activation/2") == []


@pytest.mark.parametrize(
    ("shape", "result", "otherwise"),
    [
        ((3, 3), Result((DIFFERS,)), True),
        ((3, 3), Result((AGREES,)), False),
        ((3, 2), Result((DIFFERS,)), False),
        ((3, 2), Result((AGREES,), error="why"), True),
        ((3, 3, 3), Result((DIFFERS,)), False),
    ],
)
def test_what_may_be_a_layout_declared_wrongly(shape, result, otherwise) -> None:
    weights = {"0.weight": np.zeros(shape), "1.weight": np.zeros((4, 2))}
    asked = case(**weights)
    assert _may_be_read_otherwise(result, asked) is otherwise


def test_gradients_that_are_read_off_what_is_subtracted_have_larger_sizes() -> None:
    weight, bias = np.array([2.0, -3.0]), np.array([5.0, 7.0])
    given = Case({"0.weight": weight, "0.bias": bias}, np.zeros((2, 2)), np.zeros(2), {},
                 {"gradient/0.weight": np.array([1.0, 1.0]), "gradient/0.bias": np.ones(2),
                  "loss": np.array(4.0)})  # fmt: skip
    layouts = [ArrayLayout("W", "0.weight"), ArrayLayout("b", "0.bias")]

    def sizes(**attributes: str) -> dict[str, np.ndarray]:
        layers = SimpleNamespace(layouts=layouts, contract=Contract(attributes=attributes))
        return _updated_in_place(given, layers).sizes

    added = STEP_CANCELLATION * np.abs(weight)
    assert (added > 0).all()
    for attributes in ({"W": "-W"}, {"weight": "-w", "bias": "db"}):
        found = sizes(**attributes)
        np.testing.assert_array_equal(found["gradient/0.weight"], 1 + added)
        np.testing.assert_array_equal(found["gradient/0.bias"], [1, 1])
        assert found["loss"] == 4
    assert sizes(weight="dW") == given.sizes
    layers = SimpleNamespace(layouts=layouts, contract=Contract(attributes={"b": "dx"}))
    assert _updated_in_place(given, layers) is given


@pytest.mark.parametrize(
    ("name", "noun", "sentence"),
    [
        ("gone.py", "homework",
         "{}: the homework does not exist; expected a Python file or a notebook."),
        ("gone.py", "mapping file", "{}: the mapping file does not exist; expected a Python file."),
        ("folder", "homework", "{}: the homework is a folder; expected a Python file or a "
                               "notebook."),
        ("folder", "mapping file", "{}: the mapping file is a folder; expected a Python file."),
        ("a.txt", "homework", "{}: the homework should be a Python file or a notebook, NAME.py or "
                              "NAME.ipynb."),
        ("a.txt", "mapping file", "{}: the mapping file should be a Python file, NAME.py."),
        ("a.ipynb", "mapping file", "{}: the mapping file should be a Python file, NAME.py."),
        ("a.ipynb", "homework", None),
        ("a.py", "homework", None),
        ("a.py", "mapping file", None),
    ],
)  # fmt: skip
def test_files_that_are_no_homework(tmp_path, name, noun, sentence) -> None:
    (tmp_path / "folder").mkdir()
    for existing in ("a.txt", "a.py", "a.ipynb"):
        (tmp_path / existing).touch()
    file = tmp_path / name
    if sentence is None:
        require_file(file, noun)
        return
    with pytest.raises(InputError) as error:
        require_file(file, noun)
    assert str(error.value) == sentence.format(file)


def test_the_mapping_file_is_required_too(tmp_path) -> None:
    (tmp_path / "a.py").touch()
    outcome = check_homework(tmp_path / "a.py", Options(mapping=tmp_path / "m.py"))
    assert outcome == Outcome("a.py", Result(error=(
        f"{tmp_path / 'm.py'}: the mapping file does not exist; expected a Python file."
    )))  # fmt: skip


def test_a_process_gets_every_option(tmp_path) -> None:
    file, mapping, other = (tmp_path / name for name in ("a.py", "m.py", "b.py"))
    options = Options(timeout_s=7.0, memory_mb=900, isolation="off", allow_import=("torch",),
                      mapping=mapping, others=(other,))  # fmt: skip
    assert sandbox_of(file, options).arguments == (
        file, 7.0, 900, "off", ("torch",), (mapping,), (other,)
    )  # fmt: skip
    assert sandbox_of(file, Options(isolation="off")).arguments == (
        file, 30.0, 2048, "off", (), (), ()
    )  # fmt: skip


class Fake:
    """A sandbox that answers nothing; what is asked of it is kept."""

    printed, printed_characters, isolation = "printed", 7, "isolated"

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_) -> None:
        self.ended = True


@pytest.mark.parametrize("golden", [False, True])
@pytest.mark.parametrize("checks", [(), (AGREES,)])
def test_an_outcome_has_what_its_process_printed(tmp_path, monkeypatch, golden, checks) -> None:
    """The seed is said where something was asked, and not of a golden file."""
    (tmp_path / "a.py").touch()
    seen = []
    monkeypatch.setattr(checking, "taken_sandbox", lambda wanted: Fake())
    monkeypatch.setattr(checking, "sandbox_of", lambda file, options: (file, options))
    monkeypatch.setattr(checking, "shared_answers", lambda: "answers")

    def check_file(sandbox, name, options) -> Outcome:
        seen.append((type(sandbox), name, options.answers))
        return Outcome(name, Result(checks, notes=("A note.",)))

    monkeypatch.setattr(checking, "check_file", check_file)
    options = Options(seed=5, golden="golden" if golden else None)  # type: ignore[arg-type]
    outcome = check_homework(tmp_path / "a.py", options)
    asked = "The questions were drawn with the seed 5: --seed 5 asks them again."
    assert outcome == Outcome(
        "a.py",
        Result(checks, notes=("A note.", asked) if checks and not golden else ("A note.",)),
        printed="printed", printed_characters=7, isolation="isolated",
        seed=None if golden else 5,
    )  # fmt: skip
    assert seen == [(Fake, "a.py", None if golden else "answers")]
    own = Options(answers="own")  # type: ignore[arg-type]
    assert check_homework(tmp_path / "a.py", own).seed is None
    assert seen[1][2] == "own"


class Answers:
    """A homework that answers requests as it is told: a result, or an exception."""

    def __init__(self, *answers) -> None:
        self.answers, self.asked = list(answers), []

    def request(self, action, arrays=None, *, description="", **details):
        self.asked.append((action, description, details))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        problem, found = answer
        return CallResult(problem=problem, details=found)

    def restart(self) -> None:
        self.asked.append("restart")


LOAD = ("load", "a.py, on being imported,", {"mapping": None, "own_contract": True})
AGAIN = (*LOAD[:2], {**LOAD[2], "definitions_only": True})
DECLARED = ("declaration", "the declaration", {})
ONLY = "Only definitions (imports, functions, classes, constants) were executed"
HAS, LACKS = (None, {"functions": ["loss"]}), (None, {"functions": ["architecture"]})


@pytest.mark.parametrize(
    ("answers", "asked", "notes"),
    [
        ([(None, {})], [LOAD], ()),
        ([("It broke.", {"readable": True}), (None, {}), HAS], [LOAD, "restart", AGAIN, DECLARED],
         (f"{ONLY} because the whole file cannot be imported: It broke.",)),
        ([ProcessEndedError("Too late."), (None, {}), HAS], [LOAD, "restart", AGAIN, DECLARED],
         (f"{ONLY} because the whole file cannot be imported: Too late.",)),
    ],
)  # fmt: skip
def test_how_a_homework_is_loaded(answers, asked, notes) -> None:
    homework = Answers(*answers)
    assert load_homework(homework, "a.py", Options()) == notes
    assert homework.asked == asked


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ([("It is no Python.", {})], "It is no Python."),
        ([("It broke.", {"readable": True}), ("That, too.", {})], "It broke."),
        ([("It broke.", {"readable": True}), ("The mapping broke.", {"loaded": True})],
         "The mapping broke."),
        ([("It broke.", {"readable": True}), (None, {}), LACKS], "It broke."),
        ([("It broke.", {"readable": True}), ProcessEndedError("Too late.")], "It broke."),
        ([ProcessEndedError("Too late."), ProcessEndedError("Again.")], "Too late."),
    ],
)  # fmt: skip
def test_why_a_homework_cannot_be_loaded(answers, sentence) -> None:
    with pytest.raises(InputError) as error:
        load_homework(Answers(*answers), "a.py", Options())
    assert str(error.value) == sentence


def test_definitions_alone_on_demand() -> None:
    options = Options(definitions_only=True)
    homework = Answers((None, {}), LACKS)
    assert load_homework(homework, "a.py", options) == (f"{ONLY}.",)
    assert homework.asked == [AGAIN, DECLARED]
    for answers in ([("It broke.", {})], [ProcessEndedError("It broke.")]):
        with pytest.raises(InputError) as error:
            load_homework(Answers(*answers), "a.py", options)
        assert str(error.value) == "It broke."


def test_a_mapping_file_or_a_preset_is_loaded(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    homework = Answers((None, {}))
    load_homework(homework, "a.py", Options(mapping=Path("m.py")))
    assert homework.asked[0][2] == {"mapping": str(tmp_path / "m.py"), "own_contract": True}
    preset = PRESETS["dlfs-layers"]
    homework = Answers((None, {}))
    load_homework(homework, "a.py", Options(preset=preset))
    assert homework.asked[0][2] == {"mapping": str(preset.file), "own_contract": False}


def test_the_hint_at_one_sample_is_for_code_that_takes_one(check) -> None:
    """Code that returns something else returns it for a single row, too."""
    hint = (
        "It runs for a single row: if your code takes one sample at a time, write ONE_SAMPLE = "
        "True."
    )
    one = check(
        ("return hidden(params, x) @", "assert len(x) == 1\n    return hidden(params, x) @")
    )
    assert hint in one.result.notes
    assert hint not in check(("    return {", "    return [], {")).result.notes


def test_a_divergence_says_where_it_is_in_the_homework(check, right) -> None:
    lines = right.splitlines()
    forward, loss, gradients = (
        f"{name}, line {next(n for n, x in enumerate(lines, 1) if x.startswith(f'def {name}('))}"
        for name in ("forward", "loss", "gradients")
    )
    outcome = check(("dz / len(y)", "dz"))
    assert [one.own for one in outcome.result.checks] == [
        forward, loss, *(f"{gradients}, for {name!r}" for name in ("W2", "b2", "W1", "b1"))
    ]  # fmt: skip
