"""The report as a DOCX file: pandoc writes text and equations, and here it gets its looks.

Pandoc's writer makes equations that a word processor can edit. Styles, page, footer and properties
are put into its file afterwards, so that no second DOCX has to be kept as a model.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape, unescape

from reports.figures import Figure
from reports.figures.style import WIDTH_CM

STYLES = Path(__file__).parent / "templates" / "styles.docx.xml"
EMU_PER_CM = 360_000
"""English Metric Units, in which the format has the sizes of pictures."""
STAMP = (1980, 1, 1, 0, 0, 0)
"""The time of every part, the earliest that a ZIP file can hold: no day shows in the bytes."""

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
HEADER = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

# A4 with as much room between the margins as a figure is wide.
SECTION = (
    '<w:sectPr><w:footerReference w:type="default" r:id="rIdFooter"/>'
    '<w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1020" w:right="1134" w:bottom="1020" '
    'w:left="1134" w:header="510" w:footer="510" w:gutter="0"/></w:sectPr>'
)
FOOTER = (
    f'{HEADER}<w:ftr {W}><w:p><w:pPr><w:pStyle w:val="Footer"/></w:pPr>'
    '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>PAGE</w:instrText></w:r>'
    '<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>1</w:t></w:r>'
    '<w:r><w:fldChar w:fldCharType="end"/></w:r></w:p></w:ftr>'
)
FOOTER_TYPE = (
    '<Override PartName="/word/footer1.xml" ContentType="application/vnd.openxmlformats-'
    'officedocument.wordprocessingml.footer+xml"/>'
)
FOOTER_LINK = (
    f'<Relationship Type="{OFFICE}/relationships/footer" Id="rIdFooter" Target="footer1.xml"/>'
)
APPLICATION = (
    f'{HEADER}<Properties xmlns="{OFFICE}/extended-properties">'
    "<Application>nncompare</Application></Properties>"
)
SHORT_TABLE = 14
"""A table of so many rows stays on one page."""
LISTING = '<w:pStyle w:val="SourceCode" />'
LONG_LISTING = 36
"""A listing of more lines may go on over pages; a shorter one stays on one."""
PICTURE_CM = WIDTH_CM - 0.5
"""A picture keeps some room to the margins."""
TEXT_WIDTH = 9638
"""Between the margins, in twentieths of a point, as are the following."""
CHARACTER, MARGINS = 100, 170
"""Of a table's type: about the width of a character, and what the edges of a cell take."""
BOLDER = 1.2
"""So many times as wide is a character of the first row."""
AFTER_TABLE = '<w:p><w:pPr><w:pStyle w:val="AfterTable"/></w:pPr></w:p>'


class Properties(NamedTuple):
    """What a document says of itself.

    Attributes:
        title: Its title.
        author: Who wrote it, where that is known.
        course: The course that it is for, if any.
        created: When the run was made, as in its record.
    """

    title: str
    author: str = ""
    course: str = ""
    created: str = ""


def with_looks(written: bytes, properties: Properties) -> bytes:
    """The DOCX file that pandoc wrote, with our styles, page, footer and properties.

    Equal arguments give equal bytes, on any day.
    """
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["word/styles.xml"] = STYLES.read_bytes()
    parts["word/footer1.xml"] = FOOTER.encode()
    parts["docProps/app.xml"] = APPLICATION.encode()
    parts["docProps/core.xml"] = _core(properties).encode()
    changes = {
        "word/document.xml": _laid_out,
        "[Content_Types].xml": lambda text: text.replace("</Types>", f"{FOOTER_TYPE}</Types>"),
        "word/_rels/document.xml.rels": lambda text: text.replace(
            "</Relationships>", f"{FOOTER_LINK}</Relationships>"
        ),
    }
    for name, change in changes.items():
        parts[name] = change(parts[name].decode("utf-8")).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name, STAMP), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def for_word(content: str, figures: Sequence[Figure]) -> str:
    """Markdown for pandoc with PNG pictures: not every word processor draws SVG files."""
    for figure in figures:
        content = content.replace(f"(figures/{figure.name}.svg)", f"(figures/{figure.name}.png)")
    return content


def _laid_out(document: str) -> str:
    document = re.sub(r"<w:sectPr>.*?</w:sectPr>", SECTION, document, flags=re.DOTALL)
    document = re.sub(
        r'<(wp:extent|a:ext) cx="(\d+)" cy="(\d+)" />',
        lambda found: _wide(*found.groups()),
        document,
    )
    # Room between formulas is lost unless it is text.
    document = re.sub(
        r"<m:r><m:t>(\s{2,})</m:t></m:r>",
        r'<m:r><m:rPr><m:nor/></m:rPr><m:t xml:space="preserve">\1</m:t></m:r>',
        document,
    )
    # The d of a derivative stays upright in LibreOffice as well, which heeds no style of letters.
    document = re.sub(
        r'<m:rPr><m:sty m:val="p" ?/></m:rPr>(<m:t>d</m:t>)', r"<m:rPr><m:nor/></m:rPr>\1", document
    )
    document = _with_whole_listings(document)
    return re.sub(r"<w:tbl>.*?</w:tbl>", lambda found: _table(found[0]), document, flags=re.DOTALL)


def _with_whole_listings(document: str) -> str:
    """Listings stay on one page, and with the sentence before them; long ones may go on."""
    parts = re.split(r"(<w:p>.*?</w:p>)", document, flags=re.DOTALL)
    for place in range(1, len(parts), 2):
        if LISTING not in parts[place]:
            continue
        if parts[place].count("<w:br") < LONG_LISTING:
            parts[place] = parts[place].replace(LISTING, f"{LISTING}<w:keepLines/>", 1)
        if place > 2 and not parts[place - 1].strip():
            parts[place - 2] = re.sub(
                r'(<w:pStyle w:val="(?:BodyText|FirstParagraph)" />)',
                r"\1<w:keepNext/>",
                parts[place - 2],
                count=1,
            )
    return "".join(parts)


def _wide(element: str, width: str, height: str) -> str:
    """A picture a little narrower than the text, for which it was drawn."""
    wide = round(PICTURE_CM * EMU_PER_CM)
    return f'<{element} cx="{wide}" cy="{round(int(height) * wide / int(width))}" />'


def _table(table: str) -> str:
    """Smaller type, rows that stay on one page, and some room behind it."""
    table = table.replace('<w:pStyle w:val="Compact" />', '<w:pStyle w:val="TableText" />')
    table = table.replace("<w:tr><w:tc>", "<w:tr><w:trPr><w:cantSplit/></w:trPr><w:tc>")
    texts = _texts(table)
    if len(texts) <= SHORT_TABLE:
        before, last, after = table.rpartition("<w:tr>")
        style = '<w:pStyle w:val="TableText" />'
        table = before.replace(style, f"{style}<w:keepNext/>") + last + after
    widths = column_widths(texts)
    grid = "".join(f'<w:gridCol w:w="{width}"/>' for width in widths)
    table = re.sub(r"<w:tblGrid>.*?</w:tblGrid>", f"<w:tblGrid>{grid}</w:tblGrid>", table)
    table = re.sub(
        r"<w:tr>.*?</w:tr>", lambda found: _row(found[0], widths), table, flags=re.DOTALL
    )
    table = table.replace(
        '<w:tblW w:type="auto" w:w="0" />',
        f'<w:tblW w:type="dxa" w:w="{sum(widths)}"/><w:tblLayout w:type="fixed"/>',
    )
    if "<w:tblHeader" not in table:
        table = table.replace('w:firstRow="1"', 'w:firstRow="0"').replace('"0020"', '"0000"')
    return table + AFTER_TABLE


def _row(row: str, widths: Sequence[int]) -> str:
    """A row whose cells are as wide as their columns."""
    columns = iter(widths)
    return re.sub(
        r"<w:tcPr ?/>",
        lambda _: f'<w:tcPr><w:tcW w:w="{next(columns)}" w:type="dxa"/></w:tcPr>',
        row,
    )


def _texts(table: str) -> list[list[str]]:
    """What stands in the cells of a table, row by row."""
    return [
        [
            unescape("".join(re.findall(r"<(?:w|m):t\b[^>]*>([^<]*)<", cell)))
            for cell in re.findall(r"<w:tc>(.*?)</w:tc>", row, re.DOTALL)
        ]
        for row in re.findall(r"<w:tr>(.*?)</w:tr>", table, re.DOTALL)
    ]


def column_widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """How wide columns have to be for their texts, in twentieths of a point.

    Where the page is too narrow, a column gets at least its longest word, and those with long texts
    share what is left; where even the words need more, all columns are narrowed alike.
    """
    head, *others = rows
    least, wanted = [], []
    for name, *texts in zip(head, *others, strict=True):
        bold = [BOLDER * len(word) for word in name.split()]
        words = [len(word) for text in texts for word in text.split()]
        lines = [BOLDER * len(name), *map(len, texts)]
        least.append(MARGINS + round(CHARACTER * max([*bold, *words], default=1)))
        wanted.append(MARGINS + round(CHARACTER * max(lines)))
    if sum(wanted) <= TEXT_WIDTH:
        return wanted
    if sum(least) >= TEXT_WIDTH:
        return [width * TEXT_WIDTH // sum(least) for width in least]
    wanted = [max(low, min(high, TEXT_WIDTH)) for low, high in zip(least, wanted, strict=True)]
    share = (TEXT_WIDTH - sum(least)) / (sum(wanted) - sum(least))
    return [round(low + share * (high - low)) for low, high in zip(least, wanted, strict=True)]


def _core(properties: Properties) -> str:
    """docProps/core.xml; what is not known is left out."""
    named = {
        "dc:title": properties.title,
        "dc:creator": properties.author,
        "dc:subject": properties.course,
    }
    lines = [f"<{name}>{escape(value)}</{name}>" for name, value in named.items() if value]
    if properties.created:
        stamp = escape(re.sub(r"(\.\d+)?\+00:00$", "Z", properties.created))
        lines += [
            f'<dcterms:{name} xsi:type="dcterms:W3CDTF">{stamp}</dcterms:{name}>'
            for name in ("created", "modified")
        ]
    return (
        f'{HEADER}<cp:coreProperties xmlns:cp="{PACKAGE}/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{"".join(lines)}'
        "</cp:coreProperties>"
    )
