"""The DOCX file: equations, pictures, tables, properties, and the same bytes again."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from compare.records.run import read_run
from reports.documents import docx_document, markdown
from reports.docx import TEXT_WIDTH, Properties, column_widths
from reports.figures import Figure
from reports.figures.style import Drawing, paper, rendered, style
from reports.report import write_report
from reports.sections import template_values

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
MakeRun = Callable[..., Path]

CONTENT = r"""# The title

With $x_n$ and `$HOME (not) math`:

$$\sigma^2 = \frac1N\sum_{n=1}^{N} (x_n-\mu)^2, \qquad
y = \begin{cases} f(x & 1\\ 2 & 3)\end{cases}$$

![**Figure 1.** A line.](figures/line.svg){#figure-line alt="What it shows"}

| name | value |
|:--|--:|
| a long name of several words | 1.5 |

: **Table 1.** Numbers.
"""


def parts(document: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def formulas(document: bytes) -> int:
    return len(list(ElementTree.fromstring(parts(document)["word/document.xml"]).iter(f"{M}oMath")))


@pytest.fixture(scope="module")
def line() -> Figure:
    with style():
        canvas, axes = paper(4)
        axes[0, 0].plot([1, 2])
        return rendered(Drawing("line", canvas, "A line.", "What it shows"), 1)


@pytest.fixture(scope="module")
def small(line: Figure) -> bytes:
    properties = Properties("The <title>", "Ada & Co", "Maths", "2024-02-03T04:05:06+00:00")
    return docx_document(CONTENT, [line], properties)


def test_every_part_is_xml_and_none_has_a_day_of_its_own(small: bytes) -> None:
    for name, content in parts(small).items():
        if name.endswith((".xml", ".rels")):
            ElementTree.fromstring(content)
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.namelist()[0] == "[Content_Types].xml"
    assert (
        re.findall(rb"20\d\d-\d\d-\d\d", parts(small)["docProps/core.xml"]) == [b"2024-02-03"] * 2
    )


def test_every_style_that_is_used_is_there(small: bytes) -> None:
    found = parts(small)
    styles = {
        one.get(f"{W}styleId"): one.get(f"{W}type")
        for one in ElementTree.fromstring(found["word/styles.xml"]).iter(f"{W}style")
    }
    used = set()
    for part in ("word/document.xml", "word/footer1.xml"):
        for kind in ("pStyle", "tblStyle"):
            for one in ElementTree.fromstring(found[part]).iter(f"{W}{kind}"):
                used.add(one.get(f"{W}val"))
    assert used >= {"Title", "TableCaption", "ImageCaption", "Table", "TableText", "Footer"}
    assert used <= set(styles)
    based = re.findall(rb'basedOn w:val="(\w+)"', found["word/styles.xml"])
    assert {name.decode() for name in based} <= set(styles)


def test_brackets_of_a_formula_belong_together_and_code_stays(small: bytes) -> None:
    document = ElementTree.fromstring(parts(small)["word/document.xml"])
    assert formulas(small) == 2
    [body] = document.iter(f"{M}nary")
    [inside] = body.findall(f"{M}e")
    assert [one.text for one in inside.iter(f"{M}t")] == ["x", "n", "−", "μ", "2"]
    assert len(list(inside.iter(f"{M}d"))) == 1
    texts = [one.text for one in document.iter(f"{W}t")]
    assert "$HOME (not) math" in texts
    assert not any("\\" in text for text in texts if text)
    assert not any("\\" in (one.text or "") for one in document.iter(f"{M}t"))


def test_pictures_stay_within_the_margins_and_have_words(small: bytes) -> None:
    document = parts(small)["word/document.xml"].decode()
    [(width, height)] = re.findall(r'<wp:extent cx="(\d+)" cy="(\d+)"', document)
    assert 16 * 360_000 < int(width) < 17 * 360_000
    assert int(height) / int(width) == pytest.approx(4 / 17, rel=0.01)
    assert 'descr="What it shows"' in document
    [picture] = [content for name, content in parts(small).items() if name.endswith(".png")]
    assert picture.startswith(b"\x89PNG")


def test_tables_repeat_their_heads_and_align_numbers_right(small: bytes) -> None:
    [table] = ElementTree.fromstring(parts(small)["word/document.xml"]).iter(f"{W}tbl")
    head, row = table.findall(f"{W}tr")
    assert head.find(f"{W}trPr/{W}tblHeader") is not None
    aligned = [one.get(f"{W}val") for one in row.iter(f"{W}jc")]
    assert aligned == ["left", "right"]
    grid = [int(one.get(f"{W}w", "")) for one in table.iter(f"{W}gridCol")]
    cells = [int(one.get(f"{W}w", "")) for one in row.iter(f"{W}tcW")]
    assert grid == cells
    assert grid[0] > 3 * grid[1]
    kept = [len(list(one.iter(f"{W}keepNext"))) for one in (head, row)]
    assert kept == [2, 0]


@pytest.mark.parametrize(("lines", "whole"), [(20, True), (36, True), (37, False)])
def test_a_listing_stays_on_a_page_with_the_sentence_before_it(lines: int, whole: bool) -> None:
    code = "\n".join(f"x = {k}" for k in range(lines))
    content = f"# x\n\nBefore.\n\nThe code:\n\n```python\n{code}\n```\n\nAfter.\n"
    written = docx_document(content, [], Properties("x"))
    document = ElementTree.fromstring(parts(written)["word/document.xml"])
    kept = {
        "".join(one.text or "" for one in paragraph.iter(f"{W}t")): [
            paragraph.find(f"{W}pPr/{W}{name}") is not None for name in ("keepNext", "keepLines")
        ]
        for paragraph in document.iter(f"{W}p")
    }
    [listing] = [text for text in kept if text.startswith("x = 0")]
    assert kept[listing] == [False, whole]
    assert kept["The code:"] == [True, False]
    assert kept["Before."] == kept["After."] == [False, False]


def test_columns_share_the_width_of_the_page() -> None:
    assert column_widths([["a", "bb"], ["ccc", "d"]])[0] > column_widths([["a", "bb"]])[0]
    assert sum(column_widths([["a", "bb"]])) < TEXT_WIDTH / 10
    wide = column_widths([["name", "x " * 400, "y " * 20], ["b", "", "longer"]])
    assert sum(wide) == pytest.approx(TEXT_WIDTH, abs=2)
    assert wide[1] > wide[2] > wide[0]
    assert sum(column_widths([["w" * 90, "v" * 90]])) <= TEXT_WIDTH


def test_properties_say_whose_it_is(small: bytes) -> None:
    docx = pytest.importorskip("docx", reason="python-docx is not installed")
    found = docx.Document(io.BytesIO(small)).core_properties
    assert (found.title, found.author, found.subject) == ("The <title>", "Ada & Co", "Maths")
    assert str(found.created).startswith("2024-02-03 04:05:06")


@pytest.mark.slow
def test_a_report_has_its_equations_pictures_and_the_same_bytes_again(make_run: MakeRun) -> None:
    run = make_run(failing={(1, "gradient/1.weight")})
    [path] = write_report(run, formats=["docx"])
    first = path.read_bytes()
    [again] = write_report(run, formats=["docx"])
    assert again.read_bytes() == first
    content = markdown(template_values(read_run(run), []), "reader")
    outside = re.sub(r"`````.*?`````|`[^`\n]*`|\\\$", "", content, flags=re.DOTALL)
    shown = re.findall(r"\$\$.+?\$\$", outside, re.DOTALL)
    within = re.findall(r"\$[^$]+\$", re.sub(r"\$\$.+?\$\$", "", outside, flags=re.DOTALL))
    assert formulas(first) == len(shown) + len(within) > 20
    pictures = [name for name in parts(first) if name.startswith("word/media/")]
    drawn = parts(first)["word/document.xml"].count(b"<pic:pic>")
    assert len(pictures) == drawn >= 6
    text = " ".join(
        one.text or ""
        for one in ElementTree.fromstring(parts(first)["word/document.xml"]).iter(f"{W}t")
    )
    assert not re.search(r"\\(frac|sum|left|begin|hat)|\$\$|#figure|#table\(", text)
    assert str(run).encode() not in b"".join(parts(first).values())


def test_the_d_of_a_derivative_is_upright_where_styles_of_letters_are_not_heeded() -> None:
    content = "# T\n\n$$\\mathrm{d}x = \\mathrm{N} d$$\n"
    document = parts(docx_document(content, [], Properties("T")))["word/document.xml"].decode()
    assert "<m:rPr><m:nor/></m:rPr><m:t>d</m:t>" in document
    assert re.search(r'<m:sty m:val="p" ?/></m:rPr><m:t>N</m:t>', document)
