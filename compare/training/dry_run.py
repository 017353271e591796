"""Whether a network can be trained on the data: tried before anything is recorded."""

from __future__ import annotations

import numpy as np

from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.spec.experiment import Experiment
from compare.spec.model import ModelSpec
from compare.training.data import Splits
from compare.training.lockstep import batches, total_steps
from compare.training.schedule import Schedule
from experiments.errors import InputError

REFUSALS = (ValueError, TypeError, RuntimeError, IndexError)


def dry_run(
    model_spec: ModelSpec, experiment: Experiment, splits: Splits, max_steps: int | None = None
) -> None:
    """Build both backends, and have PyTorch make a step with a batch of each size to come.

    What PyTorch refuses is an error of the input. What it takes and NumPy refuses is a mistake of
    this program, and comes up with its traceback when the training begins.

    Raises:
        InputError: The network cannot be built, does not take the rows, has other outputs than
            its loss and the data need, or cannot be trained on one of the batches.
    """
    numpy, torch = NumpyBackend(model_spec), TorchBackend(model_spec)
    inputs, targets = splits.train
    schedule = Schedule(model_spec, experiment.training, len(targets))
    for backend in (numpy, torch):
        schedule.scheduler(backend)
    shape, name = inputs.shape[1:], experiment.model.architecture
    try:
        output = torch.logits(inputs[:2])
    except REFUSALS as error:
        raise InputError(
            f"The architecture {name!r} does not take the data, rows of shape {shape} "
            f"(data.layout = {experiment.data.layout!r}): {_first_line(error)}."
        ) from error
    _outputs_fit(model_spec, name, output, splits)
    rows = torch.rows(inputs, model_spec.target_type.targets(targets))
    training = experiment.training
    to_come = list(batches(np.arange(len(targets)), training.batch_size))
    to_come = to_come[: total_steps(experiment, len(targets), max_steps)]
    for size, batch in {len(batch): batch for batch in to_come}.items():
        try:
            torch.train_step(torch.batch(rows, batch))
        except REFUSALS as error:
            raise InputError(
                f"With training.batch_size = {training.batch_size} the {len(targets):,} training "
                f"rows leave a batch of {size}, on which PyTorch cannot train the architecture "
                f"{name!r}: {_first_line(error)}. Choose another batch size."
            ) from error


def _outputs_fit(model_spec: ModelSpec, name: str, output: np.ndarray, splits: Splits) -> None:
    """Whether the network gives what its loss takes, for as many classes as the data has."""
    target_type = model_spec.target_type
    classes = 1 + max(int(rows.targets.max()) for rows in splits.named().values())
    if target_type.most_classes is not None and classes > target_type.most_classes:
        raise InputError(
            f"training.loss = {model_spec.loss!r} tells {target_type.most_classes} classes apart, "
            f"but the data has {classes}."
        )
    found = f"The architecture {name!r} gives outputs of shape {output.shape[1:]} a row"
    if target_type.one_output and output.shape[1:] != (1,):
        raise InputError(f"{found}; training.loss = {model_spec.loss!r} takes one value.")
    if not target_type.one_output and (output.ndim != 2 or output.shape[1] < classes):
        raise InputError(
            f"{found}; expected one value for each of the {classes} classes of the data."
        )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
