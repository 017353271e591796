"""Deep Learning from Scratch 1, chapters 4 and 5: TwoLayerNet of two_layer_net.py.

TwoLayerNet(input_size, hidden_size, output_size) keeps W1, b1, W2, b2 in params and has loss(x, t)
and gradient(x, t). In chapter 5 it consists of layers (Affine, Relu, Affine and the last layer
SoftmaxWithLoss), which are asked one by one too, and predict(x) returns scores. In chapter 4 it
has a sigmoid in place of Relu, and predict(x) returns probabilities, which are not compared.
"""

from compare.check.adapters import (
    AdaptationError,
    gradients_by_name,
    loss_without_offset,
    sequential,
    set_parameters,
    softmax,
    without_offset,
)

LOSS = "cross_entropy"
ONE_HOT = True
PARAMETERS = {
    "W1": "Affine1.weight.T",
    "b1": "Affine1.bias",
    "W2": "Affine2.weight.T",
    "b2": "Affine2.bias",
}
NOTES = []

_make = globals().get("TwoLayerNet")
if _make is None:
    raise AdaptationError("expected a class TwoLayerNet, but none is defined")
_has_layers = hasattr(_make(2, 2, 2), "layers")


def architecture(nn):
    """The network of the chapter."""
    between = {"Relu1": nn.ReLU()} if _has_layers else {"sigmoid": nn.Sigmoid()}
    return sequential(nn, Affine1=nn.Linear(12, 9), **between, Affine2=nn.Linear(9, 5))


def _network(params):
    made = _make(12, 9, 5)
    set_parameters(made, params)
    return made


if _has_layers:

    def network(params):
        """The layers of the object, which hold the arrays of its params, and its loss."""
        made = _network(params)
        last = getattr(made, "lastLayer", None) or getattr(made, "last_layer", None)
        if last is None:
            raise AdaptationError(
                "TwoLayerNet should keep its loss layer as lastLayer, but has none"
            )
        return list(made.layers.values()), loss_without_offset(last)

    def forward(params, x):
        """The scores."""
        return _network(params).predict(x)


if hasattr(_make, "loss"):

    def loss(params, x, y):
        """The loss, without the book's 1e-7 in its logarithm."""
        made = _network(params)
        predicted = made.predict(x)
        probabilities = softmax(predicted) if _has_layers else predicted
        return without_offset(made.loss(x, y), probabilities, y)


if hasattr(_make, "gradient"):

    def gradients(params, x, y):
        """The gradients by back-propagation."""
        found = _network(params).gradient(x, y)
        return gradients_by_name(found, list(PARAMETERS), "TwoLayerNet.gradient(x, t)")
else:
    NOTES.append("Left out of the comparison: TwoLayerNet.gradient(x, t) (not defined).")
