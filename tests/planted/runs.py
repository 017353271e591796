"""Runs whose figures are planted: nothing is trained, every value is chosen by a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from compare.parity.tolerances import recorded_tolerances
from compare.records.run import (
    SCHEMA,
    DataRecord,
    Environment,
    Initial,
    Run,
    RunRecord,
    TrainingRecord,
)
from compare.records.tables import HistoryRow
from compare.spec.experiment import Experiment

Values = Callable[[str, dict[str, str], int], float | None]
"""Backend, variant and seed → the value; None for a training that is missing."""


def planted_run(
    values: Values,
    *,
    quantity: str = "test accuracy",
    seeds: tuple[int, ...] = (0, 1, 2),
    optimizers: tuple[str, ...] = ("SGD",),
    vary: dict[str, Any] | None = None,
    claims: tuple[dict[str, Any], ...] = (),
    **record: Any,
) -> Run:
    """A run of one step a training, in which one quantity has the values that are wanted."""
    experiment = Experiment.model_validate(
        {
            "title": "Planted",
            "summary": "planted",
            "task": "",
            "data": {"name": "made-up"},
            "model": {"architecture": "mlp"},
            "training": {"epochs": 1, "batch_size": 10, "seeds": list(seeds)},
            "optimizers": {label: {"algorithm": "SGD", "lr": 0.1} for label in optimizers},
            "vary": vary or {},
            "claims": [{"says": "it is so", "by": "somebody", **claim} for claim in claims],
        }
    )
    split, metric = quantity.split(" ")
    step = 0 if split == "train" else 1
    phase = "step" if split == "train" else "evaluation"
    split = split.replace("training-set", "train")
    trainings, history = [], []
    for configuration in experiment.configurations:
        for seed in seeds:
            found = {side: values(side, configuration.variant, seed) for side in ("numpy", "torch")}
            if None in found.values():
                continue
            history += [
                HistoryRow(side, configuration.label, seed, 1, step, phase, split, metric, value)
                for side, value in found.items()
                if value is not None
            ]
            trainings.append(
                TrainingRecord(
                    label=configuration.label,
                    variant=configuration.variant,
                    seed=seed,
                    finished=True,
                    steps=1,
                    parameters=1,
                    parity_rows=0,
                    initial=Initial(values=1, differing_bits=0, copied=False),
                    kinks=[],
                    wall_s=0.0,
                )
            )
    whole: dict[str, Any] = {
        "schema": SCHEMA,
        "status": "complete",
        "name": "planted",
        "created": "2024-02-03T04:05:06+00:00",
        "command": "nncompare run planted",
        "commit": None,
        "sample": False,
        "max_steps": None,
        "experiment": experiment,
        "data": DataRecord(
            name="made-up", title="made up", source="", licence="", digests={}, class_names=["a"],
            input_shape=[1], train_rows=10, validation_rows=0, test_rows=10,
        ),
        "environment": Environment(
            processor="", cores=1, memory_bytes=0, system="", python="", numpy="", numpy_blas="",
            numpy_threads=1, torch="", torch_blas="", torch_threads=1, nncompare="",
        ),
        "sources": {},
        "tolerances": recorded_tolerances(),
        "trainings": trainings,
        **record,
    }  # fmt: skip
    return Run(Path(), RunRecord(**whole), history, [], [], [], {}, {})
