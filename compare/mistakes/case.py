"""One batch for a network, its parameters, and the values that PyTorch computes.

A quantity is named by a key: ``logits``, ``loss``, ``gradient/0.weight``, ``update/0.weight``,
``step/0.weight`` and, for layers that are run alone, ``activation/1`` and
``buffer/1.running_mean``. All arrays are float64.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from compare.backends.protocol import Arrays


@dataclass(frozen=True)
class Case:
    """One batch, one set of parameters, and the values that PyTorch computes of them in float64.

    Attributes:
        parameters: ``state_dict`` of the network, buffers included.
        inputs: (N, …).
        targets: (N,) class indices, or what the loss takes.
        expected: Quantity → value.
        sizes: Quantity → the size of what was summed to make the value; its shape is the
            value's, or () for one size of them all.
        update_gradients: The gradients (by state_dict key) of each of several updates, the first
            of them from ``parameters``; ``update/…`` is the parameter after the last.
        expected32: Quantity → value in PyTorch in float32, for a homework that computes in
            float32 inside.
        given: The inputs of single layers, for a homework made of layer classes: ``input/1``
            and ``grad_output/1``. Then ``activation/1``, ``buffer/1.…``, ``gradient/1.…`` and
            ``gradient/1.input`` (the gradient by the layer's input) are those of the layer alone,
            and ``gradient/logits`` is that of the loss alone, at the logits of ``inputs``.
            ``mask/1`` says which values a Dropout of the homework kept.
        evaluation: The logits in evaluation mode, where that differs from training mode.
        tolerances: Quantity → how far it may be away, where that is not the usual.
        other_size: Whether its images have another size than those of the other cases; a homework
            may be written for theirs alone.
        loss_factor: What the loss is times PyTorch's mean.
        weight_decay: λ of a penalty ½ λ ΣW² that the loss has.
        steps: How many training steps in a row are made with the batch, which give ``step/…``, the
            parameters after the last.
        large_logits: Whether all logits are near 1000, where exp overflows; a softmax is the same.
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
    large_logits: bool = False
    other_size: bool = False
    loss_factor: float = 1.0
    weight_decay: float = 0.0
    steps: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """A named mistake: a code of the list in docs/mistakes.md, and a sentence with numbers."""

    code: str
    explanation: str
