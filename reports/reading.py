"""The records of a run, whole or broken off."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compare.records import TABLES, Run, read_arrays, read_run_record, read_table


def read_recorded_run(path: Path) -> Run:
    """Read a run directory; a run that was broken off has no pictures and predictions yet."""
    record = read_run_record(path)

    def arrays(name: str) -> dict[str, np.ndarray]:
        file = path / f"{name}.safetensors"
        return {} if record.status == "incomplete" and not file.exists() else read_arrays(file)

    return Run(
        path,
        record,
        **{name: read_table(path / f"{name}.csv", name) for name in TABLES},
        predictions=arrays("predictions"),
        pictures=arrays("pictures"),
    )
