"""The functions of the Deep Learning Specialization's networks, as those of the contract.

This file is imported beside the homework, in its process.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compare.check.adapters import AdaptationError, gradients_by_name, not_written, supply

Arrays = Mapping[str, np.ndarray]


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ᶻ), which is planar_utils' sigmoid."""
    return 1 / (1 + np.exp(-z))


def _with_cache(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return sigmoid(z), z


def _relu(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.maximum(z, 0), z


def _sigmoid_backward(da: np.ndarray, cache: np.ndarray) -> np.ndarray:
    return da * sigmoid(cache) * (1 - sigmoid(cache))


def _relu_backward(da: np.ndarray, cache: np.ndarray) -> np.ndarray:
    return np.where(cache > 0, da, 0)


# What the modules of the course hold that the functions use.
HELPERS: dict[str, dict[str, Callable[..., Any]]] = {
    "dnn_utils": {
        "sigmoid": _with_cache,
        "relu": _relu,
        "sigmoid_backward": _sigmoid_backward,
        "relu_backward": _relu_backward,
    },
    "planar_utils": {"sigmoid": sigmoid},
}


class Functions:
    """The functions of one notebook.

    Args:
        names: The names that the homework defines.
        forward: The name of the function that returns (A, cache).
        backward: The name of the function that returns the gradients.
        module: The course's module, a key of :data:`HELPERS`.
        learning_rate: The rate of an update.
    """

    def __init__(
        self,
        names: Mapping[str, Any],
        *,
        forward: str,
        backward: str,
        module: str,
        learning_rate: float,
    ) -> None:
        wanted = (forward, "compute_cost", backward, "update_parameters")
        self._functions = {
            name: names[name] for name in wanted if inspect.isfunction(names.get(name))
        }
        self._forward, self._backward = forward, backward
        self._learning_rate = learning_rate
        if forward not in self._functions:
            raise AdaptationError(f"expected a function {forward}, but none is defined")
        self._module = module
        self._supplied = supply(self._functions[forward], HELPERS[module])

    def offer(self, parameters: Mapping[str, str], gradients: Callable[..., Any]) -> tuple:
        """What of the notebook is written.

        Args:
            parameters: PARAMETERS, for its names.
            gradients: :meth:`from_caches` or :meth:`from_arguments`.

        Returns:
            Notes, and the functions forward, loss, gradients and update of the contract, each None
            if it is left out.
        """
        sizes = [3] * (len(parameters) // 2) + [1]
        x, y = np.ones((3, 2)), np.ones((1, 2))
        params = {}
        for number, (rows, columns) in enumerate(zip(sizes[1:], sizes, strict=False), 1):
            params[f"W{number}"] = np.full((rows, columns), 0.1)
            params[f"b{number}"] = np.zeros((rows, 1))
        why = not_written(lambda: self._run(params, x))
        if why:
            raise AdaptationError(f"expected {self._forward} to return (A, cache), but it {why}")
        functions: dict[str, tuple[Callable[..., Any], Callable[[], Any]]] = {
            "compute_cost": (self.loss, lambda: self.loss(params, x, y)),
            self._backward: (
                lambda params, x, y: self._named(gradients(params, x, y), params),
                lambda: gradients(params, x, y),
            ),
            "update_parameters": (self.update, lambda: self._update(params, params)),
        }
        notes: list[str] = []
        found: list[Callable[..., Any] | None] = [self.forward]
        for name, (function, tried) in functions.items():
            why = "not defined" if name not in self._functions else not_written(tried)
            if why:
                notes.append(f"Left out of the comparison: {name} ({why}).")
            found.append(None if why else function)
        if self._supplied:
            own = ", ".join(self._supplied)
            notes.append(
                f"{self._module} could not be imported: nncompare's own {own} took its place."
            )
        return notes, *found

    def forward(self, params: Arrays, x: np.ndarray) -> Any:
        """The last activation."""
        return self._run(params, x)[0]

    def loss(self, params: Arrays, x: np.ndarray, y: np.ndarray) -> Any:
        """The cost."""
        activation, _ = self._run(params, x)
        cost = self._functions["compute_cost"]
        try:
            inspect.signature(cost).bind(activation, y)
        except TypeError:
            return cost(activation, y, params)
        return cost(activation, y)

    def from_caches(self, params: Arrays, x: np.ndarray, y: np.ndarray) -> Any:
        """What ``backward(AL, Y, caches)`` returns."""
        activation, caches = self._run(params, x)
        return self._functions[self._backward](activation, y, caches)

    def from_arguments(self, params: Arrays, x: np.ndarray, y: np.ndarray) -> Any:
        """What ``backward(parameters, cache, X, Y)`` returns."""
        _, cache = self._run(params, x)
        return self._functions[self._backward](params, cache, x, y)

    def update(self, params: Arrays, grads: Arrays, state: dict[str, Any]) -> Any:
        """The parameters after a step of gradient descent."""
        return self._update(params, grads)

    def _update(self, params: Arrays, grads: Arrays) -> Any:
        named = {f"d{name}": gradient for name, gradient in grads.items()}
        return self._functions["update_parameters"](params, named, self._learning_rate)

    def _run(self, params: Arrays, x: np.ndarray) -> tuple[Any, Any]:
        result = self._functions[self._forward](x, params)
        if not isinstance(result, tuple) or len(result) != 2:
            raise AdaptationError(f"{self._forward} should return a pair, (A, cache)")
        return result

    def _named(self, grads: Any, params: Arrays) -> dict[str, Any]:
        return gradients_by_name(grads, list(params), self._backward, "d")
