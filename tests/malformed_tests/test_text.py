"""Texts of strangers in every place that has a text: they are shown, and do nothing.

Every text of a run's record is replaced by one that means something to a page, a word processor,
a terminal or a sheet, and the report is made in every format. The page has then no element and no
attribute that it did not have, and shows the text itself.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from malformed_tests.malformed import HOSTILE, called
from pydantic import ValidationError
from reports_tests.synthetic_run import build_run

from compare.records.run import RunRecord
from compare.records.validation import readable_tree
from experiments.files import printable

WORDS = re.compile(r"\s+")
KEPT = {"label", "variant", "created", "status", "python", "optimizers", "initialisation"}
"""Keys whose values choose what is reported: others are refused, which other tests see."""


def texts(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        if key in KEPT:
            continue
        if isinstance(value, str):
            yield (*above, key)
        elif isinstance(value, dict | list):
            yield from texts(value, (*above, key))


def put(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    for key in path[:-1]:
        tree = tree[key]
    before, tree[path[-1]] = tree[path[-1]], value
    return before


def planted(
    record: dict[str, Any], first: int
) -> tuple[dict[str, Any], dict[tuple[Any, ...], str]]:
    """The record with a text of :data:`HOSTILE` wherever one is accepted, and where."""
    tree, where = deepcopy(record), {}
    for number, path in enumerate(texts(record), first):
        text = HOSTILE[number % len(HOSTILE)]
        before = put(tree, path, text)
        try:
            RunRecord.model_validate_json(json.dumps(readable_tree(tree)))
        except ValidationError:
            put(tree, path, before)
        else:
            where[path] = text
    for table in ("digests", "sources", "excerpts"):
        parent = tree["data"] if table == "digests" else tree
        parent[table] = {
            f"{key} {HOSTILE[(number + first) % len(HOSTILE)]}": value
            for number, (key, value) in enumerate(parent[table].items())
        }
    return tree, where


class Page(HTMLParser):
    """The elements of a page with their attributes, and what it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: set[tuple[str, str]] = set()
        self.links: set[str] = set()
        self.shown: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in ("href", "src", "action")}

    def handle_data(self, data: str) -> None:
        self.shown.append(data)


def acts(page: Page, harmless: Page) -> list[str]:
    """What the page has that the page of harmless texts has not, and could act."""
    more = [
        f"{tag} × {count}"
        for tag, count in (page.elements - harmless.elements).items()
        if tag in ("script", "style", "iframe", "object", "embed", "form", "link", "meta", "base",
                   "img", "svg", "math", "h1", "h2", "h3", "b", "input", "a")
    ]  # fmt: skip
    more += [f"{tag} {name}" for tag, name in page.attributes if name.startswith("on")]
    more += [link[:60] for link in page.links if link.startswith(("javascript:", "file:", "/"))]
    return more


@pytest.fixture(scope="module")
def harmless(tmp_path_factory) -> Path:
    run = build_run(
        tmp_path_factory.mktemp("harmless") / "run",
        experiment={
            "claims": [{"says": "so", "by": "me", "quantity": "test accuracy",
                        "relation": "at least", "value": 0.5}],
            "report": {"author": "A", "student": "7", "course": "101", "language": "en"},
        },
        record={"excerpts": {"step": "pass", "Linear": "pass"}},
    )  # fmt: skip
    assert called(["report", run, "--format", "html"]).status == 0
    return run


def reported(harmless: Path, folder: Path, first: int, formats: str) -> dict[tuple[Any, ...], str]:
    run = Path(shutil.copytree(harmless, folder))
    shutil.rmtree(run / "report")
    tree, where = planted(json.loads((run / "run.json").read_text("utf-8")), first)
    (run / "run.json").write_text(json.dumps(tree), encoding="utf-8")
    ended = called(["report", run, "--format", formats])
    assert ended.status == 0, ended.err
    return where


TYPOGRAPHY = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "…": "..."})


def seen(text: str) -> str:
    """The text as a reader compares it: quotation marks may be curled, spaces are one."""
    return WORDS.sub(" ", text.translate(TYPOGRAPHY)).strip()


def check_page(harmless: Path, run: Path, where: dict[tuple[Any, ...], str]) -> None:
    page, plain = (
        Page((folder / "report" / "report.html").read_text("utf-8")) for folder in (run, harmless)
    )
    assert acts(page, plain) == []
    shown = seen("".join(page.shown))
    for path in (("experiment", "title"), ("experiment", "task"), ("data", "title"),
                 ("environment", "processor"), ("experiment", "report", "author")):  # fmt: skip
        if text := seen(printable(where.get(path, ""), "\n\t\r")):
            assert any(t in shown for t in (text, seen(printable(seen(text))))), (path, text)


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 7])
def test_the_page_shows_them_and_has_no_more_elements(harmless, tmp_path, first):
    where = reported(harmless, tmp_path / "run", first, "html")
    assert len(where) > 40
    check_page(harmless, tmp_path / "run", where)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(HOSTILE), 2))
def test_every_format(harmless, tmp_path, first):
    where = reported(harmless, tmp_path / "run", first, "md,html,pdf,docx,ipynb")
    run = tmp_path / "run"
    check_page(harmless, run, where)
    assert (run / "report" / "report.pdf").read_bytes().startswith(b"%PDF")
    assert b"/JavaScript" not in (run / "report" / "report.pdf").read_bytes()
    with zipfile.ZipFile(io.BytesIO((run / "report" / "report.docx").read_bytes())) as file:
        document = file.read("word/document.xml").decode()
        links = file.read("word/_rels/document.xml.rels").decode()
    assert "javascript:" not in links
    assert "file:" not in links
    assert "<script" not in document
    cells = json.loads((run / "report" / "report.ipynb").read_text("utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), "cell", "exec")
            assert "import os\n" not in "".join(cell["source"])
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]


def test_what_a_terminal_is_told(harmless, tmp_path):
    """A run's texts reach the terminal in sentences alone, where they are shown as codes."""
    run = Path(shutil.copytree(harmless, tmp_path / "run"))
    tree = json.loads((run / "run.json").read_text("utf-8"))
    tree["trainings"][0]["label"] = "\x1b]0;owned\x07\u202e"
    (run / "run.json").write_text(json.dumps(tree))
    ended = called(["report", run])
    assert ended.status == 2
    assert not [c for c in ended.err + ended.out if c in "\x1b\x07\u202e"]
