"""The reports of demonstrations: what they say, also without either backend."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from reports_tests.test_report_languages import english_words, numbers

from compare.demos.run import run_demo
from compare.languages import using
from compare.records.directory import RunDirectory
from compare.records.run import Run, read_run
from compare.spec.loading import load_settings
from reports.demos import demo_documents
from reports.documents import markdown
from reports.report import write_report

ROOT = Path(__file__).resolve().parents[2]


def run_of(demo, folder, *changes, **options) -> Run:
    name, settings = load_settings(demo, changes)
    command = f"nncompare run {demo} --out /somewhere"
    run_demo(name, settings, RunDirectory(folder), command=command, **options)
    return read_run(folder)


def text_of(run: Run) -> str:
    """The report as ``report.md`` has it, without the other documents."""
    _, contents, _, template = demo_documents(run)
    return markdown(contents, "reader", template)


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Run:
    """A run with its three documents."""
    run = run_of("optimizer_paths", tmp_path_factory.mktemp("paths") / "r")
    write_report(run.path)
    return run


@pytest.fixture(scope="module")
def layers(tmp_path_factory) -> Run:
    small = ("rows=60", "units=30", "seeds=[0,1]")
    return run_of("activation_histograms", tmp_path_factory.mktemp("layers") / "r", *small)


@pytest.fixture(scope="module")
def texts(paths, layers) -> dict[str, str]:
    """Demonstration → its report."""
    written = (paths.path / "report" / "report.md").read_text(encoding="utf-8")
    return {"optimizer_paths": written, "activation_histograms": text_of(layers)}


def test_the_paths_report(texts):
    text = texts["optimizer_paths"]
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
    assert "with one below 0.5 its $y$ would never change its sign" in answers


def test_the_layers_report(texts):
    text = texts["activation_histograms"]
    for activation in ("Sigmoid", "Tanh", "ReLU"):
        assert f"figures/histogram-{activation}.png" in text
    assert "PyTorch was given NumPy's before anything was computed" in text
    assert "over 2 seeds" in text
    assert re.search(r"Standard deviation of the last layer over that of the first: 0\.\d", text)
    assert "e-0" not in text.partition("## Appendix")[0]


@pytest.mark.parametrize("demo", ["optimizer_paths", "activation_histograms"])
def test_every_part_is_there_and_whole(texts, demo):
    text = texts[demo].partition("## Appendix")[0]
    for word in ("nan", "None", "{{ ", " }}", "{%", "inf)"):
        assert word not in text
    figures = re.findall(r"\*\*Figure (\d+)\.\*\*", text)
    assert figures == [str(k) for k in range(1, len(figures) + 1)]
    tables = re.findall(r"\*\*Table (\d+)\.\*\*", text)
    assert tables == [str(k) for k in range(1, len(tables) + 1)]
    # Tables and lists stand by themselves, else they are a paragraph's text.
    lines = text.splitlines()
    for before, line in pairwise(lines):
        if line.startswith(("| ", "- ", "#")) and not line.startswith(before[:2] or "?"):
            assert before == "", line


def test_all_documents(paths):
    folder = paths.path / "report"
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") + page.count("data:image/svg") >= 2
    assert (folder / "figures" / "paths.png").exists()
    assert (folder / "figures" / "along.svg").exists()


@pytest.mark.slow
def test_again_from_the_records_alone(paths, layers, texts):
    """Without PyTorch and without NumPy's layers; the same text."""
    program = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'torch_nn', 'numpy_nn'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from pathlib import Path\n"
        "from compare.records.run import read_run\n"
        "from reports.demos import demo_documents\n"
        "from reports.documents import markdown\n"
        "for folder in sys.argv[1:]:\n"
        "    _, contents, _, template = demo_documents(read_run(Path(folder)))\n"
        "    sys.stdout.buffer.write(markdown(contents, 'reader', template).encode())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(paths.path), str(layers.path)],
        capture_output=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode() == "".join(texts.values())


def test_a_shortened_run_says_so(tmp_path):
    run = run_of("optimizer_paths", tmp_path / "r", "optimizers={SGD={lr=0.95}}", max_steps=3)
    text = text_of(run)
    assert "**This run stopped each path after 3 steps** of 30" in text
    assert "All 4 claims of the textbook are undecided." in text


def test_one_seed_decides_nothing(tmp_path):
    small = ("rows=30", "units=10", "layers=2", "seeds=[4]", "spreads=['he']")
    text = text_of(run_of("activation_histograms", tmp_path / "r", *small))
    assert "All 9 claims of the textbook are undecided." in text
    assert "one number has no interval: no claim is decided" in text


def test_a_single_layer_and_a_single_activation(tmp_path):
    small = ("rows=30", "units=10", "layers=1", "seeds=[0,1]", "activations=['ReLU']",
             "spreads=['he',2.5]")  # fmt: skip
    text = text_of(run_of("activation_histograms", tmp_path / "r", *small))
    assert "This run has no Sigmoid with the spread 1" in text
    assert "std 2.5" in text


@pytest.mark.parametrize("rate", [50, 1e30])
def test_paths_that_run_away(tmp_path, rate):
    optimizers = f"optimizers={{SGD={{lr={rate}}},Adam={{lr=0.3}},RMSprop={{lr=0.1}}}}"
    text = text_of(run_of("optimizer_paths", tmp_path / "r", optimizers, "steps=22"))
    assert "`RMSprop`" in text
    assert "SGD runs away and leaves the picture." in text


def test_a_failure_is_told_first(paths):
    """A comparison that failed is in the summary, in the table, and placed."""
    parity = list(paths.parity)
    place = next(k for k, row in enumerate(parity) if row.site == "update/point")
    parity[place] = parity[place]._replace(numpy_error=0.001, passed=False)
    text = text_of(replace(paths, parity=parity))
    assert text.count("**1 of 1,084 comparisons fails.**") == 2
    assert "The first divergence is at step 0, float32, update/point: NumPy is 0.00100 from" in text
    assert "| 90 | **1** |" in text


def test_nothing_compared_is_no_pass(paths, tmp_path):
    folder = shutil.copytree(paths.path, tmp_path / "r")
    header = (folder / "parity.csv").read_text().partition("\n")[0]
    (folder / "parity.csv").write_text(header + "\n")
    run_json = (folder / "run.json").read_text()
    (folder / "run.json").write_text(re.sub(r'"parity_rows": \d+', '"parity_rows": 0', run_json))
    assert "Nothing was compared, so parity is not shown." in text_of(read_run(folder))


NAMES = {
    *("Momentum", "AdaGrad", "Adagrad", "Sigmoid", "Tanh", "Xavier", "xavier"),
    *("optimizer", "paths", "activation", "histograms"),
}
"""Of optimizers, activations and the two demonstrations."""


def korean(run: Run, template: str = "") -> str:
    """The report up to its code, without the table of what the machine is."""
    with using("ko"):
        _, contents, _, own = demo_documents(run)
        environment = contents["tables"].pop("environment")
        assert "프로세서" in environment or "processor" in environment
        text = markdown(contents, "reader", template or own)
    return text.partition("## 부록")[0]


@pytest.mark.slow
def test_a_korean_report_leaves_no_english_and_has_the_same_numbers(paths, layers, texts):
    for run in (paths, layers):
        text = korean(run)
        assert set(english_words(text)) - NAMES == set()
        english = texts[run.record.name]
        without = re.sub(r"\n\*\*Table 1\..*?\n\n\|.*?\n\n", "\n\n", english, flags=re.DOTALL)
        # Korean puts some of them in another order.
        assert sorted(numbers(text)) == sorted(numbers(without.partition("## Appendix")[0]))


@pytest.mark.slow
def test_a_korean_report_of_a_part_or_of_one_seed(tmp_path):
    part = run_of("optimizer_paths", tmp_path / "p", "optimizers={SGD={lr=1.4}}", max_steps=9)
    seed = ("rows=30", "units=10", "layers=2", "seeds=[4]", "spreads=['he']")
    one = run_of("activation_histograms", tmp_path / "s", *seed)
    for run in (part, one):
        text = korean(run)
        assert set(english_words(text)) - NAMES == set()


@pytest.mark.slow
def test_without_a_font_for_the_language_the_pdf_is_in_english(paths, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(paths.path, folder)
    [english] = write_report(folder, formats=["pdf"])
    expected = english.read_bytes()
    monkeypatch.setattr("reports.report.can_be_drawn", lambda words: words == "English")
    [path] = write_report(folder, formats=["pdf"], language="ko")
    assert path.read_bytes() == expected
