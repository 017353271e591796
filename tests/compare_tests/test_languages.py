"""Catalogues: what they hold, how sentences are found in them, and Korean particles."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from compare.languages import (
    FOLDER,
    LANGUAGES,
    Catalogue,
    Entry,
    catalogue,
    current,
    known,
    of_environment,
    read_po,
    translated,
    using,
)
from compare.languages.korean import Word, with_particle
from experiments.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
OTHERS = [language for language in LANGUAGES if language != "en"]


def entries(language: str) -> list[Entry]:
    return read_po((FOLDER / f"{language}.po").read_text(encoding="utf-8"))


@cache
def said() -> str:
    """All texts that the program has: strings of its files, with {} for what varies."""
    found: list[str] = []
    for folder in ("compare", "reports", "experiments"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in node.values]
                    found.append("".join(map(str, parts)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    found.append((ROOT / "reports" / "templates" / "report.js").read_text(encoding="utf-8"))
    found += [str(tomllib.loads(p.read_text("utf-8"))) for p in ROOT.glob("experiments/*.toml")]
    found.append((ROOT / "reports" / "templates" / "report.html").read_text(encoding="utf-8"))
    # Notebooks' templates are the same in every language, and their text is looked up.
    notebooks = (ROOT / "reports" / "templates").glob("*notebook.md.j2")
    found += [path.read_text(encoding="utf-8") for path in notebooks]
    return " ".join(" ".join(found).replace("\\n", " ").split())


def is_said(piece: str, parts: int = 3) -> bool:
    """Whether a text is in the program, as a whole or put together from a few parts."""
    if piece in said() or piece.removesuffix("s") in said():
        return True
    words = piece.split()
    return parts > 1 and any(
        " ".join(words[:k]) in said() and is_said(" ".join(words[k:]), parts - 1)
        for k in range(len(words) - 1, 0, -1)
    )


def test_what_is_not_said_is_found() -> None:
    assert is_said("the gradient has the wrong sign")
    assert not is_said("The losses of both backends are drawn beneath their difference")
    assert not is_said("the gradient of the weight has another sign than it should")


@pytest.mark.parametrize("language", OTHERS)
def test_every_entry_is_still_said(language: str) -> None:
    """An English sentence that was changed leaves its translation behind."""
    stale = []
    for context, english, _ in entries(language):
        if context == "library":  # what others say: test_what_libraries_say
            continue
        # Sentences are put together at commas and the like; a short piece occurs everywhere, and
        # the words of a plural are made of the singular.
        pieces = re.split(r"\{\w+\}|[,;:()]", english)
        fixed = [" ".join(piece.split()).rstrip(".") for piece in pieces]
        if any(len(piece) > 4 and not is_said(piece) for piece in fixed):
            stale.append(english)
    assert stale == [], stale


@pytest.mark.parametrize("language", OTHERS)
def test_translations_have_the_places_of_the_english(language: str) -> None:
    for context, english, own in entries(language):
        assert own.strip(), english
        if context == "script":
            continue
        places = set(re.findall(r"\{(\w+)\}", english))
        assert set(re.findall(r"\{(\w+)(?::[^}]*)?\}", own)) == places, english


@pytest.mark.parametrize("language", OTHERS)
def test_no_entry_comes_twice(language: str) -> None:
    keys = [(context, english) for context, english, _ in entries(language)]
    assert len(keys) == len(set(keys))


def test_a_po_file_is_read() -> None:
    text = (
        'msgid ""\nmsgstr ""\n"Language: ko\\n"\n\n# note\nmsgctxt "a"\nmsgid "x \\"y\\" "\n"z"\n'
    )
    text += 'msgstr "1\\n2"\n\nmsgid "w"\nmsgstr "3"\n'
    assert read_po(text) == [Entry("a", 'x "y" z', "1\n2"), Entry("", "w", "3")]


def test_babel_reads_the_same() -> None:
    pofile = pytest.importorskip("babel.messages.pofile", reason="Babel is not installed")
    with (FOLDER / "ko.po").open("rb") as file:
        messages = [m for m in pofile.read_po(file) if m.id]
    assert [(m.context or "", m.id, m.string) for m in messages] == entries("ko")


def test_sentences_are_composed_of_entries() -> None:
    found = Catalogue(
        [
            Entry("", "{count} steps", "{count}단계"),
            Entry("", "Done: {what}, {who} said", "{who:이/가} {what:을/를} 마쳤다"),
            Entry("", "It ended.", "끝났다."),
            Entry("table", "all", "합계"),
        ],
        "ko",
    )
    assert found.translated("Done: 5 steps, NumPy said") == "NumPy가 5단계를 마쳤다"
    assert found.translated("It ended. It ended.") == "끝났다. 끝났다."
    assert found.translated("It ended. Who knows. It ended.") == "끝났다. Who knows. 끝났다."
    assert found.translated("many steps") == "many steps"
    assert (found.translated("all", "table"), found.translated("all")) == ("합계", "all")


def test_english_is_spoken_unless_another_language_is_chosen() -> None:
    assert (current(), catalogue("en"), translated("test loss")) == ("en", None, "test loss")
    with using("ko"):
        assert translated("test loss") == "시험 손실"
    assert translated("test loss") == "test loss"


def test_an_unknown_language_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"--language expects en or ko, but got 'tlh'"):
        known("tlh")


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ko_KR"}, "ko"),
        ({"LANG": "de_DE"}, "en"),
        ({"LANGUAGE": "de:ko", "LANG": "de_DE"}, "ko"),
    ],
)
def test_the_language_of_a_system(variables: dict[str, str], language: str) -> None:
    assert of_environment(variables) == language


# As the words are read aloud, https://korean.go.kr (표준어 규정, 한글 맞춤법).
@pytest.mark.parametrize(
    ("word", "forms", "expected"),
    [
        ("손실", "은/는", "손실은"),
        ("가중치", "은/는", "가중치는"),
        ("학습률", "으로/로", "학습률로"),
        ("값", "으로/로", "값으로"),
        ("정확도", "으로/로", "정확도로"),
        ("3", "을/를", "3을"),
        ("12", "을/를", "12를"),
        ("0.01", "으로/로", "0.01로"),
        ("10", "이/가", "10이"),
        ("95.12%", "은/는", "95.12%는"),
        ("SGD", "이/가", "SGD가"),
        ("Adam", "과/와", "Adam과"),
        ("NumPy", "은/는", "NumPy는"),
        ("`0.weight`", "을/를", "`0.weight`를"),
        ("*label*", "으로/로", "*label*로"),
        ("손실(훈련)", "은/는", "손실(훈련)은"),
        ("", "은/는", "는"),
    ],
)
def test_particles(word: str, forms: str, expected: str) -> None:
    assert with_particle(word, forms) == expected
    assert f"{Word(word):{forms}}" == expected
