"""Choosing between numbers without branches.

np.where branches on each element, and where signs come at random it takes ten times as long as
a product. The functions here do the same with integer arithmetic on the bits of the numbers,
which is exact, infinities and NaN included. Results have the layout of the condition.
"""

import numpy as np


def keep(condition: np.ndarray, array: np.ndarray) -> np.ndarray:
    """np.where(condition, array, 0): the bits, times 1 or 0.

    Example:
        >>> keep(np.array([True, False]), np.array([1.5, np.nan]))
        array([1.5, 0. ])
    """
    bits = np.dtype(f"u{array.itemsize}")
    out = np.empty_like(condition, dtype=bits)
    return np.multiply(array.view(bits), condition, out=out).view(array.dtype)


def choose(condition: np.ndarray, one: float, other: float, dtype: np.dtype) -> np.ndarray:
    """np.where(condition, one, other): the bits of the other, plus 1 or 0 times a difference.

    Example:
        >>> choose(np.array([True, False]), 1.0, 0.1, np.dtype(float))
        array([1. , 0.1])
    """
    bits = np.dtype(f"u{dtype.itemsize}")
    one_bits, other_bits = np.array([one, other], dtype).view(bits).tolist()
    difference = (one_bits - other_bits) % 2 ** (8 * dtype.itemsize)
    out = np.multiply(condition, bits.type(difference), out=np.empty_like(condition, dtype=bits))
    out += bits.type(other_bits)
    return out.view(dtype)
