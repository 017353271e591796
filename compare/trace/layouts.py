"""Arrays of other frameworks in torch's order of axes, and settings that their shapes say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.errors import InputError

OF_IMAGES = 4
"""Arrays of so many axes are laid out in one way or another."""


def turned(array: Any, axes: str, first: str) -> np.ndarray:
    """An array whose axes are named by letters, with those of ``first`` in front.

    Example:
        >>> turned(np.zeros((5, 5, 1, 8)), "HWIO", "OI").shape
        (8, 1, 5, 5)
    """
    order = first + "".join(letter for letter in axes if letter not in first)
    return np.transpose(np.asarray(array), [axes.index(letter) for letter in order])


class Layout:
    """How the images of a model are laid out.

    Args:
        axes: ``NCHW``, ``NHWC``, or ``NCL`` and ``NLC`` for sequences; None where there are none.

    Raises:
        InputError: It is something else.
    """

    def __init__(self, axes: str | None) -> None:
        self.axes = axes
        if axes is not None and (
            len(set(axes)) < len(axes) or not {"N", "C"} <= set(axes) or not 3 <= len(axes) <= 5
        ):
            raise InputError(f"layout should be NCHW or NHWC, but is {axes!r}.")

    def torch(self, array: Any, name: str) -> np.ndarray:
        """An array as torch would have it, (N, C, …).

        Args:
            array: Of any number of axes; those of another number than the layout's are left alone.
            name: Whose it is, for a message.

        Raises:
            InputError: It has the axes of an image, and the layout was not said.
        """
        found = np.asarray(array)
        if self.axes is None:
            if found.ndim == OF_IMAGES:
                raise InputError(
                    f"{name} has to do with an array of shape {found.shape}: say how its axes are "
                    'ordered, layout="NHWC" or layout="NCHW".'
                )
            return found
        return turned(found, self.axes, "NC") if found.ndim == len(self.axes) else found


def parameter(array: Any, axes: str | None, kind: str, name: str) -> np.ndarray:
    """A parameter as a class of torch has it.

    Args:
        array: The parameter.
        axes: A letter for each axis: I and O for what goes in and out, others for the kernel's;
            None where it is as torch has it.
        kind: The class.
        name: Whose it is, for a message.

    Raises:
        InputError: There are not as many letters as axes, or no I and no O.
    """
    found = np.asarray(array)
    if axes is None:
        return found
    if len(axes) != found.ndim or len(set(axes)) < len(axes) or not {"I", "O"} <= set(axes):
        raise InputError(
            f"{name} has the shape {found.shape}: expected a letter for each axis, I and O among "
            f"them as in HWIO, but found {axes!r}."
        )
    return turned(found, axes, "IO" if kind.startswith("ConvTranspose") else "OI")


def settings_from(kind: str, parameters: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The settings of a class that the shapes of its parameters say."""
    weight = parameters.get("weight")
    if weight is None:
        return {}
    has_bias, shape = "bias" in parameters, weight.shape
    if kind == "Linear":
        return {"in_features": shape[1], "out_features": shape[0], "bias": has_bias}
    if kind.startswith("ConvTranspose"):
        sizes: Sequence[int] = shape
        return {
            "in_channels": sizes[0], "out_channels": sizes[1], "kernel_size": shape[2:],
            "bias": has_bias,
        }  # fmt: skip
    if kind.startswith("Conv"):
        return {
            "in_channels": shape[1], "out_channels": shape[0], "kernel_size": shape[2:],
            "bias": has_bias,
        }  # fmt: skip
    if kind.startswith(("BatchNorm", "InstanceNorm")):
        return {"num_features": shape[0], "affine": True}
    if kind == "LayerNorm":
        return {"normalized_shape": shape, "bias": has_bias}
    if kind == "Embedding":
        return {"num_embeddings": shape[0], "embedding_dim": shape[1]}
    return {}
