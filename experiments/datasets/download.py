"""Where data comes from: a folder that somebody named, or a checked download."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from experiments.datasets.idx import gunzip, md5
from experiments.errors import InputError
from experiments.files import printable, read_bytes

if TYPE_CHECKING:
    import requests

VARIABLE = "NNCOMPARE_DATA"


@dataclass(frozen=True)
class Location:
    """A data folder, and how to speak of it.

    Attributes:
        folder: its path.
        called: the folder as an error names it, with the variable it came from.
        source: the folder as a report names it: the words that were given, never an absolute
            path that nobody wrote.
    """

    folder: Path
    called: str
    source: str


def named_location(data_dir: str | os.PathLike[str] | None) -> Location | None:
    """Return the folder given, else the one in $NNCOMPARE_DATA, else None: nobody named one."""
    if data_dir is not None:
        given = os.fspath(data_dir)
        return Location(_expanded(given, given), given, f"the folder {given}")
    value = os.environ.get(VARIABLE)
    if value:
        called = f"{value} (from ${VARIABLE})"
        return Location(_expanded(value, called), called, f"the folder in ${VARIABLE}")
    return None


def _expanded(path: str, called: str) -> Path:
    """The path with the home folder for ``~``."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"The data folder {called} does not exist: there is no home folder of that user."
        ) from None


_TIMEOUT_S = 30.0
"""How long a mirror may be silent."""
_TOTAL_S = 600.0
"""How long it may take for one file, however it divides that."""
_CHUNK_BYTES = 1 << 16
_MOST_REDIRECTS = 30
MOST_BYTES = 64 << 20
"""What a file may have, as it comes and unpacked: the largest of MNIST's has 47 million bytes."""


class _MirrorError(Exception):
    """Why a mirror did not serve a file, in a few words."""


def download(
    files: Mapping[str, str], folder: Path, mirrors: Sequence[str], title: str = "The data set"
) -> None:
    """Make a folder hold the files, fetching those that it lacks or holds damaged.

    The cache holds decompressed content, so that one digest judges the files of every mirror,
    however each packed them. A file appears in the folder only when its content is right.

    Args:
        files: name → MD5 of the content, decompressed. Mirrors serve ``name + ".gz"``.
        folder: the cache; made where it does not exist.
        mirrors: URLs of folders, tried in turn for each file.
        title: what to call the data in an error.

    Raises:
        InputError: no mirror served a file, or the folder cannot be written.
    """
    for name, digest in files.items():
        reasons = []
        for mirror in mirrors:
            try:
                _retrieve(f"{mirror.rstrip('/')}/{name}.gz", name, digest, folder)
                break
            except _MirrorError as error:
                reasons.append(f"{mirror} ({error})")
        else:
            found = ", ".join(reasons) or "no mirror to ask"
            raise InputError(
                f"{title} could not be downloaded: expected {name}.gz from a mirror, found "
                f"{found}; give a folder that holds {', '.join(files)} (each may end in .gz) "
                "with --data-dir."
            )


def default_cache() -> Path:
    """Return the folder where this user's programs keep what they can fetch again."""
    import pooch

    return Path(pooch.os_cache("nncompare"))


def _retrieve(url: str, name: str, digest: str, folder: Path) -> None:
    """Fetch one file unless the folder holds it whole; raise _MirrorError where that fails."""
    try:
        if _is_there(folder / name, digest):
            return
        folder.mkdir(parents=True, exist_ok=True)
        content = _content(url, digest)
        _put(folder / name, content)
    except OSError as error:
        raise InputError(
            f"The cache folder {folder} could not be used: {error.strerror or error}; "
            "free it or make room there, or give a folder that holds the files with --data-dir."
        ) from error


def _is_there(path: Path, digest: str) -> bool:
    """Whether the cache has the file itself: not a link to another, a pipe or a device."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
        return False
    try:
        return md5(read_bytes(path, MOST_BYTES)) == digest
    except (FileNotFoundError, InputError):  # taken away or changed by another process
        return False


def _put(path: Path, content: bytes) -> None:
    """Give the content the name in one step, for two processes that do so at once, too.

    A link of that name is replaced, and what it points to is left alone.
    """
    handle, temporary = tempfile.mkstemp(".part", f".{path.name}.", path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _content(url: str, digest: str) -> bytes:
    """What a mirror serves, unpacked and checked, within :data:`_TOTAL_S`."""
    try:
        content = gunzip(_within_time(url), "the answer", MOST_BYTES)
    except InputError as error:
        raise _MirrorError(str(error).rstrip(".")) from error
    found = md5(content)
    if found != digest:
        raise _MirrorError(f"wrong content: expected MD5 {digest}, found {found}")
    return content


def _within_time(url: str) -> bytes:
    """What :func:`_received` returns or raises, unless it takes too long.

    A mirror that sends a byte now and then is never silent: only a clock beside it ends that.
    """
    outcome: list[bytes | Exception] = []

    def fetch() -> None:
        try:
            outcome.append(_received(url))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(_TOTAL_S)
    if not outcome:
        raise _MirrorError(f"no whole answer within {_TOTAL_S:g} s")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _received(url: str) -> bytes:
    """The body of the answer; redirects lead to the same scheme, or from http to https."""
    import requests
    import urllib3

    ends = time.monotonic() + _TOTAL_S
    try:
        with requests.Session() as session:
            for _ in range(_MOST_REDIRECTS + 1):
                answer = session.get(
                    url, stream=True, allow_redirects=False, timeout=_TIMEOUT_S,
                    headers={"Accept-Encoding": "identity"},
                )  # fmt: skip
                with answer:
                    if not answer.is_redirect:
                        answer.raise_for_status()
                        return _body(answer, ends)
                    url = _redirected(url, answer.headers["Location"])
        raise _MirrorError(f"Exceeded {_MOST_REDIRECTS} redirects")
    except requests.HTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        raise _MirrorError(f"answered {status}") from error
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise _MirrorError(f"no answer within {_TIMEOUT_S:g} s") from error
    except (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError) as error:
        raise _MirrorError("the answer was cut off") from error
    except requests.ConnectionError as error:
        raise _MirrorError("the connection failed") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _MirrorError(str(error)) from error


def _redirected(url: str, location: str) -> str:
    """The address that a redirect leads to.

    Raises:
        _MirrorError: It is of another scheme, so that anybody on the way could answer.
    """
    target = urljoin(url, location)
    before, after = urlsplit(url).scheme.lower(), urlsplit(target).scheme.lower()
    if after != before and (before, after) != ("http", "https"):
        raise _MirrorError(f"redirects from {before} to {printable(after) or 'nowhere'}")
    return target


def _body(answer: requests.Response, ends: float) -> bytes:
    """The body, as it comes, as long as it is not too large and time is left."""
    promised = answer.headers.get("Content-Length", "")
    received = bytearray()
    # What there is, where this version of urllib3 can say it, and not a whole chunk.
    read = getattr(answer.raw, "read1", answer.raw.read)
    while part := read(_CHUNK_BYTES):
        received += part
        if len(received) > MOST_BYTES:
            raise _MirrorError(f"the answer is too large: expected at most {MOST_BYTES:,} bytes")
        if time.monotonic() > ends:
            raise _MirrorError(f"no whole answer within {_TOTAL_S:g} s")
    if promised.isdigit() and len(received) < int(promised[:20]):
        raise _MirrorError("the answer was cut off")
    return bytes(received)
