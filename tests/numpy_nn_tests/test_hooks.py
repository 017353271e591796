"""Hooks of modules, against PyTorch: what they are given, what they return, and when they run."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import numpy_nn
import numpy_nn.graph
import torch_nn
from numpy_nn.modules.module import Module

pytestmark = [
    pytest.mark.parity,
    # PyTorch's, where nothing needs the gradient by the input.
    pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning"),
]


def net(nn: Any) -> Any:
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.BatchNorm1d(3), nn.ReLU()))
    return model.append(nn.Linear(3, 2)).double()


def shapes(values: Any) -> Any:
    """The same of arrays and of tensors."""
    if isinstance(values, tuple):
        return tuple(shapes(value) for value in values)
    return None if values is None else tuple(values.shape)


def watch(model: Any, loss: Any) -> list[Any]:
    """Every hook of every module, noted in the order in which they run."""
    seen: list[Any] = []
    for name, module in [*model.named_modules(), ("loss", loss)]:
        module.register_forward_pre_hook(
            lambda m, args, name=name: seen.append(("forward_pre", name, shapes(args)))
        )
        module.register_forward_hook(
            lambda m, args, y, name=name: seen.append(("forward", name, shapes(args), shapes(y)))
        )
        module.register_full_backward_pre_hook(
            lambda m, dy, name=name: seen.append(("backward_pre", name, shapes(dy)))
        )
        module.register_full_backward_hook(
            lambda m, dx, dy, name=name: seen.append(("backward", name, shapes(dx), shapes(dy)))
        )
    return seen


def step(nn: Any, model: Any, loss: Any, given: bool = True) -> Any:
    """Forward and back; ``given``: the gradient by the input, too."""
    x = np.random.default_rng(0).normal(size=(5, 4))
    target = np.array([0, 1, 0, 1, 1])
    if nn is not torch_nn:
        loss(model(x), target)
        return (model.backward if given else model.backward_parameters)(loss.backward())
    tensor = torch.from_numpy(x).requires_grad_(given)
    loss(model(tensor), torch.from_numpy(target)).backward()
    return None if tensor.grad is None else tensor.grad.numpy()


@pytest.mark.parametrize("given", [True, False])
def test_hooks_run_in_torchs_order_with_torchs_arguments(given: bool) -> None:
    """But for what autograd, which has no calls of backward, cannot tell apart."""
    found = []
    for nn in (numpy_nn, torch_nn):
        model, loss = net(nn), nn.CrossEntropyLoss()
        seen = watch(model, loss)
        step(nn, model, loss, given)
        # By the classes of the target PyTorch gives zeros, numpy_nn None.
        found.append([e if e[:2] != ("backward", "loss") else (*e[:2], e[2][0]) for e in seen])
    ours, theirs = found
    half = sum(entry[0].startswith("forward") for entry in theirs)
    assert ours[:half] == theirs[:half]
    # Around a container PyTorch runs hooks when gradients have arrived, here when it is called.
    names = ["loss", "2", "1.1", "1.0", "0"]
    for kind in ("backward_pre", "backward"):
        leaves = [[e for e in seen if e[0] == kind and e[1] in names] for seen in found]
        assert leaves[0] == leaves[1]
        assert [entry[1] for entry in leaves[0]] == names
    assert sorted(map(str, ours)) == sorted(map(str, theirs))


@pytest.mark.parametrize("given", [True, False])
def test_each_hook_runs_once_a_call(given: bool) -> None:
    for nn in (numpy_nn, numpy_nn.graph):
        model, loss = net(nn), nn.CrossEntropyLoss()
        seen = watch(model, loss)
        step(nn, model, loss, given)
        kinds = ("forward_pre", "forward", "backward_pre", "backward")
        expected = [
            (kind, name) for name in ("", "0", "1", "1.0", "1.1", "2", "loss") for kind in kinds
        ]
        assert sorted((entry[0], entry[1]) for entry in seen) == sorted(expected)


def test_a_loss_gives_no_gradient_by_its_target() -> None:
    given = []
    loss = numpy_nn.MSELoss()
    loss.register_full_backward_hook(lambda m, dx, dy: given.append((dx, dy)))
    loss(np.ones(2, np.float32), np.zeros(2, np.float32))
    dx = loss.backward()
    ((grad_input, grad_output),) = given
    assert grad_input[0] is dx
    assert grad_input[1] is None
    assert grad_output == (1.0,)
    assert grad_output[0].dtype == np.float32


@pytest.mark.parametrize("wrapped", [False, True])
def test_answers_take_the_place_of_values(wrapped: bool) -> None:
    """Of both backends, at every kind of hook; that of the input as a value or as a tuple."""

    def give(value: Any) -> Any:
        return (value,) if wrapped else value

    def detached(value: Any) -> float:
        return float(value if isinstance(value, np.generic) else value.detach())

    results = []
    for nn in (numpy_nn, torch_nn):
        nn.manual_seed(0)
        model = net(nn)
        first, last = model[0], model[2]
        # Sums with what autograd sees no gradient of: here nobody differentiates a hook.
        first.register_forward_pre_hook(lambda m, args: give(args[0] + 2))
        first.register_forward_hook(lambda m, args, y: y + detached(args[0].sum()))
        first.register_forward_hook(lambda m, args, y: y + detached(y.max()))
        first.register_forward_hook(lambda m, args, y: y + detached(2 * y.max()), prepend=True)
        first.register_full_backward_hook(lambda m, dx, dy: (dx[0] * 3,))
        last.register_full_backward_pre_hook(lambda m, dy: (dy[0] * 7,))
        last.register_full_backward_hook(lambda m, dx, dy: (dx[0] + dy[0].sum(),))
        last.register_full_backward_hook(lambda m, dx, dy: (dx[0] * 0.5,), prepend=True)
        loss = nn.CrossEntropyLoss()
        dx = step(nn, model, loss)
        grads = [p.grad for p in model.parameters()]
        results.append([dx, *(g if isinstance(g, np.ndarray) else g.numpy() for g in grads)])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_removed_hooks_leave_no_trace() -> None:
    layer = numpy_nn.ReLU()
    before = dict(layer.__dict__)
    seen: list[str] = []
    handles = [
        layer.register_forward_pre_hook(lambda m, args: seen.append("pre")),
        layer.register_forward_hook(lambda m, args, y: seen.append("first")),
        layer.register_forward_hook(lambda m, args, y: seen.append("second")),
        layer.register_full_backward_pre_hook(lambda m, dy: seen.append("back pre")),
        layer.register_full_backward_hook(lambda m, dx, dy: seen.append("back")),
    ]
    x = np.ones(2)
    handles[1].remove()
    handles[1].remove()
    layer(x)
    layer.backward(x)
    assert seen == ["pre", "second", "back pre", "back"]
    for handle in handles:
        handle.remove()
    layer(x)
    layer.backward(x)
    assert len(seen) == 4
    left = layer.__dict__.keys() - before.keys() - {"_positive", "_dtype", "_hooks_made", "_called"}
    assert not left
    with layer.register_forward_hook(lambda m, args, y: seen.append("with")):
        layer(x)
    layer(x)
    assert seen[4:] == ["with"]


def test_a_hook_may_remove_itself() -> None:
    layer = numpy_nn.ReLU()
    seen: list[int] = []

    def once(module: Module, args: Any, output: Any) -> None:
        seen.append(1)
        handle.remove()

    handle = layer.register_forward_hook(once)
    layer.register_forward_hook(lambda m, args, y: seen.append(2))
    layer(np.ones(1))
    layer(np.ones(1))
    assert seen == [1, 2, 2]


def test_backward_of_a_subclass_and_of_an_instance() -> None:
    """Hooks stand around whichever method a module has; one that calls another counts once."""

    class Double(numpy_nn.Linear):
        def backward(self, grad_output: Any) -> Any:
            return 2 * super().backward(grad_output)

    seen: list[float] = []
    layer = Double(2, 2)
    x = np.ones((1, 2), np.float32)
    layer(x)
    plain = layer.backward(x)
    layer.register_full_backward_hook(lambda m, dx, dy: seen.append(float(dx[0].sum())))
    assert (layer.backward(x) == plain).all()
    assert seen == [plain.sum()]

    class Plain(Module):
        def forward(self, input: Any) -> Any:
            return input

        def backward(self, grad_output: Any) -> Any:
            return grad_output

    other = Plain()
    other.register_full_backward_hook(lambda m, dx, dy: seen.append(dx))
    other.backward_parameters(x)  # which calls backward
    assert seen[1:] == [(None,)]

    changed = numpy_nn.ReLU()
    changed.backward = lambda grad_output: grad_output * 9  # type: ignore[method-assign]
    changed(x)
    with changed.register_full_backward_hook(lambda m, dx, dy: seen.append(dx[0].max())):
        changed.backward(x)
    assert seen[-1] == 9
    assert changed.backward(x).max() == 9


def test_copies_have_their_own_hooks() -> None:
    seen: list[Any] = []
    layer = numpy_nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda m, dx, dy: seen.append(m))
    other = copy.deepcopy(layer)
    x = np.ones((1, 2), np.float32)
    for module in (layer, other):
        module(x)
        module.backward(x)
    assert seen == [layer, other]
    named = numpy_nn.ReLU()
    named.register_full_backward_hook(print)
    assert pickle.loads(pickle.dumps(named))._hooks == named._hooks


def test_what_is_wrong_is_refused() -> None:
    layer = numpy_nn.ReLU()
    for register in (layer.register_forward_hook, layer.register_full_backward_hook):
        with pytest.raises(TypeError, match=r"must be callable.* int"):
            register(3)  # type: ignore[arg-type]
    x = np.ones(1)
    layer(x)
    for name, shown in (("", "grad_input"), ("_pre", "grad_output")):
        register = getattr(layer, f"register_full_backward{name}_hook")
        for answer in ((x, x), x):
            with (
                register(lambda *_, answer=answer: answer),
                pytest.raises(RuntimeError, match=f"hook must return a tuple of 1 {shown}"),
            ):
                layer.backward(x)
    layer.register_full_backward_hook(lambda m, dx, dy: None)
    for _ in range(2):  # an error leaves nothing behind
        with pytest.raises(TypeError, match="numpy array"):
            layer.backward(1.0)  # type: ignore[arg-type]
    assert layer.backward(x) == 1


def test_forward_itself_runs_no_hooks() -> None:
    for nn, x in ((numpy_nn, np.ones(1)), (torch_nn, torch.ones(1))):
        seen: list[int] = []
        layer = nn.ReLU()
        layer.register_forward_hook(lambda m, args, y, seen=seen: seen.append(1))
        layer.forward(x)
        assert not seen
        layer(x)
        assert seen


@pytest.mark.parametrize(
    "register", ["register_forward_pre_hook", "register_forward_hook",
                 "register_full_backward_pre_hook", "register_full_backward_hook"],
)  # fmt: skip
def test_hooks_run_in_the_order_in_which_they_came_unless_they_are_put_first(register: str) -> None:
    found = []
    for nn in (torch.nn, numpy_nn):
        layer, ran = nn.ReLU(), []
        for name, more in (("a", {}), ("b", {}), ("c", {"prepend": True})):
            getattr(layer, register)(lambda *_, name=name, ran=ran: ran.append(name), **more)
        if nn is numpy_nn:
            layer(np.ones(2, np.float32))
            layer.backward(np.ones(2, np.float32))
        else:
            layer(torch.ones(2, requires_grad=True)).sum().backward()
        found.append(ran)
    assert found[1] == found[0] == ["c", "a", "b"]
