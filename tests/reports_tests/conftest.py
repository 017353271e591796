"""Runs and a rendered report for the tests of reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from reports_tests.synthetic_run import TITLE, Rendered, build_run

from reports.report import write_report


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes run directories of the arguments of :func:`build_run`, by name."""
    return lambda name="run", **choices: build_run(tmp_path / name, **choices)


@pytest.fixture(scope="session")
def rendered_run(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """A run that stopped early, with a failure and a title full of markup; and its report.

    Its documents take seconds to make: tests that only look at them share these.
    """
    run = build_run(
        tmp_path_factory.mktemp("rendered") / "run",
        flips=1,
        failing={(1, "gradient/1.weight")},
        experiment={"title": TITLE},
        record={"max_steps": 6},
    )
    files = write_report(run)
    texts = [(run / "report" / f"report.{kind}").read_text("utf-8") for kind in ("md", "html")]
    return Rendered(run, files, *texts)
