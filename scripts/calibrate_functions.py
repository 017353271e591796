"""Compare right implementations of functions, and see how near to the bound they come.

    python scripts/calibrate_functions.py                # 20 seeds, some minutes
    python scripts/calibrate_functions.py --seeds 2

Every layer and loss of numpy_nn is the candidate, PyTorch's the reference, in four formats. NumPy
has no bfloat16, and sums in float16 lose digits that PyTorch's kernels keep: in these two formats
the candidate computes in float32 and rounds its result, as such kernels do. Printed is how many
times as far from the float64 referee candidates are as the reference may be expected to be;
compare/parity/tolerances.py allows FUNCTION_K.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import torch  # noqa: E402
from layer_cases import LAYERS, LOSSES, Case, Pair, one_of_each  # noqa: E402

from compare.parity.callables import FLOATS, rounded  # noqa: E402
from compare.parity.functions import FunctionsRecord, compare_functions  # noqa: E402

RANDOM = ("Dropout",)


class Rounding:
    """A module of numpy_nn that computes in float32 and rounds what it returns to a format."""

    def __init__(self, module: Any, precision: str) -> None:
        self.module, self.precision = module, precision
        self.__name__ = type(module).__name__

    def forward(self, *arguments: Any) -> Any:
        """The rounded output."""
        wide = (a.astype(np.float32) if a.dtype.kind == "f" else a for a in arguments)
        return self._rounded(self.module(*wide))

    def backward(self, dy: Any) -> Any:
        """The rounded gradient by the input."""
        return self._rounded(self.module.backward(dy.astype(np.float32)))

    def _rounded(self, array: Any) -> np.ndarray:
        return rounded(np.asarray(array, np.float64), self.precision).astype(np.float32)


def record_of(case: Case, precision: str, seed: int) -> FunctionsRecord:
    """Compare numpy_nn's module with PyTorch's in one format."""
    wide = precision if precision in ("float32", "float64") else "float32"
    pair = Pair(case, wide, seed)
    targets = [] if pair.target is None else [pair.target]
    if precision == wide:
        return compare_functions(pair.module, pair.reference, [pair.input, *targets], seed=seed)
    # The parameters have to be numbers of the narrow format, too.
    state = {name: np.array(a) for name, a in pair.module.state_dict().items()}
    for name, array in state.items():
        if array.dtype.kind == "f":
            state[name] = rounded(array, precision).astype(np.float32)
    pair.module.load_state_dict(state)
    dtype = getattr(torch, precision)
    reference = pair.reference.to(dtype)
    reference.load_state_dict({name: torch.from_numpy(a) for name, a in state.items()})
    given = [torch.from_numpy(a.copy()) for a in (pair.input, *targets)]
    given = [a.to(dtype) if a.is_floating_point() else a for a in given]
    return compare_functions(Rounding(pair.module, precision), reference, given, seed=seed)


def main() -> int:
    """Print the distribution of the ratios; the exit status is 1 if one is above the bound."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--formats", nargs="*", default=FLOATS, choices=FLOATS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = [case for case in one_of_each([*LAYERS, *LOSSES]) if case.name not in RANDOM]
    print(f"{len(cases)} modules, {options.seeds} seeds each\n")
    print("format    comparisons  failed  median   99.9%  largest")
    wrong = 0
    for precision in options.formats:
        times: list[float] = []
        failed = 0
        for case in cases:
            for seed in range(options.seeds):
                try:
                    record = record_of(case, precision, seed)
                except ValueError as error:  # PyTorch has no such kernel
                    if seed == 0:
                        print(f"  {case}, {precision}: {error}", file=sys.stderr)
                    continue
                times += [check.times for check in record.checks]
                failed += sum(not check.passed for check in record.checks)
                if not record.passed:
                    print(f"{case}, {precision}, seed {seed}\n{record.text()}\n", file=sys.stderr)
        middle, high = np.quantile(times, [0.5, 0.999])
        print(
            f"{precision:9} {len(times):11,} {failed:7} {middle:7.2f} {high:7.2f} "
            f"{max(times):8.2f}",
            flush=True,
        )
        wrong += failed
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
