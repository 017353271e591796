"""cs231n, assignment 1: TwoLayerNet of fc_net.py, or of neural_net.py in older years.

TwoLayerNet(input_dim, hidden_dim, num_classes) keeps W1, b1, W2, b2 in params; loss(X) returns
the scores, and loss(X, y) the loss and a dict of gradients.
"""

from compare.check.adapters import sequential
from compare.check.network_objects import LossNetwork

PARAMETERS = {
    "W1": "affine1.weight.T",
    "b1": "affine1.bias",
    "W2": "affine2.weight.T",
    "b2": "affine2.bias",
}


def architecture(nn):
    """The network: affine, relu, affine, softmax."""
    return sequential(nn, affine1=nn.Linear(12, 9), relu=nn.ReLU(), affine2=nn.Linear(9, 5))


_network = LossNetwork(globals().get("TwoLayerNet"), "TwoLayerNet", 12, 9, 5)
NOTES, forward, loss, loss_and_gradients = _network.offer(PARAMETERS, (12,))
