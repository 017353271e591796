"""``nncompare report``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compare.languages import current, using
from experiments.errors import InputError


def report_command(
    folders: Sequence[Path],
    *,
    author: str,
    formats: Sequence[str],
    out: Path | None,
    language: str = "",
) -> None:
    """Make the report of a run, a demonstration or a measurement, or one of several runs.

    The paths of its documents are printed.

    Args:
        folders: One, or those of 2 to 10 runs.
        author: Who wrote it; else what the records say.
        formats: Names of formats, each text one or several with commas between; the usual ones
            if empty.
        out: For several runs: the folder of their report, by default a new one beside the first.
        language: Of the report.
    """
    from reports.documents import USUAL

    chosen = parse_formats(formats)
    # What is not asked for is not said: a report takes the usual formats by itself.
    options: dict[str, Any] = {"formats": chosen} if tuple(chosen) != USUAL else {}
    if len(folders) > 1:
        from reports.runs import write_comparison

        with using(language or current()):
            paths = write_comparison(folders, out, author, chosen)
    elif out is not None:
        raise InputError(
            f"--out {out} is for the report of several runs: that of {folders[0]} goes to the "
            "folder itself."
        )
    elif os.path.isfile(folders[0] / "bench.json"):
        from compare.bench.records import read_bench
        from reports.bench import write_bench_report

        record = read_bench(folders[0] / "bench.json")
        with using(language or current()):
            paths = write_bench_report(record, folders[0], **options)
    else:
        from reports.report import write_report

        author_first = [author] if author else []
        if language:
            options["language"] = language
        paths = write_report(folders[0], *author_first, **options)
    for path in paths[: len(chosen)]:
        print(path)


def parse_formats(lists: Sequence[str]) -> list[str]:
    """``["md,docx", "pdf"]`` → ``["md", "pdf", "docx"]``, in the order of the formats.

    Raises:
        InputError: A name is none of the formats, or a list is empty.
    """
    from reports.documents import FORMATS, USUAL

    if not lists:
        return list(USUAL)
    names = [name.strip() for one in lists for name in one.split(",")]
    for name in names:
        if name not in FORMATS:
            raise InputError(
                f"--format {','.join(lists)}: expected some of {', '.join(FORMATS)} with commas "
                f"between, found {name!r}."
            )
    return [name for name in FORMATS if name in names]
