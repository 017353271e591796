"""Functions of a homework: what they are called with, and what is said of what they return."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compare.check.contract import ArrayLayout, Assignment, BatchLayout, Contract, ReturnValueError
from compare.check.function_evaluation import (
    FunctionEvaluation,
    NoResultError,
    ReturnParser,
    _repeats,
    leave_out_own_statistics,
    not_for_this_size,
    one_row,
    select_forward_mode,
)
from compare.check.homework import Homework
from compare.check.result import Observed
from compare.check.return_values import CallResult, describe
from compare.check.sandbox import ProcessEndedError
from compare.check.step_evaluation import (
    StepAsGradients,
    _fitted,
    plain_rate,
    require_optimizer,
    run_steps,
    with_read_off,
)
from compare.check.step_reading import read_steps, without_open_step
from compare.mistakes.case import Case
from compare.parity.tolerances import HOMEWORK, SAME_ANSWER, STEP_CANCELLATION
from experiments.errors import InputError

W, B = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0])
LAYOUTS = [ArrayLayout("W1", "0.weight", ".T"), ArrayLayout("0.bias", "0.bias"),
           ArrayLayout("m", "1.running_mean")]  # fmt: skip
TRAINABLE = frozenset({"0.weight", "0.bias"})
SHAPES = {"0.weight": (2, 3), "0.bias": (2,), "1.running_mean": (2,)}
X, Y, LOGITS = np.arange(12.0).reshape(4, 3), np.array([0, 1, 1, 0]), np.arange(8.0).reshape(4, 2)
CASE = Case(
    {"0.weight": W, "0.bias": B, "1.running_mean": np.zeros(2)}, X, Y,
    {"logits": LOGITS, "loss": np.array(1.0), "buffer/1.running_mean": B,
     "gradient/0.weight": W, "gradient/0.bias": B},
    {"gradient/0.weight": np.ones((2, 3))},
)  # fmt: skip
PARSER = ReturnParser(BatchLayout(), LAYOUTS, TRAINABLE, SHAPES)


@pytest.mark.parametrize(
    ("function", "returned", "sentence"),
    [
        ("forward", None, "forward returned None, but expected the logits; is a return missing?"),
        ("forward", "x", "forward returned a value of type str, but expected an array of logits."),
        ("forward", (), "forward returned a tuple of 0, but expected an array of logits."),
        ("forward", {"a": 1, "b": 2},
         "forward returned a dict with 'a', 'b', but expected an array of logits."),
        ("forward", (None, LOGITS),
         "forward returned None, but expected the logits; is a return missing?"),
        ("forward", LOGITS[:3], "what forward returned (logits) has the shape (3, 2), but expected "
                                "(4, 2), (N, classes)."),
        ("loss", None, "loss returned None, but expected a number; is a return missing?"),
        ("loss", LOGITS, "loss returned an array of shape (4, 2), but expected one number, the "
                         "loss of the batch."),
        ("loss", "x", "loss returned a value of type str, but expected one number, the loss of the "
                      "batch."),
        ("gradients", None,
         "gradients returned None, but expected a dict; is a return missing?"),
        ("gradients", [W], "gradients returned an array of shape (1, 2, 3), but expected a dict of "
                           "own name → gradient."),
        ("gradients", {}, "gradients returned no gradient for 'W1' (0.weight); the keys are those "
                          "of params, and it returned none."),
        ("gradients", {"W1": W.T, "b": B}, "gradients returned no gradient for '0.bias'; the keys "
                                           "are those of params, and it returned 'W1', 'b'."),
        ("gradients", {"W1": "x", "0.bias": B},
         "gradients returned a value of type str as the gradient for 'W1' (0.weight), not an "
         "array."),
        ("gradients", {"W1": W, "0.bias": B},
         "the gradient for 'W1' (0.weight) that gradients returned has the shape (2, 3), but "
         "expected (3, 2); it is transposed."),
        ("loss_and_gradients", 3.0,
         "loss_and_gradients returned a value of type float, but expected (loss, gradients)."),
        ("loss_and_gradients", (1.0, {}, 3),
         "loss_and_gradients returned a tuple of 3, but expected (loss, gradients)."),
        ("loss_and_gradients", ({}, 1.0),
         "loss_and_gradients returned a dict with nothing in it, but expected one number, the loss "
         "of the batch."),
        ("loss_and_gradients", (1.0, None),
         "loss_and_gradients returned None, but expected a dict; is a return missing?"),
    ],
)  # fmt: skip
def test_what_may_not_be_returned(function, returned, sentence) -> None:
    with pytest.raises(ReturnValueError) as error:
        PARSER.parse(function, describe(returned), CASE)
    assert str(error.value) == sentence


def test_what_may_be_returned() -> None:
    for returned in (LOGITS, (LOGITS, "kept"), LOGITS.tolist()):
        found = PARSER.parse("forward", describe(returned), CASE)
        assert list(found) == ["logits"]
        np.testing.assert_array_equal(found["logits"], LOGITS)
    for returned in (2.5, np.array([[2.5]]), [2.5]):
        found = PARSER.parse("loss", describe(returned), CASE)
        assert (list(found), found["loss"].shape, float(found["loss"])) == (["loss"], (), 2.5)
    gradients = {"W1": W.T, "0.bias": B[:, None], "more": 3}
    found = PARSER.parse("gradients", describe(gradients), CASE)
    assert list(found) == ["gradient/0.weight", "gradient/0.bias"]
    np.testing.assert_array_equal(found["gradient/0.weight"], W)
    np.testing.assert_array_equal(found["gradient/0.bias"], B)
    both = PARSER.parse("loss_and_gradients", describe((2, {**gradients, "0.bias": 7})), CASE)
    assert list(both) == ["loss", "gradient/0.weight", "gradient/0.bias"]
    np.testing.assert_array_equal(both["gradient/0.bias"], [7, 7])  # one number for all
    with pytest.raises(ReturnValueError) as error:  # an update has an array for each
        PARSER.parse_item(describe({"0.bias": 7}), LAYOUTS[1], "update", "array")
    assert str(error.value) == (
        "the array for '0.bias' that update returned has the shape (), but expected (2,)."
    )


class Recorded:
    """A homework whose requests are kept, answered by functions or as it is told."""

    def __init__(self, answers=(), **functions) -> None:
        self.homework, self.asked, self.answers = Homework(functions), [], list(answers)

    def request(self, action, arrays=None, *, description="", **details):
        self.asked.append((action, description, details, dict(arrays or {})))
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return self.homework.request(action, arrays, description=description, **details)

    def restart(self) -> None:
        self.asked.append("restart")


def evaluation(homework, *functions: str, **batches) -> FunctionEvaluation:
    contract = Contract(functions=functions, batches=BatchLayout(**batches))
    return FunctionEvaluation(homework, contract, LAYOUTS, TRAINABLE, SHAPES)


def test_each_function_is_called_with_the_arrays_in_its_layout() -> None:
    given = {"gradients": lambda p, x, y: {"W1": p["W1"], "0.bias": p["0.bias"]},
             "loss": lambda p, x, y: 2.5, "forward": lambda p, x: LOGITS.T}  # fmt: skip
    homework = Recorded(**given)
    (found,) = evaluation(homework, *given, axis=1, one_hot=True).evaluate([CASE])
    assert (found.problem, found.notes, found.single) == (None, [], True)
    assert list(found.values) == ["logits", "loss", "gradient/0.weight", "gradient/0.bias"]
    np.testing.assert_array_equal(found.values["logits"], LOGITS)
    np.testing.assert_array_equal(found.values["gradient/0.weight"], W)
    # Each twice, to see whether it repeats, and the last in float32.
    assert [asked[:3] for asked in homework.asked[:6]] == [
        ("call", f"{name}(params, x{more})", {"function": name})
        for name, more in (("forward", ""), ("loss", ", y"), ("gradients", ", y"))
        for _ in range(2)
    ]
    first, last = homework.asked[0][3], homework.asked[5][3]
    assert list(first) == ["params/W1", "params/0.bias", "params/m", "x"]
    assert list(last) == [*first, "y"]
    np.testing.assert_array_equal(first["params/W1"], W.T)
    np.testing.assert_array_equal(first["x"], X.T)
    np.testing.assert_array_equal(last["y"], np.eye(2)[Y].T)
    assert len(homework.asked) == 8


@pytest.mark.parametrize(
    ("there", "called"),
    [
        (["update", "gradients", "loss", "forward", "step"],
         ["forward", "loss", "gradients", "update", "step"]),
        (["loss_and_gradients", "loss"], ["loss", "loss_and_gradients"]),
        (["loss_and_gradients", "gradients"], ["loss_and_gradients", "gradients"]),
        (["loss_and_gradients", "loss", "gradients"], ["loss", "gradients"]),
        (["network"], []),
    ],
)  # fmt: skip
def test_which_functions_are_called(there, called) -> None:
    assert evaluation(Recorded(), *there)._functions() == called


BROKEN = CallResult(problem="forward(params, x) raised ValueError at line 3: x.")
FAILED = ProcessEndedError("forward(params, x) crashed with SIGSEGV.")


def test_a_problem_is_said_with_the_size_of_its_batch() -> None:
    one = one_row(CASE, 2)
    np.testing.assert_array_equal(one.inputs, X[2:3])
    np.testing.assert_array_equal(one.targets, Y[2:3])
    np.testing.assert_array_equal(one.expected["logits"], LOGITS[2:3])
    assert list(one.expected) == ["logits"]
    found = evaluation(Recorded([BROKEN] * 3), "forward").evaluate([CASE, CASE, one])
    assert [observed.problem for observed in found] == [
        "forward(params, x) raised ValueError at line 3: x.",
        "forward(params, x) raised ValueError at line 3: x (for a batch of 4 rows).",
        "forward(params, x) raised ValueError at line 3: x (for a batch of 1 row).",
    ]
    assert [observed.values for observed in found] == [{}, {}, {}]


def test_nothing_is_asked_of_a_process_that_has_ended() -> None:
    good = CallResult(value=describe(LOGITS))
    homework = Recorded([good, good, good, good, FAILED])
    found = evaluation(homework, "forward").evaluate([CASE] * 3)
    assert [observed.problem for observed in found] == [
        None, "forward(params, x) crashed with SIGSEGV (for a batch of 4 rows).",
    ]  # fmt: skip
    found = evaluation(Recorded([FAILED]), "forward").evaluate([CASE] * 3)
    assert [observed.problem for observed in found] == ["forward(params, x) crashed with SIGSEGV."]


def test_images_of_another_size_do_not_count() -> None:
    images = replace(CASE, inputs=np.zeros((4, 3, 7, 9)), other_size=True)
    said = (
        "The network takes images of 7 × 9 pixels, too, and was asked with them: It failed. This "
        "does not count."
    )
    assert not_for_this_size(images, "It failed.") == said
    logits, loss = (CallResult(value=describe(value)) for value in (LOGITS, 2.0))
    first = [logits, logits, loss, loss, loss, loss]
    homework = Recorded([*first, logits, CallResult(problem="It failed.")])
    found = evaluation(homework, "forward", "loss").evaluate([CASE, images])
    assert (found[1].problem, found[1].notes, found[1].values) == (None, [said], {})


def test_other_functions_are_called_where_one_fails() -> None:
    homework = Recorded([BROKEN, *[CallResult(value=describe(2.0))] * 2])
    (found,) = evaluation(homework, "forward", "loss").evaluate([CASE])
    assert found.problem == BROKEN.problem
    assert list(found.values) == ["loss"]
    assert found.single is False


def test_what_does_not_repeat_and_what_is_changed_is_a_fault() -> None:
    count = iter(range(100))

    def forward(params, x):
        params["m"][:] = B
        x += 1
        return LOGITS + next(count)

    def gradients(params, x, y):
        params["W1"][:] = 0
        return {"W1": W.T, "0.bias": B}

    found = evaluation(Recorded(forward=forward, gradients=gradients), "forward", "gradients")
    observed = found.evaluate([CASE, CASE])
    place = "in place: the next call gets something else; work on a copy."
    faults = [
        f"forward(params, x) changed its argument x {place}",
        "forward(params, x) gave another answer when it was called again with the same arguments; "
        "the second answer counts.",
        f"gradients(params, x, y) changed its argument params['W1'] {place}",
    ]
    assert found.faults == observed[0].notes == faults
    assert observed[1].notes == [faults[0], faults[2]]
    np.testing.assert_array_equal(observed[0].values["logits"], LOGITS + 1)
    # A running statistic that a training step moves is a value.
    np.testing.assert_array_equal(observed[0].values["buffer/1.running_mean"], B)


def test_warnings_are_notes() -> None:
    result = CallResult(value=describe(LOGITS), warnings=["line 3: overflow"])
    (found,) = evaluation(Recorded([result, result]), "forward").evaluate([CASE])
    assert found.notes == ["forward, line 3: overflow"]


def test_answers_that_are_one() -> None:
    big = np.array([1.0, 1e6])
    assert _repeats(np.array([np.nan, 1.0]), np.array([np.nan, 1.0]))
    assert _repeats(big, big + 0.9 * SAME_ANSWER * 1e6)
    assert not _repeats(big, big + 1.1 * SAME_ANSWER * 1e6)
    assert not _repeats(np.array([np.inf]), np.array([1.0]))
    assert _repeats(big, big + 0.9 * HOMEWORK * 1e9, np.array([1e9, 1e9]))
    assert not _repeats(big, big + np.array([0.0, 1.1 * HOMEWORK * 1e9]), np.array([1e9, 1e9]))


def test_updates_in_a_row() -> None:
    steps = tuple({"0.weight": np.full((2, 3), n), "0.bias": np.full(2, n)} for n in (1.0, 2.0))
    case = replace(CASE, update_gradients=steps)

    def update(params, grads, state):
        state["n"] = state.get("n", 0) + 1
        return {k: params[k] - state["n"] * g for k, g in grads.items()}

    homework = Recorded(update=update)
    (found,) = evaluation(homework, "update").evaluate([case])
    np.testing.assert_array_equal(found.values["update/0.weight"], W - 1 - 4)
    np.testing.assert_array_equal(found.values["update/0.bias"], B - 1 - 4)
    assert [asked[:3] for asked in homework.asked] == [
        ("update", "update(params, grads, state)", {"first": first}) for first in (True, False)
    ]
    assert set(homework.asked[0][3]) == {
        "params/W1", "grads/W1", "params/0.bias", "grads/0.bias", "params/m",
    }  # fmt: skip
    np.testing.assert_array_equal(homework.asked[0][3]["grads/W1"], np.ones((3, 2)))
    np.testing.assert_array_equal(homework.asked[1][3]["params/W1"], (W - 1).T)
    good = CallResult(value=describe({"W1": W.T, "0.bias": B}))
    (broken,) = evaluation(Recorded([good, CallResult(problem="It broke.")]), "update").evaluate(
        [case]
    )
    assert broken.problem == "It broke (update 2)."
    assert evaluation(Recorded(), "update").evaluate([CASE])[0].values == {}


STEPPED = replace(CASE, steps=2)


def test_steps_in_a_row() -> None:
    def step(params, x, y, state):
        state["n"] = state.get("n", 0) + 1
        params["m"][:] = state["n"]
        x[:] = 0
        return {"W1": params["W1"] - state["n"], "0.bias": params["0.bias"]}

    homework = Recorded(step=step)
    found = evaluation(homework, "step")
    (observed,) = found.evaluate([STEPPED])
    np.testing.assert_array_equal(observed.values["step/0.weight"], W - 3)
    np.testing.assert_array_equal(observed.values["buffer/1.running_mean"], [1, 1])
    fault = (
        "step(params, x, y, state) changed its argument x in place: the next call gets something "
        "else; work on a copy."
    )
    assert observed.notes == found.faults == [fault]
    assert [asked[:3] for asked in homework.asked] == [
        ("step", "step(params, x, y, state)", {"first": first}) for first in (True, False)
    ]
    np.testing.assert_array_equal(homework.asked[1][3]["params/m"], [1, 1])
    good = CallResult(value=describe({"W1": W.T, "0.bias": B}), warnings=["line 2: w"])
    (broken,) = evaluation(Recorded([good, CallResult(problem="It broke.")]), "step").evaluate(
        [STEPPED]
    )
    assert broken.problem == "It broke (step 2)."
    assert broken.notes == ["step, line 2: w"]
    assert list(broken.values) == ["step/0.weight", "step/0.bias"]
    arrays = {"params/m": np.zeros(2), "params/W1": W.T, "params/0.bias": B, "x": X, "y": Y}
    same = CallResult(value=describe({"W1": W.T, "0.bias": B, "m": [3.0, 4.0]}),
                      changed={"y": Y, "x": X}, warnings=["w"])  # fmt: skip
    run = run_steps(Recorded([same] * 2), STEPPED, arrays, LAYOUTS, TRAINABLE, PARSER.parse_item)
    assert (run.changed, run.warnings, run.problem) == (["x", "y"], ["w"], None)
    np.testing.assert_array_equal(run.values["buffer/1.running_mean"], [3, 4])


def off(result: CallResult, names=("W1", "0.bias"), rate: float = 0.5) -> CallResult:
    """What is read off one answer of ``step``."""
    homework = StepAsGradients(Recorded([result]), rate)
    homework.names = names
    arrays = {"params/W1": W.T, "params/0.bias": B, "params/m": np.zeros(2), "x": X, "y": Y}
    return homework.request("call", arrays, description="gradients", function="gradients")


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (None, "step returned None, but expected a dict of params; is a return missing?"),
        (3.0, "step returned a value of type float, but expected a dict of params."),
        ({"W1": W, "0.bias": B}, "The array for 'W1' that step returned has the shape (2, 3), but "
                                 "expected (3, 2); it is transposed."),
        ({"W1": W[:1], "0.bias": B}, "The array for 'W1' that step returned has the shape (1, 3), "
                                     "but expected (3, 2)."),
        ({"0.bias": [1.0]}, "The array for '0.bias' that step returned has the shape (1,), but "
                            "expected (2,)."),
        ({"b": B}, "step returned no array for 'W1', '0.bias'; the keys are those of params, and "
                   "it returned 'b'."),
        ({"W1": "x"}, "step returned no array for 'W1', '0.bias'; the keys are those of params, "
                      "and it returned 'W1'."),
        ({}, "step returned no array for 'W1', '0.bias'; the keys are those of params, and it "
             "returned none."),
    ],
)  # fmt: skip
def test_what_no_gradient_can_be_read_off(returned, sentence) -> None:
    assert off(CallResult(value=describe(returned))).problem == sentence


def test_gradients_are_read_off_a_step() -> None:
    returned = {"W1": W.T - 0.5 * np.ones((3, 2)), "0.bias": (B - 0.25)[:, None], "m": np.ones(2)}
    found = off(CallResult(value=describe(returned), details={"more": 1}))
    assert (found.problem, found.details) == (None, {"more": 1, "updates": True})
    assert (found.value.kind, found.value.type_name) == ("dict", "dict")
    assert {k: (v.kind, v.type_name) for k, v in found.value.items.items()} == dict.fromkeys(
        ("W1", "0.bias", "m"), ("array", "ndarray")
    )
    np.testing.assert_array_equal(found.value.items["W1"].array, np.ones((3, 2)))
    np.testing.assert_array_equal(found.value.items["0.bias"].array, [0.5, 0.5])
    assert list(found.changed) == ["params/W1", "params/0.bias", "params/m"]
    np.testing.assert_array_equal(found.changed["params/0.bias"], B - 0.25)
    unchanged = off(CallResult(value=describe({"W1": W.T, "0.bias": B})))
    assert unchanged.changed == {}
    assert off(CallResult(value=describe({"W1": W.T})), names=("W1",)).problem is None
    assert off(CallResult(problem="It broke.")).problem == "It broke."
    # What is no number of float32 is subtracted in float64.
    tenth = off(CallResult(value=describe({"W1": W.T - 0.1, "0.bias": B})))
    np.testing.assert_array_equal(tenth.value.items["W1"].array, (W.T - (W.T - 0.1)) / 0.5)


def test_other_requests_are_the_homeworks_own() -> None:
    answer = CallResult(problem="own")
    recorded = Recorded([answer] * 3)
    homework = StepAsGradients(recorded)
    assert homework.names == ()
    assert homework.request("call", {"x": X}, description="d", function="loss") is answer
    assert homework.request("declaration", description="e") is answer
    homework.request("names_read", description="f", function="gradients", count=2)
    homework.restart()
    assert [one if isinstance(one, str) else one[:3] for one in recorded.asked] == [
        ("call", "d", {"function": "loss"}), ("declaration", "e", {}),
        ("names_read", "step(params, x, y, state)", {"function": "step", "count": 2}), "restart",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("after", "before", "fits"),
    [((2,), (2,), True), ((2, 1), (2,), True), ((1, 2), (2, 1), True), ((3,), (2,), False),
     ((2, 3), (3, 2), False), ((2, 1, 1), (2,), False), ((), (1,), True)],
)  # fmt: skip
def test_an_array_in_the_shape_that_it_had(after, before, fits) -> None:
    found = _fitted(np.zeros(after), np.zeros(before))
    assert (found is not None) is fits
    assert found is None or found.shape == before


@pytest.mark.parametrize(
    ("settings", "rate"),
    [
        ({}, 1e-3), ({"lr": 2}, 2.0), ({"lr": 0.1, "maximize": True}, -0.1),
        *(({name: 0.5}, None) for name in ("momentum", "dampening", "weight_decay", "nesterov")),
        ({"lr": 1e300}, 1e300),
    ],
)  # fmt: skip
def test_the_rate_of_a_plain_step(settings, rate) -> None:
    assert plain_rate(Assignment("n", print, optimizer="SGD", settings=settings)) == rate


@pytest.mark.parametrize("rate", [0, -1, np.inf, np.nan, True, "fast", None])
def test_rates_that_show_no_gradient(rate) -> None:
    with pytest.raises(InputError) as error:
        plain_rate(Assignment("n", print, optimizer="SGD", settings={"lr": rate}))
    assert str(error.value) == (
        f"The learning rate of a step should be a number above 0, but lr is {rate!r}."
    )


def test_sizes_of_gradients_that_are_read_off() -> None:
    single = {"gradient/0.weight": np.float32(W), "gradient/0.bias": np.float32(B)}
    sizes = {"gradient/0.weight": np.ones((2, 3)), "gradient/0.bias": np.zeros(2)}
    found = with_read_off(replace(CASE, sizes=sizes, expected32=single), -0.5)
    np.testing.assert_array_equal(found.sizes["gradient/0.weight"], 1 + STEP_CANCELLATION * W / 0.5)
    np.testing.assert_array_equal(found.sizes["gradient/0.bias"], STEP_CANCELLATION * B / 0.5)
    np.testing.assert_array_equal(found.expected32["gradient/0.weight"], W)
    assert CASE.sizes.keys() == {"gradient/0.weight"}


def test_whose_optimizer_is_not_said() -> None:
    require_optimizer("a.py", Assignment("n", print, optimizer="SGD"))
    with pytest.raises(InputError) as error:
        require_optimizer("a.py", Assignment("n", print))
    assert str(error.value) == (
        'a.py defines step but does not say which optimizer it is: write OPTIMIZER = "SGD" and '
        'SETTINGS = {"lr": 0.1} into it, or pass --optimizer and --set.'
    )
    note = "step was not checked: name its optimizer with OPTIMIZER and SETTINGS or --optimizer."
    unnamed, named = Assignment("n", print), Assignment("n", print, optimizer="SGD")
    both, alone = Contract(functions=("loss", "step")), Contract(functions=("step",))
    assert without_open_step(both, unnamed, ()) == (Contract(functions=("loss",)), [note])
    for contract, assignment, required in (
        (both, named, ()), (both, unnamed, ("step",)), (alone, unnamed, ()),
        (Contract(functions=("loss",)), unnamed, ()),
    ):  # fmt: skip
        assert without_open_step(contract, assignment, required) == (contract, [])


def test_how_steps_are_read() -> None:
    sgd = Assignment("n", print, optimizer="SGD", settings={"lr": 0.5})
    adam = Assignment("n", print, optimizer="Adam", settings={"lr": 0.5})
    case = replace(CASE, expected32={k: v.astype(np.float32) for k, v in CASE.expected.items()},
                   sizes={k: np.abs(v) for k, v in CASE.expected.items()})  # fmt: skip

    def read(*functions: str, of=sgd, steps: int = 3, ask=True):
        def steps_of(one: Case) -> Case:
            return replace(one, steps=steps)

        given = [case, case] if ask else [replace(case, steps=steps), case]
        return read_steps("homework", "a.py", Contract(functions=functions), of, given,
                          steps_of if ask else None)  # fmt: skip

    plain = read("step")
    assert plain.contract.functions == ("step", "gradients")
    assert (plain.read_off, plain.notes, plain.cases is plain.first) == (True, (), True)
    assert isinstance(plain.homework, StepAsGradients)
    assert plain.homework._rate == 0.5
    assert (plain.cases[0].sizes["gradient/0.bias"] > case.sizes["gradient/0.bias"]).all()
    assert [one.steps for one in plain.cases] == [3, 0]
    for functions in (("step", "gradients"), ("step", "loss_and_gradients"), ("gradients",)):
        found = read(*functions)
        assert (found.contract.functions, found.read_off) == (functions, False)
        assert found.homework == "homework"
    found = read("step", "forward", of=adam)
    assert (found.homework, found.read_off) == ("homework", False)
    first = read("step", of=adam)
    assert (first.read_off, first.contract.functions) == (False, ("step", "gradients"))
    assert first.homework._rate == 1.0
    ended = "with this learning rate the outputs of the network then more than double."
    assert read("step", steps=1).notes == (f"Of step 1 step was compared instead of 3: {ended}",)
    assert read("step", steps=2).notes == (
        f"Of step 2 steps in a row were compared instead of 3: {ended}",
    )
    assert read("gradients", steps=1).notes == ()
    assert read("step", ask=False).cases[0].steps == 3
    with pytest.raises(InputError) as error:
        read("step", steps=0, ask=False)
    assert str(error.value) == (
        "The golden file has no training steps, which step needs: make it again with nncompare "
        "golden, with --optimizer and --set."
    )
    for change in ({"loss_factor": 2.0}, {"weight_decay": 0.1}):
        given = [replace(case, steps=3, **change)]
        with pytest.raises(InputError) as error:
            read_steps("homework", "a.py", Contract(functions=("step",)), sgd, given, None)
        assert str(error.value) == (
            "The golden file has training steps with PyTorch's own loss alone, but a.py declares "
            "REDUCTION or WEIGHT_DECAY: check its step without --golden."
        )


EVALUATED = replace(CASE, evaluation=LOGITS + 5, expected32={"logits": LOGITS}, sizes={})


def test_forward_in_evaluation_mode() -> None:
    near, far = Observed({"logits": LOGITS + 4.9, "loss": B}), Observed({"logits": LOGITS})
    cases, notes = select_forward_mode([EVALUATED], [near])
    assert notes == [
        "forward uses the running statistics, so its logits are compared in evaluation mode; loss "
        "and gradients belong to training mode."
    ]
    assert list(near.values) == ["logits/evaluation", "loss"]
    (case,) = cases
    np.testing.assert_array_equal(case.expected["logits/evaluation"], LOGITS + 5)
    assert "logits" not in case.expected
    assert "loss" in case.expected
    np.testing.assert_array_equal(case.sizes["logits/evaluation"], np.full((4, 2), 12.0))
    single = case.expected32["logits/evaluation"]
    assert (single.dtype, case.expected32["logits"] is LOGITS) == (np.float32, True)
    np.testing.assert_array_equal(single, LOGITS + 5)
    assert select_forward_mode([EVALUATED, EVALUATED], [near, far]) == (
        [EVALUATED, EVALUATED], []
    )  # fmt: skip
    assert select_forward_mode([CASE], [far]) == ([CASE], [])
    again = Observed({"logits": LOGITS + 4.9})
    cases, _ = select_forward_mode([EVALUATED, CASE, EVALUATED], [again, far, Observed()])
    assert [next(iter(one.expected)) for one in cases] == ["logits/evaluation", "logits", "logits"]


def test_a_forward_with_statistics_of_its_own_is_left_out() -> None:
    case = replace(EVALUATED, expected={"logits": LOGITS})
    shapes = {"1.running_mean": (2,), "1.running_var": (2,), "0.weight": (2, 3)}

    def left_out(answer, layouts=(), observed=None, of=case) -> tuple[list[str], list[str]]:
        homework = Recorded(forward=answer)
        functions = FunctionEvaluation(homework, Contract(functions=("forward",)), layouts,
                                       TRAINABLE, shapes)  # fmt: skip
        values = observed or [Observed({"logits": LOGITS * 2}), Observed({"loss": B})]
        return leave_out_own_statistics(functions, [of], values), list(values[0].values)

    def by_row(params, x):
        return 2 * LOGITS[(x[:, 0] / 3).astype(int)]

    said = (
        "forward was not compared: of each row it computes the same whatever rows are beside it, "
        "so it normalises with statistics of its own. To have it compared, name the arrays that "
        'hold them in PARAMETERS ("running_mean": "1.running_mean", "running_var": '
        '"1.running_var"), or use the mean and the variance of the batch.'
    )
    assert left_out(by_row) == ([said], [])
    assert left_out(lambda p, x: 2 * LOGITS[: len(x)] + len(x)) == ([], ["logits"])
    assert left_out(lambda p, x: 1 / 0) == ([], ["logits"])
    assert left_out(lambda p, x: None) == ([], ["logits"])
    assert left_out(by_row, of=replace(case, evaluation=None)) == ([], ["logits"])
    assert left_out(by_row, observed=[Observed({"logits": LOGITS})]) == ([], ["logits"])
    assert left_out(by_row, observed=[Observed({"loss": B})]) == ([], ["loss"])
    named = [ArrayLayout("m", "1.running_mean"), ArrayLayout("v", "1.running_var")]
    assert left_out(by_row, named) == ([], ["logits"])
    (one,), _ = left_out(by_row, named[:1])
    assert '("running_var": "1.running_var")' in one


def test_a_call_that_fails_has_no_value() -> None:
    functions = evaluation(Recorded([BROKEN]), "forward")
    with pytest.raises(NoResultError, match="raised ValueError at line 3: x"):
        functions.value("forward", CASE)
