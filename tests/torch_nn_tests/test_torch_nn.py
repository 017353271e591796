"""PyTorch's settings; that the names are PyTorch's own is tested with numpy_nn's surface."""

from collections.abc import Iterator

import pytest
import torch

import torch_nn


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error" if deterministic else "default")


def test_configure() -> None:
    torch_nn.configure(threads=1)
    assert torch.get_num_threads() == 1
    assert torch.are_deterministic_algorithms_enabled()
    torch_nn.configure(deterministic=False)
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_must_be_positive(threads: int) -> None:
    with pytest.raises(ValueError, match=str(threads)):
        torch_nn.configure(threads=threads)


def test_names_are_torchs_own() -> None:
    for name in set(torch_nn.__all__) - {"configure"}:
        found = getattr(torch_nn, name)
        home = getattr(found, "__module__", None) or getattr(found, "__name__", "")
        assert home.split(".")[0] in ("torch", "torch._C") or found is getattr(torch, name), name
