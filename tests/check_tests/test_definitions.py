"""Definitions of a homework that cannot be imported: what is executed, left out and replaced."""

from __future__ import annotations

import ast
import sys
import types

import numpy as np
import pytest

from compare.check.definitions import AbsentError, Definitions, Placeholder, RefusedImportError
from compare.check.source import read_source


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Execute the definitions of a text; the definitions, and the names that there are."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(code: str, always=(), name: str = "hw_defined") -> tuple[Definitions, dict]:
        file = tmp_path / f"{name}.py"
        file.write_text(code)
        definitions = Definitions(file, tmp_path, always)
        module = types.ModuleType(name)
        module.__file__ = str(file)
        monkeypatch.setitem(sys.modules, name, module)
        definitions.run(read_source(file), module)
        return definitions, {k: v for k, v in vars(module).items() if not k.startswith("__")}

    yield make
    for name in set(sys.modules) - before:
        source = getattr(sys.modules[name], "__file__", None)
        if source and str(source).startswith(str(tmp_path)):
            del sys.modules[name]


SETUP = "import numpy as np, math, random, os, pathlib, collections, functools, sys\n"


@pytest.mark.parametrize(
    ("statement", "expression"),
    [
        ("a = 1 + 2 * 3 ** 2 // 4 % 5 - ~6", "a == 12"),
        ("a = not True or 1 < 2 <= 3", "a"),
        ("a, *b = [1, 2, 3]", "(a, b) == (1, [2, 3])"),
        ("a = b = (1, 2)[0:1]", "a == b == (1,)"),
        ("a = {'k': {1, 2}}; a['m'] = 3", "a == {'k': {1, 2}, 'm': 3}"),
        ("a = f'{1 + 1}!'", "a == '2!'"),
        ("a = 1 if len('ab') else 2", "a == 1"),
        ("a = [x for x in range(3) if x]; b = {x: 1 for x in a}; c = {x for x in a}",
         "b[2] + len(c) == 3"),
        ("a = list(x + 1 for x in (1, 2))", "a == [2, 3]"),
        ("a = lambda x, y=2: x + y", "a(1) == 3"),
        ("a: int = 3", "a == 3"),
        ("a = 3\na += 4", "a == 7"),
        ("def f(): return 5\nclass C: n = 6\nasync def g(): pass", "f() + C.n == 11 and g"),
        ("class C:\n  def __init__(self, n): self.n = n\na = C(4)\na.m = 5", "a.n + a.m == 9"),
        *((f"a = {text}", "a is not None") for text in (
            "abs(-1)", "all([])", "any([])", "bool(1)", "complex(1)", "dict(a=1)", "enumerate([])",
            "float(1)", "frozenset()", "int(1)", "len([])", "list()", "max(1, 2)", "min(1, 2)",
            "object()", "range(2)", "reversed([])", "round(1.5)", "set()", "slice(1)", "sorted([])",
            "str(1)", "sum([])", "tuple()", "zip()", "property(abs)", "staticmethod(abs)",
            "classmethod(abs)", "np.arange(2)", "np.array([1])", "np.asarray(1)",
            "np.diag([1])", "np.dtype(float)", "np.empty(1)", "np.errstate(all='ignore')",
            "np.eye(2)", "np.finfo(float)", "np.full(2, 1)", "np.identity(2)", "np.iinfo(int)",
            "np.linspace(0, 1)", "np.logspace(0, 1)", "np.ones(1)", "np.prod([1])",
            "np.vectorize(abs)", "np.zeros(1)", "np.random.RandomState(0)",
            "np.random.default_rng(0)", "np.random.rand(1)", "np.random.randn(1)",
            "np.random.normal()", "np.random.uniform()", "random.Random(0)",
            "collections.namedtuple('P', 'x')", "collections.OrderedDict()",
            "collections.defaultdict(int)", "functools.partial(abs, 1)", "pathlib.Path('x')",
            "os.path.join('a', 'b')", "os.path.dirname('a')", "os.path.abspath('a')", "np.exp(1)",
            "np.float32(1)", "math.sqrt(4)", "'a b'.split()", "b'a'.decode()", "(1).bit_length()",
            "(0.5).hex()", "(1, 2).index(1)", "{'a': 1}.keys()", "np.ones(2).sum()",
        )),
        ("if 1 < 2:\n  a = 1\nelse:\n  b = 2", "a == 1"),
        ("for k in (1, 2): PARAMETERS[k] = k", "PARAMETERS == {0: 0, 1: 1, 2: 2}"),
        ("PARAMETERS.update({5: open})", "5 in PARAMETERS"),
        ("PARAMETERS = dict(x=print(''))", "PARAMETERS == {'x': None}"),
        ("sys.path.append(sys.path[0])", "True"),
    ],
)  # fmt: skip
def test_what_is_executed(run, statement, expression) -> None:
    code = f"{SETUP}PARAMETERS = {{0: 0}}\n{statement}\n"
    definitions, names = run(code, ("PARAMETERS",))
    assert eval(expression, names)
    assert [name for name in definitions.left_out if name != "b"] == []


@pytest.mark.parametrize(
    ("statement", "left_out"),
    [
        ("a = open('x')", ["a"]), ("a = print(1)", ["a"]), ("a = input()", ["a"]),
        ("a = np.load('x')", ["a"]), ("a = (lambda x=open('y'): x)", ["a"]),
        ("a = [open(x) for x in 'ab']", ["a"]), ("a = np.random.seed(0)", ["a"]),
        ("a, (b, *c) = open('x')", ["a", "b", "c"]), ("a[0] = open('x')", []),
        ("for i in range(2): a = i", ["i", "a"]), ("while True: a = 1", ["a"]),
        ("with open('x') as f: a = 1", ["f", "a"]), ("print('x')", []),
        ("if open('x'): a = 1\nelse: b = 2", ["a", "b"]),
        ("if print: a = 1\nelse: b = 2", ["b"]),
        ("for k in open('x'): PARAMETERS[k] = k", ["k"]),
        ("for k in (1,): other[k] = k", ["k"]),
        ("def f(): pass\nfor i in open('x'):\n  def f2(): g = 1", ["i", "f2"]),
        ("a = f(1)", ["a"]), ("import_module = __import__('os')", ["import_module"]),
        ("a = math.nothing", ["a"]),
        ("class C(Nothing): pass", ["C"]),
        ("os.getcwd()", []), ("a = os.getcwd()", ["a"]),
    ],
)  # fmt: skip
def test_what_is_left_out(run, statement, left_out) -> None:
    definitions, names = run(f"{SETUP}{statement}\n")
    assert list(definitions.left_out) == left_out
    assert not set(left_out) & set(names)


def test_why_a_name_is_left_out(run, tmp_path) -> None:
    (tmp_path / "beside_hw.py").write_text("1 / 0\nz = open('x')\ndef used(): return 7\n")
    definitions, names = run(
        "import h5py_\nfrom beside_hw import used, z\nfrom nowhere_ import *\n"
        "a = open('x')\nb = 1 / 0\nc = h5py_.File\nd = missing_name\n"
    )
    only = "only definitions were executed"
    reasons = {
        "a": f"which was left out at line 4: {only}",
        "b": "which was left out at line 5, as it raised ZeroDivisionError: division by zero: "
             f"{only}",
        "c": "which was left out at line 6, as it needs the module 'h5py_', which is not "
             f"installed: {only}",
        "d": "which was left out at line 7, as it raised NameError: name 'missing_name' is not "
             f"defined: {only}",
        "z": f"which was left out at line 2 of beside_hw.py: {only}",
        "other": "which is not defined; perhaps it comes from the module 'nowhere_', which is not "
                 "installed",
        "len": "",
    }  # fmt: skip
    assert {name: definitions.reason(name) for name in reasons} == reasons
    assert names["used"]() == 7
    assert run("a = 1")[0].reason("other") == ""


@pytest.mark.parametrize(
    ("statement", "name", "need"),
    [
        ("import h5py_", "h5py_", "needs the module 'h5py_', which is not installed"),
        ("import h5py_.more as h", "h", "needs the module 'h5py_.more', which is not installed"),
        ("import h5py_.more", "h5py_", "needs the module 'h5py_.more', which is not installed"),
        ("from h5py_ import File", "File",
         "needs 'File' of the module 'h5py_', which is not installed"),
        ("from h5py_ import File as F", "F",
         "needs 'File' of the module 'h5py_', which is not installed"),
        ("from math import nothing", "nothing",
         "needs 'nothing' of the module 'math', which has no such name"),
    ],
)  # fmt: skip
def test_what_takes_the_place_of_an_import(run, statement, name, need) -> None:
    _, names = run(f"{statement}\n")
    with pytest.raises(AbsentError) as error:
        names[name].anything  # noqa: B018
    assert str(error.value) == need
    with pytest.raises(AbsentError):
        names[name](3)
    with pytest.raises(AbsentError):
        np.ones(2) + names[name]


def replaced(cause: BaseException, module: str = "mod", code: str = "import mod") -> str:
    names: dict = {}
    definitions = Definitions(__file__, __file__)  # type: ignore[arg-type]
    (one,) = ast.parse(code).body
    definitions.replace(one, module, names, cause)  # type: ignore[arg-type]
    if not names:
        return " ".join(definitions._stars)
    return next(iter(names.values())).__dict__["_need"]


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        (RefusedImportError("no", name="mod"), "which a homework is to do without"),
        (ModuleNotFoundError("no", name="mod"), "which is not installed"),
        (ModuleNotFoundError("no", name="other"), "which cannot be imported without 'other'"),
        (ImportError("no", name="mod"), "which has no such name"),
        (ImportError("no", name="other"), "which cannot be imported (ImportError: no)"),
        (ValueError("a\n  b"), "which cannot be imported (ValueError: a b)"),
        (ValueError("a" * 300), f"which cannot be imported (ValueError: {'a' * 200})"),
        (ValueError(), "which cannot be imported (ValueError)"),
    ],
)
def test_why_an_import_failed(cause, why) -> None:
    assert replaced(cause) == f"needs the module 'mod', {why}"
    assert replaced(cause, code="from mod import *") == f"the module 'mod', {why}"


def test_a_part_of_a_module_that_is_there(run) -> None:
    _, names = run("import numpy.nothing_\n")
    assert names["numpy"] is np
    missing = ModuleNotFoundError("no", name="a.b")
    assert replaced(missing, "a.b.c", "import a.b.c as d") == (
        "needs the module 'a.b.c', which is not installed"
    )
    assert replaced(missing, "a.bc", "import a.bc as d") == (
        "needs the module 'a.bc', which cannot be imported without 'a.b'"
    )


@pytest.mark.parametrize(
    "use",
    [
        "p()",
        "p[0]",
        "p.__setitem__(0, 1)",
        "list(p)",
        "len(p)",
        "1 in p",
        "bool(p)",
        "float(p)",
        "int(p)",
        "p.x",
        "setattr(p, 'x', 1)",
        "p.__enter__()",
        "np.array(p)",
        "np.exp(p)",
        "-p",
        "+p",
        "abs(p)",
        "p + 1",
        "1 + p",
        "p - 1",
        "1 - p",
        "p * 1",
        "1 * p",
        "p / 1",
        "1 / p",
        "p // 1",
        "1 // p",
        "p % 1",
        "1 % p",
        "p ** 1",
        "1 ** p",
        "p @ 1",
        "1 @ p",
        "p < 1",
        "p <= 1",
        "p > 1",
        "p >= 1",
        "type('C', (p,), {})",
        "np.linalg.norm(p)",
    ],
)
def test_whatever_is_asked_of_a_placeholder_is_a_use(use) -> None:
    code = "types.new_class('C', (p,))" if use.startswith("type(") else use
    with pytest.raises(AbsentError, match=r"^needs it$"):
        eval(code, {"p": Placeholder("needs it"), "np": np, "types": types})


def test_a_placeholder_may_be_looked_at() -> None:
    assert not hasattr(Placeholder("x"), "__wrapped__")
    assert callable(Placeholder("x"))


def test_a_try_keeps_its_definitions(run) -> None:
    definitions, names = run(
        "try:\n    import h5py_ as h\n    print('x')\nexcept ImportError:\n    h = 1\n"
        "else:\n    k = 2\nfinally:\n    m = 3\n"
        "try:\n    a = 1\n    b = open('x')\nexcept KeyError as e:\n    c = 3\n"
        "try:\n    d = 5 / 0\n    f = 6\nexcept TypeError:\n    pass\n"
    )
    assert (names["h"], names["m"], names["a"], names["f"]) == (1, 3, 1, 6)
    assert "k" not in names
    assert list(definitions.left_out) == ["k", "b", "c", "d"]


def test_files_beside_are_found_by_the_parts_of_their_names(run, tmp_path) -> None:
    package = tmp_path / "nets_hw"
    package.mkdir()
    (package / "__init__.py").write_text("raise ValueError\nroot = 1\n")
    (package / "parts.py").write_text("raise ValueError\npart = 2\n")
    (tmp_path / "broken_hw.py").write_text("x = = 1\n")
    (tmp_path / "data_hw.txt").write_text("")
    definitions, names = run(
        "from nets_hw.parts import part\nimport nets_hw.parts as p\nfrom nets_hw import root\n"
        "import broken_hw\nimport nets_hw\n"
    )
    assert (names["part"], names["p"].part, names["root"]) == (2, 2, 1)
    assert names["nets_hw"].parts.part == 2
    assert isinstance(names["broken_hw"], Placeholder)
    assert "broken_hw" not in sys.modules
    assert not definitions.define_beside("nets_hw")  # it is there already
    assert not definitions.define_beside("json.nothing_")
    assert not definitions.define_beside("sndhdr_")


def test_classes_beside_the_homework_are_its_own(run, tmp_path) -> None:
    (tmp_path / "own_hw.py").write_text("class C:\n    pass\n")
    definitions, names = run(
        "from own_hw import C\nfrom decimal import Decimal\na = C()\nb = Decimal(1)\n"
    )
    assert definitions.is_own_class(names["C"])
    assert not definitions.is_own_class(names["Decimal"])
    assert not definitions.is_own_class(names["a"])
    assert not definitions.is_own_class(type(None))
    assert list(definitions.left_out) == ["b"]


def test_annotations_of_the_future(run) -> None:
    _, names = run("from __future__ import annotations\ndef f(a: Nothing_) -> Nowhere_: return 3\n")
    assert names["f"](1) == 3
    assert names["f"].__annotations__["a"] == "Nothing_"
