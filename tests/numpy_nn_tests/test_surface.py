"""The public surface: names, signatures, imports, and examples that run."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from typing import Any

import pytest
import torch

import numpy_nn
import torch_nn

# Where a signature is not PyTorch's, and why.
EXCEPTIONS = {
    "Parameter": "every parameter is trained here, so there is no requires_grad",
    "Generator": "PyTorch's takes a device; this one a seed, which PyTorch sets afterwards",
    "Optimizer": "the base class has PyTorch's, under the same names",
    "manual_seed": "the same argument; PyTorch leaves its type open",
}

FUNCTIONS = [(f"init.{name}", name) for name in numpy_nn.init.__all__]
CLASSES = [
    name
    for name in numpy_nn.__all__
    if isinstance(getattr(numpy_nn, name), type) and name not in EXCEPTIONS
]
MODULES = [m.name for m in pkgutil.walk_packages(numpy_nn.__path__, "numpy_nn.")]


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [
        (p.name, p.default, p.kind)
        for p in inspect.signature(function).parameters.values()
        if p.name != "self"
    ]


@pytest.mark.parametrize("name", [n for n in CLASSES if n != "Module"])
def test_constructors_have_torchs_arguments(name: str) -> None:
    ours = parameters(getattr(numpy_nn, name).__init__)
    assert ours == parameters(getattr(torch.nn, name).__init__)


@pytest.mark.parametrize("name", [n for n in numpy_nn.optim.__all__ if n != "lr_scheduler"])
def test_optimizers_have_torchs_arguments(name: str) -> None:
    ours = parameters(getattr(numpy_nn.optim, name).__init__)
    assert ours == parameters(getattr(torch.optim, name).__init__)


@pytest.mark.parametrize("name", numpy_nn.init.__all__)
def test_init_functions_have_torchs_arguments(name: str) -> None:
    assert parameters(getattr(numpy_nn.init, name)) == parameters(getattr(torch.nn.init, name))


@pytest.mark.parametrize(
    "package",
    [numpy_nn, numpy_nn.optim, numpy_nn.optim.lr_scheduler, numpy_nn.modules, numpy_nn.graph],
)
def test_all_lists_the_public_names(package: Any) -> None:
    """Whatever is defined below numpy_nn and has a public name in the package."""
    assert all(hasattr(package, name) for name in package.__all__)  # the lazy ones are imported
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", "").startswith("numpy_nn")
    }
    assert len(package.__all__) == len(set(package.__all__))
    if package is numpy_nn.optim.lr_scheduler:
        public -= {"Optimizer"}
    assert public <= set(package.__all__)
    assert set(package.__all__) <= set(vars(package))


@pytest.mark.parametrize("name", numpy_nn.__all__)
def test_every_public_name_is_torchs_too(name: str) -> None:
    assert name in torch_nn.__all__
    assert hasattr(torch_nn, name)


def test_torch_nn_has_no_other_names() -> None:
    assert set(torch_nn.__all__) - set(numpy_nn.__all__) == {"configure"}
    assert set(dir(torch_nn)) == set(torch_nn.__all__)
    assert len(torch_nn.__all__) == len(set(torch_nn.__all__))


@pytest.mark.parametrize("name", ["optim", "optim.lr_scheduler", "init"])
def test_names_below_are_torchs_too(name: str) -> None:
    ours, theirs = importlib.import_module(f"numpy_nn.{name}"), torch_nn
    for part in name.split("."):
        theirs = getattr(theirs, part)
    assert [n for n in ours.__all__ if not hasattr(theirs, n)] == []


def test_torch_nn_contains_no_layer() -> None:
    for name in torch_nn.__all__:
        value = getattr(torch_nn, name)
        if isinstance(value, type):
            assert value.__module__.startswith("torch")
        if hasattr(torch.nn, name):
            assert value is getattr(torch.nn, name)


def test_a_name_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match=r"numpy_nn has no 'Transformer'.*BatchNorm1d"):
        _ = numpy_nn.Transformer
    with pytest.raises(AttributeError, match=r"numpy_nn\.optim has no 'LBFGS'.*Adam"):
        _ = numpy_nn.optim.LBFGS
    with pytest.raises(AttributeError, match=r"lr_scheduler has no 'CyclicLR'.*StepLR"):
        _ = numpy_nn.optim.lr_scheduler.CyclicLR
    with pytest.raises(AttributeError, match=r"torch_nn has no 'Transformer'.*BatchNorm1d"):
        _ = torch_nn.Transformer


@pytest.mark.parametrize("name", ["numpy_nn", *MODULES, "torch_nn"])
def test_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


@pytest.mark.parametrize("name", [n for n in CLASSES if n != "Module"] + ["Parameter", "Generator"])
def test_public_classes_have_an_example(name: str) -> None:
    documentation = getattr(numpy_nn, name).__doc__
    for part in ("Args:", "Example:", ">>>"):
        assert part in documentation


def test_numpy_nn_needs_numpy_alone() -> None:
    code = """
import sys, numpy, numpy.random
before = set(sys.modules)
sys.modules["torch"] = None
import numpy_nn
numpy_nn.optim.Adam(numpy_nn.Linear(2, 3).parameters())
roots = {name.split(".")[0] for name in set(sys.modules) - before}
print(*sorted(roots - set(sys.stdlib_module_names) - {"numpy", "numpy_nn", "torch"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
