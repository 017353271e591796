"""The data sets by name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from experiments.datasets.dataset import Dataset
from experiments.errors import InputError

_PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class _Entry:
    """A data set: a line about it, and its module's function that loads it.

    The function takes the data folder, the cache and the mirrors; None where nobody gave one.
    """

    description: str
    module: str
    function: str


_ENTRIES = {
    "mnist-sample": _Entry(
        "6,000 training and 1,000 test digits of MNIST, in the package",
        "mnist",
        "load_mnist_sample",
    ),
    "mnist": _Entry(
        "60,000 training and 10,000 test digits, or other IDX images, from a folder or a download",
        "mnist",
        "load_mnist",
    ),
    "covertype-sample": _Entry(
        "6,000 of covertype's rows, in the package",
        "covertype",
        "load_covertype_sample",
    ),
    "covertype": _Entry(
        "495,141 rows, Spruce/Fir or Lodgepole Pine, 54 features",
        "covertype",
        "load_covertype",
    ),
    "pass_fail": _Entry(
        "1,500 made-up rows: pass or fail from score and hours",
        "pass_fail",
        "load_pass_fail",
    ),
}


def available() -> dict[str, str]:
    """Return each data set's name and a line that describes it."""
    return {name: entry.description for name, entry in _ENTRIES.items()}


def load(
    name: str,
    data_dir: _PathLike | None = None,
    *,
    cache_dir: _PathLike | None = None,
    mirrors: Sequence[str] | None = None,
    folder: _PathLike = "",
) -> Dataset:
    """Load a data set, checked, its inputs scaled: images to 0 … 1, tables standardised.

    Nothing falls back to other data: a folder that was named and lacks the files is an error.

    Args:
        name: one of ``available()``, or the path of an ``.npz`` file of one's own
            (:func:`experiments.datasets.npz.load_npz`).
        data_dir: the folder to read, its files or those in its subfolder ``mnist`` or
            ``covertype``. None takes the folder in $NNCOMPARE_DATA if that is set, else
            downloads. The samples are in the package and ``pass_fail`` is made up: they take no
            folder.
        cache_dir: where a download is kept; None is the user's cache folder (scikit-learn's for
            ``covertype``).
        mirrors: URLs of folders to download from, tried in turn; None is the data set's own.
            ``covertype`` is downloaded by scikit-learn, which takes none.
        folder: where a relative path of an ``.npz`` file begins.

    Returns:
        The data set. Of images: inputs float32 (N, 1, 28, 28), targets int64 (N,). Of tables:
        inputs float32 (N, features). ``covertype`` and its sample have no test rows.

    Raises:
        InputError: no data set of that name, a folder or file at fault, or no download.

    Example:
        >>> data = load("mnist-sample")
        >>> data.train.inputs.shape
        (6000, 1, 28, 28)
    """
    if name.endswith(".npz"):
        from experiments.datasets.npz import load_npz

        return load_npz(Path(folder) / name, name)
    if name not in _ENTRIES:
        near = difflib.get_close_matches(name, _ENTRIES, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise InputError(
            f"There is no data set {name!r}: expected one of {', '.join(_ENTRIES)}, or an .npz "
            f"file{hint}"
        )
    entry = _ENTRIES[name]
    module = import_module(f"experiments.datasets.{entry.module}")
    found: Dataset = getattr(module, entry.function)(data_dir, cache_dir, mirrors)
    return found
