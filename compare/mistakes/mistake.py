"""A mistake, as something that can take the place of a right layer, loss or optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Mistake:
    """One way in which a layer, loss or optimizer can be wrong.

    Attributes:
        code: Its name in docs/mistakes.md.
        explanation: A sentence: what is wrong, the formula it breaks, what to change.
        methods: What the wrong object has in the place of the right one's methods. Each takes
            the object and the method's arguments, and relies on nothing but the object's
            parameters: its code and its settings may be what is in question.
    """

    code: str
    explanation: str
    methods: dict[str, Callable[..., Any]]

    def apply(self, right: Any) -> Any:
        """An object that is wrong in this way, with the parameters and settings of a right one."""
        return as_instance(type(type(right).__name__, (type(right),), dict(self.methods)), right)


def as_instance(wrong: type, right: Any) -> Any:
    """An object of another class that shares all attributes with ``right``, which stays as it is.

    Args:
        wrong: The class, usually a subclass of the class of ``right``.
        right: A layer, loss or optimizer.
    """
    new: Any = object.__new__(wrong)
    new.__dict__.update(right.__dict__)
    return new


# Class of a layer, loss or optimizer → the mistakes that such an object can have. The function
# takes an object with the specified settings, of either backend.
Catalogue = dict[str, Callable[[Any], Iterator[Mistake]]]
