"""Plant every mistake of tests/planted, see what is said of it, and write docs/mistakes.md.

python scripts/mistakes_table.py
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
from planted.homeworks import NAMED, UNNAMED  # noqa: E402
from planted.layers import PLANTED  # noqa: E402

from compare.mistakes.stage import diagnose_step  # noqa: E402

MEANING = {
    "softmax-without-axis": "softmax takes its maximum or sum over the whole batch",
    "log-offset-mismatch": "a constant is added to p before the logarithm in one direction only",
    "sum-not-mean": "a gradient or loss is not divided by the batch size",
    "divided-twice": "it is divided by the batch size twice",
    "divided-by-classes": "the mean is taken over N·C elements",
    "half-mismatch": "squared error with ½ in one direction only",
    "double-softmax": "softmax is applied before a cross-entropy that applies it again",
    "sign-flip": "a gradient or an update has the wrong sign",
    "transposed": "a square weight is used, or its gradient returned, transposed",
    "missing-bias-gradient": "the bias gradient is zero or summed over the wrong axis",
    "biased-variance": "the running variance keeps the biased estimate, (N−1)/N of the right one",
    "momentum-reversed": "running statistics give the new value the weight of the old one",
    "eps-outside-sqrt": "ε stands outside the root of BatchNorm, or is another ε",
    "batchnorm-missing-terms": "BatchNorm's backward pass treats mean or variance as constants",
    "wrong-slope": "LeakyReLU's slope differs between directions or from the specification",
    "no-bias-correction": "Adam without m̂ or v̂",
    "adam-eps-placement": "Adam's ε inside the root or before the correction, or another ε",
    "adam-step-count": "Adam's t begins elsewhere, stands still, or counts parameters",
    "l2-missing-in-gradient": "an L2 penalty in the loss but not, or not equally, in the gradient",
    "decay-coupling": "decoupled weight decay for coupled or the reverse, or biases left out",
    "unscaled-dropout": "dropout masks without 1/(1−p)",
    "pool-overwrite": "= for += where pooling windows overlap",
    "pool-ties": "equal largest values share or duplicate the gradient, or the last gets it",
    "flipped-kernel": "a true convolution for a cross-correlation",
    "flatten-order": "channels last where channels first is specified",
}


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
    rows = [*_layers(), *_homeworks()]
    lines += [
        f"| {where} | `{code}` | {place} | {named} |" for where, code, place, named, _ in rows
    ]
    right = sum(row[4] for row in rows)
    codes = {row[1] for row in rows}
    lines += [
        "",
        f"{right} of {len(rows)} are found, placed where they were planted and named by their own "
        f"code; {len(codes)} of the {len(MEANING)} codes are planted at least once.",
    ]
    if missing := sorted(set(MEANING) - codes):
        lines.append(f"Not planted: {', '.join(f'`{code}`' for code in missing)}.")
    lines += ["", "## Mistakes that are not in the list", ""]
    lines += ["| mistake | homework | first divergence | named |", "|---|---|---|---|"]
    others = list(_unnamed())
    lines += [f"| {name} | {base} | {place} | {named} |" for name, base, place, named in others]
    lines.append("")
    silent = sum(named == "–" for *_, named in others)
    lines.append(f"{silent} of {len(others)} get no name, as it should be.")
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "mistakes.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _layers() -> Iterator[tuple[str, str, str, str, bool]]:
    for planted, (place, site, code) in PLANTED.items():
        recorded, judges, failures = stage.step_with(planted, place, steps=3)
        first = failures[0] if failures else None
        found = diagnose_step(recorded, judges, first) if first else None
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
