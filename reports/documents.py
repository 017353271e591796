"""The templates filled in as Markdown, and from it HTML, PDF and DOCX files, all by pandoc."""

from __future__ import annotations

import base64
import json
import math
import re
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jinja2
import pypandoc
import typst

from compare.analysis.timings import BUSY_LOAD, LEAST_SHARE
from compare.languages import ENGLISH, current, translated
from experiments.errors import InputError
from reports import text
from reports.figures import Figure
from reports.page import anchor, assembled, place_of
from reports.references import Bibliography

if TYPE_CHECKING:
    from reports.docx import Properties
    from reports.interactive import Interactive
    from reports.typefaces import Face

FORMATS = ("md", "html", "pdf", "docx", "ipynb")
"""What a report can be written as: the ends of its files' names."""
USUAL = FORMATS[:3]
"""What it is written as unless somebody asks for something else."""

TEMPLATES = Path(__file__).parent / "templates"
SENTENCES = ("sentences.md.j2", "limits_sentences.md.j2", "runs_sentences.md.j2")
FUNCTION_SPACE = '<mspace width="0.17em"></mspace>'
MATH_FONT = Path(__file__).parent / "fonts" / "report-math.woff"

Target = Literal["reader", "pandoc"]

FILTERS: dict[str, Callable[..., Any]] = {
    name: getattr(text, name)
    for name in (
        *("capitalised", "code", "count", "emphasised", "escaped", "fixed", "joined", "listing"),
        *("number", "one_line", "percent", "plural", "points", "probability", "quoted"),
        *("forward_lines", "milliseconds", "runs", "signed_points"),
    )
}
"""Names in templates → functions of :mod:`reports.text`; ``count`` takes the place of Jinja's."""


def markdown(values: dict[str, Any], target: Target, template: str = "report.md.j2") -> str:
    """Fill in a template, in the language that is spoken now.

    For a reader, captions are paragraphs, and pictures are the PNG files beside the report. For
    pandoc they are its own captions, and pictures are the SVG files.

    Args:
        values: The names that the template uses. ``figures`` and ``tables`` are drawn on by the
            functions ``figure``, ``table`` and ``see``, which are added here; so are ``cite``,
            ``references`` and ``once``.
        target: Who is going to read it.
        template: Which of the templates.
    """
    numbers: dict[str, int] = {}
    cited = Bibliography()

    def figure(name: str) -> str:
        found = values["figures"].get(name)
        if found is None:
            return ""
        caption = f"**{translated(f'Figure {found.number}')}.** {found.caption}"
        if target == "pandoc":
            return f'![{caption}](figures/{name}.svg){{#{anchor(name)} alt="{found.alt}"}}'
        return f"![{found.alt}](figures/{name}.png)\n\n{caption}"

    def interactive(name: str) -> str:
        """Where a figure that has no picture stands in the HTML."""
        return f"```{{=html}}\n{place_of(name)}\n```" if target == "pandoc" else ""

    def table(name: str, caption: str, body: str = "") -> str:
        """A table of the values, or the one that is given, with its number and caption."""
        if not body and name not in values["tables"]:
            return ""
        number = numbers.setdefault(name, len(numbers) + 1)
        caption = f"**{translated(f'Table {number}')}.** {text.one_line(caption)}"
        body = body.strip() or text.translated_table(values["tables"][name], f"table {name}")
        return f"{body}\n\n: {caption}" if target == "pandoc" else f"{caption}\n\n{body}"

    def see(*names: str) -> str:
        """`` See Figure 3.``, after a sentence; nothing where no such figure exists."""
        found = [str(values["figures"][n].number) for n in names if n in values["figures"]]
        if not found:
            return ""
        several = "s" if len(found) > 1 else ""
        sentence = translated(f"See Figure{several} {text.joined(found)}.")
        if target == "pandoc":
            places = {
                str(values["figures"][n].number): anchor(n) for n in names if n in values["figures"]
            }
            sentence = re.sub(r"\d+", lambda m: f"[{m[0]}](#{places[m[0]]})", sentence)
        return f" {sentence}"

    told: set[str] = set()

    def once(code: str) -> str:
        """Code with what it calls explained beneath, but what was explained before."""
        body, _, meanings = code.rpartition("\n\n# ")
        if not body:
            return code
        new = [line for line in f"# {meanings}".splitlines() if line not in told]
        told.update(new)
        return "\n\n".join(filter(None, (body, "\n".join(new))))

    functions = {
        "figure": figure,
        "once": once,
        "interactive": interactive,
        "table": table,
        "see": see,
        "cite": cited.cite,
        "cite_doi": cited.cite_doi,
        "references": cited.listed,
        "target": target,
    }
    return _tidied(_environment(current()).get_template(template).render({**values, **functions}))


class Sentences:
    """The sentences of the templates' files: ``say.parity(10, 0)`` is one line of Markdown.

    Templates use them by the same name. They are in the language that is spoken now.
    """

    def __getattr__(self, name: str) -> Callable[..., str]:
        if name.startswith("_"):
            raise AttributeError(name)
        for file in SENTENCES:
            macro = getattr(_environment(current()).get_template(file).module, name, None)
            if macro is not None:
                return lambda *arguments, macro=macro: text.one_line(macro(*arguments))
        raise AttributeError(name)


say = Sentences()


@cache
def _environment(language: str) -> jinja2.Environment:
    """Templates and filters; of a language, its folder comes before the English templates."""
    folders = [TEMPLATES] if language == ENGLISH else [TEMPLATES / language, TEMPLATES]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {**FILTERS, "paragraph": lambda lines: f"{text.one_line(lines)}\n"}
    environment.filters |= {"translated": translated, "particle": with_particle}
    environment.tests |= {"finite": math.isfinite, "nan": math.isnan}
    environment.globals |= {"say": say, "BUSY_LOAD": BUSY_LOAD, "LEAST_SHARE": LEAST_SHARE}
    return environment


def _tidied(markdown: str) -> str:
    """Outside listings never more than one empty line, and one newline at the end."""
    lines: list[str] = []
    fence = ""  # of the listing that the line stands in; a shorter one in it is a part of it
    for line in markdown.split("\n"):
        found = line[: len(line) - len(line.lstrip("`"))]
        if not fence and len(found) >= 3:
            fence = found
        elif fence and line.rstrip() == found and len(found) >= len(fence):
            fence = ""
        listing = bool(fence)
        if listing or line.strip() or (lines and lines[-1]):
            lines.append(line if listing else line.rstrip())
    return "\n".join(lines).rstrip("\n") + "\n"


def with_particle(word: str, forms: str) -> str:
    """``("손실", "은/는")`` → ``손실은``: for templates in Korean."""
    from compare.languages import korean

    return korean.with_particle(word, forms)


def html_document(
    content: str,
    figures: Sequence[Figure],
    title: str,
    interactive: Sequence[Interactive] = (),
) -> bytes:
    """One file with its style, its formulas as MathML and its pictures inside.

    Args:
        content: Markdown for pandoc.
        figures: The pictures that it names.
        title: Of the page.
        interactive: Figures that one can ask, for a reader with scripts.
    """
    with _laid_out(figures) as folder:
        page = _pandoc(
            content,
            "html5",
            title,
            {
                "style": (TEMPLATES / "style.css").read_text(encoding="utf-8"),
                "language": current(),
                "contents": translated("Contents"),
            },
            f"--template={TEMPLATES / 'report.html'}",
            f"--resource-path={folder}",
            "--mathml",
            "--embed-resources",
            "--toc",
            "--toc-depth=3",
            "--syntax-highlighting=pygments",
        )
    if "<math" in page:
        # Browsers leave no room between the name of a function and what it is applied to.
        page = re.sub(r"<mo>\u2061</mo>", "<mo>\u2061</mo>" + FUNCTION_SPACE, page)
        page = re.sub(r"(<munder><mi>m(?:ax|in)</mi>.*?</munder>)", rf"\1{FUNCTION_SPACE}", page)
        page = page.replace("</style>", f"{_math_font()}\n</style>", 1)
    return assembled(page, interactive)


@cache
def _math_font() -> str:
    """The style of formulas, with the font that has what roots and braces are made of."""
    content = base64.b64encode(MATH_FONT.read_bytes()).decode()
    source = f"url(data:font/woff;base64,{content})"
    face = f'@font-face {{ font-family: "Report Math"; src: {source} format("woff"); }}'
    return f'{face}\nmath {{ font-family: "Report Math", math; font-size: 1.05em; }}'


def pdf_document(content: str, figures: Sequence[Figure], title: str) -> bytes:
    """A4, set by typst with the fonts that it carries, so that every machine sets it alike.

    Fonts of the machine are used for writing that those lack, and for nothing else. What no font
    has is left out, and a sentence on standard error says so.
    """
    faces: list[Face] = []
    families: list[str] = []
    written = title + content
    fonts_of: Callable[[Sequence[Face]], AbstractContextManager[list[Path]]] = _no_fonts
    if text.has_other_writing(written):
        from reports.typefaces import faces_for, family_names, font_folder, without

        fonts_of = font_folder
        faces, missing = faces_for(written)
        families = family_names(faces, written)
        if missing:
            print(f"nncompare: {missing.sentence('the figures and the PDF')}", file=sys.stderr)
            content, title = without(content, missing), without(title, missing)
    source = _pandoc(
        content,
        "typst",
        title,
        {"plaintitle": _typst_string(title), "language": current(), "fallback": families},
        "--shift-heading-level-by=-1",
        f"--template={TEMPLATES / 'report.typ'}",
        "--syntax-highlighting=idiomatic",
    )
    # Pandoc's writer centres tables and drops what stands for a picture unseen.
    source = source.replace("align(center)[#table(", "align(left)[#table(")
    # A sentence stays with the formula that it leads to.
    source = re.sub(r"(?m)^((?:#emph\[|[^\s#=+$/<-]).*)\n\n(?=\$ )", _sticky, source)
    for figure in figures:
        picture = f'image("figures/{figure.name}.svg"'
        source = source.replace(picture, f'{picture}, alt: "{_typst_string(figure.alt)}"')
    with _laid_out(figures) as folder, fonts_of(faces) as fonts:
        main = folder / "report.typ"
        main.write_text(source, encoding="utf-8")
        document = typst.compile(
            str(main),
            root=str(folder),
            font_paths=[str(font) for font in fonts],
            ignore_system_fonts=True,
            format="pdf",
            timestamp=0,
        )
    assert isinstance(document, bytes)
    return document


def docx_document(content: str, figures: Sequence[Figure], properties: Properties) -> bytes:
    """A4, for a word processor, with equations that it can edit."""
    from reports.docx import for_word, with_looks

    with _laid_out(figures, "png") as folder:
        file = folder / "report.docx"
        _pandoc(
            for_word(content, figures),
            "docx",
            properties.title,
            {},
            "--shift-heading-level-by=-1",
            f"--resource-path={folder}",
            f"--lua-filter={TEMPLATES / 'brackets.lua'}",
            "--syntax-highlighting=pygments",
            outputfile=str(file),
        )
        try:
            return with_looks(file.read_bytes(), properties)
        except zipfile.BadZipFile:
            raise InputError(
                "report.docx could not be made: expected a whole file from pandoc, found a part."
            ) from None


@contextmanager
def _no_fonts(_: Sequence[Face]) -> Iterator[list[Path]]:
    yield []


@contextmanager
def _laid_out(figures: Sequence[Figure], kind: Literal["svg", "png"] = "svg") -> Iterator[Path]:
    """A folder that holds the pictures while a document is made."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "figures").mkdir()
        for figure in figures:
            content = figure.svg if kind == "svg" else figure.png
            (folder / "figures" / f"{figure.name}.{kind}").write_bytes(content)
        yield folder


def _pandoc(
    content: str,
    to: str,
    title: str,
    variables: dict[str, Any],
    *options: str,
    outputfile: str | None = None,
) -> str:
    """What pandoc writes; nothing where it goes to a file."""
    body = content.partition("\n")[2]  # the first line is the title
    # Without --columns a long line of a table would set the widths of its columns.
    common = ["--standalone", "--wrap=none", "--columns=10000"]
    # In a file, as a command line cannot hold every character in every locale.
    defaults = {"metadata": {"title": title}, "variables": variables}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "defaults.yaml"
        file.write_text(json.dumps(defaults), encoding="utf-8")
        arguments = [f"--defaults={file}", *common, *options]
        return pypandoc.convert_text(
            body, to, format="markdown", extra_args=arguments, outputfile=outputfile
        )


def _sticky(found: re.Match[str]) -> str:
    """A paragraph of typst that stays on the page of what follows it."""
    text = found[1]
    return f"#block(sticky: true)[{text}]\n\n" if text.count("[") == text.count("]") else found[0]


def _typst_string(string: str) -> str:
    """The string as it stands between the quotes of a typst string."""
    return json.dumps(" ".join(string.split()), ensure_ascii=False)[1:-1]
