"""What a homework may declare, and how its arrays follow from PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from compare.check.contract import (
    ArrayLayout,
    Assignment,
    BatchLayout,
    Contract,
    ReturnValueError,
    array_layouts,
    read_contract,
)
from experiments.errors import InputError

EVERYTHING = {
    "ARCHITECTURE": "softmax_mlp",
    "LOSS": "mse",
    "REDUCTION": "sum",
    "WEIGHT_DECAY": 1,
    "PARAMETERS": {"W": "0.weight"},
    "BATCH_AXIS": 1,
    "ONE_HOT": True,
    "ATTRIBUTES": {"weight": "dW"},
    "METHODS": {"forward": "fprop"},
    "CHANNELS_LAST": True,
    "ONE_SAMPLE": True,
    "OPTIMIZER": "Adam",
    "SETTINGS": {"lr": 0.1, "betas": [0.9, 0.99]},
}


def test_everything_that_may_be_declared() -> None:
    found = read_contract("a.py", EVERYTHING, ["forward", "update"], filled=True)
    assert found == Contract(
        architecture="softmax_mlp",
        loss="mse",
        parameters={"W": "0.weight"},
        batches=BatchLayout(axis=1, one_hot=True, channels_last=True, one_sample=True),
        attributes={"weight": "dW"},
        methods={"forward": "fprop"},
        filled=True,
        functions=("forward", "update"),
        reduction="sum",
        weight_decay=1.0,
        optimizer="Adam",
        settings={"lr": 0.1, "betas": [0.9, 0.99]},
    )
    assert isinstance(found.weight_decay, float)
    step = read_contract("a.py", EVERYTHING, ["step"])
    assert (step.optimizer, step.filled) == ("Adam", False)
    # An optimizer belongs to an update or a step alone, whatever is declared of one.
    nothing = read_contract("a.py", {"OPTIMIZER": 3}, ["forward"])
    assert nothing == Contract(functions=("forward",))
    assert (nothing.optimizer, nothing.settings, nothing.loss) == (None, {}, None)


def test_the_functions_that_there_are() -> None:
    assert not Contract(functions=("network",)).has_functions
    for name in ("forward", "loss", "gradients", "loss_and_gradients", "update", "step"):
        contract = read_contract("a.py", {}, [name])
        assert contract.has_functions
        assert contract.has(name)
    assert read_contract("a.py", {}, ["network"]).functions == ("network",)
    assert not contract.has("forward")


NOTHING = (
    "a.py defines nothing that can be checked: expected one or more of forward(params, x), "
    "loss(params, x, y), gradients(params, x, y), loss_and_gradients(params, x, y), "
    "update(params, grads, state), step(params, x, y, state), network(params)."
)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("BATCH_AXIS", 2, "a.py: BATCH_AXIS should be 0 or 1, but is 2."),
        ("BATCH_AXIS", {"not_json": "<x>"}, "a.py: BATCH_AXIS should be 0 or 1, but is <x>."),
        ("ONE_HOT", "yes", "a.py: ONE_HOT should be False or True, but is 'yes'."),
        ("CHANNELS_LAST", 3, "a.py: CHANNELS_LAST should be False or True, but is 3."),
        ("ONE_SAMPLE", [], "a.py: ONE_SAMPLE should be False or True, but is []."),
        ("PARAMETERS", 3, 'a.py: PARAMETERS should be a dict such as {"W1": "0.weight.T", "b1": '
                          '"0.bias"}, but is 3.'),
        ("PARAMETERS", {"W": 1}, 'a.py: PARAMETERS should be a dict such as {"W1": "0.weight.T", '
                                 '"b1": "0.bias"}, but is {\'W\': 1}.'),
        ("ATTRIBUTES", "dW", 'a.py: ATTRIBUTES should be a dict such as {"weight": "dW", "bias": '
                             '"db"}, but is \'dW\'.'),
        ("METHODS", 1, 'a.py: METHODS should be a dict such as {"forward": "fprop", "backward": '
                       '"bprop"}, but is 1.'),
        ("METHODS", {"backward": "b", "step": "s"},
         "a.py: METHODS may have the keys 'forward' and 'backward', but has 'step'."),
        ("ARCHITECTURE", {"not_json": "Sequential()"},
         'a.py: ARCHITECTURE should be a name such as "softmax_mlp", but is Sequential(); a '
         "network itself is a function architecture(nn)."),
        ("ARCHITECTURE", 3,
         'a.py: ARCHITECTURE should be a name such as "softmax_mlp", but is 3; a network itself is '
         "a function architecture(nn)."),
        ("ARCHITECTURE", "net:net",
         "a.py: ARCHITECTURE = 'net:net' names a file, which only --architecture and a course's "
         "file may do; write the name of a network, or a function architecture(nn)."),
        ("ARCHITECTURE", "net.py",
         "a.py: ARCHITECTURE = 'net.py' names a file, which only --architecture and a course's "
         "file may do; write the name of a network, or a function architecture(nn)."),
        ("LOSS", "my.py:f",
         "a.py: LOSS = 'my.py:f' names a file, which only --loss and a course's file may do; a "
         "homework's is one of cross_entropy, mse, bce, bce_with_logits."),
        ("LOSS", "hinge", "a.py: LOSS should be 'cross_entropy' or 'mse' or 'bce' or "
                          "'bce_with_logits', but is 'hinge'."),
        ("LOSS", 3, "a.py: LOSS should be 'cross_entropy' or 'mse' or 'bce' or 'bce_with_logits', "
                    "but is 3."),
        ("REDUCTION", "total", "a.py: REDUCTION should be 'mean' or 'rows' or 'sum' or 'half mean' "
                               "or 'half rows' or 'half sum', but is 'total'."),
        *(
            ("WEIGHT_DECAY", value,
             "a.py: WEIGHT_DECAY should be a number such as 0.01, the λ of ½ λ ΣW² in the loss, "
             f"but is {words}.")
            for value, words in ((-1, "-1"), (True, "True"), ("l2", "'l2'"), (np.inf, "inf"))
        ),
        ("OPTIMIZER", 3, 'a.py: OPTIMIZER should be a name such as "SGD", but is 3.'),
        ("SETTINGS", 3, 'a.py: SETTINGS should be a dict such as {"lr": 0.1}, but is 3.'),
        ("SETTINGS", {"not_json": "a set"},
         'a.py: SETTINGS should be a dict such as {"lr": 0.1}, but is a set.'),
        ("SETTINGS", {"lr": 0.1},
         'a.py: SETTINGS are those of an optimizer: write OPTIMIZER = "SGD" beside it.'),
    ],
)  # fmt: skip
def test_what_may_not_be_declared(name, value, sentence) -> None:
    with pytest.raises(InputError) as error:
        read_contract("a.py", {name: value}, ["forward", "update"])
    assert str(error.value) == sentence


def test_more_that_may_not_be_declared() -> None:
    with pytest.raises(InputError) as error:
        read_contract("a.py", {}, ["architecture"])
    assert str(error.value) == NOTHING
    settings = {"OPTIMIZER": "SGD", "SETTINGS": {"lr": 0.1, "by": {"not_json": "<print>"}}}
    with pytest.raises(InputError) as error:
        read_contract("a.py", settings, ["step"])
    assert str(error.value) == "a.py: SETTINGS['by'] should be a number, but is <print>."


ARRAYS = {"0.weight": np.zeros((3, 2)), "0.bias": np.zeros(3), "1.running_mean": np.zeros(3)}


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"W": "0.wight"},
         "a.py: PARAMETERS['W'] is '0.wight', but the network has only 0.weight, 0.bias, "
         "1.running_mean; did you mean '0.weight'?"),
        ({"W": "xyz.T"},
         "a.py: PARAMETERS['W'] is 'xyz.T', but the network has only 0.weight, 0.bias, "
         "1.running_mean."),
        ({"W": "0.weight.T", "V": "0.weight"},
         "a.py: PARAMETERS names 0.weight twice: 'W' and 'V'."),
        ({"W": "0.weight.reshape(4, 2)"},
         "a.py: PARAMETERS['W'] is '0.weight.reshape(4, 2)', but 0.weight has the shape (3, 2): "
         "cannot reshape array of size 6 into shape (4,2)."),
        ({"m": "1.running_mean"},
         "a.py: PARAMETERS has no entry for 0.weight, 0.bias: every parameter of the network needs "
         "a name of yours."),
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit(parameters, sentence) -> None:
    with pytest.raises(InputError) as error:
        array_layouts("a.py", parameters, ARRAYS, ("0.weight", "0.bias"))
    assert str(error.value) == sentence


def test_layouts_of_parameters() -> None:
    assert array_layouts("a.py", None, ARRAYS, ("0.weight",)) == [
        ArrayLayout(key, key, "") for key in ARRAYS
    ]
    named = {"b": "0.bias[None,:]", "W": "0.weight.T "}
    assert array_layouts("a.py", named, ARRAYS, iter(("0.weight", "0.bias"))) == [
        ArrayLayout("b", "0.bias", "[None, :]"), ArrayLayout("W", "0.weight", ".T"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "form"),
    [
        ("0.weight", "0.weight", ""),
        ("0.weight.T", "0.weight", ".T"),
        ("0.weight.Tx", "0.weight.Tx", ""),
        ("0.bias[ : ,None ]", "0.bias", "[:, None]"),
        ("0.bias[None,:].T", "0.bias", "[None, :].T"),
        ("k.transpose(2,3 , 1,0).reshape( 8,-1 )", "k", ".transpose(2, 3, 1, 0).reshape(8, -1)"),
        ("k.transpose(1, 0,)", "k", ".transpose(1, 0,)"),
    ],
)
def test_an_entry_of_parameters(text, key, form) -> None:
    assert ArrayLayout.parse("W", f" {text}") == ArrayLayout("W", key, form)


K = np.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("form", "array", "expected"),
    [
        ("", K, K),
        (".T", K, K.T),
        (".transpose(2, 0, 1)", K, np.transpose(K, (2, 0, 1))),
        (".transpose(1, 0, 2).reshape(3, -1)", K, np.swapaxes(K, 0, 1).reshape(3, 8)),
        ("[:, None]", K[0, 0], K[0, 0].reshape(4, 1)),
        ("[None, :]", K[0, 0], K[0, 0].reshape(1, 4)),
        (".reshape(-1, 6).T", K, K.reshape(4, 6).T),
    ],
)
def test_an_array_in_the_form_of_a_homework_and_back(form, array, expected) -> None:
    layout = ArrayLayout("W", "0.weight", form)
    there = layout.to_homework(array)
    np.testing.assert_array_equal(there, expected)
    assert there.flags.c_contiguous
    assert not np.shares_memory(there, array)
    back = layout.from_homework(there, array.shape, "W")
    np.testing.assert_array_equal(back, array)
    assert back.dtype == np.float64


@pytest.mark.parametrize(
    ("form", "returned", "shape", "sentence"),
    [
        ("", (2, 3), (3, 2), "W has the shape (2, 3), but expected (3, 2); it is transposed."),
        (".T", (3, 2), (3, 2), "W has the shape (3, 2), but expected (2, 3); it is transposed."),
        ("", (2, 2), (3, 2), "W has the shape (2, 2), but expected (3, 2)."),
        ("", (4, 3, 2), (2, 3, 4), "W has the shape (4, 3, 2), but expected (2, 3, 4)."),
        ("", (4,), (3,), "W has the shape (4,), but expected (3,)."),
        ("[:, None]", (2,), (3,), "W has the shape (2,), but expected (3, 1)."),
        ("", (1,), (3,), "W has the shape (1,), but expected (3,)."),
    ],
)  # fmt: skip
def test_an_array_of_another_shape(form, returned, shape, sentence) -> None:
    with pytest.raises(ReturnValueError) as error:
        ArrayLayout("W", "k", form).from_homework(np.zeros(returned), shape, "W")
    assert str(error.value) == sentence


def test_a_bias_in_several_shapes() -> None:
    layout = ArrayLayout("b", "0.bias", "[:, None]")
    for shape in ((3,), (3, 1), (1, 3)):
        back = layout.from_homework(np.arange(3).reshape(shape), (3,), "b")
        np.testing.assert_array_equal(back, [0, 1, 2])
    np.testing.assert_array_equal(layout.from_homework(7, (3,), "b", broadcast=True), [7, 7, 7])
    np.testing.assert_array_equal(layout.from_homework([[7]], (3,), "b", broadcast=True), [7] * 3)
    scalar = ArrayLayout("s", "s").from_homework([[2.5]], (), "s")
    assert (scalar.shape, float(scalar)) == ((), 2.5)


def test_the_loss_that_batches_are_drawn_for() -> None:
    assert Assignment("net", print, "mse").drawn_like == "mse"
    assert Assignment("net", print).loss == "cross_entropy"
