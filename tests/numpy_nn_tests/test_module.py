"""The base class: names, registries, state and mode, as in PyTorch."""

import copy
import pickle
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn
import torch_nn
from numpy_nn import Linear, Module, Parameter


def shared(nn: Any) -> Any:
    """A module with a nested one, one that occurs twice, one left out, and buffers."""

    class Shared(nn.Module):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3)
            self.again = self.first
            self.norm = nn.BatchNorm1d(3)
            self.inner = nn.Sequential(nn.ReLU(), nn.Linear(3, 2, bias=False))
            self.register_parameter("absent", None)
            self.scale = nn.Linear(2, 2).weight

    return Shared()


@pytest.fixture
def both() -> tuple[Any, Any]:
    numpy_nn.manual_seed(0)
    torch_nn.manual_seed(0)
    return shared(numpy_nn), shared(torch_nn)


def test_walks_are_torchs(both: Any) -> None:
    for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
        ours, theirs = (dict(getattr(module, walk)()) for module in both)
        assert list(ours) == list(theirs)
    for walk in ("parameters", "buffers"):
        for recurse in (True, False):
            ours, theirs = ([tuple(a.shape) for a in getattr(m, walk)(recurse)] for m in both)
            assert ours == theirs
    for walk in ("modules", "children"):
        ours, theirs = ([type(m).__name__ for m in getattr(module, walk)()] for module in both)
        assert ours == theirs
    every = {"remove_duplicate": False}
    for walk in ("named_parameters", "named_buffers", "named_modules"):
        ours, theirs = ([name for name, _ in getattr(m, walk)(**every)] for m in both)
        assert ours == theirs
    ours, theirs = ([name for name, _ in m.named_parameters("net", recurse=False)] for m in both)
    assert ours == theirs == ["net.scale"]


def test_state_dict_is_torchs(both: Any) -> None:
    ours, theirs = (module.state_dict() for module in both)
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        assert ours[key].dtype == value.numpy().dtype
        assert (ours[key] == value.numpy()).all()
    assert list(both[0].state_dict(prefix="net.")) == list(both[1].state_dict(prefix="net."))
    assert repr(both[0]) == repr(both[1])


def test_state_dict_shares_its_arrays(both: Any) -> None:
    module = both[0]
    state = module.state_dict()
    state["first.weight"][...] = 7
    state["norm.num_batches_tracked"][...] = 3
    assert (module.first.weight.data == 7).all()
    assert module.norm.num_batches_tracked == 3
    optimizer = numpy_nn.optim.SGD(module.parameters(), lr=1.0)
    state = module.state_dict()
    module.first.weight.grad = np.ones((3, 3), np.float32)
    optimizer.step()
    assert (state["first.weight"] == 6).all()


def test_loading_copies_in_place_and_converts(both: Any) -> None:
    module = both[0]
    weight = module.first.weight.data
    state = {key: value.astype(np.float64) for key, value in module.state_dict().items()}
    state["first.weight"] = np.full((3, 3), 2.0)
    state["again.weight"] = np.full((3, 3), 3.0)
    state["norm.num_batches_tracked"] = np.array([5])
    found = module.load_state_dict(state)
    assert found == ([], [])
    assert module.first.weight.data is weight
    assert weight.dtype == np.float32
    assert (weight == 3).all()
    assert module.norm.num_batches_tracked == 5
    state["first.weight"][...] = 0
    assert (weight == 3).all()


def test_loading_without_strict(both: Any) -> None:
    state = {"scale": np.ones((2, 2)), "spare": np.ones(1)}
    ours = both[0].load_state_dict(state, strict=False)
    theirs = both[1].load_state_dict(
        {key: torch.from_numpy(value) for key, value in state.items()}, strict=False
    )
    assert ours.missing_keys == theirs.missing_keys
    assert ours.unexpected_keys == theirs.unexpected_keys
    assert (both[0].scale.data == 1).all()


def test_loading_says_all_that_is_wrong_and_changes_nothing(both: Any) -> None:
    state = both[0].state_dict() | {"spare": np.ones(1), "scale": np.ones((3, 2))}
    state["first.bias"] = np.full(3, 9.0)
    del state["norm.weight"], state["inner.1.weight"]
    before = both[0].first.bias.data.copy()
    with pytest.raises(RuntimeError) as ours:
        both[0].load_state_dict(state)
    with pytest.raises(RuntimeError) as theirs:
        both[1].load_state_dict({k: torch.from_numpy(np.asarray(v)) for k, v in state.items()})
    expected = str(theirs.value).replace("torch.Size([3, 2])", "(3, 2)")
    assert str(ours.value) == expected.replace("torch.Size([2, 2])", "(2, 2)")
    assert (both[0].first.bias.data == before).all()


def test_a_state_without_the_count_of_batches(both: Any) -> None:
    """PyTorch takes a plain mapping without it, not one that knows its version."""
    states = [dict(module.state_dict()) for module in both]
    for module, state in zip(both, states, strict=True):
        del state["norm.num_batches_tracked"]
        module.load_state_dict(state)
    versioned = both[1].state_dict()
    del versioned["norm.num_batches_tracked"]
    for module in both:
        with pytest.raises(RuntimeError, match=r"Missing key.*norm\.num_batches_tracked"):
            module.load_state_dict(versioned)


def test_loading_refuses_what_are_no_numbers() -> None:
    layer = Linear(1, 1)
    with pytest.raises(RuntimeError, match="bias: expected numbers"):
        layer.load_state_dict({"weight": np.ones((1, 1)), "bias": np.array(["a"])})
    with pytest.raises(TypeError, match="mapping"):
        layer.load_state_dict([1])  # type: ignore[arg-type]


def test_mode_gradients_and_apply(both: Any) -> None:
    for module in both:
        module.eval()
        assert not any(m.training for m in module.modules())
        assert module.train() is module
        assert all(m.training for m in module.modules())
    seen: list[list[str]] = []
    for module in both:
        names: list[str] = []
        assert module.apply(lambda m, names=names: names.append(type(m).__name__)) is module
        seen.append(names)
    assert seen[0] == seen[1]
    module = both[0]
    for parameter in module.parameters():
        parameter.grad = np.ones_like(parameter.data)
    module.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in module.parameters())
    module.zero_grad()
    assert all(p.grad is None for p in module.parameters())
    module.zero_grad(set_to_none=False)
    with pytest.raises(ValueError, match="'yes'"):
        module.train("yes")


def test_conversion(both: Any) -> None:
    for module in both:
        module.double()
    ours, theirs = (module.state_dict() for module in both)
    for key, value in theirs.items():
        assert ours[key].dtype == value.numpy().dtype
    module = both[0]
    assert module.scale is module._parameters["scale"]
    module.first.weight.grad = np.ones((3, 3))
    assert module.float() is module
    assert module.first.weight.grad.dtype == np.float32
    assert module.norm.running_mean.dtype == np.float32
    assert module.norm.num_batches_tracked.dtype == np.int64
    for dtype in (np.float16, np.int64, "cpu"):
        with pytest.raises(TypeError):
            module.to(dtype)


def test_get_submodule(both: Any) -> None:
    module = both[0]
    assert module.get_submodule("") is module
    assert module.get_submodule("inner.1") is module.inner[1]
    with pytest.raises(AttributeError, match=r"no submodule '7' .*'inner.7'.*It has: 0, 1"):
        module.get_submodule("inner.7")


def test_attributes_and_registries_stay_together() -> None:
    module = Module()
    first, second = Parameter(np.zeros(1)), Parameter(np.ones(1))
    module.w = first
    module.w = second
    assert list(module.parameters()) == [second]
    module.w = None
    assert list(module.named_parameters()) == []
    assert module.w is None
    module.w = first
    del module.w
    assert not hasattr(module, "w")
    assert list(module.parameters()) == []
    module.register_buffer("b", np.zeros(2))
    module.b = np.ones(2)
    assert (module.state_dict()["b"] == 1).all()
    module.child = Linear(1, 1)
    module.child = None
    assert list(module.children()) == []
    module.child = Linear(1, 1)
    module.register_module("other", None)
    module.add_module("other", Linear(1, 1))
    expected = ["b", "child.weight", "child.bias", "other.weight", "other.bias"]
    assert list(module.state_dict()) == expected
    module.later = None
    module.later = Linear(1, 1)
    module.later = Parameter(np.zeros(1))
    assert "later" in module.state_dict()
    assert [name for name, _ in module.named_children()] == ["child", "other"]
    module.plain = 3
    module.plain = 4
    assert module.plain == 4


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (lambda m: setattr(m, "weight", 3), TypeError, "cannot assign int to 'weight'"),
        (lambda m: setattr(m, "weight", np.ones(2)), TypeError, "cannot assign ndarray"),
        (lambda m: m.register_parameter("a.b", None), KeyError, "a.b"),
        (lambda m: m.register_parameter("", None), KeyError, "empty"),
        (lambda m: m.register_parameter(3, None), TypeError, "int"),
        (lambda m: m.register_parameter("forward", None), KeyError, "already exists"),
        (lambda m: m.register_parameter("p", np.ones(1)), TypeError, "ndarray"),
        (lambda m: m.register_buffer("p", 3.0), TypeError, "float"),
        (lambda m: m.register_module("p", 3), TypeError, "int"),
        (lambda m: m.register_state_dict_pre_hook, AttributeError, "state_dict_pre_hook"),
        (lambda m: m.to(np.float32, non_blocking=True), TypeError, "non_blocking"),
        (lambda m: m.load_state_dict({}, assign=True), TypeError, "assign"),
        (lambda m: setattr(m, "forward", Linear(1, 1)), KeyError, "'forward' already exists"),
        (lambda m: m.backward([1.0]), RuntimeError, "before forward"),
        (lambda m: m(np.ones((1, 2), np.float32)) is m.backward([1.0]), TypeError, "list"),
        (lambda m: Module()(1), NotImplementedError, "no forward"),
        (lambda m: Module().backward(1), NotImplementedError, "no backward"),
    ],
)
def test_refusals(act: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        act(Linear(2, 2))


def test_a_constructor_that_forgets_its_base_is_told() -> None:
    class Forgetful(Module):
        def __init__(self) -> None:
            self.layer = Linear(1, 1)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\) in Forgetful"):
        Forgetful()


def test_copies_are_independent(both: Any) -> None:
    module = both[0]
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(numpy_nn.Linear(2, 2)))):
        for (name, value), parameter in zip(
            other.state_dict().items(), other.parameters(), strict=False
        ):
            assert isinstance(name, str)
            value[...] = 1
            assert parameter is not None
    copied = copy.deepcopy(module)
    assert copied.first is copied.again
    copied.first.weight.data[...] = 5
    assert (module.first.weight.data != 5).any()
    assert copied._parameters["scale"] is copied.scale


def test_parameter() -> None:
    data = np.arange(6, dtype=np.float32).reshape(2, 3)
    parameter = Parameter(data)
    assert parameter.data is data
    assert Parameter(parameter).data is data
    assert parameter.shape == (2, 3)
    assert parameter.ndim == 2
    assert parameter.numel() == 6
    assert len(parameter) == 2
    assert parameter.dtype == np.float32
    assert np.asarray(parameter) is data or np.shares_memory(np.asarray(parameter), data)
    assert np.array(parameter, dtype=np.float64).dtype == np.float64
    assert repr(parameter).startswith("Parameter containing:\narray([[0., 1., 2.]")
    parameter.grad = np.ones((2, 3), np.float32)
    parameter.accumulate_grad(np.ones((2, 3), np.float32))
    assert (parameter.grad == 2).all()
    for wrong in (np.ones((3, 2), np.float32), np.ones((2, 3)), 1.0):
        with pytest.raises(ValueError, match=r"\(2, 3\) and float32"):
            parameter.grad = wrong  # type: ignore[assignment]
    for wrong in ([1.0], np.ones(2, np.int64)):
        with pytest.raises(TypeError, match="float32 or float64"):
            Parameter(wrong)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="requires_grad"):
        parameter.requires_grad = False  # type: ignore[attr-defined]


def test_sequential(both: Any) -> None:
    made = []
    for nn in (numpy_nn, torch_nn):
        layers = OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU(), c=nn.Linear(3, 1))
        model = nn.Sequential(layers)
        assert len(model) == 3
        assert [type(m).__name__ for m in model] == ["Linear", "ReLU", "Linear"]
        assert model[0] is model.a
        assert model[-1] is model.c
        model[1] = nn.LeakyReLU()
        model.append(nn.Identity())
        made.append((list(model.state_dict()), repr(model), repr(model[1:]), repr(model[::2])))
        for index in (4, -5):
            with pytest.raises(IndexError, match="out of range"):
                model[index]
    assert made[0] == made[1]
    with pytest.raises(TypeError, match="Received: int"):
        numpy_nn.Sequential(3)


def test_backward_parameters_gives_the_same_gradients() -> None:
    model = numpy_nn.Sequential(
        numpy_nn.Flatten(), numpy_nn.Sequential(Linear(6, 5), numpy_nn.ReLU()), Linear(5, 2)
    )
    rng = np.random.default_rng(0)
    x, dy = (rng.normal(size=s).astype(np.float32) for s in [(4, 2, 3), (4, 2)])
    model(x)
    model.backward(dy)
    expected = [p.grad for p in model.parameters()]
    model.zero_grad()
    assert model.backward_parameters(dy) is None
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        assert (parameter.grad == grad).all()
    numpy_nn.Sequential(numpy_nn.Identity()).backward_parameters(dy)
    with pytest.raises(ValueError, match=r"\(4, 2\).*Received: \(4, 3\)"):
        model.backward_parameters(np.ones((4, 3), np.float32))
