"""The HTML page: what may run in it, what it may load, and what it is without Bokeh."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from reports_tests.synthetic_run import Rendered

from compare.records.run import read_run
from reports import page, report
from reports.documents import html_document
from reports.page import assembled

MakeRun = Callable[..., Path]

HOSTILE = 'A</script ><img src=x onerror="document.title=1"> $$x^2$$ @y <b>&amp;'
"""A name that would do harm in HTML, in JSON, in a script, in a tooltip or in a formula."""


class Parts(HTMLParser):
    """What a browser would find in a page.

    Attributes:
        scripts: (attributes, text) of every script.
        tags: (name, attributes) of every element.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag == "script"
        if self._inside:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, text = self.scripts.pop()
            self.scripts.append((attributes, text + data))


def policy_of(parts: Parts) -> str:
    [policy] = [
        attributes["content"]
        for tag, attributes in parts.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    return policy


def test_only_the_scripts_that_the_policy_names_are_in_the_page(rendered_run: Rendered) -> None:
    pytest.importorskip("bokeh")
    parts = Parts(rendered_run.html)
    running = [text for attributes, text in parts.scripts if "type" not in attributes]
    data = [text for attributes, text in parts.scripts if "type" in attributes]
    assert len(running) == 2
    digests = {
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in running
    }
    policy = dict(rule.split(" ", 1) for rule in policy_of(parts).split("; "))
    assert policy["default-src"] == "'none'"
    assert set(policy["script-src"].split()) == digests
    assert "connect-src" not in policy
    assert len(data) >= 5
    for text in data:
        json.loads(text)


def test_names_stay_text_in_the_page(make_run: MakeRun) -> None:
    pytest.importorskip("bokeh")
    from reports.interactive import interactive_figures

    path = make_run(modules={"0": f"{HOSTILE}(4, 3)"})
    record = json.loads((path / "run.json").read_text("utf-8"))
    record["data"]["class_names"] = ["even", HOSTILE]
    (path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    drift = (path / "drift.csv").read_text("utf-8")
    quoted = HOSTILE.replace('"', '""')
    drift = drift.replace("rows reversed", f'"{quoted}"')
    (path / "drift.csv").write_text(drift, encoding="utf-8")
    figures = interactive_figures(read_run(path))
    places = "\n\n".join(f"```{{=html}}\n{page.place_of(f.name)}\n```" for f in figures)
    html = html_document(f"# x\n\n{places}\n", [], "A title", figures).decode()
    parts = Parts(html)
    assert not [tag for tag, _ in parts.tags if tag in ("img", "b")]
    assert not [a for _, a in parts.tags if any(name.startswith("on") for name in a)]
    # Browsers end a script at </script and a space, too; Python's parser does not.
    texts = re.findall(r'<script type="application/json">(.*?)</script[\s/>]', html, re.DOTALL)
    data = [json.loads(text) for text in texts]
    assert len(data) == len(figures) == 5
    whole = [text for one in data for text in strings(one)]
    assert HOSTILE in whole  # a class name, in a column
    for one in data:
        for model in models(one["document"]):
            for name in ("axis_label", "title", "tooltips"):
                assert HOSTILE[:8] not in str(model["attributes"].get(name))
            # Bokeh reads $$…$$ in a bare string as a formula, and fetches what draws it.
            for _, text in model["attributes"].get("major_label_overrides", {}).get("entries", []):
                assert text["name"] == "PlainText"


def strings(node: object) -> list[str]:
    """All strings of a tree."""
    if isinstance(node, str):
        return [node]
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [text for item in items for text in strings(item)]


def models(node: object) -> list[dict[str, Any]]:
    """All models of a Bokeh document."""
    if isinstance(node, list):
        return [model for item in node for model in models(item)]
    if not isinstance(node, dict):
        return []
    own = [node] if node.get("type") == "object" and "attributes" in node else []
    return own + [model for item in node.values() for model in models(item)]


def test_without_bokeh_there_are_the_pictures_and_one_sentence(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    monkeypatch.setattr(report, "draw_figures", lambda run: [])
    monkeypatch.setattr(report, "pdf_document", lambda *_: b"")
    files = report.write_report(make_run(optimizers=("SGD",)))
    assert capsys.readouterr().err == f"{page.WITHOUT_BOKEH}\n"
    html = files[1].read_text("utf-8")
    assert 'class="interactive"' not in html
    assert "<!--" not in html
    assert len(Parts(html).scripts) == 1
    assert "figure-parity-map" not in html


def test_captions_and_formulas_have_frames_of_their_own() -> None:
    content = "# x\n\n|a|\n|-|\n|1|\n\n: A caption\n\n$$x^2$$\n"
    html = html_document(content, [], "A title").decode()
    assert '<div class="table" data-more="scroll →" tabindex="0"><table>' in html
    assert "<caption><span>A caption</span></caption>" in html
    assert re.search(
        r'<span class="formula" data-more=".*?" tabindex="0"><math display="block".*</math></span>',
        html,
    )


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(rendered_run: Rendered) -> None:
    pytest.importorskip("bokeh")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from compare.records.run import read_run\n"
        "from reports.documents import html_document\n"
        "from reports.interactive import interactive_figures\n"
        f"figures = interactive_figures(read_run(Path({str(rendered_run.run)!r})))\n"
        "from reports.page import _block\n"
        "sys.stdout.write(''.join(map(_block, figures)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split('<div class="interactive"')[1:]
    assert len(blocks) == 5
    assert all(block.strip() in rendered_run.html for block in blocks)


def test_a_picture_says_where_more_of_it_is() -> None:
    page = '<figure id="figure-a">\n<img src="x" /></figure><figure id="b"><div></div></figure>'
    found = assembled(page).decode()
    assert '<figure id="figure-a" data-more="scroll →" tabindex="0">' in found
    assert '<figure id="b"><div>' in found
