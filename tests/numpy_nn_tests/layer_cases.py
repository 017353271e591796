"""Cases of test_modules.py: layers of images, and activations.

Each is (class, positional arguments, keyword arguments, shape of the input, training).
"""

from itertools import product
from typing import Any

Row = tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...], bool]


def rows(
    name: str,
    args: tuple[Any, ...],
    settings: list[dict[str, Any]],
    shapes: list[tuple[int, ...]],
    training: bool = True,
) -> list[Row]:
    """Every setting with every shape."""
    return [(name, args, kwargs, shape, training) for kwargs, shape in product(settings, shapes)]


def grid(**values: list[Any]) -> list[dict[str, Any]]:
    """Every combination of the values of some arguments."""
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


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
CASES = [*CONV2D, *CONV1D, *CONV_TRANSPOSE2D, *POOLING, *BATCH_NORM, *OTHER_NORMS, *ACTIVATIONS]

EMPTY = [
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
