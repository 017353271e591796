"""``nncompare parity``."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import numpy_nn
from compare.analysis.verdict import explain, verdict
from compare.backends.environment import default_threads, set_threads
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.synthetic import input_shape, loss_of, random_targets
from compare.backends.torch_backend import TorchBackend
from compare.parity.certificate import certify
from compare.parity.comparison import Judges
from compare.parity.initial import compare_initial
from compare.records.run import Initial
from compare.records.tables import ParityRow
from compare.spec.model import ModelSpec, find_architecture
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
        _show(architecture, dtype, optimizer, initial, rows)
    return 0 if found.passed else 1


def parity_rows(
    model_spec: ModelSpec, label: str, dtype: str, seed: int, steps: int, batch_size: int
) -> tuple[Initial, list[ParityRow]]:
    """Certify the first steps of a training on random inputs and random classes."""
    judges = Judges(
        NumpyBackend(model_spec, "float64"),
        TorchBackend(model_spec, "float32"),
        TorchBackend(model_spec, "float64"),
    )
    numpy, torch = NumpyBackend(model_spec, dtype, seed), TorchBackend(model_spec, dtype, seed)
    initial, rows = compare_initial(numpy, torch, label, seed)
    random = np.random.default_rng(seed)
    shape = input_shape(numpy)
    outputs = numpy.logits(np.zeros((2, *shape), dtype)).shape[1]
    for step in range(steps):
        inputs = random.standard_normal((batch_size, *shape)).astype(np.float32)
        targets = random_targets(model_spec.loss, random, batch_size, outputs)
        recorded = numpy.record_step(
            numpy.batch(numpy.rows(inputs, targets), np.arange(batch_size))
        )
        comparisons, _ = certify(recorded, judges, seed=step)
        rows += [ParityRow(label, seed, step, *c, passed=c.passed) for c in comparisons]
    return initial, rows


def _show(
    architecture: str, dtype: str, optimizer: str, initial: Initial, rows: list[ParityRow]
) -> None:
    console = Console(highlight=False)
    copied = "; PyTorch was then given NumPy's values" if initial.copied else ""
    console.print(
        f"Step 0: {initial.values:,} starting values compared, "
        f"{initial.differing_bits:,} bits differ{copied}."
    )
    several = len({row.step for row in rows}) > 1
    table = Table(title=f"{architecture}, {optimizer}, {dtype}", title_justify="left")
    if several:
        table.add_column("step", justify="right")
    table.add_column("site", overflow="fold")
    for column in ("NumPy", "PyTorch", "bound"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        if row.dtype != dtype or row.site.startswith("initial/"):
            continue
        cells = [
            row.site,
            f"{row.numpy_error:.1e}",
            f"{row.torch_error:.1e}" if dtype == "float32" else "referee",
            f"{row.tolerance:.1e}",
            "[green]pass[/]" if row.passed else "[bold red]FAIL[/]",
        ]
        table.add_row(*([str(row.step), *cells] if several else cells))
    console.print(table)
    found = verdict(rows)
    other = sum(row.dtype != dtype for row in rows)
    shown = f" ({other:,} of them in the other precision, with --json)" if other else ""
    if found.passed:
        console.print(f"[green]All {found.compared:,} comparisons pass[/]{shown}.")
    else:
        console.print(
            f"[bold red]{found.failed:,} of {found.compared:,} comparisons fail[/]{shown}."
        )
        assert found.first_divergence is not None
        console.print(f"First divergence: {explain(found.first_divergence)}.", soft_wrap=True)
