"""Two encoders that should be the same, for docs/traces.md: the second was ported with mistakes."""

import math

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, scaled):
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.divisor = math.sqrt(width) if scaled else 1.0

    def forward(self, x):
        scores = self.query(x) @ self.key(x).transpose(1, 2) / self.divisor
        return self.out(scores.softmax(-1) @ self.value(x))


class Layer(nn.Module):
    def __init__(self, width, scaled=True, eps=1e-5):
        super().__init__()
        self.attention, self.norm = Attention(width, scaled), nn.LayerNorm(width, eps=eps)
        self.first, self.act, self.second = nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width)

    def forward(self, x):
        x = self.norm(x + self.attention(x))
        return x + self.second(self.act(self.first(x)))


def step(**settings):
    torch.manual_seed(0)
    model = nn.Sequential(Layer(16), Layer(16, **settings), nn.Linear(16, 3))
    x, y = torch.randn(4, 6, 16), torch.randn(4, 6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, x, lambda output: (output - y).square().mean(), optimizer


def right():
    return step()


def other_epsilon():
    return step(eps=1e-6)


def without_scale():
    return step(scaled=False)


def in_float64():
    model, x, loss, _ = step()
    model.double()
    return model, x.double(), loss, torch.optim.SGD(model.parameters(), lr=0.1)
