"""Padding of images by other values than zeros, and the gradient of that."""

from collections.abc import Callable

import numpy as np

Pair = tuple[int, int]


def _reflect(place: np.ndarray, size: int) -> np.ndarray:
    """Mirrored at the edge, which is not repeated."""
    place = np.abs(place)
    return np.minimum(place, 2 * (size - 1) - place)


def _replicate(place: np.ndarray, size: int) -> np.ndarray:
    """The edge again and again."""
    return place.clip(0, size - 1)


def _circular(place: np.ndarray, size: int) -> np.ndarray:
    """The other side."""
    return place % size


# Where along an axis of so many values the one for a place outside of it is found.
SOURCES: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "reflect": _reflect,
    "replicate": _replicate,
    "circular": _circular,
}
# The most that can be added on one side of so many values: PyTorch goes round once.
LARGEST: dict[str, Callable[[int], float]] = {
    "reflect": lambda size: size - 1,
    "replicate": lambda size: float("inf") if size > 0 else 0,
    "circular": lambda size: size,
}
PADDING_MODES = ("zeros", *SOURCES)


def sources(mode: str, size: int, padding: Pair) -> np.ndarray:
    """For each place of a padded axis, which of the ``size`` values stands there.

    Raises:
        ValueError: if the padding is larger than the mode allows.

    Example:
        >>> sources("reflect", 4, (2, 1)).tolist()
        [2, 1, 0, 1, 2, 3, 2]
    """
    if max(padding) > LARGEST[mode](size):
        raise ValueError(
            f"padding_mode={mode!r} allows at most {LARGEST[mode](size)} on a side of an axis of "
            f"{size}. Received: padding {padding}"
        )
    return SOURCES[mode](np.arange(-padding[0], size + padding[1]), size)


def pad(x: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Images (…, H, W) padded along both axes, from what stands where (see ``sources``)."""
    return x[..., rows[:, None], columns]


def pad_backward(grad: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: Pair) -> np.ndarray:
    """The gradient by the images: each value's is the sum of those of the places it went to."""
    across = np.zeros((*grad.shape[:-1], size[1]), grad.dtype)
    for place, source in enumerate(columns):
        across[..., source] += grad[..., place]
    out = np.zeros((*grad.shape[:-2], *size), grad.dtype)
    for place, source in enumerate(rows):
        out[..., source, :] += across[..., place, :]
    return out
