"""Every bound, floor, noise level and threshold of the harness, each with its reason.

An error is |value − referee| / size, elementwise, and the largest over the array counts; ``size``
is what was summed to make the value (:mod:`compare.parity.sizes`). This is the
componentwise error of an inner product, |fl(xᵀy) − xᵀy| ≤ γₙ |x|ᵀ|y| (Higham, Accuracy and
Stability of Numerical Algorithms, 2nd ed., section 3.1): it does not grow when the sum cancels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from compare.records.run import Tolerances

UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}

# float32, each stage alone: NumPy may be K times as far from the float64 referee as PyTorch is,
# or K times FLOOR_ULP units of roundoff where PyTorch happens to be closer than that.
#
# K was chosen from the ratio numpy_error / max(torch_error, FLOOR_ULP units) of honest runs,
# measured by `python scripts/calibrate_k.py --seeds 20 --steps 600` (NumPy 2.4.6 with OpenBLAS
# 0.3.31, PyTorch 2.13.0 with MKL 2024.2, Intel Xeon with AVX-512, one thread); comparisons are
# those of both precisions, the last column is the largest error in float64:
#
#     net          optimizer  seeds  comparisons  failed  median   99.9%  largest  float64
#     bn_mlp       SGD           20      328,440       0    0.34    1.13     1.75  7.5e-16
#     bn_mlp       Adam          20      496,920       0    0.34    1.08     1.61  9.1e-16
#     softmax_mlp  SGD           20      103,320       0    0.27    1.00     1.27  4.7e-16
#     softmax_mlp  Adam          20      159,480       0    0.34    1.08     1.60  6.4e-16
#     cnn          SGD           20       81,180       0    0.34    1.86     2.61  9.6e-16
#     cnn          Adam          20      102,300       0    0.33    1.78     2.26  1.2e-15
#
# K = 8 stands 3 times above the largest of these ratios, a margin for other processors and
# libraries, which sum in other orders. An earlier measurement of the first four, on an AMD EPYC,
# had 2.21 as its largest. Larger networks on 8 random rows, both optimizers, none failed
# (`--architecture`): simple_convnet 1.00, deep_convnet 1.65 (20 seeds, 2 steps), vgg16 1.67 (10
# seeds, 1 step).
FLOOR_ULP = 4.0
K = 8.0
LARGEST_MEASURED = 2.61

# float64, against PyTorch, whatever the sums are. Honest values were nearer than 2e-15 in all runs
# of the calibration, and nearer than 2e-14 in vgg16; an ε or a slope that is wrong in its sixth
# digit is a million times further away.
FLOAT64 = 1e-13

# Below these numbers a format has fewer digits, and rounding is no longer relative.
SMALLEST_NORMAL = {"float32": 2.0**-126, "float64": 2.0**-1022}


# ---- The step end to end

# Random noise of this size, relative to what was summed at a stage, is put in at every stage, to
# measure what rounding there does to all stages after it. Large enough to stand far above
# float64's own rounding, 2⁻⁵³, and small enough for its effects to add up linearly.
NOISE = 2.0**-36

# Two backends may round the input of a kink (ReLU at 0, two largest values in a max-pooling) to
# different sides, and both are right. This near, relative to the largest value of the input, the
# referee takes the other's side. float64 leaves 1e-15 or so; what a mistake changes is larger.
KINK_WIDTH = 1e-10

# A centered RMSprop divides by √(v − a²). Where rounding is magnified by more than this, that of
# float32 changes more than the last digits of the step, 2⁻²⁴ times this: there is no right value
# of such a step, and none is judged.
LARGEST_CANCELLATION = 2.0**20

# ---- Naming a mistake (compare.mistakes)

# A mistake put into the right code reproduces a value if it is this near, relative to the largest
# value of the array: a hundred times what is allowed between the backends relative to the sizes,
# which can be larger than the largest value.
REPRODUCED = 100 * FLOAT64

# An array whose largest value is below this is compared with this: nothing is divided by 0.
SMALLEST_SCALE = 1e-30

# Of an L2 penalty λ: below the first it is rounding, beside losses and weights of the order of 1.
# Between cases, λ of the loss and of the gradients are told apart from the second on, and an
# excess of the loss that gives less than the third is none.
LEAST_PENALTY = 1e-9
LEAST_PENALTY_SCALE = 1e-6
LEAST_PENALTY_IN_LOSS = 1e-7

# In a recorded step λ is measured in several ways. They agree if they do to this, relative to the
# larger: λ comes from differences, whose digits are fewer than float64's.
SAME_PENALTY = 1e-6

# In a recorded step an excess of the loss is more than rounding if it is this large, relative to
# the loss.
LEAST_EXCESS = 1e3 * FLOAT64

# Sums of squares are divided by no less than this: with all weights 0 there is no λ.
LEAST_SQUARES = 1e-300

# ---- Checking somebody's own code (compare.check)

# Values of a homework, relative to their sizes. A right homework in float64 is a thousand times
# nearer.
HOMEWORK = 1e-9

# The gradient that is read off a step of plain SGD, (p − new) / lr, has lost what rounding p did:
# some units of 2⁻⁵³ |p| / lr, which a size of this times |p| / lr allows within HOMEWORK.
STEP_CANCELLATION = 64 * UNIT_ROUNDOFF["float64"] / HOMEWORK

# Gradients of a right homework may be this far from PyTorch's, relative to their sizes: a
# thousandth of HOMEWORK. Where an optimizer magnifies that, as Adam does where a gradient is 0 but
# for rounding, the parameters after training steps may be as far away as it makes them. That is
# measured with noise of random signs, so many times, and the largest change counts.
STEP_NOISE = 2.0**-40
STEP_DRAWS = 4

# A function gives the same answer again if it does so to this, relative to its largest value.
SAME_ANSWER = 1e-10

# What is left of a sum that must be 0, relative to the sum of its absolute values; and the least
# that a bias is compared with.
INVARIANT = 1e-6
LEAST_WEIGHT = 1e-12

# The step of a central difference, relative to the parameters, and how near it comes to the
# derivative: its truncation is of the order of the square of the step, rounding of 1e-16 / step.
DIFFERENCE_STEP = 1e-6
DIFFERENCE = 1e-4

# Two answers to inputs that should not matter: relative, and near 0 absolute.
UNCHANGED, UNCHANGED_NEAR_ZERO = 1e-6, 1e-9

# Batches keep this far from every kink, in units of the typical value at the place, so that
# rounding decides no side: float32 has 6e-8.
KINK_MARGIN = 3e-5

# A value below this share of what was summed to make it is mostly rounding noise: it has few
# digits, and says nothing about the precision of whoever computed it.
NOISE_SHARE = 1e-6

# Two factors by which values differ are one, relative to the factor: float32 has 6e-8.
SAME_FACTOR = 1e-6

# ---- Two functions (compare.parity.functions)

# Units of roundoff of the formats, and their smallest normal numbers.
# "tf32" is float32 whose products are made of 11 digits, as GPUs can: no tensor has this format.
FORMATS = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "tf32": 2.0**-11, **UNIT_ROUNDOFF}
SMALLEST = {
    "bfloat16": 2.0**-126, "float16": 2.0**-14, "tf32": 2.0**-126, **SMALLEST_NORMAL,
}  # fmt: skip

# A candidate may be so many times as far from the referee as the reference may be expected to be.
# It was chosen from what right candidates need: every layer and loss of numpy_nn against PyTorch's,
# on given and on harder inputs, with gradients and buffers, measured by
# `python scripts/calibrate_functions.py` (NumPy 2.4.6, PyTorch 2.13.0, one thread). In the two
# narrow formats, which NumPy lacks or sums badly, the candidate computes in float32 and rounds.
#
#     format    modules  seeds  comparisons  failed  median   99.9%  largest
#     bfloat16      107     20       23,560       0    0.15    0.83     6.79
#     float16       107     20       23,562       0    0.12    0.78     0.81
#     float32       107     20       32,640       0    0.30    2.45     7.90
#     float64       107     20       32,640       0    0.00    1.06     1.93
#
# 16 stands twice above the largest, which is the derivative of a tanh where float32's ends in 0. A
# layer normalisation with an ε of 1e-6 for 1e-5 is 45 times as far away.
FUNCTION_K = 16.0

# The least error that a reference is expected to make, in those that rounding its inputs makes.
FUNCTION_FLOOR = 1.0

# The step, relative to the inputs, at which float64's own rounding is looked for: large enough to
# change the last bits of what saturates, small enough for a curve to be straight, up to its square.
NOISE_STEP = 2.0**-25

# A value is as good as 0 below this share of the largest of its array: in float32 and the narrower
# formats far below their last bit, in float64, where nothing tells its errors, at it.
NEGLIGIBLE = {"float32": UNIT_ROUNDOFF["float32"] ** 2, "float64": UNIT_ROUNDOFF["float64"]}

# A question is ill-conditioned if rounding its inputs changes the answer by this much of its
# largest value, and by more than so many units of roundoff.
ILL_CONDITIONED, ILL_CONDITIONED_UNITS = 1e-2, 64.0

# ---- Two traces (compare.trace)

# Of two calls that cannot be run again, the root mean square of the difference of the outputs,
# relative to the output's, in units of roundoff. Equal inputs on one machine, of one version of
# PyTorch, give equal outputs but for the order of sums among threads; elsewhere every operation
# rounds in its own way.
TRACE_EQUAL_UNITS = 4.0
TRACE_UNITS = 64.0

# Between modules, and in those that cannot be run again, a difference may grow so many times
# without being taken for a new one. In the backward pass values that change sides at a ReLU in the
# code between send back wholly other gradients: the share of such values is as large as the forward
# pass's difference, so that the root mean square is as its root, and may be so many times that.
# How much of the bounds right pairs use (of float32 with float64, bfloat16, float16, autocast, and
# float32 with sums in the opposite order; ReLU, pools, attention and gates as functions, classes of
# one's own; SGD, 2 steps), by `python scripts/calibrate_traces.py --seeds 10`; 400 pairs, none of
# which was called different:
#
#     judgement            count   largest share of its bound
#     between gradients   18,400   0.51
#     between modules      8,800   0.06
#     own classes          1,600   0.06
TRACE_GROWTH = 32.0
TRACE_KINKS = 4.0

# A site is further off than in a baseline if it is so many times as far, the sums of other threads
# and processors being in other orders, and further by more than float64's own rounding.
TRACE_BASELINE, TRACE_BASELINE_FLOOR = 2.0, 1e-15


def recorded_tolerances() -> Tolerances:
    """The bounds as a run records them."""
    # Not above: a homework's process needs this file, and should start quickly.
    from compare.records.run import Tolerances

    return Tolerances(
        k=K,
        largest_measured=LARGEST_MEASURED,
        floor_ulp=FLOOR_ULP,
        float64=FLOAT64,
        unit_roundoff=UNIT_ROUNDOFF,
    )


# Errors are found in pieces of so many values, which stay in the cache from one operation to the
# next.
PIECE = 16_384


def float32_bound(torch_error: float) -> float:
    """How far NumPy may be from the referee where PyTorch is ``torch_error`` away from it."""
    floor = FLOOR_ULP * UNIT_ROUNDOFF["float32"]
    return K * max(torch_error, floor) if np.isfinite(torch_error) else K * floor


def float64_bound(terms: int) -> float:
    """How far NumPy and PyTorch may be apart in float64 where the longest sum has so many terms.

    Added up one after the other, n terms lose up to n units of roundoff of their size (Higham,
    equation 3.5), and PyTorch's batch normalisation does add them up so. The same bound holds for
    a stage alone, and for the step end to end, where the size has grown by what rounding at every
    stage does to the stages after it (:mod:`compare.parity.certificate`).
    """
    return max(FLOAT64, terms * UNIT_ROUNDOFF["float64"])


def componentwise_error(
    value: np.ndarray, referee: np.ndarray, size: np.ndarray, dtype: str = "float64"
) -> float:
    """The largest |value − referee| / size over all elements, for a value computed in ``dtype``.

    Another shape is infinitely far, and so is a NaN; equal values differ by 0 whatever their size.
    """
    if value.shape != referee.shape:
        return float("inf")
    sizes = None
    if np.ndim(size):
        sizes = (size if size.shape == value.shape else np.broadcast_to(size, value.shape)).ravel()
    value, referee = value.ravel(), referee.ravel()
    largest = 0.0
    for start in range(0, value.size, PIECE):
        part = slice(start, start + PIECE)
        of_part = size if sizes is None else sizes[part]
        found = _largest_ratio(value[part], referee[part], of_part, dtype)
        if np.isnan(found):
            return float("inf")
        largest = max(largest, found)
    return largest


def _largest_ratio(value: np.ndarray, referee: np.ndarray, size: np.ndarray, dtype: str) -> float:
    """The error of a piece; NaN where values are NaN."""
    if value.dtype == referee.dtype and (value == referee).all():
        return 0.0
    with np.errstate(all="ignore"):
        ratio = np.subtract(value, referee, dtype=np.float64)
        np.abs(ratio, out=ratio)
        ratio /= np.maximum(size, SMALLEST_NORMAL[dtype])
        if np.isnan(largest := ratio.max()):  # what is equal, infinities too, differs by 0
            largest = np.where(value == referee, 0.0, ratio).max()
    return float(largest)


def whole_error(value: np.ndarray, referee: np.ndarray, size: float) -> float:
    """The largest difference over the size of the array."""
    return componentwise_error(value, referee, np.asarray(size))


def overflowed_alike(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Where two computations both left the range of their format.

    A training that diverges overflows in both backends. Whether a sum then ends as an infinity or,
    where infinities of both signs met, as NaN depends on its order: neither is more wrong than
    the other.
    """
    if a.shape != b.shape:
        return np.zeros(a.shape, bool)
    return ~np.isfinite(a) & ~np.isfinite(b)
