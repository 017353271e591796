"""Fonts of the machine are used for writing that the own fonts lack, and boxes are never drawn."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.figure
import pytest

from reports import typefaces
from reports.documents import pdf_document
from reports.figures.style import Drawing, paper, plain, rendered, style
from reports.typefaces import faces_for, family_names, needs_fonts, without

KOREAN = "신경망"
HAS_KOREAN = not faces_for(KOREAN)[1]
needs_korean = pytest.mark.skipif(not HAS_KOREAN, reason="no font of this machine has Korean")


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without fonts."""
    monkeypatch.setattr(typefaces, "installed", lambda: ())
    return


def a_drawing(words: str) -> Drawing:
    with style():
        canvas, axes = paper(4.0)
        axes[0, 0].set_title(words)
        axes[0, 0].set_xticks([0, 1], [words, "b"])
    return Drawing("words", canvas, "", "")


def texts(canvas: matplotlib.figure.Figure) -> set[str]:
    from matplotlib.text import Text

    return {text.get_text() for text in canvas.findobj(Text)}


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("‖θ − θ₆₄‖ ≤ 2⁻²⁴ · γ → “x” é ı ж", False),
        (KOREAN, True),
        ("漢字", True),
        ("かな", True),
        ("العربية", True),
        ("\N{GRINNING FACE}", True),
    ],
)
def test_what_needs_fonts(text: str, needs: bool) -> None:
    assert needs_fonts(text) is needs


def test_what_no_font_has_is_named(no_fonts: None) -> None:
    _, missing = faces_for(f"a {KOREAN} 漢字 b")
    assert [script.name for script in missing.scripts] == ["Korean", "Chinese characters"]
    assert without(f"a {KOREAN} 손글씨, b", missing) == "a (Korean), b"
    sentence = missing.sentence("the PDF")
    assert "Korean and Chinese characters" in sentence
    assert "apt-get install fonts-noto-cjk)" in sentence


def test_a_figure_has_no_boxes(no_fonts: None) -> None:
    """A glyph that is missing would be a warning of Matplotlib, which tests take for an error."""
    drawing = a_drawing(f"{KOREAN} 1")
    with style():
        rendered(drawing, 1)
    assert "(Korean) 1" in texts(drawing.canvas)


def test_a_class_that_cannot_be_written_is_its_number(no_fonts: None) -> None:
    assert plain(["cat", KOREAN, "a$b"]) == ["cat", "class 1", r"a\$b"]


def test_a_pdf_without_fonts_says_so(no_fonts: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert pdf_document(f"# x\n\n{KOREAN}\n", [], KOREAN).startswith(b"%PDF")
    assert capsys.readouterr().err.count("\n") == 1


@needs_korean
def test_a_figure_with_korean_words() -> None:
    drawing = a_drawing(KOREAN)
    with style():
        rendered(drawing, 1)
    assert KOREAN in texts(drawing.canvas)
    assert plain([KOREAN]) == [KOREAN]


@needs_korean
def test_a_pdf_with_korean_words_embeds_their_font(capsys: pytest.CaptureFixture[str]) -> None:
    faces, _ = faces_for(KOREAN)
    name = family_names(faces, KOREAN)[0].replace(" ", "").encode()[:8]
    assert name in pdf_document(f"# x\n\n{KOREAN}\n", [], "x").replace(b"#20", b"")
    assert capsys.readouterr().err == ""


def test_fonts_of_the_machine_change_nothing_else(
    no_fonts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "# x\n\nNo other writing: ‖θ‖ ≤ 2⁻²⁴, é, “x”, `code`\n"
    without_fonts = pdf_document(content, [], "x")
    monkeypatch.undo()
    assert pdf_document(content, [], "x") == without_fonts
