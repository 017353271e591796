"""cs231n's layers.py with nothing but affine_forward written, as it is on the first day."""


def affine_forward(x, w, b):
    out = None
    out = x.reshape(len(x), -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout, cache):
    x, w, b = cache
    dx, dw, db = None, None, None
    pass
    return dx, dw, db


def relu_forward(x):
    out = None
    pass
    cache = x
    return out, cache


def relu_backward(dout, cache):
    dx = None
    pass
    return dx


def softmax_loss(x, y):
    loss, dx = None, None
    pass
    return loss, dx
