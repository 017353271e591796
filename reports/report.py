"""A run directory becomes a report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare.languages import ENGLISH, LANGUAGES, current, known, translated, using
from compare.records.atomic import write_atomically
from compare.records.run import DemoRecord, Run, read_run
from experiments.errors import InputError
from reports.documents import USUAL, docx_document, html_document, markdown, pdf_document
from reports.figures import Figure, draw_figures
from reports.figures.style import can_be_drawn
from reports.page import WITHOUT_BOKEH, has_bokeh
from reports.sections import template_values

if TYPE_CHECKING:
    from reports.docx import Properties
    from reports.interactive import Interactive


def write_report(
    run_dir: Path, author: str = "", formats: Sequence[str] = USUAL, language: str = ""
) -> list[Path]:
    """Write ``report.md``, ``report.html`` and so on under ``run_dir/report``.

    The same records give the same bytes in a language, wherever the folder stands. Everything is
    made before the first file is written, so that an error leaves an earlier report as it was; a
    file of a format that is not asked for stays as it is.

    Args:
        run_dir: The run directory.
        author: Who wrote it; else what the experiment's table ``report`` says.
        formats: Some of :data:`reports.documents.FORMATS`.
        language: ``en`` or ``ko``; else what that table says, else the one that is spoken now.
            What the code of a notebook draws is named in English.

    Returns:
        The documents in the order of the formats, then the figures beside ``report.md``.

    Raises:
        InputError: The records are missing, damaged or of another version, the folder cannot
            be written to, or there is no catalogue of the language.
    """
    if language:
        known(language)
    run_dir = Path(run_dir)
    run = read_run(run_dir)
    if isinstance(run.record, DemoRecord):
        with using(language or current()):
            return _write_demo(run, author, formats)
    language = language or run.record.experiment.report.language or current()
    if author:
        own = run.record.experiment.report.model_copy(update={"author": author})
        run.record.experiment = run.record.experiment.model_copy(update={"report": own})
    with using(language):
        figures = draw_figures(run)
        title = translated(run.record.experiment.title)
        values = template_values(run, figures)
        pdf = english_pdf(lambda: _in_english(run)) if "pdf" in formats else None
        return write_documents(
            run_dir / "report",
            title,
            values,
            figures,
            interactive=_interactive(run) if "html" in formats else [],
            formats=formats,
            properties=lambda: _properties(run),
            notebook=lambda: _notebook(run, figures),
            pdf=pdf,
        )


def _notebook(run: Run, figures: Sequence[Figure]) -> str:
    from reports.notebook import notebook_values

    values = template_values(run, figures) | notebook_values(run)
    return markdown(values, "reader", "notebook.md.j2")


def _write_demo(run: Run, author: str, formats: Sequence[str]) -> list[Path]:
    from reports.demos import demo_documents

    title, values, figures, template = demo_documents(run, author)
    return write_documents(
        run.path / "report",
        title,
        values,
        figures,
        template,
        formats=formats,
        properties=lambda: _properties(run, author),
        notebook=lambda: markdown(values, "reader", "demo_notebook.md.j2"),
        pdf=english_pdf(lambda: demo_documents(run, author)) if "pdf" in formats else None,
    )


def _properties(run: Run, author: str = "") -> Properties:
    from reports.docx import Properties

    own = getattr(run.record.experiment, "report", None)
    return Properties(
        translated(run.record.experiment.title),
        author or getattr(own, "author", ""),
        getattr(own, "course", ""),
        run.record.created,
    )


def _in_english(run: Run) -> tuple[str, dict[str, Any], Sequence[Figure], str]:
    figures = draw_figures(run)
    return run.record.experiment.title, template_values(run, figures), figures, "report.md.j2"


def english_pdf(
    documents: Callable[[], tuple[str, dict[str, Any], Sequence[Figure], str]],
) -> bytes | None:
    """The PDF where no font of the machine has the writing of the language; None where one has.

    Args:
        documents: Makes title, contents, figures and the name of the template.
    """
    if can_be_drawn(LANGUAGES[current()]):
        return None
    from reports.typefaces import faces_for

    missing = faces_for(LANGUAGES[current()])[1]
    print(f"nncompare: {missing.instead('are in English')}", file=sys.stderr)
    with using(ENGLISH):
        title, values, figures, template = documents()
        return pdf_document(markdown(values, "pandoc", template), figures, title)


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
    formats: Sequence[str] = USUAL,
    properties: Callable[[], Properties] | None = None,
    notebook: Callable[[], str] | None = None,
    pdf: bytes | None = None,
) -> list[Path]:
    """Fill in a template and write the documents and the figures into a folder.

    Args:
        folder: It is made where it is not there.
        title: Of the documents.
        values: The names that the template uses.
        figures: The pictures that it may name.
        template: Which of the templates.
        interactive: Figures that one can ask, for the HTML file.
        formats: Some of :data:`reports.documents.FORMATS`.
        properties: What the DOCX file says of itself; by default its title alone.
        notebook: Fills in the template of the notebook.
        pdf: Takes the place of the PDF that the template would give.

    Returns:
        The documents in the order of the formats, then the figures.
    """
    files: dict[Path, bytes] = {}
    paper = [kind for kind in ("html", "pdf", "docx") if kind in formats]
    for_pandoc = markdown(values, "pandoc", template) if paper else ""
    if "md" in formats:
        files[folder / "report.md"] = markdown(values, "reader", template).encode()
    if "html" in formats:
        files[folder / "report.html"] = html_document(for_pandoc, figures, title, interactive)
    if "pdf" in formats:
        files[folder / "report.pdf"] = pdf or pdf_document(for_pandoc, figures, title)
    if "docx" in formats:
        from reports.docx import Properties

        own = properties() if properties is not None else Properties(title)
        files[folder / "report.docx"] = docx_document(for_pandoc, figures, own)
    if "ipynb" in formats and notebook is not None:
        from reports.notebook import notebook_document

        files[folder / "report.ipynb"] = notebook_document(notebook())
    for figure in figures if "md" in formats else []:
        files[folder / "figures" / f"{figure.name}.png"] = figure.png
        files[folder / "figures" / f"{figure.name}.svg"] = figure.svg
    try:
        (folder / "figures" if "md" in formats else folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} could not be made into a folder: {error.strerror}.") from None
    for path, content in files.items():
        write_atomically(path, content)
    return list(files)
