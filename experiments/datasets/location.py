"""Where data that is not in the package is read from: the folder that somebody named, or none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

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
        return Location(Path(given).expanduser(), given, f"the folder {given}")
    value = os.environ.get(VARIABLE)
    if value:
        called = f"{value} (from ${VARIABLE})"
        return Location(Path(value).expanduser(), called, f"the folder in ${VARIABLE}")
    return None
