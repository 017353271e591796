"""A right homework: convolution, overlapping max-pooling, flatten, affine, in plain loops."""

import numpy as np

KERNEL, STRIDE = 3, 2


def architecture(nn):
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.LeakyReLU(0.1), nn.MaxPool2d(3, stride=2), nn.Flatten(),
        nn.Linear(3 * 12 * 12, 4),
    )  # fmt: skip


def conv(x, w, b):
    n, _, height, width = x.shape
    out = np.zeros((n, len(w), height - 2, width - 2))
    for k in range(3):
        for l in range(3):
            part = x[:, :, k : k + height - 2, l : l + width - 2]
            out += np.einsum("ncij,oc->noij", part, w[:, :, k, l])
    return out + b[:, None, None]


def pool(x):
    size = (x.shape[2] - KERNEL) // STRIDE + 1
    out = np.zeros((*x.shape[:2], size, size))
    where = np.zeros((*x.shape[:2], size, size), int)
    for i in range(size):
        for j in range(size):
            window = x[:, :, i * STRIDE : i * STRIDE + 3, j * STRIDE : j * STRIDE + 3]
            flat = window.reshape(*x.shape[:2], 9)
            out[:, :, i, j] = flat.max(axis=2)
            where[:, :, i, j] = flat.argmax(axis=2)
    return out, where


def run(params, x):
    z = conv(x, params["0.weight"], params["0.bias"])
    a = np.where(z > 0, z, 0.1 * z)
    pooled, where = pool(a)
    flat = pooled.reshape(len(x), -1)
    return flat @ params["4.weight"].T + params["4.bias"], flat, where, a, z


def forward(params, x):
    return run(params, x)[0]


def loss_and_gradients(params, x, y):
    logits, flat, where, a, z = run(params, x)
    n = len(y)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    value = -np.log(p[np.arange(n), y]).mean()
    d = (p - np.eye(p.shape[1])[y]) / n
    grads = {"4.weight": d.T @ flat, "4.bias": d.sum(axis=0)}
    d = (d @ params["4.weight"]).reshape(where.shape)
    back = np.zeros_like(a)
    for s in range(n):
        for c in range(a.shape[1]):
            for i in range(where.shape[2]):
                for j in range(where.shape[3]):
                    k, l = divmod(where[s, c, i, j], 3)
                    back[s, c, i * STRIDE + k, j * STRIDE + l] += d[s, c, i, j]
    d = np.where(z > 0, back, 0.1 * back)
    w = np.zeros_like(params["0.weight"])
    for k in range(3):
        for l in range(3):
            part = x[:, :, k : k + d.shape[2], l : l + d.shape[3]]
            w[:, :, k, l] = np.einsum("noij,ncij->oc", d, part)
    grads["0.weight"], grads["0.bias"] = w, d.sum(axis=(0, 2, 3))
    return value, grads
