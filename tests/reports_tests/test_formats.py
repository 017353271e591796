"""Which formats a report is written as, and what is asked for on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compare.commands.report import parse_formats, report_command
from experiments.errors import InputError
from reports import report
from reports.report import write_report

MakeRun = Callable[..., Path]


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("html_document", "pdf_document", "docx_document"):
        monkeypatch.setattr(report, name, lambda *_, name=name: name.encode())
    monkeypatch.setattr(report, "draw_figures", lambda run: [])


def test_lists_of_formats() -> None:
    assert parse_formats([]) == ["md", "html", "pdf"]
    assert parse_formats(["docx,md", "pdf", "pdf"]) == ["md", "pdf", "docx"]
    assert parse_formats(["ipynb, md"]) == ["md", "ipynb"]


@pytest.mark.parametrize("wrong", ["word", "", "md,,pdf", "PDF"])
def test_an_unknown_format_is_one_sentence(wrong: str) -> None:
    with pytest.raises(InputError, match=r"--format .*: expected some of md, html, pdf, docx, ip"):
        parse_formats([wrong])


@pytest.mark.usefixtures("_quick")
def test_what_is_not_asked_for_is_left_alone(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    folder = run / "report"
    folder.mkdir()
    (folder / "report.pdf").write_bytes(b"of another day")
    report_command([run], author="", formats=["docx"], out=None)
    assert {path.name for path in folder.iterdir()} == {"report.pdf", "report.docx"}
    assert (folder / "report.pdf").read_bytes() == b"of another day"
    assert (folder / "report.docx").read_bytes() == b"docx_document"


@pytest.mark.usefixtures("_quick")
def test_the_usual_formats_are_printed(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(optimizers=("SGD",))
    report_command([run], author="Ada", formats=[], out=None)
    ends = [line.rpartition(".")[2] for line in capsys.readouterr().out.splitlines()]
    assert ends == ["md", "html", "pdf"]
    assert "Ada" in (run / "report" / "report.md").read_text("utf-8")
    assert not (run / "report" / "report.docx").exists()


@pytest.mark.usefixtures("_quick")
def test_a_folder_for_one_run_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(optimizers=("SGD",))
    with pytest.raises(InputError, match="is for the report of several runs"):
        report_command([run], author="", formats=[], out=tmp_path / "elsewhere")
    assert not (run / "report").exists()


@pytest.mark.usefixtures("_quick")
def test_formats_come_in_their_order(make_run: MakeRun) -> None:
    found = write_report(make_run(optimizers=("SGD",)), formats=["docx", "md"])
    assert [path.name for path in found] == ["report.md", "report.docx"]
