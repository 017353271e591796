"""A right homework: batch normalisation and leaky ReLU, square weights among them."""

import numpy as np

SLOPE, EPS = 0.01, 1e-5


def architecture(nn):
    return nn.Sequential(
        nn.Linear(20, 12), nn.BatchNorm1d(12), nn.LeakyReLU(0.01),
        nn.Linear(12, 12), nn.BatchNorm1d(12), nn.LeakyReLU(0.01),
        nn.Linear(12, 5),
    )  # fmt: skip


def normalise(x):
    mu = x.mean(axis=0)
    var = ((x - mu) ** 2).mean(axis=0)
    s = 1 / np.sqrt(var + EPS)
    return (x - mu) * s, s


def run(params, x):
    a, saved = x, []
    for i in (0, 3):
        x_in = a
        z = x_in @ params[f"{i}.weight"].T + params[f"{i}.bias"]
        z_hat, s = normalise(z)
        y = z_hat * params[f"{i + 1}.weight"] + params[f"{i + 1}.bias"]
        a = np.where(y > 0, y, SLOPE * y)
        saved.append((i, x_in, z_hat, s, y))
    return a @ params["6.weight"].T + params["6.bias"], a, saved


def forward(params, x):
    return run(params, x)[0]


def loss_and_gradients(params, x, y):
    z, a, saved = run(params, x)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    n = len(y)
    value = -np.log(p[np.arange(n), y]).mean()
    d = p.copy()
    d[np.arange(n), y] -= 1
    d /= n
    grads = {"6.weight": d.T @ a, "6.bias": d.sum(axis=0)}
    d = d @ params["6.weight"]
    for i, x_in, z_hat, s, out in reversed(saved):
        d = np.where(out > 0, d, SLOPE * d)
        grads[f"{i + 1}.weight"] = (d * z_hat).sum(axis=0)
        grads[f"{i + 1}.bias"] = d.sum(axis=0)
        g = params[f"{i + 1}.weight"]
        d = g * s * (d - d.mean(axis=0) - z_hat * (d * z_hat).mean(axis=0))
        grads[f"{i}.weight"] = d.T @ x_in
        grads[f"{i}.bias"] = d.sum(axis=0)
        d = d @ params[f"{i}.weight"]
    return value, grads
