"""The error function, which NumPy lacks."""

import numpy as np

# erf(x) / x for 0 ≤ x ≤ 1 is a polynomial in 2x² − 1, and e^(x²) erfc(x) for 1 ≤ x ≤ 6 one in
# SCALE · (x − 3) / (x + 3) + SHIFT, both of which run from −1 to 1. They are the Chebyshev series
# of the two functions, worked out in 60 digits and cut off where the rest is below 2⁻⁵⁵ (J. P.
# Boyd, Chebyshev and Fourier Spectral Methods, 2nd ed., section 2.12), constant term first.
SMALL = (
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
LARGE = (
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
SCALE, SHIFT = 2.4, 0.2
BORDER, CENTRE = 1.0, 3.0
LARGEST = 6.0  # from here on erf is 1 to the last bit


def erf(x: np.ndarray) -> np.ndarray:
    """erf(x) = 2/√π ∫₀ˣ exp(−t²) dt, to the last bits of the array's dtype.

    Example:
        >>> erf(np.array([0.5, -9.0])).round(4)
        array([ 0.5205, -1.    ])
    """
    size = np.minimum(np.abs(x), x.dtype.type(LARGEST))
    small = x * _polynomial(SMALL, 2 * np.minimum(size, x.dtype.type(BORDER)) ** 2 - 1)
    position = SCALE * ((size - CENTRE) / (size + CENTRE)) + SHIFT
    large = 1 - np.exp(-size * size) * _polynomial(LARGE, position)
    return np.asarray(np.where(size < BORDER, small, np.copysign(large, x)))


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Horner's scheme."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= x
        total += coefficient
    return total
