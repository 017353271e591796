"""cs231n, assignment 2: FullyConnectedNet of fc_net.py, without normalisation and dropout.

FullyConnectedNet(hidden_dims, input_dim=…, num_classes=…, dtype=…) keeps W1, b1, W2, … in params;
loss(X) returns the scores, and loss(X, y) the loss and a dict of gradients.
"""

import numpy as np

from compare.check.adapters import sequential
from compare.check.network_objects import LossNetwork

PARAMETERS = {
    "W1": "affine1.weight.T", "b1": "affine1.bias", "W2": "affine2.weight.T", "b2": "affine2.bias",
    "W3": "affine3.weight.T", "b3": "affine3.bias",
}  # fmt: skip


def architecture(nn):
    """The network: affine and relu twice, affine, softmax."""
    return sequential(
        nn, affine1=nn.Linear(12, 9), relu1=nn.ReLU(), affine2=nn.Linear(9, 7), relu2=nn.ReLU(),
        affine3=nn.Linear(7, 5),
    )  # fmt: skip


_network = LossNetwork(
    globals().get("FullyConnectedNet"), "FullyConnectedNet", [9, 7],
    input_dim=12, num_classes=5, dtype=np.float64,
)  # fmt: skip
NOTES, forward, loss, loss_and_gradients = _network.offer(PARAMETERS, (12,))
