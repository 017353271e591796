"""The base class of every optimizer that counts its steps."""

from typing import Any

from .optimizer import Optimizer


class CountingOptimizer(Optimizer):
    """An optimizer whose states hold the number of their steps under "step".

    Parameters that have made as many steps are updated together. A subclass defines
    ``_prepare`` in place of ``_begin``.
    """

    def _prepare(self, group: dict[str, Any], step: float) -> Any:
        """What all pieces of a step have in common, for ``_update``."""
        return None

    def _begin_state(self) -> dict[str, Any]:
        return {"step": 0.0}

    def _run_key(self, state: dict[str, Any]) -> Any:
        return state.get("step", 0.0)

    def _begin(self, group: dict[str, Any], key: Any, states: list[dict[str, Any]]) -> Any:
        step = key + 1
        for state in states:
            state["step"] = step
        return self._prepare(group, step)
