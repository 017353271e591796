"""What a network may be made of that somebody else describes: named layers, plain arguments.

Architectures of homeworks and of golden files arrive as trees (see
:mod:`compare.check.architecture`). They are checked here before anything is built from them: a
layer is one of :data:`LAYERS`, a method one of :data:`METHODS`, and an argument a number, a text, a
truth value, None or a list of these. So a tree can name nothing else that a namespace holds.
"""

from __future__ import annotations

import difflib
import math
import re
from typing import Any

Tree = Any


def _each(stem: str, axes: str) -> tuple[str, ...]:
    return tuple(f"{stem}{number}d" for number in axes)


# Layers that contain others.
CONTAINERS = ("Sequential", "ModuleList", "TransformerEncoder", "TransformerDecoder")
# Layers of torch.nn that a batch passes through and that draw nothing at random, Dropout aside;
# and LastStep, of compare.check.sequences.
LAYERS = frozenset(
    {
        *CONTAINERS,
        "Identity", "LastStep", "Flatten", "Unflatten", "Linear", "Bilinear",
        "Embedding", "EmbeddingBag",
        *_each("Conv", "123"), *_each("ConvTranspose", "123"), "Fold", "Unfold",
        *_each("MaxPool", "123"), *_each("AvgPool", "123"), *_each("LPPool", "123"),
        *_each("AdaptiveMaxPool", "123"), *_each("AdaptiveAvgPool", "123"),
        *_each("BatchNorm", "123"), *_each("InstanceNorm", "123"),
        "LayerNorm", "GroupNorm", "RMSNorm", "LocalResponseNorm", "CrossMapLRN2d",
        "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell",
        "MultiheadAttention", "Transformer", "TransformerEncoderLayer", "TransformerDecoderLayer",
        "Dropout", *_each("Dropout", "123"),
        *_each("ZeroPad", "123"), *_each("ConstantPad", "123"), *_each("CircularPad", "123"),
        *_each("ReflectionPad", "123"), *_each("ReplicationPad", "123"),
        "PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "Upsample", "UpsamplingNearest2d",
        "UpsamplingBilinear2d", "CosineSimilarity", "PairwiseDistance",
        "CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
        "LeakyReLU", "LogSigmoid", "LogSoftmax", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU",
        "Sigmoid", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink", "Softsign", "Tanh",
        "Tanhshrink", "Threshold",
    }
)  # fmt: skip
# Flatten for code whose images have their channels last, which no namespace has.
CHANNELS_LAST_FLATTEN = "Flatten with channels last"
# Methods that may be called on a layer: those that put another into a Sequential, with their number
# of arguments, and those that change nothing here.
METHODS = {"append": 1, "add_module": 2, "double": 0, "float": 0, "train": 0}
# The most layers, the most values in one list, the deepest nesting, the largest number, and the
# longest text.
MOST_LAYERS, MOST_ITEMS, MOST_NESTED, LARGEST, LONGEST = 2000, 2000, 30, 2**31, 100
# Arguments that place a layer elsewhere, or in a precision of its own.
REFUSED_ARGUMENTS = ("device", "dtype")
_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")


class ForbiddenLayerError(ValueError):
    """A tree holds something that no network may have; the message says what."""


def require_layer(name: str) -> None:
    """Complain of the name of something that is no layer.

    Raises:
        ForbiddenLayerError: It is not among :data:`LAYERS`.
    """
    if name in LAYERS:
        return
    lower = {known.lower(): known for known in LAYERS}
    near = difflib.get_close_matches(name[:60].lower(), lower, n=1)
    hint = f"; did you mean nn.{lower[near[0]]}?" if near else ""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:60])
    raise ForbiddenLayerError(
        f"nn.{shown} is none of the layers of torch.nn that a network may be made of here{hint}"
    )


def require_network(tree: Tree) -> None:
    """Complain of a tree that is no network of allowed layers with plain arguments.

    Raises:
        ForbiddenLayerError: It is not; the message says what it has instead.
    """
    if not _is_layer(tree):
        raise ForbiddenLayerError("expected a network such as nn.Sequential(…)")
    _Count().layer(tree, 0)


class _Count:
    """Goes through a tree and counts its layers."""

    def __init__(self) -> None:
        self._layers = 0

    def layer(self, tree: Tree, depth: int) -> None:
        if not isinstance(tree.get("make"), str) or not set(tree) <= {
            "make",
            "args",
            "kwargs",
            "then",
        }:
            raise ForbiddenLayerError("a layer is described by its name and its arguments alone")
        name, args, kwargs = tree["make"], tree.get("args"), tree.get("kwargs")
        if name != CHANNELS_LAST_FLATTEN:
            require_layer(name)
        self._layers += 1
        if self._layers > MOST_LAYERS:
            raise ForbiddenLayerError(f"a network may have {MOST_LAYERS:,} layers, and it has more")
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ForbiddenLayerError(f"nn.{name} should have a list and a dict of arguments")
        if name == "Sequential":
            ordered = len(args) == 1 and isinstance(args[0], dict) and set(args[0]) == {"ordered"}
            if kwargs or not (ordered or all(_is_layer(one) for one in args)):
                raise ForbiddenLayerError("nn.Sequential takes layers alone")
        if name == "Dropout":
            _require_probability(args, kwargs)
        self.value(args, depth + 1, name)
        self._arguments(kwargs, depth + 1, name)
        methods = tree.get("then", [])
        if not isinstance(methods, list) or len(methods) > MOST_ITEMS:
            raise ForbiddenLayerError(f"nn.{name} should have a list of methods, none too long")
        for entry in methods:
            self._method(entry, depth + 1, name)

    def _method(self, entry: Tree, depth: int, name: str) -> None:
        """A method that is called on a layer: its name, its arguments, and those with names."""
        match entry:
            case [str() as method, list() as args, dict() as more] if method in METHODS:
                pass
            case _:
                called = entry[0] if isinstance(entry, list) and entry else entry
                raise ForbiddenLayerError(
                    f"nn.{name}(…) may be followed by {', '.join(METHODS)}, but has "
                    f"{_short(called)}"
                )
        takes_layer = METHODS[method] > 0
        if len(args) != METHODS[method] or more or (takes_layer and not _is_layer(args[-1])):
            if takes_layer:
                raise ForbiddenLayerError(f"{method} should be called with one layer to add")
            raise ForbiddenLayerError(f"{method} should be called without arguments")
        if takes_layer and name not in CONTAINERS:
            raise ForbiddenLayerError(f"nn.{name}(…) holds no layers, so {method} adds none to it")
        if method == "add_module":
            _require_name(args[0])
        self.value(args, depth, name)

    def _arguments(self, kwargs: dict, depth: int, name: str) -> None:
        for key, value in kwargs.items():
            if not isinstance(key, str) or not key.isidentifier() or key in REFUSED_ARGUMENTS:
                raise ForbiddenLayerError(f"nn.{name} takes no argument {_short(key)} here")
            self.value(value, depth, name)

    def value(self, value: Tree, depth: int, name: str) -> None:
        """An argument, or a list of them."""
        if depth > MOST_NESTED:
            raise ForbiddenLayerError(f"the network is nested more than {MOST_NESTED} deep")
        if isinstance(value, list):
            if len(value) > MOST_ITEMS:
                raise ForbiddenLayerError(f"nn.{name} has more than {MOST_ITEMS:,} arguments")
            for one in value:
                self.value(one, depth + 1, name)
        elif isinstance(value, dict) and set(value) == {"ordered"}:
            self._ordered(value["ordered"], depth, name)
        elif isinstance(value, dict):
            if name not in CONTAINERS:
                raise ForbiddenLayerError(f"nn.{name} takes no layer as an argument here")
            self.layer(value, depth)
        elif not _is_plain(value):
            raise ForbiddenLayerError(f"{_short(value)} cannot be an argument of nn.{name} here")

    def _ordered(self, pairs: Tree, depth: int, name: str) -> None:
        """The layers of a Sequential by their names."""
        fits = isinstance(pairs, list) and len(pairs) <= MOST_ITEMS
        fits = fits and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
        if not fits or name not in CONTAINERS:
            raise ForbiddenLayerError(f"nn.{name} takes no dict as an argument here")
        for key, value in pairs:
            _require_name(key)
            if not _is_layer(value):
                raise ForbiddenLayerError(f"{_short(value)} is no layer of nn.{name}")
            self.layer(value, depth + 1)


def _require_probability(args: list, kwargs: dict) -> None:
    """The first argument of Dropout, which is read without building it."""
    p = args[0] if args else kwargs.get("p", 0.5)
    number = isinstance(p, (int, float)) and not isinstance(p, bool)
    if not number or not 0 <= p <= 1:
        raise ForbiddenLayerError(f"nn.Dropout takes a probability from 0 to 1, not {_short(p)}")


def _is_layer(tree: Tree) -> bool:
    return isinstance(tree, dict) and "make" in tree


def _require_name(name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ForbiddenLayerError(
            f"{_short(name)} cannot name a layer: expected letters, digits and underscores"
        )


def _is_plain(value: Any) -> bool:
    """Whether it is None, a truth value, a number of sensible size or a short printable text."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return abs(value) <= LARGEST
    if isinstance(value, float):
        return not math.isnan(value)
    return isinstance(value, str) and len(value) <= LONGEST and value.isprintable()


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number above 2³¹"  # its digits may be too many to be written
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
