"""Output in encodings that lack characters: cp1252, cp949, Latin-1 and ASCII.

What is redirected is written in the encoding of the system, which on Windows and in the C locale
is seldom UTF-8. A character that it lacks is replaced by others that read alike: an arrow by
``->``, a raised 2 by ``^2``, and where there is no such text by the character's code, ``\\u6f22``.
Nothing is ever refused: a training that took an hour does not fail at an arrow.
"""

from __future__ import annotations

import codecs
from itertools import groupby
from typing import Any, TextIO
from unicodedata import category, combining, normalize

HANDLER = "nncompare.readable"
"""The name of the error handler, as codecs know it."""

READABLE = {
    "→": "->", "←": "<-", "⇒": "=>", "…": "...", "⋮": ":", "–": "-", "—": "-", "−": "-", "─": "-",
    "‐": "-", "‑": "-", "×": "x", "·": "*", "•": "*", "“": '"', "”": '"', "„": '"', "‘": "'",
    "’": "'", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "±": "+-", "√": "sqrt", "∞": "inf",
    "∂": "d", "∈": "in", "‖": "||", "½": "1/2", "¼": "1/4", "²": "^2", "³": "^3", "¹": "^1",
    "ᵀ": "^T", "ᶻ": "^z", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon",
    "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "µ": "mu", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "Σ": "sum ", "Δ": "Delta", "✓": "ok", "✗": "x",
    "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip
"""Character → what is written in its place where it cannot be."""

RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀᶻ", "0123456789-+Tz", strict=True))
LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))


def readable(text: str, encoding: str) -> str:
    """The text with replacements that an encoding has; ``10⁻³`` → ``10^-3`` as a whole."""
    written: list[str] = []
    for table, members in groupby(text, key=_table):
        run = "".join(members)
        if table is not None:
            written.append(table[1] + "".join(table[0][character] for character in run))
        else:
            written += (_replacement(character, encoding) for character in run)
    return "".join(written)


_RAISED, _LOWERED = (RAISED, "^"), (LOWERED, "_")


def _table(character: str) -> tuple[dict[str, str], str] | None:
    if character in RAISED:
        return _RAISED
    return _LOWERED if character in LOWERED else None


def _replacement(character: str, encoding: str) -> str:
    """A text of the encoding: from the table, the letter without its accents, or the code."""
    without_accents = "".join(c for c in normalize("NFKD", character) if not combining(c))
    for text in (READABLE.get(character, ""), without_accents):
        if text and all(category(c) != "Lo" for c in text) and _has(encoding, text):
            return text
    return character.encode("ascii", "backslashreplace").decode("ascii")


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _handled(error: UnicodeError) -> tuple[str, int]:
    """The error handler: what stands in the place of all characters that could not be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    start = error.start
    return readable(error.object[start : error.end], error.encoding), error.end


def make_printable(stream: TextIO | Any) -> None:
    """Let a text stream replace what its encoding lacks; one that is no such stream stays."""
    if hasattr(stream, "reconfigure"):
        codecs.register_error(HANDLER, _handled)
        stream.reconfigure(errors=HANDLER)
