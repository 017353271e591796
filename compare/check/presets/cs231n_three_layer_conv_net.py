"""cs231n, assignment 2: ThreeLayerConvNet of cnn.py.

ThreeLayerConvNet(input_dim=…, num_filters=…, filter_size=…, hidden_dim=…, num_classes=…, dtype=…)
is conv, relu, 2x2 max pool, affine, relu, affine, softmax, and its convolution keeps the size of
the image. It keeps W1, b1, W2, … in params; loss is that of the other networks of the course.
"""

import numpy as np

from compare.check.adapters import sequential
from compare.check.network_objects import LossNetwork

PARAMETERS = {
    "W1": "conv.weight", "b1": "conv.bias", "W2": "affine1.weight.T", "b2": "affine1.bias",
    "W3": "affine2.weight.T", "b3": "affine2.bias",
}  # fmt: skip


def architecture(nn):
    """The network, for images of 8 x 8 pixels."""
    return sequential(
        nn, conv=nn.Conv2d(2, 3, 3, padding=1), relu1=nn.ReLU(), max_pool=nn.MaxPool2d(2),
        flatten=nn.Flatten(), affine1=nn.Linear(3 * 4 * 4, 9), relu2=nn.ReLU(),
        affine2=nn.Linear(9, 5),
    )  # fmt: skip


_network = LossNetwork(
    globals().get("ThreeLayerConvNet"), "ThreeLayerConvNet", input_dim=(2, 8, 8), num_filters=3,
    filter_size=3, hidden_dim=9, num_classes=5, dtype=np.float64,
)  # fmt: skip
NOTES, forward, loss, loss_and_gradients = _network.offer(PARAMETERS, (2, 8, 8))
