"""Homeworks that attack: what each could read, write or forge, it cannot, and a sentence says so.

A file tells what it found by raising it: the message reaches the result as a sentence.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compare.check import isolation as isolation_module
from compare.check.checking import check_homework
from compare.check.grading import check_submissions, find_submissions
from compare.check.isolation import ControlGroup, Isolation, find_isolation
from compare.check.reading import Options
from compare.check.sandbox import ROOT, ProcessEndedError, Sandbox
from experiments.errors import InputError

linux = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
SECRET = "swordfish-4711"


def works(tool: str) -> bool:
    """Whether a tool makes namespaces on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        if tool == "unshare":
            patch.setattr(isolation_module.shutil, "which", lambda name: None)
        isolation_module._tool.cache_clear()
        found = isolation_module._tool()[0]
    isolation_module._tool.cache_clear()
    return found == tool


WORKING = {tool: works(tool) for tool in ("bubblewrap", "unshare")}


# Quick tests take the tool that is found, slow ones all that work.
FOUND = next((name for name, working in WORKING.items() if working), "bubblewrap")
TOOLS = [FOUND, *(pytest.param(one, marks=pytest.mark.slow) for one in WORKING if one != FOUND)]


@pytest.fixture(params=TOOLS)
def tool(request, monkeypatch) -> str:
    """A tool that makes namespaces here; every check of the test is done with it."""
    if not WORKING[request.param]:
        pytest.skip(f"{request.param} makes no namespaces on this machine")
    monkeypatch.setattr(isolation_module, "_tool", lambda: (request.param, ""))
    return request.param


@pytest.fixture
def said(tmp_path):
    """Import a file in isolation; what is said of it."""

    def run(text: str, **options) -> str:
        file = tmp_path / "work" / "homework.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"import os, sys\n{text}\n", encoding="utf-8")
        settings = {"isolation": "strict", "timeout_s": 10.0, **options}
        outcome = check_homework(file, Options(**settings))
        assert outcome.status == 2
        assert "\n" not in outcome.result.error
        return outcome.result.error

    return run


def test_no_secret_of_the_environment(said, tool, monkeypatch) -> None:
    monkeypatch.setenv("NNCOMPARE_SECRET", SECRET)
    error = said("raise ValueError(sorted(os.environ))\nx = 1")
    assert "OMP_NUM_THREADS" in error
    assert "NNCOMPARE_SECRET" not in error


def test_no_process_but_its_own(said, tool, monkeypatch) -> None:
    monkeypatch.setenv("NNCOMPARE_SECRET", SECRET)
    own = Path("/proc/self/cmdline").read_text(encoding="utf-8", errors="replace")
    error = said(
        "found = ''\n"
        "for process in os.listdir('/proc'):\n"
        "    for file in ('environ', 'cmdline'):\n"
        "        try:\n"
        "            found += open(f'/proc/{process}/{file}', errors='replace').read()\n"
        "        except OSError:\n"
        "            pass\n"
        f"raise ValueError({own!r} in found, {SECRET!r} in found, len(found) > 20, os.getpid())"
    )
    assert "(False, False, True, 2)" in error


def test_no_network(said, tool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # from here it is there
            pass
        error = said(f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)")
    assert "raised OSError" in error or "Error at line 3" in error
    assert "unreachable" in error or "refused" in error


@pytest.mark.parametrize("place", ["own", "python", "root", "above"])
def test_nothing_can_be_written_but_in_memory(said, tool, place, tmp_path) -> None:
    paths = {
        "own": "__file__",
        "python": "os.__file__",
        "root": "'/etc/passwd'",
        "above": repr(str(tmp_path / "results.json")),
    }
    (tmp_path / "results.json").write_text("{}", encoding="utf-8")
    error = said(f"open('/tmp/mine', 'w').write('x')\nopen({paths[place]}, 'w').write('forged')")
    if place == "above":  # a folder in memory has the same name, and is not that folder
        assert (tmp_path / "results.json").read_text(encoding="utf-8") == "{}"
    else:
        assert "at line 3" in error
    assert "forged" not in Path(os.__file__).read_text(encoding="utf-8")


def test_a_child_that_leaves_its_session_ends_too(said, tool, tmp_path) -> None:
    mark = f"98.{os.getpid()}{int(time.time() * 1000) % 100000}"
    error = said(
        f"import subprocess\nsubprocess.Popen(['sleep', '{mark}'], start_new_session=True)\n1/0"
    )
    assert "ZeroDivisionError" in error
    time.sleep(0.2)
    assert mark not in arguments_of_all()


def arguments_of_all() -> str:
    """The command lines of all processes."""
    found = ""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found += file.read_text(errors="replace")
    return found


def test_a_neighbour_is_not_read(tool, tmp_path, right) -> None:
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "bob.py").write_text(right, encoding="utf-8")
    (folder / "carol").mkdir()
    (folder / "carol" / "homework.py").write_text(right, encoding="utf-8")
    ways = {
        "alice": "from bob import *",
        "anna": "exec(open('bob.py').read())",
        "arthur": "import glob\nexec(open([f for f in glob.glob('*.py') if f > 'b'][0]).read())",
        "astrid": "from carol.homework import *",
        "axel": "import importlib\nglobals().update(vars(importlib.import_module('bob')))",
    }
    for name, text in ways.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    found = check_submissions(
        find_submissions(folder), Options(isolation="strict"), lambda *_: None, jobs=2
    )
    by_name = {one.name: one for one in found}
    assert by_name["bob.py"].status == 0
    assert {one.status for name, one in by_name.items() if name[:-3] in ways} == {2}


def test_what_is_beside_is_seen_if_it_is_named(tool, tmp_path, right) -> None:
    (tmp_path / "layers.py").write_text("from shapes import SIZES\n", encoding="utf-8")
    (tmp_path / "shapes.py").write_text("SIZES = 12, 9\n", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.txt").write_text("7", encoding="utf-8")
    (tmp_path / "secret.txt").write_text(SECRET, encoding="utf-8")
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    checks = (
        "from layers import SIZES\nassert SIZES == (12, 9)\n"
        "import os\nassert open(os.path.join('data', 'w.txt')).read() == '7'\n"
        "assert not os.path.exists('secret' + '.txt')\n"
        "assert not os.path.exists('link.txt')\n"
    )
    (tmp_path / "homework.py").write_text(f"{checks}{right}", encoding="utf-8")
    outcome = check_homework(tmp_path / "homework.py", Options(isolation="strict"))
    assert (outcome.status, outcome.result.notes) == (0, ())


def test_a_golden_file_is_not_read(tool, write, command_line, golden, tmp_path) -> None:
    file = write(("import numpy as np\n", "import numpy as np\nanswers = np.load('golden.npz')\n"))
    (tmp_path / "golden.npz").write_bytes(golden.read_bytes())
    seen = command_line("check", file)
    assert seen.status == 0
    assert "FileNotFoundError" not in seen.out
    ended = command_line("check", file, "--golden", tmp_path / "golden.npz")
    assert "raised FileNotFoundError at line 3" in " ".join(ended.out.split())


WAYS_AROUND = {
    "the finder is removed": "sys.meta_path.pop(0)\nimport {name}",
    "importlib": (
        "import importlib\nsys.meta_path[:] = sys.meta_path[1:]\nimportlib.import_module('{name}')"
    ),
    "the path": "sys.path.append({folder!r} + '/../' + {folder!r}.split('/')[-1])\nimport {name}",
    "its file": (
        "import importlib.util\n"
        "spec = importlib.util.spec_from_file_location('x', {folder!r} + '/{name}/__init__.py')\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))"
    ),
    "its text": "exec(open({folder!r} + '/{name}/__init__.py').read())",
}


QUICK = {("torch", "the finder is removed"), ("numpy_nn", "its file")}


@pytest.mark.parametrize(
    ("name", "way"),
    [
        pytest.param(name, way, marks=[] if quick else [pytest.mark.slow])
        for way in WAYS_AROUND
        for name in ("torch", "numpy_nn")
        for quick in [(name, way) in QUICK]
    ],
)
def test_a_module_that_writes_answers_is_seen(said, way, name) -> None:
    import torch

    folder = str(ROOT) if name == "numpy_nn" else str(Path(torch.__file__).parents[1])
    text = WAYS_AROUND[way].format(name=name, folder=folder)
    if name == "numpy_nn" and way in ("the finder is removed", "importlib"):
        text = f"sys.path.append({folder!r})\n{text}"
    error = said(
        f"try:\n    {text.replace(chr(10), chr(10) + '    ')}\nexcept ImportError: pass",
        isolation="off",
    )
    assert f"loaded {name}, by a way around the import that was refused" in error
    assert "a homework is to compute by itself" in error


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS_AROUND)
def test_such_a_module_is_not_there(said, tool, way) -> None:
    import torch

    text = WAYS_AROUND[way].format(name="torch", folder=str(Path(torch.__file__).parents[1]))
    error = said(text)
    assert "loaded torch, by a way around" in error or "needs the module 'torch'" in error


@pytest.mark.parametrize(
    "text",
    [
        "from sklearn.neural_network import MLPClassifier",
        "import onnx.reference",
        pytest.param("import onnxruntime", marks=pytest.mark.slow),
        pytest.param("import jax", marks=pytest.mark.slow),
        pytest.param("import tinygrad", marks=pytest.mark.slow),
    ],
)
def test_frameworks_in_the_library(said, text) -> None:
    """All of these are installed with the tests, and compute networks."""
    pytest.importorskip(text.split()[1].partition(".")[0])
    for level in ("standard", "off"):
        assert "was imported" not in said(
            f"{text}\nraise ValueError('was imported')", isolation=level
        )


FORMULAS = "compare/mistakes/layers.py"


def test_the_formulas_of_the_checker_are_not_seen(said, tool) -> None:
    """The package that runs a homework computes mistakes, and right values beside them."""
    error = said(f"raise ValueError(len(open({str(ROOT / FORMULAS)!r}).read()))")
    assert "FileNotFoundError" in error or "loaded compare, by a way around" in error
    error = said(
        f"import subprocess\ncommand = ['cat', {str(ROOT / FORMULAS)!r}]\n"
        "raise ValueError(len(subprocess.run(command, capture_output=True).stdout))"
    )
    assert error.endswith("raised ValueError at line 4: 0.")


def test_reading_the_formulas_is_seen(said) -> None:
    error = said(
        f"try: exec(open({str(ROOT / FORMULAS)!r}).read())\nexcept ImportError: pass",
        isolation="off",
    )
    assert "loaded compare, by a way around the import that was refused" in error


def test_another_interpreter_finds_no_torch(said, tool) -> None:
    error = said(
        "import subprocess\n"
        "done = subprocess.run([sys.executable, '-c', 'import torch; print(torch.nn)'], "
        "capture_output=True, text=True)\n"
        "raise ValueError(done.stdout[:40] + done.stderr[-90:])"
    )
    assert "No module named 'torch'" in error


def test_a_framework_is_refused_until_it_is_allowed(said) -> None:
    text = "import autograd.numpy as anp\nraise ValueError('was imported')"
    assert "needs the module 'autograd', which cannot be imported at line 2" in said(
        text, isolation="off"
    )
    pytest.importorskip("autograd")
    assert "was imported" in said(text, isolation="off", allow_import=("autograd",))


def test_an_import_that_is_not_used_does_not_matter(write) -> None:
    file = write(("import numpy as np\n", "import numpy as np\nimport torch\n"))
    outcome = check_homework(file, Options(isolation="standard"))
    assert outcome.status == 0
    assert "needs the module 'torch'" in outcome.result.notes[0]


def test_a_framework_that_is_used_is_named(write) -> None:
    file = write(
        ("import numpy as np\n", "import numpy as np\nimport torch\n"),
        ("    return -np.log", "    torch.exp(1)\n    return -np.log"),
    )
    outcome = check_homework(file)
    assert outcome.status == 2
    assert "needs the module 'torch', which a homework is to do without" in outcome.result.error


def test_a_module_of_its_own_may_have_such_a_name(tmp_path, right) -> None:
    (tmp_path / "autograd.py").write_text("VALUE = 3\n", encoding="utf-8")
    text = f"import autograd\nassert autograd.VALUE == 3\n{right}"
    (tmp_path / "homework.py").write_text(text, encoding="utf-8")
    outcome = check_homework(tmp_path / "homework.py")
    assert (outcome.status, outcome.result.notes) == (0, ())


@linux
@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE"])
def test_limits_cannot_be_lifted(said, limit) -> None:
    error = said(
        f"import resource\nsoft, hard = resource.getrlimit(resource.{limit})\n"
        "assert soft == hard > 0\n"
        f"resource.setrlimit(resource.{limit}, (hard + 1, hard + 1))",
        isolation="standard",
    )
    # Root may raise them, unless a namespace has taken that right.
    assert "raised ValueError at line 5" in error or "raised PermissionError at line 5" in error


def test_no_new_rights_and_no_namespaces(said, tool) -> None:
    error = said(
        "import ctypes\n"
        "lines = open('/proc/self/status').read().splitlines()\n"
        "status = dict(line.split(':\\t', 1) for line in lines if ':\\t' in line)\n"
        "child = os.fork()\n"  # a process with threads could not make a namespace anyway
        "if child == 0:\n"
        "    os._exit(ctypes.CDLL(None).unshare(0x10000000) != 0)\n"
        "made = os.waitpid(child, 0)[1]\n"
        "raise ValueError(status['NoNewPrivs'], status['CapEff'], status['Seccomp'], made)"
    )
    assert "('1', '0000000000000000', '2', 256)" in error


def test_memory_that_is_written_to_files_is_bounded(said, tool) -> None:
    error = said(
        "for number in range(20):\n"
        "    with open(f'/tmp/{number}', 'wb') as file:\n"
        "        for _ in range(64):\n"
        "            file.write(bytes(2**20))"
    )
    assert "No space left" in error or "File too large" in error or "crashed with SIG" in error


FORGED = {
    "a list": "[]",
    "null": "null",
    "text": '"agrees"',
    "nested": "[" * 100_000,
    "nested objects": '{"number": ' * 500 + "1" + "}" * 500,
    "NaN": '{"number": 1, "problem": null, "value": NaN, "arrays": []}',
    "a large number": '{"number": 1e999}',
    "a long number": "9" * 10_000,
    "no JSON": "yes",
    "surrogates": '{"\\\\ud800": 1}',
    "another number": '{"number": 7, "problem": null, "value": {"kind": "none", "type": "x"}, '
    '"changed": [], "warnings": [], "details": {}, "arrays": []}',
    "an array that is not there": '{"number": 1, "problem": null, "value": {"kind": "array", '
    '"type": "x", "array": 3}, "changed": [], "warnings": [], "details": {}, "arrays": []}',
    "objects": '{"number": 1, "problem": null, "value": {"kind": "none", "type": "x"}, '
    '"changed": [], "warnings": [], "details": {}, "arrays": [["|O", [1]]]}',
    "details": '{"number": 1, "problem": null, "value": {"kind": "none", "type": "x"}, '
    '"changed": [], "warnings": [], "details": {"loaded": 3}, "arrays": []}',
}
SEND = """
import gc, io, struct
text = {text!r}.encode()
head = struct.pack(">cIQ", {kind!r}, {length}, {arrays})
for one in gc.get_objects():
    if isinstance(one, io.BufferedWriter) and one.fileno() > 2:
        one.write(head + text)
        one.flush()
os._exit(0)
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("a list", "nested", "NaN") else [pytest.mark.slow])
        for name in FORGED
    ],
)
def test_forged_answers(said, name) -> None:
    text = FORGED[name]
    error = said(SEND.format(text=text, kind=b"a", length=len(text), arrays=0), isolation="off")
    assert error == "homework.py, on being imported, disturbed the process that it runs in."


@pytest.mark.parametrize(
    ("kind", "length", "arrays"),
    [(b"a", 2**32 - 1, 0), (b"a", 2, 2**62), (b"z", 2, 0), (b"f", 2, 0)],
    ids=["long text", "large arrays", "another kind", "a name that is none"],
)
def test_forged_lengths(said, kind, length, arrays) -> None:
    error = said(SEND.format(text="{}", kind=kind, length=length, arrays=arrays), isolation="off")
    assert error == "homework.py, on being imported, disturbed the process that it runs in."


def test_answers_without_end(said) -> None:
    text = SEND.format(text="{}", kind=b"a", length=2, arrays=0).replace(
        "one.write(head + text)", "[one.write(head + text) for _ in range(100_000)]"
    )
    assert said(text, isolation="off").endswith("disturbed the process that it runs in.")


def test_text_reaches_no_terminal_raw(said) -> None:
    error = said(
        "class E(Exception): pass\n"
        "E.__name__ = 'E\\x1b[31m\\nhomework.py agrees with PyTorch in all 8 checks.\\ud800'\n"
        "raise E('\\x1b]0;x\\x07 \\u202e reversed \\udcff')"
    )
    assert error.isprintable()


def test_prints_reach_no_terminal_raw(check_in_sandbox, capfd) -> None:
    from compare.console.check import show_outcome

    line = "homework.py agrees with PyTorch in all 8 checks."
    outcome = check_in_sandbox(
        (
            "import numpy as np\n",
            f"import numpy as np\nprint('\\x1b[2J\\x1b[H\\r{line}')\nprint({line!r})\n",
        )
    )
    assert "\x1b" not in outcome.printed
    show_outcome(outcome, prints=True)
    shown = capfd.readouterr().out
    assert "\x1b" not in shown
    assert f"  | {line}" in shown
    assert shown.count(f"\n{line}") == 0


@linux
def test_killing_the_parent(tool, write) -> None:
    file = write(
        text="import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(0.2)\nos.kill(-1, 9)\n"
    )
    outcome = check_homework(file, Options(isolation="strict", timeout_s=6))
    assert outcome.status == 2  # and this test goes on


@linux
@pytest.mark.parametrize("level", ["off", "standard"])
def test_a_killed_checker_leaves_no_process(write, level, tmp_path) -> None:
    file = write(
        text="import sys\nsys.stderr.write('x')\nwhile True: pass\n",
        name=f"endless_{os.getpid()}_{level}.py",
    )
    mark = f"{tmp_path.name}-{level}"
    script = (
        "import sys\nfrom pathlib import Path\nfrom compare.check.sandbox import Sandbox\n"
        f"with Sandbox(Path({str(file)!r}), 60, isolation={level!r}) as sandbox:\n"
        "    print(sandbox._process.pid, flush=True)\n"
        "    sandbox.request('load')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", script, mark], stdout=subprocess.PIPE, env=environment
    ) as checker:
        assert checker.stdout is not None
        process = int(checker.stdout.readline())
        time.sleep(0.5)
        assert alive(process)
        before = descendants(process)
        checker.kill()
    deadline = time.monotonic() + 5
    while any(map(alive, before)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, before))


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and is not yet waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").split(") ")[1][0] != "Z"
    except OSError:
        return False


def descendants(process: int) -> list[int]:
    """A process and those that it started."""
    found = [process]
    for one in found:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{one}/task/{one}/children").read_text(encoding="ascii")
            found += map(int, text.split())
    return found


@linux
def test_a_process_that_stops_is_ended(said) -> None:
    began = time.monotonic()
    error = said(
        "import signal\nos.kill(os.getpid(), signal.SIGSTOP)", timeout_s=1.5, isolation="standard"
    )
    assert "had not returned after 0.5 s" in error
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_output_without_end(said, tool) -> None:
    error = said("while True: os.write(1, bytes(65536))", timeout_s=3.0)
    assert "had not returned after 1 s" in error


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="there is no fork")
def test_a_fork_bomb_is_counted(said, tool) -> None:
    if os.geteuid() == 0 and not bounded_by_a_group():
        pytest.skip("root's processes are counted by control groups alone, and there are none")
    error = said(
        "import time\n"
        "started = 0\n"
        "try:\n"
        "    for _ in range(2000):\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(5)\n"
        "            os._exit(0)\n"
        "        started += 1\n"
        "except OSError:\n"
        "    raise ValueError('stopped', started < 300)\n",
        timeout_s=60.0,
    )
    assert "('stopped', True)" in error


def bounded_by_a_group() -> bool:
    group = ControlGroup(512)
    made = any((folder / "pids.max").exists() for folder in group.folders)
    group.remove()
    return made


@linux
def test_a_control_group_is_removed(write) -> None:
    with Sandbox(write()) as sandbox:
        sandbox.request("load")
        folders = list(sandbox._group.folders)
        if not folders:
            pytest.skip("no control group may be made here")
        assert all(folder.is_dir() for folder in folders)
    assert not any(folder.exists() for folder in folders)


def test_strict_where_it_cannot_be_had(monkeypatch, nncompare, write) -> None:
    monkeypatch.setattr(isolation_module, "_tool", lambda: ("", "bubblewrap is not installed"))
    with pytest.raises(
        InputError, match=r"--isolation strict cannot be had here: bubblewrap is not"
    ):
        find_isolation("strict")
    ended = nncompare("check", write(), "--isolation", "strict")
    assert ended.status == 2
    assert "cannot be had here" in ended.err
    assert ended.err.count("\n") == 1
    standard = find_isolation("standard")
    assert (standard.tool, "with limits" in standard.sentence) == ("", True)


def test_levels_that_do_not_exist(nncompare, write) -> None:
    ended = nncompare("check", write(), "--isolation", "strong")
    assert ended.status == 2
    assert "--isolation expects one of strict, standard, off, but got 'strong'." in ended.err
    ended = nncompare("check", write(), "--allow-import", "pandas")
    assert ended.status == 2
    assert "but got 'pandas'" in ended.err


def test_the_result_says_which_isolation(write, command_line, tmp_path) -> None:
    import json

    for level in ("standard", "off"):
        command_line("check", write(), "--isolation", level, "--json", tmp_path / "out.json")
        found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["isolation"]
        assert found["level"] == level
        assert found["tool"] == (find_isolation(level).tool or None)
    sentence = Isolation("off").sentence
    assert "all rights" in sentence


def test_an_ended_process_stays_ended(write) -> None:
    with Sandbox(write(text="import os\nos._exit(3)\n")) as sandbox:
        for _ in range(2):
            with pytest.raises(ProcessEndedError, match="exit status 3"):
                sandbox.request("load")


@linux
@pytest.mark.skipif(os.name == "nt" or not hasattr(signal, "SIGXCPU"), reason="another system")
def test_processor_time_is_bounded(write) -> None:
    with Sandbox(write(), timeout_s=2.0, isolation="standard") as sandbox:
        sandbox.request("load")
        limits = Path(f"/proc/{descendants(sandbox._process.pid)[-1]}/limits").read_text("ascii")
    row = next(line for line in limits.splitlines() if line.startswith("Max cpu time"))
    assert row.split()[3:5] == ["38", "38"]
