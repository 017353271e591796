"""Attack everything that takes something from outside, and count what held.

    python scripts/attack.py                 # a quarter of an hour; --quick does less
    python scripts/attack.py --only golden   # the kinds whose name has this
    python scripts/attack.py --write         # also puts the table into docs/reliability.md

Malformed inputs are drawn from a seed by the generators of tests/malformed_tests, hostile homeworks
are those of tests/planted/hostile.py, failing calls those of tests/fault_tests, and kills those of
attack_runs.py. It prints, for each kind, how many were tried, right and wrong, what was wrong with
the first few, and ends with 1 if anything was.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "check_tests")]
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

PAGE = ROOT / "docs" / "reliability.md"
SHOWN = 3
"""How many of the wrong ones of a kind are shown."""


class Count(NamedTuple):
    """What came of one kind."""

    kind: str
    tried: int
    wrong: list[str]
    seconds: float


class Plan(NamedTuple):
    """How much is tried.

    Attributes:
        inputs: Malformed inputs of each kind.
        slow: Of those that take a tenth of a second or more each.
        calls: Failing calls of each operation and kind of call.
        kills: Runs that are killed.
        seed: What everything is drawn from.
    """

    inputs: int
    slow: int
    calls: int
    kills: int
    seed: int


Attack = Callable[[Plan, Path], Iterable[str]]
"""Yields, for each that was tried, what is wrong, or an empty string."""


def drawn(strategy: Any, check: Callable[[Any], Any], count: int, seed: int) -> list[str]:
    """Check so many values of a strategy of Hypothesis; what is wrong with each."""
    import hypothesis
    import pytest
    from malformed_tests.malformed import QUICK

    found: list[str] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(QUICK, max_examples=count, derandomize=False)
    @hypothesis.given(strategy)
    def draw(value: Any) -> None:
        try:
            check(value)
        except hypothesis.errors.HypothesisException:
            raise
        except (Exception, pytest.fail.Exception) as error:
            found.append(f"{type(error).__name__}: {str(error)[:300]} for {str(value)[:300]!r}")
        else:
            found.append("")

    draw()
    return found


def experiments(plan: Plan, folder: Path) -> Iterator[str]:
    """Experiment files with spoiled values, spoiled bytes, and ``--set``."""
    from malformed_tests import test_experiments as tests

    from experiments.errors import InputError

    def stop(name: str, *_: Any, **__: Any) -> None:
        raise InputError(f"{name} would begin to train.")

    with mock.patch("compare.training.run.run_experiment", stop):
        for strategy, check in (
            (tests.spoiled(tests.EXPERIMENT), tests.check_file),
            (tests.spoiled_bytes(tests.TEXT), tests.check_bytes),
            (tests.changes, tests.check_change),
        ):
            yield from drawn(strategy, lambda v, c=check: c(folder, v), plan.inputs, plan.seed)


def data(plan: Plan, folder: Path) -> Iterator[str]:
    """IDX files, Covertype's table, npz files."""
    from malformed_tests import test_data as tests

    def idx(spoiled: tuple[int, bytes]) -> None:
        tests.loaded_or_refused("mnist", data_dir=tests.in_layout(folder, *spoiled))

    yield from drawn(tests.spoiled_idx(), idx, plan.inputs, plan.seed)
    for strategy, check in (
        (tests.tables, tests.check_table),
        (tests.spoiled_npz(), tests.check_npz),
    ):
        yield from drawn(strategy, lambda v, c=check: c(folder, v), plan.inputs, plan.seed)


def records(plan: Plan, folder: Path) -> Iterator[str]:
    """run.json, tables and arrays of a run; all are read, and of some a report is made."""
    import shutil

    from fault_tests.operations import pictures_undrawn
    from hypothesis import strategies as st
    from malformed_tests import test_runs as tests
    from reports_tests.synthetic_run import build_run

    run = build_run(
        folder / "right", gradients=True, seeds=(0, 1),
        experiment={"training": {
            "epochs": 2, "batch_size": 10, "seeds": [0, 1], "gradient_norms": True,
        }},
    )  # fmt: skip
    spoiling = tests.Spoiling(run, Path(shutil.copytree(run, folder / "copy")))
    table = st.sampled_from(tests.TABLES).flatmap(
        lambda n: tests.spoiled_table((run / f"{n}.csv").read_text()).map(lambda b: (f"{n}.csv", b))
    )
    array = st.sampled_from([f"{name}.safetensors" for name in tests.ARRAYS]).flatmap(
        lambda n: tests.spoiled_arrays(run / n).map(lambda content: (n, content))
    )
    record = tests.spoiled_records(spoiling.record).map(lambda content: ("run.json", content))
    with pictures_undrawn():
        for strategy in (record, table, array):
            for count, reported in ((plan.inputs, False), (plan.slow // 6 + 1, True)):
                yield from drawn(
                    strategy, lambda v, r=reported: spoiling.file(*v, drawn=r), count, plan.seed
                )


def golden(plan: Plan, folder: Path) -> Iterator[str]:
    """Golden files: bytes flipped, cut off, other arrays and another description."""
    import test_broken_golden_files as tests
    from fault_tests.operations import golden_file
    from hypothesis import strategies as st

    right, path = golden_file(), folder / "g.npz"
    content = right.read_bytes()

    def broken(data: bytes) -> Path:
        path.write_bytes(data)
        return path

    def other_arrays(change: tuple[int, str]) -> None:
        header, arrays = tests.parts_of(right)
        tests.change_array(arrays, *change)
        assert tests.is_refused(broken(tests.golden_bytes(header, arrays)))

    def other_header(change: tuple[list[int], Any]) -> None:
        header, arrays = tests.parts_of(right)
        changed = tests.change_header(header, *change)
        tests.is_refused(broken(tests.golden_bytes(changed, arrays)))

    def flipped(places: Any) -> None:
        tests.require_refused_or_same(broken(tests.flip(content, places)), right)

    def cut(length: float) -> None:
        assert tests.is_refused(broken(content[: int(length * len(content))]))

    for strategy, check in (
        (tests.FLIPS, flipped),
        (st.floats(0, 1, exclude_max=True), cut),
        (tests.ARRAYS, other_arrays),
        (tests.HEADERS, other_header),
    ):
        yield from drawn(strategy, check, plan.inputs, plan.seed)


def homeworks(level: str) -> Attack:
    """Hostile homeworks under one isolation."""

    def attack(plan: Plan, folder: Path) -> Iterator[str]:
        import test_hostile_homeworks as tests

        if not tests.can_be_had(level):
            print(f"--isolation {level} cannot be had here")
            return
        names = random.Random(plan.seed).sample(tests.NAMES, min(plan.slow, len(tests.NAMES)))
        for number, name in enumerate(names):
            (folder / str(number)).mkdir()
            wrong = tests.attacked(name, level, folder / str(number))
            yield f"{name}: {wrong}" if wrong else ""

    return attack


def messages(plan: Plan, folder: Path) -> Iterator[str]:
    """Messages of a homework's process: spoiled ones are refused or are a result."""
    import json

    import numpy as np
    from hypothesis import strategies as st
    from malformed_tests.malformed import spoiled, spoiled_bytes

    from compare.check import messages as module
    from compare.check.return_values import CallResult, describe

    most = 2**20
    value = describe({"W": np.arange(6.0).reshape(2, 3), "b": (np.ones(2), None)})
    details = {"names": ["a"], "shapes": {"W": [2, 3]}, "constants": {"LR": 0.1}, "filled": True}
    right = module.write_answer(
        1, CallResult(value, None, {"x": np.zeros(2)}, ["line 3"], details), "f()", most
    )
    head = module.HEAD.size
    _, length, _ = module.HEAD.unpack(right[:head])
    tree = json.loads(right[head : head + length])
    body = right[head + length :]

    def framed(changed: Any) -> bytes:
        text = json.dumps(changed).encode("utf-8", "replace")
        return module.HEAD.pack(module.ANSWER, len(text), len(body)) + text + body

    def check(data: bytes) -> None:
        reader = module.FrameReader(most)
        try:
            for frame in reader.take(data):
                found = module.read_answer(frame, 1, "call")
                assert isinstance(found, CallResult)
                texts = [found.problem or "", *found.warnings, *found.value.items]
                assert all(text.isprintable() for text in texts)
        except module.MessageError:
            return

    yield from drawn(
        st.one_of(spoiled_bytes(right), spoiled(tree).map(framed)),
        check,
        2 * plan.inputs,
        plan.seed,
    )


def traces(plan: Plan, folder: Path) -> Iterator[str]:
    """Indices of traces, mappings and weights given to ``diff``."""
    import shutil

    import torch
    from malformed_tests import test_traces as tests
    from safetensors.torch import save_file

    import nncompare

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    with nncompare.record(folder / "a", model):
        model(torch.ones(2, 3)).sum().backward()
    shutil.copytree(folder / "a", folder / "b")
    save_file(model.state_dict(), folder / "a.safetensors")
    weights = tests.spoiled_bytes((folder / "a.safetensors").read_bytes())
    for strategy, check in (
        (tests.indices(folder), tests.check_index),
        (tests.mappings, tests.check_mapping),
        (weights, tests.check_weights),
    ):
        yield from drawn(strategy, lambda v, c=check: c(folder, v), plan.inputs, plan.seed)


def texts(plan: Plan, folder: Path) -> Iterator[str]:
    """Hostile texts in every place of a record, shown in a page."""
    from fault_tests.operations import pictures_undrawn
    from malformed_tests import test_text as tests
    from reports_tests.synthetic_run import build_run

    run = build_run(
        folder / "run",
        experiment={"report": {"author": "A", "student": "7", "course": "101", "language": "en"}},
        record={"excerpts": {"step": "pass", "Linear": "pass"}},
    )
    with pictures_undrawn():
        assert tests.called(["report", run, "--format", "html"]).status == 0
        for first in range(0, len(tests.HOSTILE), 4)[: plan.slow // 6 + 1]:
            try:
                where = tests.reported(run, folder / f"run{first}", first, "html")
                tests.check_page(run, folder / f"run{first}", where)
            except Exception as error:
                yield f"from text {first} on: {type(error).__name__}: {error}"
            else:
                yield from [""] * len(where)


def downloads(plan: Plan, folder: Path) -> Iterator[str]:
    """Mirrors that misbehave, caches that hold something else: the tests of downloads, counted."""
    words = () if plan.kills else ("-k", "link or folder or disk or redirect or scheme")
    yield from tested("tests/experiments_tests/test_download.py", *words)


def tested(*words: str) -> Iterator[str]:
    """Run tests in a process of their own; one entry for each."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-p", "no:cacheprovider", *words],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    if not counts.get("passed"):
        yield f"no test passed: {done.stdout[-300:]}"
    yield from [""] * counts.get("passed", 0)
    yield from re.findall(r"^(?:FAILED|ERROR) .*", done.stdout, re.MULTILINE)


RUNS = ("kill -9", "SIGTERM", "SIGHUP", "SIGINT twice", "full disk", "worker killed")


@lru_cache
def runs(plan: Plan) -> dict[str, list[str]]:
    """Runs hit by signals, full disks and dead workers, gone on with to the same bytes.

    For each of :data:`RUNS` what is wrong with each try. Without tries, every moment of the first
    write of a run, as a test makes them.
    """
    if not plan.kills:
        only = ("tests/compare_tests/test_kill_anywhere.py", "-k", "first_write")
        return {"kill -9": list(tested(*only))}
    with tempfile.TemporaryDirectory(prefix="nncompare-attack-") as folder:
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "attack_runs.py"), "--tries", str(plan.kills),
             "--seed", str(plan.seed)],
            cwd=folder, capture_output=True, text=True, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    found: dict[str, list[str]] = {}
    for kind in RUNS:
        form = rf"^{kind} .* (\d+) +(\d+) +(\d+)$"
        counts = [row.groups() for row in re.finditer(form, done.stdout, re.MULTILINE)]
        right, wrong = (sum(int(row[place]) for row in counts) for place in (1, 2))
        said = re.findall(rf"^({kind}, .*: .*)", done.stdout, re.MULTILINE)
        found[kind] = [""] * right + (said + ["wrong"] * wrong)[:wrong]
    if not any(found.values()):
        error = done.stderr[-300:]
        found["kill -9"] = [f"attack_runs.py ended with {done.returncode}: {error}"]
    return found


def hit(kind: str) -> Attack:
    """Runs hit in one way."""
    return lambda plan, folder: runs(plan).get(kind, [])


def faults(kind: str) -> Attack:
    """Each call of a kind, in every operation, failing once."""

    def attack(plan: Plan, folder: Path) -> Iterator[str]:
        from fault_tests.operations import OPERATIONS, QUICK, attempt, calls

        for name, operation in OPERATIONS.items():
            if plan.calls < 10 and name not in QUICK:
                continue
            every = range(len(calls(operation, kind)))
            chosen = random.Random(plan.seed).sample(every, min(plan.calls, len(every)))
            for number in sorted(chosen):
                yield attempt(operation, kind, number)

    return attack


ATTACKS: dict[str, Attack] = {
    "experiment files and --set": experiments,
    "data files (IDX, Covertype, npz)": data,
    "broken records given to report": records,
    "golden files": golden,
    "hostile homeworks, strict": homeworks("strict"),
    "hostile homeworks, standard": homeworks("standard"),
    "hostile homeworks, off": homeworks("off"),
    "messages of a homework's process": messages,
    "traces, mappings and weights": traces,
    "hostile texts in titles and names": texts,
    "downloads and caches": downloads,
    "failing writes": faults("failing write"),
    "short reads": faults("short read"),
    "processes that do not start": faults("failing start"),
    "workers that die": faults("dying worker"),
    **{f"runs and resumes: {kind}": hit(kind) for kind in RUNS},
}


def table(counts: list[Count]) -> str:
    """The counts as a table in Markdown."""
    lines = ["| kind | tried | right | wrong |", "|---|--:|--:|--:|"]
    for one in counts:
        right = one.tried - len(one.wrong)
        lines.append(f"| {one.kind} | {one.tried:,} | {right:,} | {len(one.wrong):,} |")
    tried, wrong = sum(one.tried for one in counts), sum(len(one.wrong) for one in counts)
    lines.append(f"| **all** | **{tried:,}** | **{tried - wrong:,}** | **{wrong:,}** |")
    return "\n".join(lines)


def put_into_page(found: str, words: str) -> None:
    """Replace the table of docs/reliability.md, and the command that made it."""
    begin, end = "<!-- counts -->\n", "<!-- end of counts -->"
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    made = f"{begin}Made by `{words}`.\n\n{found}\n{end}"
    PAGE.write_text(before + made + after, encoding="utf-8")


def main() -> int:
    """Attack, and print what came of it."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--only", default="", help="kinds whose name has this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="put the table into the page")
    options = parser.parse_args()
    plan = Plan(15, 3, 1, 0, options.seed) if options.quick else Plan(80, 72, 4, 60, options.seed)
    attacks = {kind: attack for kind, attack in ATTACKS.items() if options.only in kind}
    if not attacks:
        parser.error(f"no kind has {options.only!r}; there are: {', '.join(ATTACKS)}")
    counts: list[Count] = []
    for kind, attack in attacks.items():
        began = time.monotonic()
        logging.disable(logging.WARNING)
        with (
            tempfile.TemporaryDirectory(prefix="nncompare-attack-") as name,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error")
            found = list(attack(plan, Path(name).resolve()))
        logging.disable(logging.NOTSET)
        if not found:  # nothing of it with --quick
            continue
        wrong = [one for one in found if one]
        counts.append(Count(kind, len(found), wrong, time.monotonic() - began))
        print(f"{kind}: {len(found)} tried, {len(wrong)} wrong, {counts[-1].seconds:.0f} s",
              flush=True)  # fmt: skip
        for one in wrong[:SHOWN]:
            print(f"    {one}", flush=True)
    print(f"\n{table(counts)}")
    if options.write:
        words = ["python scripts/attack.py", *(a for a in sys.argv[1:] if a != "--write")]
        put_into_page(table(counts), " ".join(words))
    return int(any(one.wrong for one in counts))


if __name__ == "__main__":
    sys.exit(main())
