"""Mistakes planted in right homeworks: the line that is changed, and what it becomes.

Code → (homework, [(old, new), …], quantity and name of the first divergence).
"""

from __future__ import annotations

# The codes, as docs/mistakes.md explains them.
MEANING = {
    "softmax-without-axis": "softmax takes its maximum or sum over the whole batch",
    "log-offset-mismatch": "a constant is added to p before the logarithm in one direction only",
    "sum-not-mean": "a gradient or loss is not divided by the batch size",
    "divided-twice": "it is divided by the batch size twice",
    "divided-by-classes": "the mean is taken over N·C elements",
    "half-mismatch": "squared error with ½ in one direction only",
    "loss-convention": "squared error with ½, or summed over outputs, in both directions alike",
    "double-softmax": "softmax is applied before a cross-entropy that applies it again",
    "softmax-derivative-twice": "p − t is multiplied by the derivative of the softmax once more",
    "sign-flip": "a gradient or an update has the wrong sign",
    "softmax-overflow": "the largest logit is not subtracted before exp, which then overflows",
    "transposed": "a square weight is used, or its gradient returned, transposed",
    "missing-bias": "the bias of a Linear layer or a convolution is not added",
    "missing-bias-gradient": "the bias gradient is zero or summed over the wrong axis",
    "biased-variance": "the running variance keeps the biased estimate, (N−1)/N of the right one",
    "momentum-reversed": "running statistics give the new value the weight of the old one",
    "eps-outside-sqrt": "ε stands outside the root of BatchNorm, or is another ε",
    "batchnorm-missing-terms": "BatchNorm's backward pass treats mean or variance as constants",
    "wrong-slope": "LeakyReLU's slope differs between directions or from the specification",
    "relu-derivative": "ReLU's derivative is taken from something else than the sign of its input",
    "no-bias-correction": "Adam without m̂ or v̂",
    "adam-eps-placement": "Adam's ε inside the root or before the correction, or another ε",
    "adam-step-count": "Adam's t begins elsewhere, stands still, or counts parameters",
    "moments-reset": "Adam's moments begin at 0 in every update",
    "optimizer-eps-placement": "ε inside the root of RMSprop or AdaGrad, or another ε",
    "momentum-dampened": "the momentum of SGD takes (1 − μ) of each gradient",
    "nesterov-mismatch": "plain momentum where Nesterov's is specified, or the other way round",
    "l2-missing-in-gradient": "an L2 penalty in the loss but not, or not equally, in the gradient",
    "l2-penalty": "an L2 penalty that nobody asked for, in loss and gradient alike",
    "decay-coupling": "decoupled weight decay for coupled or the reverse, or biases left out",
    "unscaled-dropout": "dropout masks without 1/(1−p)",
    "pool-overwrite": "= for += where pooling windows overlap",
    "pool-ties": "equal largest values share or duplicate the gradient, or the last gets it",
    "flipped-kernel": "a true convolution for a cross-correlation",
    "flatten-order": "channels last where channels first is specified",
}

SUM = "d = d / len(y)"
NAMED: dict[str, tuple[str, list[tuple[str, str]], tuple[str, str]]] = {
    "softmax-without-axis": (
        "softmax",
        [("z.max(axis=1, keepdims=True)", "z.max()"), ("e.sum(axis=1, keepdims=True)", "e.sum()")],
        ("loss", "loss"),
    ),
    "log-offset-mismatch": (
        "softmax",
        [("np.log(p[np.arange(len(y)), y])", "np.log(p[np.arange(len(y)), y] + 1e-7)")],
        ("loss", "loss"),
    ),
    "sum-not-mean": ("softmax", [(SUM, "d = d")], ("gradient", "4.weight")),
    "divided-twice": ("softmax", [(SUM, "d = d / len(y) / len(y)")], ("gradient", "4.weight")),
    "divided-by-classes": ("softmax", [(SUM, "d = d / d.size")], ("gradient", "4.weight")),
    "half-mismatch": (
        "squared",
        [("d = 2 * (forward", "d = (forward")],
        ("gradient", "2.weight"),
    ),
    "loss-convention": (
        "squared",
        [("d = 2 * (forward", "d = (forward"), ("return np.mean(", "return 0.5 * np.mean(")],
        ("loss", "loss"),
    ),
    "double-softmax": (
        "softmax",
        [
            ("p = softmax(forward(params, x))", "p = softmax(softmax(forward(params, x)))"),
            ('d = softmax(a2 @ params["W3"] + params["b3"])',
             'd = softmax(softmax(a2 @ params["W3"] + params["b3"]))'),
        ],
        ("loss", "loss"),
    ),
    "softmax-overflow": (
        "softmax",
        [("np.exp(z - z.max(axis=1, keepdims=True))", "np.exp(z)")],
        ("loss", "loss"),
    ),
    "softmax-derivative-twice": (
        "softmax",
        [(SUM, f'{SUM}\n    q = softmax(a2 @ params["W3"] + params["b3"])\n'
               "    d = q * (d - (d * q).sum(axis=1, keepdims=True))")],
        ("gradient", "4.weight"),
    ),
    "missing-bias": (
        "softmax",
        [('a2 @ params["W3"] + params["b3"]', 'a2 @ params["W3"]'),
         ('[-1] @ params["W3"] + params["b3"]', '[-1] @ params["W3"]')],
        ("logits", "logits"),
    ),
    "relu-derivative": (
        "softmax",
        [('(d @ params["W2"].T) * (z1 > 0)', '(d @ params["W2"].T)')],
        ("gradient", "0.weight"),
    ),
    "moments-reset": (
        "softmax",
        [('BETA1 * state.get("m" + name, 0) + ', ""), ('BETA2 * state.get("v" + name, 0) + ', "")],
        ("update", "0.weight"),
    ),
    "optimizer-eps-placement": (
        "softmax",
        [("m_hat = m / (1 - BETA1**t)", "m_hat = g"), ("v_hat = v / (1 - BETA2**t)", "v_hat = v"),
         ("(np.sqrt(v_hat) + EPS)", "np.sqrt(v_hat + EPS)")],
        ("update", "0.weight"),
    ),
    "sign-flip": ("softmax", [('"W3": a2.T @ d', '"W3": -a2.T @ d')], ("gradient", "4.weight")),
    "transposed": (
        "norm",
        [('grads[f"{i}.weight"] = d.T @ x_in', 'grads[f"{i}.weight"] = (d.T @ x_in).T if i else d.T @ x_in')],
        ("gradient", "3.weight"),
    ),
    "missing-bias-gradient": (
        "softmax",
        [('a1.T @ d, d.sum(axis=0)', 'a1.T @ d, 0 * params["b2"]')],
        ("gradient", "2.bias"),
    ),
    "eps-outside-sqrt": (
        "norm",
        [("s = 1 / np.sqrt(var + EPS)", "s = 1 / (np.sqrt(var) + EPS)")],
        ("logits", "logits"),
    ),
    "batchnorm-missing-terms": (
        "norm",
        [("d = g * s * (d - d.mean(axis=0) - z_hat * (d * z_hat).mean(axis=0))", "d = g * s * d")],
        ("gradient", "3.weight"),
    ),
    "wrong-slope": (
        "norm",
        [("d = np.where(out > 0, d, SLOPE * d)", "d = np.where(out > 0, d, 0.2 * d)")],
        ("gradient", "4.weight"),
    ),
    "no-bias-correction": (
        "softmax",
        [("m_hat = m / (1 - BETA1**t)", "m_hat = m"), ("v_hat = v / (1 - BETA2**t)", "v_hat = v")],
        ("update", "0.weight"),
    ),
    "adam-eps-placement": (
        "softmax",
        [("(np.sqrt(v_hat) + EPS)", "np.sqrt(v_hat + EPS)")],
        ("update", "0.weight"),
    ),
    "adam-step-count": (
        "softmax",
        [('t = state["t"] = state.get("t", 0) + 1', "t = 1")],
        ("update", "0.weight"),
    ),
    "l2-missing-in-gradient": (
        "softmax",
        [
            ("return -np.mean(np.log(p[np.arange(len(y)), y]))",
             'return -np.mean(np.log(p[np.arange(len(y)), y])) + 0.005 * sum('
             'np.sum(params[k] ** 2) for k in ("W1", "W2", "W3"))')
        ],
        ("loss", "loss"),
    ),
    "momentum-dampened": (
        "softmax",
        [("p - LR * m_hat / (np.sqrt(v_hat) + EPS)", "p - LR * m")],
        ("update", "0.weight"),
    ),
    "nesterov-mismatch": (
        "softmax",
        [("p - LR * m_hat / (np.sqrt(v_hat) + EPS)", "p - LR * m"), ("(1 - BETA1) * g\n", "g\n")],
        ("update", "0.weight"),
    ),
    "l2-penalty": (
        "softmax",
        [
            ("return -np.mean(np.log(p[np.arange(len(y)), y]))",
             'return -np.mean(np.log(p[np.arange(len(y)), y])) + 0.005 * sum('
             'np.sum(params[k] ** 2) for k in ("W1", "W2", "W3"))'),
            ("    return grads", '    return {k: g + 0.01 * params[k] * (k[0] == "W") for k, g in grads.items()}'),
        ],
        ("loss", "loss"),
    ),
    "decay-coupling": (
        "softmax",
        [("new[name] = p - LR", "new[name] = p * (1 - LR * 0.01) - LR")],
        ("update", "0.weight"),
    ),
    "pool-overwrite": (
        "images",
        [("j * STRIDE + l] += d[s, c, i, j]", "j * STRIDE + l] = d[s, c, i, j]")],
        ("gradient", "0.weight"),
    ),
    "biased-variance": ("layers", [(" * n / (n - 1)", "")], ("buffer", "1.running_var")),
    "momentum-reversed": ("layers", [("momentum=0.9", "momentum=0.1")], ("buffer", "1.running_mean")),
    "pool-ties": (
        "pooled",
        [("np.eye(4)[self.windows.argmax(axis=-1)]", "self.windows == self.windows.max(axis=-1, keepdims=True)")],
        ("gradient", "2.input"),
    ),
    "unscaled-dropout": (
        "dropout",
        [("x * self.mask / (1 - self.dropout_ratio)", "x * self.mask"),
         ("dout * self.mask / (1 - self.dropout_ratio)", "dout * self.mask")],
        ("activation", "2"),
    ),
    "flipped-kernel": (
        "images",
        [("w[:, :, k, l])", "w[:, :, 2 - k, 2 - l])")],
        ("logits", "logits"),
    ),
    "flatten-order": (
        "images",
        [("flat = pooled.reshape(len(x), -1)", "flat = pooled.transpose(0, 2, 3, 1).reshape(len(x), -1)")],
        ("logits", "logits"),
    ),
}  # fmt: skip

# Mistakes that are not in the list: they must be found and placed, and get no name.
UNNAMED: dict[str, tuple[str, list[tuple[str, str]], tuple[str, str]]] = {
    "scaled gradient": ("softmax", [(SUM, "d = 0.7 * d / len(y)")], ("gradient", "4.weight")),
    "hidden layer used twice": ("softmax", [("a2 = np.maximum(z2, 0)", "a2 = np.maximum(np.maximum(z2, 0) * 1.01, 0)")], ("logits", "logits")),
    "tanh for relu": ("softmax", [("a1 = np.maximum(z1, 0)", "a1 = np.tanh(z1)")], ("logits", "logits")),
    "mask of the wrong layer": ("softmax", [('(d @ params["W3"].T) * (z2 > 0)', '(d @ params["W3"].T) * (a2 > 0.5)')], ("gradient", "2.weight")),
    "bias added twice": ("softmax", [('+ params["b1"]', '+ 2 * params["b1"]')], ("logits", "logits")),
    "labels shifted": ("softmax", [("d[np.arange(len(y)), y] -= 1", "d[np.arange(len(y)), (y + 1) % 10] -= 1")], ("gradient", "4.weight")),
    "first half of the batch": ("softmax", [('"W3": a2.T @ d', '"W3": a2[: (len(y) + 1) // 2].T @ d[: (len(y) + 1) // 2]')], ("gradient", "4.weight")),
    "gradient clipped": ("softmax", [('"W3": a2.T @ d', '"W3": np.clip(a2.T @ d, -0.001, 0.001)')], ("gradient", "4.weight")),
    "median for mean": ("norm", [("mu = x.mean(axis=0)", "mu = np.median(x, axis=0)")], ("logits", "logits")),
    "gamma forgotten": ("norm", [("d = g * s * (d -", "d = s * (d -")], ("gradient", "3.weight")),
    "beta gradient from gamma": ("norm", [('grads[f"{i + 1}.bias"] = d.sum(axis=0)', 'grads[f"{i + 1}.bias"] = d.mean(axis=0) * 3')], ("gradient", "4.bias")),
    "beta1 and beta2 exchanged": ("softmax", [("LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8", "LR, BETA1, BETA2, EPS = 1e-3, 0.999, 0.9, 1e-8")], ("update", "0.weight")),
    "another learning rate": ("softmax", [("LR, BETA1, BETA2, EPS = 1e-3", "LR, BETA1, BETA2, EPS = 1.1e-3")], ("update", "0.weight")),
    "absolute error": ("squared", [("np.mean((forward(params, x) - y) ** 2)", "np.mean(np.abs(forward(params, x) - y))")], ("loss", "loss")),
    "pooling by mean": ("images", [("flat.max(axis=2)", "flat.mean(axis=2)")], ("logits", "logits")),
    "stride 1 in the backward": ("images", [("back[s, c, i * STRIDE + k, j * STRIDE + l]", "back[s, c, i + k, j + l]")], ("gradient", "0.weight")),
}  # fmt: skip
