"""Files that are either whole or absent, whatever happens while they are written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from experiments.errors import InputError

PART = ".part"


def write_atomically(path: Path, content: bytes | str | Iterable[bytes | str]) -> None:
    """Put ``content`` at ``path`` in one indivisible step; pieces of it one after another.

    The content goes to a temporary file in the same folder, is flushed to the disk, and then
    takes the name: a reader sees the old file or the new one, never a part.

    Raises:
        InputError: The folder cannot be written to or the disk is full; an earlier file of that
            name is then as it was.
    """
    if isinstance(content, str):
        content = [content]
    pieces: Iterable[bytes | str] = [content] if isinstance(content, bytes) else content
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(PART, f".{path.name}.", path.parent)
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                file.write(piece.encode("utf-8") if isinstance(piece, str) else piece)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise InputError(f"{path} could not be written: {error.strerror or error}.") from None
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of a process that was killed while it wrote below ``folder``."""
    for file in folder.rglob(f".*{PART}"):
        file.unlink(missing_ok=True)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
