"""Copies of the package's own layers, loss and optimizer, each with one mistake in it."""

from __future__ import annotations

import numpy as np

import numpy_nn


class NoBias(numpy_nn.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.bias.grad[...] = 0
        return dx


class Transposed(numpy_nn.Linear):
    def backward(self, dy):
        super().backward(dy)
        return dy @ self.weight.data.T


class Flipped(numpy_nn.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.weight.grad[...] *= -1
        return dx


class Decaying(numpy_nn.Linear):
    def backward(self, dy):
        dx = super().backward(dy)
        self.weight.grad[...] += 0.01 * self.weight.data
        return dx


class Steeper(numpy_nn.LeakyReLU):
    def forward(self, x):
        self.kept = x
        return np.where(x > 0, x, 0.2 * x).astype(x.dtype)

    def backward(self, dy):
        return np.where(self.kept > 0, dy, 0.2 * dy).astype(dy.dtype)


class Biased(numpy_nn.BatchNorm1d):
    def forward(self, x):
        old = self.running_var.copy()
        y = super().forward(x)
        self.running_var[...] = 0.9 * old + 0.1 * x.var(axis=0)
        return y


class Reversed(numpy_nn.BatchNorm1d):
    def forward(self, x):
        self.momentum = 0.9
        return super().forward(x)


class Outside(numpy_nn.BatchNorm1d):
    def forward(self, x):
        super().forward(x)
        x_hat = (x - x.mean(0)) / (x.std(0) + self.eps)
        return (x_hat * self.weight.data + self.bias.data).astype(x.dtype)


class Constants(numpy_nn.BatchNorm1d):
    def forward(self, x):
        self.scale = 1 / np.sqrt(x.var(0) + self.eps)
        return super().forward(x)

    def backward(self, dy):
        super().backward(dy)
        return (dy * self.weight.data * self.scale).astype(dy.dtype)


class Summed(numpy_nn.CrossEntropyLoss):
    def forward(self, x, t):
        self.count = len(x)
        return super().forward(x, t)

    def backward(self, grad_output=1.0):
        return super().backward(grad_output) * self.count


class Penalised(numpy_nn.CrossEntropyLoss):
    """``of_model`` are the parameters of the network."""

    def forward(self, x, t):
        squares = sum(np.sum(p.data**2) for p in self.of_model if p.data.ndim > 1)
        return x.dtype.type(super().forward(x, t) + 0.005 * squares)


class AllOver(numpy_nn.CrossEntropyLoss):
    def forward(self, x, t):
        e = np.exp(x - x.max())
        self.p, self.t = e / e.sum(), t
        return -np.mean(np.log(self.p[np.arange(len(x)), t]))

    def backward(self, grad_output=1.0):
        g = self.p.copy()
        g[np.arange(len(g)), self.t] -= 1
        return g / len(g) * np.asarray(grad_output, g.dtype)


class Uncorrected(numpy_nn.optim.Adam):
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p]
                g = p.grad + group["weight_decay"] * p.data
                s["step"] = s.get("step", 0) + 1
                s["exp_avg"] = 0.9 * s.get("exp_avg", 0) + 0.1 * g
                s["exp_avg_sq"] = 0.999 * s.get("exp_avg_sq", 0) + 0.001 * g * g
                p.data[...] -= group["lr"] * s["exp_avg"] / (np.sqrt(s["exp_avg_sq"]) + 1e-8)


class Decoupled(numpy_nn.optim.Adam):
    def step(self):
        for group in self.param_groups:
            decay = group["weight_decay"]
            for p in group["params"]:
                p.data[...] *= 1 - group["lr"] * decay
            group["weight_decay"] = 0.0
            super().step()
            group["weight_decay"] = decay


class LargerEpsilon(numpy_nn.optim.Adam):
    def step(self):
        for group in self.param_groups:
            group["eps"] = 1e-7
        super().step()


class SharedOffset(numpy_nn.CrossEntropyLoss):
    def forward(self, x, t):
        value = super().forward(x, t)
        e = np.exp(x - x.max(axis=1, keepdims=True))
        p = (e / e.sum(axis=1, keepdims=True))[np.arange(len(x)), t]
        return value - value.dtype.type(np.mean(np.log(p + 1e-7) - np.log(p)))


class TwiceDivided(numpy_nn.CrossEntropyLoss):
    def backward(self, grad_output=1.0):
        g = super().backward(grad_output)
        return g / g.dtype.type(len(g))


class DividedByClasses(numpy_nn.CrossEntropyLoss):
    def backward(self, grad_output=1.0):
        g = super().backward(grad_output)
        return g / g.dtype.type(g.shape[1])


class Doubled(numpy_nn.CrossEntropyLoss):
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return super().forward(e / e.sum(axis=1, keepdims=True), t)


class Halved(numpy_nn.MSELoss):
    def backward(self, grad_output=1.0):
        g = super().backward(grad_output)
        return g / g.dtype.type(2)


class HalvedBoth(Halved):
    def forward(self, input, target):
        value = super().forward(input, target)
        return value / value.dtype.type(2)


class ThroughTheSoftmaxAgain(numpy_nn.CrossEntropyLoss):
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.p = e / e.sum(axis=1, keepdims=True)
        return super().forward(x, t)

    def backward(self, grad_output=1.0):
        g = super().backward(grad_output)
        return self.p * (g - (g * self.p).sum(axis=1, keepdims=True))


class LettingThrough(numpy_nn.ReLU):
    def backward(self, dy):
        super().backward(dy)
        return dy.copy()


class Forgetful(numpy_nn.optim.Adam):
    def step(self):
        for state in self.state.values():
            state["exp_avg"][...] = 0
            state["exp_avg_sq"][...] = 0
        super().step()


class InsideTheRoot(numpy_nn.optim.Adam):
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr, eps = group["betas"], group["lr"], group["eps"]
            for p in group["params"]:
                s = self.state[p]
                g = p.grad + group["weight_decay"] * p.data
                t = s["step"] = s.get("step", 0) + 1
                m = s["exp_avg"] = beta1 * s.get("exp_avg", 0) + (1 - beta1) * g
                v = s["exp_avg_sq"] = beta2 * s.get("exp_avg_sq", 0) + (1 - beta2) * g * g
                root = np.sqrt(v / (1 - beta2**t) + eps)
                p.data[...] -= lr * m / (1 - beta1**t) / root


class AlwaysFirst(numpy_nn.optim.Adam):
    def step(self):
        for group in self.param_groups:
            (beta1, beta2), lr, eps = group["betas"], group["lr"], group["eps"]
            for p in group["params"]:
                s = self.state[p]
                g = p.grad + group["weight_decay"] * p.data
                s["step"] = s.get("step", 0) + 1
                m = s["exp_avg"] = beta1 * s.get("exp_avg", 0) + (1 - beta1) * g
                v = s["exp_avg_sq"] = beta2 * s.get("exp_avg_sq", 0) + (1 - beta2) * g * g
                p.data[...] -= lr * m / (1 - beta1) / (np.sqrt(v / (1 - beta2)) + eps)


class FlippedKernel(numpy_nn.Conv2d):
    def forward(self, x):
        self.weight.data = np.ascontiguousarray(self.weight.data[:, :, ::-1, ::-1])
        try:
            return super().forward(x)
        finally:
            self.weight.data = np.ascontiguousarray(self.weight.data[:, :, ::-1, ::-1])


class Overwriting(numpy_nn.MaxPool2d):
    def forward(self, x):
        self.x = x
        return super().forward(x)

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        for n, c, i, j in np.ndindex(dy.shape):
            window = self.x[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            k, m = divmod(int(window.argmax()), 3)
            dx[n, c, 2 * i + k, 2 * j + m] = dy[n, c, i, j]
        return dx


class SharingTies(numpy_nn.MaxPool2d):
    def forward(self, x):
        self.x = x
        return super().forward(x)

    def backward(self, dy):
        dx = np.zeros_like(self.x)
        for n, c, i, j in np.ndindex(dy.shape):
            here = np.s_[n, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            largest = self.x[here] == self.x[here].max()
            dx[here] += dy[n, c, i, j] * largest / largest.sum()
        return dx


class ChannelsLast(numpy_nn.Flatten):
    def forward(self, x):
        self.shape = x.shape
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(len(x), -1)

    def backward(self, dy):
        n, c, h, w = self.shape
        return np.ascontiguousarray(dy.reshape(n, h, w, c).transpose(0, 3, 1, 2))


class Unscaled(numpy_nn.Dropout):
    def forward(self, x):
        super().forward(x)
        return x * self.last_mask

    def backward(self, dy):
        return dy * self.last_mask


# Mistake → (place in the network, site of the first divergence, code). Places 0 to 6 are of
# ``bn_mlp`` with sizes (12, 6, 6, 5); ``image/…`` and ``dropout/…`` are of other small networks.
PLANTED: dict[type, tuple[str, str, str]] = {
    NoBias: ("3", "gradient/3.bias", "missing-bias-gradient"),
    Transposed: ("3", "backward/3/grad_input", "transposed"),
    Flipped: ("0", "gradient/0.weight", "sign-flip"),
    Decaying: ("3", "gradient/3.weight", "l2-missing-in-gradient"),
    Penalised: ("loss", "forward/loss/output", "l2-missing-in-gradient"),
    Steeper: ("5", "forward/5/output", "wrong-slope"),
    Biased: ("1", "buffer/1.running_var", "biased-variance"),
    Reversed: ("4", "buffer/4.running_mean", "momentum-reversed"),
    Outside: ("1", "forward/1/output", "eps-outside-sqrt"),
    Constants: ("4", "backward/4/grad_input", "batchnorm-missing-terms"),
    Summed: ("loss", "backward/loss/grad_input", "sum-not-mean"),
    AllOver: ("loss", "forward/loss/output", "softmax-without-axis"),
    SharedOffset: ("loss", "forward/loss/output", "log-offset-mismatch"),
    TwiceDivided: ("loss", "backward/loss/grad_input", "divided-twice"),
    DividedByClasses: ("loss", "backward/loss/grad_input", "divided-by-classes"),
    Doubled: ("loss", "forward/loss/output", "double-softmax"),
    Halved: ("squared/loss", "backward/loss/grad_input", "half-mismatch"),
    HalvedBoth: ("squared/loss", "forward/loss/output", "loss-convention"),
    ThroughTheSoftmaxAgain: (
        "loss",
        "backward/loss/grad_input",
        "softmax-derivative-twice",
    ),
    LettingThrough: ("relu/1", "backward/1/grad_input", "relu-derivative"),
    Forgetful: ("update", "optimizer/0.weight/exp_avg", "moments-reset"),
    Uncorrected: ("update", "update/0.weight", "no-bias-correction"),
    Decoupled: ("update", "optimizer/0.weight/exp_avg", "decay-coupling"),
    LargerEpsilon: ("update", "update/0.weight", "adam-eps-placement"),
    InsideTheRoot: ("update", "update/0.weight", "adam-eps-placement"),
    AlwaysFirst: ("update", "update/0.weight", "adam-step-count"),
    FlippedKernel: ("image/0", "forward/0/output", "flipped-kernel"),
    Overwriting: ("image/2", "backward/2/grad_input", "pool-overwrite"),
    SharingTies: ("image/2", "backward/2/grad_input", "pool-ties"),
    Unscaled: ("dropout/2", "forward/2/output", "unscaled-dropout"),
    ChannelsLast: ("image/3", "forward/3/output", "flatten-order"),
}
