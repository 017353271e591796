"""Several runs in one report: what differs, what may be compared, and what is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reports_tests.synthetic_run import build_run
from scipy import stats

from compare.commands.report import report_command
from experiments.errors import InputError
from reports import report, runs
from reports.documents import markdown
from reports.runs import (
    Difference,
    comparison_values,
    final_differences,
    read_runs,
    usual_folder,
    write_comparison,
)

MakeRun = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def changed(run: Path, path: str, value: Any) -> Path:
    """A run whose record has another value at a dotted path."""
    file = run / "run.json"
    record = json.loads(file.read_text("utf-8"))
    *tables, last = path.split(".")
    place = record
    for table in tables:
        place = place[table]
    place[last] = value
    file.write_text(json.dumps(record), encoding="utf-8")
    return run


def text_of(*folders: Path) -> str:
    """The Markdown of a report without its figures."""
    values = comparison_values(read_runs(folders)) | {"figures": {}}
    return markdown(values, "reader", "runs.md.j2")


def rows_of(text: str, table: str) -> list[list[str]]:
    """The cells of a table, found by words of its caption."""
    lines = text.partition(table)[2].partition("\n\n")[2].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_specification_comes_first_and_names_what_differs(make_run: MakeRun) -> None:
    first = make_run("a")
    second = changed(make_run("b"), "experiment.training.batch_size", 5)
    text = text_of(first, changed(second, "experiment.optimizers.SGD.lr", 0.2))
    assert text.index("## 1 What differs in the spec") < text.index("## 2 What differs in the res")
    rows = [["`training.batch_size`", "10", "5"], ["`optimizers.SGD.lr`", "0.1", "0.2"]]
    assert rows_of(text, "settings of the experiments that differ") == rows
    assert "- 2 settings differ: `training.batch_size`, 10 → 5; `optimizers.SGD.lr`" in text
    assert "The data, the machine, the versions and the commit are the same." in text
    assert "different experiments" not in text


def test_runs_that_are_alike_are_said_to_be(make_run: MakeRun) -> None:
    text = text_of(make_run("a"), make_run("b"))
    assert "No setting of the experiments differs." in text
    assert "The data is the same to the byte" in text
    assert rows_of(text, "settings of the experiments that differ") == []


def test_an_optimizer_that_one_run_lacks_is_one_row(make_run: MakeRun) -> None:
    text = text_of(make_run("a"), make_run("b", optimizers=("SGD",)))
    rows = rows_of(text, "settings of the experiments that differ")
    assert [row[0] for row in rows] == ["`optimizers.Adam`"]
    assert rows[0][2] == "–"
    assert "lr=0.1" in rows[0][1]
    assert "- Run A alone has Adam." in text
    labels = {row[0] for row in rows_of(text, "of each later run less that")}
    assert labels == {"SGD"}


def test_other_machines_and_data_are_said(make_run: MakeRun) -> None:
    other = changed(make_run("b"), "environment.torch_threads", 4)
    other = changed(other, "data.digests", {"rows": "1" * 32})
    text = text_of(make_run("a"), other)
    assert rows_of(text, "machine, the libraries and the program") == [
        ["threads of PyTorch", "1", "4"]
    ]
    assert "**The times of different runs are not comparable**: threads of PyTorch" in text
    assert (
        "No difference is taken of the final figures of runs B and A: they were measured on" in text
    )
    assert "seed by seed" not in text.partition("### 2.1")[2]
    assert "The runs name the same machine and threads." in text_of(make_run("c"), make_run("d"))


def test_runs_without_a_label_in_common_are_not_subtracted(make_run: MakeRun) -> None:
    text = text_of(make_run("a", optimizers=("SGD",)), make_run("b", optimizers=("Adam",)))
    assert "runs B and A: they have no training of the same label in common." in text
    assert "of each later run less that" not in text
    assert len(rows_of(text, "The figures at the end of the training")) == 4


def test_training_rows_alone_do_not_forbid_a_difference(make_run: MakeRun) -> None:
    text = text_of(make_run("a"), changed(make_run("b"), "data.train_rows", 20))
    assert "The data is **not** the same" in text
    assert "of each later run less that of run A" in text


def test_differences_are_those_of_the_seeds_in_common_with_students_interval(
    tmp_path: Path,
) -> None:
    """The accuracy of the synthetic runs is 1 − loss / 3, and a loss may depend on the run."""
    first = build_run(tmp_path / "a", seeds=(0, 1, 2), optimizers=("SGD",))
    second = build_run(tmp_path / "b", seeds=(1, 2, 3), optimizers=("SGD",))
    values = {"a": {0: 0.5, 1: 0.6, 2: 0.65}, "b": {1: 0.7, 2: 0.8, 3: 0.1}}
    for folder in (first, second):
        lines = (folder / "history.csv").read_text("utf-8").splitlines()
        for place, line in enumerate(lines[1:], 1):
            cells = line.split(",")
            if cells[6:8] == ["test", "accuracy"]:
                cells[8] = repr(values[folder.name][int(cells[2])])
                lines[place] = ",".join(cells)
        (folder / "history.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    a, b = read_runs([first, second])
    numpy, torch = final_differences([b], a, ["SGD"], "test accuracy")
    assert (numpy.backend, torch.backend) == ("NumPy", "PyTorch")
    interval = numpy.interval
    assert interval is not None
    found = [0.7 - 0.6, 0.8 - 0.65]
    low, high = stats.t.interval(0.95, 1, loc=sum(found) / 2, scale=stats.sem(found))
    assert interval.mean == pytest.approx(0.125)
    assert (interval.low, interval.high) == pytest.approx((low, high))
    assert (interval.values, numpy.answer) == (2, "undecided")
    text = text_of(first, second)
    assert "all 2 intervals contain 0" in text
    row = rows_of(text, "of each later run less that")[0]
    assert row[:4] == ["SGD", "B − A", "NumPy", "0.1250"]


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (0.1, 0.2, "higher"),
        (-0.2, -0.1, "lower"),
        (-0.1, 0.1, "undecided"),
        (-0.3, 0.1, "undecided"),
    ],
)
def test_an_answer_needs_the_whole_interval(low: float, high: float, answer: str) -> None:
    interval = runs.Interval((low + high) / 2, low, high, 3)
    assert Difference("SGD", ("B", "A"), "NumPy", interval).answer == answer


def test_one_seed_shows_nothing_beyond_itself() -> None:
    alone = runs.Interval(0.3, math.nan, math.nan, 1)
    assert Difference("SGD", ("B", "A"), "NumPy", alone).answer == ""
    assert Difference("SGD", ("B", "A"), "NumPy", None).answer == ""


def test_a_failing_run_is_named_with_its_site(make_run: MakeRun) -> None:
    wrong = make_run("b", optimizers=("SGD",), failing={(1, "gradient/1.weight")})
    text = text_of(make_run("a"), wrong)
    assert "Comparisons fail in run B" in text
    assert "*Run B, SGD.* The first divergence is at step 1, float32, at the site" in text
    assert [row[2] for row in rows_of(text, "The comparisons of each run")] == ["0", "1"]


def test_markup_in_names_stays_text(make_run: MakeRun) -> None:
    other = changed(make_run("b *and* c"), "experiment.title", "A $title$ | <b>")
    text = text_of(make_run("a"), other)
    assert r"b \*and\* c" in text
    assert text.startswith(r"# A tiny network and A \$title\$ \| \<b\>: 2 runs")


def test_what_is_no_run_of_its_own_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    first = make_run("a", optimizers=("SGD",))
    incomplete = make_run("i", optimizers=("SGD",), finished=False)
    damaged = make_run("d", optimizers=("SGD",))
    (damaged / "parity.csv").write_text("nonsense\n", encoding="utf-8")
    many = [make_run(f"m{k}", optimizers=("SGD",)) for k in range(11)]
    cases: list[tuple[list[Path], str]] = [
        ([first, tmp_path / "a"], "a are the same run: name each one once"),
        ([first, tmp_path / "." / "i" / ".." / "a"], "the same run"),
        ([first, incomplete], "i is incomplete: expected finished runs"),
        ([first, damaged], r"parity\.csv: expected the columns"),
        ([first, tmp_path / "nowhere"], "nowhere is not a folder"),
        (many, "expected the folders of 2 to 10 runs, found 11"),
    ]
    for folders, message in cases:
        with pytest.raises(InputError, match=message):
            report_command(folders, author="", formats=["md"], out=tmp_path / "out")
    with pytest.raises(InputError, match="is the folder of a run"):
        report_command([first, many[0]], author="", formats=["md"], out=first)
    assert not (tmp_path / "out").exists()


def test_a_demonstration_is_refused(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = runs.DemoRecord.model_construct(name="optimizer_paths", status="complete")
    monkeypatch.setattr(runs, "read_run_record", lambda path: demo)
    with pytest.raises(InputError, match="a run of the demonstration optimizer_paths"):
        read_runs([make_run("a"), make_run("b")])


def test_the_usual_folder_is_beside_the_first(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    assert usual_folder(folders[:2]) == tmp_path / "comparison-a-b"
    assert usual_folder(folders) == tmp_path / "comparison-a-and-2-more"


@pytest.mark.slow  # every format, twice
def test_documents_are_written_and_the_same_again(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("html_document", "pdf_document", "docx_document"):
        monkeypatch.setattr(report, name, lambda *_, name=name: name.encode())
    folders = [make_run("a"), make_run("b", seeds=(0, 1))]
    everything = ["md,html,pdf,docx,ipynb"]
    report_command(folders, author="Ada", formats=everything, out=None)
    out = folders[0].parent / "comparison-a-b"
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [
        f"report.{kind}" for kind in ("md", "html", "pdf", "docx", "ipynb")
    ]
    first = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    assert (out / "figures" / "curves.png").exists()
    assert str(folders[0].parent).encode() not in b"".join(first.values())
    write_comparison(folders, None, "Ada", ("md", "html", "pdf", "docx", "ipynb"))
    assert {path: path.read_bytes() for path in first} == first
    text = (out / "report.md").read_text("utf-8")
    assert "Ada" in text
    for kind in ("Figure", "Table"):
        numbers = [int(n) for n in re.findall(rf"^\*\*{kind} (\d+)\.", text, re.M)]
        assert numbers == list(range(1, len(numbers) + 1))
        assert numbers
    assert (
        "['../a', '../b']"
        in json.loads((out / "report.ipynb").read_bytes())["cells"][2]["source"][7]
    )


@pytest.mark.slow
def test_its_notebook_runs(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    folders = [make_run("a"), make_run("b", seeds=(0, 1))]
    [path] = write_comparison(folders, formats=["ipynb"])
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    drawn = [sum("image/png" in o.get("data", {}) for o in cell.outputs) for cell in code]
    assert drawn == [0, 1, 1, 1, 1]
