"""What every loader returns, what is known of its origin, and how its features are scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # the list of data sets needs no NumPy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs and their labels, in the order of the file.

    Attributes:
        inputs: float32, C-contiguous. For images (N, 1, 28, 28), grey levels divided by 255, so
            from 0 (background) to 1. For tables (N, features), each feature standardised: mean 0
            and standard deviation 1 over the training rows, or 0 throughout if constant there.
        targets: int64, (N,): the index of each input's class in ``Dataset.class_names``.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, and what a report must say about it.

    Attributes:
        name: the name it was asked for by, such as ``"mnist"``.
        title: what the data is, whatever it was asked for by: other images in MNIST's layout are
            not called MNIST.
        train: the split to learn from.
        test: the split to measure on. It may have no rows, where all that there is is trained
            on: its inputs then have the shape (0, …) and its targets (0,).
        class_names: one name a class, indexed by target.
        source: where it was read from.
        licence: the terms of the data and its authors, or that they are not known.
        digests: file name → MD5 (hexadecimal) of its content, decompressed.
    """

    name: str
    title: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    source: str
    licence: str
    digests: Mapping[str, str]


class Standard(NamedTuple):
    """How features are brought to a common scale: (x − mean) / scale.

    Attributes:
        mean: float64, (features,).
        scale: float64, (features,): the standard deviation, dividing by the number of rows N and
            not N − 1; 1 where a feature is constant.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return the rows standardised, float32 (N, features); rounded once, from float64."""
        import numpy as np

        found = np.empty(rows.shape, np.float32)
        # A feature at a time: the float64 copy of a large table would be its largest.
        for k in range(rows.shape[1]):
            found[:, k] = (rows[:, k] - self.mean[k]) / self.scale[k]
        return found


def standard_of(rows: NDArray[Any]) -> Standard:
    """Return the mean and the scale of every feature.

    Convention: as scikit-learn's ``StandardScaler``. A feature is constant when its variance is
    no larger than rounding can make it, N ε σ² + (N μ ε)² with ε = 2⁻⁵² (Chan, Golub and
    LeVeque, 1983, section 1: what the sum of N squared differences from a mean loses at worst).
    Such a feature becomes 0 and is not divided by anything.

    Args:
        rows: (N, features), N > 0.
    """
    import numpy as np

    count, features = rows.shape
    mean, variance = np.empty(features), np.empty(features)
    for k in range(features):
        feature = rows[:, k].astype(np.float64)
        mean[k] = feature.mean()
        variance[k] = np.mean((feature - mean[k]) ** 2)
    eps = np.finfo(np.float64).eps
    constant = variance <= count * eps * variance + (count * mean * eps) ** 2
    return Standard(mean, np.where(constant, 1.0, np.sqrt(variance)))
