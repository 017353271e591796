"""Functions of each value of an array, fast where the array is long.

* ``blocks`` and ``slabs`` cut long arrays into parts that stay in the processor's cache while
  several operations go over them.
* ``keep_where``, ``take_where`` and ``scale_where`` are ``numpy.where`` without its branch on each
  element, which takes ten times as long as a product where signs come at random. They do integer
  arithmetic on the bits of the numbers, which is exact, infinities and NaN included. Results have
  the layout of the condition.
* ``maximum_zero`` and ``scale_negative`` are the rectifiers; with ``_and_where`` they also say, in
  the same pass, where the values are positive.
* ``erf`` is the error function, which NumPy lacks.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from .memory import empty_like

# Values in a part: with more the cache of a core is too small for two float32 arrays,
# with fewer NumPy is called too often.
BLOCK = 1 << 17


def blocks(*arrays: np.ndarray) -> Iterable[tuple[np.ndarray, ...]]:
    """The same parts of each of the arrays, as views that can be written to.

    The arrays are of one shape. They come whole where they are small, or lie in memory in
    different orders or with gaps.

    Example:
        >>> x = np.arange(100_000.0)
        >>> y = np.empty_like(x)
        >>> for part, out in blocks(x, y):
        ...     _ = np.multiply(part, 2, out=out)
        >>> y[-1]
        np.float64(199998.0)
    """
    first = arrays[0]
    if first.size <= BLOCK:
        return (arrays,)
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    lines = [array.transpose(order) for array in arrays]
    if not all(line.flags.c_contiguous for line in lines):
        return (arrays,)
    lines = [line.reshape(-1) for line in lines]
    starts = range(0, first.size, BLOCK)
    return (tuple(line[start : start + BLOCK] for line in lines) for start in starts)


def slabs(array: np.ndarray, axes: int) -> list[tuple[slice, ...]]:
    """Indices of parts of about as many values, along the outermost of the first axes.

    Args:
        array: what is to be cut.
        axes: how many of the first axes may be cut.

    Example:
        >>> slabs(np.empty((100, 3, 500)), 2)
        [(slice(0, 87, None),), (slice(87, 174, None),)]
    """
    axis = max(range(axes), key=lambda axis: array.strides[axis])
    length = array.shape[axis]
    step = max(BLOCK * length // max(array.size, 1), 1)
    before = (slice(None),) * axis
    return [(*before, slice(start, start + step)) for start in range(0, length, step)]


def keep_where(condition: np.ndarray, array: np.ndarray) -> np.ndarray:
    """np.where(condition, array, 0).

    Example:
        >>> keep_where(np.array([True, False]), np.array([1.5, np.nan]))
        array([1.5, 0. ])
    """
    output = empty_like(condition, array.dtype)
    for kept, x, y in blocks(condition, array, output):
        _keep(kept, x, out=y)
    return output


def take_where(condition: np.ndarray, array: np.ndarray) -> np.ndarray:
    """np.where(condition, array, 0), after which the array itself is 0 at these places.

    Example:
        >>> array = np.array([1.5, np.nan])
        >>> take_where(np.array([True, False]), array), array
        (array([1.5, 0. ]), array([ 0., nan]))
    """
    taken = _keep(condition, array, np.empty_like(condition, dtype=array.dtype))
    left = array.view(f"u{array.itemsize}")
    left ^= taken.view(left.dtype)
    return taken


def scale_where(condition: np.ndarray, one: float, other: float, array: np.ndarray) -> np.ndarray:
    """np.where(condition, one, other) * array.

    Example:
        >>> scale_where(np.array([True, False]), 1.0, 0.5, np.array([3.0, 4.0]))
        array([3., 2.])
    """
    output = empty_like(condition, array.dtype)
    for chosen, x, y in blocks(condition, array, output):
        np.multiply(x, _choose(chosen, one, other, array.dtype), out=y)
    return output


def maximum_zero(array: np.ndarray) -> np.ndarray:
    """max(x, 0) of every x; NaN stays NaN.

    Example:
        >>> maximum_zero(np.array([-1.0, 0.0, 2.0]))
        array([0., 0., 2.])
    """
    output = empty_like(array)
    for x, y in blocks(array, output):
        _maximum_zero(x, y)
    return output


def maximum_zero_and_where(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """max(x, 0) of every x, and whether it is positive, which NaN counts as here.

    Example:
        >>> maximum_zero_and_where(np.array([-1.0, 0.0, 2.0]))
        (array([0., 0., 2.]), array([False, False,  True]))
    """
    output, where = empty_like(array), empty_like(array, bool)
    for x, positive, y in blocks(array, where, output):
        _maximum_zero(x, y)
        np.less_equal(x, 0, out=positive)
        np.logical_not(positive, out=positive)
    return output, where


def scale_negative(array: np.ndarray, slope: float) -> np.ndarray:
    """x where it is positive, slope · x elsewhere, for a slope above 0 and up to 1.

    Example:
        >>> scale_negative(np.array([-1.0, 0.0, 2.0]), 0.1)
        array([-0.1,  0. ,  2. ])
    """
    output = empty_like(array)
    for x, y in blocks(array, output):
        _scale_negative(x, slope, y)
    return output


def scale_negative_and_where(array: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """x where it is positive, slope · x elsewhere; and where it is positive.

    Example:
        >>> scale_negative_and_where(np.array([-1.0, 0.0, 2.0]), 0.1)
        (array([-0.1,  0. ,  2. ]), array([False, False,  True]))
    """
    output, where = empty_like(array), empty_like(array, bool)
    for x, positive, y in blocks(array, where, output):
        np.greater(x, 0, out=positive)
        if 0 < slope <= 1:
            _scale_negative(x, slope, y)
        else:
            np.multiply(x, _choose(positive, 1, slope, array.dtype), out=y)
    return output, where


def _maximum_zero(x: np.ndarray, out: np.ndarray) -> None:
    out.fill(0)
    np.maximum(x, out, out=out)  # of two arrays: with a number it takes four times as long


def _scale_negative(x: np.ndarray, slope: float, out: np.ndarray) -> None:
    np.multiply(x, slope, out=out)
    np.maximum(x, out, out=out)  # the larger one is x where it is positive, else slope · x


def _keep(condition: np.ndarray, array: np.ndarray, out: np.ndarray) -> np.ndarray:
    """np.where(condition, array, 0): the bits, times 1 or 0."""
    bits = np.dtype(f"u{array.itemsize}")
    np.multiply(array.view(bits), condition, out=out.view(bits))
    return out


def _choose(condition: np.ndarray, one: float, other: float, dtype: np.dtype) -> np.ndarray:
    """np.where(condition, one, other): the bits of the other, plus 1 or 0 times a difference."""
    bits, other_bits, difference = _bits_to_choose(one, other, dtype)
    out = np.multiply(condition, difference, out=np.empty_like(condition, dtype=bits))
    out += other_bits
    return out.view(dtype)


@lru_cache(maxsize=64)
def _bits_to_choose(one: float, other: float, dtype: np.dtype) -> tuple[np.dtype, Any, Any]:
    """The dtype of the bits, those of the other number, and what is added to get the one."""
    bits = np.dtype(f"u{dtype.itemsize}")
    one_bits, other_bits = np.array([one, other], dtype).view(bits).tolist()
    difference = (one_bits - other_bits) % 2 ** (8 * dtype.itemsize)
    return bits, bits.type(other_bits), bits.type(difference)


# erf(x) / x for 0 ≤ x ≤ 1 is a polynomial in 2x² − 1, and e^(x²) erfc(x) for 1 ≤ x ≤ 6 one in
# ERF_SCALE · (x − 3) / (x + 3) + ERF_SHIFT, both of which run from −1 to 1. They are the Chebyshev
# series of the two functions, worked out in 60 digits and cut off where the rest is below 2⁻⁵⁵
# (J. P. Boyd, Chebyshev and Fourier Spectral Methods, 2nd ed., section 2.12), constant term first.
ERF_SMALL = (
    0.9654687386698673,
    -0.1405360890227171,
    0.019852496688983708,
    -0.0022854855611441132,
    0.00021751715604160108,
    -1.7537169441124826e-05,
    1.223382738352401e-06,
    -7.51156928660089e-08,
    4.11580059766496e-09,
    -2.035228404899467e-10,
    9.167606746069445e-12,
    -3.8078827395263415e-13,
    1.454817075960679e-14,
)
ERF_LARGE = (
    0.20798329133342885,
    -0.15436117429436919,
    0.04969844540339414,
    -0.012713147695692147,
    0.0024793146970862002,
    -0.00033160296057680485,
    1.9563583198099526e-05,
    2.4255574732470057e-06,
    -5.54127310709044e-07,
    -4.526702996597009e-09,
    1.1339337061280557e-08,
    -2.638133067637362e-10,
    -2.5700504246482923e-10,
    6.046858018203033e-12,
    6.044068318449643e-12,
)
ERF_SCALE, ERF_SHIFT = 2.4, 0.2
ERF_BORDER, ERF_CENTRE = 1.0, 3.0
ERF_LARGEST = 6.0  # from here on erf is 1 to the last bit


def erf(x: np.ndarray) -> np.ndarray:
    """erf(x) = 2/√π ∫₀ˣ exp(−t²) dt, to the last bits of the array's dtype.

    Example:
        >>> erf(np.array([0.5, -9.0])).round(4)
        array([ 0.5205, -1.    ])
    """
    size = np.minimum(np.abs(x), x.dtype.type(ERF_LARGEST))
    small = x * _polynomial(ERF_SMALL, 2 * np.minimum(size, x.dtype.type(ERF_BORDER)) ** 2 - 1)
    position = ERF_SCALE * ((size - ERF_CENTRE) / (size + ERF_CENTRE)) + ERF_SHIFT
    large = 1 - np.exp(-size * size) * _polynomial(ERF_LARGE, position)
    return np.asarray(np.where(size < ERF_BORDER, small, np.copysign(large, x)))


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Horner's scheme."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total
