"""The report in other languages: complete, up to date, and about the same numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jinja2 import meta, nodes
from reports_tests.synthetic_run import TITLE, Rendered

import scripts.languages as marks
from compare.languages import LANGUAGES, translated, using
from compare.records.run import read_run
from experiments.errors import InputError
from reports.documents import TEMPLATES, _environment, markdown
from reports.figures import draw_figures
from reports.figures.style import Drawing, Figure
from reports.report import write_report
from reports.sections import template_values

MakeRun = Callable[..., Path]

# `beside` has no words; those of notebooks, which are code above all, stand in the catalogue.
ENGLISH_ALONE = {"beside", "notebook", "runs_notebook", "demo_notebook"}
OTHERS = [language for language in LANGUAGES if language != "en"]
FILES = sorted(path.name for path in TEMPLATES.glob("*.md.j2"))
NAMES = [name for name in FILES if name.removesuffix(".md.j2") not in ENGLISH_ALONE]


def parsed(folder: Path, name: str) -> nodes.Template:
    return _environment("ko").parse((folder / name).read_text(encoding="utf-8"))


def macros(tree: nodes.Template) -> dict[str, list[str]]:
    return {m.name: [argument.name for argument in m.args] for m in tree.find_all(nodes.Macro)}


def formulas(folder: Path, name: str) -> list[str]:
    """Displayed formulas, without the words in them."""
    text = (folder / name).read_text(encoding="utf-8")
    found = re.findall(r"\$\$.*?\$\$", text, re.DOTALL)
    return [re.sub(r"\\quad|\\text\{(?!NumPy|PyTorch)[^}]*\}|\s", "", formula) for formula in found]


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_translated_as_it_is_now(language: str, name: str) -> None:
    """After a change of the English: translate it, then run scripts/languages.py."""
    path = TEMPLATES / language / name
    assert path.is_file(), f"{name} has no counterpart in {language}"
    english = (TEMPLATES / name).read_text(encoding="utf-8")
    mark = marks.MARK.search(path.read_text(encoding="utf-8"))
    assert mark is not None
    assert mark[1] == marks.digest(english), f"{name} was changed; {path} still says the old"


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("name", NAMES)
def test_a_translation_has_the_same_places(language: str, name: str) -> None:
    ours, theirs = parsed(TEMPLATES, name), parsed(TEMPLATES / language, name)
    assert macros(theirs) == macros(ours)
    assert meta.find_undeclared_variables(theirs) == meta.find_undeclared_variables(ours)
    own, other = formulas(TEMPLATES, name), formulas(TEMPLATES / language, name)
    assert [re.sub(r"x>0|x\\le0", "", f) for f in other] == [
        re.sub(r"x>0|x\\le0", "", f) for f in own
    ]


RUNS: list[dict[str, Any]] = [
    {},
    {"failing": {(1, "gradient/1.weight")}, "flips": 1, "wrong": (0, 0)},
    {"initial": (23, 5, True), "ratio": None, "drift": False, "compared": False},
    {"seeds": (0, 1, 2), "losses": None, "ratio": 0.5},
    {"finished": False, "initial": (23, 5, False)},
    {"vary": {"rate": {"key": "optimizers.SGD.lr", "values": [0.1, 0.2]}}, "optimizers": ("SGD",)},
    {"loss": lambda step: float("nan"), "record": {"sample": True, "max_steps": 6}},
]
# What stays as it is: names, units, and what a record holds.
OURS = re.compile(
    r"(?<![A-Za-z])(NumPy|PyTorch|SGD|Adam|ReLU|Leaky|MNIST|He|float32|float64|A tiny network|even"
    r"|odd|made-up|rows|nowhere|none needed|A processor|A system|CPython|BLAS|another|with|GiB|MD5"
    r"|Python|tiny|kinds|of|Tell|two|apart|an author|nncompare|json|csv|history|run|weight|bias"
    r"|rate|by|optimizers|lr|nat|tanh|ms)(?![A-Za-z])"
)


@pytest.fixture
def only_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures have their captions and are not drawn, which takes most of the time."""

    def words(drawing: Drawing, number: int) -> Figure:
        caption, alt = translated(drawing.caption, "figure"), translated(drawing.alt, "figure")
        return Figure(drawing.name, number, caption, alt, b"", b"")

    monkeypatch.setattr("reports.figures.rendered", words)


def english_words(report: str) -> list[str]:
    """Words in Latin letters that are neither code, formula, reference, nor a name."""
    text = re.sub(r"`````.*?`````", "", report.partition("## 부록 C")[0], flags=re.DOTALL)
    text = re.sub(r"## 참고 문헌.*?(?=\n## )", "", text, flags=re.DOTALL)
    text = re.sub(
        r"\$\$.*?\$\$|\$[^$\n]*\$|`[^`\n]*`|<[^>\n]*>|\]\([^)]*\)", "", text, flags=re.DOTALL
    )
    return re.findall(r"[A-Za-z]{2,}", OURS.sub("", text))


@pytest.mark.parametrize("case", range(len(RUNS)))
def test_no_english_is_left_in_a_korean_report(
    make_run: MakeRun, only_words: None, case: int
) -> None:
    run = read_run(
        make_run(**{k: v for k, v in RUNS[case].items() if v is not None or k == "ratio"})
    )
    with using("ko"):
        report = markdown(template_values(run, draw_figures(run)), "reader")
    assert english_words(report) == []


def test_english_left_is_found() -> None:
    assert english_words("그림 1. The losses.") == ["The", "losses"]


def numbers(report: str) -> list[str]:
    """What tables hold, the same in every language."""
    rows = [line for line in report.split("\n") if line.startswith("|")]
    return re.findall(r"\d+(?:[.,]\d+)*", " ".join(rows))


def test_a_korean_report_has_the_numbers_of_the_english(
    rendered_run: Rendered, only_words: None
) -> None:
    run = read_run(rendered_run.run)
    with using("ko"):
        korean = markdown(template_values(run, draw_figures(run)), "reader")
    assert numbers(korean) == numbers(rendered_run.markdown)


@pytest.mark.slow
def test_a_korean_report_is_written(rendered_run: Rendered, tmp_path: Path) -> None:
    """Its HTML and PDF too, with the same bytes again, whatever a title holds."""
    import shutil

    folder = tmp_path / "run"
    shutil.copytree(rendered_run.run, folder)
    files = write_report(folder, language="ko")
    before = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in write_report(folder, language="ko")] == before
    html = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert '<html lang="ko">' in html
    assert "밝은 화면" in html
    assert TITLE.partition("<")[0] in html
    english = [path.read_bytes() for path in write_report(folder)]
    assert english == [path.read_bytes() for path in rendered_run.files]


def test_an_unknown_language_is_refused_before_anything_is_written(make_run: MakeRun) -> None:
    run = make_run()
    with pytest.raises(InputError, match="--language expects en or ko"):
        write_report(run, language="xx")
    assert not (run / "report").exists()


def test_no_english_is_left_in_a_korean_report_of_runs(make_run: MakeRun, tmp_path: Path) -> None:
    from reports.runs import comparison_values, read_runs

    changed = {"vary": {"rate": {"key": "optimizers.SGD.lr", "values": [0.1, 0.2]}}}
    folders = []
    of_runs: list[dict[str, Any]] = [{"seeds": (0, 1)}, {"optimizers": ("SGD",), **changed}, {}]
    for number, options in enumerate(of_runs):
        folders.append(tmp_path / f"r{number}")
        make_run(**options).rename(folders[-1])
    runs = read_runs(folders)
    with using("ko"):
        figure = Figure("curves", 1, "", "", b"", b"")
        values = comparison_values(runs) | {"figures": {"curves": figure}, "paths": ""}
        report = markdown(values, "reader", "runs.md.j2")
    assert "## 1 설정에서 다른 것" in report
    settings = {"algorithm", "cases", "key", "lr", "values", "eps", "betas"}  # names of keys
    assert set(english_words(report)) - settings == set(), report
