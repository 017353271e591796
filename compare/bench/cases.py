"""What is timed: a training step of a network, or a convolution alone.

The data is made up: standard normal inputs, targets drawn at random. Time depends on shapes, not
on what the pictures show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.synthetic import input_shape, loss_of, random_targets
from compare.spec.model import ModelSpec, find_architecture

DEFAULT_BATCH_SIZES = (32, 128, 512)
# Every row of Forest Covertype that is of class 1 or 2: a further batch size of covertype_dnn.
COVERTYPE_ROWS = 495_141
# Architecture → optimizers, unless others are given.
DEFAULT_OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "bn_mlp": ("Adam",),
    "softmax_mlp": ("SGD", "Adam"),
    "cnn": ("Adam",),
    "covertype_dnn": ("SGD",),
}
# The learning rate changes no time; these keep every training well away from overflow.
SETTINGS: dict[str, dict[str, Any]] = {"SGD": {"lr": 0.01}, "Adam": {"lr": 1e-3}}


@dataclass(frozen=True)
class TrainingStep:
    """One training step: forward with the loss, backward, update.

    Attributes:
        architecture: A name of ``experiments.architectures``, or ``FILE.py:FUNCTION``.
        batch_size: Rows.
        algorithm: The optimizer class.
        arguments: Keyword arguments of the architecture.
        seed: Of weights and data.
    """

    architecture: str
    batch_size: int
    algorithm: str = "SGD"
    arguments: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    @property
    def title(self) -> str:
        """``bn_mlp, Adam, batch 32``."""
        return f"{self.architecture}, {self.algorithm}, batch {self.batch_size:,}"

    @property
    def has_images(self) -> bool:
        """Whether a row of the input is an image."""
        return len(input_shape(self.initial()[0])) == 3

    def model_spec(self, **settings: Any) -> ModelSpec:
        """Network, loss and optimizer, with further settings of the optimizer."""
        function = find_architecture(self.architecture)
        return ModelSpec(
            function,
            self.arguments,
            loss=loss_of(function, self.arguments),
            algorithm=self.algorithm,
            settings={**SETTINGS.get(self.algorithm, {}), **settings},
        )

    def initial(self) -> tuple[Any, dict[str, np.ndarray]]:
        """NumPy's network, and a copy of the state that every contender starts from."""
        numpy_nn.manual_seed(self.seed)
        model = self.model_spec().model(numpy_nn)
        return model, {name: np.array(value) for name, value in model.state_dict().items()}

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (N, …) float32 and targets that fit the loss."""
        random = np.random.default_rng(self.seed)
        model, _ = self.initial()
        shape = input_shape(model)
        inputs = random.standard_normal((self.batch_size, *shape), np.float32)
        outputs = model(np.zeros((2, *shape), np.float32)).shape[1]
        return inputs, random_targets(self.model_spec().loss, random, self.batch_size, outputs)


@dataclass(frozen=True)
class Convolution:
    """A 3×3 convolution with padding 1, forward and backward, and nothing else.

    Attributes:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        size: Height and width of the images.
        batch_size: Images.
        seed: Of weights and data.
    """

    in_channels: int
    out_channels: int
    size: int
    batch_size: int
    seed: int = 0

    @property
    def title(self) -> str:
        """``convolution 16→32 on 14×14, batch 32``."""
        return (
            f"convolution {self.in_channels}→{self.out_channels} on {self.size}×{self.size}, "
            f"batch {self.batch_size:,}"
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """x (N, C, H, W), dy (N, O, H, W), w (O, C, 3, 3) and b (O,), all float32."""
        random = np.random.default_rng(self.seed)
        shapes = {
            "x": (self.batch_size, self.in_channels, self.size, self.size),
            "dy": (self.batch_size, self.out_channels, self.size, self.size),
            "w": (self.out_channels, self.in_channels, 3, 3),
            "b": (self.out_channels,),
        }
        return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


BenchCase = TrainingStep | Convolution

# The second convolution of the architecture `cnn`, and one that is twice as wide.
CONVOLUTIONS = (Convolution(16, 32, 14, 32), Convolution(32, 64, 14, 32))


def training_steps(
    architectures: Sequence[str], batch_sizes: Sequence[int], optimizers: Sequence[str]
) -> tuple[TrainingStep, ...]:
    """Every combination, each once; an empty argument means the defaults.

    Raises:
        InputError: There is no such architecture.
    """
    found = []
    for name in architectures or DEFAULT_OPTIMIZERS:
        find_architecture(name)
        sizes = batch_sizes or DEFAULT_BATCH_SIZES
        if name == "covertype_dnn" and not batch_sizes:
            sizes = (*sizes, COVERTYPE_ROWS)
        for algorithm in optimizers or DEFAULT_OPTIMIZERS.get(name, ("Adam",)):
            found += [TrainingStep(name, size, algorithm) for size in sizes]
    return tuple({(s.architecture, s.algorithm, s.batch_size): s for s in found}.values())
