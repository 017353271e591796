"""Presets: assignments of courses whose interface is known, so that a homework says nothing itself.

A preset is a mapping file in this folder, in which all names of the homework are defined without an
import, and the defaults below. ``cs231n-layers`` has the file ``cs231n_layers.py``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.errors import InputError


@dataclass(frozen=True)
class Preset:
    """One assignment of a course.

    Attributes:
        name: Its name, as ``--preset`` takes it.
        summary: One line: the course, the file, and what is compared.
        accept: Codes of mistakes that the course teaches as conventions.
        optimizer: The class of the optimizer that ``update`` of the mapping file is, if there is
            one.
        settings: Its keyword arguments, which the mapping file uses.
    """

    name: str
    summary: str
    accept: tuple[str, ...] = ()
    optimizer: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The mapping file."""
        return Path(__file__).with_name(f"{self.name.replace('-', '_')}.py")


# The running variance of these courses is a mean of biased estimates; PyTorch's are unbiased.
BIASED = "biased-variance"

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "cs231n-layers",
            "cs231n, assignments 1 and 2, layers.py: each pair of forward and backward functions",
            accept=(BIASED,),
        ),
        Preset(
            "cs231n-two-layer-net",
            "cs231n, assignment 1, fc_net.py or neural_net.py: TwoLayerNet without regularisation",
        ),
        Preset(
            "cs231n-fully-connected-net",
            "cs231n, assignment 2, fc_net.py: FullyConnectedNet with two hidden layers",
        ),
        Preset(
            "cs231n-three-layer-conv-net",
            "cs231n, assignment 2, cnn.py: ThreeLayerConvNet without regularisation",
        ),
        Preset(
            "dlfs-layers",
            '"Deep Learning from Scratch" 1, common/layers.py: each layer class',
            accept=(BIASED, "unscaled-dropout", "log-offset-mismatch"),
        ),
        Preset(
            "dlfs-two-layer-net",
            '"Deep Learning from Scratch" 1, chapters 4 and 5, two_layer_net.py: TwoLayerNet',
            accept=("log-offset-mismatch",),
        ),
        Preset(
            "deeplearning-ai-l-layer",
            "Deep Learning Specialization, course 1, week 4: the functions of the L-layer network",
            optimizer="SGD",
            settings={"lr": 0.0075},
        ),
        Preset(
            "deeplearning-ai-planar",
            "Deep Learning Specialization, course 1, week 3: planar data, one hidden layer",
            optimizer="SGD",
            settings={"lr": 1.2},
        ),
    )
}


def find_preset(name: str | None, source: str) -> Preset | None:
    """The preset of a name; None if no name is given.

    Args:
        name: The name.
        source: Where it stands, for messages: ``--preset``, or a file and its key.

    Raises:
        InputError: There is no such preset.
    """
    if name is None:
        return None
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{source} expects one of {', '.join(PRESETS)}, but got {name!r}.{hint}")
    return PRESETS[name]
