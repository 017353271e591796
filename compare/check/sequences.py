"""Networks of sequences: rows of tokens for an Embedding, and recurrent layers.

An Embedding that comes first takes whole numbers. A recurrent layer of PyTorch returns a tuple,
which ``Sequential`` cannot pass on: here it is replaced by its first element, the outputs of all
steps (N, T, H).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.modules.rnn import RNNBase

from experiments.errors import InputError

# The lengths of a sequence, in the order in which they are tried.
LENGTHS = (5, 4, 6, 7, 3, 8, *range(9, 65), 2, 1)


class LastStep(torch.nn.Module):
    """The last step of sequences: (N, T, H) to (N, H)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Leave out all steps but the last."""
        return x[:, -1]


class SequenceNamespace:
    """``torch.nn`` with what an architecture of sequences needs besides.

    ``LastStep()`` takes the last step. ``RNN``, ``LSTM`` and ``GRU`` have the argument
    ``one_bias``, for the many homeworks that have one bias where PyTorch has two: with it,
    ``bias_hh`` is 0 and no parameter.
    """

    LastStep = LastStep

    def __getattr__(self, name: str) -> Any:
        found = getattr(torch.nn, name)
        return _with_one_bias(found) if name in ("RNN", "LSTM", "GRU") else found


def _with_one_bias(constructor: Callable[..., Any]) -> Callable[..., Any]:
    def construct(*args: Any, one_bias: bool = False, **kwargs: Any) -> Any:
        module = constructor(*args, **kwargs)
        names = [name for name, _ in module.named_parameters() if name.startswith("bias_hh")]
        for name in names if one_bias else ():
            zeros = torch.zeros_like(module.get_parameter(name).detach())
            delattr(module, name)
            module.register_buffer(name, zeros, persistent=False)
        return module.float()  # it reads its weights again

    return construct


def pass_on_outputs(model: torch.nn.Module) -> None:
    """Let each recurrent layer return the outputs of all steps, without its last state.

    Raises:
        InputError: One of them does not take the batch first.
    """
    for name, module in model.named_modules():
        if isinstance(module, RNNBase):
            kind = type(module).__name__
            if not module.batch_first:
                raise InputError(
                    f"Layer {name} is nn.{kind}(…) without batch_first=True, which is needed: its "
                    "inputs are (N, steps, features)."
                )
            module.register_forward_hook(lambda _, args, output: output[0])


def vocabulary(model: torch.nn.Module) -> int | None:
    """How many tokens the first layer knows; None unless it is an Embedding."""
    first = next(module for module in model.modules() if not any(module.children()))
    return first.num_embeddings if isinstance(first, torch.nn.Embedding) else None


def is_recurrent(model: torch.nn.Module) -> bool:
    """Whether a layer goes through its inputs step by step."""
    return any(isinstance(module, RNNBase) for module in model.modules())


def sequence_shape(
    model: torch.nn.Module,
    features: tuple[int, ...],
    logits: Callable[[np.ndarray], Any],
    loss: str,
) -> tuple[int, ...]:
    """The shape of one row of inputs: the first length that the network takes, and the features.

    A length that is also a number of features or units could hide a wrong axis, so it comes last.

    Args:
        model: A network that has an Embedding first, or is recurrent.
        features: The shape of one step: () for tokens.
        logits: The outputs of the network for a batch.
        loss: The class of the loss.

    Raises:
        InputError: The network takes no sequence, or gives outputs that the loss cannot take.
    """
    sizes = {size for parameter in model.parameters() for size in parameter.shape}
    lengths = sorted(LENGTHS, key=lambda length: length in sizes)
    shapes = [(length, *features) for length in lengths]
    if not is_recurrent(model):
        shapes.append(features)
    outputs: list[tuple[int, ...]] = []
    for shape in shapes:
        x = np.zeros((2, *shape), np.int64 if vocabulary(model) else np.float64)
        try:
            outputs.append(logits(x).shape)
        except (RuntimeError, ValueError):
            continue
        if loss != "CrossEntropyLoss" or len(outputs[-1]) == 2:
            return shape
    if outputs:
        raise InputError(
            f"The outputs of the network have the shape {outputs[0]} for 2 rows, and cross_entropy "
            "needs (N, classes): put nn.LastStep() or nn.Flatten() before the last Linear."
        )
    raise InputError(
        f"The network takes no sequence of {min(LENGTHS)} to {max(LENGTHS)} steps: do the features "
        "of each layer fit the layer before it?"
    )


def draw_tokens(
    shape: tuple[int, ...], rows: int, tokens: int, random: np.random.Generator
) -> np.ndarray:
    """Tokens (rows, …), as many different ones as there is room for, and some more than once.

    In each row of two or more one is repeated, or in the batch if a row is one token, so that
    gradients which overwrite each other show. The largest is among them, by which some count them.
    """
    count = rows * int(np.prod(shape))
    decks = [random.permutation(tokens) for _ in range(-(-count // tokens))]
    x = np.concatenate(decks)[:count].reshape(rows, -1)
    if count > 1 and tokens - 1 not in x:
        x[0, 0] = tokens - 1
    groups = x if x.shape[1] > 1 else x.T
    for group in groups if groups.shape[1] > 1 else ():
        if len(np.unique(group)) == len(group):
            to, source = random.choice(len(group), 2, replace=False)
            kept = group[to] == tokens - 1  # it stays: the other place becomes the same
            group[source if kept else to] = group[to if kept else source]
    return x.reshape(rows, *shape).astype(np.int64)
