"""A homework with a mistake that many make: can you find it before `nncompare check` does?"""

import numpy as np

ARCHITECTURE = "softmax_mlp"
LOSS = "cross_entropy"
PARAMETERS = {
    "W1": "0.weight.T", "b1": "0.bias",
    "W2": "2.weight.T", "b2": "2.bias",
    "W3": "4.weight.T", "b3": "4.bias",
}  # fmt: skip


def layers(params, x):
    h1 = np.maximum(x @ params["W1"] + params["b1"], 0)
    h2 = np.maximum(h1 @ params["W2"] + params["b2"], 0)
    return h1, h2, h2 @ params["W3"] + params["b3"]


def forward(params, x):
    return layers(params, x)[-1]


def log_softmax(z):
    z = z - z.max()
    return z - np.log(np.exp(z).sum())


def loss(params, x, y):
    return -log_softmax(forward(params, x))[np.arange(len(y)), y].mean()


def gradients(params, x, y):
    h1, h2, z = layers(params, x)
    dz = np.exp(log_softmax(z))
    dz[np.arange(len(y)), y] -= 1
    dz /= len(y)
    dh2 = (dz @ params["W3"].T) * (h2 > 0)
    dh1 = (dh2 @ params["W2"].T) * (h1 > 0)
    return {
        "W3": h2.T @ dz, "b3": dz.sum(axis=0),
        "W2": h1.T @ dh2, "b2": dh2.sum(axis=0),
        "W1": x.T @ dh1, "b1": dh1.sum(axis=0),
    }  # fmt: skip
