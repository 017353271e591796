"""A right homework in the interface of "Deep Learning from Scratch", chapter 5: TwoLayerNet."""

import numpy as np
from layers import Affine, Relu, SoftmaxWithLoss


class TwoLayerNet:
    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        sizes = {"1": (input_size, hidden_size), "2": (hidden_size, output_size)}
        self.params, self.layers = {}, {}
        for number, (rows, columns) in sizes.items():
            w = self.params[f"W{number}"] = weight_init_std * np.random.randn(rows, columns)
            b = self.params[f"b{number}"] = np.zeros(columns)
            self.layers[f"Affine{number}"] = Affine(w, b)
            if number == "1":
                self.layers["Relu1"] = Relu()
        self.lastLayer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        return self.lastLayer.forward(self.predict(x), t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.lastLayer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        one, two = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": one.dW, "b1": one.db, "W2": two.dW, "b2": two.db}
