"""Test the checker by mutation: change its code in one place at a time, and see the tests fail.

    python -m pip install mutmut
    python scripts/mutants.py                                   # every file, an hour or two
    python scripts/mutants.py compare/parity/tolerances.py      # some of them
    python scripts/mutants.py --folder mutants                  # to go on there another time
    python scripts/mutants.py --sample 25 --seed 0              # so many mutants of each file

In a folder of before only what has not been killed yet is tried, with the tests as they are now.

It copies what git lists into a folder, lets mutmut (https://mutmut.readthedocs.io) work there with
the tests below, and prints how many mutants each file has and how each of those that survive
differs. What survives, and why that is harmless, stands in docs/mutation.md. It needs fork, so it
does not run on Windows.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp

ROOT = Path(__file__).resolve().parent.parent

COMPARE, CHECK = "tests/compare_tests/test_", "tests/check_tests/test_"
CERTIFICATE = [f"{COMPARE}{name}.py" for name in ("certificate", "certificate_layers")]
SEARCH = [
    f"{COMPARE}mistakes_stage.py",
    f"{COMPARE}mistakes_search.py",
    f"{CHECK}judge.py",
]
NETWORKS, MALFORMED = "tests/numpy_nn_tests/test_", "tests/malformed_tests/test_"
LAYERS = [
    f"{NETWORKS}{name}.py"
    for name in ("layers", "activations", "modules", "module", "layouts", "init", "surface")
]
OPTIMIZERS = [f"{NETWORKS}optimizers.py"]
CATALOGUE = [
    f"{COMPARE}{name}.py"
    for name in ("mistake_examples", "mistakes_search", "mistakes_stage", "mistakes_homework")
]
SIZES = ["module_sizes", "loss_sizes", "optimizer_sizes", "certificate_layers"]

# Which tests are to notice a change of which file.
FILES = {
    "compare/analysis/verdict.py": [f"{COMPARE}verdict.py"],
    "compare/parity/tolerances.py": [f"{COMPARE}tolerances.py"],
    "compare/check/invariants.py": [f"{CHECK}invariants.py"],
    "compare/parity/certificate.py": CERTIFICATE,
    "compare/parity/comparison.py": [*CERTIFICATE, f"{COMPARE}initial.py"],
    "compare/parity/stages.py": CERTIFICATE,
    "compare/check/judge.py": [f"{CHECK}judge.py"],
    "compare/mistakes/search.py": SEARCH,
    "compare/mistakes/penalty.py": SEARCH,
    "compare/parity/sizes.py": [f"{COMPARE}{name}.py" for name in SIZES],
    "compare/mistakes/layers.py": CATALOGUE,
    "compare/mistakes/losses.py": CATALOGUE,
    "compare/mistakes/optimizers.py": CATALOGUE,
    "compare/check/messages.py": [f"{CHECK}messages.py"],
    "compare/check/golden_parts.py": [f"{CHECK}broken_golden_files.py"],
    "compare/check/allowed_layers.py": [f"{CHECK}allowed_layers.py", f"{CHECK}architectures.py"],
    "numpy_nn/modules/activation.py": LAYERS,
    "numpy_nn/modules/batchnorm.py": LAYERS,
    "numpy_nn/modules/linear.py": LAYERS,
    "numpy_nn/modules/conv.py": [*LAYERS, f"{NETWORKS}image_layers.py"],
    "numpy_nn/modules/pooling.py": [*LAYERS, f"{NETWORKS}image_layers.py"],
    "numpy_nn/modules/normalization.py": LAYERS,
    "numpy_nn/modules/loss.py": [f"{NETWORKS}losses.py"],
    "numpy_nn/optim/adam.py": OPTIMIZERS,
    "numpy_nn/optim/sgd.py": OPTIMIZERS,
    "numpy_nn/optim/nadam.py": OPTIMIZERS,
    "numpy_nn/optim/optimizer.py": OPTIMIZERS,
}

FORM = """
[tool.mutmut]
source_paths = [{source}]
only_mutate = {files}
also_copy = {others}
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-x", "-q", "-p", "no:cacheprovider", "-n", "0"]
use_setproctitle = false
"""

# What mutmut does not copy of itself; of these the one with the mutants is left out.
COPIED = [
    "compare", "numpy_nn", "torch_nn", "experiments", "reports", "examples", "scripts", "docs",
    "nncompare.py", "README.md", "CONTRIBUTING.md",
]  # fmt: skip

# mutmut's exit codes of a worker, as its documentation names them.
STATUS = {0: "survived", 1: "killed", 3: "killed", 5: "no tests", 33: "no tests", None: "not run"}


def main() -> int:
    """Run mutmut for each of the files, then print the counts and the survivors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="*", default=list(FILES), choices=[*FILES, []])
    parser.add_argument("--folder", type=Path, help="where to work; a new one by default")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--sample", type=int, help="mutants of each file; all by default")
    parser.add_argument("--seed", type=int, default=0, help="chooses them")
    options = parser.parse_args()
    folder = options.folder or Path(mkdtemp(prefix="mutants-"))
    print(f"working in {folder}", flush=True)
    for name in options.files:
        place = folder / Path(name).stem
        _copy(place)
        _run(place, name, options)
        print(_counts(name, place), flush=True)
    print("| file | mutants | killed | out of time | survived | not run |")
    print("|---|---|---|---|---|---|")
    for name in options.files:
        print(_counts(name, folder / Path(name).stem))
    for name in options.files:
        _survivors(name, folder / Path(name).stem)
    return 0


def _copy(place: Path) -> None:
    """Copy what git lists, as it lies here, without what has been removed."""
    # Python does not look again into a folder on its path that was not there when it started.
    (place / "mutants").mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)


def _run(place: Path, name: str, options: argparse.Namespace) -> None:
    source = Path(name).parts[0]
    form = FORM.format(
        source=json.dumps(source),
        others=json.dumps([one for one in COPIED if one != source]),
        files=json.dumps([name]),
        tests=json.dumps(FILES[name]),
    )
    with (place / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write(form)
    # One thread each: the arrays are small, and threads of several processes wait for each other.
    path = os.pathsep.join(filter(None, [str(place / "mutants"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    alive = {m for m, s in _results(name, place).items() if s not in ("killed", "not run")}
    if options.sample is None:
        _mutmut(place, environment, name, options.jobs)
    else:
        subprocess.run(
            [sys.executable, "-c", "from mutmut.__main__ import copy_src_dir, create_mutants\n"
             "copy_src_dir()\ncreate_mutants(1)"],
            cwd=place, env=environment, check=True,
        )  # fmt: skip
        every = sorted(_results(name, place))
        chosen = random.Random(options.seed).sample(every, min(options.sample, len(every)))
        chosen = [one for one in chosen if _results(name, place)[one] == "not run"]
        if chosen:
            _mutmut(place, environment, name, options.jobs, *chosen)
    again = sorted(alive & _results(name, place).keys())
    if again:
        _mutmut(place, environment, name, options.jobs, *again)


def _mutmut(place: Path, environment: dict[str, str], name: str, jobs: int, *mutants: str) -> None:
    command = ["mutmut", "run", "--max-children", str(jobs), *mutants]
    ended = subprocess.run(command, cwd=place, env=environment, check=False)
    if ended.returncode:
        sys.exit(f"mutmut ended with status {ended.returncode} on {name}.")


def _results(name: str, place: Path) -> dict[str, str]:
    """Each mutant of a file with what became of it."""
    path = place / "mutants" / f"{name}.meta"
    if not path.exists():
        return {}
    codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return {key: STATUS.get(code, "out of time") for key, code in codes.items()}


def _counts(name: str, place: Path) -> str:
    found = Counter(_results(name, place).values())
    columns = [found[status] for status in ("killed", "out of time", "survived")]
    rest = found["no tests"] + found["not run"]
    cells = " | ".join(map(str, [found.total(), *columns, rest]))
    return f"| `{name}` | {cells} |"


def _survivors(name: str, place: Path) -> None:
    for mutant, status in _results(name, place).items():
        if status in ("survived", "no tests"):
            shown = subprocess.run(
                ["mutmut", "show", mutant], cwd=place, capture_output=True, text=True, check=False
            )
            lines = shown.stdout.splitlines()
            changed = [x for x in lines if x[:1] in "+-" and x[:3] not in ("+++", "---")]
            print(f"\n{mutant}: {status}", *changed, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
