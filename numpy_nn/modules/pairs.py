"""Arguments that are one number, or one for each axis of an image."""

from collections.abc import Iterable
from typing import Any


def pair(name: str, value: Any) -> tuple[Any, Any]:
    """A number as (number, number), a pair as it is.

    Raises:
        ValueError: naming the argument, if there are more than two.

    Example:
        >>> pair("stride", 2)
        (2, 2)
    """
    if not isinstance(value, Iterable):
        return value, value
    values = tuple(value)
    if len(values) == 1:  # PyTorch takes (2,) for 2
        values *= 2
    if len(values) != 2:
        raise ValueError(f"{name} must be a number or two of them. Received: {value}")
    return values[0], values[1]
