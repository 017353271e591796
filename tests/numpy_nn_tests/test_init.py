"""First values: PyTorch's bits under the same seed."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_nn
from numpy_nn import init

SHAPES = [(3, 4), (1, 1), (10, 784), (5, 2, 3), (8, 4, 3, 3), (2, 3, 2, 2, 2), (16, 1, 5, 5)]
UNIFORM = [
    ("uniform_", {}),
    ("uniform_", {"a": -0.3, "b": 0.7}),
    ("kaiming_uniform_", {}),
    ("kaiming_uniform_", {"a": 5**0.5}),
    ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_uniform_", {"nonlinearity": "tanh"}),
    ("xavier_uniform_", {}),
    ("xavier_uniform_", {"gain": 1.7}),
]
NORMAL = [
    ("normal_", {}),
    ("normal_", {"mean": 2.0, "std": 0.1}),
    ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ("kaiming_normal_", {"a": 0.2}),
    ("xavier_normal_", {"gain": 0.5}),
]
CONSTANT = [("zeros_", {}), ("ones_", {}), ("constant_", {"val": 0.3})]


def seed_both(seed: int) -> None:
    """PyTorch's manual_seed goes over every device, which takes longer than the tests."""
    numpy_nn.manual_seed(seed)
    torch.default_generator.manual_seed(seed)


def fill_both(name: str, settings: dict[str, Any], shape: Any, dtype: str, seed: int) -> Any:
    seed_both(seed)
    actual = np.full(shape, np.nan, dtype)
    assert getattr(init, name)(actual, **settings) is actual
    expected = torch.empty(shape, dtype=getattr(torch, dtype))
    getattr(torch.nn.init, name)(expected, **settings)
    return actual, expected.numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "settings"), UNIFORM + CONSTANT, ids=str)
def test_bits(name: str, settings: dict[str, Any], shape: Any, dtype: str) -> None:
    for seed in range(20 if shape == SHAPES[0] else 3):
        actual, expected = fill_both(name, settings, shape, dtype, seed)
        assert (actual == expected).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "settings"), NORMAL, ids=str)
def test_normal(name: str, settings: dict[str, Any], shape: Any, dtype: str, close: Any) -> None:
    close(*fill_both(name, settings, shape, dtype, 0), "normal")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(20))
def test_default_bits_of_linear(seed: int, dtype: str) -> None:
    seed_both(seed)
    for sizes in [(1, 1), (3, 5), (17, 1), (1, 17), (784, 64), (64, 10)]:
        for bias in (True, False):
            ours = numpy_nn.Linear(*sizes, bias=bias, dtype=dtype).state_dict()
            theirs = torch.nn.Linear(*sizes, bias=bias, dtype=getattr(torch, dtype)).state_dict()
            assert list(ours) == list(theirs)
            for key, value in theirs.items():
                assert ours[key].dtype == value.numpy().dtype
                assert (ours[key] == value.numpy()).all()


NONLINEARITIES = (*init.GAINS, "leaky_relu")
ARGUMENTS = {
    "uniform_": st.builds(
        lambda a, width: {"a": a, "b": a + width},
        st.floats(-1e6, 1e6, allow_subnormal=False),
        st.sampled_from([0.0, 1e-8, 1e-3, 1.0, 7.7]),  # too narrow for many values, and wide
    ),
    # Not so small that the error of a product is below float64's numbers.
    "xavier_uniform_": st.fixed_dictionaries({"gain": st.floats(1e-6, 10) | st.just(0.0)}),
    "kaiming_uniform_": st.fixed_dictionaries(
        {
            "a": st.floats(-3, 3),
            "mode": st.sampled_from(["fan_in", "fan_out"]),
            "nonlinearity": st.sampled_from(NONLINEARITIES),
        }
    ),
}


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(sorted(ARGUMENTS)),
    extents=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(-(2**63), 2**64 - 1),
)
def test_bits_of_any_uniform(data: Any, name: str, extents: Any, dtype: str, seed: int) -> None:
    arguments = data.draw(ARGUMENTS[name])
    actual, expected = fill_both(name, arguments, tuple(extents), dtype, seed)
    assert (actual == expected).all()
    assert numpy_nn.default_generator.uniform(1)[0] == torch.rand(1).numpy()[0]


@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0, 3)])
@pytest.mark.parametrize(
    ("name", "arguments"), [("uniform_", {}), ("normal_", {}), *CONSTANT], ids=str
)
def test_any_number_of_axes(name: str, arguments: Any, shape: Any) -> None:
    actual, expected = fill_both(name, arguments, shape, "float32", 0)
    np.testing.assert_allclose(actual, expected, rtol=2e-6)


def test_the_upper_end_is_left_out() -> None:
    """Where rounding would give it, the lower end stands, as in PyTorch."""
    actual, expected = fill_both("uniform_", {"a": 1e5, "b": 1e5 + 0.7}, (2000,), "float32", 3)
    assert (actual == expected).all()
    assert (actual < np.float32(1e5 + 0.7)).all()


def test_a_name_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match=r"numpy_nn\.init has no 'orthogonal_'.*uniform_"):
        _ = init.orthogonal_


def test_a_parameter_is_filled_and_returned() -> None:
    parameter = numpy_nn.Parameter(np.zeros((2, 3), np.float32))
    data = parameter.data
    assert init.ones_(parameter) is parameter
    assert parameter.data is data
    assert (data == 1).all()


def test_a_view_is_filled_in_place() -> None:
    whole = np.zeros((4, 6))
    init.kaiming_uniform_(whole[::2, ::3], generator=numpy_nn.Generator(1))
    assert (whole[::2, ::3] != 0).all()
    assert np.count_nonzero(whole) == 4


def test_a_generator_of_ones_own() -> None:
    for name, arguments in UNIFORM:
        actual = getattr(init, name)(
            np.empty((3, 4), np.float32), **arguments, generator=numpy_nn.Generator(9)
        )
        expected = getattr(torch.nn.init, name)(
            torch.empty(3, 4), **arguments, generator=torch.Generator().manual_seed(9)
        )
        assert (actual == expected.numpy()).all()


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_nothing_to_fill_warns_as_torch_does(name: str) -> None:
    for namespace, tensor in ((init, np.empty((0, 3))), (torch.nn.init, torch.empty(0, 3))):
        with pytest.warns(UserWarning, match="zero-element"):
            getattr(namespace, name)(tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert numpy_nn.Linear(0, 3).state_dict()["bias"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "given",
    [
        ("linear",),
        ("conv2d",),
        ("conv_transpose3d",),
        ("sigmoid",),
        ("tanh",),
        ("relu",),
        ("selu",),
        ("leaky_relu",),
        ("leaky_relu", 0.2),
        ("leaky_relu", 2),
    ],
)
def test_gains(given: Any) -> None:
    assert init.calculate_gain(*given) == torch.nn.init.calculate_gain(*given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda nn, a: nn.calculate_gain("gelu"), "gelu"),
        (lambda nn, a: nn.calculate_gain("leaky_relu", True), "True"),
        (lambda nn, a: nn.calculate_gain("leaky_relu", "x"), "x"),
        (lambda nn, a: nn.kaiming_uniform_(a(2, 3), mode="fan"), "fan not supported"),
        (lambda nn, a: nn.kaiming_uniform_(a(3)), "fewer than 2 dimensions"),
        (lambda nn, a: nn.xavier_normal_(a(3)), "fewer than 2 dimensions"),
        (lambda nn, a: nn.uniform_(a(3), 1.0, 0.0), "a=1.0, b=0.0"),
        (lambda nn, a: nn.uniform_(a(3), -1e308, 1e308), "finite in float64"),
        (lambda nn, a: nn.normal_(a(3), 0.0, -1.0), "std=-1.0"),
    ],
)
def test_refusals_are_torchs(call: Any, message: str) -> None:
    with pytest.raises((ValueError, RuntimeError)):
        call(torch.nn.init, torch.empty)
    with pytest.raises(ValueError, match=message):
        call(init, lambda *shape: np.empty(shape))


def test_other_arrays_are_refused() -> None:
    for tensor in (np.zeros(3, np.int64), [1.0]):
        with pytest.raises(TypeError, match="expected a Parameter"):
            init.zeros_(tensor)
