"""The lines of a training's tables, kept on the disk until the tables are written.

A run rewrites its tables as a whole, in the order of its trainings, so it needs every line again.
Lines wait in memory until there are some; then they go to one file without a name in the run's
folder, which the system removes with the process, however that ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from compare.records.atomic import PART

WAITING_BYTES = 1 << 16
"""So many characters of one table of one training wait in memory at most."""
PIECE_BYTES = 1 << 20
"""Lines are read back in pieces of this size."""


class Spool:
    """Bytes on the disk, to be read back by their place.

    Args:
        folder: Where the file is made, once there is something to keep and the folder is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._end = 0

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def put(self, data: bytes) -> int | None:
        """Keep bytes; their place, or None where the disk does not take them."""
        try:
            if self._file is None:
                if not self._folder.is_dir():
                    return None
                self._file = tempfile.TemporaryFile(  # noqa: SIM115
                    dir=self._folder, prefix=".lines.", suffix=PART, buffering=0
                )
            self._file.seek(self._end)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
        except OSError:  # the lines stay in memory, and the next write of a table says it
            return None
        place = self._end
        self._end += len(data)
        return place

    def get(self, place: int, size: int) -> bytes:
        """The bytes at a place.

        Raises:
            OSError: The disk does not give them back.
        """
        assert self._file is not None
        self._file.seek(place)
        data = b""
        while len(data) < size:
            more = self._file.read(size - len(data))
            if not more:
                raise OSError(f"{size - len(data)} bytes of earlier rows are gone")
            data += more
        return data


class Lines:
    """Text that is only ever added to; most of it may be on the disk.

    Args:
        text: What there is at first.
    """

    def __init__(self, text: str = "") -> None:
        self._waiting = [text] if text else []
        self._length = len(text)
        self._spooled: list[tuple[int, int]] = []  # place and size, in the order of the lines
        self._spool: Spool | None = None

    def add(self, text: str) -> None:
        """Add some lines."""
        self._waiting.append(text)
        self._length += len(text)
        if self._length > WAITING_BYTES:
            self.spill()

    def keep_in(self, spool: Spool) -> None:
        """Use this spool from now on, if there is none yet."""
        if self._spool is None:
            self._spool = spool
        self.spill()

    def spill(self) -> None:
        """Move what waits in memory to the disk, if there is a spool that takes it."""
        if self._spool is None or not self._waiting:
            return
        data = "".join(self._waiting).encode()
        place = self._spool.put(data)
        if place is None:
            return
        if self._spooled and sum(self._spooled[-1]) == place:
            first, size = self._spooled.pop()
            self._spooled.append((first, size + len(data)))
        else:
            self._spooled.append((place, len(data)))
        self._waiting.clear()
        self._length = 0

    def pieces(self) -> Iterator[bytes]:
        """The text in UTF-8, piece by piece; a piece may end within a line."""
        for place, size in self._spooled:
            assert self._spool is not None
            for begin in range(0, size, PIECE_BYTES):
                yield self._spool.get(place + begin, min(PIECE_BYTES, size - begin))
        for text in self._waiting:
            yield text.encode()

    def __str__(self) -> str:
        return b"".join(self.pieces()).decode()
