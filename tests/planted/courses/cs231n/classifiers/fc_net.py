"""A right homework in the interface of cs231n's fc_net.py."""

import numpy as np

from ..layers import *


class TwoLayerNet:
    def __init__(
        self, input_dim=3 * 32 * 32, hidden_dim=100, num_classes=10, weight_scale=1e-3, reg=0.0
    ):
        self.params, self.reg = {}, reg
        self.params["W1"] = weight_scale * np.random.randn(input_dim, hidden_dim)
        self.params["b1"] = np.zeros(hidden_dim)
        self.params["W2"] = weight_scale * np.random.randn(hidden_dim, num_classes)
        self.params["b2"] = np.zeros(num_classes)

    def loss(self, X, y=None):
        p, grads = self.params, {}
        hidden, first = affine_forward(X, p["W1"], p["b1"])
        active, between = relu_forward(hidden)
        scores, last = affine_forward(active, p["W2"], p["b2"])
        if y is None:
            return scores
        loss, d = softmax_loss(scores, y)
        loss += 0.5 * self.reg * ((p["W1"] ** 2).sum() + (p["W2"] ** 2).sum())
        d, grads["W2"], grads["b2"] = affine_backward(d, last)
        d, grads["W1"], grads["b1"] = affine_backward(relu_backward(d, between), first)
        for name in ("W1", "W2"):
            grads[name] += self.reg * p[name]
        return loss, grads


class FullyConnectedNet:
    def __init__(
        self, hidden_dims, input_dim=3 * 32 * 32, num_classes=10, dropout_keep_ratio=1,
        normalization=None, reg=0.0, weight_scale=1e-2, dtype=np.float32, seed=None,
    ):  # fmt: skip
        self.num_layers, self.dtype, self.reg = 1 + len(hidden_dims), dtype, reg
        sizes = [input_dim, *hidden_dims, num_classes]
        self.params = {}
        for i in range(self.num_layers):
            w = weight_scale * np.random.randn(sizes[i], sizes[i + 1])
            self.params[f"W{i + 1}"] = w.astype(dtype)
            self.params[f"b{i + 1}"] = np.zeros(sizes[i + 1], dtype)

    def loss(self, X, y=None):
        out, caches = X.astype(self.dtype), []
        for i in range(1, self.num_layers + 1):
            out, cache = affine_forward(out, self.params[f"W{i}"], self.params[f"b{i}"])
            caches.append(cache)
            if i < self.num_layers:
                out, cache = relu_forward(out)
                caches.append(cache)
        if y is None:
            return out
        loss, d = softmax_loss(out, y)
        grads = {}
        for i in range(self.num_layers, 0, -1):
            if i < self.num_layers:
                d = relu_backward(d, caches.pop())
            d, grads[f"W{i}"], grads[f"b{i}"] = affine_backward(d, caches.pop())
            grads[f"W{i}"] += self.reg * self.params[f"W{i}"]
        return loss, grads
