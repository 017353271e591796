"""Whatever reaches a reader has a translation, and a Korean command line speaks Korean."""

from __future__ import annotations

import ast
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pydantic_core
import pytest
import typer

import compare.cli as cli
import scripts.languages as marks
from compare.console.help import laid_out, width, wrapped
from compare.languages import (
    FOLDER,
    LANGUAGES,
    read_po,
    translated,
    translated_error,
    translated_lines,
    using,
)

OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_every_message_has_a_translation(language: str) -> None:
    """Sentences of errors, helps and the terminal, as they stand in the program's files."""
    lacking = [f"# {place}\n{marks.entry(*key)}" for key, place in marks.missing(language).items()]
    assert not lacking, (
        f"{len(lacking)} sentences have no translation: add these entries to "
        f"compare/languages/{language}.po, each with its msgstr (`python scripts/languages.py "
        f"{language} --missing` prints them, too).\n\n" + "\n".join(lacking)
    )


SOURCE = '''
def check(path, names, n):
    """A docstring is none."""
    hint = f"; did you mean {names[0]}?" if names else "."
    if n:
        raise InputError(f"{path} has {n} row{'s' if n > 1 else ''}{hint}")
    raise InputError("expected " + ("a file" if n else f"{names or 'nothing'}"))

def _said(text):
    return translated(text, "terminal")

def show(count):
    print(_said(f"{count} are here"))
'''


def test_messages_are_read_from_a_source() -> None:
    hole = marks.HOLE
    assert set(marks.Messages(ast.parse(SOURCE)).found) == {
        ("error", f"; did you mean {hole}?"),
        ("error", f"{hole} has {hole} rows{hole}"),
        ("error", f"{hole} has {hole} row{hole}"),
        ("error", "expected a file"),
        ("error", f"expected {hole}"),
        ("error", "nothing"),
        ("terminal", f"{hole} are here"),
    }


def test_an_entry_to_add_is_one_of_a_po_file() -> None:
    text = marks.entry("error", f'{marks.HOLE} is "{marks.HOLE}"')
    assert [e.english for e in read_po(text.replace('msgstr ""', 'msgstr "x"'))] == ['{a} is "{b}"']


def test_what_libraries_say() -> None:
    """Their sentences cannot be read from our files: they stand in theirs, or in the system."""
    typer_files = Path(typer.__file__).parent.rglob("*.py")
    said = "".join(p.read_text("utf-8") for p in typer_files)
    said += " ".join(os.strerror(number) for number in errno.errorcode)
    core = Path(pydantic_core.__file__).parent
    compiled = b"".join(
        path.read_bytes() for path in core.glob("_pydantic_core*.*") if path.is_file()
    )
    words = set(re.findall("[A-Za-z]+", said + compiled.decode("latin-1")))
    for context, english, _ in read_po((FOLDER / "ko.po").read_text(encoding="utf-8")):
        if context == "library":
            fixed = re.findall("[A-Za-z]+", re.sub(r"\{\w+\}", " ", english))
            assert set(fixed) <= words, english


ERRORS = [
    ["run", "nowhere"],
    ["run", "nowhere.toml"],
    ["run", "mnist_softmax", "--set", "training.epoch=3"],
    ["run", "mnist_softmax", "--set", "training.epochs=-1"],
    ["run", "mnist_softmax", "--set", "training"],
    ["run", "mnist_softmax", "--seeds", "5..1"],
    ["run", "mnist_softmax", "--seed", "1", "--seeds", "1"],
    ["run", "mnist_softmax", "--resume"],
    ["run", "mnist_softmax", "--seed", "one"],
    ["run", "mnist_softmax", "--sampel"],
    ["run", "mnist_softmax", "--jobs", "0"],
    ["run"],
    ["runn"],
    ["parity", "--architecture", "nothing"],
    ["parity", "--dtype", "float16"],
    ["check", "nothing.py"],
    ["golden", "bn_mlp", "-o", "x", "--loss", "what"],
    ["export", "nowhere", "--backend", "jax"],
    ["report", "nowhere"],
    ["report", "nowhere", "--format", "txt"],
    ["bench", "--repeats", "1"],
    ["diff", "nothing-a", "nothing-b"],
    ["record", "nothing.py:main", "-o", "x"],
]
# Options, files, keys, quoted values, codes of placeholders, and names as they are written.
NAMES = re.compile(
    r"--?[\w-]+|'[^']*'|[\w./-]*[./_=:][\w./:=-]*|FUNCTION|nncompare|nowhere|nothing-[ab]|TOML"
    r"|training|epochs?|run|softmax|numpy|torch|both|float\d+|bn|mlp|cnn|vgg16|md|html|pdf|docx"
    r"|export|ipynb|txt|json|Python|mse|bce|pass|experiment|DIR|out|NumPy|PyTorch|[A-Z]+"
)


@pytest.mark.parametrize("arguments", ERRORS, ids=" ".join)
def test_errors_are_korean(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nncompare", *arguments])
    monkeypatch.setenv("LANGUAGE", "ko")
    monkeypatch.setattr(cli, "_end_like_ctrl_c", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    printed = capsys.readouterr()
    sentence = printed.err or printed.out
    assert re.search("[가-힣]", sentence), sentence
    assert re.findall("[A-Za-z]{2,}", NAMES.sub(" ", sentence)) == [], sentence
    assert list(tmp_path.iterdir()) == []


def test_an_option_speaks_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors of other options, and the help, are in its language too."""
    monkeypatch.setattr(cli, "_end_like_ctrl_c", lambda: None)
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for words in (["--seed", "x", "--language=ko"], ["--help", "--language", "ko"]):
        monkeypatch.setattr(sys, "argv", ["nncompare", "run", "mnist_softmax", *words])
        with pytest.raises(SystemExit):
            cli.main()
        printed = capsys.readouterr()
        assert re.search("[가-힣]", printed.err + printed.out)


def test_every_command_that_speaks_has_the_option() -> None:
    command = typer.main.get_command(cli.app)
    for name, one in command.commands.items():  # type: ignore[attr-defined]
        options = [option for parameter in one.params for option in parameter.opts]
        if name != "golden":  # it says one line, in the system's language
            assert "--language" in options, name


def test_no_line_of_a_help_is_wider_than_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANGUAGE", "ko")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(cli, "_end_like_ctrl_c", lambda: None)
    for name in [[], ["run"], ["check"], ["diff"]]:
        monkeypatch.setattr(sys, "argv", ["nncompare", *name, "--help"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("사용법: nncompare")
        assert max(map(width, lines)) <= 80
        described = [line for line in lines if re.match(r"  (--\w\S*|\w+) .*[가-힣]", line)]
        starts = {width(re.split("[가-힣]", line)[0]) for line in described if line[2] == "-"}
        assert len(lines) > 5
        assert starts


def test_columns_count_wide_characters() -> None:
    assert (width("NumPy"), width("학습률"), width("…")) == (5, 6, 1)
    assert wrapped("학습률 학습률 a", 13) == ["학습률 학습률", "a"]
    text = "Usage: x [OPTIONS]\n\nOptions:\n  --sample  Use the small data set in the package.\n"
    with using("ko"):
        assert laid_out(text + "  --help    Show this message and exit.", 40).splitlines() == [
            *("사용법: x [OPTIONS]", "", "옵션:"),
            *("  --sample  패키지에 있는 작은 데이터를", "            씁니다."),
            *("  --help    이 도움말을 보이고", "            끝냅니다."),
        ]


def test_places_of_errors_hold_names() -> None:
    """A file that is called ``loss`` is not translated."""
    with using("ko"):
        assert translated_error("loss could not be read: Permission denied.") == (
            "loss를 읽을 수 없습니다: 권한이 없습니다."
        )
        assert translated("loss") == "손실"


def test_lines_keep_their_indents_and_labels() -> None:
    text = "First divergence:\n  Cause: p is 0.5 in a, 0.1 in b.\n\n16 sites: 16 within rounding."
    assert translated_lines(text, "diff") == text
    with using("ko"):
        assert translated_lines(text, "diff").split("\n") == [
            *("처음 다른 곳:", "  원인: p가 a에서는 0.5, b에서는 0.1.", ""),
            "지점 16개: 반올림 범위 안 16개.",
        ]


def test_english_reads_no_catalogue() -> None:
    code = "import sys, compare.cli as c; sys.argv = ['nncompare', '--version']\n" + (
        "try:\n    c.main()\nexcept SystemExit:\n    pass\n"
        "import compare.languages as l\n"
        "assert l.catalogue.cache_info().misses == 0, l.catalogue.cache_info()\n"
        "assert 'compare.console.help' not in sys.modules\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("LANGUAGE", "LC_ALL", "LANG")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
