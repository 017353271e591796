"""The whole report: files, bytes, independence, and every shape of run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.errors import InputError
from reports.report import write_report

MakeRun = Callable[..., Path]


def text_of(run: Path) -> str:
    write_report(run)
    return (run / "report" / "report.md").read_text(encoding="utf-8")


def test_all_files_are_made_and_returned(make_run: MakeRun) -> None:
    run = make_run()
    paths = write_report(run)
    names = [path.relative_to(run / "report").as_posix() for path in paths]
    made = [path for path in (run / "report").rglob("*") if path.is_file()]
    assert sorted(made) == sorted(paths)
    assert names[:3] == ["report.md", "report.html", "report.pdf"]
    assert "figures/curves.png" in names
    assert "figures/parity-2.svg" in names
    assert all(path.stat().st_size > 0 for path in paths)
    assert (run / "report" / "report.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_records_give_the_same_bytes_wherever_they_stand(make_run: MakeRun) -> None:
    run = make_run(flips=1, failing={(1, "gradient/1.weight")})
    first = {path.name: path.read_bytes() for path in write_report(run)}
    moved = run.parent / "elsewhere" / "moved run"
    shutil.copytree(run, moved)
    again = {path.name: path.read_bytes() for path in write_report(moved)}
    assert first == again
    for content in first.values():
        assert str(run).encode() not in content
        assert b"/somewhere/else" not in content


def test_a_second_rendering_overwrites_with_the_same_bytes(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    first = {path: path.read_bytes() for path in write_report(run)}
    assert {path: path.read_bytes() for path in write_report(run)} == first


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
        "from reports.report import write_report\n"
        f"write_report(Path({str(run)!r}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (run / "report" / "report.html").exists()


def test_the_html_is_one_file_with_nothing_outside(reported_run: Path) -> None:
    html = (reported_run / "report" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'src="(?!data:)', html)
    assert "<link" not in html
    assert "<script" not in html
    assert "@import" not in html
    assert "url(" not in html
    assert "<math" in html
    assert html.count("<h1") == 1
    outside = [h for h in re.findall(r'href="([^"]*)"', html) if not h.startswith("#")]
    assert all(
        h.startswith(("https://doi.org/", "https://arxiv.org/", "https://proc")) for h in outside
    )
    inside = [h[1:] for h in re.findall(r'href="(#[^"]*)"', html)]
    assert all(f'id="{anchor}"' in html for anchor in inside)


def test_every_picture_has_words_for_those_who_do_not_see_it(reported_run: Path) -> None:
    folder = reported_run / "report"
    html = (folder / "report.html").read_text(encoding="utf-8")
    text = (folder / "report.md").read_text(encoding="utf-8")
    pictures = list((folder / "figures").glob("*.png"))
    assert len(re.findall(r'<img [^>]*(alt|aria-label)="[^"]+', html)) == len(pictures)
    assert len(re.findall(r"!\[[^\]]+\]\(figures/[\w-]+\.png\)", text)) == len(pictures)


def test_a_damaged_record_leaves_the_earlier_report_alone(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    before = text_of(run)
    (run / "parity.csv").write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"parity\.csv"):
        write_report(run)
    assert (run / "report" / "report.md").read_text(encoding="utf-8") == before


def test_a_complete_run_without_its_predictions_is_refused(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    (run / "predictions.safetensors").unlink()
    with pytest.raises(InputError, match="predictions"):
        write_report(run)


def test_a_report_folder_that_cannot_be_made_is_one_sentence(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    (run / "report").write_text("in the way", encoding="utf-8")
    with pytest.raises(InputError, match="could not be made into a folder"):
        write_report(run)


def test_markup_in_a_record_stays_text(make_run: MakeRun) -> None:
    title = 'A <b>bold</b> $title$ with "quotes" | _and_ # more \\ [x](y)'
    run = make_run(optimizers=("SGD",), experiment={"title": title})
    write_report(run)
    html = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert "<b>bold" not in html
    assert "&lt;b&gt;bold&lt;/b&gt; $title$" in html


def test_an_incomplete_run_says_so_before_anything_else(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",), finished=False)
    write_report(run)
    html = (run / "report" / "report.html").read_text(encoding="utf-8")
    notice = html.index("This run is incomplete")
    assert html.index("<h1") < notice < html.index("<nav") < html.index("<h2")
