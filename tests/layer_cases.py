"""Every public layer and loss of numpy_nn in its configurations: the cases of all tests.

A case says how a module is made, in both namespaces, and what it is given; ``Pair`` makes it on
both backends from the same values. ``LAYERS`` and ``LOSSES`` have the configurations, ``EMPTY``
those for batches of nothing, and ``one_of_each`` chooses for what depends on the class alone. A
test in numpy_nn_tests/test_modules.py fails when a public class has no case.
"""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch

import numpy_nn
import torch_nn

KINK = 1e-3  # no value is drawn nearer to 0, where the rectifiers have their kinks
Drawing = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Weight:
    """A constructor's argument that is an array; of one value a class where the shape is None."""

    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Case:
    """A module, how it is made, and what it is given.

    Attributes:
        name: of the class.
        args, kwargs: of its constructor. Where it takes a dtype it gets one as well.
        shape: of the input.
        training: whether it is in training mode.
        input: draws the input; None for normal values away from 0.
        target: draws a loss's target for an input of a shape; None for layers.
        build: for containers: makes the module from a namespace and a dtype.
        note: what is special about it.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    training: bool = True
    input: Drawing | None = None
    target: Drawing | None = None
    build: Callable[[Any, Any], Any] | None = None
    note: str = ""

    def __str__(self) -> str:
        given = [str(a) for a in self.args] + [f"{k}={v}" for k, v in self.kwargs.items()]
        mode = "" if self.training else " eval"
        target = self.target.__name__ if self.target else ""
        text = f"{self.name}({', '.join(given)}) {self.shape}{mode} {target} {self.note}"
        return " ".join(text.split())

    def rng(self, seed: int = 0) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self} {seed}".encode()))


class Pair:
    """One case on both backends, from the same values, and what it is given.

    Attributes:
        module: that of numpy_nn.
        reference: PyTorch's.
        input: an array.
        target: a loss's, else None.
    """

    def __init__(self, case: Case, dtype: str, seed: int = 0) -> None:
        self.case, self.dtype, self.rng = case, np.dtype(dtype), case.rng(seed)
        classes = case.shape[0 if len(case.shape) == 1 else 1] if case.shape else 1
        arrays = {
            key: np.asarray(
                self.rng.uniform(0.5, 2, (classes,) if value.shape is None else value.shape), dtype
            )
            for key, value in case.kwargs.items()
            if isinstance(value, Weight)
        }
        tensors = {key: torch.from_numpy(value.copy()) for key, value in arrays.items()}
        self.module = self._make(numpy_nn, self.dtype, arrays)
        self.reference = self._make(torch_nn, getattr(torch, dtype), tensors)
        state = self.module.state_dict()
        for name, array in state.items():
            if array.dtype.kind == "f" and name not in arrays:
                low = 0.5 if name.endswith(("running_var", "weight")) else -1.0
                array[...] = self.rng.uniform(low, 2.0, array.shape)
        self.reference.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in state.items()})
        self.module.train(case.training)
        self.reference.train(case.training)
        self.input, self.target = self.draw_input(), self.draw_target()

    def _make(self, nn: Any, dtype: Any, arrays: dict[str, Any]) -> Any:
        case = self.case
        if case.build:
            return case.build(nn, dtype)
        make = getattr(nn, case.name)
        kwargs = case.kwargs | arrays
        if "dtype" in inspect.signature(make.__init__).parameters:
            kwargs["dtype"] = dtype
        return make(*case.args, **kwargs)

    def draw(self, shape: tuple[int, ...]) -> np.ndarray:
        """Normal values, none of them near a kink."""
        values = np.asarray(self.rng.normal(size=shape))
        return np.where(np.abs(values) < KINK, 1.0, values).astype(self.dtype)

    def draw_input(self) -> np.ndarray:
        """Another input of the case."""
        if self.case.input is None:
            return self.draw(self.case.shape)
        return np.asarray(self.case.input(self.rng, self.case.shape)).astype(self.dtype)

    def draw_target(self) -> np.ndarray | None:
        """Another target of the case."""
        if self.case.target is None:
            return None
        target = np.asarray(self.case.target(self.rng, self.case.shape))
        return target.astype(self.dtype) if target.dtype.kind == "f" else target

    def forward(self, input: Any) -> Any:
        """numpy_nn's output."""
        self._seed(numpy_nn)
        return self.module(input) if self.target is None else self.module(input, self.target)

    def _seed(self, nn: Any) -> None:
        """The same mask every time, and on both backends; what draws nothing needs no seed."""
        if self.case.name == "Dropout":
            nn.default_generator.manual_seed(0)

    def torch_step(self, input: np.ndarray, grad_output: Any) -> tuple[np.ndarray, np.ndarray]:
        """PyTorch's output and the gradient by the input, for a gradient of the output's shape."""
        self._seed(torch_nn)
        tensor = torch.from_numpy(input.copy()).requires_grad_()
        rest = () if self.target is None else (torch.from_numpy(self.target.copy()),)
        output = self.reference(tensor, *rest)
        expected = output.detach().numpy().copy()
        output.backward(torch.from_numpy(np.array(grad_output, expected.dtype)))
        assert tensor.grad is not None
        return expected, tensor.grad.numpy()


def one_of_each(cases: Iterable[Case]) -> list[Case]:
    """The first case of every class, number of axes and mode."""
    found: dict[Any, Case] = {}
    for case in cases:
        found.setdefault((case.name, len(case.shape), case.training), case)
    return list(found.values())


# ---- what the cases are made of


def rows(
    name: str,
    args: tuple[Any, ...],
    settings: list[dict[str, Any]],
    shapes: list[tuple[int, ...]],
    training: bool = True,
    **more: Any,
) -> list[Case]:
    """Every setting with every shape."""
    return [
        Case(name, args, kwargs, shape, training, **more)
        for kwargs, shape in product(settings, shapes)
    ]


def grid(**values: list[Any]) -> list[dict[str, Any]]:
    """Every combination of the values of some arguments."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Multiples of 0.1, as the kinks of every loss are."""
    return np.asarray(rng.normal(size=shape)).round(1)


def off_grid(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Values whose distance from a multiple of 0.1 is no such multiple."""
    return normal(rng, shape) + 0.03 + rng.uniform(0, 0.03, shape)


def unit(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.uniform(0.05, 0.95, shape))


def bits(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(rng.integers(0, 2, shape)).astype(np.float64)


def indices(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """A class for each sample."""
    classes = shape[0 if len(shape) == 1 else 1]
    samples = () if len(shape) == 1 else (shape[0], *shape[2:])
    return np.asarray(rng.integers(0, max(classes, 1), samples))


def some_ignored(index: int) -> Drawing:
    def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        target = indices(rng, shape)
        target.flat[::3] = index
        return target

    return draw


def distribution(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    weights = unit(rng, shape)
    return weights / weights.sum(axis=0 if len(shape) == 1 else 1, keepdims=True)


def log_distribution(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.log(distribution(rng, shape))


def with_zeros(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    target = np.array(unit(rng, shape))
    target.flat[::3] = 0
    return target


def nested(nn: Any, dtype: Any) -> Any:
    return nn.Sequential(
        nn.Flatten(),
        nn.Sequential(nn.Linear(6, 5, dtype=dtype), nn.BatchNorm1d(5, dtype=dtype)),
        nn.LeakyReLU(0.1),
        nn.Identity(),
        nn.Linear(5, 3, dtype=dtype),
    )


# ---- the layers

LINEAR = [
    *rows("Linear", (4, 3), [{}], [(5, 4), (1, 4), (4,), (2, 3, 4)]),
    *rows("Linear", (4, 1), [{}], [(2, 2, 3, 4)]),
    *rows("Linear", (4, 3), [{"bias": False}], [(5, 4)]),
    *rows("Linear", (4, 3), [{}], [(1100, 4)], note="more rows than a block of the bias's sum"),
    *rows("Identity", (54,), [{"unused": 1}], [(2, 3)]),
    *(
        row
        for start, end in [(1, -1), (0, -1), (0, 1), (2, 3), (-2, -1), (1, 2), (1, 1)]
        for row in rows("Flatten", (), [{"start_dim": start, "end_dim": end}], [(2, 3, 4, 5)])
    ),
    *rows("Flatten", (), [{"start_dim": 0}], [(), (3,)]),
    *(Case("Sequential", (), {}, (4, 2, 3), mode, build=nested) for mode in (True, False)),
    Case("Sequential", (), {}, (2, 3), build=lambda nn, dtype: nn.Sequential(), note="empty"),
]
RECTIFIERS = [
    *rows("ReLU", (), [{}], [(), (5,), (3, 4), (2, 3, 4, 5)]),
    *rows("LeakyReLU", (), grid(negative_slope=[0.01, 0.0, 1.0, 2.0, -0.5]), [(), (2, 3, 4)]),
]
BATCH, IMAGE = (2, 2, 6, 5), (2, 5, 6)
CONV2D = [
    # Kernel against stride, padding and dilation.
    *rows("Conv2d", (2, 3, 3), grid(stride=[1, 2], padding=[0, 1], dilation=[1, 2]), [BATCH]),
    *rows("Conv2d", (2, 3, (1, 3)), grid(stride=[(2, 1)], padding=[(0, 2), "valid"]), [BATCH]),
    *rows("Conv2d", (2, 3, (2, 4)), grid(padding=["same"], dilation=[1, (2, 1)]), [BATCH, IMAGE]),
    *rows("Conv2d", (2, 3, 1), grid(stride=[1, 3], padding=[0, 2]), [BATCH, IMAGE]),
    *rows("Conv2d", (2, 3, (6, 5)), [{}], [BATCH]),
    *rows("Conv2d", (2, 3, 2), grid(stride=[(3, 2), 4], padding=[0, (1, 0)]), [BATCH]),
    *rows("Conv2d", (2, 3, 5), grid(padding=[2, "same"]), [(2, 2, 1, 1), (1, 2, 2, 3)]),
    # Groups, with and without b.
    *rows("Conv2d", (4, 4, 3), grid(groups=[2, 4], bias=[True, False]), [(2, 4, 4, 5)]),
    *rows("Conv2d", (2, 6, (2, 1)), grid(groups=[2], stride=[2], padding=[1]), [BATCH, IMAGE]),
    # Padding by other values, through every kind of padding argument.
    *rows(
        "Conv2d",
        (2, 2, 3),
        grid(padding_mode=["reflect", "replicate", "circular"], padding=[(2, 1), 3, "same"]),
        [(2, 2, 4, 5)],
    ),
    *rows(
        "Conv2d",
        (2, 2, (2, 3)),
        grid(padding_mode=["reflect", "circular"], padding=["same"], dilation=[2], groups=[2]),
        [IMAGE],
    ),
    *rows("Conv2d", (1, 2, 3), grid(padding_mode=["replicate"], padding=[4]), [(1, 1, 1, 2)]),
    *rows("Conv2d", (2, 1, 3), grid(padding_mode=["reflect"], padding=[0], stride=[2]), [BATCH]),
]
CONV1D = [
    *rows("Conv1d", (2, 3, 3), grid(stride=[1, 2], padding=[0, 2], dilation=[1, 2]), [(3, 2, 8)]),
    *rows("Conv1d", (4, 4, 2), grid(groups=[2, 4], bias=[True, False]), [(2, 4, 5), (4, 5)]),
    *rows(
        "Conv1d",
        (2, 2, 4),
        grid(padding_mode=["zeros", "reflect", "replicate", "circular"], padding=[3, "same"]),
        [(2, 2, 6)],
    ),
    *rows("Conv1d", (2, 3, (1,)), grid(stride=[(3,)], padding=["valid", (1,)]), [(2, 1)]),
]
CONV_TRANSPOSE2D = [
    *rows(
        "ConvTranspose2d",
        (2, 3, 3),
        grid(stride=[1, 2], padding=[0, 1], dilation=[1, 2]),
        [(2, 2, 3, 4)],
    ),
    *rows(
        "ConvTranspose2d",
        (2, 3, (2, 3)),
        [
            {"stride": 3, "output_padding": 2},
            {"stride": (1, 3), "output_padding": (0, 1), "padding": 1},
            {"dilation": 3, "output_padding": (2, 1)},
        ],
        [(2, 2, 3, 4), (2, 2, 3)],
    ),
    *rows("ConvTranspose2d", (4, 4, 2), grid(groups=[2, 4], bias=[True, False]), [(2, 4, 2, 3)]),
    *rows("ConvTranspose2d", (2, 4, 1), grid(stride=[1, 3]), [(2, 2, 3, 3)]),
    *rows("ConvTranspose2d", (2, 2, 3), grid(padding=[2], output_padding=[0]), [(1, 2, 4, 3)]),
]
WINDOWS = grid(kernel_size=[2, 3], stride=[None, 1, 2], padding=[0, 1], ceil_mode=[False, True])
POOLING = [
    *rows("MaxPool2d", (), WINDOWS, [BATCH]),
    *rows("MaxPool2d", (2,), grid(dilation=[2, (1, 3)], padding=[0, 1], stride=[1, 3]), [BATCH]),
    *rows("MaxPool2d", ((3, 2), (1, 2), (1, 0)), grid(ceil_mode=[False, True]), [BATCH, IMAGE]),
    *rows("MaxPool2d", (1,), grid(stride=[1, 2]), [BATCH]),
    *rows("MaxPool2d", (2,), [{}], [(3, 2, 8, 8), (1, 1, 2, 2), IMAGE, (2, 3, 7, 9)]),
    *rows("AvgPool2d", (), WINDOWS, [BATCH]),
    *rows(
        "AvgPool2d",
        (3, 2, 1),
        grid(ceil_mode=[True], count_include_pad=[False, True], divisor_override=[None, 3, -2]),
        [BATCH, IMAGE],
    ),
    *rows("AvgPool2d", ((4, 1), (1, 2), (2, 0)), grid(count_include_pad=[False]), [BATCH]),
    *(
        row
        for size in [1, 3, (2, 4), (None, 2), (4, None), (None, None), 9]
        for row in rows("AdaptiveAvgPool2d", (size,), [{}], [BATCH, IMAGE])
    ),
]
BATCH_NORM = [
    *(
        row
        for training in (True, False)
        for row in rows(
            "BatchNorm1d",
            (3,),
            [
                {},
                {"eps": 0.1, "momentum": 0.3},
                {"momentum": None},
                {"momentum": 0.0},
                {"affine": False},
                {"bias": False},
                {"track_running_stats": False},
                {"affine": False, "track_running_stats": False},
            ],
            [(6, 3), (4, 3, 5), (2, 3), (1, 3, 4)],
            training,
        )
    ),
    *rows("BatchNorm1d", (3,), [{}], [(1100, 3)], note="more rows than a block of its sums"),
] + [
    row
    for training in (True, False)
    for row in rows(
        "BatchNorm2d",
        (2,),
        [
            {},
            {"eps": 0.1, "momentum": 0.3},
            {"momentum": None},
            {"affine": False},
            {"bias": False},
            {"affine": False, "track_running_stats": False},
        ],
        [(3, 2, 4, 2), (1, 2, 1, 3)],
        training,
    )
]
OTHER_NORMS = [
    *rows(
        "LayerNorm",
        (4,),
        [{}, {"eps": 0.1}, {"bias": False}, {"elementwise_affine": False}],
        [(3, 4), (4,), (2, 3, 4)],
    ),
    *rows("LayerNorm", ((3, 4),), [{}, {"bias": False}], [(2, 3, 4), (3, 4)]),
    # Rows of one or two values are all but undone by the normalisation, ε apart: a large one.
    *rows("LayerNorm", (1,), [{"eps": 0.1}], [(3, 1)]),
    *rows("GroupNorm", (2, 4), [{"eps": 0.1}], [(3, 4), (1, 4)]),
    *rows(
        "GroupNorm",
        (2, 4),
        [{}, {"eps": 0.1}, {"bias": False}, {"affine": False}],
        [(1, 4, 4), (2, 4, 3), (2, 4, 2, 3)],
    ),
    *(row for groups in (1, 4) for row in rows("GroupNorm", (groups, 4), [{}], [(2, 4, 3)])),
]
ANY = [(), (3, 4), (2, 3, 2, 4)]
ACTIVATIONS = [
    *(
        row
        for name in ("Sigmoid", "Tanh", "SiLU", "Hardswish", "ELU", "GELU", "Softplus")
        for row in rows(name, (), [{}], ANY)
    ),
    *rows("ELU", (), grid(alpha=[0.3, 2.0, 0.0, -1.0]), [(3, 4)]),
    *rows("GELU", (), grid(approximate=["none", "tanh"]), [(30,)]),
    *rows("Softplus", (), grid(beta=[0.5, 3.0], threshold=[20.0, 1.5]), [(3, 4)]),
    *(
        row
        for name in ("Softmax", "LogSoftmax")
        for dim, shape in [(0, ()), (-1, (5,)), (0, (3, 4)), (1, (3, 4)), (-2, (2, 3, 2, 4))]
        for row in rows(name, (dim,), [{}], [shape])
    ),
    *rows("Dropout", (), grid(p=[0.0, 0.3, 0.5, 1.0]), ANY),
    *rows("Dropout", (0.3,), [{}], [(3, 4)], False),
]
LAYERS = [
    *LINEAR,
    *RECTIFIERS,
    *CONV2D,
    *CONV1D,
    *CONV_TRANSPOSE2D,
    *POOLING,
    *BATCH_NORM,
    *OTHER_NORMS,
    *ACTIVATIONS,
]

# ---- the losses

REDUCTIONS = ("mean", "sum", "none")


def losses(
    name: str,
    settings: list[dict[str, Any]],
    shapes: list[tuple[int, ...]],
    input: Drawing,
    targets: list[Drawing],
    reductions: tuple[str, ...] = REDUCTIONS,
) -> list[Case]:
    """Every setting and reduction with every shape and kind of target."""
    return [
        Case(name, (), {"reduction": reduction, **kwargs}, shape, input=input, target=target)
        for reduction, kwargs, shape, target in product(reductions, settings, shapes, targets)
    ]


VALUES = [(), (5,), (6, 4), (2, 3, 4)]
CLASSES = [(4,), (6, 4), (1, 3), (3, 1), (3, 4, 5), (2, 4, 3, 2)]
FOUR = (*REDUCTIONS, "batchmean")
WEIGHTED = [{}, {"weight": Weight()}]
SMOOTHED = [{"label_smoothing": 0.2, "weight": Weight()}, {"label_smoothing": 1.0}]
IGNORING = [
    {"ignore_index": 2, **more}
    for more in ({}, {"label_smoothing": 0.1}, {"weight": Weight(), "label_smoothing": 0.3})
]
LOSSES = [
    *losses("CrossEntropyLoss", WEIGHTED, CLASSES, normal, [indices, distribution]),
    *losses("CrossEntropyLoss", SMOOTHED, [(4,), (3, 4, 5)], normal, [indices, distribution]),
    *losses("CrossEntropyLoss", IGNORING, [(7, 4), (2, 4, 3)], normal, [some_ignored(2)]),
    *losses("CrossEntropyLoss", WEIGHTED, [(7, 4)], normal, [some_ignored(-100)]),
    *losses("NLLLoss", WEIGHTED, CLASSES, log_distribution, [indices]),
    *losses("NLLLoss", IGNORING[:1], [(7, 4), (2, 4, 3)], normal, [some_ignored(2)]),
    *losses("NLLLoss", [{"ignore_index": 2, "weight": Weight()}], [(7, 4), (2, 4, 3)], normal,
            [some_ignored(2)]),
    *losses("NLLLoss", [{"ignore_index": -1}], [(7, 4), (2, 4, 3)], normal, [some_ignored(-1)]),
    *losses("BCELoss", [{}], VALUES, unit, [unit, bits]),
    *losses("BCELoss", [{"weight": Weight(s)} for s in [(6, 4), (4,), (6, 1), ()]], [(6, 4)], unit,
            [unit]),
    *losses("BCEWithLogitsLoss", [{}], VALUES, normal, [unit, bits]),
    *losses("BCEWithLogitsLoss",
            [{"weight": Weight((6, 1))}, {"pos_weight": Weight((4,))}, {"pos_weight": Weight(())},
             {"weight": Weight((6, 4)), "pos_weight": Weight((6, 1))}],
            [(6, 4)], normal, [unit, bits]),
    *losses("MSELoss", [{}], VALUES, off_grid, [normal]),
    *losses("L1Loss", [{}], VALUES, off_grid, [normal]),
    *losses("SmoothL1Loss", [{}, {"beta": 0.7}, {"beta": 0}, {"beta": 2.0}], VALUES, off_grid,
            [normal]),
    *losses("HuberLoss", [{}, {"delta": 0.7}, {"delta": 2}], VALUES, off_grid, [normal]),
    *losses("KLDivLoss", [{}], VALUES, normal, [unit, with_zeros], FOUR),
    *losses("KLDivLoss", [{"log_target": True}], VALUES, normal, [normal], FOUR),
]  # fmt: skip

# ---- batches of nothing: no differences to take, and a mean that is nan

EMPTY = [
    *rows("Linear", (4, 3), [{}], [(0, 4), (2, 0, 4)]),
    *rows("BatchNorm1d", (3,), [{}], [(0, 3)]),
    *rows("BatchNorm1d", (3,), [{}], [(0, 3)], False),
    *rows("BatchNorm1d", (3,), [{"momentum": None}], [(2, 3, 0)]),
    *rows("ReLU", (), [{}], [(0, 3)]),
    *rows("LeakyReLU", (), [{}], [(0, 3)]),
    *rows("Flatten", (), [{}], [(0, 3, 2)]),
    *rows("Identity", (), [{}], [(0, 3)]),
    Case("Sequential", (), {}, (0, 2, 3), False, build=nested),
    *rows("Conv2d", (2, 3, 3), grid(padding=[1], groups=[1]), [(0, 2, 4, 4)]),
    *rows("Conv2d", (2, 2, 3), grid(padding=[1], padding_mode=["circular"]), [(0, 2, 4, 4)]),
    *rows("Conv1d", (2, 3, 3), grid(padding=[1]), [(0, 2, 4)]),
    *rows("ConvTranspose2d", (2, 3, 3), [{}], [(0, 2, 4, 4)]),
    *rows("MaxPool2d", (2,), [{}], [(0, 2, 4, 4)]),
    *rows("AvgPool2d", (2,), [{}], [(0, 2, 4, 4)]),
    *rows("AdaptiveAvgPool2d", (2,), [{}], [(0, 2, 4, 4)]),
    *rows("BatchNorm2d", (2,), [{}], [(0, 2, 3, 3)]),
    *rows("LayerNorm", (4,), [{}], [(0, 4), (2, 0, 4)]),
    *rows("GroupNorm", (2, 4), [{}], [(0, 4), (0, 4, 3)]),
    *(
        row
        for name in ("Sigmoid", "Tanh", "SiLU", "Hardswish", "ELU", "GELU", "Softplus", "Dropout")
        for row in rows(name, (), [{}], [(0, 3)])
    ),
    *(
        row
        for name in ("Softmax", "LogSoftmax")
        for row in rows(name, (1,), [{}], [(0, 3), (2, 0)])
    ),
]
