"""``nncompare parity``, and ``nncompare parity --graph``."""

from __future__ import annotations

import json
from typing import Any

import numpy_nn
from compare.analysis.verdict import verdict
from compare.backends.environment import default_threads, set_threads
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.synthetic import loss_of, synthetic_steps
from compare.backends.torch_backend import TorchBackend
from compare.console.parity import show_graph, show_parity
from compare.parity.certificate import certify
from compare.parity.comparison import References, compare_initial
from compare.parity.graph import compare_graph, graph_summary
from compare.records.run import Initial
from compare.records.tables import ParityRow
from compare.spec.architecture import find_architecture
from compare.spec.model import ModelSpec
from experiments.errors import InputError

SETTINGS: dict[str, dict[str, Any]] = {"SGD": {"lr": 1e-3}, "Adam": {"lr": 1e-4}}


def parity_command(
    architecture: str,
    dtype: str,
    optimizer: str,
    seed: int,
    steps: int,
    batch_size: int,
    *,
    as_json: bool,
) -> int:
    """Print the parity table of a network on random inputs.

    Returns:
        0 when every comparison passed, 1 when one did not.
    """
    model_spec = _model_spec(architecture, dtype, optimizer, seed, steps, batch_size)
    initial, rows = parity_rows(model_spec, optimizer, dtype, seed, steps, batch_size)
    found = verdict(rows)
    if as_json:
        tree = {
            "schema": 1,
            "architecture": architecture,
            "optimizer": optimizer,
            "dtype": dtype,
            "seed": seed,
            "passed": found.passed,
            "initial": initial.model_dump(),
            "first_divergence": found.first_divergence and found.first_divergence.site,
            "rows": [row._asdict() for row in rows],
        }
        print(json.dumps(tree, indent=2))
    else:
        show_parity(architecture, dtype, optimizer, initial, rows)
    return 0 if found.passed else 1


def graph_command(
    architecture: str,
    dtype: str,
    optimizer: str,
    seed: int,
    steps: int,
    batch_size: int,
    *,
    as_json: bool,
) -> int:
    """Print the errors of nodes, closed formulas and PyTorch in a training step on random inputs.

    Returns:
        0 when nodes and closed formulas are within the bound everywhere, 1 when not.
    """
    model_spec = _model_spec(architecture, dtype, optimizer, seed, steps, batch_size)
    rows = compare_graph(model_spec, dtype, seed, steps, batch_size)
    passed = all(row.passed for row in rows)
    if as_json:
        tree = {
            "schema": 1,
            "architecture": architecture,
            "optimizer": optimizer,
            "dtype": dtype,
            "seed": seed,
            "batch_size": batch_size,
            "passed": passed,
            "summary": graph_summary(rows, dtype),
            "rows": [{**row._asdict(), "passed": row.passed} for row in rows],
        }
        print(json.dumps(tree, indent=2))
    else:
        show_graph(architecture, dtype, batch_size, rows)
    return 0 if passed else 1


def parity_rows(
    model_spec: ModelSpec, label: str, dtype: str, seed: int, steps: int, batch_size: int
) -> tuple[Initial, list[ParityRow]]:
    """Certify the first steps of a training on random inputs and random targets."""
    references = References.build(model_spec)
    numpy, torch = NumpyBackend(model_spec, dtype, seed), TorchBackend(model_spec, dtype, seed)
    initial, rows = compare_initial(numpy, torch, label, seed)
    recorded = synthetic_steps(numpy, model_spec.loss, steps, batch_size, seed)
    for number, step in enumerate(recorded):
        comparisons, _ = certify(step, references, seed=number)
        rows += [ParityRow(label, seed, number, *c, passed=c.passed) for c in comparisons]
    return initial, rows


def _model_spec(
    architecture: str, dtype: str, optimizer: str, seed: int, steps: int, batch_size: int
) -> ModelSpec:
    """What both backends build, with threads that suit it.

    Raises:
        InputError: An option is not what it should be.
    """
    if dtype not in ("float32", "float64"):
        raise InputError(f"--dtype expects float32 or float64, but got {dtype!r}.")
    if optimizer not in SETTINGS:
        raise InputError(f"--optimizer expects {' or '.join(SETTINGS)}, but got {optimizer!r}.")
    for name, value, least in (
        ("--steps", steps, 1),
        ("--batch-size", batch_size, 2),
        ("--seed", seed, 0),
    ):
        if value < least:
            raise InputError(f"{name} expects a number of at least {least}, but got {value}.")
    if seed >= 2**32:
        raise InputError(f"--seed expects a number below 2³², but got {seed}.")
    function = find_architecture(architecture)
    model_spec = ModelSpec(
        function, loss=loss_of(function), algorithm=optimizer, settings=SETTINGS[optimizer]
    )
    set_threads(default_threads(model_spec.model(numpy_nn)))
    return model_spec
