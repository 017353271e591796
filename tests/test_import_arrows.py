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
SIDES = {"numpy_nn", "torch_nn", "torch"}

# The parts of compare that a report, or a check of records, needs: without either side.
WITHOUT_SIDES = [
    "compare/__init__.py",
    "compare/atomic.py",
    "compare/kinds/__init__.py",
    "compare/kinds/activation_histograms.py",
    "compare/kinds/answers.py",
    "compare/kinds/claim.py",
    "compare/kinds/layer_claims.py",
    "compare/kinds/layer_facts.py",
    "compare/kinds/optimizer_paths.py",
    "compare/kinds/path_facts.py",
    "compare/kinds/records.py",
    "compare/experiment.py",
    "compare/loading.py",
    "compare/records.py",
    "compare/bench/records.py",
    "compare/results.py",
    "compare/run_directory.py",
    "compare/verdict.py",
]


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
    # pooch brings requests and platformdirs with it.
    allowed = {"experiments", "numpy", "scipy", "sklearn", "pooch", "requests", "platformdirs"}
    assert all_violations(files("experiments"), allowed) == []


@pytest.mark.parametrize("name", WITHOUT_SIDES)
def test_parts_of_compare_that_import_no_side(name):
    allowed = {"compare", "experiments", "numpy", "scipy", "pydantic", "safetensors"}
    assert violations(ROOT / name, allowed) == []


def test_reports_import_records_and_no_side():
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in files("reports")
        for line, module in imports(path, ".".join(path.relative_to(ROOT).parent.parts))
        if module.partition(".")[0] in SIDES or module.startswith(("compare.sides", "compare.cli"))
    ]
    assert found == []


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
    path = tmp_path / "compare" / "sides" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text("from .. import records\nfrom . import torch_side\n")
    assert {m for _, m in imports(path, "compare.sides")} == {
        "compare", "compare.records", "compare.sides", "compare.sides.torch_side",
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
        (SIDES, "import compare.records, compare.results, compare.verdict, compare.loading"),
        (SIDES, "import compare.experiment, compare.run_directory, compare.atomic"),
        (
            SIDES,
            "import compare.kinds.records, compare.kinds.path_facts, compare.kinds.layer_facts",
        ),
        (SIDES, "import compare.kinds.layer_claims, reports.kinds"),
        (SIDES, "import experiments.architectures, experiments.initialisation"),
        (SIDES | {"numpy"}, "import compare.cli, compare.__init__"),
        (SIDES, "import reports.report"),
        (SIDES, "import reports.bench"),
        (SIDES - {"numpy_nn"}, "import compare.commands.bench, compare.bench.cases"),
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
