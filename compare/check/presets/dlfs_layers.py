"""Deep Learning from Scratch 1: the layer classes of common/layers.py.

The network is made of the classes that the file defines, and each is asked alone:

    Convolution → Pooling → BatchNormalization → Affine → BatchNormalization → Sigmoid → Affine
    → Relu → Dropout → Affine → SoftmaxWithLoss

The pool has no Relu before it, so that no two values of a window are equal. The book's
BatchNormalization of images has a mean for each pixel, other than PyTorch's, and is not compared
there. Its ε is 10e-7. The 1e-7 of the book's loss, −log(p + 1e-7), is taken out.
"""

from compare.check.adapters import (
    AdaptationError,
    Entry,
    layers_of,
    loss_without_offset,
    network_of,
    parameters_of,
)

ONE_HOT = True
CLASSES, WIDTH, CHANNELS, FILTERS = 5, 8, 2, 4
EPSILON = 10e-7
_names = ("Convolution", "Pooling", "Affine", "BatchNormalization", "Sigmoid", "Relu", "Dropout",
          "SoftmaxWithLoss")  # fmt: skip
_has = {name: globals()[name] for name in _names if name in globals()}
if not {"Affine", "Convolution"} & set(_has):
    raise AdaptationError(
        "expected a class Affine or Convolution, as the first layer of a network, but neither is "
        "defined"
    )


def _entries():
    """The layers that there are, in order."""
    flat = 12
    if "Convolution" in _has:
        yield Entry(
            "Convolution",
            lambda nn: nn.Conv2d(CHANNELS, FILTERS, 4, stride=2, padding=1),
            lambda w, b: _has["Convolution"](w, b, 2, 1),
            "weight bias",
        )
        flat = FILTERS * 4 * 4
        if "Pooling" in _has:
            yield Entry(
                "Pooling", lambda nn: nn.MaxPool2d(2, stride=1), lambda: _has["Pooling"](2, 2, 1)
            )
            flat = FILTERS * 3 * 3
        if "Affine" in _has:
            yield Entry("Flatten", lambda nn: nn.Flatten())  # Affine takes x of any shape
    if "Affine" in _has:
        yield _affine("Affine1", flat, WIDTH)
        if "BatchNormalization" in _has:
            yield Entry(
                "BatchNormalization",
                lambda nn: nn.BatchNorm1d(WIDTH, eps=EPSILON),
                lambda gamma, beta: _has["BatchNormalization"](gamma, beta, 0.9),
                "weight bias running_mean running_var",
            )
        if "Sigmoid" in _has:
            yield Entry("Sigmoid", lambda nn: nn.Sigmoid(), lambda: _has["Sigmoid"]())
            yield _affine("Affine2", WIDTH, WIDTH)
    if "Relu" in _has:
        yield Entry("Relu", lambda nn: nn.ReLU(), lambda: _has["Relu"]())
    if "Dropout" in _has:
        yield Entry("Dropout", lambda nn: nn.Dropout(0.5), lambda: _has["Dropout"](0.5))
    if "Affine" in _has:
        yield _affine("Affine3", WIDTH, CLASSES)


def _affine(name, inputs, outputs):
    return Entry(
        name,
        lambda nn: nn.Linear(inputs, outputs),
        lambda w, b: _has["Affine"](w, b),
        "weight.T bias",
    )


_entries_of_file = list(_entries())
PARAMETERS = parameters_of(_entries_of_file)
LOSS = "cross_entropy" if "Affine" in _has else "mse"
_missing = [name for name in _names if name not in _has]
_need_affine = ("BatchNormalization", "Sigmoid", "SoftmaxWithLoss")
_behind = [name for name in _need_affine if name in _has and "Affine" not in _has]
NOTES = [f"Left out of the comparison: {', '.join(_missing)} (not defined)."] if _missing else []
if _behind:
    NOTES.append(f"Left out of the comparison without Affine before it: {', '.join(_behind)}.")


def architecture(nn):
    """The network of the classes that there are."""
    return network_of(_entries_of_file, nn)


def network(params):
    """The layers by the names of their modules, and the loss if there is one."""
    layers = layers_of(_entries_of_file, params)
    if "SoftmaxWithLoss" not in _has or "Affine" not in _has:
        return layers
    return layers, loss_without_offset(_has["SoftmaxWithLoss"]())
