"""The HTML file and the PDF, both by pandoc from the same Markdown."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pypandoc
import typst

from reports.figures import Figure
from reports.markdown import TEMPLATES


def html_document(markdown: str, figures: Sequence[Figure], title: str) -> bytes:
    """One file with its style, its formulas as MathML and its pictures inside."""
    with _laid_out(figures) as folder:
        text = _pandoc(
            markdown,
            "html5",
            title,
            f"--template={TEMPLATES / 'report.html'}",
            f"--resource-path={folder}",
            f"--variable=style:{(TEMPLATES / 'style.css').read_text(encoding='utf-8')}",
            "--mathml",
            "--embed-resources",
            "--toc",
            "--toc-depth=3",
            "--syntax-highlighting=pygments",
        )
    # The contents stand after the summary, before the first section.
    before, _, rest = text.partition("<!--contents-->")
    contents, _, body = rest.partition("<!--/contents-->")
    text = before + body.replace("<h2", f"{contents}\n<h2", 1)
    # Wide tables scroll by themselves, so that the page does not.
    text = text.replace("<table>", '<div class="table"><table>')
    return text.replace("</table>", "</table></div>").encode()


def pdf_document(markdown: str, figures: Sequence[Figure], title: str) -> bytes:
    """A4, set by typst with the fonts that it carries, so that every machine sets it alike."""
    source = _pandoc(
        markdown,
        "typst",
        title,
        "--shift-heading-level-by=-1",
        f"--template={TEMPLATES / 'report.typ'}",
        "--syntax-highlighting=idiomatic",
        f"--variable=plaintitle:{_typst_string(title)}",
    )
    # Pandoc's writer centres tables and drops what stands for a picture unseen.
    source = source.replace("align(center)[#table(", "align(left)[#table(")
    for figure in figures:
        picture = f'image("figures/{figure.name}.svg"'
        source = source.replace(picture, f'{picture}, alt: "{_typst_string(figure.alt)}"')
    with _laid_out(figures) as folder:
        main = folder / "report.typ"
        main.write_text(source, encoding="utf-8")
        document = typst.compile(
            str(main), root=str(folder), ignore_system_fonts=True, format="pdf", timestamp=0
        )
    assert isinstance(document, bytes)
    return document


@contextmanager
def _laid_out(figures: Sequence[Figure]) -> Iterator[Path]:
    """A folder that holds the pictures while a document is made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "figures").mkdir()
        for figure in figures:
            (folder / "figures" / f"{figure.name}.svg").write_bytes(figure.svg)
        yield folder


def _pandoc(markdown: str, to: str, title: str, *options: str) -> str:
    body = markdown.partition("\n")[2]  # the first line is the title
    # Without --columns a long line of a table would set the widths of its columns.
    common = [f"--metadata=title:{title}", "--standalone", "--wrap=none", "--columns=10000"]
    return pypandoc.convert_text(body, to, format="markdown", extra_args=[*common, *options])


def _typst_string(text: str) -> str:
    """The text as it stands between the quotes of a typst string."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)[1:-1]
