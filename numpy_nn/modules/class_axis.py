"""Arrays whose second axis is the classes, and targets that are class indices.

The work is done with classes on the first axis and samples on the second: reductions over a
short last axis are slow, over the first one they are additions of rows.
"""

import math
from typing import Any

import numpy as np

from .loss import Loss


def number_of_classes(shape: tuple[int, ...]) -> int:
    """C of (C,), (N, C) or (N, C, d₁, …)."""
    return shape[0 if len(shape) == 1 else 1]


def without_classes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(), (N,) or (N, d₁, …) of (C,), (N, C) or (N, C, d₁, …)."""
    return () if len(shape) == 1 else shape[:1] + shape[2:]


def classes_first(array: np.ndarray) -> np.ndarray:
    """(C,), (N, C) or (N, C, d₁, …) as (C, samples)."""
    moved = array if array.ndim == 1 else array.swapaxes(0, 1)
    samples = math.prod(without_classes(array.shape))
    return np.ascontiguousarray(moved).reshape(number_of_classes(array.shape), samples)


def classes_back(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(C, samples) in the shape it came from."""
    if len(shape) == 1:
        return array.reshape(shape)
    swapped = array.reshape(shape[1], shape[0], *shape[2:]).swapaxes(0, 1)
    return np.ascontiguousarray(swapped)


def check_class_weight(loss: Loss, weight: np.ndarray | None, input: np.ndarray) -> None:
    """Refuse an input without classes, and a weight that does not fit them.

    Raises:
        ValueError: naming shapes and dtypes.
    """
    if input.ndim == 0:
        raise ValueError(f"{type(loss).__name__} expects at least one axis. Received: shape ()")
    classes = number_of_classes(input.shape)
    if weight is not None and (weight.shape != (classes,) or weight.dtype != input.dtype):
        raise ValueError(
            f"weight must have shape ({classes},), one value a class, and the input's dtype "
            f"{input.dtype}. Received: {weight.shape} {weight.dtype}"
        )


def check_class_indices(loss: Loss, input: np.ndarray, target: np.ndarray) -> None:
    """Refuse what are no class indices, one for each sample of the input.

    Raises:
        TypeError: naming the dtype.
        ValueError: naming the shapes.
    """
    name = type(loss).__name__
    if target.dtype not in (np.int64, np.uint8):
        raise TypeError(
            f"{name} expects class indices of int64. Received: {target.dtype}. "
            "Convert them with target.astype(numpy.int64)"
        )
    if target.shape != (shape := without_classes(input.shape)):
        raise ValueError(
            f"{name} expects class indices of shape {shape} for an input of shape "
            f"{input.shape}. Received: {target.shape}"
        )


def weigh_indices(
    target: np.ndarray, x: np.ndarray, weight: np.ndarray | None, ignore_index: int
) -> tuple[tuple[Any, Any], np.ndarray, np.ndarray | None]:
    """Where in ``x``, (C, samples), the targets' classes stand, their weights, who is ignored.

    The weight of an ignored sample is 0; where none is ignored the third result is None.

    Raises:
        IndexError: naming a target that is no class.
    """
    ignored = None
    wrong = (target < 0) | (target >= len(x))
    if 0 <= ignore_index < len(x) or wrong.any():
        ignored = target == ignore_index
        if (wrong := wrong & ~ignored).any():
            raise IndexError(
                f"Target {target[wrong][0]} is out of bounds: there are {len(x)} classes"
            )
        if not ignored.any():
            ignored = None
        else:
            target = np.where(ignored, 0, target)
    if weight is None:
        weights = np.ones(len(target), x.dtype)
    else:
        weights = weight.astype(x.dtype, copy=False)[target]
    if ignored is not None:
        weights[ignored] = 0
    return (target, np.arange(len(target))), weights, ignored
