"""Settings of every test, and the command line called in the process of the test."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

# Each of pytest's processes has a core: libraries with a thread for every core would fight for
# them. Set before NumPy and PyTorch load; processes that the tests start inherit it.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# A shell starts what it puts in the background with SIGINT ignored, and processes inherit that;
# those that the tests start are to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def command_line(monkeypatch, capfd) -> Callable[..., Ended]:
    """Call ``nncompare`` with these arguments in this process, where PyTorch is loaded already."""

    def call(*arguments: object) -> Ended:
        from compare import cli

        monkeypatch.setattr(sys, "argv", ["nncompare", *map(str, arguments)])
        numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGINT", "SIGHUP")]
        before = {number: signal.getsignal(number) for number in numbers if number is not None}
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as ending:
                cli.main()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        captured = capfd.readouterr()
        return Ended(ending.value.code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def only_markdown() -> Callable[[], AbstractContextManager[None]]:
    """A context in which reports take seconds less, for fixtures that outlive a test.

    Figures are drawn once and not laid out, and pandoc and typst are not called, so that
    report.html, report.pdf and the figures' .svg are empty.
    """

    @contextmanager
    def patched() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("matplotlib.figure.Figure.draw_without_rendering", lambda _: None)
            patch.setattr(
                "matplotlib.backends.backend_svg.FigureCanvasSVG.print_svg", lambda *_, **__: None
            )
            patch.setattr("pypandoc.convert_text", lambda *_, **__: "")
            patch.setattr("typst.compile", lambda *_, **__: b"")
            yield

    return patched


@pytest.fixture
def markdown_alone(only_markdown) -> Iterator[None]:
    """Of the documents of a report, report.md alone is written."""
    with only_markdown():
        yield
