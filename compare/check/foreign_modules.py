"""Modules that would write a homework's answers: frameworks, and this project.

A homework is to compute by itself what PyTorch computes. Importing one of these modules fails in
its process as if it were not installed. One that is loaded by a way around that is seen: every file
that Python opens passes an audit hook, which cannot be taken away, tells the checking process and
refuses the file. What no hook sees, a second interpreter for one, the view of the file system
hides (:mod:`compare.check.isolation`). A file of the homework's own may have any of these names.
"""

from __future__ import annotations

import glob
import importlib.machinery
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

# Frameworks that compute outputs, gradients or updates, and the packages of this project.
FRAMEWORKS = (
    "torch", "torchvision", "torchaudio", "functorch", "torchgen", "tensorflow", "keras",
    "tf_keras", "jax", "jaxlib", "flax", "optax", "equinox", "haiku", "tinygrad", "autograd",
    "mlx", "mxnet", "paddle", "mindspore", "theano", "aesara", "pytensor", "chainer", "cupy",
    "thinc", "onnxruntime", "openvino", "lightning", "pytorch_lightning", "transformers",
    "onnx", "sklearn", "skorch", "fastai", "numpyro", "pyro", "sonnet", "trax", "nnabla", "casadi",
    "tensorrt", "tvm", "tflite_runtime", "ai_edge_litert", "tritonclient", "dezero", "micrograd",
    "numpy_ml", "neurolab", "pybrain", "lasagne", "ncnn", "coremltools", "ctranslate2",
)  # fmt: skip
OWN = ("compare", "numpy_nn", "torch_nn", "experiments", "reports", "nncompare")
# What comes with a module that is allowed.
COMPANIONS = {
    "torch": ("torchgen", "functorch"),
    "jax": ("jaxlib",),
    "tensorflow": ("keras", "tf_keras"),
    "keras": ("tf_keras",),
}
# Libraries of frameworks, as ctypes would load them.
LIBRARIES = {
    "libtorch": "torch",
    "libc10": "torch",
    "libtensorflow": "tensorflow",
    "libonnxruntime": "onnxruntime",
}
# What of this project's own package a homework's process needs: what it runs itself, which is read
# again when a traceback is made, and no code that computes a network.
NEEDED = ("__init__.py", "check", "parity/__init__.py", "parity/tolerances.py")
# Where other interpreters of the system keep their packages.
OTHER_PACKAGES = (
    "/usr/lib/python3*/dist-packages", "/usr/lib/python3*/site-packages",
    "/usr/lib64/python3*/site-packages", "/usr/local/lib/python3*/dist-packages",
    "/usr/local/lib/python3*/site-packages",
)  # fmt: skip


def forbidden_names(allowed: Iterable[str]) -> tuple[str, ...]:
    """The names of top-level modules that a homework may not import."""
    allowed = set(allowed)
    allowed |= {companion for name in allowed for companion in COMPANIONS.get(name, ())}
    return tuple(name for name in (*FRAMEWORKS, *OWN) if name not in allowed)


def checked_names(names: Iterable[str], source: str) -> tuple[str, ...]:
    """Names of modules that are to be allowed, each once; they have to be refused otherwise.

    Args:
        names: The names.
        source: Where they stand, for messages: ``--allow-import``, or a file and its key.

    Raises:
        InputError: A module of this name is not refused.
    """
    from experiments.errors import InputError  # which a homework's process does not see

    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in (*FRAMEWORKS, *OWN):
            raise InputError(
                f"{source} expects modules that are refused without it, such as torch, tensorflow, "
                f"jax or numpy_nn, but got {name!r}."
            )
    return found


@lru_cache
def places_of(names: tuple[str, ...]) -> tuple[str, ...]:
    """Where these modules are installed: files, and folders of packages; none is imported."""
    found: dict[str, None] = {}
    root = Path(__file__).resolve().parents[2]  # where an editable installation has this project
    folders = [str(root), *(path for path in sys.path if path)]
    for pattern in OTHER_PACKAGES:
        folders += glob.glob(pattern)
    for folder in dict.fromkeys(folders):
        for name in names:
            for path in (os.path.join(folder, name), os.path.join(folder, f"{name}.py")):
                if os.path.exists(path):
                    found[os.path.realpath(path)] = None
    return tuple(found)


@lru_cache
def needed_parts(package: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The files and folders of ``compare`` that a homework's process needs, and all others."""
    needed = tuple(package / one for one in NEEDED)
    holding = [folder for one in needed for folder in one.parents if folder.is_relative_to(package)]
    others = [
        one
        for folder in dict.fromkeys(holding)
        for one in sorted(folder.iterdir())
        if one not in needed and one not in holding and one.name != "__pycache__"
    ]
    return needed, tuple(others)


class RefusedImportError(ModuleNotFoundError):
    """A module is there, or would be, and a homework may not import it."""


class OwnModulesOnly:
    """Finds modules of these names beside the homework, and nowhere else.

    The first in ``sys.meta_path``.

    Args:
        names: The names.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names, self._before = frozenset(names), frozenset(sys.path)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The specification of a module; None leaves it to the next finder.

        Raises:
            RefusedImportError: It is one of the names and not the homework's own.
        """
        if path is not None or name not in self._names:
            return None
        own = [folder for folder in sys.path if folder not in self._before]
        found = importlib.machinery.PathFinder.find_spec(name, own)
        if found is None or found.origin is None:
            reason = "a homework is to do without it, unless --allow-import names it"
            raise RefusedImportError(reason, name=name)
        return found


def watch_files(names: Iterable[str], places: Sequence[str], report: Callable[[str], Any]) -> None:
    """Refuse files of these places from now on, and report who asks for one.

    Args:
        names: The names of the modules, whose libraries are refused wherever they are.
        places: Absolute paths of files and folders.
        report: Called with the name of the module.
    """
    libraries = tuple(file for file, name in LIBRARIES.items() if name in names)
    modules = {os.path.join(place, ""): _name_of(Path(place)) for place in places}
    fsdecode, realpath, join = os.fsdecode, os.path.realpath, os.path.join

    def refuse(name: str) -> None:
        report(name)
        raise ImportError(f"{name} is a module that a homework is to do without")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "import", "ctypes.dlopen"):
            return
        path = arguments[1 if event == "import" else 0]  # of a compiled module, its file
        if not isinstance(path, (str, bytes)) or not path:
            return
        text = fsdecode(path)
        library = text.rpartition("/")[2]
        if event != "open" and library.startswith(libraries):
            refuse(library[:40])
        text = join(realpath(text), "")
        for place, name in modules.items():
            if text.startswith(place):
                refuse(name)

    sys.addaudithook(hook)


def _name_of(place: Path) -> str:
    """The name of the module at a place, or of the package of this project that has it."""
    package = Path(__file__).resolve().parents[1]
    return package.name if place.is_relative_to(package) else place.stem
