"""Reports of the experiments that train no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compare.demos.records import read_kind_run
from reports.figures import Figure
from reports.figures.style import Drawing, rendered, style
from reports.kinds import layers, paths
from reports.kinds.layers_figures import draw_layers
from reports.kinds.paths_figures import draw_paths


def kind_documents(run_dir: Path) -> tuple[str, dict[str, Any], list[Figure], str]:
    """What :func:`reports.report.write_documents` writes: title, contents, figures, template.

    Raises:
        InputError: The records are missing, damaged or of another version.
    """
    run = read_kind_run(run_dir)
    with style():
        drawings: list[Drawing]
        if run.record.kind == "optimizer_paths":
            drawings, contents = draw_paths(run), paths.contents
        else:
            drawings, contents = draw_layers(run), layers.contents
        figures = [rendered(drawing, number) for number, drawing in enumerate(drawings, 1)]
    told = contents(run) | {"figures": {figure.name: figure for figure in figures}}
    return run.record.experiment.title, told, figures, f"{run.record.kind}.md.j2"
