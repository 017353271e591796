"""``nncompare export``."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

import numpy_nn
import torch_nn
from compare.backends.environment import own_version
from compare.backends.protocol import Arrays
from compare.languages import translated
from compare.records.atomic import write_atomically
from compare.records.export import FOLDER, ExportRecord, digest, weights_file
from compare.records.run import DemoRecord, Run, TrainingRecord, read_arrays, read_run
from compare.spec.experiment import Experiment
from compare.spec.model import ModelSpec, model_spec
from compare.training.data import laid_out, load_splits
from compare.training.lockstep import printed_modules
from experiments.errors import InputError

BACKENDS = ("numpy", "torch")
NAMES = {"numpy": "NumPy", "torch": "PyTorch", "onnxruntime": "ONNX Runtime"}
INSTALL = 'python -m pip install "nncompare[onnx]"'


def export_command(
    run_dir: Path,
    *,
    onnx: bool,
    backend: str = "both",
    labels: list[str],
    seed: int | None = None,
    out: Path | None = None,
    data_dir: Path | None = None,
    compare: bool = True,
) -> int:
    """Write trained networks of a run as ONNX, and ask ONNX Runtime for their answers.

    Returns:
        0, or 1 where ONNX Runtime's answers are further from the referee's than allowed.

    Raises:
        InputError: The run, an option or the network is not as it should be, a package is missing,
            or ONNX Runtime does not run what was written. Nothing is written then.
    """
    if not onnx:
        raise InputError("export expects the format: --onnx.")
    if backend not in (*BACKENDS, "both"):
        raise InputError(f"--backend expects numpy, torch or both, but got {backend!r}.")
    for package in ("onnx", *(["onnxruntime"] if compare else [])):
        if find_spec(package) is None:
            more = "" if package == "onnx" else ", or give --no-compare"
            raise InputError(f"--onnx needs the package {package}: {INSTALL}{more}.")
    run = read_run(run_dir)
    if isinstance(run.record, DemoRecord):
        raise InputError(f"{run_dir} is a demonstration, which has no trained network to export.")
    chosen = _chosen(run, labels, seed)
    inputs = _Inputs(run, data_dir) if compare and run.record.data.test_rows else None
    exports = [
        _export(run, training, side, inputs)
        for training in chosen
        for side in (BACKENDS if backend == "both" else (backend,))
    ]
    folder = out or run_dir / FOLDER
    for place in (folder, run_dir / FOLDER):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{place} could not be made: {error.strerror}.") from None
    for record, content in exports:
        name, _ = record.onnx
        write_atomically(folder / name, content)
        text = record.model_dump_json(indent=1) + "\n"
        write_atomically((run_dir / FOLDER / name).with_suffix(".json"), text)
        print(_said(f"{folder / name} is written ({len(content) / 1e6:.1f} MB)."))
        _show(record)
    return 0 if all(not record.answers or record.agrees for record, _ in exports) else 1


def _chosen(run: Run, labels: list[str], seed: int | None) -> list[TrainingRecord]:
    """The finished trainings that are meant."""
    found = [training for training in run.record.trainings if training.finished]
    known = list(dict.fromkeys(training.label for training in found))
    seeds = list(dict.fromkeys(training.seed for training in found))
    if not found:
        raise InputError(f"{run.path} has no training that was finished.")
    for label in labels:
        if label not in known:
            raise InputError(f"--label expects one of {', '.join(known)}, but got {label!r}.")
    if seed is not None and seed not in seeds:
        text = ", ".join(map(str, seeds))
        raise InputError(f"--seed expects one of {text}, but got {seed}.")
    return [t for t in found if t.label in (labels or known) and seed in (None, t.seed)]


class _Inputs:
    """The run's test rows, as each configuration's network takes them.

    Raises:
        InputError: The data is not there, or is other data than the run's.
    """

    def __init__(self, run: Run, data_dir: Path | None) -> None:
        record = run.record
        self.splits, data, _ = load_splits(
            record.experiment.data,
            sample=record.sample,
            data_dir=data_dir,
            folder=folder_of(record.command),
        )
        if data.digests != record.data.digests:
            raise InputError(
                f"the data {data.name!r} is not the data of {run.path}: name its folder with "
                "--data-dir."
            )

    def of(self, experiment: Experiment) -> np.ndarray:
        """The test rows that the run was evaluated on."""
        test = laid_out(self.splits, experiment.data.layout).test
        assert test is not None
        return test.inputs[: experiment.training.evaluate_rows]


def _export(
    run: Run, training: TrainingRecord, backend: str, inputs: _Inputs | None
) -> tuple[ExportRecord, bytes]:
    """The ONNX file of one network, and its record."""
    from compare.export.network import OPSET, onnx_model

    experiment = run.configurations[training.label].experiment
    spec = model_spec(
        experiment, run.configurations[training.label].optimizer, folder_of(run.record.command)
    )
    file = weights_file(backend, training.label, training.seed)
    weights, weights_digest = read_arrays(run.path / file), digest(run.path / file)
    model = _model(run, training, spec, backend, weights)
    rows = np.zeros((2, *run.record.data.input_shape), np.float32)
    if experiment.data.layout == "flat":
        rows = rows.reshape(2, -1)
    metadata = {
        "experiment": run.record.name,
        "label": training.label,
        "seed": str(training.seed),
        "backend": backend,
        "step": str(training.steps),
        "weights_sha256": weights_digest,
        "nncompare": own_version(),
    }
    made = onnx_model(
        model, weights, rows, FORWARD[backend], name=run.record.name, metadata=metadata
    )
    content = made.SerializeToString(deterministic=True)
    name = f"{backend}-{training.label}-seed{training.seed}.onnx"
    record = ExportRecord(
        backend=backend,
        label=training.label,
        seed=training.seed,
        step=training.steps,
        dtype=experiment.training.dtype,
        weights=(file, weights_digest),
        onnx=(name, _sha256(content)),
        opset=OPSET,
    )
    if inputs is not None:
        _ask(record, content, spec, weights, inputs.of(experiment))
    return record, content


def _ask(
    record: ExportRecord, content: bytes, spec: ModelSpec, weights: Arrays, rows: np.ndarray
) -> None:
    """Have everybody answer, and keep it in the record."""
    import onnxruntime

    from compare.export.answers import Referee, bound, runtime_outputs

    given = rows.astype(record.dtype) if np.issubdtype(rows.dtype, np.floating) else rows
    outputs = runtime_outputs(content, given, record.onnx[0])
    referee = Referee(spec, record.dtype, weights, rows)
    record.answers = referee.answers(record.backend, outputs)
    record.bound = bound(record.dtype, record.answers)
    record.rows, record.runtime = len(rows), onnxruntime.__version__
    record.largest = float(np.abs(referee.exact).max())


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def _model(
    run: Run, training: TrainingRecord, spec: ModelSpec, backend: str, weights: Arrays
) -> Any:
    """The network of a training with its weights, in evaluation mode."""
    dtype = run.configurations[training.label].experiment.training.dtype
    model = spec.model(numpy_nn).to(np.dtype(dtype))
    if training.modules and printed_modules(model) != training.modules:
        raise InputError(
            f"{run.path}: the architecture {spec.architecture.__name__} has changed since "
            f"{training.label} was trained: it builds another network than run.json describes."
        )
    try:
        if backend == "numpy":
            model.load_state_dict(weights)
        else:
            model = spec.model(torch_nn).to(getattr(torch, dtype))
            model.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
    except (RuntimeError, ValueError, KeyError) as error:
        text = " ".join(str(error).split())
        raise InputError(
            f"{run.path / weights_file(backend, training.label, training.seed)} does not fit the "
            f"network of {training.label}: {text}."
        ) from None
    return model.eval()


def _numpy_forward(layer: Any, x: np.ndarray) -> np.ndarray:
    return np.array(layer(x))


def _torch_forward(layer: Any, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = layer(torch.from_numpy(x)).numpy()
    return found


FORWARD = {"numpy": _numpy_forward, "torch": _torch_forward}
"""Backend → how it calls a layer on an array."""


def folder_of(command: str) -> Path:
    """The folder of the experiment's file that a recorded command names, for its own architecture.

    Example:
        >>> folder_of("nncompare run mine/own.toml --sample").as_posix()
        'mine'
    """
    try:
        words: Iterable[str] = shlex.split(command)
    except ValueError:
        words = ()
    return next((Path(word).parent for word in words if word.endswith(".toml")), Path())


def _show(record: ExportRecord) -> None:
    """What the answers say, in a few lines."""
    if not record.answers:
        return
    own = NAMES[record.backend]
    unit = 2.0**-24 if record.dtype == "float32" else 2.0**-53
    found = record.answers["onnxruntime"]
    other = next(b for b in BACKENDS if b != record.backend)
    aside = record.answers[other]
    print(
        " ",
        _said(
            f"{record.rows:,} test rows: ONNX Runtime {record.runtime} predicts "
            f"{found.different_predictions:,} otherwise than {own}, and its outputs are at most "
            f"{found.difference:.2g} away ({NAMES[other]} with these weights: "
            f"{aside.different_predictions:,} and {aside.difference:.2g})."
        ),
    )
    errors = ", ".join(f"{NAMES[k]} {a.error / unit:.3g}" for k, a in record.answers.items())
    print(
        " ",
        _said(
            f"From the float64 referee, in roundings of what was summed: {errors}; ONNX Runtime "
            f"{'agrees' if record.agrees else 'DIFFERS'} (allowed: {record.bound / unit:.3g})."
        ),
    )


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")
