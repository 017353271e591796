"""Recording a training step: hooks on every module put what they see into a trace.

The model is left as it was: the hooks go, no random number is drawn, no gradient is kept. While
it is recorded, a module is given views of its inputs, so that the gradient by an input is what
this module sends back, not the sum over all who use the tensor.
"""

from __future__ import annotations

import fnmatch
import hashlib
import platform
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from compare.trace import trees
from compare.trace.format import (
    FORMAT,
    VERSION,
    CallEntry,
    Index,
    ModuleEntry,
    StepEntry,
    TraceWriter,
)
from compare.trace.settings import WHOLE, as_plain, kind_of, products_of, settings_of
from experiments.errors import InputError

LOSS = "(loss)"


@contextmanager
def record(
    path: str | Path,
    model: nn.Module,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    loss: nn.Module | None = None,
    names: str | Iterable[str] = (),
    kinds: str | Iterable[str] = (),
    depth: int | None = None,
    containers: bool = False,
    steps: Collection[int] | None = None,
    force: bool = False,
) -> Iterator[Recorder]:
    """Record what the modules of a model do inside a ``with`` block, as a trace on disk.

        with nncompare.record("a.trace", model, optimizer=optimizer, loss=criterion):
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()

    Args:
        path: The folder to make. It appears when the block has ended well, whole or not at all.
        model: Any model of torch.
        optimizer: Its settings and state are recorded too, and each of its steps ends a step of
            the trace.
        loss: A module that computes the loss, recorded as ``(loss)``.
        names: Patterns such as ``layers.0.*``: only modules of these names.
        kinds: Only modules of these classes, such as ``Linear``.
        depth: Modules so many names deep are recorded as wholes, and none below them.
        containers: Record modules that hold others, too.
        steps: Which steps to record, counted from 0; all by default.
        force: Replace an existing trace.

    Yields:
        The recorder, whose ``next_step()`` ends a step where no optimizer is given.

    Raises:
        experiments.errors.InputError: The trace exists, or cannot be written.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model should be a torch.nn.Module, but is a {type(model).__name__}.")
    chosen = _Chosen(_several(names), _several(kinds), depth, containers)
    recorder = Recorder(TraceWriter(Path(path), force), model, optimizer, loss, chosen, steps)
    try:
        recorder.start()
        yield recorder
        recorder.end()
    except BaseException:
        recorder.writer.abandon()
        raise
    finally:
        recorder.remove()


def _several(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


class _Chosen:
    """Which modules are recorded."""

    def __init__(
        self, names: Sequence[str], kinds: Sequence[str], depth: int | None, containers: bool
    ) -> None:
        self.names, self.kinds, self.depth, self.containers = names, kinds, depth, containers

    def is_whole(self, name: str, module: nn.Module) -> bool:
        """Whether it is one piece: it has no children, or none that are looked at."""
        deep = name.count(".") + 1 if name else 0
        children = next(module.children(), None)
        whole = isinstance(module, WHOLE) or is_compiled(module)
        return children is None or whole or deep == self.depth

    def takes(self, name: str, module: nn.Module) -> bool:
        """Whether its calls are recorded; the model's own always are."""
        if not name:
            return True
        if self.depth is not None and name.count(".") + 1 > self.depth:
            return False
        if self.names and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names):
            return False
        if self.kinds and type(module).__name__ not in self.kinds:
            return False
        return self.containers or self.is_whole(name, module)


class Recorder:
    """The hooks on one model, and where they write."""

    def __init__(
        self,
        writer: TraceWriter,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
        loss: nn.Module | None,
        chosen: _Chosen,
        steps: Collection[int] | None,
    ) -> None:
        self.writer, self.model, self.optimizer, self.loss = writer, model, optimizer, loss
        self.chosen, self.steps = chosen, steps
        self.step, self.begun = 0, False
        self.handles: list[Any] = []
        self.calls: list[CallEntry | None] = []
        self.step_entries: list[StepEntry] = []
        self.open: list[_Open] = []
        self.known: dict[int, tuple[weakref.ref[torch.Tensor], int, str]] = {}
        self.gradients: dict[str, int] = {}
        self.groups: list[dict[str, Any]] = []
        self.accumulated: set[str] = set()
        self.last_gradient: tuple[torch.Tensor, int, str] | None = None
        self.same: dict[str, str] = {}
        self.modules: list[ModuleEntry] = []
        self.configuration: dict[str, Any] = {}
        self.optimizer_entry: dict[str, Any] | None = None

    @property
    def wanted(self) -> bool:
        """Whether this step is recorded."""
        return self.steps is None or self.step in self.steps

    # ---- Beginning and end

    def start(self) -> None:
        """Put the hooks in place and store where the step starts."""
        named = list(self.model.named_modules())
        if self.loss is not None:
            named += [
                (f"{LOSS}.{name}" if name else LOSS, m) for name, m in self.loss.named_modules()
            ]
        self.parameters = {uncompiled(n): p for n, p in self.model.named_parameters()}
        self.buffers = {uncompiled(n): b for n, b in self.model.named_buffers()}
        names = {id(t): n for n, t in [*self.parameters.items(), *self.buffers.items()]}
        inside: set[int] = set()
        for long_name, module in named:
            name = uncompiled(long_name)
            if name in {entry.name for entry in self.modules[-1:]}:
                continue  # what a compiled module wraps has its name
            self.modules.append(self._entry(name, module, names))
            if is_compiled(module):
                inside |= {id(part) for part in module.modules() if part is not module}
            if self.chosen.takes(name, module) and id(module) not in inside:
                self._hook(name, module)
        for name, parameter in self.parameters.items():
            if parameter.requires_grad:
                self.handles.append(
                    parameter.register_post_accumulate_grad_hook(self._keeps_gradient(name))
                )
        if self.optimizer is not None:
            self.handles.append(self.optimizer.register_step_pre_hook(self._before_update))
            self.handles.append(self.optimizer.register_step_post_hook(self._after_update))
            self.optimizer_entry = {
                "kind": type(self.optimizer).__name__,
                "groups": self._groups(self.optimizer),
            }
        self.configuration = self._configuration()
        self._begin_step()

    def _entry(self, name: str, module: nn.Module, names: dict[int, str]) -> ModuleEntry:
        def own(pairs: Iterable[tuple[str, torch.Tensor | None]]) -> dict[str, str]:
            return {
                uncompiled(local): names.get(id(tensor), f"{name}.{local}")
                for local, tensor in pairs
                if tensor is not None
            }

        whole = self.chosen.is_whole(name, module)
        own_module = getattr(module, "_orig_mod", module) if is_compiled(module) else module
        return ModuleEntry(
            name=name,
            kind=kind_of(own_module),
            settings=settings_of(own_module),
            training=module.training,
            container=not whole,
            parameters=own(module.named_parameters(recurse=whole, remove_duplicate=False)),
            buffers=own(module.named_buffers(recurse=whole, remove_duplicate=False)),
        )

    def _configuration(self) -> dict[str, Any]:
        tensors = list(self.parameters.values())
        floats = {str(t.dtype).removeprefix("torch.") for t in tensors if t.is_floating_point()}
        return {
            "dtype": sorted(floats),
            "device": sorted({str(t.device) for t in tensors}),
            "seed": torch.initial_seed(),
            "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
            "float32 matmul precision": torch.get_float32_matmul_precision(),
            "trainable parameters": sum(t.numel() for t in tensors if t.requires_grad),
            "model": kind_of(getattr(self.model, "_orig_mod", self.model)),
            "compiled": any(is_compiled(module) for module in self.model.modules()),
        }

    def _groups(self, optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
        """The settings of each group of parameters, and their names."""
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        return [
            {
                **{k: p for k, v in group.items() if k != "params" and _told(p := as_plain(v))},
                "parameters": [names.get(id(p), "unnamed") for p in group["params"]],
            }
            for group in optimizer.param_groups
        ]

    def _begin_step(self) -> None:
        """Store what the step starts from. Later steps start when their first module is called."""
        self.begun = True
        if not self.wanted:
            return
        self.gradients, self.accumulated, self.groups = {}, set(), []
        for name, parameter in self.parameters.items():
            self.writer.add(f"step/{self.step}/parameter/{name}", parameter)
            if parameter.grad is not None and bool(parameter.grad.any()):
                self.accumulated.add(name)
        for name, buffer in self.buffers.items():
            self.writer.add(f"step/{self.step}/buffer/{name}", buffer)
        self.random = _fingerprint()

    def _end_step(self) -> None:
        if self.wanted and self.begun:
            for name, parameter in self.parameters.items():
                self.writer.add(f"step/{self.step}/after/{name}", parameter)
            self._store_state("after")
            self.step_entries.append(
                StepEntry(
                    number=self.step,
                    random=self.random,
                    accumulated=sorted(self.accumulated),
                    groups=self.groups,
                )
            )
        self.begun = False

    def next_step(self) -> None:
        """End the step; what follows is the next. An optimizer's step does it by itself."""
        if self.begun:
            self._end_step()
        self.step += 1

    def end(self) -> None:
        """Write the index: the trace is then there."""
        self._end_step()
        self.remove()
        self.writer.finish(
            Index(
                format=FORMAT,
                version=VERSION,
                made_by={
                    "program": "nncompare",
                    "torch": torch.__version__,
                    "python": platform.python_version(),
                    "machine": platform.machine(),
                },
                configuration=self.configuration,
                modules=self.modules,
                # A call that an exception ended, which somebody caught, is left out.
                calls=[call for call in self.calls if call is not None],
                steps=self.step_entries,
                same=self.same,
                optimizer=self.optimizer_entry,
            )
        )

    def remove(self) -> None:
        """Take the hooks away."""
        for handle in self.handles:
            handle.remove()
        self.handles, self.open, self.known, self.last_gradient = [], [], {}, None

    # ---- Optimizer and gradients of parameters

    def _before_update(self, *_: Any) -> None:
        """Store what the optimizer starts from, with gradients that were clipped meanwhile."""
        if not (self.wanted and self.begun) or self.optimizer is None:
            return
        self._store_state("optimizer")
        self.groups = self._groups(self.optimizer)
        for name, parameter in self.parameters.items():
            gradient = parameter.grad
            if gradient is None or not trees.is_plain(gradient):
                continue
            if self.gradients.get(name) != _version(gradient) or name in self.accumulated:
                self.writer.add(f"step/{self.step}/update_gradient/{name}", gradient)

    def _after_update(self, *_: Any) -> None:
        self.next_step()

    def _store_state(self, word: str) -> None:
        """The state of the optimizer, before and after its step."""
        if self.optimizer is None:
            return
        names = {id(parameter): name for name, parameter in self.parameters.items()}
        word = "optimizer" if word == "optimizer" else "optimizer_after"
        for parameter, state in self.optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, torch.Tensor) and trees.is_plain(value):
                    name = f"{names.get(id(parameter), 'unnamed')}/{key}"
                    self.writer.add(f"step/{self.step}/{word}/{name}", value)

    def _keeps_gradient(self, name: str) -> Callable[[torch.Tensor], None]:
        def keep(parameter: torch.Tensor) -> None:
            if not (self.wanted and self.begun) or parameter.grad is None:
                return
            if name in self.gradients:
                self.accumulated.add(name)
            self.gradients[name] = _version(parameter.grad)
            if trees.is_plain(parameter.grad):
                self.writer.add(f"step/{self.step}/gradient/{name}", parameter.grad)

        return keep

    # ---- Calls

    def _hook(self, name: str, module: nn.Module) -> None:
        before, after = self._before(name), self._after(name)
        if is_compiled(module):  # hooks are not to become a part of what is compiled
            before, after = torch.compiler.disable(before), torch.compiler.disable(after)
        self.handles += [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after, with_kwargs=True),
        ]

    def _before(self, name: str) -> Callable[..., Any]:
        def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
            if not self.wanted or _in_backward():
                return None
            if not self.begun:
                self._begin_step()
            number = len(self.calls)
            self.calls.append(None)
            leaves = iter(range(10**9))
            inputs = [
                trees.take_apart(a, lambda t: self._input_name(t, number, next(leaves)))
                for a in args
            ]
            keywords = {
                str(key): trees.take_apart(v, lambda t: self._input_name(t, number, next(leaves)))
                for key, v in kwargs.items()
            }
            whole = self.chosen.is_whole(name, module)
            for local, buffer in module.named_buffers(recurse=whole):
                self.writer.add(f"call/{number}/buffer/{local}", buffer)
            call = _Open(name, number, inputs, keywords, _fingerprint())
            self.open.append(call)
            if not torch.is_grad_enabled():
                return None
            changed = self._views(f"call/{number}/input_gradient", call.given)
            return changed(tuple(args)), changed(dict(kwargs))

        return before

    def _input_name(self, tensor: torch.Tensor, number: int, leaf: int) -> str:
        """The name of an input: of the output that it is, where nothing has changed it since."""
        reference, version, name = self.known.get(id(tensor), (None, -1, ""))
        if reference is not None and reference() is tensor and version == _version(tensor) >= 0:
            return name
        name = f"call/{number}/input/{leaf}"
        self.writer.add(name, tensor)
        self._remember(tensor, name)
        return name

    def _remember(self, tensor: torch.Tensor, name: str) -> None:
        key = id(tensor)

        def forget(dead: weakref.ref[torch.Tensor]) -> None:
            if self.known.get(key, (None,))[0] is dead:
                del self.known[key]

        self.known[key] = (weakref.ref(tensor, forget), _version(tensor), name)

    def _views(self, prefix: str, given: list[_Given] | None = None) -> Callable[[Any], Any]:
        """Replaces the tensors with gradients in a value by views, whose gradients are recorded.

        Args:
            prefix: What the names of the gradients begin with.
            given: Takes what was replaced.
        """
        views: dict[int, torch.Tensor] = {}
        leaves = iter(range(10**9))

        def changed(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                if not trees.is_plain(value):
                    return value
                leaf = next(leaves)
                if not value.requires_grad or isinstance(value, nn.Parameter):
                    return value
                if id(value) not in views:  # one tensor given twice stays one
                    views[id(value)] = value.view_as(value)
                    view, name = views[id(value)], f"{prefix}/{leaf}"
                    self._watch(view, name)
                    if given is not None:
                        given.append(_Given(value, view, _version(view), name))
                    if (entry := self.known.get(id(value))) is not None:
                        self._remember(views[id(value)], entry[2])
                return views[id(value)]
            if type(value) is dict:
                return {key: changed(part) for key, part in value.items()}
            if type(value) in (list, tuple):
                return type(value)([changed(part) for part in value])
            if isinstance(value, tuple) and hasattr(value, "_fields"):
                return type(value)(*[changed(part) for part in value])
            for _ in trees.tensors_of(value):  # in a class of its own: left alone, but counted
                next(leaves)
            return value

        return changed

    def _watch(self, tensor: torch.Tensor, name: str) -> None:
        def keep(gradient: torch.Tensor) -> None:
            if trees.is_plain(gradient):
                self._add_gradient(name, gradient)

        tensor.register_hook(keep)

    def _add_gradient(self, name: str, gradient: torch.Tensor) -> None:
        """Store a gradient, unless it is the last one handed on: of an output that one module uses.

        The last one is held, so that its memory is not another's meanwhile.
        """
        last, stored = self.last_gradient, name
        if (
            last is not None
            and _is_same_memory(gradient, last[0])
            and name not in self.writer.names
        ):
            stored = last[2] if _version(last[0]) == last[1] else name
        if stored != name:
            self.same[name] = stored
        else:
            self.writer.add(name, gradient)
        self.last_gradient = (gradient, _version(gradient), stored)

    def _watch_in_place(self, given: _Given) -> None:
        """Record the gradient by an input that the module has changed in place.

        The view that the module was given is then no longer part of the graph: its gradient is
        what the node of the change sends on.
        """
        tensor, node = given.tensor, given.tensor.grad_fn
        changed = _version(given.view) != given.version and tensor._base is None
        if not changed or node is None or not node.name().endswith("CopySlices"):
            return

        def keep(sent: Sequence[torch.Tensor | None], _: Any) -> None:
            gradient = sent[0] if sent else None
            if gradient is not None and gradient.shape == tensor_shape:
                self.writer.add(given_name, gradient)

        tensor_shape, given_name = tensor.shape, given.name
        node.register_hook(keep)

    def _after(self, name: str) -> Callable[..., Any]:
        def after(module: nn.Module, _: Any, __: Any, output: Any) -> Any:
            if _in_backward():
                return None
            while self.open and self.open[-1].name != name:
                self.open.pop()  # calls that an exception ended
            if not self.open:
                return None
            call = self.open.pop()
            for one in call.given:
                self._watch_in_place(one)
            leaves = iter(range(10**9))
            # One of several outputs may be made from another inside the module: what comes back
            # from there is not a gradient from outside. A single output is watched itself.
            sources = {id(t) for t in trees.tensors_of(output) if t.requires_grad}

            def output_name(tensor: torch.Tensor) -> str:
                leaf = next(leaves)
                stored = f"call/{call.number}/output/{leaf}"
                self.writer.add(stored, tensor)
                self._remember(tensor, stored)
                if tensor.requires_grad and len(sources) == 1:
                    self._watch(tensor, f"call/{call.number}/output_gradient/{leaf}")
                return stored

            outputs = trees.take_apart(output, output_name)
            whole = self.chosen.is_whole(name, module)
            for local, buffer in module.named_buffers(recurse=whole):
                self.writer.add(f"call/{call.number}/buffer_after/{local}", buffer)
            self.calls[call.number] = CallEntry(
                number=call.number,
                module=name,
                step=self.step,
                training=module.training,
                products=products_of(module),
                container=not whole,
                inputs=call.inputs,
                keywords=call.keywords,
                outputs=outputs,
                random=call.random if call.random != _fingerprint() else None,
            )
            if len(sources) < 2:
                return None
            return self._views(f"call/{call.number}/output_gradient")(output)

        return after


class _Given(NamedTuple):
    """A tensor that a module was to be given, and the view of it that it was given.

    Attributes:
        tensor, view: The two.
        version: How often the view was changed before.
        name: Of the gradient.
    """

    tensor: torch.Tensor
    view: torch.Tensor
    version: int
    name: str


class _Open:
    """A call that has begun."""

    def __init__(
        self,
        name: str,
        number: int,
        inputs: list[trees.Tree],
        keywords: dict[str, trees.Tree],
        random: str,
    ) -> None:
        self.name, self.number, self.random = name, number, random
        self.inputs, self.keywords = inputs, keywords
        self.given: list[_Given] = []


def is_compiled(module: nn.Module) -> bool:
    """Whether ``torch.compile`` runs it: what is inside is then no calls of modules."""
    wrapped = type(module).__name__ == "OptimizedModule" and hasattr(module, "_orig_mod")
    return wrapped or getattr(module, "_compiled_call_impl", None) is not None


def uncompiled(name: str) -> str:
    """A name as it is in the model that was compiled."""
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def _in_backward() -> bool:
    """Whether a backward pass goes on: calls within it are made again, by checkpointing."""
    running: int = torch._C._current_graph_task_id()
    return running != -1


def _told(plain: Any) -> bool:
    return plain is None or isinstance(plain, (bool, int, float, str, list))


def _is_same_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        one.data_ptr() == other.data_ptr()
        and one.shape == other.shape
        and one.stride() == other.stride()
        and one.dtype == other.dtype
        and one.device == other.device
        and one.numel() > 0
    )


def _version(tensor: torch.Tensor) -> int:
    """How often it was changed in place; −1 where torch does not count it."""
    return -1 if tensor.is_inference() else tensor._version


def _fingerprint() -> str:
    """Of the state of the random number generators; reading it draws nothing."""
    digest = hashlib.sha256(torch.get_rng_state().numpy().tobytes())
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        digest.update(torch.cuda.get_rng_state().numpy().tobytes())
    return digest.hexdigest()[:16]
