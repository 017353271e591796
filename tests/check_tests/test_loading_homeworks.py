"""Homeworks as students have them: notebooks, scripts that train, packages, Python 2."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest
from planted.in_process import check_in_process

from compare.check.checking import check_homework
from compare.check.grading import find_submissions
from compare.check.notebook import without_magics
from compare.check.reading import Options

NUMPY = "import numpy as np\n"
NOTE = "Only definitions (imports, functions, classes, constants) were executed"
IN_FORWARD = 'return hidden(params, x) @ params["W2"] + params["b2"]'


def notebook(*cells: str, **metadata) -> str:
    """A notebook of nbformat 4 with a cell of Markdown before these cells of code."""
    markdown = {"cell_type": "markdown", "metadata": {}, "source": ["# Homework\n", "2 of 3"]}
    code = [
        {"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": []}
        for cell in cells
    ]
    return json.dumps({"nbformat": 4, "metadata": metadata, "cells": [markdown, *code]})


def cells_of(text: str) -> list[str]:
    """A homework cut into cells: one for each paragraph of its text."""
    return text.strip().split("\n\n\n")


@pytest.fixture
def check_notebook(tmp_path):
    def run(*cells: str, text: str | None = None, **metadata):
        path = tmp_path / "homework.ipynb"
        path.write_text(notebook(*cells, **metadata) if text is None else text, encoding="utf-8")
        return check_in_process(path)

    return run


@pytest.fixture
def write_files(tmp_path):
    """Write several files: relative path → text."""

    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(textwrap.dedent(text), encoding="utf-8")
        return tmp_path

    return write


# Notebooks


def test_a_notebook_in_a_process(tmp_path, right) -> None:
    path = tmp_path / "homework.ipynb"
    path.write_text(notebook("%matplotlib inline\n!pip install numpy", *cells_of(right)))
    outcome = check_homework(path, Options(timeout_s=20))
    assert (outcome.result.error, outcome.result.notes, outcome.status) == (None, (), 0)
    assert len(outcome.result.checks) == 6


def test_the_older_format(check_notebook, right) -> None:
    cells = [
        {"cell_type": "code", "language": "python", "input": cell.splitlines(keepends=True)}
        for cell in cells_of(right)
    ]
    outcome = check_notebook(text=json.dumps({"nbformat": 3, "worksheets": [{"cells": cells}]}))
    assert (outcome.result.error, outcome.status) == (None, 0)


@pytest.mark.parametrize(
    ("cell", "kept"),
    [
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("%%time\nx = 1", "\nx = 1"),
        ("\n%%capture out\n%%time\nx = 1", "\n\n\nx = 1"),
        ("%%bash\nls", "\n"),
        ("%%html\n<b>x = 1</b>", "\n"),
        ("t = %timeit -o f()\nfiles = !ls\nx = 1", "pass\npass\nx = 1"),
        ("?np.dot\nnp.dot??\nx = 1", "pass\npass\nx = 1"),
        ("pip install numpy\ncd ../data\nls = [2]\ncd -= 1", "pass\npass\nls = [2]\ncd -= 1"),
        ("!pip install \\\n  numpy\nx = 1", "pass\n  pass\nx = 1"),
        ("if fast:\n    %load_ext cython\nx = 1", "if fast:\n    pass\nx = 1"),
        ('x = """\n%d\n!\n"""', None),
        ("x = (a\n  % b)", None),
        ("x = a \\\n  % b", None),
        ("x = 'it''s' # don't\ny = 2", None),
        ("x = d['a?']\nif a != b:\n    y = 'why?'", None),
    ],
)
def test_magics(cell, kept) -> None:
    assert "\n".join(without_magics(cell)) == (cell if kept is None else kept)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ((IN_FORWARD, f"[][1]\n    {IN_FORWARD}"),
         "forward(params, x) raised IndexError in cell 5, line 2: list index out of range."),
        (("    dz[np", "    dz = = dz[np"),
         "homework.ipynb, cell 8, line 4: invalid syntax; Python cannot read the file."),
        (("    dz[np", "    print 'dz'\n    dz[np"),
         "homework.ipynb is Python 2 code (cell 8, line 4: print without parentheses); translate "
         "it with 2to3 or by hand."),
        (("def softmax(z):", "def softmax(z)"),
         "homework.ipynb, cell 6, line 1: expected ':'; Python cannot read the file."),
        (("e = np.exp(z - z.max(", "e = np.exp((z - z.max("),
         "homework.ipynb, cell 6, line 2: '(' was never closed; Python cannot read the file."),
    ],
)  # fmt: skip
def test_a_line_is_named_by_its_cell(check_notebook, change, sentence, right) -> None:
    assert change[0] in right
    outcome = check_notebook("%%bash\nls", *cells_of(right.replace(*change)))
    assert outcome.result.error.startswith(sentence)


def test_a_warning_is_named_by_its_cell(check_notebook, right) -> None:
    change = (IN_FORWARD, f"np.log(np.zeros(1))\n    {IN_FORWARD}")
    outcome = check_notebook(*cells_of(right.replace(*change)))
    assert any(
        note == "forward, cell 4, line 2: divide by zero encountered in log"
        for note in outcome.result.notes
    )


def test_an_endless_loop_is_named_by_its_cell(tmp_path, right) -> None:
    change = (IN_FORWARD, f"while True: pass\n    {IN_FORWARD}")
    path = tmp_path / "homework.ipynb"
    path.write_text(notebook(*cells_of(right.replace(*change))))
    outcome = check_homework(path, Options(timeout_s=1.5))
    assert outcome.result.error == (
        "forward(params, x) had not returned when the time limit of 1.5 s was over; it was "
        "in cell 4, line 2."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{}", "homework.ipynb is no notebook: expected a JSON object with a list of cells, but "
               "found an empty object."),
        ("[1]", "homework.ipynb is no notebook: expected a JSON object with cells, but found a "
                "list."),
        ('{"cells": [\n<<<<<<< HEAD\n]}', "homework.ipynb is a damaged notebook: expected JSON, "
         "but found something else at line 2 of the file (Expecting value)."),
        ('{"cells": [{"cell_type": "code", "source": 3}]}', "homework.ipynb is a damaged "
         "notebook: expected text in cell 1, but found 3."),
        ('{"cells": [3]}', "homework.ipynb is a damaged notebook: expected every cell to be a "
                           "JSON object."),
        ('{"nbformat": 2, "worksheets": []}', "homework.ipynb has the notebook format 2; "
                                              "expected 3 or 4."),
        ('{"cells": []}', "homework.ipynb holds no Python code: expected cells of code."),
        (notebook("%%bash\nls", "!pip install x", " "), "homework.ipynb holds no Python code: "
                                                        "expected cells of code."),
        (notebook("x <- 1", kernelspec={"name": "ir", "language": "R"}),
         "homework.ipynb is a notebook in R; expected one in Python."),
        (notebook("x = 1", kernelspec={"name": "julia-1.9"}),
         "homework.ipynb is a notebook in Julia; expected one in Python."),
        (notebook("x = 1", language_info={"name": "julia"}),
         "homework.ipynb is a notebook in julia; expected one in Python."),
    ],
)  # fmt: skip
def test_a_notebook_that_cannot_be_read(check_notebook, text, sentence) -> None:
    outcome = check_notebook(text=text)
    assert (outcome.status, outcome.result.error) == (2, sentence)


def test_a_notebook_that_trains_is_checked_by_its_definitions(check_notebook, right) -> None:
    outcome = check_notebook(*cells_of(right), "data = np.load('mnist.npz')")
    assert outcome.status == 0
    assert f"{NOTE} because" in outcome.result.notes[0]
    assert outcome.result.notes[0] == (
        "Only definitions (imports, functions, classes, constants) were executed because "
        "the whole file cannot be imported: homework.ipynb, on being imported, raised "
        "FileNotFoundError in cell 8, line 1: [Errno 2] No such file or directory: "
        "'mnist.npz'."
    )


def test_the_report_lists_a_notebook_by_cells(nncompare, tmp_path, monkeypatch, right) -> None:
    texts = []

    def keep(text, *_) -> bytes:
        texts.append(text)
        return b""

    for name in ("html_document", "pdf_document"):
        monkeypatch.setattr(f"compare.commands.check_report.{name}", keep)
    path = tmp_path / "homework.ipynb"
    path.write_text(notebook(*cells_of(right)))
    assert nncompare("check", path, "--report", tmp_path / "out").status == 0
    assert "cell 4\n   1  def forward(params, x):\n" in texts[0]


def test_notebooks_in_folders(write_files) -> None:
    folder = write_files(
        dict.fromkeys(
            ("ada/hw1.ipynb", "ada/.ipynb_checkpoints/hw1-checkpoint.ipynb", "bob/homework.ipynb",
             "bob/utils.py", "cyd/a.ipynb", "cyd/b.py", "dan/x.py", "dan/x.ipynb", "eve.ipynb",
             "fay/notes.txt"),
            "",
        )
    )  # fmt: skip
    found = {s.name: s.file and s.file.name for s in find_submissions(folder)}
    assert found == {
        "ada": "hw1.ipynb", "bob": "homework.ipynb", "cyd": None, "dan": "x.py",
        "eve.ipynb": "eve.ipynb",
    }  # fmt: skip
    assert find_submissions(folder)[2].problem == (
        "the folder holds a.ipynb, b.py; expected --file NAME, or one file only."
    )
    assert {s.name: s.file and s.file.name for s in find_submissions(folder, "a.ipynb")}[
        "cyd"
    ] == "a.ipynb"


def test_the_grade_book_of_notebooks(nncompare, write_files, right) -> None:
    folder = write_files({"ada/hw.ipynb": notebook(*cells_of(right)), "bob/hw.ipynb": "{}"})
    ended = nncompare("check", folder, "--timeout", "20", "--jobs", "1")
    assert ended.status == 2
    assert ended.out.splitlines()[0] == "ada agrees with PyTorch in all 6 checks."
    assert ended.out.splitlines()[1] == (
        "bob could not be checked: hw.ipynb is no notebook: expected a JSON object with a "
        "list of cells, but found an empty object."
    )


# Definitions only


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("data = np.load('mnist.npz')", "raised FileNotFoundError at line 3"),
        ("1 / 0", "raised ZeroDivisionError at line 3: division by zero."),
        ("exit()", "called sys.exit() at line 3"),
        ("import quantum_torch", "needs the module 'quantum_torch', which cannot be imported at"),
        ("from testCases import *", "needs the module 'testCases', which cannot be imported at"),
        ("get_ipython().magic('matplotlib inline')", "raised NameError at line 3"),
        ("import os\nassert __name__ == '__main__', 'a script'", "raised AssertionError at line 4"),
    ],
)
def test_what_raises_on_import_is_checked_by_its_definitions(check, code, sentence) -> None:
    outcome = check((NUMPY, f"{NUMPY}{code}\n"))
    assert (outcome.result.error, outcome.status) == (None, 0)
    assert outcome.result.notes[0].startswith(f"{NOTE} because the whole file cannot be imported:")
    assert sentence in outcome.result.notes[0]


def test_what_trains_on_import_is_checked_by_its_definitions(check_in_sandbox) -> None:
    outcome = check_in_sandbox(("def softmax", "while True: pass\n\n\ndef softmax"), timeout_s=4.5)
    assert (outcome.result.error, outcome.status) == (None, 0)
    assert outcome.result.notes[0] == (
        f"{NOTE} because the whole file cannot be imported: homework.py, on being imported, had "
        "not returned after 1.5 s of the time limit of 4.5 s; it was at line 20."
    )


def test_what_ends_its_process_on_import_is_checked_by_its_definitions(check_in_sandbox) -> None:
    outcome = check_in_sandbox((NUMPY, f"{NUMPY}import os\nos._exit(3)\n"))
    assert (outcome.result.error, outcome.status) == (None, 0)
    assert outcome.result.notes[0] == (
        "Only definitions (imports, functions, classes, constants) were executed because "
        "the whole file cannot be imported: homework.py, on being imported, ended the "
        "process with exit status 3: it should return its result."
    )


def test_plots_are_not_shown(check_in_sandbox, monkeypatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    code = "import os\nassert os.environ['MPLBACKEND'] == 'Agg'"
    outcome = check_in_sandbox((NUMPY, f"{NUMPY}{code}\n"))
    assert (outcome.status, outcome.result.notes) == (0, ())


def test_what_was_printed_before_is_kept(check_in_sandbox) -> None:
    outcome = check_in_sandbox((NUMPY, f"{NUMPY}print('epoch 1', flush=True)\n1 / 0\n"))
    assert (outcome.status, outcome.printed.strip()) == (0, "epoch 1")


def test_the_first_error_is_reported_if_definitions_do_not_help(check) -> None:
    outcome = check(text="1 / 0\nfor forward in [1]:\n    pass\n")
    assert outcome.result.error == (
        "homework.py, on being imported, raised ZeroDivisionError at line 1: division by zero."
    )
    assert outcome.result.notes == ()


def test_definitions_on_demand(check, write, nncompare) -> None:
    loud = (NUMPY, f"{NUMPY}print('whole file')\n")
    assert nncompare("check", write(loud)).out.startswith("whole file")
    ended = nncompare("check", write(loud), "--definitions-only")
    assert ended.status == 0
    assert "whole file" not in ended.out
    assert f"Note: {NOTE}.\n" in ended.out
    assert check(loud, definitions_only=True).result.notes[0] == f"{NOTE}."


def test_definitions_on_demand_from_python(write) -> None:
    import nncompare

    path = write((NUMPY, f"{NUMPY}raise SystemExit\n"))
    outcome = nncompare.check(path, definitions_only=True)
    assert (outcome.status, outcome.result.notes[0]) == (0, f"{NOTE}.")
    nncompare.assert_parity(path, definitions_only=True)


# Statements before the homework, and what there is afterwards: an expression that holds.
KEPT = {
    "a literal": ("EPS = 1e-8", "EPS == 1e-8"),
    "arithmetic": ("a, b = 2, [3]\nc = a * b[0] ** -1", "c == 2 / 3"),
    "a lambda": ("relu = lambda z: np.maximum(z, 0)", "relu(-1) == 0"),
    "a function of NumPy": ("scale = np.sqrt(2.0 / 784)", "scale < 1"),
    "an array": ("I = np.eye(3)[:2].astype(float)", "I.shape == (2, 3)"),
    "a comprehension": ("sizes = [2 * i for i in range(3)]", "sizes == [0, 2, 4]"),
    "a string's method": ("names = 'W b'.split()", "names == ['W', 'b']"),
    "an object of its own": ("class A:\n    def __init__(self, n): self.n = n\na = [A(2), A(3)]", "a[1].n == 3"),
    "a generator": ("rng = np.random.default_rng(0)", "rng.normal()"),
    "a named tuple": ("from collections import namedtuple\nP = namedtuple('P', 'W b')", "P(1, 2).b == 2"),
    "an annotation": ("rate: float = 0.1", "rate"),
    "an addition": ("sizes = [1]\nsizes += [2]", "sizes == [1, 2]"),
    "an entry": ("config = {}\nconfig['rate'] = 0.1", "config['rate'] == 0.1"),
    "a method from outside": ("class A: pass\nA.two = lambda self: 2", "A().two() == 2"),
    "a condition": ("import sys\nif sys.version_info > (3,):\n    b = 1\n    print('x')\nelse:\n    b = 2", "b == 1"),
    "an import with a replacement": (
        "try:\n    import cupy_ as c\nexcept ImportError:\n    print('no cupy')\n    import math as c", "c.pi"
    ),
    "a try that does not help": ("try:\n    import math as m\n    import h5py_\nexcept ValueError: pass", "m.pi"),
    "a future": ("from __future__ import annotations\ndef f(a: Nothing): pass", "f"),
    "a decorator": ("import functools\n@functools.lru_cache\ndef f(): return 2", "f() == 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_definitions_are_executed(check, name) -> None:
    before, holds = KEPT[name]
    outcome = check(
        (f"\n{NUMPY}", f"{before}\n" if "__future__" in before else f"\n{NUMPY}{before}\n"),
        ("\nLOSS", f"\n{NUMPY if '__future__' in before else ''}raise ValueError('no data')\nLOSS"),
        (IN_FORWARD, f"assert {holds}\n    {IN_FORWARD}"),
    )
    assert (outcome.result.error, outcome.status) == (None, 0)
    assert outcome.result.notes[0].startswith(NOTE)


# Statements that are left out, and what is said where their name is used.
LEFT_OUT = {
    "a call": ("def load(): return 1\nW = load()", "'W', which was left out at line 4: only"),
    "a name that is not there": ("W = data + 1", "'W', which was left out at line 3, as it raised NameError: name 'data' is not defined: only"),
    "a loop": ("for W in range(3): pass", "'W', which was left out at line 3: only"),
    "a try": ("try:\n    W = open('w')\nexcept OSError:\n    print('no w')", "'W', which was left out at line 3: only"),
    "a main block": ("if __name__ == '__main__':\n    W = 1", "'W', which was left out at line 4: only"),
    "the file": ("with open('w.txt') as f:\n    W = f.read()", "'W', which was left out at line 3: only"),
    "a class of an absent module": ("import torch_ as t\nclass W(t.Module): pass", "'W', which was left out at line 4, as it needs the module 'torch_', which is not installed: only"),
    "a star": ("from dnn_utils_ import *", "'W', which is not defined; perhaps it comes from the module 'dnn_utils_', which is not installed."),
    "a name of an absent module": ("from helpers_ import W", "'W' of the module 'helpers_', which is not installed."),
    "a name that a module lacks": ("from math import W", "'W' of the module 'math', which has no such name."),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_left_out_is_said_where_it_is_used(check, name) -> None:
    before, sentence = LEFT_OUT[name]
    outcome = check(
        (NUMPY, f"{NUMPY}{before}\n"), ("\nLOSS", "\nraise ValueError('no data')\nLOSS"),
        (IN_FORWARD, f"y = W + 1\n    {IN_FORWARD}"),
    )  # fmt: skip
    assert outcome.status == 2
    assert outcome.result.notes[0].startswith(NOTE)
    assert sentence in outcome.result.error
    line = 19 + before.count("\n")
    assert f"forward(params, x) at line {line} needs" in outcome.result.error


@pytest.mark.parametrize(
    ("use", "needs"),
    [
        ("pass", ""),
        ("h5py_.File", "the module 'h5py_'"),
        ("plt(1)", "the module 'matplotlib_.pyplot'"),
        ("plot.show()", "'plot' of the module 'plots_'"),
        ("x = x + plot", "'plot' of the module 'plots_'"),
        ("np.maximum(x, plot)", "'plot' of the module 'plots_'"),
    ],
)
def test_an_absent_module_matters_where_it_is_used(check, use, needs) -> None:
    absent = (
        "import h5py_, matplotlib_.pyplot as plt\nimport matplotlib_.pyplot\n"
        "from plots_ import plot as plot\n"
    )
    outcome = check((NUMPY, NUMPY + absent), (IN_FORWARD, f"{use}\n    {IN_FORWARD}"))
    assert outcome.result.error == (
        f"forward(params, x) at line 20 needs {needs}, which is not installed." if needs else None
    )
    assert outcome.result.notes[0].startswith(NOTE)


def test_the_contract_may_be_computed(check) -> None:
    outcome = check(
        ("PARAMETERS = {", "1 / 0\ndef names(**more):\n    return more\nPARAMETERS = names(**{"),
        ('"b2": "2.bias"}', '"b2": "2.bias"})'),
    )
    assert (outcome.result.error, outcome.status) == (None, 0)


def test_the_contract_may_be_filled_in_a_loop(check) -> None:
    loop = 'for i in (0, 2):\n    PARAMETERS[f"W{i // 2 + 1}"] = f"{i}.weight.T"\n'
    outcome = check(
        ('"W1": "0.weight.T", ', ""),
        ('"W2": "2.weight.T", "b2": "2.bias"}', f'}}\n{loop}PARAMETERS.update(b2="2.bias")\n1 / 0'),
    )
    assert (outcome.result.error, outcome.status) == (None, 0)


def test_a_file_beside_that_cannot_be_imported_gives_its_definitions(write_files, right) -> None:
    helper = "import h5py_\nimport numpy as np\ndef relu(z):\n    return np.maximum(z, 0)\n"
    text = right.replace(NUMPY, f"{NUMPY}from helper_of_b9 import relu\n")
    text = text.replace(
        'np.maximum(x @ params["W1"] + params["b1"], 0)', 'relu(x @ params["W1"] + params["b1"])'
    )
    folder = write_files({"hw.py": text, "helper_of_b9.py": helper})
    outcome = check_in_process(folder / "hw.py")
    assert (outcome.result.error, outcome.status) == (None, 0)


# Packages

LAYERS = "import numpy as np\ndef relu(z):\n    return np.maximum(z, 0)\n"


@pytest.fixture
def uses_relu(right) -> str:
    """The right homework, with a function relu from elsewhere."""
    return right.replace("np.maximum(x @", "relu(x @").replace('params["b1"], 0)', 'params["b1"])')


@pytest.mark.parametrize(
    ("files", "statement", "name"),
    [
        (["a1/__init__.py", "a1/layers.py"], "from .layers import *", "a1/net.py"),
        (["a2/layers.py"], "from .layers import *", "a2/net.py"),
        (["a3/layers.py", "a3/nets/__init__.py"], "from ..layers import relu", "a3/nets/net.py"),
        (["a4/__init__.py", "a4/common/layers.py", "a4/nets/__init__.py"],
         "from ..common.layers import relu", "a4/nets/net.py"),
        (["a5/__init__.py", "a5/layers.py"], "from a5.layers import relu", "a5/net.py"),
        (["a 6.b/layers.py"], "from .layers import relu", "a 6.b/net.py"),
        (["numpy/layers.py"], "from .layers import relu", "numpy/net.py"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("definitions_only", [False, True])
def test_relative_imports(write_files, files, statement, name, definitions_only, uses_relu) -> None:
    texts = {file: LAYERS if file.endswith("layers.py") else "" for file in files}
    # Modules stay loaded, and an absolute import would find those of the run before.
    top = f"a5_{definitions_only}"
    texts = {file.replace("a5/", f"{top}/"): text for file, text in texts.items()}
    statement, name = statement.replace("a5", top), name.replace("a5/", f"{top}/")
    folder = write_files({**texts, name: uses_relu.replace(NUMPY, f"{NUMPY}{statement}\n")})
    outcome = check_in_process(folder / name, Options(definitions_only=definitions_only))
    assert (outcome.result.error, outcome.status) == (None, 0)
    assert len(outcome.result.notes) == definitions_only


def test_a_package_in_a_process(write_files, uses_relu) -> None:
    files = {"net/__init__.py": "from .model import forward", "net/layers.py": LAYERS}
    text = uses_relu.replace(NUMPY, f"{NUMPY}from .layers import *\nprint('once', flush=True)\n")
    folder = write_files({**files, "net/model.py": text})
    outcome = check_homework(folder / "net" / "model.py", Options(timeout_s=20))
    assert (outcome.result.error, outcome.status, outcome.result.notes) == (None, 0, ())
    assert outcome.printed.strip() == "once"


def test_a_package_that_trains(write_files, uses_relu) -> None:
    files = {"net/__init__.py": "from .model import forward", "net/layers.py": LAYERS}
    text = uses_relu.replace(NUMPY, f"{NUMPY}from .layers import *\n") + "\nwhile True: pass\n"
    folder = write_files({**files, "net/model.py": text})
    outcome = check_homework(folder / "net" / "model.py", Options(timeout_s=4.5))
    assert (outcome.result.error, outcome.status) == (None, 0)
    assert outcome.result.notes[0].startswith(NOTE)


# Python 2


@pytest.mark.parametrize(
    ("statement", "sign"),
    [
        ("print 'loss', x", "print without parentheses"),
        ("try: pass\n    except ValueError, e: pass", "except X, e instead of except X as e"),
        ("raise ValueError, 'no'", "raise X, message instead of raise X(message)"),
        ("y = x if x <> 1 else `x`", "<> instead of !="),
    ],
)
def test_python_2_is_called_that(check, statement, sign) -> None:
    outcome = check((IN_FORWARD, f"{statement}\n    {IN_FORWARD}"))
    line = 17 + statement.count("\n")
    assert outcome.result.error == (
        f"homework.py is Python 2 code (line {line}: {sign}); translate it with 2to3 or by hand."
    )
    assert outcome.status == 2


def test_a_forgotten_parenthesis_in_python_3_is_not_python_2(check) -> None:
    outcome = check((IN_FORWARD, f"print f'{{x}}'\n    {IN_FORWARD}"))
    assert outcome.result.error == (
        "homework.py, line 17: Missing parentheses in call to 'print'. Did you mean "
        "print(...)?; Python cannot read the file."
    )


def test_python_2_in_a_file_beside(write_files, right) -> None:
    text = right.replace(NUMPY, f"{NUMPY}import old_of_b9\n")
    folder = write_files({"hw.py": f"{text}\nold_of_b9.f()\n", "old_of_b9.py": "print 'x'\n"})
    outcome = check_in_process(folder / "hw.py")
    assert outcome.result.notes[0] == (
        "Only definitions (imports, functions, classes, constants) were executed because "
        "the whole file cannot be imported: old_of_b9.py is Python 2 code (line 1: print "
        "without parentheses); translate it with 2to3 or by hand."
    )
