"""A right homework in the interface of "Deep Learning from Scratch", chapter 4: TwoLayerNet."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        self.params = {
            "W1": weight_init_std * np.random.randn(input_size, hidden_size),
            "b1": np.zeros(hidden_size),
            "W2": weight_init_std * np.random.randn(hidden_size, output_size),
            "b2": np.zeros(output_size),
        }

    def predict(self, x):
        p = self.params
        return softmax(sigmoid(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"])

    def loss(self, x, t):
        return -(t * np.log(self.predict(x) + 1e-7)).sum() / len(x)

    def gradient(self, x, t):
        p = self.params
        z = sigmoid(x @ p["W1"] + p["b1"])
        dy = (self.predict(x) - t) / len(x)
        da = dy @ p["W2"].T * z * (1 - z)
        return {"W1": x.T @ da, "b1": da.sum(axis=0), "W2": z.T @ dy, "b2": dy.sum(axis=0)}
