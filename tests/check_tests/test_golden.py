"""Golden files: PyTorch's answers where PyTorch is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compare.check.architecture import RecordedArchitecture, record_architecture
from compare.check.golden import read_golden
from experiments.errors import InputError

BLOCK = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'torch_nn'):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from compare.cli import main
main()
"""


def without_torch(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )


def test_check_without_torch(write, golden, tmp_path) -> None:
    ended = without_torch("check", write(), "--golden", golden)
    assert (ended.returncode, ended.stderr) == (0, "")
    wrong = without_torch(
        "check", write(("dz / len(y)", "dz")), "--golden", golden, "--json", tmp_path / "o.json"
    )
    assert (wrong.returncode, wrong.stderr) == (1, "")
    assert "sum-not-mean" in (tmp_path / "o.json").read_text()


def test_updates_and_layers_without_torch(write, adam, golden) -> None:
    ended = without_torch("check", write(adam), "--golden", golden)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "update of 2.bias" in ended.stdout


def test_without_torch_and_without_golden_file(write, tmp_path, monkeypatch) -> None:
    (tmp_path / "none" / "torch").mkdir(parents=True)
    (tmp_path / "none" / "torch" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "none"))  # for PyTorch's own process
    ended = without_torch("check", write())
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stdout + ended.stderr == (
        "homework.py could not be checked: PyTorch is not installed (No module named "
        "'torch'): check with --golden FILE, made by nncompare golden where it is.\n"
    )


def test_same_checks_as_with_torch(check, golden) -> None:
    wrong = ("dz / len(y)", "dz")
    here, there = check(wrong), check(wrong, golden=read_golden(golden))
    assert [c.passed for c in here.result.checks] == [c.passed for c in there.result.checks]


def test_a_golden_file_of_one_class_is_written_without_a_warning(nncompare, tmp_path, recwarn):
    """The cross-entropy of one logit is 0, whatever it is: no class can be made unlikely."""
    nncompare("golden", "covertype_dnn", "-o", tmp_path / "one.npz")
    assert [str(warning.message) for warning in recwarn] == []


def test_golden_command(nncompare, write, tmp_path) -> None:
    net = write(text="def net(nn):\n    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), "
                     "nn.Linear(9, 5))\n", name="net.py")  # fmt: skip
    out = tmp_path / "new" / "net.npz"
    ended = nncompare("golden", f"{net}:net", "-o", out, "--optimizer", "SGD", "--set", "lr=0.1")
    assert (ended.status, out.exists()) == (0, True)
    golden = read_golden(out)
    assert golden.assignment.optimizer == "SGD"
    assert len({len(case.inputs) for case in golden.cases}) == 4
    assert [p.name for p in out.parent.iterdir()] == ["net.npz"]
    assert nncompare("golden", "nothing", "-o", out).status == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ("LOSS =", 'LOSS = "mse"  #'),
            "The golden file has the loss cross_entropy, but "
            "homework.py is to be checked with mse.",
        ),
        (
            ("nn.Linear(9, 5)", "nn.Linear(9, 4)"),
            "The golden file was made for net, but architecture(nn) of homework.py is another "
            "network: it has layer 2, Linear(in_features=9, out_features=4, bias=True) where the "
            "file has layer 2, Linear(in_features=9, out_features=5, bias=True).",
        ),
        (
            ("nn.ReLU(), nn.Linear(9, 5)", "nn.ReLU()"),
            "The golden file was made for net, but "
            "architecture(nn) of homework.py is "
            "another network: it has nothing where "
            "the file has layer 2, "
            "Linear(in_features=9, out_features=5, "
            "bias=True).",
        ),
        (
            ("nn.ReLU()", "nn.Tanh()"),
            "The golden file was made for net, but architecture(nn) "
            "of homework.py is another network: it has layer 1, "
            "Tanh() where the file has layer 1, ReLU().",
        ),
        (
            ("nn.ReLU()", "nn.Mish()"),
            "The golden file was made for net, but architecture(nn) "
            "of homework.py is another network: it has layer 1, "
            "Mish() where the file has layer 1, ReLU().",
        ),
        (
            ("nn.Linear(9, 5))", "nn.Linear(9, 5), nn.Dropout(0.5))"),
            "The golden file was made for net, but architecture(nn) of homework.py is another "
            "network: it has layer 3, Dropout(p=0.5) where the file has nothing.",
        ),
        (
            ("def architecture(nn):", 'ARCHITECTURE = "bn_mlp"\ndef other(nn):'),
            "The golden file was made for net, but bn_mlp is another network: it has layer 0, "
            "Linear(in_features=784, out_features=256, bias=True) where the file has layer 0, "
            "Linear(in_features=12, out_features=9, bias=True).",
        ),
    ],
)
def test_another_homework_than_it_was_made_for(check, golden, change, sentence) -> None:
    outcome = check(change, golden=read_golden(golden))
    assert outcome.status == 2
    assert outcome.result.error == sentence


@pytest.mark.parametrize(
    "net",
    [
        "nn.Sequential(nn.Linear(in_features=12, out_features=9), nn.ReLU(), nn.Linear(9, 5))",
        "nn.Sequential(nn.Linear(12, 9), nn.ReLU()).append(nn.Linear(9, 5))",
    ],
)
def test_the_same_network_in_other_words(check, golden, net) -> None:
    old = "nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))"
    assert check((old, net), golden=read_golden(golden)).status == 0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"nothing"])
def test_damaged_files(tmp_path, content) -> None:
    (tmp_path / "g.npz").write_bytes(content)
    with pytest.raises(InputError, match="no golden file, or it is damaged"):
        read_golden(tmp_path / "g.npz")


def test_another_schema(tmp_path, golden) -> None:
    with np.load(golden) as file:
        arrays = dict(file)
    head = arrays["golden"].tobytes().replace(b'"schema": 2', b'"schema": 9')
    arrays["golden"] = np.frombuffer(head, np.uint8)
    path = Path(tmp_path / "g.npz")
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="schema 9, but this program reads schema 2"):
        read_golden(path)


def test_networks_are_written_down_with_all_their_words() -> None:
    import torch

    def net(nn):
        inner = nn.Sequential(nn.Linear(in_features=4, out_features=np.int64(3), bias=False))
        inner.append(nn.Dropout(0.5))
        return nn.Sequential(inner, nn.LeakyReLU(negative_slope=0.2), nn.Flatten(1))

    recorded = RecordedArchitecture(record_architecture(net), "net")
    assert recorded.leaves() == [
        ("0.0", "Linear"), ("0.1", "Dropout"), ("1", "LeakyReLU"), ("2", "Flatten"),
    ]  # fmt: skip
    model = recorded(torch.nn)
    assert list(model.state_dict()) == ["0.0.weight"]
    assert isinstance(model[0][1], torch.nn.Identity)
    assert model[1].negative_slope == 0.2
