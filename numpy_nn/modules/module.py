"""The base class of every layer."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np

from ..parameter import Parameter
from .checks import float_dtype
from .state import IncompatibleKeys, collect_state, join, load_state


class Module:
    """Base class of all layers: parameters, buffers and submodules under their names.

    A subclass calls ``super().__init__()``, assigns its parameters and submodules as
    attributes, and defines ``forward`` and ``backward``. ``forward`` keeps what ``backward``
    needs; ``backward`` takes the gradient of the loss by the output, adds each parameter's
    gradient to its ``.grad``, and returns the gradient by the input.

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
        """Do as ``backward`` does, for a caller with no use for the gradient by the input.

        PyTorch computes no gradient by an input that does not require one, as the data of
        the first layer. This is how to say the same here; layers that save work by it do.
        """
        self.backward(grad_output)

    def __call__(self, *args: Any) -> Any:
        """Compute the output: ``forward``."""
        return self.forward(*args)

    def _saved(self, name: str) -> Any:
        """What forward kept under a name, or an error that says that there was no forward."""
        if (value := self.__dict__.get(name)) is None:
            raise RuntimeError(f"{type(self).__name__}.backward was called before forward")
        return value

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
                    yield from module.named_modules(memo, join(prefix, name), remove_duplicate)

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
                yield join(module_prefix, name), member

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
        return collect_state(self, prefix)

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
        return load_state(self, state_dict, strict)

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
