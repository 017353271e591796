"""Writes small synthetic runs: every number in it is chosen here, and no network is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from compare.records.run import (
    SCHEMA,
    DataRecord,
    Environment,
    Initial,
    KinkCount,
    Run,
    RunRecord,
    Tolerances,
    TrainingRecord,
    read_run,
)
from compare.records.tables import (
    TABLES,
    DriftRow,
    GradientRow,
    HistoryRow,
    ParityRow,
    TimingRow,
    table_text,
)
from compare.spec.experiment import Experiment
from reports.documents import markdown
from reports.sections import template_values

ARCHITECTURE = '''def tiny(nn, sizes=(4, 3, 2), negative_slope=0.01):
    """One hidden layer."""
    return nn.Sequential(
        nn.Linear(sizes[0], sizes[1]),
        nn.BatchNorm1d(sizes[1]),
        nn.LeakyReLU(negative_slope),
        nn.Linear(sizes[1], sizes[2]),
    )
'''
BATCHNORM = "class BatchNorm1d:\n    def __init__(self, n, eps=1e-5, momentum=0.1):\n        pass\n"
STEPS, PER_EPOCH, TEST_ROWS = 6, 3, 40
MODULES = {
    "0": "Linear(in_features=4, out_features=3, bias=True)",
    "1": "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)",
    "2": "LeakyReLU(negative_slope=0.01)",
    "3": "Linear(in_features=3, out_features=2, bias=True)",
}
TOLERANCES = Tolerances(
    k=8.0, floor_ulp=4.0, float64=1e-13, unit_roundoff={"float32": 2.0**-24, "float64": 2.0**-53}
)


def stage_sites() -> list[str]:
    """The sites of one stage-wise comparison, in the order of execution."""
    return [
        "forward/0/output",
        "forward/1/output",
        "buffer/1.running_mean",
        "forward/2/output",
        "forward/3/output",
        "forward/loss/output",
        "backward/loss/grad_input",
        "gradient/3.weight",
        "gradient/3.bias",
        "backward/3/grad_input",
        "backward/2/grad_input",
        "gradient/1.weight",
        "gradient/1.bias",
        "backward/1/grad_input",
        "gradient/0.weight",
        "gradient/0.bias",
        "backward/0/grad_input",
        "update/0.weight",
        "update/1.weight",
        "optimizer/0.weight/exp_avg",
    ]


def parity_rows(
    label: str, seed: int, failing: set[tuple[int, str]], bits: int = 0
) -> list[ParityRow]:
    """Two certified steps; ``failing`` names (step, site) of float32 comparisons that fail."""
    rows = [
        ParityRow(label, seed, 0, "float32", "initial/0.weight", float(bits), 0.0, 0.0, bits == 0)
    ]
    for step in (0, 1):
        for site in stage_sites():
            bad = (step, site) in failing
            error = 1e-3 if bad else 1e-7
            rows.append(ParityRow(label, seed, step, "float32", site, error, 1e-6, 8e-6, not bad))
            rows.append(ParityRow(label, seed, step, "float64", site, 1e-16, 0.0, 1e-13, True))
        rows.append(
            ParityRow(
                label, seed, step, "float64", "whole/forward/0/output", 1e-16, 0.0, 1e-10, True
            )
        )
    return rows


def history_rows(label: str, seed: int, loss: Callable[[int], float], steps: int) -> list[Any]:
    """Losses of both backends; PyTorch's differ by a rounding."""
    rows = []

    def add(
        backend: str, epoch: int, step: int, split: str, value: float, phase: str = "evaluation"
    ) -> None:
        value += 1e-7 if backend == "torch" else 0.0
        accuracy = 0.0 if math.isnan(value) else max(0.0, 1 - value / 3)
        for metric, number in (("loss", value), ("accuracy", accuracy)):
            rows.append(HistoryRow(backend, label, seed, epoch, step, phase, split, metric, number))

    for backend in ("numpy", "torch"):
        for split in ("train", "test"):
            add(backend, 0, 0, split, loss(0))
        for step in range(steps):
            epoch = step // PER_EPOCH + 1
            add(backend, epoch, step, "train", loss(step), "step")
            if step + 1 in (steps, epoch * PER_EPOCH):
                for split in ("train", "test"):
                    add(backend, epoch, step + 1, split, loss(step + 1))
    return rows


def an_experiment(labels: tuple[str, ...], seeds: tuple[int, ...], **changes: Any) -> dict:
    """The form of the synthetic experiment."""
    form: dict[str, Any] = {
        "title": "A tiny network",
        "summary": "tiny",
        "task": "Tell two *kinds* of rows apart.",
        "data": {"name": "made-up", "sample": "made-up-sample"},
        "model": {
            "architecture": "tiny",
            "arguments": {"sizes": [4, 3, 2], "negative_slope": 0.01},
        },
        "training": {"epochs": 2, "batch_size": 10, "seeds": list(seeds)},
        "optimizers": {label: {"lr": 0.1} for label in labels},
        "reported": [
            {
                "quantity": "test accuracy",
                "label": labels[0],
                "by": "an author",
                "value": 0.5,
            }
        ],
    }
    return {**form, **changes}


def build_run(
    path: Path,
    *,
    optimizers: tuple[str, ...] = ("SGD", "Adam"),
    seeds: tuple[int, ...] = (0,),
    vary: dict[str, Any] | None = None,
    experiment: dict[str, Any] | None = None,
    record: dict[str, Any] | None = None,
    sources: dict[str, str] | None = None,
    loss: Callable[[int], float] = lambda step: 2.0 / (step + 1),
    losses: Callable[[dict[str, str]], Callable[[int], float]] | None = None,
    gradients: bool = False,
    steps: int = STEPS,
    failing: set[tuple[int, str]] = frozenset(),  # type: ignore[assignment]
    compared: bool = True,
    initial: tuple[int, int, bool] = (23, 0, False),
    flips: int = 0,
    ratio: float | None = 2.0,
    drift: bool = True,
    pictures: bool = True,
    wrong: tuple[int, int] = (1, 2),
    finished: bool = True,
    weights: bool = True,
    modules: dict[str, str] = MODULES,
) -> Path:
    """Write a run directory; the arguments are what can be chosen of it."""
    (path / "weights").mkdir(parents=True)
    tables: dict[str, list[Any]] = {table: [] for table in TABLES}
    predictions: dict[str, np.ndarray] = {}
    random = np.random.default_rng(0)
    trainings = []
    targets = (np.arange(TEST_ROWS) % 2).astype(np.int32)
    changes = {"vary": vary, "reported": []} if vary else {}
    form = an_experiment(optimizers, seeds, **changes, **(experiment or {}))
    configurations = Experiment.model_validate(form).configurations
    for seed in seeds:
        for label, variant, _ in configurations:
            bits = initial[1] if not initial[2] else 0
            parity = parity_rows(label, seed, set(failing), bits) if compared else []
            tables["parity"] += parity
            own_loss = losses(variant) if losses else loss
            tables["history"] += history_rows(label, seed, own_loss, steps)
            if gradients:
                tables["gradients"] += [
                    GradientRow(backend, label, seed, step, name, 10.0 ** (-1 - k) / (step + 1))
                    for backend in ("numpy", "torch")
                    for step in range(steps)
                    for k, name in enumerate(("0.weight", "0.bias", "1.weight", "3.weight"))
                ]
            if drift:
                for step in (1, 2, 5):
                    for number, run in enumerate(("numpy", "torch", "rows reversed")):
                        distance = 1e-7 * step * (number + 1)
                        tables["drift"].append(DriftRow(label, seed, step, run, distance))
            if ratio is not None:
                for step in range(30):
                    noise = 1 + 0.01 * random.standard_normal()
                    row = TimingRow(label, seed, step, 1e-3 * noise, 1e-3 * ratio)
                    tables["timing"].append(row)
            if finished:
                for backend, mistakes in zip(("numpy", "torch"), wrong, strict=True):
                    predicted = targets.copy()
                    mistakes += label == "Adam"
                    predicted[:mistakes] = 1 - predicted[:mistakes]
                    predictions[f"{backend}/{label}/{seed}"] = predicted
                    if weights:
                        state = {
                            "0.weight": np.zeros((3, 4), np.float32),
                            "0.bias": np.zeros(3, np.float32),
                            "1.weight": np.ones(3, np.float32),
                            "1.bias": np.zeros(3, np.float32),
                            "1.running_mean": np.zeros(3, np.float32),
                            "3.weight": np.zeros((2, 3), np.float32),
                            "3.bias": np.zeros(2, np.float32),
                        }
                        file = f"weights/{backend}-{label}-seed{seed}.safetensors"
                        save_file(state, path / file)
            trainings.append(
                TrainingRecord(
                    label=label,
                    variant=variant,
                    seed=seed,
                    finished=finished,
                    steps=steps if finished else 0,
                    parameters=29,
                    parity_rows=len(parity),
                    initial=Initial(
                        values=initial[0], differing_bits=initial[1], copied=initial[2]
                    ),
                    kinks=[
                        KinkCount(step=s, places=30, flips=flips, largest=1e-9 * flips)
                        for s in ((0, 1) if compared else ())
                        if finished or s == 0
                    ],
                    modules=modules,
                    wall_s=1.0,
                )
            )
    whole = RunRecord(
        **{
            "schema": SCHEMA,
            "status": "complete"
            if finished and (record or {}).get("trainings") != []
            else "incomplete",
            "name": "tiny",
            "created": "2024-02-03T04:05:06+00:00",
            "command": "nncompare run tiny --out /somewhere/else",
            "commit": "0123abc",
            "sample": False,
            "max_steps": None,
            "experiment": Experiment.model_validate(form),
            "data": DataRecord(
                name="made-up",
                title="made-up rows",
                source="nowhere",
                licence="none needed",
                digests={"rows": "0" * 32},
                class_names=["even", "odd"],
                input_shape=[1, 2, 2],
                train_rows=30,
                validation_rows=0,
                test_rows=TEST_ROWS,
            ),
            "environment": Environment(
                processor="A processor",
                cores=2,
                memory_bytes=2**33,
                system="A system",
                python="CPython 3.11",
                numpy="2.0",
                numpy_blas="a BLAS",
                numpy_threads=1,
                torch="2.13",
                torch_blas="another BLAS",
                torch_threads=1,
                nncompare="0.1.0",
            ),
            "tolerances": TOLERANCES,
            "sources": sources
            if sources is not None
            else {
                "architectures.py, tiny": ARCHITECTURE,
                "numpy_nn/modules/batchnorm.py": BATCHNORM,
                "numpy_nn/optim/adam.py": "class Adam:\n    pass\n",
            },
            "trainings": trainings,
            **(record or {}),
        }
    )
    text = whole.model_dump_json(indent=2, by_alias=True)
    (path / "run.json").write_text(text, encoding="utf-8")
    for table, rows in tables.items():
        if table == "gradients" and not gradients:
            continue
        (path / f"{table}.csv").write_text(table_text(table, rows), encoding="utf-8")
    if finished:
        predictions["targets"] = targets
        shown = {
            "indices": np.arange(6, dtype=np.int32),
            "images": random.integers(0, 255, (6, 2, 2)).astype(np.uint8),
        }
        save_file(predictions, path / "predictions.safetensors")
        save_file(shown if pictures else {}, path / "pictures.safetensors")
    return path


def text_of(run: Run | Path) -> str:
    """The Markdown of a report without its figures, which are what takes time."""
    return markdown(template_values(run if isinstance(run, Run) else read_run(run), []), "reader")


TITLE = 'A <b>bold</b> $title$ with "quotes" | _and_ # more \\ [x](y)'


class Rendered(NamedTuple):
    """A run with its report."""

    run: Path
    files: list[Path]
    markdown: str
    html: str
