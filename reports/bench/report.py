"""A measurement becomes a report."""

from __future__ import annotations

from pathlib import Path

from compare.bench.records import BenchRecord
from compare.records.atomic import write_atomically
from experiments.errors import InputError
from reports.bench.contents import TITLE, contents
from reports.bench.figures import draw_figures
from reports.documents import html_document, pdf_document
from reports.markdown import markdown

TEMPLATE = "bench.md.j2"


def write_bench_report(record: BenchRecord, folder: Path) -> list[Path]:
    """Write ``report.md``, ``report.html``, ``report.pdf`` and ``bench.json`` into a folder.

    The same record gives the same bytes. Everything is made before the first file is written.

    Returns:
        These four, then the figures beside ``report.md``.

    Raises:
        InputError: The folder cannot be made or written to.
    """
    figures = draw_figures(record)
    told = contents(record, figures)
    for_pandoc = markdown(told, "pandoc", TEMPLATE)
    files: dict[Path, bytes] = {
        folder / "report.md": markdown(told, "reader", TEMPLATE).encode(),
        folder / "report.html": html_document(for_pandoc, figures, TITLE),
        folder / "report.pdf": pdf_document(for_pandoc, figures, TITLE),
        folder / "bench.json": record.text().encode(),
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
