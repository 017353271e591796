"""The architectures: the same network in both namespaces, of the sizes that their sources give."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import numpy_nn
import torch_nn
from compare.spec.architecture import architecture_names
from experiments import architectures
from experiments.initialisation import initialise

# Name → (shape of one input, outputs, parameters as counted by hand from the layer sizes).
KNOWN = {
    "bn_mlp": ((784,), 10, 245_482),
    "softmax_mlp": ((784,), 10, 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10),
    "mlp": ((784,), 10, 784 * 100 + 100 + 3 * (100 * 100 + 100) + 1010),
    "cnn": ((1, 28, 28), 10, 160 + 4640 + 1568 * 128 + 128 + 1290),
    "simple_convnet": ((1, 28, 28), 10, 780 + 4320 * 100 + 100 + 1010),
    "deep_convnet": (
        (1, 28, 28),
        10,
        160 + 2320 + 4640 + 9248 + 18496 + 36928 + 1024 * 50 + 50 + 510,
    ),
    "vgg16": (
        (1, 28, 28),
        10,
        # 13 convolutions with biases, γ and β for each of their 4,224 channels, 3 Linear layers
        9 * (64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 2 * 256 * 256 + 256 * 512)
        + 9 * 5 * 512 * 512
        + 4224
        + 2 * 4224
        + (512 * 4096 + 4096)
        + (4096 * 256 + 256)
        + 2570,
    ),
    "covertype_dnn": ((54,), 1, 54 * 32 + 32 + 32 * 16 + 16 + 17),
    "pass_fail_mlp": ((2,), 2, 48 + 272 + 34),
}


def test_every_architecture_is_here():
    assert sorted(KNOWN) == sorted(architecture_names())


@pytest.mark.parametrize("name", KNOWN)
def test_both_sides_are_the_same_network(name):
    shape, outputs, parameters = KNOWN[name]
    function = getattr(architectures, name)
    models = []
    for nn in (numpy_nn, torch_nn):
        nn.manual_seed(0)
        models.append(function(nn))
        initialise(nn, models[-1])
    mine, theirs = models
    ours = {key: torch.from_numpy(value) for key, value in mine.state_dict().items()}
    assert list(ours) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert torch.equal(ours[key], value), key
    assert sum(p.data.size for p in mine.parameters()) == parameters
    theirs.load_state_dict(ours)
    x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
    y = mine.eval()(x)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(x)).numpy()
    assert y.shape == (2, outputs)
    np.testing.assert_allclose(y, expected, rtol=0, atol=2e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("activation", ["Sigmoid", "Tanh", "LeakyReLU"])
def test_the_activation_of_pass_fail_is_a_choice(activation):
    model = architectures.pass_fail_mlp(numpy_nn, activation, dropout=0.2)
    kinds = [type(module).__name__ for module in model]
    assert kinds == ["Linear", activation, "Dropout"] * 2 + ["Linear"]
