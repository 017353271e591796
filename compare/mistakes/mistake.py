"""A mistake, as something that can be put into a network."""

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
        methods: What the wrong object does in the place of the right one's methods. Each takes
            the object and the method's arguments, and relies on nothing but the object's
            parameters: its code and its settings may be what is in question.
    """

    code: str
    explanation: str
    methods: dict[str, Callable[..., Any]]

    def plant(self, target: Any) -> None:
        """Make ``target`` wrong in this way, in place."""
        right = type(target)
        target.__class__ = type(right.__name__, (right,), dict(self.methods))


# Kind of layer, loss or optimizer → the mistakes that such an object can have. The function is
# given an object that has the specified settings, on either side.
Catalogue = dict[str, Callable[[Any], Iterator[Mistake]]]
