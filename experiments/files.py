"""Files that strangers gave, read without harm: no pipe is waited for, no memory is filled.

Every reader of this project's input files begins here. What a file says of itself is believed
only as far as the memory of the machine goes.
"""

from __future__ import annotations

import errno
import gzip
import os
import stat
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from experiments.errors import InputError

GZIP_MAGIC = b"\x1f\x8b"
MOST_TEXT_BYTES = 64 << 20
"""The largest file of settings, records in JSON or names that is read: 64 MiB."""

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file to be read; a pipe, a device or a folder is refused, not waited for.

    Raises:
        InputError: It is none, or cannot be opened or read.
        FileNotFoundError: There is none, for the caller to say what it needs.
    """
    try:
        # Without O_NONBLOCK the opening of a pipe waits until somebody writes.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise
    except ValueError:  # NUL, or half of a surrogate pair
        raise InputError(
            f"{printable(str(path))} is no path: expected one without NUL and half characters."
        ) from None
    except OSError as error:
        # A socket cannot be opened at all.
        why = "it is a socket or has no reader" if error.errno == errno.ENXIO else reason(error)
        raise InputError(f"{printable(str(path))} could not be read: {why}.") from None
    kind = stat.S_IFMT(os.fstat(handle).st_mode)
    if kind != stat.S_IFREG:
        os.close(handle)
        raise InputError(
            f"{printable(str(path))} could not be read: expected a regular file, found "
            f"{_KINDS.get(kind, 'something else')}."
        )
    with os.fdopen(handle, "rb") as file:
        try:
            yield file
        except OSError as error:
            if isinstance(error, gzip.BadGzipFile):
                raise
            raise InputError(
                f"{printable(str(path))} could not be read: {reason(error)}."
            ) from None


def check_size(path: Path, size: int, most: int | None = None) -> None:
    """Refuse a file that has more bytes than ``most``, by default what :func:`most_bytes` says.

    Raises:
        InputError: It is larger.
    """
    limit = most_bytes() if most is None else most
    if size > limit:
        raise InputError(
            f"{printable(str(path))} is too large: expected at most {limit:,} bytes, found "
            f"{size:,}."
        )


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        most: How many bytes it may have; by default what :func:`most_bytes` says.

    Raises:
        InputError: It is no regular file, cannot be read, or is larger.
        FileNotFoundError: There is none.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        limit = most_bytes() if most is None else most
        check_size(path, size, limit)
        content = file.read(limit + 1)
        check_size(path, len(content), limit)
        return content


def read_text(path: Path, most: int = MOST_TEXT_BYTES) -> str:
    """Return the content of a text file in UTF-8.

    Raises:
        InputError: As :func:`read_bytes`, or it is no such text.
        FileNotFoundError: There is none.
    """
    try:
        return read_bytes(path, most).decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise InputError(f"{printable(str(path))} is not a text file in UTF-8.") from None


def unpacked(file: IO[bytes]) -> IO[bytes]:
    """A file as a stream of its content, decompressed while it is read if it is gzipped."""
    gzipped = file.read(2) == GZIP_MAGIC
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if gzipped else file  # type: ignore[return-value]


def read_unpacked(stream: IO[bytes], count: int, name: str) -> bytes:
    """Return the next ``count`` bytes of :func:`unpacked`, or fewer where it ends.

    Raises:
        InputError: The gzip data, read from what ``name`` names, is damaged or cut off.
    """
    try:
        return stream.read(count)
    except EOFError:
        packed: IO[bytes] = stream.fileobj  # type: ignore[attr-defined]
        raise InputError(
            f"{name} is cut off: expected a whole gzip file, found {packed.tell():,} bytes that "
            "stop before its end."
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{name} is damaged: expected gzip data, found bytes that do not decompress ({error})."
        ) from None


def most_bytes() -> int:
    """How large an array from a file may be: a quarter of the memory that is free now.

    The rest is for what is made of it: floats take four times as much as bytes.
    """
    return free_memory_bytes() // 4


def free_memory_bytes() -> int:
    """Memory that a process can still have, in bytes, as far as the system says; else 4 GiB."""
    found = []
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            found += [1024 * int(line.split()[1]) for line in lines if "MemAvailable" in line]
    except (OSError, ValueError):
        pass
    try:
        limit, used = (
            Path(f"/sys/fs/cgroup/memory.{name}").read_text("ascii").strip()
            for name in ("max", "current")
        )
        found += [int(limit) - int(used)] if limit.isdigit() else []
    except (OSError, ValueError):
        pass
    if not found and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(min(found, default=4 << 30), 64 << 20)


def reason(error: Exception) -> str:
    """What the system says of an error, in a few words."""
    return getattr(error, "strerror", None) or printable(str(error))


# U+061C, U+200E, U+200F and the embeddings, overrides and isolates change the order of letters.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


_UNSEEN = frozenset(("Cc", "Co", "Cs", "Zl", "Zp"))


def strange(text: str, allowed: str = "") -> str | None:
    """The first character of a text that would act and not be seen, or None.

    Such are control characters, halves of surrogate pairs, private characters (which mean something
    else, or nothing, on another machine), what ends a line beside a line feed, and what turns the
    order of letters around.

    Args:
        text: Any text.
        allowed: Control characters that may be in it.
    """
    if text.isascii() and text.isprintable():
        return None
    return next(
        (
            c
            for c in text
            if c not in allowed
            and (c in _BIDI or unicodedata.category(c) in _UNSEEN or _no_text(c))
        ),
        None,
    )


def _no_text(character: str) -> bool:
    """Whether Unicode keeps this code from ever being a character, as U+FFFE."""
    code = ord(character)
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def printable(text: str, allowed: str = "") -> str:
    r"""The text with every character that :func:`strange` finds as its code, ``\x1b``."""
    if strange(text, allowed) is None:
        return text
    return "".join(
        c if c in allowed or strange(c) is None else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def experiment_names() -> list[str]:
    """The names of the experiments that come with the package, in alphabetical order."""
    from importlib.resources import files

    return sorted(
        entry.name.removesuffix(".toml")
        for entry in files("experiments").iterdir()
        if entry.name.endswith(".toml")
    )
