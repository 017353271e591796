"""Networks whose class has loss(X, y) and params, as in cs231n: what they offer of the contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compare.check.adapters import (
    AdaptationError,
    gradients_by_name,
    not_written,
    set_parameters,
    shown,
)


class LossNetwork:
    """A class of networks whose ``loss(X)`` returns scores and ``loss(X, y)`` (loss, gradients).

    Args:
        make: The class, or None if the homework lacks it.
        name: Its name.
        arguments: What it is made with.
        settings: The same by name.
    """

    def __init__(
        self, make: Callable[..., Any] | None, name: str, *arguments: Any, **settings: Any
    ) -> None:
        if make is None:
            raise AdaptationError(f"expected a class {name}, but none is defined")
        self._make, self._name = make, name
        self._arguments, self._settings = arguments, settings

    def offer(
        self, parameters: Mapping[str, str], shape: tuple[int, ...]
    ) -> tuple[list[str], Any, Any, Any]:
        """What of the network is written.

        Args:
            parameters: PARAMETERS, for its names.
            shape: The shape of one row of X.

        Returns:
            Notes about what is left out, and the functions forward, loss and loss_and_gradients of
            the contract, each None if it is left out.
        """
        self._names = list(parameters)
        x, y = np.ones((3, *shape)), np.array([0, 1, 2])
        why = not_written(lambda: self._new().loss(x))
        if why:
            raise AdaptationError(f"expected {self._name}.loss(X) to return scores, but it {why}")
        why = not_written(lambda: self._new().loss(x, y)[0])
        if why:
            why = f"{self._name}.loss(X, y) ({why})"
            return [f"Left out of the comparison: {why}."], self.scores, None, None
        why = not_written(lambda: self._new().loss(x, y)[1])
        if why:
            why = f"the gradients of {self._name}.loss(X, y) ({why})"
            return [f"Left out of the comparison: {why}."], self.scores, self.loss, None
        return [], self.scores, None, self.loss_and_gradients

    def scores(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> Any:
        """What ``loss(X)`` returns for these parameters."""
        return self._network(params).loss(x)

    def loss(self, params: Mapping[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> Any:
        """The loss of ``loss(X, y)``."""
        return self._result(params, x, y)[0]

    def loss_and_gradients(
        self, params: Mapping[str, np.ndarray], x: np.ndarray, y: np.ndarray
    ) -> Any:
        """What ``loss(X, y)`` returns: the loss and the gradients by name."""
        loss, grads = self._result(params, x, y)
        return loss, gradients_by_name(grads, self._names, f"{self._name}.loss(X, y)")

    def _result(self, params: Mapping[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> Any:
        result = self._network(params).loss(x, y)
        if not isinstance(result, tuple) or len(result) != 2:
            raise AdaptationError(
                f"{self._name}.loss(X, y) should return (loss, gradients), but returned "
                f"{shown(result)}"
            )
        return result

    def _new(self) -> Any:
        return self._make(*self._arguments, **self._settings)

    def _network(self, params: Mapping[str, np.ndarray]) -> Any:
        network = self._new()
        set_parameters(network, params)
        return network
