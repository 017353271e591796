"""What is timed: a training step of a network, or a convolution alone.

The data is synthetic: standard normal inputs, random targets. Time depends on shapes, not on what
the pictures show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.synthetic import input_shape, loss_of, random_targets
from compare.spec.architecture import find_architecture
from compare.spec.model import ModelSpec

SEED = 0
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
    """One training step: forward with the loss, backward, update."""

    architecture: str  # a name of experiments.architectures, or FILE.py:FUNCTION
    batch_size: int
    algorithm: str = "SGD"  # the optimizer class
    arguments: dict[str, Any] = field(default_factory=dict)  # of the architecture

    @property
    def title(self) -> str:
        """``bn_mlp, Adam, batch 32``."""
        return f"{self.architecture}, {self.algorithm}, batch {self.batch_size:,}"

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

    def model(self) -> Any:
        """NumPy's network, with the weights that every contender starts from."""
        numpy_nn.manual_seed(SEED)
        return self.model_spec().model(numpy_nn)

    def batch(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs (N, …) float32 and targets that fit the loss."""
        random, model = np.random.default_rng(SEED), self.model()
        shape = input_shape(model)
        inputs = random.standard_normal((self.batch_size, *shape), np.float32)
        outputs = model(np.zeros((2, *shape), np.float32)).shape[1]
        return inputs, random_targets(self.model_spec().loss, random, self.batch_size, outputs)


@dataclass(frozen=True)
class Convolution:
    """A 3×3 convolution with padding 1, forward and backward, and nothing else."""

    in_channels: int
    out_channels: int
    size: int  # height and width of the images
    batch_size: int

    @property
    def title(self) -> str:
        """``convolution 16→32 on 14×14, batch 32``."""
        channels = f"{self.in_channels}→{self.out_channels}"
        return f"convolution {channels} on {self.size}×{self.size}, batch {self.batch_size:,}"

    def arrays(self) -> dict[str, np.ndarray]:
        """x (N, C, H, W), dy (N, O, H, W), weight (O, C, 3, 3) and bias (O,), all float32."""
        random = np.random.default_rng(SEED)
        shapes = {
            "x": (self.batch_size, self.in_channels, self.size, self.size),
            "dy": (self.batch_size, self.out_channels, self.size, self.size),
            "weight": (self.out_channels, self.in_channels, 3, 3),
            "bias": (self.out_channels,),
        }
        return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


BenchCase = TrainingStep | Convolution

# The second convolution of the architecture `cnn`, and one that is twice as wide.
CONVOLUTIONS = (Convolution(16, 32, 14, 32), Convolution(32, 64, 14, 32))


def training_steps(
    architectures: Sequence[str], batch_sizes: Sequence[int], optimizers: Sequence[str]
) -> list[TrainingStep]:
    """Every combination, each once; an empty argument means the defaults.

    Raises:
        InputError: There is no such architecture.
    """
    steps = []
    for name in architectures or DEFAULT_OPTIMIZERS:
        find_architecture(name)
        sizes = batch_sizes or DEFAULT_BATCH_SIZES
        if name == "covertype_dnn" and not batch_sizes:
            sizes = (*sizes, COVERTYPE_ROWS)
        for algorithm in optimizers or DEFAULT_OPTIMIZERS.get(name, ("Adam",)):
            steps += [TrainingStep(name, size, algorithm) for size in sizes]
    return list({step.title: step for step in steps}.values())
