"""Whole networks as ONNX: every architecture of the list, of both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import numpy_nn
import torch_nn
from compare.spec.architecture import architecture_names
from experiments import architectures

onnx = pytest.importorskip("onnx", reason='onnx is not installed: pip install "nncompare[onnx]"')
runtime = pytest.importorskip(
    "onnxruntime", reason='onnxruntime is not installed: pip install "nncompare[onnx]"'
)

from compare.commands.export import FORWARD  # noqa: E402
from compare.export.network import OPSET, onnx_model  # noqa: E402

pytestmark = pytest.mark.parity

# Smaller where the network is large, and with what is left out by default.
CASES = {
    "bn_mlp": {},
    "softmax_mlp": {},
    "mlp": {"batch_norm": True, "dropout": 0.3, "activation": "SiLU"},
    "cnn": {},
    "simple_convnet": {},
    "deep_convnet": {},
    "vgg16": {"widths": (4, 4, 8, 8, 8), "hidden": (16, 8)},
    "covertype_dnn": {},
    "pass_fail_mlp": {"activation": "Sigmoid", "dropout": 0.5},
}
SHAPES = {"covertype_dnn": (54,), "pass_fail_mlp": (2,)}
IMAGES = ("cnn", "simple_convnet", "deep_convnet", "vgg16")


def test_there_is_a_case_for_each():
    assert list(CASES) == architecture_names()


@pytest.mark.parametrize("name", CASES)
def test_every_architecture(name):
    """Nearer to float64 than eight times what PyTorch in float32 is, on other rows."""
    make, arguments = getattr(architectures, name), CASES[name]
    rng = np.random.default_rng(0)
    models = {"numpy": make(numpy_nn, **arguments), "torch": make(torch_nn, **arguments)}
    state = {
        key: rng.uniform(0.5, 2, np.shape(value)).astype(np.float32)
        if key.endswith("running_var")
        else np.asarray(rng.normal(size=np.shape(value)) / np.sqrt(max(np.size(value), 1) ** 0.5))
        .astype(np.asarray(value).dtype)
        for key, value in models["numpy"].state_dict().items()
    }  # fmt: skip
    models["numpy"].load_state_dict(state)
    models["torch"].load_state_dict({k: torch.tensor(v) for k, v in state.items()})
    shape = SHAPES.get(name, (1, 28, 28) if name in IMAGES else (784,))
    x = rng.normal(size=(4, *shape)).astype(np.float32)
    with torch.no_grad():
        near = models["torch"].eval()(torch.from_numpy(x)).numpy()
        exact = models["torch"].double()(torch.from_numpy(x).double()).numpy()
        models["torch"].float()
    allowed = 8 * max(np.abs(near - exact).max(), 4 * 2.0**-24 * np.abs(exact).max())
    for side, model in models.items():
        made = onnx_model(model.eval(), state, x[:2], FORWARD[side])
        session = runtime.InferenceSession(
            made.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        found = session.run(None, {"input": x})[0]
        assert np.abs(found - exact).max() <= allowed, side
        assert np.abs(found - np.asarray(models["numpy"](x))).max() <= 2 * allowed


def test_what_is_in_the_file():
    model = architectures.cnn(torch_nn)
    weights = {k: v.numpy() for k, v in model.state_dict().items()}
    x = np.zeros((2, 1, 28, 28), np.float32)
    made = onnx_model(model, weights, x, FORWARD["torch"], name="mine", metadata={"seed": "3"})
    onnx.checker.check_model(made, full_check=True)
    assert made.opset_import[0].version == OPSET
    assert made.producer_name == "nncompare"
    assert {p.key: p.value for p in made.metadata_props} == {"seed": "3"}
    assert made.graph.name == "mine"
    names = [node.name for node in made.graph.node]
    assert names == [*map(str, range(10)), "output"], "those of the modules"
    arrays = {a.name: onnx.numpy_helper.to_array(a) for a in made.graph.initializer}
    assert arrays.keys() == weights.keys()
    assert all(np.array_equal(arrays[name], weights[name]) for name in weights)
    sizes = [d.dim_param or d.dim_value for d in made.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["rows", 1, 28, 28]


def test_a_trace_of_it_has_the_networks_own_names(tmp_path):
    """So that it is compared with PyTorch's without a mapping."""
    import nncompare

    model = architectures.deep_convnet(torch_nn, channels=(2, 3, 4)).eval()
    weights = {k: v.numpy() for k, v in model.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(2, 1, 28, 28)).astype(np.float32)
    onnx.save(onnx_model(model, weights, x, FORWARD["torch"]), tmp_path / "m.onnx")
    nncompare.record_onnx(tmp_path / "b", tmp_path / "m.onnx", x)
    with nncompare.record(tmp_path / "a", model):
        model(torch.from_numpy(x))
    record = nncompare.diff(tmp_path / "a", tmp_path / "b")
    assert record.status == 0, record.text()
    assert record.notes == []
    assert len(record.sites) == len(model)
