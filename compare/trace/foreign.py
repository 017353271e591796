"""Writing a trace of a model that is not torch's: calls as they are found, the index at the end.

Each adapter finds modules and calls in its framework's own way, and tells them here. Arrays are
NumPy's, in torch's layout: parameters as the class of torch has them, images as (N, C, H, W).
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from compare.trace.format import (
    FORMAT,
    VERSION,
    CallEntry,
    Index,
    ModuleEntry,
    StepEntry,
    TraceWriter,
)
from compare.trace.settings import ALLOWED, rebuild, settings_of
from experiments.errors import InputError

Arrays = Mapping[str, Any]


def missing_package(package: str, extra: str) -> InputError:
    """The sentence for an optional package that is not installed."""
    return InputError(
        f'this needs the package {package}: python -m pip install "nncompare[{extra}]".'
    )


def as_tensor(array: Any) -> torch.Tensor:
    """A copy of an array of any framework that NumPy understands; bfloat16 too."""
    found = np.array(array)
    if found.dtype.name == "bfloat16":
        return torch.from_numpy(found.astype(np.float32)).bfloat16()
    return torch.from_numpy(found)


class ForeignTrace:
    """A trace of one step, written whole at the end of a ``with`` block or not at all.

    Args:
        path: The folder to make.
        program: What made the values, with its version.
        force: Replace an existing trace.

    Raises:
        InputError: The trace exists, or cannot be written.
    """

    def __init__(self, path: str | Path, program: str, force: bool = False) -> None:
        self.program = program
        self.writer = TraceWriter(Path(path), force)
        self.modules: dict[str, ModuleEntry] = {}
        self.calls: list[CallEntry] = []
        self._floats: set[str] = set()

    def __enter__(self) -> ForeignTrace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self.writer.abandon()
            return
        try:
            self._finish()
        except BaseException:
            self.writer.abandon()
            raise

    def module(
        self,
        name: str,
        kind: str,
        settings: Mapping[str, Any] | None = None,
        parameters: Arrays | None = None,
        buffers: Arrays | None = None,
        *,
        training: bool = False,
        container: bool = False,
        full_names: Mapping[str, str] | None = None,
    ) -> None:
        """Tell of a module.

        Args:
            name: Its name in the model.
            kind: ``Linear`` for a class of torch that traces make again, else a name of its own
                such as ``onnx.Resize``.
            settings: The arguments of that class.
            parameters: Local name → array.
            buffers: The same.
            training: Its mode.
            container: Whether it holds others.
            full_names: Local name → name in the model, where that is not ``NAME.LOCAL``.
        """

        def full(local: str) -> str:
            return (full_names or {}).get(local, f"{name}.{local}")

        stored = {"parameter": parameters or {}, "buffer": buffers or {}}
        for word, arrays in stored.items():
            for local, array in arrays.items():
                tensor = as_tensor(array)
                self.writer.add(f"step/0/{word}/{full(local)}", tensor)
                if word == "parameter" and tensor.is_floating_point():
                    self._floats.add(str(tensor.dtype).removeprefix("torch."))
        whole = f"torch.nn.{kind}" if kind in ALLOWED or kind == "Dropout" else kind
        self.modules[name] = ModuleEntry(
            name=name,
            kind=whole,
            settings=_completed(whole, _plain(settings or {})),
            training=training,
            container=container,
            parameters={local: full(local) for local in stored["parameter"]},
            buffers={local: full(local) for local in stored["buffer"]},
        )

    def call(
        self,
        module: str,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        number: int | None = None,
        buffers: Arrays | None = None,
        buffers_after: Arrays | None = None,
    ) -> int:
        """Tell of a call; its number is returned.

        Args:
            module: The module's name.
            inputs: Arrays, or the names of tensors that were stored, such as ``call/0/output/0``:
                the reader then knows that nothing lies between.
            outputs: The same.
            number: When it began among the calls; else after all that were told of.
            buffers, buffers_after: The module's before and after the call.
        """
        if number is None:
            number = max((call.number for call in self.calls), default=-1) + 1
        entry = self.modules[module]
        for word, arrays in (("buffer", buffers), ("buffer_after", buffers_after)):
            for local, array in (arrays or {}).items():
                self.writer.add(f"call/{number}/{word}/{local}", as_tensor(array))

        def tree(word: str, leaf: int, value: Any) -> dict[str, Any]:
            if isinstance(value, str):
                return {"tensor": value}
            name = f"call/{number}/{word}/{leaf}"
            self.writer.add(name, as_tensor(value))
            return {"tensor": name}

        results = [tree("output", leaf, value) for leaf, value in enumerate(outputs)]
        self.calls.append(
            CallEntry(
                number=number,
                module=module,
                training=entry.training,
                container=entry.container,
                inputs=[tree("input", leaf, value) for leaf, value in enumerate(inputs)],
                outputs=results[0] if len(results) == 1 else {"tuple": results},
            )
        )
        return number

    def store(self, name: str, array: Any) -> None:
        """Store a gradient under its name in the format."""
        self.writer.add(name, as_tensor(array))

    def _finish(self) -> None:
        index = Index(
            format=FORMAT,
            version=VERSION,
            made_by={"program": self.program, "python": platform.python_version()},
            configuration={"dtype": sorted(self._floats)},
            modules=list(self.modules.values()),
            calls=sorted(self.calls, key=lambda call: call.number),
            steps=[StepEntry()],
        )
        self.writer.finish(index)


def _completed(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """With torch's defaults for what is not said, as a recorded module of torch has them."""
    made = rebuild(kind, settings)
    if made is None:
        return settings
    return {**settings_of(made), **{k: v for k, v in settings.items() if v is not None}}


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them."""

    def one(value: Any) -> Any:
        if isinstance(value, (tuple, list)):
            return [one(part) for part in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return value.item() if isinstance(value, np.generic) else value

    return {key: one(value) for key, value in settings.items()}
