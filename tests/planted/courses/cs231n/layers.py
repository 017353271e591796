"""A right homework in the interface of cs231n's layers.py: functions that return (out, cache)."""

import numpy as np


def affine_forward(x, w, b):
    return x.reshape(len(x), -1) @ w + b, (x, w)


def affine_backward(dout, cache):
    x, w = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(len(x), -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db


def relu_forward(x):
    return np.maximum(x, 0), x


def relu_backward(dout, cache):
    return dout * (cache > 0)


def softmax_loss(x, y):
    rows = np.arange(len(y))
    z = x - x.max(axis=1, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    loss = -log_p[rows, y].mean()
    dx = np.exp(log_p)
    dx[rows, y] -= 1
    return loss, dx / len(y)


def svm_loss(x, y):
    return 0.0, np.zeros_like(x)


def batchnorm_forward(x, gamma, beta, bn_param):
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
    var = bn_param.get("running_var", np.zeros(x.shape[1]))
    if bn_param["mode"] == "test":
        return gamma * (x - mean) / np.sqrt(var + eps) + beta, None
    deviation = np.sqrt(x.var(axis=0) + eps)
    normal = (x - x.mean(axis=0)) / deviation
    bn_param["running_mean"] = momentum * mean + (1 - momentum) * x.mean(axis=0)
    bn_param["running_var"] = momentum * var + (1 - momentum) * x.var(axis=0)
    return gamma * normal + beta, (normal, deviation, gamma)


def batchnorm_backward(dout, cache):
    normal, deviation, gamma = cache
    dgamma, dbeta = (dout * normal).sum(axis=0), dout.sum(axis=0)
    d = dout * gamma
    dx = (d - d.mean(axis=0) - normal * (d * normal).mean(axis=0)) / deviation
    return dx, dgamma, dbeta


def layernorm_forward(x, gamma, beta, ln_param):
    deviation = np.sqrt(x.var(axis=1, keepdims=True) + ln_param.get("eps", 1e-5))
    normal = (x - x.mean(axis=1, keepdims=True)) / deviation
    return gamma * normal + beta, (normal, deviation, gamma)


def layernorm_backward(dout, cache):
    normal, deviation, gamma = cache
    d = dout * gamma
    middle = d.mean(axis=1, keepdims=True) + normal * (d * normal).mean(axis=1, keepdims=True)
    return (d - middle) / deviation, (dout * normal).sum(axis=0), dout.sum(axis=0)


def dropout_forward(x, dropout_param):
    p, mask = dropout_param["p"], None
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    if dropout_param["mode"] == "train":
        mask = (np.random.rand(*x.shape) < p) / p
        return x * mask, (dropout_param, mask)
    return x, (dropout_param, mask)


def dropout_backward(dout, cache):
    dropout_param, mask = cache
    return dout * mask if dropout_param["mode"] == "train" else dout


def conv_forward_naive(x, w, b, conv_param):
    stride, pad = conv_param["stride"], conv_param["pad"]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    _, _, height, width = w.shape
    rows = 1 + (padded.shape[2] - height) // stride
    columns = 1 + (padded.shape[3] - width) // stride
    out = np.zeros((len(x), len(w), rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            window = padded[:, :, top : top + height, left : left + width]
            out[:, :, i, j] = np.tensordot(window, w, ([1, 2, 3], [1, 2, 3])) + b
    return out, (padded, w, conv_param)


def conv_backward_naive(dout, cache):
    padded, w, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    _, _, height, width = w.shape
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            here = (
                ...,
                slice(i * stride, i * stride + height),
                slice(j * stride, j * stride + width),
            )
            dpadded[here] += np.tensordot(dout[:, :, i, j], w, (1, 0))
            dw += np.tensordot(dout[:, :, i, j], padded[here], (0, 0))
    inside = slice(pad, -pad or None)
    return dpadded[:, :, inside, inside], dw, dout.sum(axis=(0, 2, 3))


def max_pool_forward_naive(x, pool_param):
    height, width = pool_param["pool_height"], pool_param["pool_width"]
    stride = pool_param["stride"]
    rows, columns = 1 + (x.shape[2] - height) // stride, 1 + (x.shape[3] - width) // stride
    out = np.zeros((*x.shape[:2], rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            out[:, :, i, j] = x[:, :, top : top + height, left : left + width].max(axis=(2, 3))
    return out, (x, out, pool_param)


def max_pool_backward_naive(dout, cache):
    x, out, pool_param = cache
    height, width = pool_param["pool_height"], pool_param["pool_width"]
    stride, dx = pool_param["stride"], np.zeros_like(x)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            here = (
                ...,
                slice(i * stride, i * stride + height),
                slice(j * stride, j * stride + width),
            )
            largest = x[here] == out[:, :, i, j][:, :, None, None]
            dx[here] += largest * dout[:, :, i, j][:, :, None, None]
    return dx


def spatial_batchnorm_forward(x, gamma, beta, bn_param):
    n, c, h, w = x.shape
    out, cache = batchnorm_forward(x.transpose(0, 2, 3, 1).reshape(-1, c), gamma, beta, bn_param)
    return out.reshape(n, h, w, c).transpose(0, 3, 1, 2), cache


def spatial_batchnorm_backward(dout, cache):
    n, c, h, w = dout.shape
    dx, dgamma, dbeta = batchnorm_backward(dout.transpose(0, 2, 3, 1).reshape(-1, c), cache)
    return dx.reshape(n, h, w, c).transpose(0, 3, 1, 2), dgamma, dbeta


def spatial_groupnorm_forward(x, gamma, beta, G, gn_param):
    grouped = x.reshape(len(x), G, -1)
    deviation = np.sqrt(grouped.var(axis=2, keepdims=True) + gn_param.get("eps", 1e-5))
    normal = (grouped - grouped.mean(axis=2, keepdims=True)) / deviation
    return gamma * normal.reshape(x.shape) + beta, (normal, deviation, gamma)


def spatial_groupnorm_backward(dout, cache):
    normal, deviation, gamma = cache
    dgamma = (dout * normal.reshape(dout.shape)).sum(axis=(0, 2, 3), keepdims=True)
    d = (dout * gamma).reshape(normal.shape)
    middle = d.mean(axis=2, keepdims=True) + normal * (d * normal).mean(axis=2, keepdims=True)
    return (
        ((d - middle) / deviation).reshape(dout.shape),
        dgamma,
        dout.sum(axis=(0, 2, 3), keepdims=True),
    )
