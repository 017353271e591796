"""``nncompare export``: files, records, the section of the report, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from compare.records.export import read_exports
from compare.records.run import read_run

onnx = pytest.importorskip("onnx", reason='onnx is not installed: pip install "nncompare[onnx]"')
pytest.importorskip(
    "onnxruntime", reason='onnxruntime is not installed: pip install "nncompare[onnx]"'
)

SETTINGS = (
    "model.arguments.sizes=[784,8,10]",
    'data={name="mnist-sample",sample="mnist-sample",limit=60,validation=0.2}',
    "training.batch_size=20",
    "training.epochs=1",
    "training.seeds=[1]",
    "parity.replicas=0",
    "claims=[]",
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, only_markdown):
    """A run of two optimizers, not to be changed."""
    import nncompare

    with only_markdown():
        out = tmp_path_factory.mktemp("exported") / "run"
        nncompare.run("mnist_bn_mlp", settings=SETTINGS, out=out)
    return out


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def test_an_export(run, command_line, markdown_alone):
    ended = command_line("export", run, "--onnx", "--label", "SGD", "--seed", 1)
    assert ended.status == 0, ended.err
    files = sorted(path.name for path in (run / "export").iterdir())
    stems = [f"{backend}-SGD-seed1" for backend in ("numpy", "torch")]
    assert files == sorted([*(f"{s}.onnx" for s in stems), *(f"{s}.json" for s in stems)])
    assert ended.out.count("1,000 test rows: ONNX Runtime") == 2
    assert ended.out.count("ONNX Runtime agrees") == 2
    model = onnx.load(run / "export" / "numpy-SGD-seed1.onnx")
    told = {p.key: p.value for p in model.metadata_props}
    assert told["experiment"] == "mnist_bn_mlp"
    assert (told["label"], told["seed"], told["backend"]) == ("SGD", "1", "numpy")
    assert told["step"] == str(read_run(run).record.trainings[0].steps)
    record = json.loads((run / "export" / "numpy-SGD-seed1.json").read_text())
    assert record["weights"][1] == told["weights_sha256"]
    weights = load_file(run / record["weights"][0])
    for array in model.graph.initializer:
        assert np.array_equal(onnx.numpy_helper.to_array(array), weights[array.name])
    assert command_line("report", run).status == 0
    text = (run / "report" / "report.md").read_text()
    assert "As ONNX, in ONNX Runtime" in text
    assert "2 trained networks were written as ONNX" in text
    assert "| SGD, seed 1, trained by NumPy | NumPy |" in text


def test_without_an_export_the_report_says_nothing(run, command_line, markdown_alone):
    assert command_line("report", run).status == 0
    assert "ONNX" not in (run / "report" / "report.md").read_text()


def test_other_weights_make_an_export_stale(run, command_line, markdown_alone):
    one = ("--label", "SGD", "--seed", 1)
    assert command_line("export", run, "--onnx", "--backend", "numpy", *one).status == 0
    path = run / "weights" / "numpy-SGD-seed1.safetensors"
    save_file({n: np.asarray(array + 1) for n, array in load_file(path).items()}, path)
    fresh, stale = read_exports(read_run(run))
    assert (len(fresh), len(stale)) == (0, 1)
    assert command_line("report", run).status == 0
    text = (run / "report" / "report.md").read_text()
    assert "1 export was made of other weights than the run has now" in text
    assert "ONNX Runtime 1" not in text


def test_a_wrong_translation_is_told(run, command_line, monkeypatch, markdown_alone):
    """A transposed weight in the file: the network is square, so everything runs."""
    from compare.export import layers

    def wrong(nodes, module, x, shape):
        y = layers.nodes_of_linear(nodes, module, x, shape)
        name = f"{nodes.name}.bias"
        nodes.arrays[name] = nodes.arrays[name][::-1]
        return y

    monkeypatch.setattr(layers, "nodes_of_linear", layers.LAYERS["Linear"], raising=False)
    monkeypatch.setitem(layers.LAYERS, "Linear", wrong)
    one = ("--label", "SGD", "--seed", 1, "--backend", "torch")
    ended = command_line("export", run, "--onnx", *one)
    assert ended.status == 1
    assert "ONNX Runtime DIFFERS" in ended.out
    command_line("report", run)
    text = (run / "report" / "report.md").read_text()
    assert "**ONNX Runtime is further from the referee than allowed**" in text


def test_elsewhere_and_without_answers(run, tmp_path, command_line):
    out = tmp_path / "files"
    one = ("--label", "Adam", "--seed", 1, "--backend", "numpy", "--no-compare")
    ended = command_line("export", run, "--onnx", "-o", out, *one)
    assert ended.status == 0
    assert [path.name for path in out.iterdir()] == ["numpy-Adam-seed1.onnx"]
    assert "test rows" not in ended.out
    assert read_exports(read_run(run)) == ([], [])


def test_what_is_refused(run, tmp_path, command_line, monkeypatch):
    for arguments, told in (
        ([run], "export expects the format: --onnx."),
        ([run, "--onnx", "--backend", "jax"], "--backend expects numpy, torch or both"),
        ([run, "--onnx", "--label", "SDG"], "--label expects one of SGD, Adam, but got 'SDG'"),
        ([run, "--onnx", "--seed", 7], "--seed expects one of 1, but got 7"),
        ([tmp_path, "--onnx"], "is not a run directory"),
    ):
        ended = command_line("export", *arguments)
        assert ended.status == 2
        assert told in ended.err
    path = run / "weights" / "numpy-SGD-seed1.safetensors"
    path.unlink()
    ended = command_line("export", run, "--onnx")
    assert ended.status == 2
    assert "numpy-SGD-seed1.safetensors is missing" in ended.err
    save_file({"0.weight": np.zeros((2, 2), np.float32)}, path)
    ended = command_line("export", run, "--onnx")
    assert ended.status == 2
    assert "does not fit the network of SGD" in ended.err
    assert not (run / "export").exists()
    monkeypatch.setattr("compare.commands.export.find_spec", lambda name: None)
    ended = command_line("export", run, "--onnx")
    assert ended.status == 2
    assert 'needs the package onnx: python -m pip install "nncompare[onnx]".' in ended.err


def test_a_damaged_record_is_told(run, command_line, markdown_alone):
    (run / "export").mkdir()
    for content, told in (("{", "x.json is damaged"), ('{"schema_version": 2}', "x.json is damag")):
        (run / "export" / "x.json").write_text(content)
        ended = command_line("report", run)
        assert ended.status == 2
        assert told in ended.err
