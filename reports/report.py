"""A run directory becomes a report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare.languages import ENGLISH, LANGUAGES, current, known, translated, using
from compare.records.atomic import write_atomically
from compare.records.run import DemoRecord, Run, read_run
from experiments.errors import InputError
from reports.documents import html_document, markdown, pdf_document
from reports.figures import Figure, draw_figures
from reports.figures.style import can_be_drawn
from reports.page import WITHOUT_BOKEH, has_bokeh
from reports.sections import template_values

if TYPE_CHECKING:
    from reports.interactive import Interactive


def write_report(run_dir: Path, author: str = "", language: str = "") -> list[Path]:
    """Write ``report.md``, ``report.html`` and ``report.pdf`` under ``run_dir/report``.

    The same records give the same bytes in a language, wherever the folder stands. Everything is
    made before the first file is written, so that an error leaves an earlier report as it was.

    Args:
        run_dir: The run directory.
        author: Who wrote it; else what the experiment's table ``report`` says.
        language: ``en`` or ``ko``; else what that table says, else the one that is spoken now.
            Demonstrations are described in English.

    Returns:
        The three documents, then the figures beside ``report.md``.

    Raises:
        InputError: The records are missing, damaged or of another version, the folder cannot
            be written to, or there is no catalogue of the language.
    """
    if language:
        known(language)
    run_dir = Path(run_dir)
    run = read_run(run_dir)
    if isinstance(run.record, DemoRecord):
        from reports.demos import demo_documents

        with using(ENGLISH):
            return write_documents(run_dir / "report", *demo_documents(run, author))
    language = language or run.record.experiment.report.language or current()
    if author:
        own = run.record.experiment.report.model_copy(update={"author": author})
        run.record.experiment = run.record.experiment.model_copy(update={"report": own})
    with using(language):
        figures = draw_figures(run)
        title = translated(run.record.experiment.title)
        values = template_values(run, figures)
        pdf = None if can_be_drawn(LANGUAGES[language]) else _english_pdf(run)
        return write_documents(
            run_dir / "report", title, values, figures, interactive=_interactive(run), pdf=pdf
        )


def _english_pdf(run: Run) -> bytes:
    """The PDF where no font of the machine has the writing of the report's language."""
    from reports.typefaces import faces_for

    missing = faces_for(LANGUAGES[current()])[1]
    print(f"nncompare: {missing.instead('are in English')}", file=sys.stderr)
    with using(ENGLISH):
        figures = draw_figures(run)
        content = markdown(template_values(run, figures), "pandoc")
        return pdf_document(content, figures, run.record.experiment.title)


def _interactive(run: Run) -> list[Interactive]:
    """The figures that one can ask; none, and a sentence on the console, without Bokeh."""
    if not has_bokeh():
        print(WITHOUT_BOKEH, file=sys.stderr)
        return []
    from reports.interactive import interactive_figures

    return interactive_figures(run)


def write_documents(
    folder: Path,
    title: str,
    values: dict[str, Any],
    figures: Sequence[Figure],
    template: str = "report.md.j2",
    interactive: Sequence[Interactive] = (),
    pdf: bytes | None = None,
) -> list[Path]:
    """Fill in a template and write the three documents and the figures into a folder.

    ``pdf`` takes the place of the PDF that the template would give.
    """
    for_pandoc = markdown(values, "pandoc", template)
    files: dict[Path, bytes] = {
        folder / "report.md": markdown(values, "reader", template).encode(),
        folder / "report.html": html_document(for_pandoc, figures, title, interactive),
        folder / "report.pdf": pdf or pdf_document(for_pandoc, figures, title),
    }
    for figure in figures:
        files[folder / "figures" / f"{figure.name}.png"] = figure.png
        files[folder / "figures" / f"{figure.name}.svg"] = figure.svg
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} could not be made into a folder: {error.strerror}.") from None
    for path, content in files.items():
        write_atomically(path, content)
    return list(files)
