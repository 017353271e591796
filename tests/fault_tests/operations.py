"""What this project does that writes, reads or starts something, each small, with its results."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from attack_runs import content
from fault_tests.faults import DIES, READS, STARTS, WRITES, Faults
from malformed_tests.malformed import Ended, called

BEFORE = "as it was before\n"
NETWORK = "def net(nn):\n    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))\n"
HOMEWORK = f'''"""A small homework, which is right."""
import numpy as np

LOSS = "cross_entropy"
PARAMETERS = {{"W1": "0.weight.T", "b1": "0.bias", "W2": "2.weight.T", "b2": "2.bias"}}


def architecture(nn):
    return {NETWORK.split("return ")[1]}

def forward(params, x):
    return np.maximum(x @ params["W1"] + params["b1"], 0) @ params["W2"] + params["b2"]
'''
TINY = (
    "model.arguments.sizes=[784,4,10]",
    'data={name="mnist-sample",sample="mnist-sample",limit=40,validation=0.0}',
    "training.batch_size=20", "training.epochs=1", "optimizers={SGD={lr=0.1}}", "reported=[]",
    "parity.first_steps=1", "parity.every=9", "parity.replicas=1", "parity.replica_steps=2",
    "claims=[]",
)  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One command, small.

    Attributes:
        name: What it is called in the counts.
        prepare: Makes what it needs in an empty folder, and what it replaces; its arguments.
        replaces: The files that were there before, which are as they were or new and whole.
        statuses: With which it ends undisturbed.
        resumes: Whether ``--resume`` ends what was broken off.
        context: What holds while it is done.
    """

    name: str
    prepare: Callable[[Path], list[object]]
    replaces: tuple[str, ...] = ()
    statuses: tuple[int, ...] = (0,)
    resumes: bool = False
    context: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext


def _before(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text(BEFORE, encoding="utf-8")


def _run(folder: Path) -> list[object]:
    words = [word for change in TINY for word in ("--set", change)]
    options = ["--out", folder / "r", "--checkpoint-every", "0", "--threads", "1"]
    return ["run", "mnist_bn_mlp", *words, *options]


@contextlib.contextmanager
def _without_report() -> Iterator[None]:
    report = ModuleType("reports.report")
    report.write_report = lambda path, **_: []  # type: ignore[attr-defined]
    before = sys.modules.get("reports.report")
    sys.modules["reports.report"] = report
    try:
        with mock.patch("compare.records.directory.BETWEEN_CHECKPOINTS_S", 0.0):
            yield
    finally:
        del sys.modules["reports.report"]
        if before is not None:
            sys.modules["reports.report"] = before


@cache
def _finished() -> Path:
    """A finished run."""
    folder = Path(tempfile.mkdtemp(prefix="nncompare-faults-"))
    with _without_report():
        ended = called(_run(folder))
    assert ended.status == 0, ended.err
    return folder / "r"


def _report(folder: Path) -> list[object]:
    shutil.copytree(_finished(), folder / "r")
    (folder / "r" / "report").mkdir()
    _before(folder, "r/report/report.md")
    return ["report", folder / "r", "--format", "md"]


@contextlib.contextmanager
def pictures_undrawn() -> Iterator[None]:
    """Figures are made and not laid out, which takes their time."""
    with (
        mock.patch("matplotlib.figure.Figure.draw_without_rendering", _nothing),
        mock.patch("matplotlib.backends.backend_svg.FigureCanvasSVG.print_svg", _nothing),
    ):
        yield


def _nothing(*_: Any, **__: Any) -> None:
    pass


def _documents(folder: Path) -> list[object]:
    _report(folder)
    return ["report", folder / "r", "--format", "html,pdf,docx,ipynb"]


def _golden(folder: Path) -> list[object]:
    (folder / "net.py").write_text(NETWORK)
    _before(folder, "g.npz")
    return ["golden", f"{folder / 'net.py'}:net", "--out", folder / "g.npz"]


@cache
def golden_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="nncompare-faults-"))
    ended = called(_golden(folder))
    assert ended.status == 0, ended.err
    return folder / "g.npz"


def _check(folder: Path) -> list[object]:
    (folder / "homework.py").write_text(HOMEWORK)
    shutil.copy(golden_file(), folder / "g.npz")
    _before(folder, "j.json", "s.json")
    where = ["--json", folder / "j.json", "--gradescope", folder / "s.json"]
    return ["check", folder / "homework.py", "--golden", folder / "g.npz", *where]


def _check_report(folder: Path) -> list[object]:
    return [*_check(folder)[:4], "--report", folder / "report"]


def _class(folder: Path) -> list[object]:
    (folder / "all").mkdir()
    for name in ("ann", "bob"):
        (folder / "all" / f"{name}.py").write_text(HOMEWORK)
    shutil.copy(golden_file(), folder / "g.npz")
    _before(folder, "grades.csv")
    where = ["--golden", folder / "g.npz", "--csv", folder / "grades.csv", "--jobs", "1"]
    return ["check", folder / "all", *where]


def _init(folder: Path) -> list[object]:
    (folder / "homework.py").write_text(HOMEWORK)
    _before(folder, "map.py")
    return ["init", folder / "homework.py", "--out", folder / "map.py", "--force"]


@cache
def _trace() -> Path:
    import torch

    import nncompare

    folder = Path(tempfile.mkdtemp(prefix="nncompare-faults-"))
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh())
    with nncompare.record(folder / "a", model):
        model(torch.ones(2, 3)).sum().backward()
    return folder / "a"


def _diff(folder: Path) -> list[object]:
    shutil.copytree(_trace(), folder / "a")
    _before(folder, "d.json", "map.json")
    where = ["--json", folder / "d.json", "--propose", folder / "map.json"]
    return ["diff", folder / "a", folder / "a", *where, "--baseline", folder / "base.json"]


def _export(folder: Path) -> list[object]:
    shutil.copytree(_finished(), folder / "r")
    return ["export", folder / "r", "--onnx", "--out", folder / "onnx"]


OPERATIONS = {
    one.name: one
    for one in (
        Operation("run", _run, resumes=True, context=_without_report),
        Operation("report", _report, ("r/report/report.md",), context=pictures_undrawn),
        Operation("report as documents", _documents),
        Operation("golden", _golden, ("g.npz",)),
        Operation("check", _check, ("j.json", "s.json")),
        Operation("check --report", _check_report),
        Operation("check of a folder", _class, ("grades.csv",)),
        Operation("init", _init, ("map.py",)),
        Operation("diff", _diff, ("d.json", "map.json")),
        Operation("export", _export),
    )
}
QUICK = ("run", "report", "golden", "check", "diff")
"""Those that take under a second."""


def do(operation: Operation, folder: Path, faults: Faults, *more: str) -> Ended | str:
    """Do it in a folder that :attr:`~Operation.prepare` filled; how it ended, or what it raised."""
    arguments = operation.prepare(folder) if not more else [*operation.prepare(folder), *more]
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    with (
        operation.context(),
        mock.patch.object(tempfile, "tempdir", str(temporary)),
        warnings.catch_warnings(),
        faults.injected(),
    ):
        warnings.simplefilter("always")
        try:
            return called(arguments)
        except Exception as error:
            return f"{type(error).__name__}: {error}"


def attempt(operation: Operation, kind: str, number: int) -> str:
    """Let a call fail; what is wrong then, or nothing."""
    with tempfile.TemporaryDirectory(prefix="nncompare-faults-") as name:
        folder = Path(name).resolve()
        faults = Faults(kind, number)
        ended = do(operation, folder, faults)
        if len(faults.sites) <= number:
            return ""  # it has fewer calls this time
        wrong = _wrong(operation, folder, kind, ended)
        where = f"{operation.name}, {kind} {number} in {faults.sites[number]}"
        return f"{where}: {wrong}" if wrong else ""


def _wrong(operation: Operation, folder: Path, kind: str, ended: Ended | str) -> str:
    if isinstance(ended, str):
        return f"a traceback: {ended}"
    if "Traceback" in ended.err:
        return f"a traceback on stderr: {ended.err[-300:]}"
    said = ended.err.strip()
    if kind == DIES and ended.status == 2 and not said:
        words = " ".join(ended.out.split())
        if not any(word in words for word in ("SIGKILL", "status -9", "ended")):
            return f"status 2, and nothing of the process that died: {words[-300:]!r}"
    elif ended.status == 2:
        # Warnings of what went on without may stand above.
        last = said.splitlines()[-1] if said else ""
        if not last.startswith("nncompare: ") or not last.endswith((".", "…", "?", ")")):
            return f"status 2 and no sentence: {said[-300:]!r}"
    elif ended.status not in operation.statuses and not (said or ended.out):
        return f"status {ended.status} without a word"
    for file in operation.replaces:
        if problem := _broken(folder / file):
            return f"status {ended.status}, and {file} is {problem}"
    left = [path.name for path in folder.rglob("*") if path.name.endswith(".part")]
    left += [path.name for path in (folder / "tmp").iterdir()]
    if left:
        return f"status {ended.status}, and left behind: {', '.join(left)}"
    return _resumed(operation, folder) if operation.resumes else ""


def _broken(path: Path) -> str:
    """What is wrong with a file that was to be replaced."""
    if not path.is_file():
        return "gone"
    data = path.read_bytes()
    if data == BEFORE.encode():
        return ""
    try:
        match path.suffix:
            case ".json":
                json.loads(data)
            case ".npz":
                from compare.check.golden import read_golden

                read_golden(path)
            case ".csv":
                widths = {len(row) for row in csv.reader(io.StringIO(data.decode()))}
                assert len(widths) == 1
                assert data.endswith(b"\n")
            case ".py":
                compile(data, path.name, "exec")
                assert data.endswith(b"\n")
            case _:
                assert data.endswith(b"\n")
    except Exception as error:
        return f"half written ({type(error).__name__})"
    return ""


def _resumed(operation: Operation, folder: Path) -> str:
    more = ("--resume",) if (folder / "r" / "run.json").exists() else ()
    ended = do(operation, folder, Faults(WRITES), *more)
    if isinstance(ended, str) or ended.status not in operation.statuses:
        if not more:  # a new run is refused where something else was begun
            ended = do(operation, folder, Faults(WRITES), "--resume")
        if isinstance(ended, str) or ended.status not in operation.statuses:
            return f"it could not be gone on with: {ended if isinstance(ended, str) else ended.err}"
    found, whole = content(folder / "r"), content(_finished())
    different = sorted(k for k in {*found, *whole} if found.get(k) != whole.get(k))
    return f"after --resume it differs in {', '.join(different)}" if different else ""


def calls(operation: Operation, kind: str) -> list[str]:
    """The site of each call of a kind, in an operation that nothing disturbs."""
    with tempfile.TemporaryDirectory(prefix="nncompare-faults-") as name:
        faults = Faults(kind)
        ended = do(operation, Path(name).resolve(), faults)
    if isinstance(ended, str) or ended.status not in operation.statuses:
        raise RuntimeError(f"{operation.name} undisturbed: {getattr(ended, 'err', ended)}")
    return faults.sites


KINDS = (WRITES, READS, STARTS, DIES)
