"""The base class of every layer: parameters, state, hooks."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, Self

import numpy as np

from ..parameter import Parameter
from .validation import float_dtype

__all__ = ["Module"]

BACKWARD = ("backward", "backward_parameters")


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(strict=False)`` found no counterpart for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the hook away again.

    It may stand in a ``with`` statement, at whose end the hook is removed, as in PyTorch.
    """

    def __init__(self, module: "Module", kind: str, number: int) -> None:
        self._module, self._kind, self._number = module, kind, number

    def remove(self) -> None:
        """Take the hook away; a second time nothing happens."""
        self._module._remove_hook(self._kind, self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Module:
    """Base class of all layers: parameters, buffers and submodules under their names.

    A subclass calls ``super().__init__()``, assigns its parameters and submodules as
    attributes, and defines ``forward`` and ``backward``. ``forward`` keeps what ``backward``
    needs; ``backward`` takes the gradient of the loss by the output, adds each parameter's
    gradient to its ``.grad``, and returns the gradient by the input. Hooks see what goes in and
    out of both, as in PyTorch: ``register_forward_hook``, ``register_full_backward_hook``.

    Convention: there is no autograd. What PyTorch does in ``loss.backward()`` is written
    ``model.backward(loss_fn.backward())``. Names, their order and ``state_dict`` keys are
    PyTorch's, so a state goes from one to the other key for key.

    Attributes:
        training: True after construction and ``train()``, False after ``eval()``.

    Example:
        >>> import numpy
        >>> class Double(Module):
        ...     def forward(self, input):
        ...         return 2 * input
        ...
        ...     def backward(self, grad_output):
        ...         return 2 * grad_output
        >>> Double()(numpy.ones(3))
        array([2., 2., 2.])
    """

    training: bool
    # Keys that states saved before PyTorch 0.4.1 do not hold.
    _later_keys: tuple[str, ...] = ()
    # The registries hold the same objects as the attributes: names and order are read here,
    # values where they are used, without a detour through __getattr__.
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, np.ndarray | None]
    _modules: dict[str, "Module | None"]
    # Kind of hook → number → hook; the module has a dict of its own once there is one.
    _hooks: Mapping[str, dict[int, Callable[..., Any]]] = MappingProxyType({})

    def __init__(self) -> None:
        for registry in ("_parameters", "_buffers", "_modules"):
            object.__setattr__(self, registry, {})
        self.training = True

    # ---- computing

    def forward(self, *args: Any) -> Any:
        """Compute the output, and keep what ``backward`` needs."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    def backward(self, grad_output: Any) -> Any:
        """Add each parameter's gradient to its ``.grad``; return the gradient by the input."""
        raise NotImplementedError(f"{type(self).__name__} defines no backward")

    def backward_parameters(self, grad_output: Any) -> None:
        """Add each parameter's gradient to its ``.grad``, as ``backward`` does, and no more.

        PyTorch computes no gradient by an input that does not require one, such as a batch of
        data. Whoever calls this says the same; some layers save work by it.
        """
        self.backward(grad_output)

    def __call__(self, *args: Any) -> Any:
        """Compute the output: ``forward``, and the hooks around it."""
        if self._hooks:
            return self._forward_with_hooks(args)
        return self.forward(*args)

    def _saved(self, name: str) -> Any:
        """What forward kept under a name, or an error that says that there was no forward."""
        if (value := self.__dict__.get(name)) is None:
            raise RuntimeError(f"{type(self).__name__}.backward was called before forward")
        return value

    # ---- hooks

    def register_forward_pre_hook(
        self, hook: Callable[["Module", tuple[Any, ...]], Any], *, prepend: bool = False
    ) -> RemovableHandle:
        """Call a hook before each ``forward``.

        Convention: as in PyTorch the hooks of ``forward`` run when the module is called, and not
        when its ``forward`` is.

        Args:
            hook: called with (module, args), the positional arguments; what it returns, unless
                that is None, takes their place.
            prepend: whether it runs before the hooks that are there already.

        Returns:
            a handle, whose ``remove()`` takes the hook away.
        """
        return self._register_hook("forward_pre", hook, prepend)

    def register_forward_hook(
        self, hook: Callable[["Module", tuple[Any, ...], Any], Any], *, prepend: bool = False
    ) -> RemovableHandle:
        """Call a hook after each ``forward``.

        Convention: see ``register_forward_pre_hook``. The arrays are the module's own: a hook
        that keeps them makes copies.

        Args:
            hook: called with (module, args, output); what it returns, unless that is None, takes
                the place of the output. ``backward`` knows nothing of that: without autograd
                no gradient of a hook is computed.
            prepend: whether it runs before the hooks that are there already.

        Returns:
            a handle, whose ``remove()`` takes the hook away.

        Example:
            >>> import numpy
            >>> from numpy_nn import ReLU
            >>> layer = ReLU()
            >>> with layer.register_forward_hook(lambda module, args, output: output + 1):
            ...     layer(numpy.array([-1.0, 2.0]))
            array([1., 3.])
            >>> layer(numpy.array([-1.0, 2.0]))
            array([0., 2.])
        """
        return self._register_hook("forward", hook, prepend)

    def register_full_backward_pre_hook(
        self, hook: Callable[["Module", tuple[Any, ...]], Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call a hook before each ``backward``.

        Args:
            hook: called with (module, grad_output), a tuple of the gradient by the output; a
                tuple that it returns takes its place.
            prepend: whether it runs before the hooks that are there already.

        Returns:
            a handle, whose ``remove()`` takes the hook away.
        """
        return self._register_hook("backward_pre", hook, prepend)

    def register_full_backward_hook(
        self,
        hook: Callable[["Module", tuple[Any, ...], tuple[Any, ...]], Any],
        prepend: bool = False,
    ) -> RemovableHandle:
        """Call a hook after each ``backward``.

        Convention: as in PyTorch ``grad_input`` has one entry for each argument of ``forward``,
        and None for those that get no gradient: a loss's target (by one of class indices PyTorch
        gives zeros), and the input of a module whose ``backward_parameters`` was called. There
        is no autograd that could call the hooks, so they run when ``backward`` or
        ``backward_parameters`` of the module is called, by a container or directly.

        Args:
            hook: called with (module, grad_input, grad_output), two tuples; a tuple that it
                returns takes the place of ``grad_input``.
            prepend: whether it runs before the hooks that are there already.

        Returns:
            a handle, whose ``remove()`` takes the hook away.

        Example:
            >>> import numpy
            >>> from numpy_nn import ReLU
            >>> layer = ReLU()
            >>> handle = layer.register_full_backward_hook(
            ...     lambda module, grad_input, grad_output: print(grad_input, grad_output)
            ... )
            >>> y = layer(numpy.array([-1.0, 2.0]))
            >>> dx = layer.backward(numpy.array([3.0, 4.0]))
            (array([0., 4.]),) (array([3., 4.]),)
            >>> handle.remove()
        """
        return self._register_hook("backward", hook, prepend)

    def _register_hook(self, kind: str, hook: Callable[..., Any], prepend: bool) -> RemovableHandle:
        if not callable(hook):
            raise TypeError(f"a hook must be callable. Received: {type(hook).__name__}")
        attributes = self.__dict__
        hooks = attributes.setdefault("_hooks", {})
        number = attributes["_hooks_made"] = attributes.get("_hooks_made", 0) + 1
        registered = hooks.get(kind, {})
        new = {number: hook}
        hooks[kind] = new | registered if prepend else registered | new
        if kind.startswith("backward") and "_unhooked" not in attributes:
            # In front of the methods of the class, on this instance alone: what has no hooks is
            # called directly. Methods that were set on the instance are kept behind them.
            attributes["_unhooked"] = {n: attributes[n] for n in BACKWARD if n in attributes}
            attributes["backward"] = self._backward_with_hooks
            attributes["backward_parameters"] = self._backward_parameters_with_hooks
        return RemovableHandle(self, kind, number)

    def _remove_hook(self, kind: str, number: int) -> None:
        attributes = self.__dict__
        hooks = attributes.get("_hooks", {})
        if number not in hooks.get(kind, {}):
            return
        # A new dict: a hook may remove itself while hooks run.
        hooks[kind] = {n: hook for n, hook in hooks[kind].items() if n != number}
        if not hooks[kind]:
            del hooks[kind]
        if "_unhooked" in attributes and not any(kind.startswith("backward") for kind in hooks):
            for name in BACKWARD:
                del attributes[name]
            attributes.update(attributes.pop("_unhooked"))
        if not hooks:
            del attributes["_hooks"]

    def _forward_with_hooks(self, args: tuple[Any, ...]) -> Any:
        for hook in self._hooks.get("forward_pre", {}).values():
            if (replaced := hook(self, args)) is not None:
                args = replaced if isinstance(replaced, tuple) else (replaced,)
        output = self.forward(*args)
        for hook in self._hooks.get("forward", {}).values():
            if (replaced := hook(self, args, output)) is not None:
                output = replaced
        self._called = len(args), output.dtype.type if hasattr(output, "dtype") else None
        return output

    def _backward_with_hooks(self, grad_output: Any = 1.0) -> Any:
        return self._run_backward("backward", grad_output)

    def _backward_parameters_with_hooks(self, grad_output: Any) -> None:
        self._run_backward("backward_parameters", grad_output)

    def _run_backward(self, name: str, grad_output: Any) -> Any:
        """Call the method of this name between the hooks, or alone where another one calls it."""
        attributes = self.__dict__
        method = attributes["_unhooked"].get(name) or partial(getattr(type(self), name), self)
        if attributes.get("_in_backward"):
            return method(grad_output)
        count, dtype = attributes.get("_called", (1, None))
        if isinstance(grad_output, int | float) and dtype is not None:
            grad_output = dtype(grad_output)  # the 1 that a loss begins with
        for hook in self._hooks.get("backward_pre", {}).values():
            if (replaced := hook(self, (grad_output,))) is not None:
                (grad_output,) = _answer(replaced, 1, "grad_output")
        attributes["_in_backward"] = True
        try:
            result = method(grad_output)
        finally:
            del attributes["_in_backward"]
        grad_input = (result, *(None,) * (count - 1))
        for hook in self._hooks.get("backward", {}).values():
            if (replaced := hook(self, grad_input, (grad_output,))) is not None:
                grad_input = _answer(replaced, count, "grad_input")
        return grad_input[0]

    # ---- registering

    def _registry(self, kind: str) -> dict[str, Any]:
        try:
            return self.__dict__[kind]
        except KeyError:
            raise AttributeError(
                f"call super().__init__() in {type(self).__name__}.__init__ before assigning "
                "parameters, buffers or modules"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Parameter, Module)):
            kind = "_parameters" if isinstance(value, Parameter) else "_modules"
            if not any(name in self._registry(k) for k in ("_parameters", "_modules", "_buffers")):
                self.__dict__.pop(name, None)  # a plain attribute, such as a None before
            self._register(kind, name, value)
        else:
            attributes = self.__dict__
            for kind in ("_parameters", "_modules", "_buffers"):
                if name in (registry := attributes.get(kind, ())):
                    if value is not None and not (
                        kind == "_buffers" and isinstance(value, np.ndarray)
                    ):
                        raise TypeError(
                            f"cannot assign {type(value).__name__} to {name!r}, which is one of "
                            f"the {kind[1:]} of {type(self).__name__}"
                        )
                    registry[name] = value
            object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        for kind in ("_parameters", "_buffers", "_modules"):
            self.__dict__[kind].pop(name, None)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"numpy_nn's {type(self).__name__} has no attribute {name!r}; "
            "what torch.nn has under that name, if anything, is not supported here"
        )

    def _register(self, kind: str, name: str, value: Any) -> None:
        registry = self._registry(kind)
        if not isinstance(name, str):
            raise TypeError(f"a name must be a string. Received: {type(name).__name__}")
        if name == "" or "." in name:
            raise KeyError(f"a name must not be empty nor contain a dot. Received: {name!r}")
        if name not in registry and (name in self.__dict__ or hasattr(type(self), name)):
            for other in ("_parameters", "_buffers", "_modules"):
                if name in self._registry(other):
                    del self._registry(other)[name]
                    break
            else:
                raise KeyError(f"attribute {name!r} already exists")
        registry[name] = value
        object.__setattr__(self, name, value)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name, or None for one that is left out."""
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"{name!r} must be a Parameter or None. Received: {type(param).__name__}"
            )
        self._register("_parameters", name, param)

    def register_buffer(self, name: str, tensor: np.ndarray | None) -> None:
        """Add an array that belongs to the state and is not trained, such as a running mean."""
        if tensor is not None and not isinstance(tensor, np.ndarray):
            raise TypeError(f"{name!r} must be an array or None. Received: {type(tensor).__name__}")
        self._register("_buffers", name, tensor)

    def register_module(self, name: str, module: "Module | None") -> None:
        """Add a submodule under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{name!r} must be a Module or None. Received: {type(module).__name__}")
        self._register("_modules", name, module)

    add_module = register_module

    # ---- walking

    def named_modules(
        self,
        memo: set["Module"] | None = None,
        prefix: str = "",
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, in order of registration, each once."""
        memo = set() if memo is None else memo
        if self not in memo:
            if remove_duplicate:
                memo.add(self)
            yield prefix, self
            for name, module in self._modules.items():
                if module is not None:
                    yield from module.named_modules(memo, _join(prefix, name), remove_duplicate)

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The direct submodules with their names, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator["Module"]:
        """The direct submodules, each once."""
        return (module for _, module in self.named_children())

    def _named_members(
        self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for module_prefix, module in modules:
            for name, member in module.__dict__[kind].items():
                if member is None or id(member) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(member))
                yield _join(module_prefix, name), member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, as an optimizer takes them."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, np.ndarray]]:
        """All buffers with their dotted names."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[np.ndarray]:
        """All buffers."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> "Module":
        """The module under a dotted name; the module itself for the empty one.

        Raises:
            AttributeError: naming the part of the path that leads nowhere.
        """
        module = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name)
            if found is None:
                raise AttributeError(
                    f"{type(module).__name__} has no submodule {name!r} (of the path {target!r}). "
                    f"It has: {', '.join(module._modules) or 'none'}"
                )
            module = found
        return module

    def apply(self, fn: Callable[["Module"], Any]) -> Self:
        """Call ``fn`` with every module below this one, then with this one."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # ---- state

    def state_dict(self, *, prefix: str = "") -> dict[str, np.ndarray]:
        """Parameters and buffers under PyTorch's keys and in its order.

        The arrays are those of the module, not copies: training changes them.
        """
        state: dict[str, np.ndarray] = {}
        for name, parameter in self._parameters.items():
            if parameter is not None:
                state[prefix + name] = parameter.data
        for name, buffer in self._buffers.items():
            if buffer is not None:
                state[prefix + name] = buffer
        for name, child in self._modules.items():
            if child is not None:
                state |= child.state_dict(prefix=f"{prefix}{name}.")
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> IncompatibleKeys:
        """Copy the values of ``state_dict`` into this module's own arrays.

        Values may be of another dtype, and anything that NumPy can read, tensors included.
        Where anything is wrong nothing is copied (PyTorch copies what it can and then raises).
        As in PyTorch, a plain mapping need not hold ``num_batches_tracked``.

        Args:
            state_dict: arrays under the keys of ``state_dict()``.
            strict: whether its keys must be exactly those of this module.

        Raises:
            RuntimeError: listing every missing and unexpected key and every wrong shape.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"state_dict must be a mapping. Received: {type(state_dict).__name__}")
        own = self.state_dict()
        later = set() if hasattr(state_dict, "_metadata") else self._all_later_keys()
        missing = [key for key in own if key not in state_dict and key not in later]
        unexpected = [key for key in state_dict if key not in own]
        errors = []
        if strict and missing:
            errors.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if strict and unexpected:
            errors.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
        values = {}
        for key, target in own.items():
            if key not in state_dict:
                continue
            value = np.asarray(state_dict[key])
            if target.shape == () and value.shape == (1,):
                value = value[0]
            if value.dtype.kind not in "fiub":
                errors.append(f"{key}: expected numbers. Received: {value.dtype}.")
            elif value.shape != target.shape:
                errors.append(
                    f"size mismatch for {key}: copying a param with shape {value.shape} from "
                    f"checkpoint, the shape in current model is {target.shape}."
                )
            values[key] = value
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(
                    type(self).__name__, "\n\t".join(errors)
                )
            )
        for key, value in values.items():
            np.copyto(own[key], value, casting="unsafe")
        return IncompatibleKeys(missing, unexpected)

    def _all_later_keys(self) -> set[str]:
        modules = self.named_modules(remove_duplicate=False)
        return {_join(prefix, key) for prefix, m in modules for key in m._later_keys}

    def train(self, mode: bool = True) -> Self:
        """Set training mode, here and below."""
        if not isinstance(mode, bool):
            raise ValueError(f"mode must be True or False. Received: {mode!r}")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode, here and below."""
        return self.train(False)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to 0 in place with ``set_to_none=False``."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                parameter.grad.fill(0)

    def to(self, dtype: Any) -> Self:
        """Convert parameters, gradients and floating-point buffers to a dtype.

        Args:
            dtype: ``numpy.float32`` or ``numpy.float64``.
        """
        found = float_dtype(dtype)
        for module in self.modules():
            for parameter in module._parameters.values():
                if parameter is not None and parameter.dtype != found:
                    grad, parameter.grad = parameter.grad, None
                    parameter.data = parameter.data.astype(found)
                    if grad is not None:
                        parameter.grad = grad.astype(found)
            for name, buffer in module._buffers.items():
                if buffer is not None and buffer.dtype.kind == "f":
                    setattr(module, name, buffer.astype(found, copy=False))
        return self

    def float(self) -> Self:
        """Convert to float32."""
        return self.to(np.float32)

    def double(self) -> Self:
        """Convert to float64."""
        return self.to(np.float64)

    # ---- printing

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        if not self._modules:
            return f"{type(self).__name__}({extra})"
        lines = extra.split("\n") if extra else []
        lines += [f"({name}): {module!r}" for name, module in self._modules.items()]
        body = "\n".join(lines).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {body}\n)"


def _join(prefix: str, name: str) -> str:
    """A dotted name."""
    return f"{prefix}.{name}" if prefix else name


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _answer(replaced: Any, count: int, name: str) -> tuple[Any, ...]:
    """What a hook of backward returned, which must be a tuple as it was given, as in PyTorch."""
    if not isinstance(replaced, tuple) or len(replaced) != count:
        received = f"{len(replaced)}" if isinstance(replaced, tuple) else type(replaced).__name__
        raise RuntimeError(
            f"a backward hook must return a tuple of {count} {name}, or None. Received: {received}"
        )
    return replaced
