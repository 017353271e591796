"""How every figure looks, and how it becomes bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG

CENTIMETRE = 1 / 2.54
WIDTH_CM = 17.0

# Okabe and Ito's colours, told apart by colour-blind readers; in grey, line style and marker do
# that. https://jfly.uni-koeln.de/color/
BLUE, VERMILLION, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#767676"
BACKEND_COLOURS = {"numpy": BLUE, "torch": VERMILLION}

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
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
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type]
        yield


def paper(height_cm: float, rows: int = 1, columns: int = 1, **kwargs: Any) -> tuple[Any, Any]:
    """A figure as wide as the text, and its axes in a two-dimensional array."""
    figure = matplotlib.figure.Figure(
        figsize=(WIDTH_CM * CENTIMETRE, height_cm * CENTIMETRE), layout="constrained"
    )
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def plain(texts: Sequence[str]) -> list[str]:
    """Texts of a user's, of which Matplotlib would read what stands between dollars as formulas."""
    return [text.replace("$", r"\$") for text in texts]


def rendered(drawing: Drawing, number: int) -> Figure:
    """The bytes of a drawing; equal drawings give equal bytes, on any day."""
    drawing.canvas.draw_without_rendering()
    drawing.canvas.set_layout_engine("none")  # it is laid out now, and need not be again
    png, svg = io.BytesIO(), io.BytesIO()
    # Not savefig, which draws each figure twice.
    FigureCanvasAgg(drawing.canvas).print_png(png, metadata={"Software": None})
    FigureCanvasSVG(drawing.canvas).print_svg(svg, metadata={"Date": None, "Creator": None})
    name, _, caption, alt = drawing
    return Figure(name, number, caption, alt, png.getvalue(), svg.getvalue())
