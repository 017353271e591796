"""Random draws that equal PyTorch's, bit for bit where arithmetic allows.

PyTorch's generator on the CPU is the 32-bit Mersenne Twister, seeded as in the original code
of 2002, and so is NumPy's ``RandomState``. What is drawn from the words is PyTorch's too:

* float32 uniforms: the low 24 bits of one word, over 2²⁴;
* float64 uniforms: the low 53 bits of two words, the first one the higher, over 2⁵³;
* U(a, b): u · (b − a) + a, rounded once;
* normals: Box–Muller over blocks of 16 (see ``Generator.normal``);
* permutations: position i changes places with i + word mod (n − i).
"""

import math
import operator
from typing import Any

import numpy as np

FLOAT32_BITS = 24
FLOAT64_BITS = 53
NORMAL_BLOCK = 16
# From this size on PyTorch draws 64-bit words for a permutation.
LARGE_PERMUTATION = (2**32 - 1) // 20


class Generator:
    """A stream of random words: PyTorch's ``torch.Generator`` on the CPU.

    Args:
        seed: see ``manual_seed``. PyTorch's is made with the same default.

    Example:
        >>> Generator(0).uniform(3)  # torch.manual_seed(0); torch.rand(3)
        array([0.4962566 , 0.7682218 , 0.08847743], dtype=float32)
    """

    def __init__(self, seed: int = 67280421310721) -> None:
        self._bit_generator = np.random.MT19937()
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> "Generator":
        """Start the stream anew.

        Args:
            seed: in [−2⁶³, 2⁶⁴). A negative one stands for seed + 2⁶⁴; the low 32 bits count.

        Raises:
            ValueError: if it is outside that range.
        """
        seed = operator.index(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"seed must be in [-2**63, 2**64). Received: {seed}")
        self._seed = seed % 2**64
        # NumPy freezes the stream of RandomState(seed) for good (NEP 19).
        legacy = np.random.RandomState(self._seed % 2**32)
        state: Any = legacy.get_state(legacy=False)
        self._bit_generator.state = state
        self._next_normal: float | None = None
        return self

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """Where the stream stands, for ``set_state``."""
        return {
            "seed": self._seed,
            "words": self._bit_generator.state,
            "next_normal": self._next_normal,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go back to where the stream stood."""
        self._seed = state["seed"]
        self._bit_generator.state = state["words"]
        self._next_normal = state["next_normal"]

    def random_raw(self, size: int) -> np.ndarray:
        """The next 32-bit words, as uint64."""
        return self._bit_generator.random_raw(size)

    def _unit(self, size: int, dtype: Any) -> np.ndarray:
        """Multiples of 2⁻²⁴ or 2⁻⁵³ in [0, 1), in float64."""
        if np.dtype(dtype) == np.float32:
            return (self.random_raw(size) & (2**FLOAT32_BITS - 1)) * 2.0**-FLOAT32_BITS
        words = self.random_raw(2 * size)
        high, low = words[0::2], words[1::2]
        return (((high << 32) | low) & (2**FLOAT64_BITS - 1)) * 2.0**-FLOAT64_BITS

    def uniform(
        self, size: int, low: float = 0.0, high: float = 1.0, dtype: Any = np.float32
    ) -> np.ndarray:
        """Draw from U(low, high), as ``torch.Tensor.uniform_`` does.

        Convention: PyTorch's build for processors with FMA, which is that of any recent one,
        rounds u · (high − low) + low once, so that is done here; on others it rounds twice.
        """
        u = self._unit(size, dtype)
        if np.dtype(dtype) == np.float32:
            # In float64 the product of two float32 is exact, so that one rounding is left.
            start, width = np.float32(low), np.float32(high) - np.float32(low)
            return (u * np.float64(width) + np.float64(start)).astype(np.float32)
        return _multiply_add(u, high - low, low)

    def normal(
        self, size: int, mean: float = 0.0, std: float = 1.0, dtype: Any = np.float32
    ) -> np.ndarray:
        """Draw from N(mean, std²), as ``torch.Tensor.normal_`` does.

        Box–Muller: √(−2 ln u₁) cos 2πu₂ and √(−2 ln u₁) sin 2πu₂ with u₁ the first and u₂ the
        second half of each block of 16. Fewer than 16 come pair by pair, in float64.

        Convention: the words used are PyTorch's, so that both generators stand at the same
        place afterwards. The values are equal in float64, and below 16; in float32 they
        differ by a few ulp, as PyTorch's vectorised logarithm, sine and cosine do.
        """
        if size < NORMAL_BLOCK:
            pairs = (self._pairwise_normal() for _ in range(size))
            return np.array([z * std + mean for z in pairs], dtype)
        u = self._unit(size, dtype)
        whole = size - size % NORMAL_BLOCK
        z = np.empty(size)
        z[:whole] = _box_muller(u[:whole])
        if whole < size:  # the last 16 are drawn once more, to make a block
            z[-NORMAL_BLOCK:] = _box_muller(self._unit(NORMAL_BLOCK, dtype))
        return (z * std + mean).astype(dtype)

    def _pairwise_normal(self) -> float:
        if (z := self._next_normal) is not None:
            self._next_normal = None
            return z
        angle, u = self._unit(2, np.float64).tolist()
        radius = math.sqrt(-2 * math.log1p(-u))
        self._next_normal = radius * math.sin(2 * math.pi * angle)
        return radius * math.cos(2 * math.pi * angle)

    def randperm(self, n: int) -> np.ndarray:
        """Draw a permutation of 0 … n − 1, int64.

        Raises:
            ValueError: if n is negative, or so large that PyTorch draws it another way.
        """
        n = operator.index(n)
        if not 0 <= n < LARGE_PERMUTATION:
            raise ValueError(f"n must be in [0, {LARGE_PERMUTATION}). Received: {n}")
        steps = max(n - 1, 0)
        offsets = self.random_raw(steps) % np.arange(n, n - steps, -1, dtype=np.uint64)
        order = list(range(n))
        for i, offset in enumerate(offsets.tolist()):
            order[i], order[i + offset] = order[i + offset], order[i]
        return np.array(order, dtype=np.int64)


def _box_muller(u: np.ndarray) -> np.ndarray:
    first, second = np.split(u.reshape(-1, NORMAL_BLOCK), 2, axis=1)
    radius = np.sqrt(-2 * np.log(1 - first))
    angle = 2 * math.pi * second
    return np.hstack([radius * np.cos(angle), radius * np.sin(angle)]).ravel()


def _multiply_add(u: np.ndarray, factor: float, term: float) -> np.ndarray:
    """Compute u · factor + term in float64, rounded once.

    T. J. Dekker, A floating-point technique for extending the available precision, 1971,
    doi:10.1007/BF01397083.
    """
    product = u * factor
    (u_high, u_low), (f_high, f_low) = _halves(u), _halves(np.float64(factor))
    product_error = (
        ((u_high * f_high - product) + u_high * f_low) + u_low * f_high
    ) + u_low * f_low
    total = product + term
    back = total - product
    total_error = (product - (total - back)) + (term - back)
    return total + (total_error + product_error)


def _halves(x: Any) -> tuple[Any, Any]:
    """Split into 26 and 27 bits, whose products are exact."""
    scaled = x * (2.0**27 + 1)
    high = scaled - (scaled - x)
    return high, x - high


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default generator anew.

    Args:
        seed: in [−2⁶³, 2⁶⁴); see ``Generator.manual_seed``.

    Raises:
        ValueError: if it is outside that range.

    Example:
        >>> manual_seed(0).uniform(2)  # torch.manual_seed(0); torch.rand(2)
        array([0.4962566, 0.7682218], dtype=float32)
    """
    return default_generator.manual_seed(seed)


def randperm(n: int, *, generator: Generator | None = None) -> np.ndarray:
    """Draw a permutation of 0 … n − 1, as ``torch.randperm`` does.

    Args:
        n: how many numbers.
        generator: None for the default one.

    Raises:
        ValueError: if n is negative, or so large that PyTorch draws it another way.

    Example:
        >>> randperm(5, generator=Generator(0))  # torch.manual_seed(0); torch.randperm(5)
        array([4, 0, 1, 3, 2])
    """
    return (generator or default_generator).randperm(n)
