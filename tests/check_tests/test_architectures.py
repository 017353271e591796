"""Networks that were hard to ask: large, with parts inside modules, put together from lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compare.check.architecture import (
    RecordedArchitecture,
    first_difference,
    load_architecture,
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
