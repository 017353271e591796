"""A right homework: a softmax network like the 128-64-10 one, but smaller, with Adam."""

import numpy as np

PARAMETERS = {
    "W1": "0.weight.T",
    "b1": "0.bias",
    "W2": "2.weight.T",
    "b2": "2.bias",
    "W3": "4.weight.T",
    "b3": "4.bias",
}


def architecture(nn):
    hidden = [nn.Linear(60, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(12, 10))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def hidden(params, x):
    z1 = x @ params["W1"] + params["b1"]
    a1 = np.maximum(z1, 0)
    z2 = a1 @ params["W2"] + params["b2"]
    a2 = np.maximum(z2, 0)
    return z1, a1, z2, a2


def forward(params, x):
    return hidden(params, x)[-1] @ params["W3"] + params["b3"]


def loss(params, x, y):
    p = softmax(forward(params, x))
    return -np.mean(np.log(p[np.arange(len(y)), y]))


def gradients(params, x, y):
    z1, a1, z2, a2 = hidden(params, x)
    d = softmax(a2 @ params["W3"] + params["b3"])
    d[np.arange(len(y)), y] -= 1
    d = d / len(y)
    grads = {"W3": a2.T @ d, "b3": d.sum(axis=0)}
    d = (d @ params["W3"].T) * (z2 > 0)
    grads["W2"], grads["b2"] = a1.T @ d, d.sum(axis=0)
    d = (d @ params["W2"].T) * (z1 > 0)
    grads["W1"], grads["b1"] = x.T @ d, d.sum(axis=0)
    return grads


LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


def update(params, grads, state):
    t = state["t"] = state.get("t", 0) + 1
    new = {}
    for name, p in params.items():
        g = grads[name]
        m = state["m" + name] = BETA1 * state.get("m" + name, 0) + (1 - BETA1) * g
        v = state["v" + name] = BETA2 * state.get("v" + name, 0) + (1 - BETA2) * g * g
        m_hat = m / (1 - BETA1**t)
        v_hat = v / (1 - BETA2**t)
        new[name] = p - LR * m_hat / (np.sqrt(v_hat) + EPS)
    return new
