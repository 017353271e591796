"""The notebook: cells of a notebook's format, the same bytes again, and code that draws."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reports_tests.synthetic_run import build_run
from reports_tests.test_report_languages import english_words

from compare.demos.run import run_demo
from compare.languages import using
from compare.records.directory import RunDirectory
from compare.records.run import read_run
from compare.spec.loading import load_settings
from reports.documents import TEMPLATES, markdown
from reports.figures import Figure
from reports.notebook import notebook_document, notebook_values
from reports.report import write_report
from reports.sections import template_values

MakeRun = Callable[..., Path]
ROOT = Path(__file__).parents[2]
FIGURES = [
    {"kind": "curves", "quantity": "test loss"},
    {"kind": "final values", "quantity": "test accuracy", "across": "optimizer"},
    {"kind": "best trials", "quantity": "test accuracy", "count": 2},
    {"kind": "gradient norms"},
    {"kind": "near misses"},
]


def executed(run: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The notebook of a run after all its cells, and one that looks for what must not be loaded."""
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the notebook has its own
    [path] = write_report(run, formats=["ipynb"])
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    check = "import sys\nassert not {'torch', 'numpy_nn', 'torch_nn', 'reports'} & set(sys.modules)"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    resources = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    return notebook


def cells_of(run: Path, names: list[str]) -> list[dict[str, Any]]:
    """The cells for a run whose report has figures of such names; none of them is drawn."""
    found = read_run(run)
    figures = [Figure(name, k, "Caption.", "", b"", b"") for k, name in enumerate(names, 1)]
    values = template_values(found, figures) | notebook_values(found)
    notebook = json.loads(notebook_document(markdown(values, "reader", "notebook.md.j2")))
    return notebook["cells"]


def test_text_and_code_become_cells_with_ids_that_stay() -> None:
    content = (
        "# T\n\nwords\n\n## A\n\n```python\nx = 1\n\ny = 2\n```\n\nmore\n\n`````python\nz\n`````\n"
    )
    notebook = json.loads(notebook_document(content))
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]] == [
        ("markdown", "# T\n\nwords"),
        ("markdown", "## A"),
        ("code", "x = 1\n\ny = 2"),
        ("markdown", "more\n\n`````python\nz\n`````"),
    ]
    assert [cell["id"] for cell in notebook["cells"]] == [f"cell-{k}" for k in (1, 2, 3, 4)]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook_document(content) == notebook_document(content)


def test_every_figure_of_the_report_has_code_of_a_few_lines(make_run: MakeRun) -> None:
    run = make_run(failing={(1, "gradient/1.weight")})
    names = [
        "curves",
        "samples",
        "parity-1",
        "confusion",
        "mistakes",
        "drift",
        "distance",
        "timing",
    ]
    cells = cells_of(run, names)
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    for number in range(1, len(names) + 1):
        assert f"It is Figure {number} of the report." in text
    assert 'nncompare.load_run("..")' in code[0]
    for cell in code[1:]:
        compile(cell, "cell", "exec")
        assert cell.endswith("plt.show()")
        assert 5 <= len(cell.splitlines()) <= 18
        assert "reports" not in cell
        assert max(map(len, cell.splitlines())) <= 100
    assert len(cells_of(run, [])) < len(cells)


def test_no_figure_of_a_report_is_forgotten() -> None:
    demos = ("demo", "optimizer_paths", "activation_histograms")
    others = {f"{name}.md.j2" for name in (*demos, "bench", "runs", "notebook", "demo_notebook")}
    named = {
        name
        for file in TEMPLATES.glob("*.md.j2")
        if file.name not in others
        for name in re.findall(r'figure\("(\w+)"\)', file.read_text("utf-8"))
    }
    figures = "".join(file.read_text("utf-8") for file in (ROOT / "reports/figures").glob("*.py"))
    named = {name for name in named if f'"{name}",' in figures}
    drawn = re.findall(r'heading\("(\w+)"', (TEMPLATES / "notebook.md.j2").read_text("utf-8"))
    assert named == set(drawn)
    assert len(drawn) == len(named) >= 7


def test_a_notebook_alone_draws_no_page(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reports.report.draw_figures", lambda run: [])
    run = make_run(optimizers=("SGD",))
    [path] = write_report(run, formats=["ipynb"])
    assert path == run / "report" / "report.ipynb"
    assert [one.name for one in path.parent.iterdir()] == ["report.ipynb"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "figures"), [("optimizer_paths", 2), ("activation_histograms", 4)]
)
def test_the_notebook_of_a_demonstration_runs(
    name: str, figures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, settings = load_settings(name)
    run_demo(name, settings, RunDirectory(tmp_path / "run"), command="nncompare run")
    monkeypatch.setattr(
        "reports.demos.rendered", lambda drawing, n: Figure(drawing.name, n, *"abcd")
    )
    notebook = executed(tmp_path / "run", monkeypatch)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    drawn = [sum("image/png" in o.get("data", {}) for o in cell.outputs) for cell in code]
    assert drawn == [0, *[1] * figures, 0]


@pytest.mark.slow
def test_every_cell_runs_and_draws_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = build_run(
        tmp_path / "run",
        failing={(1, "gradient/1.weight")},
        gradients=True,
        experiment={
            "figures": FIGURES,
            "training": {"epochs": 2, "batch_size": 10, "seeds": [0], "gradient_norms": True},
        },
    )
    notebook = executed(run, monkeypatch)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    drawn = [sum("image/png" in output.get("data", {}) for output in cell.outputs) for cell in code]
    assert drawn == [0, *[1] * (len(code) - 2), 0]
    # The records, 8 figures of every run, those of the file, one more map, and the check.
    assert len(code) == 1 + 9 + len(FIGURES) + 1 + 1
    assert not [o for cell in code for o in cell.outputs if o.output_type in ("error", "stream")]


def test_a_korean_notebook_has_the_same_code_and_no_english_around_it(make_run: MakeRun) -> None:
    run = make_run(failing={(1, "gradient/1.weight")})
    names = ["curves", "samples", "confusion", "mistakes", "drift", "timing"]
    english = cells_of(run, names)
    with using("ko"):
        korean = cells_of(run, names)
    kinds = [cell["cell_type"] for cell in english]
    assert [cell["cell_type"] for cell in korean] == kinds
    for own, other in zip(korean, english, strict=True):
        text = "".join(own["source"])
        if own["cell_type"] == "code":
            assert own == other
        else:
            # The caption of a figure is made up here.
            assert set(english_words(text)) - {"Caption"} == set(), text
