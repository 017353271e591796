"""The same networks in JAX and in torch: they agree, and mistakes are found at their layers."""

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

jax = pytest.importorskip("jax", reason='jax is not installed: pip install "nncompare[jax]"')

from compare.trace.jax_functions import record_jax  # noqa: E402

jnp = jax.numpy


def linear(p, x):
    return x @ p["w"] + p["b"]


def batch_norm(p, x, eps=1e-5):
    mean, variance = x.mean(0), x.var(0)
    return (x - mean) / jnp.sqrt(variance + eps) * p["scale"] + p["offset"]


def conv(p, x, stride=1, padding=((1, 1), (1, 1))):
    """Of images (N, H, W, C)."""
    y = jax.lax.conv_general_dilated(
        x, p["kernel"], (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y + p["bias"]


def max_pool(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def flatten(x):
    """As torch does it: channels first."""
    return x.transpose(0, 3, 1, 2).reshape(len(x), -1)


def mlp(params, x, call, eps=1e-5):
    x = call("fc1", linear, params["fc1"], x)
    x = call("norm", lambda p, x: batch_norm(p, x, eps), params["norm"], x)
    x = call("act", lambda x: jax.nn.leaky_relu(x, 0.1), None, x)
    return call("fc2", linear, params["fc2"], x)


def cnn(params, x, call, padding=((1, 1), (1, 1)), flat=flatten):
    x = call("conv1", lambda p, x: conv(p, x, 2, padding), params["conv1"], x)
    x = call("act", jax.nn.relu, None, x)
    x = call("conv2", conv, params["conv2"], x)
    x = call("pool", max_pool, None, x)
    x = call("flat", flat, None, x)
    return call("fc", linear, params["fc"], x)


def dense(name):
    return {"kind": "Linear", "parameters": {"weight": (f"{name}.w", "IO"), "bias": f"{name}.b"}}


def convolution(name, **settings):
    parameters = {"weight": (f"{name}.kernel", "HWIO"), "bias": f"{name}.bias"}
    return {"kind": "Conv2d", "settings": settings, "parameters": parameters}


MLP = {
    "fc1": dense("fc1"),
    "norm": {
        "kind": "BatchNorm1d",
        "settings": {"eps": 1e-5},
        "parameters": {"weight": "norm.scale", "bias": "norm.offset"},
    },
    "act": {"kind": "LeakyReLU", "settings": {"negative_slope": 0.1}},
    "fc2": dense("fc2"),
}
CNN = {
    "conv1": convolution("conv1", stride=2, padding=1),
    "act": {"kind": "ReLU"},
    "conv2": convolution("conv2", padding=1),
    "pool": {"kind": "MaxPool2d", "settings": {"kernel_size": 2}},
    "flat": {"kind": "Flatten"},
    "fc": dense("fc"),
}


def mean_square(y):
    return (y**2).mean()


def mlp_parameters(model):
    w = weights_of(model)
    return {
        **{n: {"w": w[f"{n}.weight"].T, "b": w[f"{n}.bias"]} for n in ("fc1", "fc2")},
        "norm": {"scale": w["norm.weight"], "offset": w["norm.bias"]},
    }


def cnn_parameters(model):
    w = weights_of(model)
    return {
        **{
            n: {"kernel": w[f"{n}.weight"].transpose(2, 3, 1, 0), "bias": w[f"{n}.bias"]}
            for n in ("conv1", "conv2")
        },
        "fc": {"w": w["fc.weight"].T, "b": w["fc.bias"]},
    }


def both_mlps(tmp_path, function=mlp, parameters=None, layers=MLP):
    model = torch_mlp()
    a = torch_trace(tmp_path / "torch.trace", model, rows(), training=True)
    b = tmp_path / "jax.trace"
    made = parameters or mlp_parameters(torch_mlp())
    record_jax(b, function, made, rows(), layers=layers, loss=mean_square)
    return a, b


def both_cnns(tmp_path, function=cnn, layout="NHWC"):
    model = torch_cnn()
    a = torch_trace(tmp_path / "torch.trace", model, images(), training=True)
    x = images().transpose(0, 2, 3, 1)
    b = tmp_path / "jax.trace"
    record_jax(b, function, cnn_parameters(model), x, layers=CNN, loss=mean_square, layout=layout)
    return a, b


@pytest.mark.parametrize("both", [pytest.param(both_mlps, marks=pytest.mark.slow), both_cnns])
def test_right_networks_agree(both, tmp_path):
    """Forward, backward and the gradients of parameters; in both directions."""
    a, b = both(tmp_path)
    names, record = blamed(a, b)
    assert names == []
    assert record.status == 0
    directions = [site.direction for site in record.sites]
    layers = len(CNN if both is both_cnns else MLP)
    assert directions.count("forward") == layers
    assert directions.count("backward") == layers - 1  # the batch has no gradient in torch
    assert directions.count("parameters") == 3
    # The bias before a batch normalisation has no gradient but rounding, which is inherited.
    assert {s.verdict for s in record.sites} <= {"same", "agrees", "inherited"}
    assert blamed(b, a)[0] == []


def test_a_transposed_weight(tmp_path):
    parameters = mlp_parameters(torch_mlp())
    parameters["fc1"]["w"] = parameters["fc1"]["w"].T
    names, record = blamed(*both_mlps(tmp_path, parameters=parameters))
    assert names == ["fc1"]
    assert record.first.cause == "b holds the transpose of weight"


def test_an_epsilon(tmp_path):
    def wrong(params, x, call):
        return mlp(params, x, call, eps=1e-3)

    names, record = blamed(*both_mlps(tmp_path, wrong))
    assert names == ["norm"]
    assert record.first.direction == "forward"
    said = {**MLP, "norm": {**MLP["norm"], "settings": {"eps": 1e-3}}}
    (tmp_path / "said").mkdir()
    names, record = blamed(*both_mlps(tmp_path / "said", wrong, layers=said))
    assert names == ["norm"]
    assert record.first.cause == "eps is 1e-05 in a, 0.001 in b"


def test_channels_flattened_last(tmp_path):
    def wrong(params, x, call):
        return cnn(params, x, call, flat=lambda x: x.reshape(len(x), -1))

    names, _ = blamed(*both_cnns(tmp_path, wrong))
    assert names == ["flat"]


def test_padding_of_the_same_size(tmp_path):
    def wrong(params, x, call):
        return cnn(params, x, call, padding="SAME")

    names, _ = blamed(*both_cnns(tmp_path, wrong))
    assert names == ["conv1"]


def test_a_wrong_gradient(tmp_path):
    @jax.custom_vjp
    def leaky(x):
        return jax.nn.leaky_relu(x, 0.1)

    leaky.defvjp(lambda x: (leaky(x), x), lambda x, g: (jnp.where(x > 0, g, 0.2 * g),))

    def wrong(params, x, call):
        x = call("fc1", linear, params["fc1"], x)
        x = call("norm", batch_norm, params["norm"], x)
        x = call("act", leaky, None, x)
        return call("fc2", linear, params["fc2"], x)

    names, record = blamed(*both_mlps(tmp_path, wrong))
    assert names == ["act"]
    assert record.first.direction == "backward"


def test_the_layout_has_to_be_said(tmp_path):
    with pytest.raises(InputError, match=r'has to do with .*\(3, 8, 8, 1\).*layout="NHWC"'):
        both_cnns(tmp_path, layout=None)
    assert not (tmp_path / "jax.trace").exists()
    with pytest.raises(InputError, match="layout should be NCHW or NHWC, but is 'HWC'"):
        both_cnns(tmp_path / "again", layout="HWC")


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ({"fc9": {"kind": "Linear"}}, "'fc9' is never called: the model calls fc1, norm, act, fc2"),
        ({"fc1": {"kind": "Linear", "weights": {}}}, "'fc1': expected the keys kind, settings"),
        ({"fc1": {}}, "'fc1': expected kind to be the name of a class"),
        (
            {"fc1": {"kind": "Linear", "parameters": {"weight": "fc1.W"}}},
            r"'fc1': weight should be one of the parameters fc1.b, fc1.w, .* but is 'fc1.W'",
        ),
        (
            {"fc1": {"kind": "Linear", "parameters": {"weight": ("fc1.w", "HWIO")}}},
            r"'fc1': weight has the shape \(6, 6\): expected a letter for each axis",
        ),
    ],
)
def test_what_is_wrong_with_layers_is_said(layers, told, tmp_path):
    with pytest.raises(InputError, match=told):
        both_mlps(tmp_path, layers=layers)
    assert not (tmp_path / "jax.trace").exists()


def test_layers_that_are_not_described_are_compared_by_their_outputs(tmp_path):
    names, record = blamed(*both_mlps(tmp_path, layers={}))
    assert names == []
    assert record.count("agrees") >= 4
