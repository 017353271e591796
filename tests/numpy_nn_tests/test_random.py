"""The same seed gives PyTorch's draws."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn
from numpy_nn.random import Generator

SEEDS = [*range(20), 2**32 - 1, 2**32, 2**32 + 7, 2**64 - 1, -1, -5, -(2**63), 123456789012345]


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    ours = Generator(seed)
    assert ours.initial_seed() == generator.initial_seed()
    assert (ours.uniform(100) == torch.rand(100, generator=generator).numpy()).all()
    assert (ours.uniform(7) == torch.rand(7, generator=generator).numpy()).all()


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seeds_that_torch_refuses(seed: int) -> None:
    with pytest.raises(ValueError, match="Overflow"):
        torch.Generator().manual_seed(seed)
    with pytest.raises(ValueError, match=str(seed)):
        numpy_nn.manual_seed(seed)


def test_a_seed_is_a_whole_number() -> None:
    with pytest.raises(TypeError):
        numpy_nn.manual_seed(1.5)  # type: ignore[arg-type]


def test_unseeded_generators_begin_alike() -> None:
    assert (Generator().uniform(5) == torch.rand(5, generator=torch.Generator()).numpy()).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(20))
def test_uniform_bits(seed: int, dtype: str) -> None:
    bounds = np.random.default_rng(seed).normal(size=(20, 2)) * 10.0 ** np.arange(-10, 10)[:, None]
    torch.manual_seed(seed)
    numpy_nn.manual_seed(seed)
    for low, high in [(0.0, 1.0), (-0.1, 0.1), (0.3, 0.3), *map(sorted, bounds.tolist())]:
        expected = torch.empty(250, dtype=getattr(torch, dtype)).uniform_(low, high).numpy()
        actual = numpy_nn.default_generator.uniform(250, low, high, dtype)
        assert actual.dtype == expected.dtype
        assert (actual == expected).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 1000])
def test_normal_values_and_place_in_the_stream(size: int, dtype: str, close: Any) -> None:
    torch.manual_seed(size)
    numpy_nn.manual_seed(size)
    for mean, std in [(0.0, 1.0), (3.0, 0.5)]:
        expected = torch.empty(size, dtype=getattr(torch, dtype)).normal_(mean, std).numpy()
        close(numpy_nn.default_generator.normal(size, mean, std, dtype), expected, "normal")
    assert (numpy_nn.default_generator.uniform(5) == torch.rand(5).numpy()).all()


def test_seeding_forgets_the_second_of_a_pair() -> None:
    generator = Generator(1)
    first = generator.normal(1)
    generator.manual_seed(1)
    assert generator.normal(1) == first


@pytest.mark.parametrize("seed", range(20))
def test_randperm_bits(seed: int) -> None:
    torch.manual_seed(seed)
    numpy_nn.manual_seed(seed)
    for n in (0, 1, 2, 3, 10, 100, 6000):
        actual, expected = numpy_nn.randperm(n), torch.randperm(n).numpy()
        assert actual.dtype == expected.dtype
        assert (actual == expected).all()


def test_randperm_of_many() -> None:
    ours, theirs = Generator(3), torch.Generator().manual_seed(3)
    expected = torch.randperm(300_000, generator=theirs).numpy()
    assert (numpy_nn.randperm(300_000, generator=ours) == expected).all()
    assert (ours.uniform(3) == torch.rand(3, generator=theirs).numpy()).all()


@pytest.mark.parametrize("n", [-1, 2**32])
def test_randperm_of_impossible_sizes(n: int) -> None:
    with pytest.raises(ValueError, match=str(n)):
        numpy_nn.randperm(n)


def test_state_comes_back() -> None:
    generator = Generator(5)
    generator.normal(3)
    state = generator.get_state()
    expected = generator.normal(5), generator.uniform(5), generator.randperm(5)
    other = Generator(6)
    other.set_state(state)
    actual = other.normal(5), other.uniform(5), other.randperm(5)
    assert all((a == e).all() for a, e in zip(actual, expected, strict=True))
    assert other.initial_seed() == 5


def test_numpy_global_generator_is_left_alone() -> None:
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    numpy_nn.manual_seed(0)
    numpy_nn.Linear(3, 4)
    numpy_nn.randperm(10)
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    assert repr(after) == repr(before)
