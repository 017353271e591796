"""A right homework of layer classes, with running statistics."""

import numpy as np


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class BatchNormalization:
    def __init__(self, gamma, beta, running_mean, running_var, momentum=0.9):
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.running_mean, self.running_var = running_mean, running_var

    def forward(self, x, training=True):
        if training:
            mu, var = x.mean(axis=0), x.var(axis=0)
            n = len(x)
            keep = self.momentum
            self.running_mean = keep * self.running_mean + (1 - keep) * mu
            self.running_var = keep * self.running_var + (1 - keep) * var * n / (n - 1)
        else:
            mu, var = self.running_mean, self.running_var
        self.std = np.sqrt(var + 1e-5)
        self.xn = (x - mu) / self.std
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        self.dbeta = dout.sum(axis=0)
        self.dgamma = (self.xn * dout).sum(axis=0)
        n = len(dout)
        return self.gamma / self.std * (dout - self.dbeta / n - self.xn * self.dgamma / n)


class Relu:
    def forward(self, x):
        self.mask = x <= 0
        return np.where(self.mask, 0, x)

    def backward(self, dout):
        return np.where(self.mask, 0, dout)


class SoftmaxWithLoss:
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dout * dx / len(self.t)


# What follows could also stand in a file of its own, for --mapping.
PARAMETERS = {
    "W1": "0.weight.T", "b1": "0.bias", "gamma": "1.weight", "beta": "1.bias",
    "mean": "1.running_mean", "var": "1.running_var", "W2": "3.weight.T", "b2": "3.bias",
}  # fmt: skip


def architecture(nn):
    return nn.Sequential(nn.Linear(20, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 6))


def network(p):
    normalise = BatchNormalization(p["gamma"], p["beta"], p["mean"], p["var"])
    hidden = [Affine(p["W1"], p["b1"]), normalise, Relu()]
    return [*hidden, Affine(p["W2"], p["b2"])], SoftmaxWithLoss()
