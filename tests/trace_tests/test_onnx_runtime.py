"""The same networks in ONNX Runtime and in torch: they agree, and mistakes are found."""

from __future__ import annotations

import numpy as np
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

import nncompare
from compare.trace.format import read_trace
from experiments.errors import InputError

onnx = pytest.importorskip("onnx", reason='onnx is not installed: pip install "nncompare[onnx]"')
pytest.importorskip(
    "onnxruntime", reason='onnxruntime is not installed: pip install "nncompare[onnx]"'
)

from compare.trace.onnx_runtime import record_onnx  # noqa: E402

node = onnx.helper.make_node


def save(path, nodes, weights, shape, output):
    given = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    result = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["rows", "n"])
    arrays = [onnx.numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in weights.items()]
    graph = onnx.helper.make_graph(nodes, "network", [given], [result], arrays)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def mlp(path, eps=1e-5, **changes):
    """As exporters of Keras write it: a product with the weight (in, out), and a sum."""
    w = weights_of(torch_mlp())
    w = {n: a.T if n == "fc1.weight" else a for n, a in w.items() if "num_batches" not in n}
    w |= changes
    statistics = ["norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"]
    nodes = [
        node("MatMul", ["x", "fc1.weight"], ["h"], "MatMul_0"),
        node("Add", ["fc1.bias", "h"], ["h1"], "Add_1"),
        node("BatchNormalization", ["h1", *statistics], ["h2"], "norm", epsilon=eps),
        node("LeakyRelu", ["h2"], ["h3"], "/act/LeakyRelu", alpha=0.1),
        node("Gemm", ["h3", "fc2.weight", "fc2.bias"], ["y"], "Gemm_4", transB=1),
    ]
    return save(path, nodes, w, ["rows", 6], "y")


def cnn(path, pads=None, flat=None):
    w = weights_of(torch_cnn())
    pads = pads or {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "conv1.weight", "conv1.bias"], ["a"], strides=[2, 2], **pads),
        node("Relu", ["a"], ["b"], "/act/Relu"),
        node("Conv", ["b", "conv2.weight", "conv2.bias"], ["c"], pads=[1, 1, 1, 1]),
        node("MaxPool", ["c"], ["d"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        *(flat or [node("Flatten", ["d"], ["e"], "/flat/Flatten")]),
        node("Gemm", ["e", "fc.weight", "fc.bias"], ["y"], transB=1),
    ]
    return save(path, nodes, w, ["rows", 1, 8, 8], "y")


def both(tmp_path, model, reference, x):
    b = tmp_path / "onnx.trace"
    record_onnx(b, model, x)
    return torch_trace(tmp_path / "torch.trace", reference(), x), b


CASES = [(mlp, torch_mlp, rows()), (cnn, torch_cnn, images())]


@pytest.mark.parametrize(("write", "reference", "x"), CASES)
def test_right_networks_agree(write, reference, x, tmp_path):
    a, b = both(tmp_path, write(tmp_path / "m.onnx"), reference, x)
    names, record = blamed(a, b)
    assert names == []
    assert record.status == 0
    assert {s.topic for s in record.configuration} == {"versions"}
    assert [s.module for s in record.sites] == [n for n, _ in reference().named_children()]
    assert record.notes == [], "each module is found under its own name"
    assert blamed(b, a)[0] == []


def test_a_transposed_weight(tmp_path):
    wrong = mlp(tmp_path / "m.onnx", **{"fc1.weight": weights_of(torch_mlp())["fc1.weight"]})
    names, record = blamed(*both(tmp_path, wrong, torch_mlp, rows()))
    assert names == ["fc1"]
    assert record.first.cause == "b holds the transpose of weight"


def test_an_epsilon(tmp_path):
    names, record = blamed(*both(tmp_path, mlp(tmp_path / "m.onnx", eps=1e-3), torch_mlp, rows()))
    assert names == ["norm"]
    assert record.first.cause == "eps is 1e-05 in a, 0.001 in b"


def test_stale_statistics(tmp_path):
    ones = {"norm.running_var": np.ones(6, np.float32)}
    names, record = blamed(*both(tmp_path, mlp(tmp_path / "m.onnx", **ones), torch_mlp, rows()))
    assert names == ["norm"]
    assert record.first.cause == "b has another running_var (a buffer)"


def test_channels_flattened_last(tmp_path):
    flat = [
        node("Transpose", ["d"], ["t"], perm=[0, 2, 3, 1]),
        node("Flatten", ["t"], ["e"], "/flat/Flatten"),
    ]
    names, record = blamed(
        *both(tmp_path, cnn(tmp_path / "m.onnx", flat=flat), torch_cnn, images())
    )
    assert names == ["flat"]
    assert record.first.verdict == "between"


def test_padding_of_the_same_size(tmp_path):
    wrong = cnn(tmp_path / "m.onnx", pads={"auto_pad": "SAME_UPPER"})
    names, record = blamed(*both(tmp_path, wrong, torch_cnn, images()))
    assert names == ["conv1"]
    assert "onnx.Conv" in record.first.cause


def test_a_reshape_of_rows_is_a_flatten(tmp_path):
    shape = onnx.numpy_helper.from_array(np.array([-1, 16]))
    flat = [
        node("Constant", [], ["s"], value=shape),
        node("Reshape", ["d", "s"], ["e"], "/flat/Reshape"),
    ]
    names, record = blamed(
        *both(tmp_path, cnn(tmp_path / "m.onnx", flat=flat), torch_cnn, images())
    )
    assert names == []
    assert "flat" in {s.module for s in record.sites}


def test_names_as_exporters_write_them(tmp_path):
    nodes = [
        node("Relu", ["x"], ["a"], "/layers/layers.0/act/Relu"),
        node("Relu", ["a"], ["b"], "/layers/layers.1/act/Relu_1"),
        node("Relu", ["b"], ["c"]),
        node("Relu", ["c"], ["y"]),
    ]
    record_onnx(tmp_path / "t", save(tmp_path / "m.onnx", nodes, {}, ["rows", 6], "y"), rows())
    names = list(read_trace(tmp_path / "t").modules)
    assert names == ["", "layers.0.act", "layers.1.act", "relu2", "relu3"]


def test_on_the_command_line(tmp_path, command_line):
    model, x = cnn(tmp_path / "m.onnx"), images()
    np.savez(tmp_path / "x.npz", x=x)
    out = tmp_path / "c.trace"
    ended = command_line("record", model, "--inputs", tmp_path / "x.npz", "-o", out)
    assert ended.status == 0
    assert "c.trace is written: 7 calls of 7 modules in 1 step" in ended.out
    a = torch_trace(tmp_path / "a.trace", torch_cnn(), x)
    assert command_line("diff", a, out).status == 0
    np.savez(tmp_path / "z.npz", z=x)
    for arguments, told in (
        ([model, "-o", out], "c.trace exists"),
        ([model, "-o", tmp_path / "d"], "an ONNX model is recorded with --inputs FILE.npz"),
        ([model, "-o", tmp_path / "d", "--inputs", tmp_path / "z.npz"], "takes the inputs x, but"),
        ([model, "-o", tmp_path / "d", "--inputs", model], "is no .npz file"),
        (["a.py:f", "-o", tmp_path / "d", "--inputs", model], "--inputs is for an ONNX model"),
        ([tmp_path / "no.onnx", "-o", tmp_path / "d", "--inputs", tmp_path / "x.npz"], "no such"),
    ):
        ended = command_line("record", *arguments)
        assert ended.status == 2
        assert told in ended.err
    assert not (tmp_path / "d").exists()


def test_what_is_no_model_is_said(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match="is no ONNX model, or it is damaged"):
        nncompare.record_onnx(tmp_path / "t", tmp_path / "m.onnx", rows())
    model = mlp(tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"takes 1 inputs \(x\), but got 2"):
        record_onnx(tmp_path / "t", model, (rows(), rows()))
    with pytest.raises(InputError, match="ONNX Runtime does not run"):
        record_onnx(tmp_path / "t", model, rows()[:, :3])
    assert not (tmp_path / "t").exists()
