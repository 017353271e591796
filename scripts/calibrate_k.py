"""Measure how far an honest NumPy backend is from the float64 referee, in units of PyTorch's error.

For each network, optimizer and seed a training on the sample data is certified, and for every
float32 comparison the ratio numpy_error / max(torch_error, floor) is taken. K in
``compare/parity/tolerances.py`` must stand above all of them; the table that this prints is what is
written down there. ``--experiment`` chooses one of the networks; the convolutional one takes most
of the time. With ``--architectures`` every architecture is certified instead, for some
steps on random inputs, in float32 and in float64; ``--architecture``, ``--optimizer`` and
``--dtype`` choose some of these rows (certifying a step of vgg16 takes half a minute).

    python scripts/calibrate_k.py --seeds 20 --steps 600
    python scripts/calibrate_k.py --seeds 20 --steps 600 --experiment mnist_cnn
    python scripts/calibrate_k.py --seeds 20 --steps 2 --architectures
    python scripts/calibrate_k.py --seeds 1 --first-seed 7 --steps 1 --architecture vgg16
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterable

import numpy as np

from compare.backends.environment import default_threads, set_threads
from compare.backends.synthetic import loss_of
from compare.commands.parity import SETTINGS, parity_rows
from compare.parity import tolerances
from compare.records.run import FailureRecord, TrainingRecord
from compare.records.tables import ParityRow, TrainingLog
from compare.spec.architecture import architecture_names, find_architecture
from compare.spec.loading import load_experiment
from compare.spec.model import ModelSpec, model_spec
from compare.training.data import laid_out, load_splits
from compare.training.lockstep import LockStep

DTYPES = ("float32", "float64")
EXPERIMENTS = {
    "mnist_bn_mlp": ("SGD", "Adam"),
    "mnist_softmax": ("SGD", "Adam"),
    "mnist_cnn": ("Momentum", "Adam"),
}


class Silent:
    """An observer that prints nothing."""

    def expect(self, made: int, trainings: int) -> None: ...
    def begin(self, optimizer: str, seed: int, steps: int) -> None: ...
    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None: ...
    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None: ...
    def end(self, training: TrainingRecord) -> None: ...
    def failed(self, failure: FailureRecord) -> None: ...


def certified(name: str, optimizer: str, seed: int, steps: int) -> list[ParityRow]:
    """The comparisons of one training."""
    adam = 'optimizers.Adam={algorithm="Adam", lr=1e-3}'
    changes = [adam] if name == "mnist_softmax" else []
    _, experiment = load_experiment(name, [*changes, "parity.replicas=0", "parity.every=10"])
    splits, _, _ = load_splits(experiment.data, sample=True, data_dir=None)
    configuration = next(c for c in experiment.configurations if c.label == optimizer)
    built = model_spec(configuration.experiment, configuration.optimizer)
    splits, log = laid_out(splits, experiment.data.layout), TrainingLog(optimizer, seed)
    for _ in LockStep(configuration, built, seed, splits, log, Silent(), steps).train():
        pass
    rows: list[ParityRow] = log.rows["parity"]
    return rows


def digits(seeds: range, steps: int, names: Iterable[str]) -> None:
    """Trainings of these experiments on the sample."""
    for name in names:
        for optimizer in EXPERIMENTS[name]:
            rows = [row for s in seeds for row in certified(name, optimizer, s, steps)]
            show(f"{name.removeprefix('mnist_')}, {optimizer}", len(seeds), rows)


def everything(
    seeds: range, steps: int, names: list[str], optimizers: list[str], dtypes: list[str]
) -> None:
    """A few steps of each architecture, on random inputs."""
    for name in names:
        function = find_architecture(name)
        for optimizer in optimizers:
            settings = SETTINGS[optimizer]
            built = ModelSpec(
                function, loss=loss_of(function), algorithm=optimizer, settings=settings
            )
            for dtype in dtypes:
                rows = []
                for seed in seeds:
                    rows += parity_rows(built, optimizer, dtype, seed, steps, batch_size=8)[1]
                    gc.collect()  # the backends of vgg16 take 5 GB, and refer to themselves
                show(f"{name}, {optimizer}, {dtype}", len(seeds), rows)


def show(title: str, seeds: int, rows: list[ParityRow]) -> None:
    """One line of the table."""
    floor = tolerances.FLOOR_ULP * tolerances.UNIT_ROUNDOFF["float32"]
    failed = sum(not row.passed for row in rows)
    rows = [row for row in rows if not row.site.startswith("initial/")]
    single = [row for row in rows if row.dtype == "float32"]
    line = f"{title:<32}{seeds:>6}{len(rows):>12,}{failed:>8}"
    if single:
        ratios = np.array([row.numpy_error / max(row.torch_error, floor) for row in single])
        worst = single[int(ratios.argmax())]
        line += f"{np.median(ratios):>8.2f}{np.quantile(ratios, 0.999):>7.2f}{ratios.max():>9.2f}"
        line += f"  {worst.site}"
    double = [row for row in rows if row.dtype == "float64"]
    line += f"; float64: {max(row.numpy_error for row in double):.1e}"
    print(line, flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--experiment", choices=EXPERIMENTS, help="this one alone")
    parser.add_argument("--architectures", action="store_true", help="every one")
    parser.add_argument("--architecture", choices=architecture_names(), help="this one alone")
    parser.add_argument("--optimizer", choices=[*SETTINGS])
    parser.add_argument("--dtype", choices=DTYPES)
    options = parser.parse_args()
    names = [options.architecture] if options.architecture else architecture_names()
    if not (options.architectures or options.architecture) and (options.optimizer or options.dtype):
        parser.error("--optimizer and --dtype choose rows of --architectures")
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    set_threads(default_threads())
    print(f"{'net':<32}{'seeds':>6}{'comparisons':>12}{'failed':>8}{'median':>8}{'99.9%':>7}"
          f"{'largest':>9}  where")  # fmt: skip
    if options.architectures or options.architecture:
        optimizers = [options.optimizer] if options.optimizer else [*SETTINGS]
        dtypes = [options.dtype] if options.dtype else [*DTYPES]
        everything(seeds, options.steps, names, optimizers, dtypes)
    else:
        digits(seeds, options.steps, [options.experiment] if options.experiment else EXPERIMENTS)


if __name__ == "__main__":
    main()
