"""A right homework: a small regression with the mean squared error."""

import numpy as np

LOSS = "mse"


def architecture(nn):
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3))


def forward(params, x):
    return (
        np.maximum(x @ params["0.weight"].T + params["0.bias"], 0) @ params["2.weight"].T
        + params["2.bias"]
    )


def loss(params, x, y):
    return np.mean((forward(params, x) - y) ** 2)


def gradients(params, x, y):
    h = np.maximum(x @ params["0.weight"].T + params["0.bias"], 0)
    d = 2 * (forward(params, x) - y) / y.size
    grads = {"2.weight": d.T @ h, "2.bias": d.sum(axis=0)}
    d = (d @ params["2.weight"]) * (h > 0)
    grads["0.weight"], grads["0.bias"] = d.T @ x, d.sum(axis=0)
    return grads
