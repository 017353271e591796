"""Architectures by name and from a person's own file; what cannot be built is named."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest

import numpy_nn
import torch_nn
from compare.spec.architecture import architecture_names, find_architecture
from compare.spec.model import ModelSpec, model_spec
from compare.training.run import sources_of
from experiments import architectures
from experiments.architectures import softmax_mlp
from experiments.errors import InputError

OWN = """
    def net(nn, width=8):
        "A small net."
        return nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, 10))
"""


@pytest.fixture
def own(tmp_path):
    """Write a person's file and name a function of it."""

    def write(text: str, function: str = "net") -> str:
        (tmp_path / "mynet.py").write_text(textwrap.dedent(text))
        return f"mynet.py:{function}"

    return write


def refusal(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names():
    assert architecture_names()[:2] == ["bn_mlp", "softmax_mlp"]
    for name in architecture_names():
        assert find_architecture(name) is getattr(architectures, name)


def test_unknown_name():
    message = refusal(find_architecture, "bn_mpl")
    assert message.startswith("There is no architecture 'bn_mpl': expected one of bn_mlp, ")
    assert message.endswith("or FILE.py:FUNCTION.")


@pytest.mark.parametrize("name", ["pairwise", "Any", "annotations", "__name__"])
def test_not_everything_in_the_module_is_an_architecture(name):
    assert "There is no architecture" in refusal(find_architecture, name)


def test_both_sides_of_a_blueprint(tiny):
    spec = model_spec(tiny(), "Adam")
    for nn in (numpy_nn, torch_nn):
        nn.manual_seed(0)
        model = spec.model(nn)
        assert isinstance(model, nn.Module)
        assert type(spec.criterion(nn)).__name__ == "CrossEntropyLoss"
        optimizer = spec.optimizer(nn, model)
        assert isinstance(optimizer, nn.optim.Adam)
        assert optimizer.param_groups[0]["eps"] == 1e-8
        assert "algorithm" not in optimizer.param_groups[0]


def test_settings_of_each_label(tiny):
    form = tiny("optimizers.SGD.momentum=0.5")
    assert model_spec(form, "SGD").settings["momentum"] == 0.5
    assert model_spec(form, "Adam").algorithm == "Adam"


def test_arguments_that_do_not_fit(tiny):
    message = refusal(model_spec, tiny("model.arguments.width=3"), "SGD")
    assert "model.arguments do not fit the architecture 'bn_mlp'" in message
    assert "unexpected keyword argument 'width'" in message
    assert "negative_slope" in message  # what it takes
    assert "do not fit" in refusal(model_spec, tiny("model.arguments.nn=3"), "SGD")


def test_own_file(own, tmp_path, tiny):
    name = own(OWN)
    form = tiny(f"model.architecture={name}", "model.arguments={width=5}")
    spec = model_spec(form, "SGD", tmp_path)
    assert spec.model(numpy_nn).state_dict()["0.weight"].shape == (5, 784)
    assert spec.model(torch_nn).state_dict()["0.weight"].shape == (5, 784)
    source = sources_of([spec])["mynet.py, net"]
    assert source.startswith("def net(nn, width=8):")
    assert str(tmp_path) not in "".join(sources_of([spec]))


def test_own_file_that_imports_one_beside_it(own, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "my_widths_beside.py").write_text("WIDTH = 7\n")
    name = own("""
        from my_widths_beside import WIDTH

        def net(nn):
            return nn.Linear(3, WIDTH)
    """)
    model = ModelSpec(find_architecture(name, tmp_path)).model(numpy_nn)
    assert model.state_dict()["weight"].shape == (7, 3)


def test_own_file_by_its_whole_path(own, tmp_path):
    own(OWN)
    assert find_architecture(f"{tmp_path / 'mynet.py'}:net").__name__ == "net"


def test_own_file_with_dataclass_and_class(own, tmp_path):
    """A dataclass looks for its module among the imported ones."""
    name = own(
        """
        from __future__ import annotations
        from dataclasses import dataclass

        @dataclass
        class Net:
            nn: object

            def __new__(cls, nn):
                return nn.Sequential(nn.Linear(784, 10))
        """,
        "Net",
    )
    spec = ModelSpec(find_architecture(name, tmp_path))
    assert isinstance(spec.model(numpy_nn), numpy_nn.Module)
    assert "class Net" in sources_of([spec])["mynet.py, Net"]


def test_own_callable_without_source(own, tmp_path):
    name = own(
        OWN.replace("net(", "make(")
        + "\n    import functools\n    net = functools.partial(make, width=3)\n"
    )
    spec = ModelSpec(find_architecture(name, tmp_path))
    assert spec.model(numpy_nn).state_dict()["0.weight"].shape == (3, 784)
    assert sources_of([spec])["architecture"] == "a partial, without source code"


def test_the_module_of_the_file_replaces_no_other(own, tmp_path):
    (tmp_path / "json.py").write_text(textwrap.dedent(OWN))
    find_architecture("json.py:net", tmp_path)
    import json

    assert json.loads("1") == 1


@pytest.mark.parametrize("name", ["no.py:net", ":net", "no:net", "../no.py:net", "x.txt:net"])
def test_no_such_file(name, tmp_path):
    assert "there is no Python file" in refusal(find_architecture, name, tmp_path)


@pytest.mark.parametrize("function", ["other", "", "WIDTH", "net.x"])
def test_no_such_function(own, tmp_path, function):
    name = own("WIDTH = 3\n" + textwrap.dedent(OWN), function)
    assert f"mynet.py defines no {function}()." in refusal(find_architecture, name, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('boom')", "could not be run: RuntimeError: boom."),
        ("def net(nn:", "could not be run: SyntaxError: "),
        ("import no_such_module_at_all", "could not be run: ModuleNotFoundError: "),
        ("import sys; sys.exit(3)", "could not be run: SystemExit: 3."),
    ],
)
def test_a_file_that_raises(own, tmp_path, text, message):
    assert message in refusal(find_architecture, own(text), tmp_path)


def built(own, tmp_path, text: str, nn=numpy_nn) -> str:
    spec = ModelSpec(find_architecture(own(text), tmp_path))
    return refusal(spec.model, nn)


def test_a_function_that_raises_names_its_own_line(own, tmp_path):
    message = built(own, tmp_path, "\n\ndef net(nn):\n    nn.Linear(3, 4)\n    return 1 / 0\n")
    assert message == (
        "The architecture net could not be built from numpy_nn (line 5 of mynet.py) with the "
        "arguments {}: ZeroDivisionError: division by zero."
    )


def test_what_numpy_nn_has_not_is_named(own, tmp_path):
    message = built(own, tmp_path, "def net(nn):\n    return nn.Sequential(nn.Bilinear(1, 2, 3))\n")
    assert "could not be built from numpy_nn (line 2 of mynet.py)" in message
    assert "numpy_nn has no 'Bilinear'" in message


@pytest.mark.parametrize("nn", [numpy_nn, torch_nn])
@pytest.mark.parametrize("what", ["None", "3", "[nn.Linear(1, 2)]", "nn.Linear"])
def test_a_function_that_returns_no_network(own, tmp_path, what, nn):
    message = built(own, tmp_path, f"def net(nn):\n    return {what}\n", nn)
    assert f"not a network made of {nn.__name__}." in message


def test_arguments_that_the_function_cannot_use():
    message = refusal(ModelSpec(architectures.bn_mlp, {"sizes": [784]}).model, numpy_nn)
    assert "IndexError: list index out of range" in message
    assert "of architectures.py) with the arguments {'sizes': [784]}" in message


@pytest.mark.parametrize("nn", [numpy_nn, torch_nn])
def test_settings_that_contradict_each_other(tiny, nn):
    spec = model_spec(tiny("optimizers.SGD.nesterov=true"), "SGD")
    message = refusal(spec.optimizer, nn, spec.model(nn))
    assert "The optimizer SGD could not be made with" in message
    assert "Nesterov momentum requires a momentum and zero dampening." in message


@pytest.mark.parametrize("nn", [numpy_nn, torch_nn])
def test_a_network_without_parameters(nn):
    spec = ModelSpec(lambda nn: nn.Sequential(nn.ReLU()), settings={"lr": 1.0})
    assert "The optimizer SGD could not be made" in refusal(spec.optimizer, nn, spec.model(nn))


def test_sources_are_those_of_the_files(tiny):
    experiment = tiny()
    sources = sources_of([model_spec(experiment, label) for label in ("SGD", "Adam")])
    assert list(sources) == [
        "architectures.py, bn_mlp",
        "numpy_nn/modules/batchnorm.py",
        "numpy_nn/optim/sgd.py",
        "numpy_nn/optim/adam.py",
    ]
    assert "class BatchNorm1d" in sources["numpy_nn/modules/batchnorm.py"]
    assert "class Adam" in sources["numpy_nn/optim/adam.py"]
    assert sources["architectures.py, bn_mlp"].startswith("def bn_mlp(")


def test_without_normalisation_the_affine_layer_is_shown():
    sources = sources_of([ModelSpec(softmax_mlp, settings={"lr": 1.0})])
    assert list(sources)[1:] == ["numpy_nn/modules/linear.py", "numpy_nn/optim/sgd.py"]


def test_the_same_network_on_both_sides(tiny):
    spec = model_spec(tiny(), "SGD")
    weights = []
    for nn in (numpy_nn, torch_nn):
        nn.manual_seed(3)
        weights.append({k: np.asarray(v) for k, v in spec.model(nn).state_dict().items()})
    assert list(weights[0]) == list(weights[1])
    for key, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][key])
