"""A homework that misbehaves gives one clear sentence, and does no harm.

What a function returns, raises or changes is seen in the request's result: those tests run in this
process. Tests of the end of a process, of limits, output and files start one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from planted.in_process import check_in_process

from compare.check.checking import check_homework

IN_FORWARD = 'return hidden(params, x) @ params["W2"] + params["b2"]'
IN_GRADIENTS = "    h = hidden(params, x)\n"
RETURNED = '"W2": h.T @ dz, "b2": dz.sum(axis=0)}'
NUMPY = "import numpy as np\n"


def before_forward(statement: str) -> list[tuple[str, str]]:
    return [(IN_FORWARD, f"{statement}\n    {IN_FORWARD}")]


def before_gradients(statement: str) -> list[tuple[str, str]]:
    return [(IN_GRADIENTS, f"    {statement}\n{IN_GRADIENTS}")]


# What it does → how, and what is said. Every one of these could not be checked: status 2.
BAD = {
    "raises": (
        before_forward("[][1]"),
        "forward(params, x) raised IndexError at line 17: list index out of range.",
    ),
    "raises in gradients only": (
        before_gradients('raise ValueError("not yet")'),
        "gradients(params, x, y) raised ValueError at line 30: not yet.",
    ),
    "raises with a message of many lines": (
        before_gradients("raise ValueError('a\\n' * 5000)"),
        f"gradients(params, x, y) raised ValueError at line 30: {'a ' * 149}a….",
    ),
    "raises for one row only": (
        before_gradients("assert len(x) > 1, 'too few'"),
        "gradients(params, x, y) raised AssertionError at line 30: too few (for a batch of 1 "
        "row).",
    ),
    "calls itself": (before_forward("forward(params, x)"), "forward(params, x) calls itself "
                     "without end at line 17: maximum recursion depth exceeded."),
    "exits": (before_gradients("raise SystemExit(3)"), "gradients(params, x, y) called "
                                                       "sys.exit(3) at line 30: it should "
                                                       "return its result instead."),
    "exits hard": (
        before_gradients("__import__('os')._exit(0)"),
        "gradients(params, x, y) ended the process with exit status 0: it should return its "
        "result.",
    ),
    "crashes": (
        before_gradients("__import__('ctypes').string_at(0)"),
        "gradients(params, x, y) crashed with SIGSEGV at line 30.",
    ),
    "aborts": (before_gradients("__import__('os').abort()"), "gradients(params, x, y) "
               "crashed with SIGABRT at line 30."),
    "kills itself": (
        before_gradients("__import__('os').kill(__import__('os').getpid(), 9)"),
        "gradients(params, x, y) crashed with SIGKILL; perhaps the machine ran out of memory.",
    ),
    "eats memory": (
        before_gradients("a = [0.0] * 10**10"),
        "gradients(params, x, y) needed more memory than the limit of 2048 MB allows at line 30.",
    ),
    "eats memory with NumPy": (
        before_gradients("a = np.ones((10**5, 10**5))"),
        "gradients(params, x, y) needed more memory than the limit of 2048 MB allows at line 30.",
    ),
    "asks the keyboard": (before_gradients("input()"), "gradients(params, x, y) reads the "
                           "keyboard at line 30: there is nobody to type; remove input()."),
    "is interrupted": (before_gradients("raise KeyboardInterrupt"), "gradients(params, "
                       "x, y) raised KeyboardInterrupt at line 30."),
    "returns None": (
        [(f"    {IN_FORWARD}", f"    z = {IN_FORWARD.removeprefix('return ')}")],
        "forward returned None, but expected the logits; is a return missing?",
    ),
    "returns None for gradients": (
        [('    return {"W1"', '    g = {"W1"')],
        "gradients returned None, but expected a dict; is a return missing?",
    ),
    "returns None for the loss": ([("return -np.log", "-np.log")], "loss returned None, but "
                                                                   "expected a number; is a "
                                                                   "return missing?"),
    "returns a string": ([(IN_FORWARD, 'return "logits"')], "forward returned a value of type "
                                                            "str, but expected an array of "
                                                            "logits."),
    "returns a list for gradients": (
        [('{"W1": x.T @ dh, "b1"', '[x.T @ dh]\n    {"b1"')],
        "gradients returned an array of shape (1, 12, 9), but expected a dict of own name → "
        "gradient.",
    ),
    "returns complex numbers": (
        [(IN_FORWARD, f"{IN_FORWARD} + 0j")],
        "forward returned a value of type ndarray of complex128, but expected an array of "
        "logits.",
    ),
    "a loss for each row": ([(", y]).mean()", ", y])")], "loss returned an array of shape "
                                                         "(6,), but expected one number, the "
                                                         "loss of the batch."),
    "misses a key": (
        [(RETURNED, '"W2": h.T @ dz}')],
        "gradients returned no gradient for 'b2' (2.bias); the keys are those of params, and "
        "it returned 'W1', 'b1', 'W2'.",
    ),
    "other keys": (
        [('"W1": x.T', '"dW1": x.T')],
        "gradients returned no gradient for 'W1' (0.weight); the keys are those of params, and "
        "it returned 'dW1', 'b1', 'W2', 'b2'.",
    ),
    "transposed": (
        [('"W1": x.T @ dh', '"W1": dh.T @ x')],
        "the gradient for 'W1' (0.weight) that gradients returned has the shape (9, 12), but "
        "expected (12, 9); it is transposed.",
    ),
    "logits of another shape": (
        [(IN_FORWARD, f"return ({IN_FORWARD[7:]})[:, :4]")],
        "what forward returned (logits) has the shape (6, 4), but expected (6, 5), (N, "
        "classes).",
    ),
    "logits in columns": (
        [(IN_FORWARD, f"return ({IN_FORWARD[7:]}).T"), ("softmax(forward(params, x))", "softmax(forward(params, x).T)")],
        "what forward returned (logits) has the shape (5, 6), but expected (6, 5), (N, "
        "classes); if your batch is the columns, write BATCH_AXIS = 1.",
    ),
    "changes its input": (
        [(IN_FORWARD, f"z = {IN_FORWARD[7:]}\n    x += 1\n    return z")],
        "forward(params, x) changed its argument x in place: the next call gets something "
        "else; work on a copy.",
    ),
    "changes a parameter": (
        [(RETURNED, f"{RETURNED[:-1]}, **dict(a=params['b2'].__imul__(0.9))}}")],
        "gradients(params, x, y) changed its argument params['b2'] in place: the next call "
        "gets something else; work on a copy.",
    ),
    "another signature": (
        [("def loss(params, x, y)", "def loss(params, x)")],
        "loss(params, x, y) raised TypeError: loss is called as loss(params, x, y), but is "
        "defined as loss(params, x).",
    ),
    "syntax error": ([("    h = hidden", "    h = = hidden")], "homework.py, line 30: invalid "
                                                               "syntax; Python cannot read the "
                                                               "file."),
    "indentation": ([("    h = hidden", "  h = hidden")], "homework.py, line 31: unexpected "
                                                          "indent; Python cannot read the file."),
    "a module that is not there": (
        [(NUMPY, "import numpy_ as np\n")],
        "forward(params, x) at line 13 needs the module 'numpy_', which is not installed.",
    ),
    "raises on import": (
        [("def forward", "1 / 0\ndef f"), ("softmax(forward", "softmax(f"), ("def loss", "def g"), ("def gradients", "def h")],
        "homework.py, on being imported, raised ZeroDivisionError at line 16: division by zero.",
    ),
    "exits on import": (
        [("def forward", "exit()\ndef f"), ("softmax(forward", "softmax(f"), ("def loss", "def g"), ("def gradients", "def h")],
        "homework.py, on being imported, called sys.exit() at line 16: it should return its result "
        "instead.",
    ),
    "no function": (
        [("def forward", "def f"), ("softmax(forward", "softmax(f"), ("def loss", "def g"), ("def gradients", "def h")],
        "homework.py defines nothing that can be checked: expected one or more of "
        "forward(params, x), loss(params, x, y), gradients(params, x, y), "
        "loss_and_gradients(params, x, y), update(params, grads, state), step(params, x, y, "
        "state), network(params).",
    ),
    "no network": ([("def architecture", "def net")], "homework.py does not say which network "
                                                      "it is: write ARCHITECTURE = "
                                                      '"softmax_mlp" into it (nncompare list '
                                                      "names the others), or def "
                                                      "architecture(nn): return "
                                                      "nn.Sequential(…), or pass "
                                                      "--architecture."),
    "no such network": (
        [("def architecture", 'ARCHITECTURE = "nothing"\ndef net')],
        "There is no architecture 'nothing': expected one of bn_mlp, softmax_mlp, mlp, cnn, "
        "simple_convnet, deep_convnet, vgg16, covertype_dnn, pass_fail_mlp, or "
        "FILE.py:FUNCTION.",
    ),
    "a network of its own classes": (
        [("    return nn.Sequential", "    class Net(nn.Module): pass\n    return nn.Sequential")],
        "architecture(nn) raised TypeError at line 9: architecture(nn) may only put together "
        "layers of nn, such as nn.Sequential(nn.Linear(20, 10)), and define no class of "
        "nn.Module.",
    ),
    "a layer that does not exist": ([("nn.ReLU", "nn.Relu")], "architecture(nn) raised "
                                                              "ForbiddenLayerError at line 9: "
                                                              "nn.Relu is none of the layers "
                                                              "of torch.nn that a network may "
                                                              "be made of here; did you mean "
                                                              "nn.ReLU?"),
    "layers that do not fit": ([("nn.Linear(9, 5)", "nn.Linear(8, 5)")], "PyTorch cannot run "
                                                                         "architecture(nn) of "
                                                                         "homework.py on a "
                                                                         "batch with the loss "
                                                                         "cross_entropy: "
                                                                         "RuntimeError: mat1 "
                                                                         "and mat2 shapes "
                                                                         "cannot be multiplied "
                                                                         "(2x9 and 8x5)."),
    "an unknown loss": ([('"cross_entropy"', '"hinge"')], "homework.py: LOSS should be "
                                                          "'cross_entropy' or 'mse' or 'bce' "
                                                          "or 'bce_with_logits', but is "
                                                          "'hinge'."),
    "a batch axis of 2": ([("LOSS =", "BATCH_AXIS = 2\nLOSS =")], "homework.py: BATCH_AXIS "
                                                                  "should be 0 or 1, but is 2."),
    "parameters that do not exist": (
        [("2.weight.T", "3.weight.T")],
        "homework.py: PARAMETERS['W2'] is '3.weight.T', but the network has only 0.weight, "
        "0.bias, 2.weight, 2.bias; did you mean '2.weight'?",
    ),
    "parameters that are missing": (
        [(', "b2": "2.bias"}', "}"), (' + params["b2"]', ""), (', "b2": dz.sum(axis=0)', "")],
        "homework.py: PARAMETERS has no entry for 2.bias: every parameter of the network needs "
        "a name of yours.",
    ),
    "parameters that are no dict": ([("PARAMETERS = {", "PARAMETERS = 1 or {")], "homework.py: "
                                                                                 "PARAMETERS "
                                                                                 "should be a "
                                                                                 "dict such as "
                                                                                 '{"W1": '
                                                                                 '"0.weight.T", '
                                                                                 '"b1": '
                                                                                 '"0.bias"}, '
                                                                                 "but is 1."),
    "a function that is none": ([(NUMPY, f"{NUMPY}update = 3\n")], "homework.py: update should "
                                                                   "be a function."),
}  # fmt: skip


# What needs a process: it ends one, meets its limits, reads its input, or closes its streams.
IN_SANDBOX = {
    "exits hard", "crashes", "aborts", "kills itself", "eats memory", "eats memory with NumPy",
    "asks the keyboard", "exits on import", "is interrupted",
}  # fmt: skip
# What only some systems can do or show.
POSIX = {"crashes", "aborts", "kills itself"}
LINUX = {"eats memory", "eats memory with NumPy"}


@pytest.mark.parametrize("name", [name for name in BAD if name not in IN_SANDBOX])
def test_one_clear_sentence(check, name) -> None:
    changes, sentence = BAD[name]
    assert_one_clear_sentence(check(*changes), sentence)


@pytest.mark.parametrize(
    "name",
    [
        # One that raises, too: its line and message have to come through the process.
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                (name in POSIX and os.name == "nt")
                or (name in LINUX and not sys.platform.startswith("linux")),
                reason="another system",
            ),
        )
        for name in ("raises", *sorted(IN_SANDBOX))
    ],
)
def test_one_clear_sentence_from_a_process(check_in_sandbox, name) -> None:
    changes, sentence = BAD[name]
    assert_one_clear_sentence(check_in_sandbox(*changes), sentence)


def assert_one_clear_sentence(outcome, sentence) -> None:
    assert (outcome.status, outcome.result.error) == (2, sentence)
    assert len(outcome.result.error) < 600


def test_out_of_time_keeps_what_was_answered_before(check_in_sandbox) -> None:
    began = time.monotonic()
    outcome = check_in_sandbox(*before_gradients("while True: pass"), timeout_s=1.5)
    assert outcome.result.error == (
        "gradients(params, x, y) had not returned when the time limit of 1.5 s was over; it was at "
        "line 30."
    )
    assert [c.quantity for c in outcome.result.checks] == ["logits", "loss"]
    assert all(c.passed for c in outcome.result.checks)
    assert time.monotonic() - began < 15


def test_out_of_time_on_import(check_in_sandbox) -> None:
    text = "import time\ntime.sleep(60)\n"
    outcome = check_in_sandbox(text=text, timeout_s=1.5)
    assert outcome.result.error == (
        "homework.py, on being imported, had not returned after 0.5 s of the time limit of 1.5 s; "
        "it was at line 2."
    )


def test_out_of_time_on_import_of_definitions(check_in_sandbox) -> None:
    text = "class A:\n    while True: pass\n"
    outcome = check_in_sandbox(text=text, timeout_s=1.5, definitions_only=True)
    assert outcome.result.error == (
        "homework.py, on being imported, had not returned when the time limit of 1.5 s was over; "
        "it was at line 2."
    )


@pytest.mark.skipif(os.name == "nt", reason="there is no ps")
def test_processes_that_it_started_end_with_it(check_in_sandbox) -> None:
    mark = f"import time; time.sleep(654.{int(time.time())})"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {mark!r}])"
    check_in_sandbox(*before_gradients(f"{code}; raise SystemExit"))
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert mark not in listed.stdout


@pytest.mark.skipif(os.name == "nt", reason="there are no sessions")
def test_a_process_that_detaches_does_not_hold_the_check(check_in_sandbox) -> None:
    code = (
        "import subprocess; "
        "subprocess.Popen(['sleep', '20'], start_new_session=True) if len(x) == 1 else None"
    )
    began = time.monotonic()
    assert check_in_sandbox(*before_gradients(code)).status == 0
    assert time.monotonic() - began < 15


def test_threads_do_not_keep_it_alive(check_in_sandbox) -> None:
    code = "import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()"
    began = time.monotonic()
    assert check_in_sandbox((NUMPY, f"{NUMPY}{code}\n")).status == 0
    assert time.monotonic() - began < 15


def test_gradients_that_add_up_from_call_to_call(check) -> None:
    outcome = check(
        (NUMPY, f"{NUMPY}sums = {{}}\n"),
        ('    return {"W1": x.T @ dh', '    sums["W1"] = sums.get("W1", 0) + x.T @ dh\n    return {"W1": sums["W1"]'),
    )  # fmt: skip
    assert outcome.status == 1
    assert outcome.result.first_divergence.name == "0.weight"
    assert any("gradients(params, x, y) gave another answer" in n for n in outcome.result.notes)


def test_random_answers(check) -> None:
    code = f"return ({IN_FORWARD[7:]}) * np.random.uniform(0.9, 1.1)"
    outcome = check((IN_FORWARD, code))
    assert outcome.status == 1
    assert any("another answer" in note for note in outcome.result.notes)


@pytest.mark.parametrize("value", ["np.nan", "np.inf"])
def test_values_that_are_not_finite_differ(check, value) -> None:
    outcome = check((IN_FORWARD, f"z = {IN_FORWARD[7:]}\n    z[0, 0] = {value}\n    return z"))
    first = outcome.result.first_divergence
    assert (outcome.status, first.quantity, first.worst) == (1, "logits", (0, 0))


def test_an_empty_network_of_constants(check) -> None:
    outcome = check((IN_FORWARD, "return np.zeros((len(x), 5))"))
    assert outcome.status == 1


def test_prints_are_kept_apart(check_in_sandbox, capfd) -> None:
    noisy = "print('out', flush=True); import sys; sys.stderr.write('err'); __import__('os').system('echo shell')"
    outcome = check_in_sandbox(*before_gradients(noisy))
    assert outcome.status == 0
    assert all(word in outcome.printed for word in ("out", "err", "shell"))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_megabytes_of_prints_are_not_kept(check_in_sandbox) -> None:
    outcome = check_in_sandbox(*before_gradients("print('x' * 5_000_000)"))
    assert outcome.status == 0
    assert outcome.printed_characters > 20_000_000
    assert len(outcome.printed) <= 20_000


def test_closing_the_streams_is_noticed(check_in_sandbox) -> None:
    outcome = check_in_sandbox(
        *before_gradients("__import__('os').closerange(0, 100)"), timeout_s=3.0
    )
    assert outcome.status == 2
    assert outcome.result.error.startswith("gradients(params, x, y)")


def test_warnings_of_numpy_come_with_their_line(check) -> None:
    outcome = check(*before_gradients("np.log(np.zeros(1))"))
    assert any(
        note == "gradients, line 30: divide by zero encountered in log"
        for note in outcome.result.notes
    )
    assert outcome.status == 0


def test_no_such_file(tmp_path) -> None:
    outcome = check_homework(tmp_path / "nothing.py")
    assert (outcome.status, "does not exist" in outcome.result.error) == (2, True)


def test_another_ending(tmp_path) -> None:
    (tmp_path / "homework.txt").touch()
    outcome = check_homework(tmp_path / "homework.txt")
    assert outcome.status == 2
    assert outcome.result.error.endswith(
        "should be a Python file or a notebook, NAME.py or NAME.ipynb."
    )


@pytest.mark.parametrize("content", [b"\x00", b"\xff\xfe", b"# coding: nonsense"])
def test_files_that_are_no_python(write, content) -> None:
    path = write()
    path.write_bytes(content)
    outcome = check_in_process(path)
    assert outcome.status == 2
    assert "homework.py" in outcome.result.error


def test_a_memory_limit_below_what_python_needs(check_in_sandbox) -> None:
    outcome = check_in_sandbox(memory_mb=1)
    assert outcome.status == 2
    assert "\n" not in outcome.result.error


def test_the_homework_folder_stays_as_it_was(check_in_sandbox, tmp_path) -> None:
    check_in_sandbox()
    assert [p.name for p in tmp_path.iterdir()] == ["homework.py"]


def test_arrays_are_float64_copies(check_in_sandbox) -> None:
    code = (
        "assert x.dtype == params['W1'].dtype == np.float64 and y.dtype.kind == 'i'; "
        "assert x.flags.writeable and x.flags.owndata and x.flags.c_contiguous"
    )
    assert check_in_sandbox(*before_gradients(code)).result.error is None


def test_a_wrong_value_in_one_batch_only_is_found(check) -> None:
    outcome = check((IN_FORWARD, f"return ({IN_FORWARD[7:]}) * (1 if len(x) < 20 else 1.001)"))
    assert outcome.status == 1
    assert np.isfinite(outcome.result.first_divergence.relative_error)


def test_a_process_that_cannot_be_started_leaves_nothing(write, monkeypatch) -> None:
    from compare.check.isolation import ControlGroup, Isolation
    from compare.check.sandbox import Sandbox

    removed, remove = [], ControlGroup.remove

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def counted(group: ControlGroup) -> None:
        removed.append(group)
        remove(group)

    monkeypatch.setattr(Isolation, "start", refuse)
    monkeypatch.setattr(ControlGroup, "remove", counted)
    sandbox = Sandbox(write(), 5.0)
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    with pytest.raises(BlockingIOError), sandbox:
        pass
    assert len(removed) == 1
    if before:
        assert set(os.listdir("/proc/self/fd")) <= before
