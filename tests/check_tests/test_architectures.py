"""Networks that were hard to ask: large, with parts inside modules, put together from lists."""

from __future__ import annotations

import types
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

import numpy_nn
from compare.check.allowed_layers import ForbiddenLayerError
from compare.check.architecture import (
    RecordedArchitecture,
    first_difference,
    load_architecture,
    most_numbers,
    record_architecture,
)
from compare.check.cases import make_cases, rows_near_kinks
from compare.check.contract import Assignment
from compare.check.reference import Reference
from experiments.architectures import covertype_dnn
from experiments.errors import InputError


def assignment(architecture, loss="cross_entropy", **more) -> Assignment:
    tree = record_architecture(architecture)
    return Assignment("net", RecordedArchitecture(tree, "net"), loss, **more)


def test_layers_of_a_sequential_are_put_into_another():
    def net(nn):
        block = nn.Sequential(nn.Linear(6, 5), nn.ReLU())
        block.append(nn.Linear(5, 4))
        return nn.Sequential(*block, nn.ReLU(), block[0])

    found = RecordedArchitecture(record_architecture(net), "net").leaves()
    assert [kind for _, kind in found] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    with pytest.raises(TypeError, match=r"nn\.Linear\(…\) has no layers to go through"):
        record_architecture(lambda nn: nn.Sequential(*nn.Linear(2, 2)))


def test_the_packages_own_that_does_so():
    recorded = load_architecture("covertype_dnn")
    import torch

    expected = [
        type(m).__name__ for m in covertype_dnn(torch.nn).modules() if not any(m.children())
    ]
    assert [kind for _, kind in recorded.leaves()] == expected


def test_parameters_inside_a_module_that_is_not_called():
    """An attention keeps its projection in a Linear whose weight it uses itself."""
    one = assignment(
        lambda nn: nn.Sequential(
            nn.TransformerEncoderLayer(8, 2, dim_feedforward=6), nn.Linear(8, 3)
        )
    )
    case = make_cases(one)[0]
    assert case.expected["gradient/0.self_attn.out_proj.weight"].shape == (8, 8)
    assert (case.sizes["gradient/0.self_attn.out_proj.weight"] > 0).all()
    again = Reference(one)  # its dropout of 0.1 is left out: nothing is random
    step = again.step(again.exact, case.parameters, case.inputs, case.targets)
    np.testing.assert_array_equal(step.calls[-1].input, case.expected["logits"])


def test_what_pytorch_cannot_run_is_one_sentence():
    def net(nn):
        return nn.Sequential(nn.Linear(8, 8), nn.LSTMCell(8, 5), nn.Linear(5, 3))

    with pytest.raises(InputError, match=r"^PyTorch cannot run net on a batch .* tuple.*\.$"):
        make_cases(assignment(net))


def test_a_forgotten_flatten_is_asked_for():
    def net(nn):
        return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Linear(256, 10))

    with pytest.raises(InputError, match=r"is nn\.Flatten\(\) missing before its first Linear\?"):
        make_cases(assignment(net))


@pytest.mark.slow
def test_a_batch_of_many_values_away_from_kinks():
    """Of a million values some are near a kink by float32's margin, whatever is drawn."""

    def net(nn):
        return nn.Sequential(nn.Linear(3, 60_000), nn.ReLU(), nn.Linear(60_000, 2))

    one = assignment(net)
    cases = make_cases(one)
    assert len(cases) == 5
    reference = Reference(one)
    step = reference.step(reference.exact, cases[2].parameters, cases[2].inputs, cases[2].targets)
    assert not rows_near_kinks(step).any()


@pytest.mark.parametrize("name", ["adam", "ADAM", "Adam"])
def test_the_optimizers_name_in_any_case(nncompare, name):
    softmax = Path(__file__).parents[1] / "planted" / "softmax.py"
    ended = nncompare("check", softmax, "--optimizer", name, "--set", "lr=0.001")
    assert ended.status == 0, ended.out + ended.err
    assert "update of 0.weight" in ended.out


def test_a_name_that_is_nearly_an_optimizers(nncompare, write):
    text = "def update(params, grads, state):\n    return params\n"
    file = write(text=f"ARCHITECTURE = 'softmax_mlp'\n{text}")
    ended = nncompare("check", file, "--optimizer", "RMSPro")
    assert ended.status == 2
    assert ended.out + ended.err == (
        "homework.py could not be checked: --optimizer RMSPro: PyTorch has no such "
        "optimizer; expected SGD, Adam, AdamW or another of torch.optim; did you mean "
        "RMSprop?\n"
    )


def test_the_first_layer_that_differs():
    """Also of layers that numpy_nn lacks, by what was written."""

    def recorded(*layers) -> RecordedArchitecture:
        tree = record_architecture(lambda nn: nn.Sequential(*(layer(nn) for layer in layers)))
        return RecordedArchitecture(tree, "net")

    def linear(nn):
        return nn.Linear(2, 3)

    def named(nn):
        return nn.Linear(in_features=2, out_features=3)

    def relu(nn):
        return nn.ReLU()

    def lacking(nn):
        return nn.CELU(0.5)

    def wider(nn):
        return nn.Linear(2, 4)

    assert first_difference(recorded(linear, relu), recorded(named, relu)) is None
    for more in ((), (lacking,)):
        assert first_difference(recorded(*more, linear), recorded(*more, linear)) is None
        found = first_difference(recorded(*more, linear, relu), recorded(*more, linear))
        assert found is not None
        assert "ReLU" in found[0]
        assert found[1] == "nothing"
        found = first_difference(recorded(*more, linear), recorded(*more, linear, relu))
        assert found is not None
        assert found[0] == "nothing"
        found = first_difference(recorded(*more, linear, relu), recorded(*more, wider, lacking))
        assert found is not None
        assert ["3" in found[0], "4" in found[1]] == [True, True]
    assert first_difference(recorded(lacking, linear), recorded(lacking, named)) is not None


def recorded(make) -> RecordedArchitecture:
    return RecordedArchitecture(record_architecture(make), "net")


def test_a_recording_has_every_argument() -> None:
    def net(nn):
        block = nn.Sequential(nn.Linear(3, np.int64(4), bias=False), nn.ReLU())
        whole = nn.Sequential(*block, nn.Unflatten(1, (2, 2)))
        whole.append(nn.Dropout(p=0.25)).add_module(
            "last", nn.Linear(in_features=4, out_features=2)
        )
        assert (len(block), block[0] is whole[0]) == (2, True)
        return whole

    assert record_architecture(net) == {
        "make": "Sequential",
        "args": [
            {"make": "Linear", "args": [3, 4], "kwargs": {"bias": False}},
            {"make": "ReLU", "args": [], "kwargs": {}},
            {"make": "Unflatten", "args": [1, [2, 2]], "kwargs": {}},
        ],
        "kwargs": {},
        "then": [
            ["append", [{"make": "Dropout", "args": [], "kwargs": {"p": 0.25}}], {}],
            ["add_module", ["last", {"make": "Linear", "args": [],
                                     "kwargs": {"in_features": 4, "out_features": 2}}], {}],
        ],
    }  # fmt: skip
    found = recorded(net)
    assert found.leaves() == [
        ("0", "Linear"), ("1", "ReLU"), ("2", "Unflatten"), ("3", "Dropout"), ("last", "Linear"),
    ]  # fmt: skip
    assert found.descriptions() == [
        "layer 0, Linear(3, 4, bias=False)", "layer 1, ReLU()", "layer 2, Unflatten(1, [2, 2])",
        "layer 3, Dropout(p=0.25)", "layer last, Linear(in_features=4, out_features=2)",
    ]  # fmt: skip
    assert found.dropout_probabilities() == {"3": 0.25}
    assert (found.outputs(), found.__name__) == (2, "net")
    built = found(torch.nn)
    assert [type(one).__name__ for one in built] == [
        "Linear", "ReLU", "Unflatten", "Identity", "Linear",
    ]  # fmt: skip
    assert built[0].bias is None
    assert dict(built.named_children()).keys() == {"0", "1", "2", "3", "last"}


def test_layers_by_name() -> None:
    def net(nn):
        inner = nn.Sequential(OrderedDict(a=nn.Linear(3, 2), b=nn.Dropout(0.5)))
        return nn.Sequential(OrderedDict(first=inner, second=nn.Dropout2d()))

    found = recorded(net)
    assert found.leaves() == [
        ("first.a", "Linear"), ("first.b", "Dropout"), ("second", "Dropout2d")
    ]  # fmt: skip
    assert found.dropout_probabilities() == {"first.b": 0.5}
    assert list(dict(found(torch.nn).named_children())) == ["first", "second"]


@pytest.mark.parametrize(
    ("make", "outputs"),
    [
        (lambda nn: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.ReLU()), 2),
        (lambda nn: nn.Linear(3, out_features=5), 5),
        (lambda nn: nn.Linear(3, "x"), 1),
        (lambda nn: nn.Sequential(nn.ReLU()), 1),
        (lambda nn: nn.Linear(3, -4), 1),
        (lambda nn: nn.Linear(3, 0), 1),
    ],
)
def test_how_many_outputs_there_are(make, outputs) -> None:
    assert recorded(make).outputs() == outputs


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda nn: 3, TypeError, "expected a network such as nn.Sequential(…), but got 3"),
        (lambda nn: "x" * 80, TypeError,
         f"expected a network such as nn.Sequential(…), but got '{'x' * 56}…"),
        (lambda nn: nn.Linear({1, 2}), TypeError, "{1, 2} cannot be an argument of a layer here"),
        (lambda nn: types.new_class("Net", (nn.Module,)), TypeError,
         "architecture(nn) may only put together layers of nn, such as "
         "nn.Sequential(nn.Linear(20, 10)), and define no class of nn.Module"),
        (lambda nn: nn.functional.relu, ForbiddenLayerError,
         "nn.functional.relu is no layer: a network may be made of layers of torch.nn alone"),
        (lambda nn: iter(nn.ReLU()), TypeError, "nn.ReLU(…) has no layers to go through"),
        (lambda nn: len(nn.Sequential(3)), TypeError,
         "nn.Sequential(…) has no layers to go through"),
        (lambda nn: nn.ReLU()._private, AttributeError, "_private"),
        (lambda nn: nn._private, AttributeError, "_private"),
        (lambda nn: nn.Linear._private, AttributeError, "_private"),
    ],
)  # fmt: skip
def test_what_cannot_be_recorded(make, error, sentence) -> None:
    with pytest.raises(error) as raised:
        record_architecture(make)
    assert str(raised.value) == sentence


def test_a_flatten_of_channels_last() -> None:
    def net(nn):
        return nn.Sequential(nn.Flatten(), nn.Sequential(nn.Flatten(1)), nn.ReLU())

    found = recorded(net).with_channels_last()
    assert [kind for _, kind in found.leaves()][1:] == ["Flatten", "ReLU"]
    assert found.__name__ == "net"
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    expected = x.transpose(0, 2, 3, 1).reshape(2, -1)
    for namespace in (torch.nn, numpy_nn):
        flatten = next(iter(found(namespace).children()))
        given = torch.tensor(x) if namespace is torch.nn else x
        np.testing.assert_array_equal(np.asarray(flatten(given)), expected)
        rows = torch.tensor(x[:, :, 0, 0]) if namespace is torch.nn else x[:, :, 0, 0]
        np.testing.assert_array_equal(np.asarray(flatten(rows)), x[:, :, 0, 0])
    flatten(x)
    np.testing.assert_array_equal(flatten.backward(expected), x)
    flatten(x[:, :, 0, 0])
    np.testing.assert_array_equal(flatten.backward(x[:, :, 0, 0]), x[:, :, 0, 0])


@pytest.mark.parametrize(
    ("one", "other", "difference"),
    [
        (lambda nn: nn.Linear(2, 3), lambda nn: nn.Linear(in_features=2, out_features=3), None),
        (lambda nn: nn.Sequential(nn.Linear(2, 3)), lambda nn: nn.Sequential(nn.Linear(2, 4)),
         ("layer 0, Linear(in_features=2, out_features=3, bias=True)",
          "layer 0, Linear(in_features=2, out_features=4, bias=True)")),
        (lambda nn: nn.Sequential(nn.ReLU()), lambda nn: nn.Sequential(nn.ReLU(), nn.ReLU()),
         ("nothing", "layer 1, ReLU()")),
        (lambda nn: nn.Sequential(nn.Dropout(0.5)), lambda nn: nn.Sequential(nn.Dropout(p=0.25)),
         ("layer 0, Dropout(p=0.5)", "layer 0, Dropout(p=0.25)")),
        (lambda nn: nn.Sequential(nn.Mish()), lambda nn: nn.Sequential(nn.Mish(inplace=True)),
         ("layer 0, Mish()", "layer 0, Mish(inplace=True)")),
        (lambda nn: nn.Sequential(nn.Linear(10**6, 10**6)),
         lambda nn: nn.Sequential(nn.Linear(10**6, in_features=10**6)),
         ("layer 0, Linear(1000000, 1000000)", "layer 0, Linear(1000000, in_features=1000000)")),
    ],
)  # fmt: skip
def test_where_two_networks_differ_first(one, other, difference) -> None:
    assert first_difference(recorded(one), recorded(other)) == difference


@pytest.mark.parametrize(
    ("make", "numbers"),
    [
        (lambda nn: nn.ReLU(), 8),
        (lambda nn: nn.Linear(3, 4), 96),
        (lambda nn: nn.Linear(3, out_features=4), 96),
        (lambda nn: nn.Conv2d(2, 3, (4, 5), padding=1), 960),
        (lambda nn: nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 5)), 200),
        (lambda nn: nn.Sequential(OrderedDict(a=nn.Linear(3, -4))), 96),
        (lambda nn: nn.Dropout(0.5), 8),
    ],
)
def test_how_many_numbers_a_layer_may_have(make, numbers) -> None:
    assert most_numbers(record_architecture(make)) == numbers
