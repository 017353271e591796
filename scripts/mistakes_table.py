"""Plant every mistake of tests/planted, see what is said of it, and write docs/mistakes.md.

python scripts/mistakes_table.py && ruff format docs/mistakes.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "compare_tests")]

import test_mistakes_homework as homework  # noqa: E402
import test_mistakes_stage as stage  # noqa: E402
from planted.homeworks import MEANING, NAMED, UNNAMED  # noqa: E402
from planted.layers import PLANTED  # noqa: E402

from compare.mistakes.examples import EXAMPLES, example_lines  # noqa: E402
from compare.mistakes.search import diagnose_step  # noqa: E402


def main() -> None:
    """Write the table."""
    lines = [
        "# Mistakes that are named",
        "",
        "Made by `python scripts/mistakes_table.py`, which plants each of these mistakes in a",
        "right program and writes down what is said of it.",
        "",
        "A name is given only where the mistake, put into the right network, reproduces the values",
        "that were found, in every batch and to the last digits that rounding leaves, and changes",
        "nothing that agrees. Whatever else is wrong is found and placed as well, with what was",
        "measured and without a name.",
        "",
        "| code | the mistake |",
        "|---|---|",
        *(f"| `{code}` | {meaning} |" for code, meaning in MEANING.items()),
        "",
        "## Planted and found",
        "",
        "| planted in | mistake | first divergence | named |",
        "|---|---|---|---|",
    ]
    in_layers, in_homeworks = list(_layers()), list(_homeworks())
    rows = [*in_layers, *in_homeworks]
    lines += [
        f"| {where} | `{code}` | {place} | {named} |" for where, code, place, named, _ in rows
    ]
    right = sum(row[4] for row in rows)
    lines += [
        "",
        f"{right} of {len(rows)} are found, placed where they were planted and named by their own "
        f"code. Of the {len(MEANING)} codes, {len({row[1] for row in in_layers})} are planted in a "
        "copy of one of the package's own layers, losses or optimizers, and "
        f"{len({row[1] for row in in_homeworks})} in a homework.",
    ]
    lines += ["", "## Mistakes that are not in the list", ""]
    lines += ["| mistake | homework | first divergence | named |", "|---|---|---|---|"]
    others = list(_unnamed())
    lines += [f"| {name} | {base} | {place} | {named} |" for name, base, place, named in others]
    lines.append("")
    silent = sum(named == "–" for *_, named in others)
    lines.append(f"{silent} of {len(others)} get no name, as it should be.")
    lines += ["", "## By hand", "", "Each can be pasted into Python after `import numpy as np`."]
    for code in EXAMPLES:
        lines += [
            "",
            f"**`{code}`**: {MEANING[code]}",
            "",
            "```python",
            *example_lines(code),
            "```",
        ]
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "mistakes.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _layers() -> Iterator[tuple[str, str, str, str, bool]]:
    for planted, (place, site, code) in PLANTED.items():
        recorded, references, failures = stage.step_with(planted, place, steps=3)
        first = failures[0] if failures else None
        found = diagnose_step(recorded, references, first) if first else None
        named = found.code if found else "–"
        kind = planted.__mro__[1].__name__
        at = f"`{first.site}`" if first else "not found"
        right = first is not None and first.site == site and named == code
        yield f"{kind} of `numpy_nn`", code, at, f"`{named}`", right


def _homeworks() -> Iterator[tuple[str, str, str, str, bool]]:
    for code, (base, changes, place) in NAMED.items():
        first = _first(base, changes, code)
        named = first.diagnosis.code if first and first.diagnosis else "–"
        at = f"`{first.quantity}/{first.name}`" if first else "not found"
        right = first is not None and (first.quantity, first.name) == place and named == code
        yield f"homework `{base}.py`", code, at, f"`{named}`", right


def _unnamed() -> Iterator[tuple[str, str, str, str]]:
    for name, (base, changes, _) in UNNAMED.items():
        first = _first(base, changes, name)
        at = f"`{first.quantity}/{first.name}`" if first else "not found"
        named = f"`{first.diagnosis.code}`" if first and first.diagnosis else "–"
        yield name, f"`{base}.py`", at, named


def _first(base: str, changes: list[tuple[str, str]], code: str):
    with TemporaryDirectory() as folder:
        options = homework.options_for(base, code)
        found = homework.outcome(Path(folder), base, changes, options)
        return found.result.first_divergence


if __name__ == "__main__":
    main()
