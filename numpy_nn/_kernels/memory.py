"""Memory of large arrays, kept and used again.

The system hands out memory page by page and clears every page first: for a large array that
takes as long as computing it. A training step asks for the same sizes again and again, so the
memory that one step frees serves the next. It is used again only when no array that views it is
left, which Python's count of references tells.
"""

import math
import sys
from threading import Lock
from typing import Any

import numpy as np

# Smaller arrays are NumPy's own: the C library keeps memory for those.
LEAST_BYTES = 1 << 18
# Bytes of a line of the processor's cache; arrays that begin with one are faster.
ALIGNMENT = 64
# A block that was not used for PATIENCE requests is freed, and so are unused blocks while all
# blocks together are larger than SPARE times the most that was in use at once.
PATIENCE = 200
SPARE = 1.25


class Block:
    """Some bytes, where among them the first aligned one is, and when they were asked for."""

    __slots__ = ("bytes", "request", "size", "start")

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes = np.empty(size + ALIGNMENT, np.uint8)
        self.start = -self.bytes.ctypes.data % ALIGNMENT
        self.request = 0

    def references(self) -> int:
        """How many there are to the bytes; every view of them, or of a view, has one."""
        return sys.getrefcount(self.bytes)


class Memory:
    """Blocks of memory to be used again; ``empty`` is ``numpy.empty`` from them.

    Example:
        >>> memory = Memory()
        >>> first = memory.empty((1000, 1000), np.float32)
        >>> address = first.ctypes.data
        >>> del first
        >>> memory.empty((1000, 1000), np.float32).ctypes.data == address
        True
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks: list[Block] = []  # the one that was asked for last comes last
        self._requests = 0
        self._most_used = 0  # bytes at a time

    def empty(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """An array without values; a large one begins at a multiple of 64 bytes."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if size < LEAST_BYTES:
            return np.empty(shape, dtype)
        with self._lock:  # until there is a view of the block, another thread would find it unused
            self._requests += 1
            block = self._find(size)
            if block is None:
                self._make_room(size)
                block = Block(size)
            else:
                self._blocks.remove(block)
            self._blocks.append(block)
            block.request = self._requests
            return np.ndarray(shape, dtype, block.bytes, block.start)

    def held(self) -> int:
        """How many bytes there are in all, used or not."""
        return sum(block.size for block in self._blocks)

    def _find(self, size: int) -> Block | None:
        """The smallest unused block of this size, or of up to twice as much."""
        fitting = (
            block
            for block in self._blocks
            if size <= block.size <= 2 * size and block.references() == UNUSED
        )
        return min(fitting, key=lambda block: (block.size, -block.request), default=None)

    def _make_room(self, size: int) -> None:
        """Free the unused blocks that PATIENCE and SPARE do not allow."""
        held = self.held() + size
        unused = [block for block in self._blocks if block.references() == UNUSED]
        self._most_used = max(self._most_used, held - sum(block.size for block in unused))
        for block in unused:
            if held > SPARE * self._most_used or block.request < self._requests - PATIENCE:
                self._blocks.remove(block)
                held -= block.size


# How many references there are to bytes that no array views; it depends on Python's version.
UNUSED = Block(1).references()
_memory = Memory()
empty = _memory.empty


def empty_like(
    array: np.ndarray, dtype: Any = None, shape: tuple[int, ...] | None = None
) -> np.ndarray:
    """``numpy.empty_like`` from the blocks: axes lie in memory in the order of the array's."""
    shape = array.shape if shape is None else shape
    dtype = array.dtype if dtype is None else np.dtype(dtype)
    if math.prod(shape) * dtype.itemsize < LEAST_BYTES:
        return np.empty_like(array, dtype=dtype, shape=shape)
    order = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
    places = sorted(range(array.ndim), key=order.__getitem__)
    return empty(tuple(shape[axis] for axis in order), dtype).transpose(places)


def matmul(a: np.ndarray, b: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """A B, of an array A of two or more axes, or one, and a matrix B.

    Args:
        a: A.
        b: B.
        like: a matrix of the result's shape whose order of axes in memory the result has; None
            for C order.
    """
    out = empty((*a.shape[:-1], b.shape[-1]), a.dtype) if like is None else empty_like(like)
    return np.matmul(a, b, out=out)
