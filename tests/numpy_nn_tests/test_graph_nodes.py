"""Every node against central differences and against PyTorch, from one table."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from numpy_nn.graph import nodes

DIFFERENCE_STEP = 1e-6
KINK = 1e-3
RANDOM_CONDITION = np.random.default_rng(0).random((3, 4)) < 0.5
# Windows of three at a distance of one: the elements inside are picked up to three times.
WINDOWS = np.arange(3)[:, None] + np.arange(4)


@dataclass(frozen=True)
class Case:
    """A node, the shapes of its inputs, and what PyTorch has in its place."""

    make: Callable[[], nodes.Node]
    shapes: tuple[tuple[int, ...], ...]
    torch: Callable[..., torch.Tensor]
    note: str = ""
    positive: bool = False

    @property
    def name(self) -> str:
        return type(self.make()).__name__

    def __str__(self) -> str:
        return f"{self.name} {self.note} {self.shapes}"

    def draw(self, dtype: str = "float64") -> tuple[np.random.Generator, list[np.ndarray]]:
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        inputs = [np.asarray(rng.normal(size=shape)) for shape in self.shapes]
        if self.positive:
            inputs = [np.abs(x) + 0.5 for x in inputs]
        return rng, [np.asarray(x, dtype) for x in inputs]


PAIRS = (((3, 4), (3, 4)), ((), ()), ((0, 3), (0, 3)))
BROADCASTS = [
    ((), ()),
    ((), (3,)),
    ((4,), (3, 4)),
    ((3, 1), (3, 4)),
    ((1, 4), (3, 4)),
    ((1, 1), (1, 4)),
    ((1, 3, 1), (2, 3, 4)),
    ((3, 1), (2, 3, 4)),
    ((3, 4), (3, 4)),
    ((3,), (0, 3)),
]
REDUCTIONS: list[tuple[tuple[int, ...], Any]] = [
    ((), None),
    ((5,), None),
    ((5,), 0),
    ((3, 4), 0),
    ((3, 4), -1),
    ((3, 4), None),
    ((2, 3, 4), (0, 2)),
    ((2, 3, 4), (2, 0)),
    ((2, 3, 4), (-1, 1)),
    ((2, 3, 4, 2), (1, 2)),
]


def torch_max(a: torch.Tensor, axis: Any, keepdims: bool) -> torch.Tensor:
    axes = range(a.ndim) if axis is None else [axis] if isinstance(axis, int) else axis
    return torch.amax(a, tuple(axes), keepdims) if a.ndim else a.clone()


CASES = [
    *(Case(nodes.Add, s, torch.add) for s in PAIRS),
    *(Case(nodes.Sub, s, torch.sub) for s in PAIRS),
    *(Case(nodes.Mul, s, torch.mul) for s in PAIRS),
    *(Case(nodes.Div, s, torch.div, positive=True) for s in PAIRS),
    *(Case(nodes.Exp, s[:1], torch.exp) for s in PAIRS),
    *(Case(nodes.Log, s[:1], torch.log, positive=True) for s in PAIRS),
    *(
        Case(
            lambda p=p: nodes.Power(p), ((3, 4),), lambda a, p=p: a**p, f"{p}", positive=p % 1 != 0
        )
        for p in (0.5, -0.5, 1.5, 0, 1, 2, 3, -1, -2)
    ),
    *(
        Case(nodes.MatMul, s, torch.matmul)
        for s in [
            ((3, 4), (4, 2)),
            ((1, 4), (4, 1)),
            ((2, 3, 4), (2, 4, 5)),
            ((2, 1, 3, 4), (2, 1, 4, 2)),
            ((0, 4), (4, 2)),
            ((3, 0), (0, 2)),
        ]
    ),
    *(
        Case(
            lambda n=node, a=axis, k=keep: n(a, k),
            (shape,),
            lambda x, a=axis, k=keep, f=function: f(x, a, k),
            f"{axis} {keep}",
        )
        for node, function in [
            (nodes.Sum, lambda x, a, k: x.sum() if x.ndim == 0 else x.sum(a, k)),
            (nodes.Max, torch_max),
        ]
        for shape, axis in REDUCTIONS
        for keep in (False, True)
    ),
    Case(lambda: nodes.Sum(0), ((0, 3),), lambda a: a.sum(0), "of nothing"),
    Case(lambda: nodes.Sum(()), ((2, 3),), lambda a: a.clone(), "over no axis"),
    Case(
        lambda: nodes.Where(RANDOM_CONDITION),
        ((3, 4), (3, 4)),
        lambda a, b: torch.where(torch.from_numpy(RANDOM_CONDITION), a, b),
    ),
    *(
        Case(lambda s=s: nodes.Reshape(s), (old,), lambda a, s=s: a.reshape(s), f"{s}")
        for old, s in [
            ((3, 4), (2, 6)),
            ((3, 4), (-1,)),
            ((), (1, 1)),
            ((1,), ()),
            ((0, 3), (3, 0)),
        ]
    ),
    *(
        Case(lambda s=s: nodes.Transpose(s), (old,), lambda a, s=s: a.permute(s), f"{s}")
        for old, s in [
            ((3, 4), (1, 0)),
            ((3, 4), (0, 1)),
            ((2, 3, 4), (1, 2, 0)),
            ((2, 3, 4), (2, 0, 1)),
            ((2, 3, 4, 5), (3, 0, 2, 1)),
        ]
    ),
    *(
        Case(lambda s=s: nodes.Broadcast(s), (old,), lambda a, s=s: a.broadcast_to(s), f"{s}")
        for old, s in BROADCASTS
    ),
    *(
        Case(lambda i=i: nodes.Index(i), ((5, 6),), lambda a, i=i: a[i], note)
        for i, note in [
            (2, "a row"),
            ((slice(None), slice(1, 4)), "a slice"),
            (np.array([3, 0, 3, 3, 4]), "rows several times"),
            ((np.array([0, 1, 1]), np.array([2, 2, 2])), "elements several times"),
            ((slice(None), WINDOWS), "overlapping windows"),
            ((slice(0, 0),), "nothing"),
        ]
    ),
    *(
        Case(
            lambda w=widths, v=value: nodes.Pad(w, v),
            ((3, 4),),
            lambda a, w=widths, v=value: torch.nn.functional.pad(a, (*w[1], *w[0]), value=v),
            f"{widths} {value}",
        )
        for widths in [((1, 2), (0, 3)), ((0, 0), (0, 0)), ((0, 1), (2, 0))]
        for value in (0.0, -np.inf, 1.5)
    ),
]  # fmt: skip


def run(case: Case, dtype: str) -> tuple[list[np.ndarray], Any, np.ndarray, Any]:
    rng, inputs = case.draw(dtype)
    node = case.make()
    z = node.forward(*inputs)
    dz = np.asarray(rng.normal(size=np.shape(z)), dtype)
    return inputs, z, dz, node.backward(dz)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_torch(case: Case, dtype: str, close: Any) -> None:
    inputs, z, dz, gradients = run(case, dtype)
    tensors = [torch.from_numpy(x.copy()).requires_grad_() for x in inputs]
    expected = case.torch(*tensors)
    expected.backward(torch.from_numpy(dz.copy()))
    finite = np.nan_to_num
    close(finite(z), finite(expected.detach().numpy()), "module", "z")
    assert len(gradients) == len(inputs)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        assert tensor.grad is not None
        close(gradient, tensor.grad.numpy(), "module", "gradient")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_central_differences(case: Case, close: Any) -> None:
    inputs, z, dz, gradients = run(case, "float64")
    inside = np.isfinite(z)  # a border of −∞ has no influence

    def objective() -> float:
        return float(np.sum((case.make().forward(*inputs) * dz)[inside]))

    for x, gradient in zip(inputs, gradients, strict=True):
        numerical = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            value = x[index]
            x[index] = value + DIFFERENCE_STEP
            above = objective()
            x[index] = value - DIFFERENCE_STEP
            below = objective()
            x[index] = value
            numerical[index] = (above - below) / (2 * DIFFERENCE_STEP)
        close(gradient, numerical, "difference", "gradient")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_changes_nothing_that_it_is_given(case: Case) -> None:
    rng, inputs = case.draw()
    kept = [x.copy() for x in inputs]
    node = case.make()
    z = np.asarray(node.forward(*inputs))
    dz = np.asarray(rng.normal(size=z.shape))
    before = z.copy(), dz.copy()
    node.backward(dz)
    again = node.backward(dz)  # and what it kept is as it was
    for x, y in zip([*inputs, z, dz], [*kept, *before], strict=True):
        np.testing.assert_array_equal(x, y)
    for x, y in zip(again, run(case, "float64")[3], strict=True):
        np.testing.assert_array_equal(x, y)


def test_every_node_has_a_case() -> None:
    assert {*nodes.__all__} - {"Node"} == {case.name for case in CASES}


def torch_first_max(a: torch.Tensor) -> torch.Tensor:
    return torch.max(a.reshape(len(a), -1), 1).values


@pytest.mark.parametrize(
    "values",
    [
        [[1.0, 2.0, 2.0, 2.0], [3.0, 3.0, 0.0, 3.0]],
        [[0.0, -0.0, 0.0, 0.0], [-0.0, 0.0, 0.0, 0.0]],
        [[np.inf, np.inf, 1.0, 0.0], [-np.inf] * 4],
        [[1.0, np.nan, 2.0, 3.0], [5.0, 2.0, 5.0, np.nan]],
    ],
)
@pytest.mark.parametrize("axes", [(1, 2), (2, 1), (-1, -2)])
def test_of_equal_values_the_first_gets_the_gradient_of_the_maximum(
    values: list, axes: tuple[int, int]
) -> None:
    """As in torch.max(dim) and in max-pooling; torch.amax divides it."""
    a = np.array(values).reshape(2, 2, 2)
    node = nodes.Max(axes)
    z, dz = node.forward(a), np.array([2.0, 3.0])
    tensor = torch.from_numpy(a.copy()).requires_grad_()
    expected = torch_first_max(tensor)
    expected.backward(torch.from_numpy(dz))
    np.testing.assert_array_equal(z, expected.detach().numpy())
    assert tensor.grad is not None
    np.testing.assert_array_equal(node.backward(dz)[0], tensor.grad.numpy())


def test_a_power_of_zero_has_no_gradient_at_zero() -> None:
    node = nodes.Power(0)
    assert (node.forward(np.zeros(2)) == 1).all()
    assert (node.backward(np.ones(2))[0] == 0).all()


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 3, 4), (4, 2))])
def test_matrices_that_do_not_fit_are_refused(shapes: Any) -> None:
    with pytest.raises(ValueError, match=r"MatMul expects shapes .* Received"):
        nodes.MatMul().forward(*(np.ones(shape) for shape in shapes))


def test_a_sum_adds_in_pairs() -> None:
    """Along any axis: 2¹⁶ float32 terms one after the other would be off by hundreds of ulp."""
    rng = np.random.default_rng(0)
    a = rng.random((2**16, 2), np.float32)
    exact = a.sum(axis=0, dtype=np.float64)
    node = nodes.Broadcast(a.shape)
    node.forward(np.zeros(2, np.float32))
    for z in (nodes.Sum(0).forward(a), nodes.Sum(1).forward(a.T.copy()), *node.backward(a)):
        assert np.max(np.abs(z - exact) / exact) < 16 * 2.0**-24
