"""The reports of experiments that train no network: what they say, and without either side."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compare.demos.running import run_kind

from compare.records import tables
from compare.records.tables import ParityRow
from compare.spec.loading import load_form
from reports.report import write_report

ROOT = Path(__file__).resolve().parents[2]


def made(kind, folder, *changes, **settings):
    name, form = load_form(kind, changes)
    run_kind(name, form, folder, command=f"nncompare run {kind} --out /somewhere", **settings)
    return folder


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = made("optimizer_paths", tmp_path_factory.mktemp("paths") / "r")
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    small = ("rows=60", "units=30", "seeds=[0,1,2]")
    folder = made("activation_histograms", tmp_path_factory.mktemp("layers") / "r", *small)
    write_report(folder)
    return folder


def text_of(folder) -> str:
    return (folder / "report" / "report.md").read_text(encoding="utf-8")


def test_the_paths_report(paths):
    text = text_of(paths)
    assert text.startswith("# Four optimizers on the way down a long valley\n")
    assert "nncompare run optimizer_paths\n" in text
    assert "/somewhere" not in text
    assert "All 1,084 comparisons pass." in text
    assert r"\frac{x^2}{20} + y^2" in text
    assert "= x/10" in text
    assert "NumPy's recorded path of SGD is at most" in text
    assert r"\le 8\cdot\max" in text
    assert "the textbook adds $10^{-7}$ to the same root" in text
    assert "Crossings of the floor: SGD 30, Momentum 4, AdaGrad 0, Adam 2" in text
    answers = text.partition("## 6 Answers")[2]
    assert "All 4 claims of the textbook are supported." in answers
    assert (paths / "report" / "figures" / "paths.png").exists()


def test_the_layers_report(layers):
    text = text_of(layers)
    for activation in ("Sigmoid", "Tanh", "ReLU"):
        assert f"figures/histogram-{activation}.png" in text
        assert (layers / "report" / "figures" / f"histogram-{activation}.svg").exists()
    assert "PyTorch was given NumPy's before anything was computed" in text
    assert "over 3 seeds" in text
    assert re.search(r"Standard deviation of the last layer over that of the first: 0\.\d", text)
    assert "e-0" not in text.partition("## Appendix")[0]


@pytest.mark.parametrize("kind", ["paths", "layers"])
def test_every_document_is_there_and_whole(kind, request):
    folder = request.getfixturevalue(kind) / "report"
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") + page.count("data:image/svg") >= 2
    text = (folder / "report.md").read_text(encoding="utf-8")
    for word in ("nan", "None", "{{ ", " }}", "inf)"):
        assert word not in text.partition("## Appendix")[0]
    numbers = re.findall(r"\*\*Figure (\d+)\.\*\*", text)
    assert numbers == [str(k) for k in range(1, len(numbers) + 1)]


def test_made_again_from_the_records_alone(paths, layers, tmp_path):
    """Without PyTorch and without NumPy's layers; the same bytes."""
    program = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torch_nn', 'numpy_nn'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from compare.cli import main\n"
        "main()\n"
    )
    for folder in (paths, layers):
        copy = shutil.copytree(folder, tmp_path / folder.parent.name)
        shutil.rmtree(copy / "report")
        done = subprocess.run([sys.executable, "-c", program, "report", str(copy)],
                              capture_output=True, text=True, cwd=ROOT, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        for name in ("report.md", "report.html", "report.pdf"):
            before = (folder / "report" / name).read_bytes()
            assert (copy / "report" / name).read_bytes() == before


def test_a_shortened_run_says_so(tmp_path):
    folder = made("optimizer_paths", tmp_path / "r", max_steps=5)
    write_report(folder)
    assert "**This run stopped each path after 5 steps** of 30" in text_of(folder)


def test_one_seed_decides_nothing(tmp_path):
    small = ("rows=30", "units=10", "layers=2", "seeds=[4]")
    folder = made("activation_histograms", tmp_path / "r", *small)
    write_report(folder)
    text = text_of(folder)
    assert "All 9 claims of the textbook are undecided." in text
    assert "one number has no interval: no claim is decided" in text


def test_a_single_layer_and_a_single_activation(tmp_path):
    small = ("rows=30", "units=10", "layers=1", "seeds=[0,1]", "activations=['ReLU']",
             "spreads=['he',2.5]")  # fmt: skip
    folder = made("activation_histograms", tmp_path / "r", *small)
    write_report(folder)
    text = text_of(folder)
    assert "This run has no Sigmoid with the spread 1" in text
    assert "std 2.5" in text


@pytest.mark.parametrize("rate", [50, 1e30])
def test_paths_that_run_away(tmp_path, rate):
    optimizers = f"optimizers={{SGD={{lr={rate}}},Adam={{lr=0.3}},RMSprop={{lr=0.1}}}}"
    folder = made("optimizer_paths", tmp_path / "r", optimizers, "steps=60")
    write_report(folder)
    assert "`RMSprop`" in text_of(folder)


def test_a_failure_is_told_first(paths, tmp_path):
    """A comparison that failed is in the summary, in the table, and placed."""
    folder = shutil.copytree(paths, tmp_path / "r")
    lines = (folder / "parity.csv").read_text().splitlines()
    place = next(k for k, line in enumerate(lines) if ",update/point," in line)
    cells = lines[place].split(",")
    lines[place] = ",".join([*cells[:4], "0.001", *cells[5:7], "false"])
    (folder / "parity.csv").write_text("\n".join(lines) + "\n")
    write_report(folder)
    text = text_of(folder)
    assert "**1 of 1,084 comparisons fails.**" in text
    assert "The first divergence is at step 0, float32, at the site `update/point`" in text


def test_nothing_compared_is_no_pass(paths, tmp_path):
    folder = shutil.copytree(paths, tmp_path / "r")
    tree = json.loads((folder / "run.json").read_text())
    for part in tree["parts"]:
        part["parity_rows"] = 0
    (folder / "run.json").write_text(json.dumps(tree))
    (folder / "parity.csv").write_text(tables.text_of(ParityRow, []))
    write_report(folder)
    assert "Nothing was compared, so parity is not shown." in text_of(folder)
