"""The HTML page around a report: contents, figures that one can ask, scripts, and what it may load.

The page is one file. Its security policy lets no request out and lets no script run but those
that stand here, by their hashes: markup in a label or a title could do nothing, were it ever to
get in.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compare.languages import catalogue, current, translated

if TYPE_CHECKING:
    from reports.interactive.plots import Control, Interactive, Option

TEMPLATES = Path(__file__).parent / "templates"
WITHOUT_BOKEH = (
    "Bokeh is not installed, so the figures of the HTML report are pictures alone; "
    "`python -m pip install bokeh` adds those that show values under the pointer."
)


def has_bokeh() -> bool:
    """Whether the figures that one can ask can be made here."""
    return find_spec("bokeh") is not None


def anchor(name: str) -> str:
    """The id of a figure in the page."""
    return f"figure-{name}"


def place_of(name: str) -> str:
    """What a template leaves where a figure without a picture is to stand."""
    return f"<!--interactive {name}-->"


def assembled(page: str, interactive: Sequence[Interactive] = ()) -> bytes:
    """Put the contents in their place, tables into frames that scroll, and scripts at the end.

    Args:
        page: What pandoc made of ``report.html``.
        interactive: The figures that one can ask; each stands beside the picture of its name, or
            where a template left a place for it.
    """
    # The contents stand after the summary, before the first section; where there is room they are
    # shown at the side.
    before, _, rest = page.partition("<!--contents-->")
    contents, _, body = rest.partition("<!--/contents-->")
    page = before + body.replace("<h2", f"{contents}\n<h2", 1)
    more = f'data-more="{escape(translated("scroll →"))}" tabindex="0"'
    page = page.replace("<table>", f'<div class="table" {more}><table>')
    page = page.replace("</table>", "</table></div>")
    page = page.replace("<caption>", "<caption><span>").replace("</caption>", "</span></caption>")
    page = re.sub(
        r'<math display="block".*?</math>',
        lambda found: f'<span class="formula" {more}>{found[0]}</span>',
        page,
        flags=re.DOTALL,
    )
    page = re.sub(r"<pre\b(?=[^>]*><code)", f"<pre {more}", page)
    page = re.sub(r"<figure\b([^>]*)>(?=\s*<(?:img|svg))", rf"<figure\1 {more}>", page)
    scripts = [_own_script(current())]
    for figure in interactive:
        page, found = _with_figure(page, figure)
        if found and len(scripts) == 1:
            scripts.insert(0, _bokeh())
    page = re.sub(r"<!--interactive [\w-]+-->\n?", "", page)
    page = page.replace("<!--policy-->", _policy(scripts), 1)
    at_the_end = "".join(f"<script>{script}</script>\n" for script in scripts)
    before, _, after = page.rpartition("<!--scripts-->")
    return (before + at_the_end + after.lstrip("\n")).encode()


def _with_figure(page: str, figure: Interactive) -> tuple[str, bool]:
    """The page with a figure that one can ask, and whether it had a place for it."""
    content = _block(figure)
    place = place_of(figure.name)
    if place in page:
        told = f"<strong>{translated('Map')}.</strong> {escape(_said(figure.alt))}"
        # What all passes is folded away until it is asked for.
        fails = figure.map is not None and any(group["failed"] for group in figure.map["groups"])
        content = f"<details{' open' if fails else ''}><summary>{told}</summary>{content}</details>"
        content = f'<figure id="{anchor(figure.name)}" class="only">{content}</figure>'
        return page.replace(place, content, 1), True
    begin = page.find(f'<figure id="{anchor(figure.name)}"')
    end = page.find("<figcaption", begin)
    if begin < 0 or end < 0:
        return page, False
    # The first sentence of a caption is true of both; the others describe the picture.
    rest = re.sub(
        r"(<figcaption.*?</strong>.*?[.?!])(\s.*?)(</p>)?(</figcaption>)",
        r'\1<span class="picture">\2</span>\3\4',
        page[end:],
        count=1,
        flags=re.DOTALL,
    )
    return f"{page[:end]}{content}{rest}", True


def _block(figure: Interactive) -> str:
    """The controls, the place of the plot, its note and its data; unseen until the script runs."""
    data = {"document": figure.document, "root": figure.root, "map": figure.map}
    controls = "".join(_fieldset(figure.name, control) for control in figure.controls)
    if figure.map is not None:
        controls += _map_controls(figure)
    shows, alt = escape(translated("What the figure shows")), escape(_said(figure.alt))
    return (
        f'<div class="interactive" data-name="{figure.name}" hidden>\n'
        f'<form class="controls" autocomplete="off" aria-label="{shows}">{controls}'
        "</form>\n"
        f'<div class="plot" id="plot-{figure.name}" role="img" aria-label="{alt}" '
        f'style="min-height: {figure.height}px"></div>\n'
        + ('<div class="cell" aria-live="polite"></div>\n' if figure.map is not None else "")
        + f'<p class="note">{escape(_said(figure.note))}</p>\n'
        f'<script type="application/json">{_in_script(data)}</script>\n</div>\n'
    )


def _said(text: str) -> str:
    """A text of a figure in the language that is spoken now."""
    return translated(text, "figure")


def _fieldset(name: str, control: Control) -> str:
    kind = "radio" if control.one else "checkbox"
    names_axis = " data-names-axis" if control.names_axis else ""
    boxes = "".join(_box(name, control.key, kind, option) for option in control.options)
    legend = escape(_said(control.text))
    return (
        f'<fieldset data-key="{control.key}"{names_axis}><legend>{legend}</legend>'
        f"{boxes}</fieldset>"
    )


def _box(name: str, key: str, kind: str, option: Option) -> str:
    checked = " checked" if option.checked else ""
    scale = f' data-scale="{option.scale}"' if option.scale else ""
    colour = f' style="--swatch: var(--{option.colour})"' if option.colour else ""
    swatch = "<i></i>" if option.colour else ""
    return (
        f'<label{colour}><input type="{kind}" name="{name}-{key}" value="{option.value}"{checked}'
        f"{scale}>{swatch}<span>{escape(_said(option.text))}</span></label>"
    )


def _map_controls(figure: Interactive) -> str:
    """What the map of the comparisons is asked with; the script fills the lists."""
    assert figure.map is not None
    step = escape(_said("certified step"))
    fields = {"training": "training", "kind": "comparison", "site": "site"}
    selects = "".join(
        f'<label class="field"><span>{escape(_said(text))}</span>'
        f'<select name="{key}"></select></label>'
        for key, text in fields.items()
    )
    return (
        f'{selects}<label class="field wide"><span>{step} <output name="at"></output>'
        '</span><input type="range" name="step" min="0" max="0" value="0"></label>'
    )


def _in_script(data: Any) -> str:
    """JSON that no ``</script>`` in a label can end."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _own_script(language: str) -> str:
    """The page's script, with the texts that it shows in a language."""
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    known = catalogue(language)
    for english, own in known.of_context("script") if known is not None else ():
        script = script.replace(english, own)
    return script


@cache
def _bokeh() -> str:
    """Bokeh's script, from its package: plots alone, neither its widgets nor its formulas."""
    import bokeh

    file = Path(bokeh.__file__).parent / "server" / "static" / "js" / "bokeh.min.js"
    return re.sub(r"</(?=script)", r"<\\/", file.read_text(encoding="utf-8"))


def _policy(scripts: Sequence[str]) -> str:
    """No request leaves the page, and no other script runs in it."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    content = (
        "default-src 'none'; img-src data: blob:; font-src data:; style-src 'unsafe-inline'; "
        f"script-src {hashes}; base-uri 'none'; form-action 'none'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{content}">'


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
