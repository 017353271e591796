"""One template, three documents."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
import pypandoc
import typst

from reports.figures import Figure
from reports.references import Bibliography

TEMPLATES = Path(__file__).parent / "templates"
FORMAT = "markdown-implicit_header_references-citations-auto_identifiers+gfm_auto_identifiers"

Target = Literal["markdown", "pandoc"]


def markdown_document(told: dict[str, Any]) -> bytes:
    """``report.md``: plain Markdown with pictures beside it, as any viewer shows it."""
    return _markdown(told, "markdown").encode()


def html_document(told: dict[str, Any], figures: list[Figure]) -> bytes:
    """``report.html``: one file with its style, its formulas as MathML and its pictures inside."""
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(Path(folder), figures)
        text = _pandoc(
            _markdown(told, "pandoc"),
            "html5",
            folder,
            "--template=" + str(TEMPLATES / "report.html"),
            "--mathml",
            "--embed-resources",
            "--toc",
            "--toc-depth=2",
            "--syntax-highlighting=pygments",
            "--metadata=pagetitle:" + told["plain_title"],
            "--variable=style:" + (TEMPLATES / "style.css").read_text(encoding="utf-8"),
        )
    return text.encode()


def pdf_document(told: dict[str, Any], figures: list[Figure]) -> bytes:
    """``report.pdf``: A4, set by typst with the fonts that it carries."""
    with tempfile.TemporaryDirectory() as folder:
        _lay_out(Path(folder), figures)
        source = _pandoc(
            _markdown(told, "pandoc"),
            "typst",
            folder,
            "--template=" + str(TEMPLATES / "report.typ"),
            "--syntax-highlighting=idiomatic",
            "--variable=pagetitle:" + json.dumps(told["plain_title"], ensure_ascii=False)[1:-1],
        )
        main = Path(folder) / "report.typ"
        main.write_text(source, encoding="utf-8")
        document = typst.compile(
            str(main), root=folder, ignore_system_fonts=True, format="pdf", timestamp=0
        )
    assert isinstance(document, bytes)
    return document


def _lay_out(folder: Path, figures: list[Figure]) -> None:
    (folder / "figures").mkdir()
    for figure in figures:
        (folder / "figures" / f"{figure.name}.svg").write_bytes(figure.svg)


def _pandoc(markdown: str, to: str, folder: str, *options: str) -> str:
    return pypandoc.convert_text(
        markdown,
        to,
        format=FORMAT,
        extra_args=["--standalone", "--shift-heading-level-by=-1", "--wrap=none", *options],
        cworkdir=folder,
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.md.j2")


def _markdown(told: dict[str, Any], target: Target) -> str:
    numbers: dict[str, int] = {}

    def figure(name: str) -> str:
        found = told["figures"].get(name)
        if found is None:
            return ""
        caption = f"**Figure {found.number}.** {found.caption}"
        if target == "pandoc":
            alt = found.alt.replace('"', "'")
            return f'![{caption}](figures/{name}.svg){{alt="{alt}"}}'
        return f"![{found.alt}](figures/{name}.png)\n\n{caption}"

    def table(name: str, caption: str) -> str:
        if name not in told["tables"]:
            return ""
        number = numbers.setdefault(name, len(numbers) + 1)
        said = f"**Table {number}.** {caption}"
        body = told["tables"][name]
        return f"{body}\n\n: {said}" if target == "pandoc" else f"{said}\n\n{body}"

    cited = Bibliography()
    names = {"figure": figure, "table": table, "cite": cited.cite, "references": cited.listed}
    return _tidied(_template().render({**told, **names}))


def _tidied(text: str) -> str:
    """Never more than one empty line, and one newline at the end."""
    lines: list[str] = []
    fenced = False
    for line in text.split("\n"):
        fenced ^= line.startswith("```")
        if fenced or line.strip() or (lines and lines[-1]):
            lines.append(line if fenced else line.rstrip())
    return "\n".join(lines).rstrip("\n") + "\n"
