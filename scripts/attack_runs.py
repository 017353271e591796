"""Kill runs at random moments, go on with them, and compare with runs that nobody touched.

    python scripts/attack_runs.py [--tries 60] [--seed 0] [--only kill]

Each kind is hit at random moments of a run of its own: SIGKILL, SIGTERM, SIGHUP, SIGINT twice, a
disk that is full, a worker of a cluster that is killed. Then ``--resume`` goes on, is hit again
now and then, and has to end with the tables, predictions, pictures and weights of the undisturbed
run, byte for byte; run.json may differ in times alone. A file more is wrong, too, such as a lock or
half a checkpoint, and so is a process of the run that outlives it by twenty seconds: one that is
just starting ends when it has started, which takes a while on a busy machine. Prints, for each
kind, how many were tried, right and wrong, and ends with 1 if any was wrong.

Takes a few seconds a try on a machine that does nothing else: the trainings are short, and a run is
forked from this process, which has loaded PyTorch already. The cluster's are started anew.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PROGRAM = """
import sys, types
report = types.ModuleType("reports.report")
report.write_report = lambda path, **settings: []
sys.modules["reports.report"] = report
from compare.cli import main
main()
"""
SAMPLE = (
    'data={name="mnist-sample",sample="mnist-sample",limit=100,validation=0.1}',
    "training.batch_size=20",
    "training.evaluate_rows=50",
    "parity.first_steps=2",
    "parity.every=20",
    "parity.replica_steps=6",
    "claims=[]",
)
MLP = ("mnist_bn_mlp", (*SAMPLE, "model.arguments.sizes=[784,30,20,10]", "training.epochs=8"), ())
CNN = (
    "mnist_deep_convnet",
    (*SAMPLE, 'data.layout="image"', "model.arguments={channels=[2,3,4]}", "training.epochs=4"),
    (),
)
JOBS = (MLP[0], (*MLP[1], "training.seeds=[0,1]"), ("--jobs", "2"))
RUNS = {"MLP": MLP, "CNN with dropout": CNN, "--jobs 2": JOBS}
TIMES = re.compile(rb'"(created|command|wall_s|cpu_s|load|commit)": .+')
ENDED_S, ORPHAN_S = 300.0, 20.0


def command(run: str, out: Path, *more: str) -> list[str]:
    """The words of a run, with frequent checkpoints."""
    name, changes, options = RUNS[run]
    words = [word for change in changes for word in ("--set", change)]
    every = () if "--checkpoint-every" in more else ("--checkpoint-every", "0.05")
    return ["run", name, *words, *options, *every, "--out", str(out), *more]


class ForkedRun:
    """A run in a session of its own, forked from this process.

    Args:
        words: Its command line, without the program.
    """

    def __init__(self, words: list[str]) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=self._run, args=(words,))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def _run(self, words: list[str]) -> None:
        os.setsid()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(self._said.fileno(), 2)
        report: Any = types.ModuleType("reports.report")
        report.write_report = lambda path, **settings: []
        sys.modules["reports.report"] = report
        sys.argv = ["nncompare", *words]
        from compare.cli import main

        main()

    @property
    def returncode(self) -> int | None:
        """Its exit status, or the signal that ended it as a negative number."""
        return self._process.exitcode

    def wait(self, seconds: float) -> bool:
        """Wait for its end; whether it has ended."""
        self._process.join(seconds)
        return self.returncode is not None

    def end(self) -> str:
        """Wait for its end; what it has said on standard error.

        Raises:
            subprocess.TimeoutExpired: It does not end.
        """
        if not self.wait(ENDED_S):
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired("run", ENDED_S)
        self._said.seek(0)
        with self._said:
            return self._said.read().decode(errors="replace")


def start(run: str, out: Path, *more: str) -> ForkedRun:
    """Start a run."""
    return ForkedRun(command(run, out, *more))


def content(run: Path) -> dict[str, bytes]:
    """What must be the same; the times of steps and of the run are others on each occasion."""
    found = {
        str(file.relative_to(run)): file.read_bytes()
        for file in sorted(run.rglob("*"))
        if file.is_file() and file.name != "timing.csv" and file.parent.name != "report"
    }
    return {name: TIMES.sub(b"", text) for name, text in found.items()}


def living(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(state[3]) == session and state[0] != "Z":
                found.append(int(folder.name))
    return found


def orphans(session: int) -> bool:
    """Whether a process of the run lives on :data:`ORPHAN_S` after it."""
    last = time.monotonic() + ORPHAN_S
    while living(session):
        if time.monotonic() > last:
            with contextlib.suppress(OSError):
                os.killpg(session, signal.SIGKILL)
            return True
        time.sleep(0.1)
    return False


def resumed(run: str, out: Path, whole: dict[str, bytes]) -> str:
    """Go on to the end; an empty string, or what is wrong."""
    process = start(run, out, "--resume")
    message = process.end()
    if process.returncode == 2 and not (out / "run.json").exists():  # killed before it had begun
        process = start(run, out)
        message = process.end()
    if process.returncode not in (0, 1) or "Traceback" in message:
        return f"it went on to status {process.returncode}: {message[-500:]}"
    found = content(out)
    different = sorted(k for k in {*found, *whole} if found.get(k) != whole.get(k))
    return f"differs in {', '.join(different)}" if different else ""


Hit = Callable[[ForkedRun], None]


def signals(*numbers: int, group: bool = False) -> Hit:
    """Send signals, one after the other, to the process or to its whole group."""

    def hit(process: ForkedRun) -> None:
        for number in numbers:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(process.pid, number)
            time.sleep(random.random() * 0.05)

    return hit


def hit_once(run: str, out: Path, after_s: float, hit: Hit, *more: str) -> str:
    """Start (or go on), hit, and wait for the end; an empty string, or what is wrong."""
    existed = out.exists()
    process = start(run, out, *more)
    if not process.wait(after_s):
        hit(process)
    message = process.end()
    if "Traceback" in message:
        return f"a traceback: {message[-500:]}"
    # A signal before the program has begun to listen ends it at once, and then it makes nothing.
    known = process.returncode in (0, 1, 2, 130, -signal.SIGKILL)
    if not known and out.exists() and not existed:
        return f"status {process.returncode}: {message[-500:]}"
    return "a process lives on" if orphans(process.pid) else ""


def attacked(run: str, whole: dict[str, bytes], lasts_s: float, folder: Path, hit: Hit) -> str:
    """Hit a run, perhaps again while it goes on, and let it go on to its end."""
    out = folder / "r"
    wrong = hit_once(run, out, random.uniform(0.05, lasts_s), hit)
    while not wrong and random.random() < 0.3 and (out / "run.json").exists():
        wrong = hit_once(run, out, random.uniform(0.05, lasts_s), hit, "--resume")
    return wrong or resumed(run, out, whole)


def full_disk(run: str, whole: dict[str, bytes], lasts_s: float, folder: Path) -> str:
    """A small tmpfs is filled to a random place; then it gets room."""
    room = random.randrange(20_000, int(1.2 * sum(map(len, whole.values()))))
    mounted = ["-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(folder)]
    subprocess.run(["mount", *mounted], check=True)
    try:
        process = start(run, folder / "r")
        message = process.end()
        if process.returncode not in (0, 2) or "Traceback" in message:
            return f"status {process.returncode}: {message[-500:]}"
        if process.returncode == 2 and "No space left on device" not in message:
            return f"another message: {message[-500:]}"
        subprocess.run(["mount", "-o", "remount,size=1g", str(folder)], check=True)
        return resumed(run, folder / "r", whole)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def killed_worker(run: str, whole: dict[str, bytes], lasts_s: float, folder: Path) -> str:
    """A Dask worker dies in the middle; another one goes on."""
    from distributed import LocalCluster

    out = folder / "r"
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        name, changes, _ = RUNS[run]
        words = [word for change in changes for word in ("--set", change)]
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "run", name, *words, "--checkpoint-every", "0.05",
             "--dask", cluster.scheduler_address, "--out", str(out)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(2.0, 3.0 + lasts_s))
        if process.poll() is None:
            worker = random.choice(list(cluster.workers.values()))
            os.kill(worker.process.process.pid, signal.SIGKILL)
        _, message = process.communicate(timeout=ENDED_S)
    if process.returncode not in (0, 1):
        return f"status {process.returncode}: {message[-500:]}"
    return resumed(run, out, whole)


Attack = Callable[[str, dict[str, bytes], float, Path], str]


def by(hit: Hit) -> Attack:
    """The attack that hits in this way."""
    return lambda run, whole, lasts_s, folder: attacked(run, whole, lasts_s, folder, hit)


ATTACKS: dict[str, tuple[Attack, tuple[str, ...]]] = {
    "kill -9": (by(signals(signal.SIGKILL)), tuple(RUNS)),
    "SIGTERM": (by(signals(signal.SIGTERM)), tuple(RUNS)),
    "SIGHUP": (by(signals(signal.SIGHUP)), tuple(RUNS)),
    "SIGINT twice": (by(signals(signal.SIGINT, signal.SIGINT, group=True)), tuple(RUNS)),
    "full disk": (full_disk, tuple(RUNS)),
    "worker killed": (killed_worker, ("--jobs 2",)),
}
WEIGHTS = (12, 3, 3, 3, 6, 3)
"""So many of each kind in a round."""


def dealt(tries: int, only: str) -> list[tuple[str, str]]:
    """The kind and the run of each try: whole rounds, and some of another one.

    The cluster's are the last: they leave threads behind, which are not to be forked.
    """
    kinds = [
        (kind, run)
        for (kind, (_, runs)), weight in zip(ATTACKS.items(), WEIGHTS, strict=True)
        for run in itertools.islice(itertools.cycle(runs), weight)
        if only in kind
    ]
    rounds, rest = divmod(tries, max(1, len(kinds)))
    found = kinds * rounds + random.sample(kinds, rest)
    return sorted(found, key=lambda one: one[0] == "worker killed")


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for a while."""
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def undisturbed(run: str) -> tuple[dict[str, bytes], float]:
    """What a run leaves that nobody touches, and how many seconds it takes."""
    with folder() as place:
        begun = time.monotonic()
        process = start(run, place / "r", "--checkpoint-every", "inf")
        message = process.end()
        if process.returncode not in (0, 1):
            raise SystemExit(f"the undisturbed run ended with {process.returncode}: {message}")
        return content(place / "r"), time.monotonic() - begun


def main() -> None:
    """Attack, and print what came of it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--tries", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose name has this")
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    tries = dealt(arguments.tries, arguments.only)
    if not tries:
        parser.error(f"no kind has {arguments.only!r}; there are: {', '.join(ATTACKS)}")
    if os.geteuid() != 0 and any(kind == "full disk" for kind, _ in tries):
        print("full disk: left out, since only the superuser mounts a tmpfs")
        tries = [one for one in tries if one[0] != "full disk"]
    os.environ["OMP_NUM_THREADS"] = "1"
    import compare.cli  # so that what is forked has loaded it
    import compare.console.summary
    import compare.training.processes
    import compare.training.run  # noqa: F401

    whole = {run: undisturbed(run) for run in RUNS}
    for run, (_, lasts_s) in whole.items():
        print(f"{run}: {lasts_s:.1f} s undisturbed", flush=True)
    counts = {one: [0, 0] for one in dict.fromkeys(tries)}
    for kind, run in tries:
        attack, _ = ATTACKS[kind]
        with folder() as place:
            wrong = attack(run, *whole[run], place)
        counts[kind, run][bool(wrong)] += 1
        if wrong:
            print(f"{kind}, {run}: {wrong}", flush=True)
    print(f"{'kind':16}{'run':20}{'tried':>6}{'right':>6}{'wrong':>6}")
    for (kind, run), (right, bad) in counts.items():
        print(f"{kind:16}{run:20}{right + bad:6}{right:6}{bad:6}")
    sys.exit(any(bad for _, bad in counts.values()))


if __name__ == "__main__":
    main()
