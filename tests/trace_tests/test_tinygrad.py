"""The same networks in tinygrad and in torch: they agree, and mistakes are found."""

from __future__ import annotations

import pytest
from planted.framework_networks import (
    blamed,
    images,
    rows,
    torch_cnn,
    torch_mlp,
    torch_trace,
    weights_of,
)

from experiments.errors import InputError

tinygrad = pytest.importorskip(
    "tinygrad", reason='tinygrad is not installed: pip install "nncompare[tinygrad]"'
)
from tinygrad import Tensor, nn  # noqa: E402
from tinygrad.helpers import Context  # noqa: E402

from compare.trace.tinygrad_models import METHODS, record_tinygrad  # noqa: E402


@pytest.fixture(autouse=True)
def in_python():
    """Its own interpreter of kernels, which needs no compiler."""
    with Context(DEV="PYTHON"):
        yield


class MLP:
    """Its activation is a method that is called in its own code."""

    def __init__(self, eps=1e-5, slope=0.1):
        self.fc1, self.norm, self.fc2 = nn.Linear(6, 6), nn.BatchNorm(6, eps=eps), nn.Linear(6, 4)
        self.slope = slope

    def __call__(self, x):
        return self.fc2(self.norm(self.fc1(x)).leaky_relu(self.slope))


class CNN:
    """A list of layers and functions."""

    def __init__(self, padding=1, flat=lambda x: x.flatten(1)):
        self.conv1 = nn.Conv2d(1, 4, 3, stride=2, padding=padding)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.layers = [self.conv1, Tensor.relu, self.conv2, Tensor.max_pool2d, flat]
        self.fc = nn.Linear(16, 5)

    def __call__(self, x):
        return self.fc(x.sequential(self.layers))


def load(model, reference):
    state = nn.state.get_state_dict(model)
    for name, value in weights_of(reference).items():
        if name in state:
            state[name].assign(Tensor(value)).realize()
    return model


def mean_square(y):
    return (y * y).mean()


def both(tmp_path, model, reference, x, training=True):
    a = torch_trace(tmp_path / "torch.trace", reference(), x, training=training)
    b = tmp_path / "tinygrad.trace"
    with Context(TRAINING=int(training)):
        record_tinygrad(
            b, load(model, reference()), Tensor(x), loss=mean_square if training else None
        )
    return a, b


CASES = [(MLP, torch_mlp, rows()), (CNN, torch_cnn, images())]


@pytest.mark.parametrize(("model", "reference", "x"), CASES)
@pytest.mark.parametrize("training", [pytest.param(True, marks=pytest.mark.slow), False])
def test_right_networks_agree(model, reference, x, training, tmp_path):
    a, b = both(tmp_path, model(), reference, x, training)
    names, record = blamed(a, b)
    assert names == []
    assert record.status == 0
    directions = [site.direction for site in record.sites]
    layers = len(reference())
    assert directions.count("forward") == layers
    if training:
        assert directions.count("backward") == layers - 1
        assert directions.count("parameters") == 3
    assert blamed(b, a)[0] == []


def test_the_model_and_tinygrad_are_left_as_they_were(tmp_path):
    model = CNN()
    kept, call, methods = list(model.layers), nn.Linear.__call__, dict(vars(Tensor))
    both(tmp_path, model, torch_cnn, images(), training=False)
    assert model.layers == kept
    assert nn.Linear.__call__ is call
    assert dict(vars(Tensor)) == methods
    assert set(METHODS) <= set(dir(Tensor))

    class Failing(MLP):
        def __call__(self, x):
            raise ValueError("of the model's own")

    with pytest.raises(ValueError, match="own"):
        record_tinygrad(tmp_path / "none", Failing(), Tensor(rows()))
    assert nn.Linear.__call__ is call
    assert not (tmp_path / "none").exists()


def test_a_transposed_weight(tmp_path):
    def wrong():
        model = torch_mlp()
        model.fc1.weight.data = model.fc1.weight.data.t().contiguous()
        return model

    a = torch_trace(tmp_path / "a", torch_mlp(), rows())
    record_tinygrad(tmp_path / "b", load(MLP(), wrong()), Tensor(rows()))
    names, record = blamed(a, tmp_path / "b")
    assert names == ["fc1"]
    assert record.first.cause == "b holds the transpose of weight"


@pytest.mark.parametrize(
    ("model", "module", "cause"),
    [
        (lambda: MLP(eps=1e-3), "norm", "eps is 1e-05 in a, 0.001 in b"),
        (lambda: MLP(slope=0.2), "act", "negative_slope is 0.1 in a, 0.2 in b"),
    ],
)
def test_settings(model, module, cause, tmp_path):
    names, record = blamed(*both(tmp_path, model(), torch_mlp, rows(), training=False))
    assert names == [module]
    assert record.first.cause == cause


def test_channels_flattened_last(tmp_path):
    def wrong(x):
        return x.permute(0, 2, 3, 1).flatten(1)

    names, record = blamed(*both(tmp_path, CNN(flat=wrong), torch_cnn, images(), training=False))
    assert names == ["flat"]
    assert record.first.verdict == "between"


def test_padding_of_the_same_size(tmp_path):
    """As other frameworks pad with a stride of 2: all of it behind."""
    model = CNN(padding=(0, 1, 0, 1))
    names, record = blamed(*both(tmp_path, model, torch_cnn, images(), training=False))
    assert names == ["conv1"]
    assert "tinygrad.Conv2d" in record.first.cause


def test_what_is_no_model_is_said(tmp_path):
    for model, x, told in (
        (3, Tensor(rows()), "model should be callable, but is a int"),
        (MLP(), rows(), "inputs should be tinygrad's Tensors, but found a ndarray"),
        (lambda x: 3, Tensor(rows()), "should return a Tensor, but returned a int"),
    ):
        with pytest.raises(InputError, match=told):
            record_tinygrad(tmp_path / "t", model, x)
    with pytest.raises(InputError, match="loss should return a Tensor of one value"):
        record_tinygrad(tmp_path / "t", MLP(), Tensor(rows()), loss=lambda y: y)
    assert not (tmp_path / "t").exists()
