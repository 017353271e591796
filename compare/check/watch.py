"""Again whenever a file is saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

POLL_S = 0.3


def run_again_when_saved(once: Callable[[], int], files: Sequence[Path]) -> int:
    """Run, then run again whenever one of the files or a Python file beside it changes.

    Ctrl-C ends it: KeyboardInterrupt passes through.
    """
    while True:
        seen = stamps(files)
        once()
        print(f"\nWatching {files[0]}; Ctrl-C ends this.", flush=True)
        while stamps(files) == seen:
            time.sleep(POLL_S)
        print("\n" + "─" * 40, flush=True)


def stamps(files: Sequence[Path]) -> dict[Path, tuple[int, int]]:
    """When each file was last changed, and its size."""
    found = {}
    for path in {*files, *(p for file in files for p in file.parent.glob("*.py"))}:
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = (state.st_mtime_ns, state.st_size)
    return found
