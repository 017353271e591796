"""Where a run takes place, also where little can be found out."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch

import numpy_nn
from compare.backends import environment
from experiments.architectures import bn_mlp, cnn


def test_description():
    found = environment.describe_environment()
    assert found.numpy == np.__version__
    assert found.torch == torch.__version__
    assert found.python.endswith(platform.python_version())
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.torch_threads == torch.get_num_threads()
    assert found.numpy_threads >= 1
    assert found.processor
    assert found.system
    for text in found.model_dump().values():
        assert "/" not in str(text).replace("GNU/Linux", "")  # no path of this machine


def test_threads():
    before = torch.get_num_threads()
    try:
        environment.set_threads(1)
        assert torch.get_num_threads() == 1
        assert environment.describe_environment().numpy_threads == 1
    finally:
        environment.set_threads(before)


@pytest.mark.parametrize(
    ("variable", "threads"),
    [("3", 3), ("0", None), ("", None), ("many", None), ("-1", None), (None, None)],
)
def test_default_threads(monkeypatch, variable, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert environment.default_threads() == (threads or 1)
    assert environment.default_threads(cnn(numpy_nn)) == (threads or environment.usable_cores())
    assert environment.default_threads(bn_mlp(numpy_nn)) == (threads or 1)


def test_cores_where_the_system_does_not_say(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert environment.usable_cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert environment.usable_cores() == 1


def test_version(monkeypatch):
    assert environment.own_version()[0].isdigit()

    def missing(_):
        raise PackageNotFoundError

    monkeypatch.setattr(environment, "version", missing)
    assert environment.own_version() == "unknown"


@pytest.mark.parametrize(
    ("answer", "commit"), [("abc-dirty\n", "abc-dirty"), ("\n", None)]
)  # fmt: skip
def test_commit(monkeypatch, tmp_path, answer, commit):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(
        environment, "__file__", str(tmp_path / "compare" / "backends" / "environment.py")
    )

    def run(command, **_):
        assert command[:4] == ["git", "--no-optional-locks", "-C", str(tmp_path)]
        return subprocess.CompletedProcess(command, 0, answer, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert environment.own_commit() == commit


def test_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(
        environment, "__file__", str(tmp_path / "compare" / "backends" / "environment.py")
    )
    assert environment.own_commit() is None  # not a checkout
    (tmp_path / ".git").mkdir()

    def run(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", run)
    assert environment.own_commit() is None  # no git


def test_another_system(monkeypatch):
    """As on Windows and macOS."""
    monkeypatch.setattr(environment.Path, "exists", lambda _: False)
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert environment._processor() == "arm64"

    def missing():
        raise OSError

    monkeypatch.setattr(platform, "freedesktop_os_release", missing)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "release", lambda: "24.0")
    assert environment._system() == "Darwin 24.0"
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert environment._memory_bytes() == 0


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build\n"
         "  - Intel(R) MKL-DNN v3.7.1 (Git Hash x)\n  - BLAS_INFO=mkl,",
         "MKL 2024.2, oneDNN 3.7.1"),
        ("BLAS_INFO=open, LAPACK_INFO=open", "BLAS open"),
        ("", "unknown"),
    ],
)  # fmt: skip
def test_blas_of_torch(config, expected):
    assert environment._torch_blas(config) == expected


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://example.org/me/net.git", "https://example.org/me/net"),
        ("https://example.org:8443/me/net/", "https://example.org:8443/me/net"),
        ("https://me:secret@example.org/me/net.git", "https://example.org/me/net"),
        ("git@example.org:me/net.git", "https://example.org/me/net"),
        ("ssh://git@example.org/me/net.git", "https://example.org/me/net"),
        ("ssh://git@example.org:2222/me/net.git", None),
        ("/srv/git/net.git", None),
        ("file:///srv/git/net.git", None),
        ("http://example.org/me/net", None),
        ("https://example.org/me/net`; rm -rf .`", None),
        ("https://example.org/--upload-pack=x/net", None),
        ("https://example.org/" + 200 * "a", None),
        ("", None),
    ],
)
def test_the_address_of_the_repository_has_no_password_and_no_folder(remote, expected):
    assert environment.repository_address(remote) == expected
