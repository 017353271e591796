"""One question put to a network: a batch, parameters, and the values that PyTorch computes.

A quantity is named by a key: ``logits``, ``loss``, ``gradient/0.weight``, ``update/0.weight`` and,
for layers asked one by one, ``activation/1`` and ``buffer/1.running_mean``. All arrays are float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from compare.backends.protocol import Arrays


@dataclass(frozen=True)
class Case:
    """One batch, from one set of parameters, and what PyTorch makes of it in float64.

    Attributes:
        parameters: ``state_dict`` of the network, buffers included.
        inputs: (N, …).
        targets: (N,) class indices, or what the loss takes.
        expected: Quantity → value.
        sizes: Quantity → the size of what was summed to make the value; its shape is the
            value's, or () for one size of them all.
        update_gradients: The gradients (by state_dict key) of each step that the update is asked
            for, from ``parameters`` on; ``update/…`` is what the last step leaves.
        expected32: Quantity → what PyTorch makes of it in float32; the yardstick of a homework
            that computes in float32 inside.
        given: What single layers are given, for a homework made of layer classes: ``input/1``
            and ``grad_output/1``. Then ``activation/1``, ``buffer/1.…``, ``gradient/1.…`` and
            ``gradient/1.input`` (the gradient of the layer's input) are what the layer alone makes
            of these, and ``gradient/logits`` is the loss's own, at the logits of ``inputs``.
            ``mask/1`` is what a Dropout of the homework has kept.
        evaluation: The logits in evaluation mode, where that differs from training mode.
        tolerances: Quantity → how far it may be away, where that is not the usual.
    """

    parameters: Arrays
    inputs: np.ndarray
    targets: np.ndarray
    expected: Arrays
    sizes: Arrays
    update_gradients: tuple[Arrays, ...] = ()
    expected32: Arrays = field(default_factory=dict)
    given: Arrays = field(default_factory=dict)
    evaluation: np.ndarray | None = None
    tolerances: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """A named mistake: a code of the list in docs/mistakes.md, and a sentence with numbers."""

    code: str
    explanation: str
