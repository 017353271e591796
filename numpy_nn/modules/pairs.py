"""Arguments that are one number, or one for each axis of an image."""

from collections.abc import Iterable
from typing import Any


def for_each_axis(name: str, value: Any, axes: int) -> tuple[Any, ...]:
    """A number as so many of them, a tuple of so many as it is.

    Raises:
        ValueError: naming the argument, if there are more or fewer.

    Example:
        >>> for_each_axis("stride", 2, 3)
        (2, 2, 2)
    """
    values = tuple(value) if isinstance(value, Iterable) else (value,)
    if len(values) == 1:  # PyTorch takes (2,) for 2
        values *= axes
    if len(values) != axes:
        raise ValueError(
            f"{name} must be a number, or one for each of the axes, which are {axes}. "
            f"Received: {value}"
        )
    return values


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """A number as (number, number), a pair as it is; see ``for_each_axis``."""
    first, second = for_each_axis(name, value, 2)
    return first, second
