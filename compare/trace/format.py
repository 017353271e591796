"""A trace on disk: a folder with index.json and safetensors files. docs/traces.md describes it.

Tensors have names that say what they are, and may stand in any ``.safetensors`` file of the
folder: a reader asks each file what it holds. So a writer may put out as many files as it likes,
each as soon as it is full.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from compare.records.atomic import PART, write_atomically
from compare.records.validation import LARGEST, MOST_BYTES, readable_tree
from compare.trace import trees
from experiments.errors import InputError
from experiments.files import opened, read_text

FORMAT, VERSION = "nncompare trace", 1
INDEX = "index.json"
# A file is written when it has become so large: memory does not grow with the network.
CHUNK_BYTES = 16 * 2**20
MOST_OPEN = 4
MADE_BY_STATE_DICT = "a state_dict"


def _checked_tree(tree: dict[str, Any]) -> dict[str, Any]:
    if found := trees.fault(tree):
        raise ValueError(found)
    return tree


TreeField = Annotated[dict[str, Any], AfterValidator(_checked_tree)]


class Entry(BaseModel):
    """A part of the index; keys that it does not know are left alone."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class ModuleEntry(Entry):
    """A module of the recorded model."""

    name: str
    kind: str
    settings: dict[str, Any] = {}
    training: bool = True
    container: bool = False
    parameters: dict[str, str] = {}
    buffers: dict[str, str] = {}

    @property
    def short(self) -> str:
        """Its class without the package."""
        return self.kind.rpartition(".")[2]


class CallEntry(Entry):
    """One call of a module.

    Attributes:
        products: The narrower format to which it rounds what it multiplies, though its tensors are
            float32, as GPUs and autocast do; empty where it does not.
    """

    number: Annotated[int, Field(ge=0, lt=LARGEST)]
    module: str
    step: Annotated[int, Field(ge=0, lt=LARGEST)] = 0
    training: bool = True
    products: Literal["", "bfloat16", "float16", "tf32"] = ""
    container: bool = False
    inputs: list[TreeField] = []
    keywords: dict[str, TreeField] = {}
    outputs: TreeField
    random: str | None = None


class StepEntry(Entry):
    """One training step."""

    number: Annotated[int, Field(ge=0, lt=LARGEST)] = 0
    random: str | None = None
    accumulated: list[str] = []
    groups: list[dict[str, Any]] = []


class Index(Entry):
    """The content of index.json.

    Attributes:
        same: Name of a tensor that is not stored → the stored one that it is equal to.
    """

    format: str
    version: int
    made_by: dict[str, Any] = {}
    configuration: dict[str, Any] = {}
    modules: list[ModuleEntry] = []
    calls: list[CallEntry] = []
    steps: list[StepEntry] = []
    same: dict[str, str] = {}
    optimizer: dict[str, Any] | None = None


class TraceWriter:
    """Writes a trace: tensors as they come, the index at the end, all of it or nothing."""

    def __init__(self, path: Path, force: bool = False) -> None:
        """Make a temporary folder beside ``path``.

        Raises:
            InputError: ``path`` exists and ``force`` is not given, or is no trace, or its folder
                cannot be written to.
        """
        self.path, self.force = path, force
        refuse_existing(path, force)
        try:
            path.absolute().parent.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(PART, f".{path.name}.", path.absolute().parent))
        except OSError as error:
            raise _unwritable(path, error) from None
        self.waiting: dict[str, torch.Tensor] = {}
        self.bytes = self.files = 0
        self.names: set[str] = set()

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Store a copy of a tensor; a name is stored once."""
        if name in self.names:
            return
        self.names.add(name)
        copy = torch.empty(tensor.shape, dtype=tensor.dtype)
        self.waiting[name] = copy.copy_(tensor.detach())
        self.bytes += copy.numel() * copy.element_size()
        if self.bytes >= CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not self.waiting:
            return
        try:
            save_file(self.waiting, self.folder / f"tensors-{self.files:06d}.safetensors")
        except (OSError, SafetensorError) as error:
            raise _unwritable(self.path, error) from None
        self.files += 1
        self.waiting, self.bytes = {}, 0

    def finish(self, index: Index) -> None:
        """Write what is left and the index, and give the folder its name."""
        self._flush()
        write_atomically(self.folder / INDEX, index.model_dump_json(indent=1) + "\n")
        refuse_existing(self.path, self.force)
        old: Path | None = None
        try:
            os.chmod(self.folder, 0o755)
            if self.path.exists():
                old = self.folder.with_suffix(".old" + PART)
                os.replace(self.path, old)
            os.replace(self.folder, self.path)
        except OSError as error:
            if old is not None and old.exists() and not self.path.exists():
                os.replace(old, self.path)
            raise _unwritable(self.path, error) from None
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)

    def abandon(self) -> None:
        """Remove what was written."""
        self.waiting = {}
        shutil.rmtree(self.folder, ignore_errors=True)


def refuse_existing(path: Path, force: bool) -> None:
    """Say that a trace exists.

    Raises:
        InputError: It does, and ``force`` is not given; or it is something else than a trace.
    """
    if not path.exists():
        return
    if not force:
        raise InputError(f"{path} exists: give another name, or force (--force) to replace it.")
    if not (path / INDEX).is_file():
        raise InputError(f"{path} is no trace, and is not replaced: give another name.")


def _unwritable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} could not be written: {getattr(error, 'strerror', None) or error}.")


class Trace:
    """A trace that was read: its index, and its tensors, which are loaded when they are asked for.

    Attributes:
        path: Its folder.
        index: What index.json says.
        modules: Name → the module's entry.
    """

    def __init__(self, path: Path, index: Index, places: Mapping[str, Path]) -> None:
        self.path, self.index, self.places = path, index, dict(places)
        self.modules = {module.name: module for module in index.modules}
        self._files: dict[Path, Any] = {}

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def tensor(self, name: str) -> torch.Tensor:
        """The tensor of a name.

        Raises:
            InputError: There is none, or its file is damaged.
        """
        if name not in self.places:
            raise InputError(f"{self.path} holds no tensor {name!r}, though its index names it.")
        file = self.places[name]
        try:
            if file not in self._files:
                if len(self._files) == MOST_OPEN:  # what was read stays in memory
                    self._files.pop(next(iter(self._files)))
                self._files[file] = safe_open(file, framework="pt")
            stored = self.index.same.get(name, name)
            found: torch.Tensor = self._files[file].get_tensor(stored)
        except (OSError, SafetensorError, RuntimeError, ValueError) as error:
            raise InputError(f"{file} is damaged: {error}.") from None
        return found

    def under(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors whose names start so, under what follows."""
        return {
            name.removeprefix(prefix): self.tensor(name)
            for name in sorted(self.places)
            if name.startswith(prefix)
        }


def read_trace(path: Path) -> Trace:
    """Read a trace, or a state_dict in a ``.safetensors`` file, which is one without calls.

    Raises:
        InputError: It is missing, damaged, or of another version.
    """
    if path.is_file() and path.suffix == ".safetensors":
        return _state_dict(path)
    if not path.exists():
        raise InputError(f"{path}: there is no such trace.")
    if not (path / INDEX).is_file():
        raise InputError(f"{path} is no trace: it has no {INDEX}.")
    try:
        content = readable_tree(json.loads(read_text(path / INDEX, MOST_BYTES)))
    except RecursionError:
        raise InputError(f"{path / INDEX}: its values are nested too deeply.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path / INDEX} could not be read: {error}.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path / INDEX}: expected the key format to be {FORMAT!r}.")
    if content.get("version") != VERSION:
        raise InputError(
            f"{path} is a trace of version {content.get('version')!r}, but this program reads "
            f"version {VERSION}."
        )
    try:
        index = Index.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part)[:80] for part in first["loc"])
        raise InputError(f"{path / INDEX}: {place}: {first['msg'][:500].lower()}.") from None
    except RecursionError:
        raise InputError(f"{path / INDEX}: its values are nested too deeply.") from None
    places: dict[str, Path] = {}
    for file in sorted(path.glob("*.safetensors")):
        places |= dict.fromkeys(_names(file), file)
    for name, stored in index.same.items():
        if stored not in places or stored in index.same:
            raise InputError(
                f"{path / INDEX}: same: {name!r} is to be {stored!r}, which is not stored."
            )
    places |= {name: places[stored] for name, stored in index.same.items()}
    trace = Trace(path, index, places)
    _check_references(trace)
    return trace


def _names(file: Path) -> list[str]:
    try:
        with opened(file):  # which refuses pipes and devices
            pass
        with safe_open(file, framework="pt") as tensors:
            return list(tensors.keys())
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        raise InputError(f"{file} is no safetensors file, or it is damaged: {error}.") from None


def _check_references(trace: Trace) -> None:
    """Every module and tensor that the calls name should be there."""
    numbers = [call.number for call in trace.index.calls]
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{trace.path / INDEX}: calls: two of them have the same number.")
    for number, call in enumerate(trace.index.calls):
        if call.module not in trace.modules:
            raise InputError(
                f"{trace.path / INDEX}: calls.{number}: there is no module {call.module!r}."
            )
        for tree in [*call.inputs, *call.keywords.values(), call.outputs]:
            for name in trees.names_in(tree):
                if name not in trace:
                    raise InputError(
                        f"{trace.path / INDEX}: calls.{number} names the tensor {name!r}, which is "
                        "in none of the .safetensors files."
                    )


def _state_dict(path: Path) -> Trace:
    """A trace of parameters alone; a module is what stands before the last dot of their names."""
    modules: dict[str, ModuleEntry] = {}
    places: dict[str, Path] = {}
    for name in _names(path):
        owner, _, local = name.rpartition(".")
        entry = modules.setdefault(owner, ModuleEntry(name=owner, kind="unknown"))
        entry.parameters[local] = name
        places[name] = path
    index = Index(
        format=FORMAT,
        version=VERSION,
        made_by={"program": MADE_BY_STATE_DICT},
        modules=list(modules.values()),
        steps=[StepEntry()],
    )
    return _StateDict(path, index, {f"step/0/parameter/{name}": f for name, f in places.items()})


class _StateDict(Trace):
    """A state_dict, whose names are those of parameters before step 0."""

    def tensor(self, name: str) -> torch.Tensor:
        with safe_open(self.path, framework="pt") as opened:
            found: torch.Tensor = opened.get_tensor(name.removeprefix("step/0/parameter/"))
        return found
