"""How every figure looks, and how it becomes bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.font_manager import fontManager
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter

from compare.languages import ENGLISH, current, translated
from reports.text import has_other_writing, one_line

if TYPE_CHECKING:
    from reports.typefaces import Missing

CENTIMETRE = 1 / 2.54
WIDTH_CM = 17.0
LONGEST_NAME = 24
"""Letters of a class's name in a figure."""

# Okabe and Ito's colours, told apart by colour-blind readers; in grey, line style and marker do
# that. https://jfly.uni-koeln.de/color/
BLUE, VERMILLION, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#767676"
BACKEND_COLOURS = {"numpy": BLUE, "torch": VERMILLION}

# The face of the text around the figures; what it lacks Matplotlib draws in its own.
FONTS = Path(__file__).parent.parent / "fonts"
FAMILY = "Report Serif"

STYLE: dict[str, Any] = {
    "font.family": [FAMILY, "DejaVu Sans"],
    "mathtext.fontset": "custom",
    "mathtext.rm": FAMILY,
    "mathtext.it": FAMILY,
    "mathtext.bf": f"{FAMILY}:bold",
    "mathtext.cal": FAMILY,
    "mathtext.fallback": "stix",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.dpi": 200,
    "image.cmap": "cividis",
    "svg.fonttype": "path",
    "svg.hashsalt": "nncompare",
}


class Drawing(NamedTuple):
    """A figure that has been drawn, what to see in it, and what stands for it unseen."""

    name: str
    canvas: matplotlib.figure.Figure
    caption: str
    alt: str


class Figure(NamedTuple):
    """A figure of the report, numbered, as bytes."""

    name: str
    number: int
    caption: str
    alt: str
    png: bytes
    svg: bytes


@contextmanager
def style() -> Iterator[None]:
    """The look of every figure, whatever the reader's own settings are."""
    _know_the_fonts()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type]
        yield


@cache
def _know_the_fonts() -> None:
    for file in sorted(FONTS.glob("*.otf")):
        fontManager.addfont(file)


def paper(height_cm: float, rows: int = 1, columns: int = 1, **kwargs: Any) -> tuple[Any, Any]:
    """A figure as wide as the text, and its axes in a two-dimensional array."""
    figure = matplotlib.figure.Figure(
        figsize=(WIDTH_CM * CENTIMETRE, height_cm * CENTIMETRE), layout="constrained"
    )
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def plain(texts: Sequence[str]) -> list[str]:
    """Names of classes, of which Matplotlib would read what stands between dollars as formulas.

    Where no font has the writing of one, its number takes its place; a long one is cut.
    """
    texts = [one_line(text) for text in texts]
    texts = [text if len(text) <= LONGEST_NAME else f"{text[:LONGEST_NAME]}…" for text in texts]
    names = list(texts)
    if has_other_writing("".join(texts)):
        from reports.typefaces import faces_for, without

        missing = faces_for("".join(texts))[1]
        names = [f"class {k}" if without(t, missing) != t else t for k, t in enumerate(texts)]
    return [name.replace("$", r"\$") for name in names]


def rendered(drawing: Drawing, number: int) -> Figure:
    """The bytes of a drawing; equal drawings give equal bytes, on any day."""
    _translate(drawing.canvas)
    _give_fonts(drawing.canvas)
    drawing.canvas.draw_without_rendering()
    drawing.canvas.set_layout_engine("none")  # it is laid out now, and need not be again
    png, svg = io.BytesIO(), io.BytesIO()
    # Not savefig, which draws each figure twice.
    FigureCanvasAgg(drawing.canvas).print_png(png, metadata={"Software": None})
    FigureCanvasSVG(drawing.canvas).print_svg(svg, metadata={"Date": None, "Creator": None})
    name, _, caption, alt = drawing
    caption, alt = translated(caption, "figure"), translated(alt, "figure")
    return Figure(name, number, caption, alt, png.getvalue(), svg.getvalue())


def _translate(canvas: matplotlib.figure.Figure) -> None:
    """Titles, names of axes, legends and notes in the language that is spoken now.

    Labels of ticks stay as they are: they are numbers, and names of a user's.
    """
    if current() == ENGLISH:
        return
    legends = [*canvas.legends]
    texts: list[Text] = []
    for axes in canvas.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        own = axes.get_legend()
        legends += [] if own is None else [own]
        texts += [text for text in axes.texts if _is_ours(text)]
    for legend in legends:
        texts += legend.get_texts()
    for text in texts:
        words = translated(text.get_text(), "figure")
        if can_be_drawn(words):
            text.set_text(words)


def can_be_drawn(text: str) -> bool:
    """Whether there are fonts for a text on this machine."""
    if not has_other_writing(text):
        return True
    from reports.typefaces import faces_for

    return not faces_for(text)[1]


def _is_ours(text: Text) -> bool:
    """Whether a text in a panel is a sentence of the report and no class's name."""
    return isinstance(text, Annotation) or "\n" in text.get_text()


def _give_fonts(canvas: matplotlib.figure.Figure) -> None:
    """Let the texts of a figure use fonts of the machine for writing that the own font lacks."""
    axes = [axis for panel in canvas.axes for axis in (panel.xaxis, panel.yaxis)]
    for axis in axes:
        axis.get_ticklabels()  # they are made when they are first asked for
    texts: list[Text] = canvas.findobj(Text)
    written = "".join(text.get_text() for text in texts)
    if not has_other_writing(written):
        return
    from reports.typefaces import faces_for, matplotlib_families, without

    missing = faces_for(written)[1]
    families = [*STYLE["font.family"], *matplotlib_families(without(written, missing))]
    labels = [
        axis for axis in axes if _lacks([t.get_text() for t in axis.get_ticklabels()], missing)
    ]
    for text in texts:
        text.set_text(without(text.get_text(), missing))
        text.set_fontfamily(families)
    for axis in labels:
        _replace_labels(axis, missing)


def _lacks(texts: Sequence[str], missing: Missing) -> bool:
    from reports.typefaces import without

    return any(without(text, missing) != text for text in texts)


def _replace_labels(axis: Any, missing: Missing) -> None:
    """Labels of ticks are written anew at each drawing, so what writes them is replaced."""
    from reports.typefaces import without

    formatter = axis.get_major_formatter()
    axis.set_major_formatter(
        FuncFormatter(lambda value, place: without(formatter(value, place), missing))
    )
