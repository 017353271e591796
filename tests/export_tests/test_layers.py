"""Every layer as ONNX, in evaluation mode, against PyTorch and numpy_nn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from layer_cases import LAYERS, Pair

import numpy_nn
import torch_nn
from experiments.errors import InputError

pytest.importorskip("onnx", reason="onnx is not installed: pip install nncompare[onnx]")
runtime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime is not installed: pip install nncompare[onnx]"
)

from compare.export.layers import LAYERS as TRANSLATED  # noqa: E402
from compare.export.network import onnx_model  # noqa: E402

pytestmark = pytest.mark.parity


def run(model, x):
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": x})[0]


def numpy_forward(layer, x):
    return layer.eval()(x)


def torch_forward(layer, x):
    with torch.no_grad():
        return layer.eval()(torch.from_numpy(x)).numpy()


def exported(pair, side, example):
    module, forward = (
        (pair.module, numpy_forward) if side == "numpy" else (pair.reference, torch_forward)
    )
    weights = pair.module.state_dict()
    return onnx_model(module.eval(), weights, example, forward)


def is_refused(case):
    """What mixes the rows of a batch, or has no axis for them."""
    images = case.name in ("Conv2d", "ConvTranspose2d", "MaxPool2d", "AvgPool2d")
    return (
        case.kwargs.get("track_running_stats") is False
        or (case.name == "Flatten" and case.kwargs.get("start_dim") == 0)
        or ("Softmax" in case.name and case.args[0] % len(case.shape) == 0)
        or ((images or case.name == "AdaptiveAvgPool2d") and len(case.shape) == 3)
        or (case.name == "Conv1d" and len(case.shape) == 2)
        or (case.name == "ConvTranspose2d" and case.kwargs.get("dilation") == 3)
    )


# The mode is chosen here; what has no axis for the rows of a batch is not exported.
CASES = {
    str(case): case
    for case in LAYERS
    if len(case.shape) >= 2 and case.args != (case.shape,) and case.note != "empty"
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", sorted({case.name for case in CASES.values()}))
def test_each_layer_computes_what_torch_does(name):
    """Of both sides, and for other numbers of rows than it was written with."""
    tried = 0
    for text, case in CASES.items():
        if case.name != name:
            continue
        pair = Pair(case, "float32")
        pair.module.eval()
        pair.reference.eval()
        x = pair.input
        if is_refused(case):
            with pytest.raises(InputError, match=r"^the module .* cannot be exported: "):
                exported(pair, "numpy", x)
            continue
        more = np.concatenate([x, x[::-1], x])
        with torch.no_grad():
            expected = pair.reference(torch.from_numpy(more)).numpy()
        for side in ("numpy", "torch"):
            found = run(exported(pair, side, x[:1] if name != "Flatten" else x), more)
            assert found.shape == expected.shape, text
            allowed = 64 * np.finfo(np.float32).eps * max(np.abs(expected).max(), 1e-3)
            assert np.abs(found - expected).max() <= allowed, (text, side)
        own = np.asarray(pair.module(more))
        assert np.abs(found - own).max() <= allowed, text
        tried += 1
    assert tried


def test_every_layer_has_a_translation():
    layers = {
        name
        for name in numpy_nn.__all__
        if isinstance(getattr(numpy_nn, name), type)
        and issubclass(getattr(numpy_nn, name), numpy_nn.Module)
        and not name.endswith("Loss")
    }
    assert layers - {"Module", "Sequential"} == set(TRANSLATED)


@pytest.mark.parametrize("name", ["Linear", "BatchNorm1d", "LeakyReLU"])
def test_in_float64(name):
    layer = {"Linear": lambda nn: nn.Linear(4, 3), "BatchNorm1d": lambda nn: nn.BatchNorm1d(4)}
    make = layer.get(name, lambda nn: nn.LeakyReLU(0.01))
    reference = make(torch_nn).double().eval()
    x = np.random.default_rng(0).normal(size=(5, 4))
    weights = {key: value.numpy() for key, value in reference.state_dict().items()}
    model = onnx_model(reference, weights, x, torch_forward)
    with torch.no_grad():
        expected = reference(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-14, atol=1e-15)


def test_an_epsilon_that_float32_does_not_hold_is_refused():
    layer = torch_nn.LayerNorm(4).double()
    weights = {key: value.numpy() for key, value in layer.state_dict().items()}
    with pytest.raises(InputError, match="eps = 1e-05 in float32"):
        onnx_model(layer, weights, np.ones((2, 4)), torch_forward)


@pytest.mark.parametrize("nn", [numpy_nn, torch_nn])
def test_a_forward_of_ones_own_is_refused(nn):
    class Residual(nn.Module):
        def forward(self, x):
            return x + x

    class Loud(nn.Linear):
        pass

    for made, told in (
        (Residual(), r"^the network, a Residual, cannot be exported: its forward is code"),
        (nn.Sequential(nn.ReLU(), Loud(2, 2)), r"^the module 1 \(Loud\) cannot be exported"),
    ):
        with pytest.raises(InputError, match=told):
            onnx_model(made, {}, np.ones((2, 2), np.float32), numpy_forward)
