"""Check right homeworks drawn at random; none may be called wrong.

    python scripts/right_homeworks.py               # 30 of each kind, some minutes
    python scripts/right_homeworks.py --each 3
    python scripts/right_homeworks.py --each 1 --questions 20

Ten families of networks × four losses × batches in rows or columns × functions or layer classes
(tests/planted/right.py). Every other one does not declare how its arrays are laid out. Prints a
table of how many were called wrong, and why.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from planted.in_process import check_in_process  # noqa: E402
from planted.right import FAMILIES, LOSSES, right_homework  # noqa: E402

from compare.check.reading import Options  # noqa: E402
from compare.check.result import as_text  # noqa: E402


def main() -> int:
    """Check them all; the exit status is 1 if one is called wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--each", type=int, default=30, help="how many of each kind")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--questions", type=int, default=0, metavar="SEEDS",
                        help="ask each so many times, with questions drawn anew")  # fmt: skip
    parser.add_argument("--families", nargs="*", default=FAMILIES, choices=FAMILIES)
    options = parser.parse_args()
    checked, wrong = Counter[str](), Counter[str]()
    seeds = range(options.first_seed, options.first_seed + options.each)
    with TemporaryDirectory() as folder:
        for family, loss, columns, functions, seed in product(
            options.families, LOSSES, (False, True), (False, True), seeds
        ):
            homework = right_homework(
                family,
                loss,
                columns=columns,
                functions=functions,
                seed=seed,
                declared=seed % 2 == 0,
            )
            file = Path(folder, f"{family}_{loss}_{columns:d}{functions:d}_{seed}.py")
            file.write_text(homework.text)
            kind = f"| {family} | {loss} |"
            for question in range(options.questions) if options.questions else (None,):
                outcome = check_in_process(file, Options(seed=question))
                checked[kind] += 1
                if outcome.status or outcome.result.invariants:
                    wrong[kind] += 1
                    asked = f"questions of seed {question}"
                    print(f"{homework.layers}, {asked}\n{as_text(outcome)}\n", file=sys.stderr)
    print("| family | loss | checked | called wrong |\n|---|---|---|---|")
    for kind, number in checked.items():
        print(f"{kind} {number} | {wrong[kind]} |")
    print(f"\n{wrong.total()} of {checked.total():,} are called wrong.")
    return 1 if wrong.total() else 0


if __name__ == "__main__":
    sys.exit(main())
