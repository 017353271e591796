"""Measure how far an honest NumPy side is from the float64 referee, in units of PyTorch's error.

For each network, optimizer and seed a training on the sample data is certified, and for every
float32 comparison the ratio numpy_error / max(torch_error, floor) is taken. K in
``compare/tolerances.py`` must stand above all of them; the table that this prints is what is
written down there.

    python scripts/calibrate_k.py --seeds 20 --steps 200
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from compare import tolerances
from compare.blueprint import blueprint
from compare.data import load_splits
from compare.environment import default_threads, set_threads
from compare.loading import load_experiment
from compare.lockstep import LockStep
from compare.records import ParityRow
from compare.run_directory import RunDirectory


class Nobody:
    """An observer that looks away."""

    def begin(self, *_: object) -> None: ...
    def step(self, *_: object) -> None: ...
    def epoch(self, *_: object) -> None: ...
    def end(self, *_: object) -> None: ...


def certified(name: str, optimizer: str, seed: int, steps: int) -> list[ParityRow]:
    """The comparisons of one training."""
    adam = 'optimizers.Adam={algorithm="Adam", lr=1e-3}'
    changes = [] if name == "mnist_bn_mlp" else [adam]
    _, experiment = load_experiment(name, [*changes, "parity.replicas=0", "parity.every=10"])
    splits, _, _ = load_splits(experiment.data, sample=True, data_dir=None)
    with TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder))
        plan = blueprint(experiment, optimizer)
        for _ in LockStep(
            experiment, plan, optimizer, seed, splits, directory, Nobody(), steps
        ).train():
            pass
        return directory.rows["parity"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    arguments = parser.parse_args()
    set_threads(default_threads())
    floor = tolerances.FLOOR_ULP * tolerances.UNIT_ROUNDOFF["float32"]
    print(f"{'net':<14}{'optimizer':<10}{'seeds':>6}{'compared':>10}{'median':>9}"
          f"{'99.9%':>8}{'largest':>9}  site of the largest; float64 stage, whole")  # fmt: skip
    for name in ("mnist_bn_mlp", "mnist_softmax"):
        for optimizer in ("SGD", "Adam"):
            rows = [
                row
                for seed in range(arguments.seeds)
                for row in certified(name, optimizer, seed, arguments.steps)
            ]
            single = [r for r in rows if r.dtype == "float32" and not r.site.startswith("init")]
            ratios = np.array([r.numpy_error / max(r.torch_error, floor) for r in single])
            worst = single[int(ratios.argmax())]
            double = [r for r in rows if r.dtype == "float64"]
            stage = max(r.numpy_error for r in double if not r.site.startswith("whole/"))
            whole = max(r.numpy_error for r in double if r.site.startswith("whole/"))
            print(
                f"{name.removeprefix('mnist_'):<14}{optimizer:<10}{arguments.seeds:>6}"
                f"{len(single):>10}{np.median(ratios):>9.3f}{np.quantile(ratios, 0.999):>8.2f}"
                f"{ratios.max():>9.2f}  {worst.site} step {worst.step}; {stage:.1e}, {whole:.1e}",
                flush=True,
            )


if __name__ == "__main__":
    main()
