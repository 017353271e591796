"""How an isolated process is started: commands, plans, limits, environment and what it is told."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from compare.check import isolation as isolating
from compare.check import sandbox as boxing
from compare.check.isolation import (
    NAMESPACES,
    REFUSED,
    ControlGroup,
    Isolation,
    View,
    _outermost,
    _within,
    find_isolation,
)
from compare.check.messages import read_request
from compare.check.return_values import CallResult
from compare.check.sandbox import ENVIRONMENT, ROOT, THREADS, ProcessEndedError, Sandbox
from experiments.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="isolation is Linux's")


@pytest.mark.parametrize(
    ("one", "sentence"),
    [
        (Isolation("strict", "bubblewrap"),
         "It ran apart from the machine, by bubblewrap: no network, no other processes, no files "
         "but its own and Python's."),
        (Isolation("off"),
         "It ran with all rights of the person who checked it: --isolation off."),
        (Isolation("standard", "", "nothing is there"),
         "It ran in a process of its own with limits, but with the files and the network of the "
         "person who checked it, as nothing is there."),
    ],
)  # fmt: skip
def test_what_was_used_in_a_sentence(one, sentence) -> None:
    assert one.sentence == sentence


def test_what_a_level_gets(monkeypatch) -> None:
    monkeypatch.setattr(isolating, "_tool", lambda: ("unshare", ""))
    assert find_isolation() == find_isolation("standard") == Isolation("standard", "unshare", "")
    assert find_isolation("strict") == Isolation("strict", "unshare", "")
    monkeypatch.setattr(isolating, "_tool", lambda: ("", "there are none"))
    assert find_isolation("standard") == Isolation("standard", "", "there are none")
    assert find_isolation("off") == Isolation("off")
    with pytest.raises(InputError) as error:
        find_isolation("strict")
    assert str(error.value) == (
        "--isolation strict cannot be had here: there are none; docs/checking.md says what to use "
        "instead."
    )
    with pytest.raises(InputError) as error:
        find_isolation("full")
    assert str(error.value) == ("--isolation expects one of strict, standard, off, but got 'full'.")


def tried(monkeypatch, answers: dict, bwrap: str | None = "/usr/bin/bwrap") -> tuple[str, str]:
    """Which tool is taken where each ends as it is told."""

    class Attempt:
        returncode = 0

        def __init__(self, tool: str) -> None:
            self.answer = answers[tool]

        def __enter__(self) -> Attempt:
            return self

        def __exit__(self, *_) -> None:
            pass

        def communicate(self, timeout):
            assert timeout == 20.0
            if self.answer == "slow":
                raise subprocess.TimeoutExpired("x", timeout)
            self.returncode, said = self.answer
            return b"", said

        def kill(self) -> None:
            self.killed = True

    def start(self, view, command, group, **options):
        assert (view, command) == (View(Path("/"), ()), [sys.executable, "-I", "-S", "-c", ""])
        assert options["env"] == {}
        if isinstance(answers[self.tool], Exception):
            raise answers[self.tool]
        return Attempt(self.tool)

    monkeypatch.setattr(isolating.shutil, "which", lambda name: bwrap)
    monkeypatch.setattr(Isolation, "start", start)
    return isolating._tool.__wrapped__()


@pytest.mark.parametrize(
    ("answers", "bwrap", "found"),
    [
        ({"bubblewrap": (0, b""), "unshare": (0, b"")}, "b", ("bubblewrap", "")),
        ({"bubblewrap": (1, b"no  way\n"), "unshare": (0, b"")}, "b", ("unshare", "")),
        ({"unshare": (0, b"")}, None, ("unshare", "")),
        ({"bubblewrap": (1, b"no  way\n"), "unshare": (7, b"")}, "b",
         ("", "bubblewrap failed (no way) and unshare failed (status 7)")),
        ({"unshare": OSError("x")}, None,
         ("", "bubblewrap is not installed and unshare failed (OSError)")),
        ({"bubblewrap": "slow", "unshare": (1, b"a" * 200)}, "b",
         ("", f"bubblewrap failed (TimeoutExpired) and unshare failed ({'a' * 150})")),
    ],
)  # fmt: skip
def test_the_tool_is_found_by_trying(monkeypatch, answers, bwrap, found) -> None:
    assert tried(monkeypatch, answers, bwrap) == found


def test_no_tool_on_other_systems(monkeypatch) -> None:
    monkeypatch.setattr(isolating.sys, "platform", "darwin")
    assert isolating._tool.__wrapped__() == (
        "", "this system is not Linux, which alone has namespaces"
    )  # fmt: skip


def test_commands(monkeypatch) -> None:
    own = ["python", "-c", "x"]
    monkeypatch.setattr(isolating.shutil, "which", lambda name: f"/bin/{name}")
    assert Isolation("standard", "bubblewrap").command(own, 7) == [
        "/bin/bwrap", "--args", "7", "--", *own
    ]  # fmt: skip
    monkeypatch.setattr(isolating.shutil, "which", lambda name: None)
    assert Isolation("standard", "bubblewrap").command(own, 7)[0] == "bwrap"
    assert Isolation("standard", "unshare").command(own, 7) == [
        sys.executable, "-I", "-S", str(NAMESPACES), "7", *own
    ]  # fmt: skip
    assert Isolation("standard").command(own, 7) == own


def test_plans(monkeypatch, tmp_path) -> None:
    seen, hidden, refused, file = (tmp_path / n for n in ("seen", "seen/h", "seen/r", "seen/f.py"))
    for folder in (seen, hidden, refused):
        folder.mkdir()
    file.touch()
    (seen / "secret").touch()
    monkeypatch.setattr(
        isolating, "_system", lambda: ((("/lib", "usr/lib"), (str(seen / "l"), "x")), ("/usr",))
    )
    view = View(tmp_path, (seen, file), (hidden, seen / "secret", tmp_path / "away", seen / "gone"),
                (refused, file))  # fmt: skip
    covers = {
        str(hidden): "", str(seen / "secret"): os.devnull, str(refused): str(REFUSED),
        str(file): str(REFUSED / "__init__.py"),
    }  # fmt: skip
    assert json.loads(Isolation("standard", "unshare").plan(view)) == {
        "links": [["/lib", "usr/lib"]], "read_only": ["/usr", str(seen)], "covers": covers,
        "folder": str(tmp_path), "room_bytes": 256 * 2**20,
    }  # fmt: skip
    room = str(256 * 2**20)
    assert Isolation("standard", "bubblewrap").plan(view).decode().split("\0") == [
        "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts",
        "--unshare-cgroup-try", "--die-with-parent", "--cap-drop", "ALL", "--dev", "/dev",
        "--size", room, "--tmpfs", "/dev/shm", "--proc", "/proc", "--size", room, "--tmpfs", "/tmp",
        "--ro-bind", "/usr", "/usr", "--ro-bind", str(seen), str(seen),
        "--symlink", "usr/lib", "/lib",
        "--size", "4096", "--tmpfs", str(hidden), "--remount-ro", str(hidden),
        "--ro-bind", os.devnull, str(seen / "secret"), "--ro-bind", str(REFUSED), str(refused),
        "--ro-bind", str(REFUSED / "__init__.py"), str(file),
        "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(tmp_path),
    ]  # fmt: skip


def test_folders_inside_folders() -> None:
    assert _outermost(["/a/b", "/a", "/ab", "/a/b/c", "/d/e", "/a"]) == ["/a", "/ab", "/d/e"]
    assert _outermost(["/", "/a"]) == ["/"]
    assert _within("/a", "/a")
    assert _within("/a/b", "/a/")
    assert not _within("/ab", "/a")
    assert not _within("/", "/a")


def grouped(*folders: str) -> ControlGroup:
    found = ControlGroup(None)
    found.folders = [Path(folder) for folder in folders]
    return found


def test_the_command_that_enters_a_group() -> None:
    assert grouped().command(["a"]) == ["a"]
    assert grouped("/g1", "/g2").command(["a", "b"]) == [
        "/bin/sh", "-c",
        'while [ "$1" != -- ]; do echo $$ 2>/dev/null > "$1" || exit 126; shift; done; shift; exec '
        '"$@"',
        "sh", "/g1/cgroup.procs", "/g2/cgroup.procs", "--", "a", "b",
    ]  # fmt: skip


@pytest.fixture
def homework(tmp_path) -> Path:
    folder = tmp_path / "ada"
    folder.mkdir()
    (folder / "hw.py").touch()
    return folder / "hw.py"


def box(homework, tool: str = "bubblewrap", level: str = "standard", **more) -> Sandbox:
    found = Sandbox(homework, 9.0, 700, "off", **more)
    found.isolation = Isolation(level, tool)
    return found


def test_the_environment_of_a_homework(homework, monkeypatch, tmp_path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    path = os.pathsep.join(map(str, (library, ROOT, tmp_path / "gone", homework.parent)))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("SECRET", "key")
    locked = box(homework)._environment()
    assert {k: v for k, v in locked.items() if k != "MUTANT"} == {
        "PATH": "/bin:/usr/bin", **{k: v for k, v in ENVIRONMENT.items() if k != "MUTANT"},
        "HOME": "/tmp", "TMPDIR": "/tmp", "PYTHONPATH": f"{ROOT}{os.pathsep}{library}",
    }  # fmt: skip
    assert box(homework, "")._environment()["HOME"] == tempfile.gettempdir()
    free = box(homework, "", "off")._environment()
    assert free["SECRET"] == "key"
    assert free["PYTHONPATH"] == f"{ROOT}{os.pathsep}{path}"
    assert (free["PYTHONUTF8"], free["MPLBACKEND"]) == ("1", "Agg")
    assert set(THREADS.items()) <= set(free.items())
    monkeypatch.delenv("PYTHONPATH")
    assert box(homework, "", "off")._environment()["PYTHONPATH"] == str(ROOT)
    assert ENVIRONMENT | {"MUTANT": ""} == {
        "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
        "PYTHONUTF8": "1", "MPLBACKEND": "Agg", "LANG": "C.UTF-8", "TZ": "UTC", "MUTANT": "",
    }  # fmt: skip


def test_what_a_homework_sees(homework, tmp_path) -> None:
    mapping, other = tmp_path / "m.py", tmp_path / "other.py"
    mapping.touch()
    other.touch()
    given = {"readable": (mapping,), "others": (other, tmp_path, homework.parent)}
    found = box(homework, **given)
    view = found._view()
    assert (view.folder, view.hidden) == (homework.parent, (other,))
    assert {homework, mapping} <= set(view.read_only)
    assert set(found._needed) <= set(view.read_only)
    assert set(view.refused) == {Path(place) for place in found._places}
    assert box(homework, "", **given)._view() == View(homework.parent, ())
    assert found.arguments == (
        homework, 9.0, 700, "off", (), (mapping,), (other, tmp_path, homework.parent)
    )  # fmt: skip


def test_what_the_process_is_told(homework, monkeypatch) -> None:
    """The command, its pipes and limits, and the first message."""
    told: dict = {}

    class Process:
        pid = 1
        stdout, stderr = "out", "err"

        class stdin:  # noqa: N801
            sent = b""

            @classmethod
            def write(cls, data) -> int:
                cls.sent += bytes(data)
                return len(data)

    def start(self, view, command, group, **options):
        told.update(options, view=view, command=command, group=group)
        return Process()

    class Reader:
        def __init__(self, pipe, take) -> None:
            told.setdefault("pipes", []).append((pipe, take.__name__))

        def start(self) -> None:
            told["started"] = told.get("started", 0) + 1

    monkeypatch.setattr(Isolation, "start", start)
    monkeypatch.setattr(boxing, "PipeReader", Reader)
    monkeypatch.setattr(boxing, "processes_counted_by_namespace", lambda: True)
    for level, tool in (("standard", "bubblewrap"), ("standard", ""), ("off", "")):
        one = box(homework, tool, level)
        told.clear()
        Process.stdin.sent = b""
        one.start()
        locked = level != "off"
        assert told["command"] == [
            sys.executable, *(["-s"] if locked else []), "-P", "-m", "compare.check.worker"
        ]  # fmt: skip
        assert told["pipes"] == [("out", "_take_frames"), ("err", "_take_output")]
        assert told["started"] == 2
        assert (told["cwd"], told["bufsize"], told["start_new_session"]) == (
            homework.parent, 0, True
        )  # fmt: skip
        assert {told[name] for name in ("stdin", "stdout", "stderr")} == {subprocess.PIPE}
        assert told["pass_fds"] == (one._descriptor,)
        assert not os.path.exists(one._faults)  # a file without a name

        settings, arrays = read_request(io.BytesIO(Process.stdin.sent))
        assert arrays == {}
        assert {k: v for k, v in settings.items() if k not in ("arrays", "names")} == {
            "file": str(homework), "faults": one._descriptor, "memory_mb": 700,
            "most_bytes": one._most_bytes, "locked": locked, "cpu_s": 36.0,
            "processes": 256 if tool else None, "forbidden": list(one._forbidden),
            "places": one._places, "own_path": str(ROOT),
        }  # fmt: skip
        one._leave_nothing()
        assert one._descriptor == -1


def ended(homework, code, limit_s: float = 5.0, taken_s: float = 1.0, **more) -> str:
    """Why a request has no result, of a process that ended so."""
    one = box(homework, more.pop("tool", ""))
    one._left_s = more.pop("left_s", 4.0)
    one._kill = lambda: None  # type: ignore[method-assign]
    one._faulty_line = lambda: more.get("line", "")  # type: ignore[method-assign]

    def wait(timeout):
        assert timeout == 2.0
        if code is None:
            raise subprocess.TimeoutExpired("x", timeout)
        return code

    one._process = SimpleNamespace(wait=wait)  # type: ignore[assignment]
    return one._reason("f(x)", limit_s, taken_s)


@pytest.mark.parametrize(
    ("code", "more", "sentence"),
    [
        (0, {}, "f(x) ended the process with exit status 0: it should return its result."),
        (3, {"line": " at line 2"},
         "f(x) ended the process with exit status 3: it should return its result."),
        (-11, {"line": " at line 2"}, "f(x) crashed with SIGSEGV at line 2."),
        (-9, {}, "f(x) crashed with SIGKILL; perhaps the machine ran out of memory."),
        (-200, {}, "f(x) crashed with signal 200."),
        (139, {"tool": "unshare"}, "f(x) crashed with SIGSEGV."),
        (139, {}, "f(x) ended the process with exit status 139: it should return its result."),
        (128, {"tool": "unshare"},
         "f(x) ended the process with exit status 128: it should return its result."),
        (None, {}, "f(x) closed the streams of its process."),
        (0, {"taken_s": 5.0, "left_s": 0.0},
         "f(x) had not returned when the time limit of 9 s was over."),
        (0, {"taken_s": 4.991, "left_s": 0.0, "line": " at line 2"},
         "f(x) had not returned when the time limit of 9 s was over; it was at line 2."),
        (0, {"taken_s": 5.0, "left_s": 4.0},
         "f(x) had not returned after 5 s of the time limit of 9 s."),
        (0, {"taken_s": 5.0, "left_s": 4.0, "limit_s": 1.23456},
         "f(x) had not returned after 1.23 s of the time limit of 9 s."),
    ],
)  # fmt: skip
def test_why_there_is_no_result(homework, code, more, sentence) -> None:
    assert ended(homework, code, **more) == sentence


def test_the_line_at_which_it_was(homework) -> None:
    one = box(homework)
    one._descriptor, name = tempfile.mkstemp()
    homework.write_text("a\nb\nc\n")
    try:
        assert one._faulty_line() == ""
        os.write(one._descriptor, b'File "/other.py", line 9 in f\n  File "%b", line 2 in g\n'
                 % os.fsencode(homework))  # fmt: skip
        assert one._faulty_line() == " at line 2"
        homework.unlink()
        assert one._faulty_line() == " at line 2"
    finally:
        os.close(one._descriptor)
        os.unlink(name)
    assert one._faulty_line() == ""


def test_what_was_printed(homework) -> None:
    one = box(homework)
    one._take_output("ö\r\n\x1b[2J\tz".encode())
    assert one.printed == "ö\n\ufffd[2J\tz"
    assert one.printed_characters == 9
    one._take_output(b"x" * 100_000)
    assert one.printed == "x" * 20_000
    assert one.printed_characters == 100_009
    assert len(one._printed) == 80_000


def test_a_process_that_does_not_start(homework) -> None:
    for said, words in ((b"", "too slow"), (b"no\n  way", "no way"), (b"a" * 400, "a" * 300)):
        one = box(homework)
        one._kill = lambda: None  # type: ignore[method-assign]
        one._process = SimpleNamespace(poll=lambda: None)  # type: ignore[assignment]
        one._next_frame = lambda limit_s: None  # type: ignore[method-assign]
        one._take_output(said)
        with pytest.raises(ProcessEndedError) as error:
            one._wait_until_ready()
        assert str(error.value) == f"No process could be started for the homework: {words}."


def test_a_tool_that_is_killed_while_it_starts_is_not_waited_for(homework) -> None:
    """What it had started may hold the streams: nothing says that they have ended."""
    one = box(homework)
    one._kill = lambda: None  # type: ignore[method-assign]
    one._process = SimpleNamespace(poll=lambda: -9)  # type: ignore[assignment]
    one._next_frame = lambda limit_s: pytest.fail("it waited")  # type: ignore[method-assign]
    with pytest.raises(ProcessEndedError, match="too slow"):
        one._wait_until_ready()


@pytest.mark.parametrize(
    ("left_s", "action", "details", "limit_s"),
    [
        (9.0, "call", {}, 8.75), (0.2, "call", {}, 0.05), (9.0, "load", {}, 2.75),
        (9.0, "load", {"definitions_only": True}, 8.75),
    ],
)  # fmt: skip
def test_the_time_that_a_request_has(homework, left_s, action, details, limit_s) -> None:
    one, sent = box(homework), []
    one._left_s, one._ready, one._loaded, one._disturbed = left_s, True, {}, False
    one._send = lambda data: sent.append(read_request(io.BytesIO(data)))  # type: ignore[method-assign]
    one._next_frame = lambda limit: None  # type: ignore[method-assign]
    one._reason = lambda subject, limit, taken: f"{subject} {limit:g}"  # type: ignore[method-assign]
    with pytest.raises(ProcessEndedError) as error:
        one.request(action, description="f(x)", **details)
    assert (
        str(error.value) == f"f(x) {left_s / 3 if action == 'load' and not details else left_s:g}"
    )
    ((tree, _),) = sent
    assert {k: v for k, v in tree.items() if k not in ("arrays", "names")} == {
        "number": 1, "action": action, "description": "f(x)", "details": details,
        "limit_s": pytest.approx(limit_s),
    }  # fmt: skip


def test_a_module_that_was_loaded_another_way(homework) -> None:
    one = box(homework)
    one._ready, one._disturbed = True, False
    one._send = lambda data: None  # type: ignore[method-assign]
    one._next_frame = lambda limit: None  # type: ignore[method-assign]
    one._kill = lambda: None  # type: ignore[method-assign]
    one._loaded = {"torch": None, "jax": None}
    with pytest.raises(ProcessEndedError) as error:
        one.request("call")
    assert str(error.value) == (
        "call loaded torch and jax, by a way around the import that was refused: a homework is to "
        "compute by itself; --allow-import allows it."
    )
    one._loaded, one._disturbed = {}, True
    with pytest.raises(ProcessEndedError) as error:
        one.request("call", description="f(x)")
    assert str(error.value) == "f(x) disturbed the process that it runs in."


def test_a_declaration_with_a_problem_ends_the_check(homework, monkeypatch) -> None:
    one = box(homework)
    one._ready, one._disturbed = True, False
    one._send = lambda data: None  # type: ignore[method-assign]
    one._next_frame = lambda limit: "a frame"  # type: ignore[method-assign]
    answer = CallResult(problem="It broke.")
    asked = []
    monkeypatch.setattr(boxing.messages, "read_answer", lambda *a: asked.append(a) or answer)
    assert one.request("call") is answer
    with pytest.raises(ProcessEndedError, match=r"^It broke\.$"):
        one.request("declaration")
    assert asked == [("a frame", 1, "call"), ("a frame", 2, "declaration")]
