"""The program's sentences in other languages.

What the program says is written in English where it is said, and stands in records as it was
written. Where it is shown, :func:`translated` looks it up in the catalogue of the reader's
language, ``LANGUAGE.po`` in this folder; a sentence that the catalogue lacks stays English. An
entry may have places for what varies, as ``{count} comparisons``: what stands in them is looked up
in its turn, so that long sentences are composed of entries. The texts of the report's templates
are translated as a whole, in ``reports/templates/LANGUAGE/``.

A catalogue is a .po file, which translators have programs for. It is read as it is: there is no
compiled form that could be older.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import NamedTuple

from experiments.errors import InputError

FOLDER = Path(__file__).parent
ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "ko": "한국어"}
VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""Where a system says its reader's language, in the order in which gettext asks."""

NEXT = {
    "error": ("error", "library"),
    "help": ("help", "library"),
    "diff": ("diff",),
    "check": ("check", "", "error", "library"),
}
"""Context → where a text of it is looked up; of others, there and in entries without a context. The
places of errors hold names and values: what such a word means elsewhere is not meant there."""

PLACE = r"\{(\w+)\}"
INNER = {"count": r"[-−+±]?[\d,.]+", "n_": r"[-−+±]?[\d,.]+", "word": r"\S+", "rest": ".*?"}
"""How the name of a place begins → what stands there: a number, a word, what may be nothing."""

_current: ContextVar[str] = ContextVar("language", default=ENGLISH)


def current() -> str:
    """The language that is spoken now: ``en`` or ``ko``."""
    return _current.get()


@contextmanager
def using(language: str) -> Iterator[None]:
    """Speak a language for a while."""
    token = _current.set(known(language))
    try:
        yield
    finally:
        _current.reset(token)


def known(language: str, place: str = "--language") -> str:
    """The language, if there is a catalogue of it.

    Raises:
        InputError: There is none.
    """
    if language not in LANGUAGES:
        raise InputError(
            f"{place} expects {' or '.join(LANGUAGES)}, but got {language!r}: the program has no "
            "sentences in that language."
        )
    return language


def of_environment(variables: Mapping[str, str] = os.environ) -> str:
    """The language of the system's reader; English where there is no catalogue of it."""
    for name in VARIABLES:
        if variables.get(name):
            for wanted in variables[name].split(":"):
                language = re.split("[._@]", wanted)[0].lower()
                if language in LANGUAGES:
                    return language
                if language in ("c", "posix"):
                    break
            return ENGLISH
    return ENGLISH


class Entry(NamedTuple):
    """A text of a catalogue and its translation."""

    context: str
    english: str
    translation: str


def read_po(text: str) -> list[Entry]:
    """The entries of a .po file, without its header."""
    entries: list[Entry] = []
    parts = {"msgctxt": "", "msgid": "", "msgstr": ""}
    key = ""
    for line in [*text.splitlines(), 'msgid ""']:
        word, _, rest = line.partition(" ")
        if word in parts:
            if word in ("msgctxt", "msgid") and key == "msgstr":
                if parts["msgid"]:
                    entries.append(Entry(parts["msgctxt"], parts["msgid"], parts["msgstr"]))
                parts = {"msgctxt": "", "msgid": "", "msgstr": ""}
            key = word
            parts[key] = _unquoted(rest)
        elif line.startswith('"'):
            parts[key] += _unquoted(line)
    return entries


def _unquoted(quoted: str) -> str:
    escapes = {"n": "\n", "t": "\t"}
    inner = quoted.strip()[1:-1]
    return re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[1]), inner)


class _Pattern:
    """An entry with places; the regular expression is made for the first text that may fit it."""

    def __init__(self, english: str, translation: str) -> None:
        pieces = re.split(PLACE, english)[::2]
        self.fixed = sum(map(len, pieces))
        self._english, self._translation = english, translation
        self._pieces = [piece for piece in pieces if piece]
        self._expression: re.Pattern[str] | None = None

    def match(self, text: str) -> dict[str, str] | None:
        """What stands in the places, or None."""
        if not all(piece in text for piece in self._pieces):
            return None
        if self._expression is None:
            self._expression = _expression(self._english)
        found = self._expression.fullmatch(text)
        return None if found is None else found.groupdict()

    def filled(self, words: Mapping[str, str]) -> str:
        """The translation with words in its places; other braces stay."""
        return re.sub(
            r"\{(\w+)(?::([^}]*))?\}", lambda place: format(words[place[1]], place[2] or ""),
            self._translation,
        )  # fmt: skip


class Catalogue:
    """The translations into one language.

    Args:
        entries: Its texts.
        language: Which it is.
    """

    def __init__(self, entries: list[Entry], language: str) -> None:
        self._word = _word_of(language)
        self._texts: dict[tuple[str, str], str] = {}
        self._patterns: dict[str, list[_Pattern]] = {}
        for context, english, translation in entries:
            if re.search(PLACE, english):
                found = _Pattern(english, translation)
                self._patterns.setdefault(context, []).append(found)
            else:
                self._texts[context, english] = translation
        for patterns in self._patterns.values():  # what says most itself comes first
            patterns.sort(key=lambda one: -one.fixed)

    def translated(self, text: str, context: str = "") -> str:
        """The translation of a text, or of its sentences; what is not found stays as it is."""
        found = self.sentence(text, context)
        if found is not None:
            return found
        sentences = re.split(r"(?<=[.!?:;])(\s+)(?=\S)", text)
        if len(sentences) == 1:
            return text
        # As many sentences as make one entry, from the left.
        parts: list[str] = []
        while sentences:
            for end in range(len(sentences), 0, -2):
                whole = "".join(sentences[:end])
                found = self.sentence(whole, context)
                if found is not None or end == 1:
                    parts.append(whole if found is None else found)
                    parts += sentences[end : end + 1]
                    del sentences[: end + 1]
                    break
        return "".join(parts)

    def sentence(self, text: str, context: str) -> str | None:
        """A text, also with the capital and the full stop that a clause gets as a sentence."""
        lower = text[:1].lower() + text[1:]
        for form in dict.fromkeys((text, lower)):
            found = self.find(form, context)
            if found is not None:
                return found
        if text.endswith((".", ";")):
            for form in dict.fromkeys((text[:-1], lower[:-1])):
                found = self.find(form, context)
                if found is not None:
                    return found + text[-1]
        return None

    def of_context(self, context: str) -> list[tuple[str, str]]:
        """(English, translation) of the texts of a context that have no places."""
        return [(text, own) for (place, text), own in self._texts.items() if place == context]

    def find(self, text: str, context: str = "") -> str | None:
        """The translation of a text as a whole; None where there is none."""
        # A place holds what a context means, too, and mostly what is said anywhere.
        for place in NEXT.get(context) or dict.fromkeys((context, "")):
            found = self._texts.get((place, text))
            if found is not None:
                return found
            for pattern in self._patterns.get(place, ()):
                match = pattern.match(text)
                if match is not None:
                    words = {
                        name: self._word(self._value(value, context))
                        for name, value in match.items()
                    }
                    return pattern.filled(words)
        return None

    def _value(self, value: str, context: str) -> str:
        """What stands in a place, with the spaces around it."""
        inner = value.strip()
        if not inner:
            return value
        before, _, after = value.partition(inner)
        return before + self.translated(inner, context) + after


def _expression(english: str) -> re.Pattern[str]:
    """``{count} steps`` as a regular expression; a name that comes again stands for the same."""
    parts: list[str] = []
    seen: set[str] = set()
    for k, part in enumerate(re.split(PLACE, english)):
        if k % 2 == 0:
            parts.append(re.escape(part))
        elif part in seen:
            parts.append(f"(?P={part})")
        else:
            # What may stand there shows in the name.
            inner = next((one for start, one in INNER.items() if part.startswith(start)), ".+?")
            parts.append(f"(?P<{part}>{inner})")
            seen.add(part)
    return re.compile("".join(parts), re.DOTALL)


def _word_of(language: str) -> type[str]:
    """What stands in the places of translations: in Korean it takes particles."""
    if language == "ko":
        from compare.languages.korean import Word

        return Word
    return str


@cache
def catalogue(language: str) -> Catalogue | None:
    """The catalogue of a language; None for English, which needs none."""
    if language == ENGLISH:
        return None
    return Catalogue(read_po((FOLDER / f"{language}.po").read_text(encoding="utf-8")), language)


def translated(text: str, context: str = "") -> str:
    """A text in the language that is spoken now.

    Args:
        text: English.
        context: Where it stands, for words that mean several things; the table's name for cells.
    """
    found = catalogue(_current.get())
    return text if found is None or not text else found.translated(text, context)


def translated_error(sentence: str) -> str:
    """A sentence of bad input; also one that ``check`` has put together."""
    found = translated(sentence, "error")
    return translated(sentence, "check") if found == sentence else found


def translated_lines(text: str, context: str = "") -> str:
    """A text of several lines, each by itself; indents stay, and labels as ``Note:``."""
    found = catalogue(_current.get())
    if found is None:
        return text
    lines = []
    for line in text.split("\n"):
        inner = line.strip()
        indent = line[: len(line) - len(line.lstrip())]
        label, gap, said = inner.partition(": ")
        own = found.find(f"{label}:", context) if gap else None
        if own is None:
            lines.append(indent + found.translated(inner, context))
        else:
            lines.append(f"{indent}{own} {found.translated(said, context)}")
    return "\n".join(lines)
