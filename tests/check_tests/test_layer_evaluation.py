"""Layer classes of a homework: what is asked of them, where it is, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from check_tests.test_function_evaluation import Recorded
from check_tests.test_layer_methods import Affine, Mse, Relu, layer

from compare.check.contract import ArrayLayout, BatchLayout, Contract, ReturnValueError
from compare.check.layer_classes import FLATTEN, USUAL_ATTRIBUTES
from compare.check.layer_evaluation import (
    LayerEvaluation,
    LayerMatch,
    _array,
    _gradient_of_logits,
    _module_range,
    match_layers,
    network_case,
)
from compare.check.return_values import CallResult, describe
from compare.check.sandbox import ProcessEndedError
from compare.mistakes.case import Case
from experiments.errors import InputError

W, B, V = np.arange(12.0).reshape(3, 4) / 5 - 1, np.arange(3.0), np.ones((2, 3))
X, Y = np.arange(20.0).reshape(5, 4) - 9, np.array([0, 1, 1, 0, 1])
LAYOUTS = [ArrayLayout("W1", "0.weight", ".T"), ArrayLayout("0.bias", "0.bias"),
           ArrayLayout("W2", "2.weight", ".T")]  # fmt: skip
TRAINABLE = frozenset(layout.key for layout in LAYOUTS)
LEAVES = [("0", "Linear"), ("1", "ReLU"), ("2", "Linear")]
Z = X @ W.T + B
H = np.maximum(Z, 0)
LOGITS = H @ V.T
DY = {"0": np.ones((5, 3)), "1": 2 * np.ones((5, 3)), "2": 3 * np.ones((5, 2))}


def case(**more) -> Case:
    """A case of layers with PyTorch's values, by their formulas."""
    given = {"chained": np.array(True), "input/0": X, "input/1": Z, "input/2": H,
             **{f"grad_output/{n}": dy for n, dy in DY.items()}}  # fmt: skip
    expected = {
        "activation/0": Z, "activation/1": H, "activation/2": LOGITS, "logits": LOGITS,
        "loss": np.array(1.0), "gradient/logits": LOGITS,
        "gradient/2.weight": DY["2"].T @ H, "gradient/2.input": DY["2"] @ V,
        "gradient/1.input": DY["1"] * (Z > 0),
        "gradient/0.weight": DY["0"].T @ X, "gradient/0.bias": DY["0"].sum(axis=0),
        "gradient/0.input": DY["0"] @ W,
    }  # fmt: skip
    return replace(
        Case({"0.weight": W, "0.bias": B, "2.weight": V}, X, Y, expected, {}, given=given), **more
    )


class Loss(Mse):
    def forward(self, x, y):
        return super().forward(x, np.eye(2)[y])


def network(params):
    return [Affine(params["W1"], params["0.bias"]), Relu(), NoBias(params["W2"])]


class NoBias(Affine):
    def __init__(self, W) -> None:
        self.W, self.b = W, 0


def with_loss(params):
    return network(params), Loss()


def evaluation(homework, leaves=LEAVES, layouts=LAYOUTS, **more) -> LayerEvaluation:
    contract = Contract(functions=("network",), **more)
    return LayerEvaluation(homework, contract, layouts, TRAINABLE, leaves)


def test_each_layer_is_asked_alone() -> None:
    homework = Recorded(network=with_loss)
    layers = evaluation(homework)
    (found,) = layers.evaluate([case()])
    assert (found.problem, found.notes, layers.faults, layers.left_out) == (None, [], [], [])
    expected = case().expected
    assert list(layers.quantities) == [
        "activation/0", "gradient/0.weight", "gradient/0.bias", "gradient/0.input",
        "activation/1", "gradient/1.input",
        "activation/2", "gradient/2.weight", "gradient/2.input",
        "loss", "gradient/logits", "logits",
    ]  # fmt: skip
    for key in set(expected) - {"loss", "gradient/logits"}:
        np.testing.assert_allclose(found.values[key], expected[key], err_msg=key)
    assert found.values["loss"] == pytest.approx(np.sum((LOGITS - np.eye(2)[Y]) ** 2) / 2)
    np.testing.assert_allclose(found.values["gradient/logits"], LOGITS - np.eye(2)[Y])
    build = ("network", "network(params)", {"flipped": [], "methods": {}, "output_layer": False})
    assert [asked[:2] for asked in homework.asked] == [
        build[:2], build[:2], ("layer", "Affine (0)"), ("layer", "Relu (1)"),
        ("layer", "NoBias (2)"), ("layer_loss", "Loss"), build[:2],
        ("chain", "all layers in a row"),
    ]  # fmt: skip
    assert homework.asked[0][2] == build[2]
    first = homework.asked[2]
    assert first[2] == {
        "index": 0, "buffers": {},
        "gradients": {
            "0.weight": list(USUAL_ATTRIBUTES["weight"]), "0.bias": list(USUAL_ATTRIBUTES["bias"])
        },
    }  # fmt: skip
    assert list(first[3]) == ["x", "dy"]
    np.testing.assert_array_equal(homework.asked[0][3]["params/W1"], W.T)
    assert homework.asked[-1][2] == {"order": [0, 1, 2], "axis": 0}


def test_where_each_quantity_is() -> None:
    homework = Recorded()
    layers = evaluation(homework)
    matches = [LayerMatch(0, ("0",)), LayerMatch(1, ("1", "2"))]
    places = [{"forward": "line 3", "backward": "line 5"}, {"forward": "", "backward": "line 9"},
              {"forward": "line 20", "backward": ""}]  # fmt: skip
    layouts = [*LAYOUTS, ArrayLayout("m", "1.running_mean")]
    layers.layouts = layouts
    told = {"classes": ["Affine", "Block"], "places": places, "loss": "Mse"}
    layers._remember_places(told, matches)
    expected = {
        "activation/0": "Affine.forward, line 3", "gradient/0.input": "Affine.backward, line 5",
        "gradient/0.weight": "Affine.backward, line 5, for 'W1'",
        "gradient/0.bias": "Affine.backward, line 5",
        "activation/2": "Block.forward", "gradient/1.input": "Block.backward, line 9",
        "gradient/2.weight": "Block.backward, line 9, for 'W2'",
        "buffer/1.running_mean": "Block.forward, for 'm'",
        "loss": "Mse.forward, line 20", "gradient/logits": "Mse.backward",
    }  # fmt: skip
    assert layers.places == expected
    layers._remember_places({**told, "classes": ["A", "B"]}, matches)
    assert layers.places == expected
    other = evaluation(homework)
    other._remember_places({**told, "loss": None}, matches)
    assert "loss" not in other.places


class Changed(Affine):
    """An Affine of which something else comes back."""

    outputs, inputs = None, None

    def forward(self, x):
        found = super().forward(x)
        return found if self.outputs is None else self.outputs

    def backward(self, dout):
        found = super().backward(dout)
        return found if self.inputs is None else self.inputs


def changed(what: str, value):
    def made(params):
        first = Changed(params["W1"], params["0.bias"])
        if what == "dW":
            first.dW, first.db = value, B
            first.backward = lambda dout: X
        elif what in ("outputs", "inputs"):
            setattr(first, what, value)
        layers = [first, Relu(), NoBias(params["W2"])]
        loss = Loss()
        if what in ("loss", "dloss"):
            loss.forward = lambda x, y: value if what == "loss" else 1.0
            loss.backward = lambda: value
        return layers, loss

    return made


@pytest.mark.parametrize(
    ("what", "value", "sentence"),
    [
        ("outputs", np.zeros((3, 5)),
         "the output of Changed (0) has the shape (3, 5), but expected (5, 3); if your batch is "
         "the columns, write BATCH_AXIS = 1."),
        ("outputs", np.array(["x"]), "forward of Changed (0) returned a value of type ndarray of "
                                     "<U1, but expected an array."),
        ("inputs", np.zeros((2, 2)), "what backward of Changed (0) returned has the shape (2, 2), "
                                     "but expected (5, 4)."),
        ("inputs", np.array(["x"]), "backward of Changed (0) returned a value of type ndarray of "
                                    "<U1, but expected an array."),
        ("dW", W, "the gradient of 'W1' (0.weight) in Changed (0) has the shape (3, 4), but "
                  "expected (4, 3); it is transposed."),
        ("dW", np.array(["x"]), "the gradient of 0.weight returned a value of type ndarray of <U1, "
                                "but expected an array."),
        ("loss", X, "forward of Loss returned an array of shape (5, 4), but expected one number, "
                    "the loss of the batch."),
        ("loss", "x", "forward of Loss returned a value of type str, but expected an array."),
        ("dloss", X, "what backward of Loss returned has the shape (5, 4), but expected (5, 2)."),
        ("dloss", "x", "backward of Loss returned a value of type str, but expected an array."),
    ],
)  # fmt: skip
def test_what_layers_may_not_give(what, value, sentence) -> None:
    (found,) = evaluation(Recorded(network=changed(what, value))).evaluate([case()])
    assert found.problem == sentence


def test_other_layers_are_asked_where_one_fails() -> None:
    homework = Recorded(network=changed("outputs", X))
    layers = evaluation(homework)
    (found,) = layers.evaluate([case()])
    assert {"activation/1", "activation/2", "gradient/2.weight"} <= set(found.values)
    assert not {"activation/0", "loss", "logits"} & set(found.values)
    assert {"loss", "logits", "gradient/0.weight"} <= set(layers.quantities)


def test_images_of_another_size_and_processes_that_end() -> None:
    problem = CallResult(problem="It broke.")
    images = case(inputs=np.zeros((5, 1, 6, 8)), other_size=True)
    first, second = evaluation(Recorded([problem, problem])).evaluate([case(), images])
    assert (first.problem, second.problem) == ("It broke.", None)
    assert second.notes == [
        "The network takes images of 6 × 8 pixels, too, and was asked with them: It broke. This "
        "does not count."
    ]
    assert second.values == {}
    ended = ProcessEndedError("It has ended.")
    found = evaluation(Recorded([ended])).evaluate([case(), case()])
    assert [one.problem for one in found] == ["It has ended."]


def test_layers_that_are_merged_are_asked_in_a_row_alone() -> None:
    class Dense(Affine):
        def forward(self, x):
            self.z = super().forward(x)
            return np.maximum(self.z, 0)

        def backward(self, dout):
            return super().backward(dout * (self.z > 0))

    def merged(params):
        return [Dense(params["W1"], params["0.bias"]), NoBias(params["W2"])]

    layers = evaluation(Recorded(network=merged))
    alone = case(given={**case().given, "chained": np.array(False)})
    first, second = layers.evaluate([alone, case()])
    assert first.values == {}
    assert "activation/1" in second.values
    assert "activation/0" not in second.values
    np.testing.assert_allclose(second.values["activation/1"], H)


def test_only_forward() -> None:
    def made(params):
        found = network(params)
        found[1].backward = None
        return found

    layers = evaluation(Recorded(network=made))
    (found,) = layers.evaluate([case()])
    assert found.problem is None
    assert "gradient/1.input" not in layers.quantities
    assert "activation/1" in layers.quantities
    assert layers.evaluate_network([functions_case()], "mse") == ([], [])
    assert layers.step(functions_case(), "mse") == ({}, False)


def functions_case(**more) -> Case:
    """A case of functions for the mean of squares."""
    targets = np.eye(2)[Y]
    d = 2 * (LOGITS - targets) / LOGITS.size
    dh = d @ V * (Z > 0)
    expected = {
        "logits": LOGITS, "loss": np.mean((LOGITS - targets) ** 2), "gradient/2.weight": d.T @ H,
        "gradient/0.weight": dh.T @ X, "gradient/0.bias": dh.sum(axis=0), "update/0.bias": B,
    }  # fmt: skip
    sizes = {key: np.abs(value) for key, value in expected.items()}
    found = Case({"0.weight": W, "0.bias": B, "2.weight": V}, X, targets, expected, sizes,
                 expected32=dict(expected), update_gradients=({},), evaluation=LOGITS)  # fmt: skip
    return replace(found, **more)


def test_the_whole_network_is_run_twice() -> None:
    homework = Recorded(network=network)
    layers = evaluation(homework)
    one = functions_case()
    again = replace(one, parameters=one.parameters, inputs=X[:3], targets=one.targets[:3],
                    expected={**one.expected, "logits": LOGITS[:3]})  # fmt: skip
    single = replace(one, inputs=X[:1])
    other = replace(one, other_size=True)
    cases, found = layers.evaluate_network([one, single, again, other], "mse")
    assert [len(c.inputs) for c in cases] == [5, 3]
    assert [f.problem for f in found] == [None, None]
    expected = network_case(one).expected
    keys = ["gradient/network/0.weight", "gradient/network/0.bias", "gradient/network/2.weight"]
    assert sorted(found[0].values) == sorted(keys)
    for key in keys:
        np.testing.assert_allclose(found[0].values[key], expected[key], err_msg=key)
    assert set(keys) == set(layers.quantities)
    assert [asked[:2] for asked in homework.asked] == [
        ("network", "network(params)"), *[("network_step", "the whole network")] * 3
    ]  # fmt: skip
    weight, bias = (list(USUAL_ATTRIBUTES[key]) for key in ("weight", "bias"))
    assert homework.asked[1][2] == {
        "order": [0, 1, 2], "axis": 0,
        "gradients": {
            "0": {"0.weight": weight, "0.bias": bias}, "1": {}, "2": {"2.weight": weight}
        },
    }  # fmt: skip
    assert list(homework.asked[1][3]) == ["x", "grad_logits"]
    np.testing.assert_allclose(
        homework.asked[1][3]["grad_logits"], 2 * (LOGITS - one.targets) / LOGITS.size
    )
    assert layers.faults == []


def test_the_whole_network_with_its_loss() -> None:
    homework = Recorded(network=with_loss)
    one = functions_case(targets=Y)
    values, has_loss = evaluation(homework).step(one, "mse")
    assert has_loss
    assert list(homework.asked[1][3]) == ["x", "y"]
    assert set(values) == {"loss", "gradient/0.weight", "gradient/0.bias", "gradient/2.weight"}
    d = LOGITS - np.eye(2)[Y]
    assert values["loss"] == pytest.approx(np.sum(d**2) / 2)
    np.testing.assert_allclose(values["gradient/2.weight"], d.T @ H)
    np.testing.assert_allclose(evaluation(homework).logits(one), LOGITS)
    without, has_loss = evaluation(Recorded(network=network)).step(functions_case(), "mse")
    assert not has_loss
    assert "loss" not in without


TWICE = (
    "A second step with the same batch gave twice the gradient of {}: it was added to that of the "
    "first. Assign it, or give the network or its layers a method zero_grad(), which is called "
    "before each step; the second answer counts."
)
OTHER = (
    "A second step with the same batch gave another {}: something is kept from step to step, or "
    "changed in place; the second answer counts."
)


@pytest.mark.parametrize(
    ("factors", "faults"),
    [
        ({"0.weight": 1}, []),
        ({"0.weight": 1 + 1e-13}, []),
        ({"0.weight": 2}, [TWICE.format("0.weight")]),
        ({"0.weight": 2, "0.bias": 1, "2.weight": 2, "2.bias": 2, "4.weight": 2},
         [TWICE.format("0.weight, 2.weight, 2.bias")]),
        ({"0.weight": 2, "2.weight": 3}, [OTHER.format("0.weight, 2.weight")]),
        ({"0.bias": 0.5}, [OTHER.format("0.bias")]),
    ],
)  # fmt: skip
def test_a_second_step_that_gives_something_else(factors, faults) -> None:
    layers = evaluation(Recorded())
    first = {f"gradient/network/{key}": np.array([1.0, 3.0]) for key in factors}
    second = {key: f * first[key] for key, f in zip(first, factors.values(), strict=True)}
    layers._compare_steps(first, second)
    layers._compare_steps(first, second)
    assert layers.faults == faults


def test_what_is_said_of_a_whole_network_that_fails() -> None:
    homework = Recorded([CallResult(problem="It broke.")])
    cases, found = evaluation(homework).evaluate_network([functions_case()] * 2, "mse")
    assert [one.problem for one in found] == ["It broke (with 5 rows)."]
    assert len(cases) == 1

    def warned(params):
        found = network(params)
        found[1].forward = lambda x: np.log(x - x) * 0 + x
        found[1].backward = lambda dy: dy
        return found

    _, (found,) = evaluation(Recorded(network=warned)).evaluate_network([functions_case()], "mse")
    assert found.notes[0].startswith("the whole network, line ")
    assert found.notes[0].endswith(": divide by zero encountered in log")


@pytest.mark.parametrize(
    ("leaves", "output_layer"),
    [([], True), (LEAVES, False), ([*LEAVES, ("3", "Softmax")], True),
     ([*LEAVES, ("3", "LogSoftmax")], True), ([*LEAVES, ("3", "Sigmoid")], True)],
)  # fmt: skip
def test_what_a_network_is_made_with(leaves, output_layer) -> None:
    told = {"names": [], "classes": ["A"] * len(leaves), "updating": True, "left_out": "Softmax"}
    answer = CallResult(details=told)
    homework = Recorded([answer, answer])
    layers = evaluation(homework, leaves=leaves, methods={"forward": "up"}, filled=True)
    layers._flipped = [3]
    layers._build(case())
    layers._build(case())
    assert homework.asked[0][:3] == (
        "network", "network()",
        {"flipped": [3], "methods": {"forward": "up"}, "output_layer": output_layer},
    )  # fmt: skip
    assert layers._updating
    assert layers.left_out == [
        "Softmax is not compared: without a loss layer nobody can say what its backward gets."
    ]


def test_layers_in_order_without_dropout_and_with_a_flatten() -> None:
    leaves = [("0", "Conv2d"), ("1", "Dropout2d"), ("2", "Flatten"), ("3", "Linear")]
    layers = evaluation(Recorded(), leaves=leaves)
    alone = [LayerMatch(0, ("0",)), LayerMatch(1, ("1",)), LayerMatch(2, ("3",))]
    assert layers._order(alone) == [0, FLATTEN, 2]
    assert [layers._is_dropout(match) for match in alone] == [False, True, False]
    with_flatten = [*alone[:2], LayerMatch(2, ("2",)), LayerMatch(3, ("3",))]
    assert layers._order(with_flatten) == [0, 2, 3]
    merged = [LayerMatch(0, ("0", "1", "2")), LayerMatch(1, ("3",))]
    assert layers._order(merged) == [0, 1]


def test_attributes_that_may_hold_an_array() -> None:
    weight, mean = ArrayLayout("W1", "0.weight"), ArrayLayout("m", "1.running_mean")
    odd = ArrayLayout("A", "0.alpha")

    def attributes(layout, layouts=LAYOUTS, **more):
        return evaluation(Recorded(), layouts=layouts, **more)._attributes(layout)

    usual = list(USUAL_ATTRIBUTES["weight"])
    assert attributes(weight) == usual
    assert attributes(mean) == ["running_mean", "moving_mean", "running_mu"]
    assert attributes(odd) == ["dA", "dalpha", "alpha"]
    for name in ("W1", "0.weight", "weight"):
        assert attributes(weight, attributes={name: "gW", "bias": "gb"}) == ["gW"]
    both = {"W1": "first", "0.weight": "second", "weight": "third"}
    assert attributes(weight, attributes=both) == ["first"]
    filled = attributes(ArrayLayout("layers[0].weights", "0.weight"), filled=True)
    assert (filled[-1], filled[0]) == ("-weights", "dweights")
    assert [name for name in filled if name in usual][-len(usual) :] == usual
    assert attributes(ArrayLayout("W1", "0.weight"), filled=True)[-1] == "-W1"
    updating = evaluation(Recorded(), attributes={"weight": "-W"})
    assert updating._updating
    assert not evaluation(Recorded(), attributes={"weight": "dW"})._updating


class Norm:
    """A layer whose argument ``flag`` says the mode, the other way round than its default."""

    def __init__(self, scale) -> None:
        self.scale = scale

    def forward(self, x, flag=True):
        return x * (100 if flag else self.scale)

    def backward(self, dy):
        return dy


@pytest.mark.parametrize(("kind", "flips"), [("BatchNorm1d", True), ("Linear", False)])
def test_what_an_argument_of_another_name_means(kind, flips) -> None:
    leaves = [("0", kind), ("1", "ReLU")]
    homework = Recorded(network=lambda params: [Norm(1), Relu()])
    layers = LayerEvaluation(homework, Contract(functions=("network",)), [], frozenset(), leaves)
    one = case()
    one.expected.update({"activation/0": Z, "activation/1": H})
    one.given["input/0"] = Z
    told, matches = layers._build(one)
    layers._choose_modes(told, matches, one)
    assert layers._flipped == ([0] if flips else [])
    asked = [(a[1], a[2]) for a in homework.asked if a[0] == "chain"]
    assert asked == ([("a layer", {"order": [0]})] * 2 if flips else [])


def test_a_case_of_the_whole_network() -> None:
    found = network_case(functions_case(weight_decay=0.1))
    keys = ["loss/network", "gradient/network/2.weight", "gradient/network/0.weight",
            "gradient/network/0.bias"]  # fmt: skip
    assert list(found.expected) == list(found.sizes) == list(found.expected32) == keys
    assert (found.update_gradients, found.evaluation, found.weight_decay) == ((), None, 0.1)
    np.testing.assert_array_equal(
        found.expected["gradient/network/0.bias"], functions_case().expected["gradient/0.bias"]
    )


def test_the_gradient_that_goes_into_a_network_without_a_loss() -> None:
    one = functions_case(loss_factor=3.0)
    d = 2 * (LOGITS - one.targets) / LOGITS.size
    np.testing.assert_allclose(_gradient_of_logits(one, "mse"), 3 * d)

    class Own:
        def criterion(self):
            loss = Mse()
            loss.__class__ = type("Called", (Mse,), {"__call__": Mse.forward})
            return loss

    np.testing.assert_allclose(_gradient_of_logits(one, Own()), 3 * (LOGITS - one.targets))


def test_no_array() -> None:
    with pytest.raises(ReturnValueError) as error:
        _array(describe(None), "forward of Relu (1)")
    assert str(error.value) == "forward of Relu (1) returned None, but expected an array."


MODULES = [("0", "Linear"), ("1", "Flatten"), ("2", "ReLU"), ("3", "Identity"), ("4", "Linear")]


@pytest.mark.parametrize(
    ("names", "classes", "modules"),
    [
        ([], ["Dense", "flat", "relu", "ident", "Dense"], "0 1 2 3 4"),
        ([], ["A", "R", "A"], "0 2 4"),
        ([], ["A", "Flat", "R", "A"], "0 1 2 4"),
        ([], ["A", "A"], "0-1-2-3 4"),
        (["4", "0-2"], ["A", "B"], "4 0-1-2"),
        (["a", "0"], ["A", "A"], "0-1-2-3 4"),
    ],
)
def test_which_modules_a_layer_stands_for(names, classes, modules) -> None:
    found = match_layers(names, classes, MODULES)
    assert " ".join("-".join(match.modules) for match in found) == modules
    assert [match.index for match in found] == list(range(len(found)))


def test_layers_that_fit_no_modules() -> None:
    with pytest.raises(InputError) as error:
        match_layers([], ["A"], MODULES)
    assert str(error.value) == (
        "network(params) made 1 layers (A), which do not fit the modules of the network (0 Linear, "
        '1 Flatten, 2 ReLU, 3 Identity, 4 Linear): return a dict such as {"0": Affine(…), "1": '
        'Relu()}, with "0-1" for a layer that does the work of both.'
    )
    modules = ["0", "1", "2"]
    assert _module_range("1", modules) == ["1"]
    assert _module_range("1-2", modules) == ["1", "2"]
    for text in ("1-7", "7-1", "x", "1-"):
        assert _module_range(text, modules) == []


def test_batches_in_columns() -> None:
    def turned(params):
        def of(one):
            return layer(type(one).__name__, forward=lambda self, x: one.forward(x.T).T,
                         backward=lambda self, dy: one.backward(dy.T).T)  # fmt: skip

        return [of(Affine(params["W1"], params["0.bias"])), of(Relu()), of(NoBias(params["W2"]))]

    homework = Recorded(network=turned)
    layers = evaluation(homework, batches=BatchLayout(axis=1, one_hot=True))
    np.testing.assert_allclose(layers.logits(functions_case(targets=Y)), LOGITS)
    assert homework.asked[1][2] == {"order": [0, 1, 2], "axis": 1}
