"""What the interactive figures have in common: axes, tools, controls, and how they become JSON.

A figure is a Bokeh plot whose renderers say, as JSON in their tags, which boxes of the controls
must be checked for them to be seen, and which of the page's colours they have. The page's script
(``templates/report.js``) does the switching; what it cannot reach stays as it is drawn here.

Names that a user gave never become the text of an axis or a title as they are: Bokeh would read
``$$…$$`` in them as a formula. They are :class:`bokeh.models.PlainText`, or values of a column.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from bokeh.document import Document
from bokeh.models import (
    BasicTicker,
    BasicTickFormatter,
    BoxZoomTool,
    Column,
    DataRange1d,
    FixedTicker,
    Grid,
    HoverTool,
    LinearAxis,
    LinearScale,
    LogAxis,
    LogScale,
    LogTicker,
    LogTickFormatter,
    PanTool,
    PlainText,
    Plot,
    Range1d,
    ResetTool,
    SaveTool,
    Toolbar,
    WheelZoomTool,
)

from compare.languages import translated

COLOURS = 7
"""The page's style has so many colours for lines, ``--ink-0`` and so on."""
GROUPS = 250
"""A long series is drawn as the least and the largest value of so many groups."""
MOST_TRAININGS = 24
"""So many trainings are in a figure that one can ask."""
LONGEST_LABEL = 22
ASKED = "asked"
FONT = "Helvetica Neue, Arial, Liberation Sans, sans-serif"


class Option(NamedTuple):
    """One box of a control.

    Attributes:
        value: What renderers name it by.
        text: What a reader sees.
        checked: Whether it is checked at first.
        colour: The page's colour that goes with it, such as ``ink-0``.
        scale: The scale that the y axis is given with it: ``linear``, ``log`` or nothing.
    """

    value: str
    text: str
    checked: bool = True
    colour: str = ""
    scale: str = ""


class Control(NamedTuple):
    """A group of boxes.

    Attributes:
        key: What renderers name it by; ``x-scale`` and ``y-scale`` set the axes.
        text: What it chooses.
        options: Its boxes.
        one: Whether exactly one is checked.
        names_axis: Whether the y axis is named by the option.
    """

    key: str
    text: str
    options: list[Option]
    one: bool = False
    names_axis: bool = False


class Interactive(NamedTuple):
    """A figure that one can ask.

    Attributes:
        name: That of the static figure in whose place it stands, or its own.
        controls: What a reader may choose.
        document: Bokeh's document, as JSON.
        root: The id of the plot in it.
        note: What is to be said beside the static figure's caption, as plain text.
        alt: What stands for it unseen.
        map: What the map of the comparisons is read with; None for every other figure.
    """

    name: str
    controls: list[Control]
    document: dict[str, Any]
    root: str
    note: str
    alt: str
    map: dict[str, Any] | None = None

    @property
    def height(self) -> int:
        """In pixels of CSS, before anything is chosen."""
        root = self.document["roots"][0]["attributes"]
        plots = [one["attributes"] for one in root.get("children", [])] or [root]
        return sum(int(one["height"]) for one in plots)


def plot(height: int, x: str, y: str, *, tools: Sequence[Any] = ()) -> Any:
    """A plot with linear axes that follow what is seen of it.

    Args:
        height: In pixels of CSS; it is as wide as the page allows.
        x: The name of the x axis; empty where a plot beneath it has the same axis.
        y: The name of the y axis.
        tools: Beside those for zooming and saving.
    """
    made = Plot(
        x_range=DataRange1d(only_visible=True, range_padding=0.04),
        # The page's script finds what depends on a scale by these names.
        x_scale=LinearScale(name="x-scale"),
        y_scale=LinearScale(name="y-scale"),
        height=height,
        toolbar=Toolbar(
            logo=None,
            tools=[BoxZoomTool(), PanTool(), WheelZoomTool(), ResetTool(), SaveTool(), *tools],
            # A finger that moves over the plot scrolls the page.
            active_drag=None,
            active_scroll=None,
        ),
        toolbar_location="above",
        **_frame(),
    )
    _add_axis(made, "below", x, _linear("x-scale"), unlabelled=not x)
    _add_axis(made, "left", y, _linear("y-scale"))
    return made


def plot_beneath(upper: Any, height: int, x: str, y: str) -> Any:
    """A plot of small differences, on a logarithmic axis, that shares the x axis of another.

    It has the tools of the upper one, which move both.

    Args:
        upper: Where it is zoomed.
        height: In pixels of CSS.
        x: The name of the x axis.
        y: The name of the y axis.
    """
    made = Plot(
        x_range=upper.x_range,
        x_scale=LinearScale(name="x-scale"),
        y_scale=LogScale(),
        height=height,
        toolbar=Toolbar(logo=None, tools=[]),
        toolbar_location=None,
        **_frame(padding=0.12),  # so that no mark is cut
    )
    _add_axis(made, "below", x, _linear("x-scale"))
    _add_axis(made, "left", y, LogAxis(ticker=LogTicker(), formatter=LogTickFormatter()))
    return made


def stacked(*plots: Any) -> Any:
    """Plots above each other, as wide as the page allows."""
    return Column(children=list(plots), sizing_mode="stretch_width")


def _frame(padding: float = 0.06) -> dict[str, Any]:
    """What every plot has.

    Args:
        padding: Above and below what is drawn, as a share of its height.
    """
    return {
        "y_range": DataRange1d(only_visible=True, range_padding=padding),
        "sizing_mode": "stretch_width",
        "min_border_right": 12,
        "border_fill_color": None,
        "background_fill_color": None,
    }


def _linear(name: str) -> LinearAxis:
    """An axis that the page's script makes logarithmic."""
    return LinearAxis(
        name=name, ticker=BasicTicker(name=name), formatter=BasicTickFormatter(name=name)
    )


def _add_axis(
    made: Any, place: Literal["below", "left"], text: str, axis: Any, *, unlabelled: bool = False
) -> None:
    axis.update(
        axis_label=translated(text, "figure"),
        axis_label_text_font=FONT,
        major_label_text_font=FONT,
        axis_label_text_font_style="normal",
        minor_tick_line_color=None,
    )
    if unlabelled:
        axis.update(major_label_text_font_size="0px", axis_label=None)
    made.add_layout(axis, place)
    made.add_layout(Grid(axis=axis, dimension=0 if place == "below" else 1), "center")


def add_hover(made: Any, rows: Mapping[str, str]) -> None:
    """Values under the pointer, on the renderers that are named :data:`ASKED`.

    Args:
        made: The plot, with all its renderers.
        rows: Name → the column, with a printf format in braces where it is a number.
    """
    columns = re.findall(r"@\w+(?=\{)", " ".join(rows.values()))
    tool = HoverTool(
        renderers=[renderer for renderer in made.renderers if renderer.name == ASKED],
        tooltips=[(translated(name, "figure"), shown) for name, shown in rows.items()],
        formatters=dict.fromkeys(columns, "printf"),
        visible=False,
        point_policy="snap_to_data",
        line_policy="nearest",
    )
    made.add_tools(tool)


def shown_where(
    ink: str, on: Mapping[str, str], *, fill: str = "", same: Mapping[str, str] | None = None
) -> list[Any]:
    """The tags of a renderer.

    Args:
        ink: Its colour, by the page's name; empty where it keeps its own.
        on: Control → the option that must be checked for it to be seen.
        fill: The colour of what it fills.
        same: Column → the text that every row has in it; the page's script adds these columns.
    """
    tags = {"ink": ink, "fill": fill, "on": dict(on), "same": dict(same or {})}
    return [json.dumps(tags, sort_keys=True)]


def scales(x: str, y: str) -> list[Control]:
    """The two controls of the axes, with the scales that they begin with."""
    return [
        Control(
            f"{axis}-scale",
            f"{axis} axis",
            [Option(scale, text, scale == first) for scale, text in SCALES.items()],
            one=True,
        )
        for axis, first in (("x", x), ("y", y))
    ]


SCALES = {"linear": "linear", "log": "logarithmic"}


def label_rows(made: Any, which: str, labels: Sequence[str], flipped: bool = False) -> None:
    """Name the places 0, 1, … of an axis, ``left`` or ``below``."""
    axis = getattr(made, which)[0]
    axis.ticker = FixedTicker(ticks=list(range(len(labels))))
    axis.major_label_overrides = {
        place: PlainText(text=shortened(text)) for place, text in enumerate(labels)
    }
    ends = (len(labels) - 0.5, -0.5) if flipped else (-0.5, len(labels) - 0.5)
    setattr(made, "y_range" if which == "left" else "x_range", Range1d(start=ends[0], end=ends[1]))
    for grid in made.center:
        if isinstance(grid, Grid) and grid.axis is axis:
            grid.visible = False


def shortened(text: str) -> str:
    """A name that leaves room for the plot."""
    return text if len(text) <= LONGEST_LABEL else f"{text[: LONGEST_LABEL - 1]}…"


def small(values: Any) -> np.ndarray:
    """Numbers as they travel: seven digits are enough for the eye."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float32)


def extremes(values: np.ndarray, groups: int = GROUPS) -> np.ndarray:
    """Places of the least and the largest value of each group of neighbours, in order.

    A value that is not finite counts as the largest. All places, where there are few.

    Args:
        values: Of shape (n,).
        groups: How many.
    """
    count = len(values)
    if count <= 2 * groups:
        return np.arange(count)
    edges = np.linspace(0, count, groups + 1).astype(int)
    found = {0, count - 1}
    for start, stop in pairwise(edges):
        part = values[start:stop]
        found |= {
            start + int(np.argmin(np.where(np.isfinite(part), part, np.inf))),
            start + int(np.argmax(np.where(np.isfinite(part), part, np.inf))),
        }
    return np.array(sorted(found))


def in_json(made: Any) -> tuple[dict[str, Any], str]:
    """Bokeh's document of a plot, and the plot's id in it.

    Bokeh counts its ids through the life of a process. Here they are counted anew in the order in
    which they stand in the document, so that equal plots give equal bytes.
    """
    document = Document(title="")
    document.add_root(made)
    content = document.to_json(deferred=False)
    names: dict[str, str] = {}

    def renamed(node: Any) -> Any:
        if isinstance(node, dict):
            # Columns and other mappings of ours are lists of entries here: an id is a model's.
            return {
                key: names.setdefault(value, f"m{len(names)}") if key == "id" else renamed(value)
                for key, value in node.items()
            }
        if isinstance(node, list | tuple):
            return [renamed(value) for value in node]
        return node

    found = renamed(content)
    document.clear()
    return found, names[made.id]
