"""A right homework in the interface of cs231n's cnn.py."""

import numpy as np

from ..layers import *


class ThreeLayerConvNet:
    def __init__(
        self, input_dim=(3, 32, 32), num_filters=32, filter_size=7, hidden_dim=100,
        num_classes=10, weight_scale=1e-3, reg=0.0, dtype=np.float32,
    ):  # fmt: skip
        channels, height, width = input_dim
        self.reg, self.dtype = reg, dtype
        shapes = {
            "W1": (num_filters, channels, filter_size, filter_size),
            "W2": (num_filters * (height // 2) * (width // 2), hidden_dim),
            "W3": (hidden_dim, num_classes),
        }
        biases = {"b1": num_filters, "b2": hidden_dim, "b3": num_classes}
        self.params = {k: weight_scale * np.random.randn(*s) for k, s in shapes.items()}
        self.params |= {k: np.zeros(n) for k, n in biases.items()}
        self.params = {k: v.astype(dtype) for k, v in self.params.items()}

    def loss(self, X, y=None):
        p = self.params
        conv_param = {"stride": 1, "pad": (p["W1"].shape[2] - 1) // 2}
        pool_param = {"pool_height": 2, "pool_width": 2, "stride": 2}
        out, conv = conv_forward_naive(X, p["W1"], p["b1"], conv_param)
        out, relu = relu_forward(out)
        out, pool = max_pool_forward_naive(out, pool_param)
        out, second = affine_forward(out, p["W2"], p["b2"])
        out, active = relu_forward(out)
        scores, third = affine_forward(out, p["W3"], p["b3"])
        if y is None:
            return scores
        grads = {}
        loss, d = softmax_loss(scores, y)
        d, grads["W3"], grads["b3"] = affine_backward(d, third)
        d, grads["W2"], grads["b2"] = affine_backward(relu_backward(d, active), second)
        d = relu_backward(max_pool_backward_naive(d, pool), relu)
        _, grads["W1"], grads["b1"] = conv_backward_naive(d, conv)
        for name in ("W1", "W2", "W3"):
            grads[name] += self.reg * p[name]
        return loss, grads
