"""Malformed inputs of every kind, and what a command owes to whoever gives it one.

It ends with status 0 or 2; with 2 it says one sentence that names what is at fault; no traceback,
no warning beside it; and nothing that existed is changed.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any
from unicodedata import bidirectional, category
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

MOST_SECONDS = 60

QUICK = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
THOROUGH = settings(QUICK, max_examples=200)

HOSTILE = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "&lt;b&gt; &amp; &#60;script&#62;",
    "`````\n<script>alert(2)</script>\n`````",
    "```{=html}\n<script>alert(3)</script>\n```",
    "`<script>alert(4)</script>`{=html}",
    '```{=typst}\n#panic("raw")\n```',
    '`#panic("raw")`{=typst}',
    '#panic("typst") #read("/etc/passwd")',
    "\\input{/etc/passwd} \\begin{x} \\def\\a{b}",
    "![picture](/etc/hostname) [link](javascript:alert(5))",
    "<https://example.org> https://example.org/a_b",
    "# heading\n\n- item\n1. item\n> quote\n---\n| a | b |",
    "$\\frac{1}{$ $$ \\$ $x^2$ $\\undefinedmacro$",
    "{{ 7 * 7 }} {% raw %} {# comment #}",
    "../../../etc/passwd",
    "..\\..\\x",
    '=cmd|" /C calc"!A0',
    "\t=1+1",
    "  +1",
    "@SUM(A1)",
    "name\x00with\x1b[31mcontrols\x07\x9b",
    "\u202egnp.exe\u2066 \u200f",
    "a\rb\u2028c\x0bd\x0c",
    "::: {.x onclick=y}\ntext\n:::",
    "[^1] ^[note] @cite -@cite [@cite]",
    '*star* _under_ ~~gone~~ ~sub~ ^sup^ "quote" ... -- ---',
    "</style></title><script>alert(6)</script>",
    "',);import os;os.abort()#",
    '"""\nimport os\n"""',
    "%s %d {0} {name} %(x)s",
    "x" * 5000,
    "",
    " ",
    "漢字 العربية עברית ไทย 😀 \u0301\u0301\u0301",
    "\ufffe\U0010ffff\ue000",
]
"""Texts that mean something to a page, a terminal, a shell, a sheet or a file system."""

NUMBERS = [
    0, -1, 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 10**50, -(10**50), 0.5, -0.0, 1e308, 5e-324,
    math.nan, math.inf, -math.inf,
]  # fmt: skip


def nested(depth: int, inner: Any = 0) -> Any:
    """A list in a list in a list …"""
    for _ in range(depth):
        inner = [inner]
    return inner


def tables(depth: int) -> Any:
    """A table in a table in a table …"""
    inner: Any = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from(NUMBERS),
    st.sampled_from([True, False, None, [], {}, [[]], [0, "a"], {"a": {"b": 1}}]),
    st.sampled_from([20, 200]).map(nested),
    st.sampled_from([20, 200]).map(tables),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(-5, 5), max_size=4),
)


def places(tree: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in tables and lists, but of the first few alone of long lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree[:3])
    for key, value in items:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


@st.composite
def spoiled(draw: st.DrawFn, tree: dict[str, Any]) -> dict[str, Any]:
    """A tree with one to three of its places removed, replaced, doubled or renamed."""
    whole: dict[str, Any] = deepcopy(tree)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        paths = list(places(whole))
        if not paths:
            break
        *above, last = draw(st.sampled_from(paths))
        table: Any = whole
        for key in above:
            table = table[key]
        match draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "add"])):
            case "replace":
                table[last] = deepcopy(draw(values))
            case "remove":
                del table[last]
            case "rename" if isinstance(table, dict):
                table[draw(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=5)))] = table.pop(
                    last
                )
            case _ if isinstance(table, dict):
                table[draw(st.text(max_size=5))] = deepcopy(draw(values))
            case _:
                table.append(deepcopy(draw(values)))
    return whole


@st.composite
def spoiled_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """A file with bytes changed, cut out, doubled or put in."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.one_of(st.integers(0, len(changed)), st.integers(0, min(64, len(changed)))))
        match draw(st.sampled_from(["flip", "cut", "end", "insert", "double"])):
            case "flip" if at < len(changed):
                changed[at] ^= draw(st.integers(1, 255))
            case "cut":
                del changed[at : at + draw(st.integers(1, 100))]
            case "end":
                del changed[at:]
            case "insert":
                changed[at:at] = draw(
                    st.one_of(
                        st.binary(max_size=20),
                        st.sampled_from(
                            [b"\0", b"nan", b"inf", b"-1", b"1e999", b"9" * 50, b"9" * 5000, b",",
                             b"\n", b'"', b"\xff\xfe", b"[" * 2000, b"true", b"null"]
                        ),
                    )
                )  # fmt: skip
            case _:
                changed[at:at] = changed[at : at + 50]
    return bytes(changed)


class Ended:
    """How a command ended, and what it printed."""

    def __init__(self, status: Any, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


def called(arguments: Sequence[object]) -> Ended:
    """Call ``nncompare`` in this process; what it takes too long for is ended by an alarm."""
    from compare import cli

    def late(*_: object) -> None:
        pytest.fail(f"it took more than {MOST_SECONDS} s: {arguments}")

    out, err = io.StringIO(), io.StringIO()
    before = {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGALRM)}
    signal.signal(signal.SIGALRM, late)
    signal.alarm(MOST_SECONDS)
    try:
        with (
            mock.patch.object(sys, "argv", ["nncompare", *map(str, arguments)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ending,
        ):
            cli.main()
    finally:
        signal.alarm(0)
        for kind, handler in before.items():
            signal.signal(kind, handler)
    return Ended(ending.value.code, out.getvalue(), err.getvalue())


def refused_or_done(
    arguments: Sequence[object],
    names: Sequence[str],
    unchanged: Sequence[Path] = (),
    statuses: Sequence[int] = (0, 2),
) -> Ended:
    """Call a command with an input that may be malformed, and check what it owes.

    Args:
        arguments: Of the command.
        names: What the sentence may name: the file, a key, an option.
        unchanged: Files and folders that stay as they are when the input is refused.
        statuses: With which the command may end.
    """
    before = [_state(path) for path in unchanged]
    ended = called(arguments)
    assert ended.status in statuses, (ended.status, ended.err)
    if ended.status == 2:
        assert "Traceback" not in ended.err
        assert ended.err.startswith("nncompare: "), ended.err
        assert ended.err.count("\n") == 1, ended.err
        assert ended.err.rstrip().endswith((".", "…", "?", ")")), ended.err
        assert not [c for c in ended.err[:-1] if _acts(c)], ended.err
        assert any(name in ended.err for name in names), (names, ended.err)
        assert [_state(path) for path in unchanged] == before
    return ended


def _acts(character: str) -> bool:
    """Whether a terminal would do something at it."""
    return category(character) in ("Cc", "Cs", "Zl", "Zp") or bidirectional(character) in (
        *("LRE", "LRO", "RLE", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
    )


def _state(path: Path) -> Any:
    if not path.is_dir():
        return path.read_bytes() if path.is_file() else path.exists()
    return {
        os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_mtime_ns
        for folder, _, names in os.walk(path)
        for name in names
    }


def as_toml(value: Any) -> str:
    """A value as TOML writes it; what it cannot hold as a string."""
    match value:
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case int():
            return str(value)
        case list():
            return f"[{', '.join(map(as_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{as_toml(str(k))} = {as_toml(v)}' for k, v in value.items())}}}"
    return '"' + "".join(_in_toml(c) for c in str(value)) + '"'


def _in_toml(character: str) -> str:
    code = ord(character)
    if 0xD800 <= code < 0xE000:
        return "?"
    return f"\\U{code:08X}" if code < 32 or code == 127 or character in '"\\' else character
