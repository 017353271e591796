"""Where data comes from: a folder that somebody named, or a checked download."""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from experiments.datasets.idx import gunzip, md5
from experiments.errors import InputError

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


_TIMEOUT_S = 30
_CHUNK_BYTES = 1 << 20


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
    import pooch

    try:
        with _quiet(pooch.get_logger()):
            pooch.retrieve(
                url,
                known_hash=f"md5:{digest}",
                fname=name,
                path=folder,
                downloader=_Downloader(digest),
            )
    except OSError as error:
        raise InputError(
            f"The cache folder {folder} could not be used: {error.strerror or error}; "
            "free it or make room there, or give a folder that holds the files with --data-dir."
        ) from error


class _Downloader:
    """What pooch calls to fetch a URL to a temporary file: fetches, decompresses, checks."""

    def __init__(self, digest: str) -> None:
        self.digest = digest

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        Path(output_file).write_bytes(self._content(url))

    def _content(self, url: str) -> bytes:
        import pooch
        import requests

        received = io.BytesIO()
        # Not streamed: the connection is then closed whatever happens to the answer.
        fetch = pooch.HTTPDownloader(chunk_size=_CHUNK_BYTES, timeout=_TIMEOUT_S, stream=False)
        try:
            fetch(url, received, None)
            content = gunzip(received.getvalue(), "the answer")
        except InputError as error:
            raise _MirrorError(str(error).rstrip(".")) from error
        except requests.HTTPError as error:
            status = getattr(error.response, "status_code", "an error")
            raise _MirrorError(f"answered {status}") from error
        except requests.Timeout as error:
            raise _MirrorError(f"no answer within {_TIMEOUT_S} s") from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise _MirrorError("the answer was cut off") from error
        except requests.ConnectionError as error:
            raise _MirrorError("the connection failed") from error
        except requests.RequestException as error:
            raise _MirrorError(str(error)) from error
        found = md5(content)
        if found != self.digest:
            raise _MirrorError(f"wrong content: expected MD5 {self.digest}, found {found}")
        return content


@contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep pooch from announcing each file on the terminal."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
