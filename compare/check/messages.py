"""Messages between the checking process and a homework's: bounded before they are read, and typed.

A message is a frame: one byte that says its kind, the length of its text and the length of its
arrays, then both. The text is JSON, the arrays are their plain bytes, one after the other; nothing
is unpickled, uncompressed or opened by a name that the homework's process gives. What that process
sends may come from the homework itself, which can write to any open file: a length beyond its
bound, a value of another type, nesting without end or a number that is not finite is a
:class:`MessageError`, and text loses whatever could do something on a terminal.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np

from compare.check.return_values import CallResult, ReturnValue, flatten

# The kinds of messages from the homework's process: it has started, an answer, a module that a
# homework may not use has been loaded; and of those to it.
READY, ANSWER, FORBIDDEN, REQUEST = b"r", b"a", b"f", b"q"
# Kind, bytes of text, bytes of arrays.
HEAD = struct.Struct(">cIQ")
# The bounds of a message from the homework's process; its arrays may have half of its memory, as
# they are copies of what it holds.
TEXT_BYTES = 4 * 2**20
ARRAYS_PART = 0.5
MOST_DEPTH = 48
MOST_ARRAYS = 20_000
# The kinds of a value, and the dtypes of its arrays: bool, signed, unsigned and floating.
KINDS = ("array", "none", "dict", "tuple", "other")
DTYPES = "biuf"
# The characters of a sentence, and of a name, that are kept.
SENTENCE_CHARACTERS, NAME_CHARACTERS = 1000, 200
MOST_SENTENCES = 100
# The name of a module or of a library's file.
MODULE = re.compile(r"[A-Za-z_][\w.+-]{0,59}", re.ASCII)


class MessageError(Exception):
    """A message is none; the homework has disturbed its process."""


class Frame(NamedTuple):
    """A message as it came: its kind, its text and its arrays, both still bytes."""

    kind: bytes
    text: bytes
    arrays: bytearray


class FrameReader:
    """Puts frames together from data as it arrives.

    Args:
        most_bytes: The bytes that the arrays of a frame may have.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._data = bytearray()
        self._head: tuple[bytes, int, int] | None = None

    def take(self, data: bytes) -> list[Frame]:
        """The frames that are whole now.

        Raises:
            MessageError: The lengths or the kind of a frame are none.
        """
        self._data += data
        frames: list[Frame] = []
        while True:
            if self._head is None:
                if len(self._data) < HEAD.size:
                    return frames
                kind, text, arrays = HEAD.unpack_from(self._data)
                if kind not in (READY, ANSWER, FORBIDDEN):
                    raise MessageError("a kind that does not exist")
                if text > TEXT_BYTES or arrays > self._most_bytes:
                    raise MessageError("longer than its bound")
                self._head = kind, text, arrays
            kind, text, arrays = self._head
            end = HEAD.size + text + arrays
            if len(self._data) < end:
                return frames
            frames.append(
                Frame(
                    kind,
                    bytes(self._data[HEAD.size : HEAD.size + text]),
                    self._data[HEAD.size + text : end],
                )
            )
            del self._data[:end]
            self._head = None


def frame(kind: bytes, tree: Any, arrays: list[np.ndarray] | None = None) -> bytes:
    """The bytes of a message.

    Args:
        kind: One of the kinds above.
        tree: Its text, for JSON.
        arrays: Its arrays; ``tree`` gets what describes them, under ``arrays``.

    Raises:
        ValueError: A number of the text is not finite.
    """
    arrays = arrays or []
    described = [[array.dtype.str, list(array.shape)] for array in arrays]
    text = json.dumps({**tree, "arrays": described}, allow_nan=False).encode()
    bodies = [array.tobytes() for array in arrays]
    return b"".join([HEAD.pack(kind, len(text), sum(map(len, bodies))), text, *bodies])


def read_request(stream: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
    """The next message of the checking process, which is trusted; None if there is none."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    _, text, size = HEAD.unpack(head)
    tree = json.loads(stream.read(text))
    body = bytearray(stream.read(size))
    arrays = _arrays(tree["arrays"], body)
    return tree, dict(zip(tree.get("names", ()), arrays, strict=True))


def write_request(tree: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None) -> bytes:
    """A message for the homework's process."""
    arrays = arrays or {}
    return frame(REQUEST, {**tree, "names": list(arrays)}, [np.asarray(a) for a in arrays.values()])


def write_answer(number: int, result: CallResult, subject: str, most_bytes: int) -> bytes:
    """The result of a request; one that no message can hold has a problem instead.

    Args:
        number: The number of the request.
        result: Its result.
        subject: What was called, for the sentence that says the problem.
        most_bytes: The bytes that its arrays may have.
    """
    arrays: list[np.ndarray] = []
    tree = {
        "number": number,
        "problem": result.problem,
        "value": flatten(result.value, arrays),
        "changed": [
            [name, flatten(ReturnValue("array", "ndarray", array), arrays)]
            for name, array in result.changed.items()
        ],
        "warnings": result.warnings,
        "details": result.details,
    }
    size = sum(array.nbytes for array in arrays)
    problem = f"{subject} gives a number that is not finite where a setting is expected."
    if size > most_bytes or len(arrays) > MOST_ARRAYS:
        problem = f"{subject} returned {len(arrays)} arrays of {size / 2**20:.0f} MB: too much."
    else:
        try:
            message = frame(ANSWER, tree, arrays)
        except (TypeError, ValueError):
            message = b""
        if HEAD.size < len(message) <= HEAD.size + TEXT_BYTES + size:
            return message
    return write_answer(number, CallResult(problem=problem), subject, most_bytes)


def read_answer(found: Frame, number: int, action: str) -> CallResult:
    """The result that an answer holds.

    Args:
        found: The frame.
        number: The number of the request, which the answer has to repeat.
        action: What was asked, which decides what has to be in it.

    Raises:
        MessageError: It is not what was asked for.
    """
    try:
        tree = _mapping(json.loads(found.text, parse_constant=_not_finite))
        _bounded(tree)
        if found.kind != ANSWER or tree["number"] != number:
            raise MessageError("an answer that was not asked for")
        arrays = _arrays(tree["arrays"], found.arrays)
        problem = tree["problem"]
        changed = {
            _name(name): _value(value, arrays).array for name, value in _pairs(tree["changed"])
        }
        result = CallResult(
            _value(tree["value"], arrays),
            None if problem is None else _sentence(problem),
            {name: array for name, array in changed.items() if array is not None},
            [_sentence(one) for one in _list(tree["warnings"])[:MOST_SENTENCES]],
            _details(_mapping(tree["details"])),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, MemoryError):
        raise MessageError("another form than an answer has") from None
    missing = [name for name in NEEDED.get(action, ()) if name not in result.details]
    if missing and result.problem is None:
        raise MessageError(f"no {missing[0]}")
    return result


def read_name(found: Frame) -> str:
    """The name that a message of the kind FORBIDDEN holds.

    Raises:
        MessageError: It holds none.
    """
    try:
        tree = _mapping(json.loads(found.text, parse_constant=_not_finite))
        name = _name(tree["name"])
    except (ValueError, KeyError, RecursionError):
        raise MessageError("no name") from None
    if MODULE.fullmatch(name) is None:
        raise MessageError("the name of no module")
    return name


def one_line(text: str, characters: int = SENTENCE_CHARACTERS) -> str:
    """Text of a homework as a line that does nothing: no control characters, bounded."""
    line = " ".join(text[: 4 * characters].split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return line if len(line) <= characters else f"{line[: characters - 1]}…"


def _not_finite(name: str) -> NoReturn:
    raise MessageError(f"the number {name}")


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MessageError("no object where one is expected")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise MessageError("no list where one is expected")
    return value


def _pairs(value: Any) -> list[list[Any]]:
    pairs = [_list(pair) for pair in _list(value)]
    if any(len(pair) != 2 for pair in pairs):
        raise MessageError("no pair where one is expected")
    return pairs


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MessageError("no text where some is expected")
    return value


def _sentence(value: Any) -> str:
    return one_line(_text(value))


def _name(value: Any) -> str:
    return one_line(_text(value), NAME_CHARACTERS)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise MessageError("no count where one is expected")
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise MessageError("neither true nor false")
    return value


def _bounded(value: Any, depth: int = 0) -> None:
    """Refuse what is nested too deep, and numbers that no float holds."""
    if depth > MOST_DEPTH:
        raise MessageError("nested too deep")
    if isinstance(value, dict):
        for item in value.values():
            _bounded(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _bounded(item, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):  # 1e999 is no constant of JSON
        raise MessageError("a number that is not finite")


def _clean(value: Any) -> Any:
    """Plain values with their texts made into lines."""
    if isinstance(value, dict):
        return {one_line(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return one_line(value) if isinstance(value, str) else value


def _arrays(described: Any, body: bytearray) -> list[np.ndarray]:
    """The arrays of a message, which have all of its bytes.

    Raises:
        MessageError: They are described otherwise than their bytes allow.
    """
    found, place = [], 0
    if len(_list(described)) > MOST_ARRAYS:
        raise MessageError("too many arrays")
    for name, shape in _pairs(described):
        dtype = np.dtype(_text(name))
        lengths = [_count(length) for length in _list(shape)]
        if dtype.kind not in DTYPES or dtype.hasobject or dtype.shape or len(lengths) > 32:
            raise MessageError("an array of a dtype that is not sent")
        count = math.prod(lengths)
        if place + count * dtype.itemsize > len(body):
            raise MessageError("fewer bytes than its arrays have")
        array = np.empty(count, dtype)
        if count:
            array = np.frombuffer(body, dtype, count, place)
        if dtype.kind == "f" and np.isnan(array).any():
            with np.errstate(invalid="ignore"):  # a signalling NaN warns here and never again
                np.multiply(array, 1, out=array)
        found.append(array.reshape(lengths))
        place += count * dtype.itemsize
    if place != len(body):
        raise MessageError("more bytes than its arrays have")
    return found


def _value(tree: Any, arrays: list[np.ndarray], depth: int = 0) -> ReturnValue:
    """The value that :func:`~compare.check.return_values.flatten` made into a tree."""
    if depth > MOST_DEPTH:
        raise MessageError("nested too deep")
    tree = _mapping(tree)
    if tree["kind"] not in KINDS or (tree["kind"] == "array") != ("array" in tree):
        raise MessageError("a value of no kind")
    array = None
    if "array" in tree:
        array = arrays[_count(tree["array"])] if _count(tree["array"]) < len(arrays) else None
        if array is None:
            raise MessageError("an array that is not there")
    items = {
        one_line(_text(key)): _value(item, arrays, depth + 1)
        for key, item in _pairs(tree.get("items", []))
    }
    return ReturnValue(tree["kind"], _name(tree["type"]), array, items)


def _names(value: Any) -> list[str]:
    return [_name(one) for one in _list(value)]


def _words(value: Any) -> dict[str, str]:
    return {_name(key): _name(text) for key, text in _mapping(value).items()}


def _places(value: Any) -> Any:
    """Of functions a dict, of layers a list of dicts."""
    return [_words(one) for one in value] if isinstance(value, list) else _words(value)


def _shapes(value: Any) -> dict[str, list[int]]:
    return {
        _name(key): [_count(length) for length in _list(shape)]
        for key, shape in _mapping(value).items()
    }


# What the details of an answer may have, and how each is read.
DETAILS: dict[str, Callable[[Any], Any]] = {
    "readable": _truth,
    "loaded": _truth,
    "constants": lambda value: _clean(_mapping(value)),
    "functions": _names,
    "places": _places,
    "filled": _truth,
    "notes": lambda value: [_sentence(one) for one in _list(value)[:MOST_SENTENCES]],
    "not_callable": _names,
    "tree": _clean,
    "read": _names,
    "returned": _names,
    "shapes": _shapes,
    "names": _names,
    "classes": _names,
    "forward_only": lambda value: [_count(one) for one in _list(value)],
    "loss": lambda value: None if value is None else _name(value),
    "left_out": lambda value: None if value is None else _name(value),
    "updating": _truth,
    "unknown_switches": lambda value: [_count(one) for one in _list(value)],
}
# What an answer without a problem has to have, by what was asked.
NEEDED = {
    "declaration": ("constants", "functions", "places", "filled", "notes", "not_callable"),
    "architecture": ("tree",),
    "network": (
        "names", "classes", "forward_only", "loss", "left_out", "updating", "unknown_switches",
        "places",
    ),
}  # fmt: skip


def _details(tree: dict[str, Any]) -> dict[str, Any]:
    unknown = [name for name in tree if name not in DETAILS]
    if unknown:
        raise MessageError("details that do not exist")
    return {name: DETAILS[name](value) for name, value in tree.items()}
