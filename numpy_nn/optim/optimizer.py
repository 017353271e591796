"""The base class of every optimizer, and the terms that several of them have in common."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np

from .._kernels.flat_parameters import Chunk, Flat
from ..parameter import Parameter

# PyTorch's arguments that choose how it computes, and the only value that is taken here.
TORCH_ONLY = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}
# What a scheduler stores in a group, for another one to resume from.
SCHEDULER_KEYS = {"initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum"}
LONG_NAMES = {"lr": "learning rate", "eps": "epsilon value"}


class Optimizer:
    """Base class of all optimizers: groups of parameters, their state, and a step.

    A subclass gives ``defaults`` to the constructor, names the arrays of its state
    (``_state_names``), and defines how one piece of the values and of their state is updated
    (``_update``), from what ``_prepare`` works out once a step. A state counts its steps under
    "step"; parameters that have made as many steps are updated together.

    Convention: as in PyTorch a parameter whose ``grad`` is None is skipped: neither it nor its
    state moves. For speed the values of each group lie in one array, of which every
    ``parameter.data`` is a view from the time the optimizer is made.

    Args:
        params: parameters, pairs of a name and a parameter, or dicts with "params" and the
            settings of that group.
        defaults: settings of the groups that do not have their own.

    Raises:
        TypeError: if ``params`` are no parameters.
        ValueError: if there are none, one is there twice, or a setting is unknown or wrong.

    Attributes:
        param_groups: a list of dicts: "params" and the settings, which may be changed.
        state: for each parameter a dict of what the optimizer remembers of it.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self.defaults = defaults
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._flats: list[list[Flat]] = []
        # Whether a step was made since the first schedule; None as long as there is none.
        self._opt_called: bool | None = None
        if isinstance(params, Parameter | np.ndarray):
            raise TypeError(
                "params must be an iterable of parameters or of dicts. "
                f"Received: {type(params).__name__}"
            )
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # ---- what a subclass defines

    def _check_group(self, group: dict[str, Any]) -> None:
        """Raise a ValueError that names the setting that cannot be."""
        raise NotImplementedError

    def _state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Names of the arrays that a parameter's state holds."""
        raise NotImplementedError

    def _start(self, group: dict[str, Any], name: str) -> float:
        """What an array of the state is filled with before the first step."""
        return 0.0

    def _begin_state(self) -> dict[str, Any]:
        """The numbers that a state holds beside its arrays, before the first step."""
        return {"step": 0.0}

    def _run_key(self, state: dict[str, Any]) -> Any:
        """What parameters must share to be updated together: the number of their steps."""
        return state.get("step", 0.0)

    def _begin(self, group: dict[str, Any], key: Any, states: list[dict[str, Any]]) -> Any:
        """Count the step in the states of one key; return what all pieces have in common."""
        step = key + 1
        for state in states:
            state["step"] = step
        return self._prepare(group, step)

    def _prepare(self, group: dict[str, Any], step: float) -> Any:
        """Called once a step: what all chunks have in common, for ``_update``."""
        return None

    def _update(self, group: dict[str, Any], common: Any, chunk: Chunk) -> None:
        """Called for each chunk, a piece of all values end to end: update it and its state."""
        raise NotImplementedError

    # ---- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own.

        Args:
            param_group: a dict with "params", and any of the constructor's settings.

        Raises:
            TypeError: if what should be optimized are no parameters.
            ValueError: if a parameter is there already, or a setting is unknown or wrong.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"a group must be a dict. Received: {type(param_group).__name__}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("parameters must come in an order. Received: a set; use a list")
        members = [params] if isinstance(params, Parameter) else list(params)
        names = [member[0] for member in members if isinstance(member, tuple)]
        members = [member[1] if isinstance(member, tuple) else member for member in members]
        for member in members:
            if not isinstance(member, Parameter):
                raise TypeError(f"an optimizer takes Parameters. Received: {type(member).__name__}")
        if names and len(names) != len(members):
            raise ValueError("either all parameters have names, or none has")
        for group in self.param_groups:
            if bool(names) != ("param_names" in group):
                raise ValueError("either all groups have parameter names, or none has")

        known = {"params", "param_names", *self.defaults, *SCHEDULER_KEYS}
        if unknown := set(param_group) - known:
            raise ValueError(
                f"unknown setting(s) in a group of {type(self).__name__}: "
                f"{', '.join(sorted(unknown))}. There are: {', '.join(self.defaults)}"
            )
        group = {**param_group, "params": members}
        if names:
            group["param_names"] = names
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        self._check_settings(group)

        taken = [p for group in self.param_groups for p in group["params"]]
        if len({id(p) for p in taken + members}) != len(taken) + len(members):
            raise ValueError("some parameters appear more than once")
        self.param_groups.append(group)
        self._flats.append(_flats(members))

    def _check_settings(self, group: dict[str, Any]) -> None:
        for name, default in TORCH_ONLY.items():
            if name in group and group[name] not in (default, None, False):
                raise ValueError(
                    f"{name}={group[name]!r} is not supported: it chooses between ways in which "
                    f"PyTorch computes the same. Leave it {default}"
                )
        self._check_group(group)

    # ---- the step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: called first, to compute loss and gradients; its value is returned.
        """
        loss = None if closure is None else closure()
        if self._opt_called is not None:
            self._opt_called = True
        with np.errstate(all="ignore"):  # infinite values give no warning, as in PyTorch
            for group, flats in zip(self.param_groups, self._flats, strict=True):
                names = self._state_names(group)
                for flat in flats:
                    flat.adopt()
                    for first, last, key in self._runs(flat):
                        states = [self._state_of(group, names, flat, i) for i in range(first, last)]
                        common = self._begin(group, key, states)
                        for chunk in flat.chunks(first, last):
                            self._update(group, common, chunk)
        return loss

    def _runs(self, flat: Flat) -> list[tuple[int, int, Any]]:
        """Neighbours with a gradient and the same key: (first, after the last, key)."""
        runs = []
        first, current = 0, None
        for index, parameter in enumerate(flat.params):
            key = None if parameter.grad is None else self._run_key(self.state.get(parameter, {}))
            if key != current:
                if current is not None:
                    runs.append((first, index, current))
                first, current = index, key
        if current is not None:
            runs.append((first, len(flat.params), current))
        return runs

    def _state_of(
        self, group: dict[str, Any], names: tuple[str, ...], flat: Flat, index: int
    ) -> dict[str, Any]:
        """The state of a parameter, its arrays being views of the flat ones."""
        if not names:
            return {}
        state = self.state[flat.params[index]]
        if not state:
            state.update(self._begin_state())
        views = flat.state_views
        for name in names:
            value = state.get(name)
            if value is None:
                state[name] = flat.adopt_state(index, name, None, self._start(group, name))
            elif name not in views or value is not views[name][index]:
                state[name] = flat.adopt_state(index, name, value, 0.0)
        return state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to 0 in place with ``set_to_none=False``."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter.grad = None
                elif parameter.grad is not None:
                    parameter.grad.fill(0)

    # ---- state

    def state_dict(self) -> dict[str, Any]:
        """State and settings in PyTorch's form, parameters standing as their numbers.

        The arrays are those of the optimizer, not copies.

        Example:
            >>> import numpy
            >>> from numpy_nn import Parameter
            >>> from numpy_nn.optim import SGD
            >>> SGD([Parameter(numpy.zeros(2))], lr=0.1).state_dict()["param_groups"][0]["params"]
            [0]
        """
        numbers: dict[int, int] = {}
        for parameter in chain.from_iterable(g["params"] for g in self.param_groups):
            numbers[id(parameter)] = len(numbers)
        return {
            "state": {numbers[id(p)]: dict(state) for p, state in self.state.items()},
            "param_groups": [
                {**group, "params": [numbers[id(p)] for p in group["params"]]}
                for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that ``state_dict()`` gave, here or in PyTorch.

        Raises:
            ValueError: if groups, parameters or the names in their state do not fit.
        """
        saved = [dict(group) for group in state_dict["param_groups"]]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                "loaded state dict has a different number of parameter groups: "
                f"{len(saved)}, not {len(self.param_groups)}"
            )
        state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        for number, (new, old) in enumerate(zip(saved, self.param_groups, strict=True)):
            keys, params = new["params"], old["params"]
            if len(keys) != len(params):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of "
                    f"optimizer's group: group {number} has {len(keys)}, not {len(params)}"
                )
            new["params"] = params
            for name in {"param_names", *self.defaults} & set(old):
                new.setdefault(name, old[name])
            self._check_settings(new)
            for key, parameter in zip(keys, params, strict=True):
                if loaded := state_dict["state"].get(key):
                    state[parameter] = self._loaded(new, key, parameter, loaded)
        self.param_groups, self.state = saved, state

    def _loaded(
        self, group: dict[str, Any], key: Any, parameter: Parameter, loaded: Mapping[str, Any]
    ) -> dict[str, Any]:
        names = self._state_names(group)
        expected = {*names, *self._begin_state()}
        found = {name: value for name, value in loaded.items() if value is not None}
        if not found:
            return {}
        if set(found) != expected:
            raise ValueError(
                f"the state of parameter {key} should hold {sorted(expected)} for this "
                f"{type(self).__name__}. Received: {sorted(found)}"
            )
        state: dict[str, Any] = {}
        for name, value in found.items():
            array = np.asarray(value)
            if name not in names:
                state[name] = self._loaded_number(name, array, parameter)
            elif array.shape != parameter.shape:
                raise ValueError(
                    f"{name} of parameter {key} should have shape {parameter.shape}. "
                    f"Received: {array.shape}"
                )
            else:
                state[name] = array.astype(parameter.dtype)
        return state

    def _loaded_number(self, name: str, value: np.ndarray, parameter: Parameter) -> Any:
        """One of the numbers of ``_begin_state`` in the form that it has here."""
        return float(value)

    def __getstate__(self) -> dict[str, Any]:
        # The flat arrays are left out: copied, they would no longer be what the views view.
        return {name: value for name, value in self.__dict__.items() if name != "_flats"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._flats = [_flats(group["params"]) for group in self.param_groups]

    def __repr__(self) -> str:
        text = f"{type(self).__name__} ("
        for number, group in enumerate(self.param_groups):
            text += f"\nParameter Group {number}\n"
            for name in sorted(group.keys() - {"params"}):
                text += f"    {name}: {group[name]}\n"
        return text + ")"


def _flats(params: list[Parameter]) -> list[Flat]:
    """One Flat for each dtype among the parameters, in order."""
    by_dtype: dict[np.dtype, list[Parameter]] = {}
    for parameter in params:
        by_dtype.setdefault(parameter.dtype, []).append(parameter)
    return [Flat(members) for members in by_dtype.values()]


def check_not_negative(group: dict[str, Any], *names: str) -> None:
    """Refuse a setting below 0, or NaN.

    Raises:
        ValueError: naming the setting and its value.
    """
    for name in names:
        if not group[name] >= 0:
            raise ValueError(f"Invalid {LONG_NAMES.get(name, f'{name} value')}: {group[name]}")


def check_betas(group: dict[str, Any]) -> None:
    """Refuse a share of the past that is not in [0, 1).

    Raises:
        ValueError: naming the index and the value.
    """
    for index, beta in enumerate(group["betas"]):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {beta}")


def gradient(group: dict[str, Any], chunk: Chunk) -> np.ndarray:
    """The gradient g to descend by, not to be modified.

    Formula, for the weight decay λ:  g ← −g where the loss is maximized;  g ← g + λθ, or with
    decoupled weight decay θ ← θ(1 − γλ) in place.

    It uses the scratch 0 and, for a moment, 2.
    """
    g = chunk.grad()
    if group["maximize"]:
        g = np.negative(g, out=chunk.scratch(0))
    decay = group.get("weight_decay", 0)
    if decay != 0:
        p = chunk.param()
        if group.get("decoupled_weight_decay", False):
            p *= 1 - group["lr"] * decay
        else:
            decayed = np.multiply(p, decay, out=chunk.scratch(2))
            g = np.add(g, decayed, out=chunk.scratch(0))
    return g


def move_average(m: np.ndarray, g: np.ndarray, beta: float, scratch: np.ndarray) -> None:
    """m ← m + (1 − β)(g − m), which for β ≤ ½ is g − β(g − m); ``scratch`` is overwritten."""
    np.subtract(g, m, out=scratch)
    if 1 - beta < 0.5:
        scratch *= 1 - beta
        m += scratch
    else:
        scratch *= 1 - (1 - beta)
        np.subtract(g, scratch, out=m)


def move_average_of_squares(v: np.ndarray, g: np.ndarray, beta: float, scratch: np.ndarray) -> None:
    """v ← βv + (1 − β)g²; ``scratch`` is overwritten."""
    v *= beta
    np.multiply(g, 1 - beta, out=scratch)
    scratch *= g
    v += scratch
