"""The documents of a report: files, bytes, what is loaded, and what a reader's browser gets."""

from __future__ import annotations

import base64
import html as html_module
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from reports_tests.synthetic_run import Rendered

from experiments.errors import InputError
from reports import report
from reports.documents import MATH_FONT
from reports.report import write_report

MakeRun = Callable[..., Path]


@pytest.fixture
def _without_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTML and PDF are left out: they take seconds to make."""
    for name in ("html_document", "pdf_document"):
        monkeypatch.setattr(report, name, lambda *_: b"")
    monkeypatch.setattr(report, "draw_figures", lambda run: [])


def test_all_files_are_written_and_returned(rendered_run: Rendered) -> None:
    folder = rendered_run.run / "report"
    names = [path.relative_to(folder).as_posix() for path in rendered_run.files]
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert sorted(found) == sorted(rendered_run.files)
    assert names[:3] == ["report.md", "report.html", "report.pdf"]
    assert "figures/curves.png" in names
    assert "figures/parity-2.svg" in names
    assert all(path.stat().st_size > 0 for path in rendered_run.files)
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_a_second_rendering_elsewhere_overwrites_with_the_same_bytes(
    rendered_run: Rendered, tmp_path: Path
) -> None:
    first = {path.name: path.read_bytes() for path in rendered_run.files}
    moved = tmp_path / "elsewhere" / "moved run"
    shutil.copytree(rendered_run.run, moved)
    (moved / "report" / "report.md").write_text("of another day", encoding="utf-8")
    again = {path.name: path.read_bytes() for path in write_report(moved)}
    assert first == again
    for content in first.values():
        assert str(rendered_run.run).encode() not in content
        assert b"/somewhere/else" not in content


@pytest.mark.slow
def test_neither_torch_nor_numpy_nn_is_imported(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    program = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'numpy_nn', 'torch_nn'):\n"
        "            raise ImportError(f'{name} must not be imported')\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from pathlib import Path\n"
        "from reports import report\n"
        "report.html_document = report.pdf_document = lambda *_: b''\n"
        f"report.write_report(Path({str(run)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (run / "report" / "report.md").exists()


def test_the_html_is_one_file_with_nothing_outside(rendered_run: Rendered) -> None:
    # What scripts do is seen in a browser (test_browser.py) and bounded by a policy (test_page.py).
    html = re.sub(r"<script.*?</script>", "", rendered_run.html, flags=re.DOTALL)
    assert not re.search(r'src="(?!data:)', html)
    assert "<script" not in html
    assert "<link" not in html
    assert "@import" not in html
    assert re.findall(r"url\(([^;)]*)", html) == ["data:font/woff"]
    assert "<math" in html
    assert html.count("<h1") == 1
    outside = [h for h in re.findall(r'href="([^"]*)"', html) if not h.startswith("#")]
    assert all(
        h.startswith(("https://doi.org/", "https://arxiv.org/", "https://proc")) for h in outside
    )
    inside = [h[1:] for h in re.findall(r'href="(#[^"]*)"', html)]
    assert all(f'id="{anchor}"' in html for anchor in inside)


def test_the_html_carries_a_font_that_can_draw_its_formulas(rendered_run: Rendered) -> None:
    encoded = re.search(r"data:font/woff;base64,([\w+/=]+)", rendered_run.html)
    assert encoded is not None
    content = base64.b64decode(encoded[1])
    assert content == MATH_FONT.read_bytes()
    assert len(content) < 150_000
    assert (MATH_FONT.parent / "OFL.txt").read_text("utf-8").count("SIL OPEN FONT LICENSE") == 1
    font = TTFont(io.BytesIO(content))
    larger = font["MATH"].table.MathVariants.VertGlyphCoverage.glyphs
    characters = font.getBestCmap()
    assert {characters[ord(c)] for c in "√{}()∑"} <= set(larger)
    formulas = "".join(re.findall(r"<math.*?</math>", rendered_run.html, re.DOTALL))
    text = re.sub(r"<annotation.*?</annotation>|<[^>]*>", "", formulas, flags=re.DOTALL)
    invisible = {"\n", "\u2061"}  # a line break; "applied to"
    assert set(html_module.unescape(text)) - invisible <= {chr(c) for c in characters}


def test_every_picture_has_words_for_those_who_do_not_see_it(rendered_run: Rendered) -> None:
    pictures = list((rendered_run.run / "report" / "figures").glob("*.png"))
    named = re.findall(r'<img [^>]*(alt|aria-label)="[^"]+', rendered_run.html)
    assert len(named) == len(pictures)
    named = re.findall(r"!\[[^\]]+\]\(figures/[\w-]+\.png\)", rendered_run.markdown)
    assert len(named) == len(pictures)


def test_figures_and_tables_are_numbered_without_gaps(rendered_run: Rendered) -> None:
    for kind in ("Figure", "Table"):
        found = re.findall(rf"^\*\*{kind} (\d+)\.\*\*", rendered_run.markdown, re.M)
        assert [int(number) for number in found] == list(range(1, len(found) + 1))
        assert len(found) >= 8
    assert "that is wrong at every step. See Figures 3 and 4." in rendered_run.markdown
    for number in re.findall(r"^\*\*Figure (\d+)\.\*\*", rendered_run.markdown, re.M):
        before = rendered_run.markdown.partition(f"**Figure {number}.**")[0]
        assert re.search(rf"See Figures? [^.]*\b{number}\b", before), f"Figure {number} unannounced"


def test_markup_in_a_record_stays_text(rendered_run: Rendered) -> None:
    assert "<b>bold" not in rendered_run.html
    assert "&lt;b&gt;bold&lt;/b&gt; $title$" in rendered_run.html


def test_what_a_run_lacks_is_said_before_anything_else(rendered_run: Rendered) -> None:
    html = rendered_run.html
    notice = html.index("This run stopped each training after 6 steps")
    assert html.index("<h1") < notice < html.index("<nav") < html.index("<h2")


@pytest.mark.usefixtures("_without_documents")
def test_a_damaged_record_leaves_the_earlier_report_alone(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    write_report(run)
    before = (run / "report" / "report.md").read_text(encoding="utf-8")
    (run / "parity.csv").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"parity\.csv"):
        write_report(run)
    assert (run / "report" / "report.md").read_text(encoding="utf-8") == before


@pytest.mark.usefixtures("_without_documents")
def test_a_complete_run_without_its_predictions_is_refused(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    (run / "predictions.safetensors").unlink()
    with pytest.raises(InputError, match="predictions"):
        write_report(run)


@pytest.mark.usefixtures("_without_documents")
def test_a_report_folder_that_cannot_be_made_is_one_sentence(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    (run / "report").write_text("in the way", encoding="utf-8")
    with pytest.raises(InputError, match="could not be made into a folder"):
        write_report(run)
