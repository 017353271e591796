"""Test the checker by mutation: change its code in one place at a time, and see the tests fail.

    python -m pip install mutmut
    python scripts/mutants.py                                   # 20 mutants of each file
    python scripts/mutants.py compare/mistakes                  # of the files of one folder
    python scripts/mutants.py compare/parity/tolerances.py --sample 0    # every mutant of a file
    python scripts/mutants.py compare/check --sample 0.01       # a hundredth of those of each file
    python scripts/mutants.py --folder mutants                  # to go on there another time
    python scripts/mutants.py --folder mutants --slow           # with the tests that are slow, too

In a folder of before only what has not been killed yet is tried, with the tests as they are now.

The mutants are those of mutmut (https://mutmut.readthedocs.io); they are run here, since most of
them then take a fraction of a second. What git lists is copied into the folder, and each function
with mutants becomes one that asks which of its versions is wanted. Pytest collects the tests of a
room once and runs them once, noting which functions and lines each test runs. Then every mutant is
one fork of this process, in which those tests run that reach the changed statement, those of its
own file and the quick ones first, until one fails. What no test calls in that process (the code of
a homework's own process), and what is called when a module is imported, is written into a second
copy and tested in a process started anew.

A process that a test starts gets the name of its mutant through its environment, a homework's too;
nothing is noted of what is called there, so a file that runs in such processes has all of the tests
that FIRST names asked. mutmut has to be installed in the environment of the project itself: an
isolated process sees no other.

It prints a table and the changes that survived. What survives, and why that is harmless, stands in
docs/mutation.md. It needs fork, so it does not run on Windows.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import gc
import importlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import _lru_cache_wrapper
from itertools import zip_longest
from pathlib import Path
from tempfile import mkdtemp
from types import SimpleNamespace
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent

COMPARE, CHECK = "tests/compare_tests/test_", "tests/check_tests/test_"
# The rooms, with the tests that are to notice a change; of these, those run that call it.
ROOMS = {
    "numpy_nn": ["tests/numpy_nn_tests"],
    "compare/parity": [
        f"{COMPARE}{name}.py"
        for name in (
            "tolerances", "rows", "plan", "initial", "certificate", "certificate_layers",
            "follower", "functions", "graph_command", "loss_sizes", "module_sizes",
            "optimizer_sizes", "parity_command", "mistakes_stage",
        )
    ],
    "compare/mistakes": [
        f"{COMPARE}mistake_examples.py",
        *(
            f"{COMPARE}mistakes_{name}.py"
            for name in ("catalogue", "optimizers", "penalty", "probabilities", "search", "stage")
        ),
        *(f"{CHECK}{name}.py" for name in ("judge", "forward_forms", "dropout_layers")),
    ],
    # But those of other rooms, and of files for which there is nothing to change here.
    "compare/check": [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests/check_tests").glob("test_*.py"))
        if path.stem not in ("test_testing", "test_container", "test_docs")
    ],
}  # fmt: skip
# The tests of a file of `check` that are asked first, beside those with the file's name in theirs.
FIRST = {
    "adapters": ["presets", "layer_classes"],
    "architecture": ["allowed_layers"],
    "array_names": ["filled_network", "inference"],
    "cases": ["targets", "tokens", "recurrent"],
    "checking": ["conventions", "sandbox", "command"],
    "child_process": ["reference_process", "grader"],
    "contract": ["conventions", "inference", "step"],
    "course": ["torch_loss", "folder"],
    "declared_loss": ["penalties_and_momentum"],
    "definitions": ["loading_homeworks"],
    "dropout_layers": ["judge_parts"],
    "filled_network": ["filled_networks"],
    "foreign_modules": ["isolation", "hostile_homeworks"],
    "forward_forms": ["judge_parts"],
    "function_evaluation": ["whole_network", "conventions"],
    "golden_parts": ["golden", "broken_golden_files"],
    "grader": ["grading", "submissions"],
    "grading": ["folder", "result", "submissions"],
    "homework": ["questions", "conventions", "sandbox"],
    "inference": ["layout_search"],
    "isolation": ["control_groups"],
    "layer_evaluation": ["layer_classes", "layer_methods", "presets"],
    "layer_classes": ["layer_methods"],
    "layer_methods": ["layer_classes", "presets"],
    "layout_search": ["filled_networks", "inference", "layer_classes"],
    "limits": ["sandbox", "isolation"],
    "loading": ["loading_homeworks"],
    "messages": ["sandbox"],
    "namespaces": ["isolation"],
    "network_objects": ["course_code"],
    "notebook": ["loading_homeworks"],
    "option_values": ["command", "torch_loss"],
    "own_names": ["inference"],
    "ratios": ["cases", "judge", "conventions"],
    "reading": ["conventions", "inference"],
    "reference": ["reference_process", "recurrent"],
    "reference_process": ["early_start"],
    "result": ["terminal", "conventions", "whole_network"],
    "return_values": ["messages", "allowed_layers", "sandbox"],
    "sandbox": ["isolation"],
    "scoring": ["grading", "result"],
    "sequences": ["cases", "tokens"],
    "source": ["loading_homeworks"],
    "specialisation": ["course_code"],
    "step_evaluation": ["step", "function_evaluation"],
    "step_reading": ["step", "function_evaluation"],
    "visible_files": ["isolation"],
    "worker": ["sandbox", "isolation"],
}
# Files that run in processes which the tests start, where no call is noted: all of their first
# tests are asked.
IN_PROCESSES = {"child_process", "foreign_modules", "grader", "limits", "namespaces",
                "reference_process", "worker"}  # fmt: skip

# What stands at the head of a file with mutants in the place of mutmut's own: a function with
# mutants calls the version that is wanted, and tells that it was called.
HEAD = """
import os as _mutant_os
import sys as _mutant_sys
import types as _mutant_types
from functools import wraps as _mutant_wraps
from inspect import isgeneratorfunction as _mutant_generates

_mutant_now = _mutant_sys.modules.setdefault(
    "_mutant_now",
    _mutant_types.SimpleNamespace(name=_mutant_os.environ.get("MUTANT", ""), calls=None),
)
MutantDict = dict
_mutant_here = "MODULE"  # also where it is run, under the name __main__


def _mutmut_mutated(versions, is_classmethod=False):
    def decorate(function):
        def chosen(args):
            original = versions["_mutmut_orig"]
            where = f"{_mutant_here}.{original.__name__}"
            if _mutant_now.calls is not None:
                _mutant_now.calls.add(where)
            module, _, name = _mutant_now.name.rpartition(".")
            version = original
            if name and module == _mutant_here:
                version = versions.get(name, original)
            if is_classmethod:
                return getattr(args[0], version.__name__), args[1:]
            return version, args

        if _mutant_generates(function):
            @_mutant_wraps(function)
            def call(*args, **kwargs):
                version, args = chosen(args)
                return (yield from version(*args, **kwargs))
        else:
            @_mutant_wraps(function)
            def call(*args, **kwargs):
                version, args = chosen(args)
                return version(*args, **kwargs)
        return call
    return decorate
"""
MUTMUT = '[tool.mutmut]\nsource_paths = ["compare"]\n'

# A mutant has this long, and this many times what its tests took before.
LEAST_S, TIMES = 20.0, 8.0
# The tests of its own file are asked for so long in all, and then the others that reach it.
FIRST_S, MOST_S = 60.0, 40.0
WRITTEN_S = 240.0
# A test that does not end in this time without a mutant is left out.
LONGEST_S = 40
MEMORY_BYTES = 16 * 2**30


class Mutant(NamedTuple):
    """One change of one function; ``call`` is its version's name while tests run."""

    file: str
    name: str
    call: str
    function: str
    changed: str
    first: int = 0  # the lines of the statement, from that of its function, which is 0
    last: int = 0


def main() -> int:
    """Make the mutants, run those that are not yet killed, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", default=list(ROOMS), help="files or folders")
    parser.add_argument("--folder", type=Path, help="where to work; a new one by default")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--sample", type=float, default=20,
        help="mutants of each file; below 1 such a part of them, rounded up; 0 for all",
    )  # fmt: skip
    parser.add_argument("--tests", nargs="*", help="tests to ask instead of those of the room")
    parser.add_argument("--without", type=Path, help="a file with tests to leave out, one a line")
    parser.add_argument("--slow", action="store_true", help="ask what is marked slow, too")
    parser.add_argument("--seed", type=int, default=0, help="chooses them")
    parser.add_argument("--survivors", action="store_true", help="only print, run nothing")
    options = parser.parse_args()
    folder = (options.folder or Path(mkdtemp(prefix="mutants-"))).resolve()
    print(f"working in {folder}", flush=True)
    for room, tests in ROOMS.items():
        files = [name for name in _files(room) if _wanted(name, options.files)]
        if files and not options.survivors:
            _run(folder, room, files, options.tests or tests, options)
    _print(folder, options.files)
    return 0


def _wanted(name: str, chosen: list[str]) -> bool:
    return any(name == one or name.startswith(f"{one.rstrip('/')}/") for one in chosen)


def _files(room: str) -> list[str]:
    """The Python files of a room that have functions."""
    found = sorted((ROOT / room).rglob("*.py"))
    names = [path.relative_to(ROOT).as_posix() for path in found if path.name != "__init__.py"]
    return [name for name in names if "/refused/" not in name]


def _copy(place: Path) -> None:
    """Copy what git lists, as it lies here."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)


def _run(
    folder: Path, room: str, files: list[str], tests: list[str], options: argparse.Namespace
) -> None:
    """Run the mutants of some files of a room, forked where tests call them, else written out."""
    place = folder / room.replace("/", "-")
    for copy in ("forked", "written"):
        shutil.rmtree(place / copy, ignore_errors=True)
        _copy(place / copy)
    known = results(folder, room)
    mutants = [
        one
        for file in files
        for one in mutate(place / "forked", file, options.sample, options.seed)
        if known.get(one.name, {}).get("status") not in ("killed", "out of time")
    ]
    # Named before they run, so that a table has what was to be tried.
    (place / "plan.json").write_text(json.dumps([one._asdict() for one in mutants]), "utf-8")
    if options.without:
        shutil.copy(options.without, place / "without.txt")
    print(f"{room}: {len(mutants)} mutants to run", flush=True)
    if not mutants:
        return
    environment = os.environ | {
        "MUTANTS": str(place),
        "MUTANTS_JOBS": str(options.jobs),
        "MUTANTS_SLOW": "1" if options.slow else "",
        "PYTHONPATH": os.pathsep.join([str(place / "forked"), str(ROOT / "scripts")]),
    }
    there = [name for name in tests if (ROOT / name).exists()]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-q", "-s", "-m", "", "-p", "mutants", *there,
         "-p", "no:cacheprovider", "-o", "tmp_path_retention_policy=failed"],
        cwd=place / "forked", env=environment, check=False,
    )  # fmt: skip
    if ended.returncode:
        sys.exit(f"pytest ended with status {ended.returncode} on {room}.")
    again = {name for name, row in results(folder, room).items() if row["status"] == "written out"}
    for one in mutants:
        if one.name in again:
            _keep(place, one, *_written(place / "written", one, there))


def mutate(place: Path, file: str, sample: float, seed: int) -> list[Mutant]:
    """Put a sample of a file's mutants into the copy of it, and return them in its order."""
    before = Path.cwd()
    (place / ".mutmut").mkdir(exist_ok=True)
    (place / ".mutmut" / "pyproject.toml").write_text(MUTMUT, encoding="utf-8")
    os.chdir(place / ".mutmut")  # where mutmut looks for its settings
    try:
        cst = importlib.import_module("libcst")
        making = importlib.import_module("mutmut.mutation.file_mutation")
        templates = importlib.import_module("mutmut.mutation.trampoline_templates")
        code = (place / file).read_text(encoding="utf-8")
        module, mutations, *ignored = making.create_mutations(file, code)
    finally:
        os.chdir(before)
    outer = {id(f): f"{c}{f.name.value}" for c, f in _functions(cst, module)}
    every = [one for one in mutations if id(one.contained_by_top_level_function) in outer]
    chosen = sorted(random.Random(f"{seed} {file}").sample(range(len(every)), _size(sample, every)))
    (place / f"{file}.count").write_text(str(len(every)), encoding="utf-8")
    if not chosen:
        return []
    made = making.combine_mutations_to_source(module, [every[i] for i in chosen], *ignored)
    head = templates.trampoline_imports.strip()
    assert head in made.code
    dotted = file.removesuffix(".py").replace("/", ".")
    code_with_all = made.code.replace(head, HEAD.replace("MODULE", dotted))
    (place / file).write_text(code_with_all, encoding="utf-8")
    # mutmut counts in each function; functions keep their order in the file.
    order = {key: place for place, key in enumerate(outer)}
    chosen.sort(key=lambda i: order[id(every[i].contained_by_top_level_function)])
    found = []
    for number, call in zip(chosen, made.mutant_names, strict=True):
        one = every[number]
        function = outer[id(one.contained_by_top_level_function)]
        assert call.startswith(templates.mangle_function_name(
            name=function.rpartition(".")[2], class_name=function.rpartition(".")[0] or None
        ))  # fmt: skip
        text = making.deep_replace(module, one.original_node, one.mutated_node).code
        (place.parent / "texts").mkdir(exist_ok=True)
        name = f"{file}:{function}:{number}"
        _text(place.parent, name).write_text(text, encoding="utf-8")
        lines = difflib.unified_diff(code.splitlines(), text.splitlines(), lineterm="", n=0)
        changed = [x for x in lines if x[:1] in "+-" and x[:3] not in ("+++", "---")]
        lines = _statement(code, function, changed_line(code, text))
        found.append(Mutant(file, name, f"{dotted}.{call}", function, "\n".join(changed), *lines))
    return found


def changed_line(before: str, after: str) -> int:
    """The first line that differs, counted from 1."""
    pairs = zip_longest(before.splitlines(), after.splitlines())
    return next(number for number, (a, b) in enumerate(pairs, start=1) if a != b)


def _statement(code: str, function: str, line: int) -> tuple[int, int]:
    """The lines of the statement at a line, or of its head, counted from that of its function."""
    found = next(one for name, one in _definitions(code) if name == function
                 and one.lineno <= line <= (one.end_lineno or 0))  # fmt: skip
    first, last = found.lineno, found.body[0].lineno - 1
    for one in ast.walk(found):
        if isinstance(one, ast.stmt) and one is not found and one.lineno <= line:
            body = getattr(one, "body", None)
            end = max(one.lineno, body[0].lineno - 1) if body else one.end_lineno or 0
            if line <= end and one.lineno >= first:
                first, last = one.lineno, end
    return first - found.lineno, last - found.lineno


def _definitions(code: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions of a file and the methods of its classes, by the names that they have here."""
    for one in ast.parse(code).body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef):
            yield one.name, one
        elif isinstance(one, ast.ClassDef):
            for method in one.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{one.name}.{method.name}", method


def _functions(cst: Any, module: Any) -> Iterator[tuple[str, Any]]:
    for one in module.body:
        if isinstance(one, cst.FunctionDef):
            yield "", one
        elif isinstance(one, cst.ClassDef) and isinstance(one.body, cst.IndentedBlock):
            for method in one.body.body:
                if isinstance(method, cst.FunctionDef):
                    yield f"{one.name.value}.", method


def _size(sample: float, every: list[Any]) -> int:
    wanted = math.ceil(sample * len(every)) if sample < 1 else int(sample)
    return min(wanted or len(every), len(every))


def _text(place: Path, name: str) -> Path:
    return place / "texts" / f"{name.replace('/', '-')}.txt"


def _written(place: Path, one: Mutant, tests: list[str]) -> tuple[str, str]:
    """Write a mutant into a copy and run the tests of its file there, in a process of their own."""
    named = [name for name in tests if _is_first(one, name)] or tests
    original = (place / one.file).read_text(encoding="utf-8")
    (place / one.file).write_text(_text(place.parent, one.name).read_text("utf-8"), "utf-8")
    environment = os.environ | {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider"]
    process = subprocess.Popen(
        [*command, *named], cwd=place, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=WRITTEN_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return "out of time", ""
    finally:
        (place / one.file).write_text(original, encoding="utf-8")
    if process.returncode == 0:
        return "survived", ""
    lines = [x for x in out.splitlines() if x.startswith(("FAILED", "ERROR"))]
    return "killed", lines[0].split()[1] if lines else ""


def _is_first(one: Mutant, test: str) -> bool:
    """Whether a test's file is asked first about this mutant."""
    file = Path(one.file)
    name = Path(test.partition("::")[0]).stem.removeprefix("test_")
    own = file.parent.name if file.parent.name == "presets" else file.stem
    return own in name or (one.file.startswith("compare/check/") and name in FIRST.get(own, ()))


def _keep(place: Path, one: Mutant, status: str, by: str) -> None:
    row = one._asdict() | {"status": status, "by": by}
    with (place / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def results(folder: Path, room: str) -> dict[str, dict[str, str]]:
    """What became of each mutant of a room, the last row of each."""
    path = folder / room.replace("/", "-") / "results.jsonl"
    if not path.exists():
        return {}
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["name"]: row for row in rows}


# What follows runs inside of pytest, which loads this file as a plugin, before any other module.

if "MUTANTS" in os.environ:
    _now: Any = SimpleNamespace(name="", calls=set())
    sys.modules.setdefault("_mutant_now", _now)


class Fixtures:
    """Notes what is called while a fixture is made that several tests share."""

    def __init__(self) -> None:
        self.calls: dict[int, set[str]] = defaultdict(set)
        self.now = ""  # the test that runs
        self.lines: Any = None

    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Note the calls of a fixture apart from those of the test that asked for it first."""
        now = sys.modules["_mutant_now"]
        if fixturedef.scope == "function" or now.calls is None:
            yield
            return
        before, now.calls = now.calls, set()
        self.lines.switch_context(str(id(fixturedef)))
        try:
            yield
        finally:
            self.lines.switch_context(self.now)
            self.calls[id(fixturedef)] |= now.calls
            now.calls = before | now.calls


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave out what is slow, unless it is asked for; not the tests of the tool found second."""
    without = Path(os.environ["MUTANTS"]) / "without.txt"
    named = set(without.read_text("utf-8").splitlines()) if without.exists() else set()
    slow = bool(os.environ["MUTANTS_SLOW"])
    left = [
        x for x in items
        if x.nodeid in named
        or (x.get_closest_marker("slow") and not slow and "[unshare" not in x.nodeid)
    ]  # fmt: skip
    config.hook.pytest_deselected(items=left)
    items[:] = [x for x in items if x not in left]


def pytest_configure(config: Any) -> None:
    """Note what is called while shared fixtures are made."""
    fixtures = Fixtures()
    import pytest

    hook = pytest.hookimpl(hookwrapper=True)(Fixtures.pytest_fixture_setup)
    Fixtures.pytest_fixture_setup = hook  # type: ignore[method-assign]
    config.pluginmanager.register(fixtures, "shared fixtures")
    config.shared_fixtures = fixtures


def pytest_runtestloop(session: Any) -> bool:
    """Run every test once, then each mutant in a fork."""
    place, jobs = Path(os.environ["MUTANTS"]), int(os.environ["MUTANTS_JOBS"])
    now = sys.modules["_mutant_now"]
    imported = set(now.calls)
    mutants = [Mutant(**row) for row in json.loads((place / "plan.json").read_text("utf-8"))]
    calls, seconds, reached = _clean(session, now, place / "forked", mutants)
    now.calls = None
    _end_processes()
    _forget()
    gc.collect()
    gc.freeze()  # so that a fork copies less
    callers = defaultdict(list)
    for item in session.items:
        for name in calls.get(item.nodeid, ()):
            callers[name].append(item)
    passing = [item for item in session.items if item.nodeid in calls]
    asked = {}
    for one in mutants:
        found = callers[_original(one)]
        # A statement that is run when the function is made (a default) is reached by no test.
        found = [item for item in found if item.nodeid in reached[one.name]] or found
        if one.file.startswith("compare/check/") and (
            not found or Path(one.file).stem in IN_PROCESSES
        ):
            more = [item for item in passing if _is_first(one, item.nodeid)]
            found = [*found, *(item for item in more if item not in found)]
        asked[one.name] = _bounded(one, found, seconds)
        if not found:
            _keep(place, one, "written out", "")
    running: dict[int, tuple[Mutant, float, Path]] = {}
    killers: dict[str, list[Mutant]] = defaultdict(list)
    waiting = [one for one in mutants if asked[one.name]]
    # So that what is done when it is interrupted is a sample as well.
    random.Random(0).shuffle(waiting)
    done = 0
    while waiting or running:
        while waiting and len(running) < jobs:
            one = waiting.pop(0)
            items = asked[one.name]
            note = place / f"killer-{done % 1000}-{len(running)}-{len(waiting)}"
            pid = _fork(session, one, items, note)
            limit = LEAST_S + TIMES * sum(seconds[i.nodeid] for i in items)
            running[pid] = (one, time.monotonic() + limit, note)
        time.sleep(0.01)
        for pid, (one, limit, note) in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended and time.monotonic() < limit:
                continue
            if not ended:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            del running[pid]
            by = note.read_text("utf-8").strip() if note.exists() else ""
            note.unlink(missing_ok=True)
            shutil.rmtree(f"{note}.tmp", ignore_errors=True)
            kind = "out of time" if not ended else "killed" if status else "survived"
            if kind == "survived" and _original(one) in imported:
                kind = "written out"
            _keep(place, one, kind, by)
            done += 1
            if kind == "survived" or done % 50 == 0:
                print(f"{done} done, {len(waiting)} wait: {kind} {one.name}", flush=True)
            if kind == "killed":
                killers[by].append(one)
    items = sorted(
        (item for item in session.items if item.nodeid in killers),
        key=lambda item: seconds[item.nodeid],
    )
    for nodeid in _failing_in_a_fork(session, place, items):
        print("fails in a fork without a mutant:", nodeid, flush=True)
        for one in killers[nodeid]:
            _keep(place, one, "killed by a test that fails without it", nodeid)
    return True


def _original(one: Mutant) -> str:
    return one.call.rpartition("__mutmut_")[0] + "__mutmut_orig"


def _clean(
    session: Any, now: Any, copy: Path, mutants: list[Mutant]
) -> tuple[dict[str, set[str]], dict[str, float], dict[str, set[str]]]:
    """What each test calls, how long it takes, and which tests reach the statement of a mutant.

    Tests that fail in the copy are left out.
    """
    import coverage
    from _pytest.runner import runtestprotocol

    calls, seconds, failed = {}, {}, []
    fixtures = session.config.shared_fixtures
    shared = {}
    items = session.items
    files = {str(copy / one.file) for one in mutants}
    lines = coverage.Coverage(data_file=None, config_file=False, include=sorted(files))
    fixtures.lines = lines
    lines.start()
    for item, after in zip(items, [*items[1:], None], strict=True):
        _forget()
        lines.switch_context(item.nodeid)
        fixtures.now = item.nodeid
        now.calls, start = set(), time.perf_counter()
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(LONGEST_S)
        reports = runtestprotocol(item, nextitem=after, log=False)
        signal.alarm(0)
        seconds[item.nodeid] = time.perf_counter() - start
        if any(one.failed for one in reports):
            failed.append(item.nodeid)
            print("fails without a mutant:", item.nodeid, flush=True)
        elif not any(one.skipped for one in reports):
            calls[item.nodeid] = now.calls
            shared[item.nodeid] = [
                id(one) for many in item._fixtureinfo.name2fixturedefs.values() for one in many
            ]
    lines.stop()
    for nodeid, called in calls.items():
        called.update(*(fixtures.calls[one] for one in shared[nodeid] if one in fixtures.calls))
    print(f"{len(calls)} tests in {sum(seconds.values()):.0f} s, {len(failed)} fail", flush=True)
    users = defaultdict(set)
    for nodeid, ids in shared.items():
        for one in ids:
            users[str(one)].add(nodeid)
    return calls, seconds, _reached(lines.get_data(), copy, mutants, users)


def _reached(
    data: Any, copy: Path, mutants: list[Mutant], users: dict[str, set[str]]
) -> dict[str, set[str]]:
    """The tests that ran a line of the statement of each mutant, also in fixtures they share."""
    found = {}
    starts: dict[str, int] = {}
    contexts: dict[str, dict[int, list[str]]] = {}
    for one in mutants:
        if one.file not in contexts:
            contexts[one.file] = data.contexts_by_lineno(str(copy / one.file))
            dotted = one.file.removesuffix(".py").replace("/", ".")
            for name, made in _definitions((copy / one.file).read_text("utf-8")):
                starts[f"{dotted}.{name.rpartition('.')[2]}"] = made.lineno
        start = starts[_original(one)]
        names: set[str] = set()
        for line in range(start + one.first, start + one.last + 1):
            names.update(contexts[one.file].get(line, ()))
        found[one.name] = names.union(*(users[name] for name in names if name in users))
    return found


def _too_long(number: int, frame: Any) -> None:
    raise TimeoutError(f"a test should end within {LONGEST_S} s")


def _forget(known: list[Any] = [], loaded: list[int] = [0]) -> None:  # noqa: B006
    """Empty what our functions and those of the tests have cached."""
    if loaded[0] != len(sys.modules):
        loaded[0] = len(sys.modules)
        ours = ("compare", "numpy_nn", "torch_nn", "experiments", "reports", "test", "planted")
        known[:] = [
            one for one in gc.get_objects()
            if type(one) is _lru_cache_wrapper and str(one.__module__).startswith(ours)
        ]  # fmt: skip
    for one in known:
        one.cache_clear()


def _bounded(one: Mutant, items: list[Any], seconds: dict[str, float]) -> list[Any]:
    """The tests of its own file, and as many of the others as there is time for; quick ones first.

    Of the others one of each module in turn: two tests of a module often notice the same.
    """
    quick_first = sorted(items, key=lambda item: seconds[item.nodeid])
    kept = [item for item in quick_first if _is_first(one, item.nodeid)]
    left_first, left = FIRST_S, MOST_S
    own, kept = kept, []
    for item in own:
        left_first -= seconds[item.nodeid]
        if left_first > 0:
            kept.append(item)
    ranks: Counter[str] = Counter()
    others = []
    for item in quick_first:
        if item not in own:
            module = item.nodeid.partition("::")[0]
            others.append((ranks[module], seconds[item.nodeid], len(others), item))
            ranks[module] += 1
    for *_, item in sorted(others, key=lambda one: one[:3]):
        left -= seconds[item.nodeid]
        if left > 0:
            kept.append(item)
    return kept


def _end_processes() -> None:
    """End PyTorch's process, which tests share, and forget its answers: a fork asks anew."""
    module = sys.modules.get("compare.check.reference_process")
    if module is not None:
        module._process.close()
        for answers in (module._answers, module.own_answers):
            answers._kept.clear()


def _failing_in_a_fork(session: Any, place: Path, items: list[Any]) -> list[str]:
    """The tests that fail in the order and the process that mutants have, without a mutant."""
    note = place / "failing"
    note.unlink(missing_ok=True)
    nothing = Mutant("", "", "", "", "")
    os.waitpid(_fork(session, nothing, items, note, to_the_end=True), 0)
    shutil.rmtree(f"{note}.tmp", ignore_errors=True)
    return note.read_text("utf-8").split("\n")[:-1] if note.exists() else []


def _fork(
    session: Any, one: Mutant, items: list[Any], note: Path, *, to_the_end: bool = False
) -> int:
    """Run a mutant's tests in a fork, until one fails, or all of them; failing ones are noted."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setsid()
        sys.stdout.flush()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        import resource  # which Windows lacks

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        folder = Path(f"{note}.tmp")
        folder.mkdir(exist_ok=True)
        session.config._tmp_path_factory._basetemp = folder
        sys.modules["_mutant_now"].name = os.environ["MUTANT"] = one.call
        if "compare.check.sandbox" in sys.modules:  # whose processes see no more than this
            sys.modules["compare.check.sandbox"].ENVIRONMENT["MUTANT"] = one.call
        _end_processes()
        _forget()
        status = 0
        from _pytest.runner import runtestprotocol

        for item, after in zip(items, [*items[1:], None], strict=True):
            reports = runtestprotocol(item, nextitem=after, log=False)
            if any(report.failed for report in reports):
                with note.open("a", encoding="utf-8") as file:
                    file.write(f"{item.nodeid}\n")
                status = 1
                if not to_the_end:
                    break
    except BaseException:
        status = 1
    finally:
        os._exit(status)


# The table.


def _print(folder: Path, chosen: list[str]) -> None:
    """Print the table by file, the pooled score and the changes that survived."""
    rows = [
        row
        for room in ROOMS
        for row in results(folder, room).values()
        if _wanted(row["file"], chosen)
    ]
    print("\n| file | mutants | tried | killed | survived |")
    print("|---|--:|--:|--:|--:|")
    strata = []
    for file in sorted({row["file"] for row in rows}):
        found = Counter(row["status"] for row in rows if row["file"] == file)
        killed = found["killed"] + found["out of time"]
        room = next(room for room in ROOMS if _wanted(file, [room]))
        count = folder / room.replace("/", "-") / "forked" / f"{file}.count"
        size = int(count.read_text("utf-8"))
        strata.append((size, killed, found.total()))
        print(f"| `{file}` | {size} | {found.total()} | {killed} | {found.total() - killed} |")
    share, half = score(strata)
    print(f"\nkilled, weighted by the mutants of each file: {share:.1%} ± {half:.1%} (95%)")
    for row in rows:
        if row["status"] not in ("killed", "out of time"):
            print(f"\n{row['name']}: {row['status']}", row["changed"], sep="\n")


def score(strata: list[tuple[int, int, int]]) -> tuple[float, float]:
    """The share killed of all mutants, and half its 95% interval, of (size, killed, tried) a file.

    Each file counts by its size. The variance of a file's share is taken with half a mutant added
    to either side, so that 20 of 20 is not held to be certain, and is less by the share tried.
    """
    total = sum(size for size, _, _ in strata)
    share = variance = 0.0
    for size, killed, tried in strata:
        share += size / total * killed / tried
        smoothed = (killed + 0.5) / (tried + 1)
        variance += (size / total) ** 2 * smoothed * (1 - smoothed) / tried * (1 - tried / size)
    return share, 1.96 * math.sqrt(variance)


if __name__ == "__main__":
    sys.exit(main())
