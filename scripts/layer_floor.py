"""Measure layers over their bare matrix products: what lies above 1 is what code could save.

The products are those that a layer's formulas consist of, whole, by the same library, into arrays
that exist already, from columns (im2col) made beforehand. Everything else that a layer does is on
top: columns, bias and its gradient, new arrays, checks, PyTorch's autograd. PyTorch's convolutions
need not be such products, and can lie below 1. Where images have one channel, no gradient of the
images is made, as in the first layer of a network. One thread, processor time; see processor_time.

    python scripts/layer_floor.py
    python scripts/layer_floor.py --layers "Conv2d 16→32" --rounds 20
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from processor_time import Contender, Process, Timed, in_rounds, ratio

NUMPY, TORCH = "NumPy", "PyTorch"
LAYER, FLOOR = "layer", "products"
ROWS = (32, 128, 512)
PHASES = ("forward", "backward")
COLUMNS = (
    *("layer", "rows"),
    *(f"{library}, {phase}" for library in (NUMPY, TORCH) for phase in (*PHASES, "both")),
    "NumPy over PyTorch",
    "NumPy, a row, over the first line's",
    "PyTorch, a row",
)


class Layer(NamedTuple):
    """A Linear, or a Conv2d of square images, where there is a kernel."""

    where: str
    inputs: int
    outputs: int
    kernel: int = 0
    padding: int = 0
    size: int = 0

    @property
    def title(self) -> str:
        """``Conv2d 16→32, 3×3 on 14×14``."""
        if not self.kernel:
            return f"Linear {self.inputs}→{self.outputs}"
        kernel, size = f"{self.kernel}×{self.kernel}", f"{self.size}×{self.size}"
        return f"Conv2d {self.inputs}→{self.outputs}, {kernel} on {size}"

    @property
    def first(self) -> bool:
        """Whether it is the first of a network of images, whose dx nobody needs."""
        return bool(self.kernel) and self.inputs == 1

    @property
    def positions(self) -> int:
        """Values in a channel of the output."""
        return (self.size + 2 * self.padding - self.kernel + 1) ** 2 if self.kernel else 1


LAYERS = (
    Layer("MLPs", 784, 256),
    Layer("MLPs", 256, 128),
    Layer("", 1024, 1024),
    Layer("cnn", 1, 16, 3, 1, 28),
    Layer("cnn", 16, 32, 3, 1, 14),
    Layer("simple_convnet", 1, 30, 5, 0, 28),
    Layer("vgg16", 256, 256, 3, 1, 8),
)


def main() -> None:
    """Measure what the arguments say and print a line for each layer and number of rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--layers", default="", help="those whose title has this text")
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--block-s", type=float, default=0.05)
    arguments = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---|--:|" + "--:|" * (len(COLUMNS) - 2))
    for layer in LAYERS:
        if arguments.layers in layer.title:
            for line in measured(layer, arguments.rows, arguments.rounds, arguments.block_s):
                print(line, flush=True)


def measured(layer: Layer, rows: Sequence[int], rounds: int, block_s: float) -> list[str]:
    """The lines of a layer; all its contenders take turns with each other."""
    processes = {NUMPY: Process(), TORCH: Process()}
    makers = {
        (NUMPY, LAYER): "numpy_layer",
        (NUMPY, FLOOR): "numpy_products",
        (TORCH, LAYER): "torch_layer",
        (TORCH, FLOOR): "torch_products",
    }
    try:
        found = in_rounds(
            {
                (*who, count): Contender(
                    processes[who[0]], f"layer_floor:{maker}", (tuple(layer), count)
                )
                for who, maker in makers.items()
                for count in rows
            },
            rounds,
            block_s,
        )
    finally:
        for process in processes.values():
            process.close()
    lines = []
    for count in rows:
        cells = []
        for library in (NUMPY, TORCH):
            ours, floor = found[library, LAYER, count], found[library, FLOOR, count]
            cells += [f"{ratio(ours[phase], floor[phase]).median:.2f}" for phase in PHASES]
            cells.append(str(ratio(ours["step"], floor["step"])))
        steps = {
            (library, n): found[library, LAYER, n]["step"] for library in processes for n in rows
        }
        cells.append(str(ratio(steps[NUMPY, count], steps[TORCH, count])))
        for library in (NUMPY, TORCH):
            few = steps[library, rows[0]] / rows[0]
            cells.append(f"{ratio(steps[library, count] / count, few).median:.2f}")
        lines.append(f"| {layer.title} | {count} | {' | '.join(cells)} |")
    return lines


def arrays(layer: Layer, rows: int) -> dict[str, np.ndarray]:
    """x, dy, weight and bias of standard normal numbers, in float32."""
    random = np.random.default_rng(0)
    given: tuple[int, ...] = (rows, layer.inputs)
    made: tuple[int, ...] = (rows, layer.outputs)
    weight: tuple[int, ...] = (layer.outputs, layer.inputs)
    if layer.kernel:
        side = layer.size + 2 * layer.padding - layer.kernel + 1
        given, made = (*given, layer.size, layer.size), (*made, side, side)
        weight = (*weight, layer.kernel, layer.kernel)
    shapes = {"x": given, "dy": made, "weight": weight, "bias": (layer.outputs,)}
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def numpy_layer(fields: tuple[Any, ...], rows: int) -> Timed:
    """``numpy_nn``'s layer; images lie in memory as the layer before would leave them."""
    import numpy_nn

    layer = Layer(*fields)
    given = arrays(layer, rows)
    x, dy = given.pop("x"), given.pop("dy")
    module: Any
    if layer.kernel:
        module = numpy_nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, padding=layer.padding)
        dy = batch_last_in_memory(dy)
        x = x if layer.first else batch_last_in_memory(x)
    else:
        module = numpy_nn.Linear(layer.inputs, layer.outputs)
    module.load_state_dict(given)
    back = module.backward_parameters if layer.first else module.backward
    return Timed({"forward": lambda: module(x), "backward": lambda: back(dy)}, module.zero_grad)


def batch_last_in_memory(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) again, with the values of the same place side by side."""
    return np.ascontiguousarray(images.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)


def torch_layer(fields: tuple[Any, ...], rows: int) -> Timed:
    """PyTorch's layer, as it comes."""
    import torch

    layer = Layer(*fields)
    given = {name: torch.tensor(array) for name, array in arrays(layer, rows).items()}
    x, dy = given.pop("x").requires_grad_(not layer.first), given.pop("dy")
    module: Any
    if layer.kernel:
        module = torch.nn.Conv2d(layer.inputs, layer.outputs, layer.kernel, padding=layer.padding)
    else:
        module = torch.nn.Linear(layer.inputs, layer.outputs)
    module.load_state_dict(given)
    made: list[Any] = [None]

    def forward() -> None:
        made[0] = module(x)

    def clear() -> None:
        module.zero_grad()
        x.grad = None

    return Timed({"forward": forward, "backward": lambda: made[0].backward(dy)}, clear)


def products(layer: Layer, rows: int) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """The matrices that are multiplied forward and backward.

    Linear: y = x Wᵀ; dW = dyᵀ x, dx = dy W. Conv2d, with the columns X of x and Y of dy: y = W X;
    dW = Y xᵀ, dx = W Y, or where no dx is wanted dW = X dyᵀ.
    """
    random = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32)

    points, run = max(layer.kernel, 1) ** 2, rows * layer.positions
    if not layer.kernel:
        x, dy = matrix(rows, layer.inputs), matrix(rows, layer.outputs)
        w = matrix(layer.outputs, layer.inputs)
        return {"forward": [(x, w.T)], "backward": [(dy.T, x), (dy, w)]}
    w, seen = matrix(layer.outputs, layer.inputs * points), matrix(layer.inputs * points, run)
    if layer.first:
        return {"forward": [(w, seen)], "backward": [(seen, matrix(layer.outputs, run).T)]}
    dy_seen = matrix(layer.outputs * points, run)
    turned, x = matrix(layer.inputs, layer.outputs * points), matrix(layer.inputs, run)
    return {"forward": [(w, seen)], "backward": [(turned, dy_seen), (dy_seen, x.T)]}


def numpy_products(fields: tuple[Any, ...], rows: int) -> Timed:
    """The products with NumPy, into arrays that exist already."""
    return _multiplied(products(Layer(*fields), rows), np.array, np.matmul)


def torch_products(fields: tuple[Any, ...], rows: int) -> Timed:
    """The same with PyTorch."""
    import torch

    return _multiplied(products(Layer(*fields), rows), torch.from_numpy, torch.mm)


def _multiplied(given: dict[str, list[tuple[np.ndarray, np.ndarray]]], of: Any, mm: Any) -> Timed:
    def phase(pairs: list[tuple[np.ndarray, np.ndarray]]) -> Any:
        ready = [(of(a), of(b), of(np.empty((len(a), b.shape[1]), np.float32))) for a, b in pairs]

        def multiply() -> None:
            for a, b, out in ready:
                mm(a, b, out=out)

        return multiply

    return Timed({name: phase(pairs) for name, pairs in given.items()})


if __name__ == "__main__":
    main()
