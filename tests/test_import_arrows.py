"""Who may import whom, read from every import statement, and checked again as packages load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

OWN = {"numpy_nn", "torch_nn", "experiments", "compare", "reports"}
BACKENDS = {"numpy_nn", "torch_nn", "torch"}

# The rooms of compare, from the top floor down: each may import those below it and none above.
ROOMS = (
    "cli",
    "commands",
    "console",
    "testing",
    "check",
    "trace",
    "bench",
    "demos",
    "export",
    "training",
    "mistakes",
    "parity",
    "backends",
    "analysis",
    "records",
    "spec",
    "languages",
)

# Rooms of which a report reads the records, and nothing else.
ALSO_READ_BY_REPORTS = ("bench", "demos")

# The rooms that need neither NumPy layers nor PyTorch: reports are made from them alone.
WITHOUT_BACKENDS = ("analysis", "records", "spec", "languages")

DYNAMIC = ("import_module", "__import__")


def imports(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """(line, module) of every import in a file, also inside functions; all names are absolute."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield node.lineno, base
            # `from package import module` imports the module, too.
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in DYNAMIC
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def violations(path: Path, allowed: set[str], root: Path = ROOT) -> list[str]:
    """Imports of top-level packages that are neither allowed nor of the standard library."""
    package = ".".join(path.relative_to(root).parent.parts)
    return [
        f"{path.relative_to(root)}:{line} imports {module}"
        for line, module in imports(path, package)
        if module.partition(".")[0] not in allowed | set(sys.stdlib_module_names)
    ]


def files(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found, folder
    return found


def all_violations(paths: list[Path], allowed: set[str]) -> list[str]:
    return [v for path in paths for v in violations(path, allowed)]


def test_numpy_nn_imports_numpy_alone():
    assert all_violations(files("numpy_nn"), {"numpy", "numpy_nn"}) == []


def test_torch_nn_imports_torch_alone():
    assert all_violations(files("torch_nn"), {"torch", "torch_nn"}) == []


def test_architectures_and_initialisation_import_nothing():
    """They are given a namespace; what they import would tie them to a side."""
    paths = [ROOT / "experiments" / name for name in ("architectures.py", "initialisation.py")]
    assert all_violations(paths, set()) == []


def test_experiments_import_no_side():
    # pooch brings requests, its urllib3 and platformdirs with it.
    allowed = {"experiments", "numpy", "scipy", "sklearn", "pooch", "requests", "urllib3"}
    allowed |= {"platformdirs"}
    assert all_violations(files("experiments"), allowed) == []


@pytest.mark.parametrize("room", WITHOUT_BACKENDS)
def test_rooms_that_import_no_backend(room):
    allowed = {"compare", "experiments", "numpy", "scipy", "pydantic", "safetensors"}
    assert all_violations(files(f"compare/{room}"), allowed) == []


def test_reports_import_records_and_no_backend():
    rooms = {f"compare.{room}" for room in (*WITHOUT_BACKENDS, *ALSO_READ_BY_REPORTS)}
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files("reports")
        for line, module in imports(path, ".".join(path.relative_to(ROOT).parent.parts))
        if module.partition(".")[0] in BACKENDS
        or (module.startswith("compare.") and ".".join(module.split(".")[:2]) not in rooms)
    ]
    assert found == []


def upward(path: Path, root: Path = ROOT) -> list[str]:
    """Imports of a file of compare that lead to a higher room."""
    package = ".".join(path.relative_to(root).parent.parts)
    own = path.relative_to(root).parts[1].removesuffix(".py")
    return [
        f"{path.relative_to(root)}:{line} imports {module}"
        for line, module in imports(path, package)
        if module.startswith("compare.")
        and (room := module.split(".")[1]) in ROOMS
        and ROOMS.index(room) < ROOMS.index(own)
    ]


def test_every_file_of_compare_is_in_a_room():
    loose = {path.name for path in (ROOT / "compare").glob("*.py")}
    assert loose == {"__init__.py", "__main__.py", "cli.py", "testing.py"}
    rooms = {path.name for path in (ROOT / "compare").iterdir() if (path / "__init__.py").exists()}
    assert rooms == set(ROOMS) - {"cli", "testing"}


def test_rooms_of_compare_import_downwards():
    paths = [p for p in files("compare") if p.parent != ROOT / "compare" or p.stem in ROOMS]
    assert [found for path in paths for found in upward(path)] == []


def test_the_check_of_rooms_can_fail(tmp_path):
    path = tmp_path / "compare" / "records" / "run.py"
    path.parent.mkdir(parents=True)
    path.write_text("from ..training import lockstep\nfrom compare.spec import vary\n")
    assert upward(path, tmp_path) == [
        "compare/records/run.py:1 imports compare.training",
        "compare/records/run.py:1 imports compare.training.lockstep",
    ]


def cycles(paths: list[Path], root: Path = ROOT) -> list[list[str]]:
    """Groups of files that import each other, in functions too."""
    names = {
        ".".join(p.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): p
        for p in paths
    }
    arrows = {
        name: {
            module
            for _, module in imports(path, ".".join(path.relative_to(root).parent.parts))
            if module in names and module != name and path.name != "__init__.py"
        }
        for name, path in names.items()
    }
    found = []
    for name in names:
        reached, waiting = set(), [name]
        while waiting:
            for module in arrows[waiting.pop()] - reached:
                reached.add(module)
                waiting.append(module)
        if name in reached:
            found.append(sorted(m for m in reached))
    return found


@pytest.mark.parametrize("folder", sorted(OWN))
def test_no_files_import_each_other(folder):
    assert cycles(files(folder)) == []


def test_the_check_of_cycles_can_fail(tmp_path):
    folder = tmp_path / "compare"
    folder.mkdir()
    (folder / "a.py").write_text("def late():\n    from compare import b\n")
    (folder / "b.py").write_text("import compare.a\n")
    paths = [folder / "a.py", folder / "b.py"]
    assert cycles(paths, tmp_path) == [["compare.a", "compare.b"]] * 2


def test_nobody_below_imports_from_above():
    """experiments → nobody; the sides → nobody; reports and compare → not each other's command."""
    for folder, above in (
        ("numpy_nn", OWN - {"numpy_nn"}),
        ("torch_nn", OWN - {"torch_nn"}),
        ("experiments", OWN - {"experiments"}),
    ):
        for path in files(folder):
            package = ".".join(path.relative_to(ROOT).parent.parts)
            assert not [m for _, m in imports(path, package) if m.partition(".")[0] in above], path


def test_only_the_commands_know_the_report():
    knowing = {
        path.relative_to(ROOT).as_posix()
        for path in files("compare")
        for _, module in imports(path, ".".join(path.relative_to(ROOT).parent.parts))
        if module.partition(".")[0] == "reports"
    }
    assert knowing
    assert {n for n in knowing if not n.startswith("compare/commands/")} <= {"compare/cli.py"}


@pytest.mark.parametrize(
    "planted",
    [
        "import torch",
        "import torch.nn as nn",
        "from torch import nn",
        "from torch_nn import Linear",
        "def late():\n    import torch",
        "try:\n    import torch\nexcept ImportError:\n    torch = None",
        "if False:\n    from torch.optim import Adam",
        "from importlib import import_module\nimport_module('torch')",
        "__import__('torch')",
    ],
)
def test_the_check_can_fail(tmp_path, planted):
    path = tmp_path / "numpy_nn" / "modules" / "linear.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"import numpy\nfrom . import module\nfrom ..init import zeros_\n{planted}\n")
    found = violations(path, {"numpy", "numpy_nn"}, tmp_path)
    assert found
    assert all(entry.startswith("numpy_nn/modules/linear.py:") for entry in found)
    assert all("torch" in entry for entry in found)


def test_relative_imports_are_resolved(tmp_path):
    path = tmp_path / "compare" / "backends" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text("from .. import records\nfrom . import torch_backend\n")
    assert {m for _, m in imports(path, "compare.backends")} == {
        "compare", "compare.records", "compare.backends", "compare.backends.torch_backend",
    }  # fmt: skip


BLOCKING = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name + " is blocked")

sys.meta_path.insert(0, Block())
"""


def load(blocked: set[str], program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKING.format(blocked=sorted(blocked)) + program],
        capture_output=True, text=True, check=False, timeout=120, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("blocked", "program"),
    [
        ({"torch", "torch_nn"}, "import numpy_nn"),
        ({"torch", "torch_nn", "scipy", "sklearn"}, "import numpy_nn.optim.lr_scheduler"),
        (
            BACKENDS,
            "import compare.records.run, compare.analysis.quantities, compare.spec.loading",
        ),
        (
            BACKENDS,
            "import compare.spec.experiment, compare.records.directory, compare.records.atomic",
        ),
        (BACKENDS, "import compare.demos.claims, compare.console.demos, reports.demos"),
        (BACKENDS, "import experiments.architectures, experiments.initialisation"),
        (BACKENDS | {"numpy"}, "import compare.cli, compare.__init__"),
        (BACKENDS, "import reports.report"),
        (BACKENDS, "import reports.bench"),
        (BACKENDS - {"numpy_nn"}, "import compare.commands.bench, compare.bench.cases"),
        ({"numpy_nn"}, "import torch_nn"),
    ],
)
def test_it_loads_without(blocked, program):
    """What is imported by what is imported counts, too."""
    if "lr_scheduler" in program and not (ROOT / "numpy_nn/optim/lr_scheduler.py").exists():
        program = "import numpy_nn.optim"
    ended = load(blocked, program)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("command", ["--help", "list", "bench --help", "check --help"])
def test_commands_that_need_no_torch_load_none(command):
    """PyTorch takes longer to load than these commands may take altogether."""
    program = f"import sys; sys.argv[1:] = {command.split()}; from compare.cli import main; main()"
    ended = load({"torch", "torch_nn"}, program)
    assert ended.returncode == 0, ended.stderr
    assert "bench" in ended.stdout or "softmax_mlp" in ended.stdout or "homework" in ended.stdout


def test_the_blocking_can_fail():
    ended = load({"torch"}, "import torch_nn")
    assert ended.returncode == 1
    assert "torch is blocked" in ended.stderr
