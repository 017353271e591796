"""A right homework in the interface of "Deep Learning from Scratch": its classes of layers."""

import numpy as np


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = x <= 0
        return np.where(self.mask, 0, x)

    def backward(self, dout):
        return np.where(self.mask, 0, dout)


class Sigmoid:
    def __init__(self):
        self.out = None

    def forward(self, x):
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout):
        return dout * self.out * (1.0 - self.out)


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b
        self.x = self.shape = self.dW = self.db = None

    def forward(self, x):
        self.shape = x.shape
        self.x = x.reshape(len(x), -1)
        return self.x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return (dout @ self.W.T).reshape(self.shape)


class SoftmaxWithLoss:
    def __init__(self):
        self.y = self.t = self.loss = None

    def forward(self, x, t):
        labels = t.argmax(axis=1) if t.size == x.size else t
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.t, self.y = labels, e / e.sum(axis=1, keepdims=True)
        self.loss = -np.log(self.y[np.arange(len(x)), labels] + 1e-7).sum() / len(x)
        return self.loss

    def backward(self, dout=1):
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t] -= 1
        return dx / len(dx)


class Dropout:
    def __init__(self, dropout_ratio=0.5):
        self.dropout_ratio, self.mask = dropout_ratio, None

    def forward(self, x, train_flg=True):
        if train_flg:
            self.mask = np.random.rand(*x.shape) > self.dropout_ratio
            return x * self.mask
        return x * (1.0 - self.dropout_ratio)

    def backward(self, dout):
        return dout * self.mask


class BatchNormalization:
    def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
        self.gamma, self.beta, self.momentum = gamma, beta, momentum
        self.running_mean, self.running_var = running_mean, running_var
        self.dgamma = self.dbeta = None

    def forward(self, x, train_flg=True):
        if self.running_mean is None:
            self.running_mean, self.running_var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
        if not train_flg:
            normal = (x - self.running_mean) / np.sqrt(self.running_var + 10e-7)
            return self.gamma * normal + self.beta
        keep = self.momentum
        self.running_mean = keep * self.running_mean + (1 - keep) * x.mean(axis=0)
        self.running_var = keep * self.running_var + (1 - keep) * x.var(axis=0)
        self.std = np.sqrt(x.var(axis=0) + 10e-7)
        self.xn = (x - x.mean(axis=0)) / self.std
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        self.dbeta, self.dgamma = dout.sum(axis=0), (self.xn * dout).sum(axis=0)
        d = self.gamma * dout
        return (d - d.mean(axis=0) - self.xn * (d * self.xn).mean(axis=0)) / self.std


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W, self.b, self.stride, self.pad = W, b, stride, pad
        self.dW = self.db = None

    def places(self, x):
        height, width, stride = *self.W.shape[2:], self.stride
        for i in range(1 + (x.shape[2] - height) // stride):
            for j in range(1 + (x.shape[3] - width) // stride):
                rows = slice(i * stride, i * stride + height)
                columns = slice(j * stride, j * stride + width)
                yield i, j, (..., rows, columns)

    def forward(self, x):
        pad = (self.pad, self.pad)
        self.x = np.pad(x, ((0, 0), (0, 0), pad, pad))
        found = {(i, j): self.x[at] for i, j, at in self.places(self.x)}
        shape = tuple(n + 1 for n in max(found))
        out = np.zeros((len(x), len(self.W), *shape))
        for (i, j), window in found.items():
            out[:, :, i, j] = np.tensordot(window, self.W, ([1, 2, 3], [1, 2, 3])) + self.b
        return out

    def backward(self, dout):
        dx, self.dW = np.zeros_like(self.x), np.zeros_like(self.W)
        self.db = dout.sum(axis=(0, 2, 3))
        for i, j, at in self.places(self.x):
            dx[at] += np.tensordot(dout[:, :, i, j], self.W, (1, 0))
            self.dW += np.tensordot(dout[:, :, i, j], self.x[at], (0, 0))
        inside = slice(self.pad, -self.pad or None)
        return dx[:, :, inside, inside]


class Pooling:
    def __init__(self, pool_h, pool_w, stride=2, pad=0):
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad

    def places(self):
        for i in range(1 + (self.x.shape[2] - self.pool_h) // self.stride):
            for j in range(1 + (self.x.shape[3] - self.pool_w) // self.stride):
                rows = slice(i * self.stride, i * self.stride + self.pool_h)
                columns = slice(j * self.stride, j * self.stride + self.pool_w)
                yield i, j, (..., rows, columns)

    def forward(self, x):
        self.x = x
        found = {(i, j): x[at].max(axis=(2, 3)) for i, j, at in self.places()}
        self.out = np.zeros((*x.shape[:2], *(n + 1 for n in max(found))))
        for (i, j), values in found.items():
            self.out[:, :, i, j] = values
        return self.out

    def backward(self, dout):
        dx = np.zeros_like(self.x)
        for i, j, at in self.places():
            largest = self.x[at] == self.out[:, :, i, j, None, None]
            dx[at] += largest * dout[:, :, i, j, None, None]
        return dx
