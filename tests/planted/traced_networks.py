"""Small networks into which mistakes are planted."""

from __future__ import annotations

import math

import torch
from torch import nn


class Softmax(nn.Module):
    def forward(self, x):
        return x.softmax(-1)


class Mask(nn.Module):
    """Nobody looks ahead."""

    def forward(self, x, fill):
        ahead = torch.ones(x.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
        return x.masked_fill(ahead, fill)


class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class Attention(nn.Module):
    """With softmax, mask and scale as functions in it, or as modules."""

    def __init__(self, width, heads, modules=False, scaled=True, mask="before"):
        super().__init__()
        self.heads, self._mask_where = heads, mask
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))
        factor = 1 / math.sqrt(width // heads) if scaled else 1.0
        self.in_modules = modules
        self._factor = factor
        if modules:
            self.scale, self.mask, self.softmax = Scale(factor), Mask(), Softmax()

    def forward(self, x):
        b, t, w = x.shape

        def split(y):
            return y.view(b, t, self.heads, -1).transpose(1, 2)

        q, k, v = split(self.q(x)), split(self.k(x)), split(self.v(x))
        scores = q @ k.transpose(-1, -2)
        if self.in_modules:
            scores = self.scale(scores)
            if self._mask_where == "before":
                weights = self.softmax(self.mask(scores, -torch.inf))
            else:
                weights = self.mask(self.softmax(scores), 0.0)
        else:
            scores = scores * self._factor
            ahead = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
            if self._mask_where == "before":
                weights = scores.masked_fill(ahead, -torch.inf).softmax(-1)
            else:
                weights = scores.softmax(-1).masked_fill(ahead, 0.0)
        return self.out((weights @ v).transpose(1, 2).reshape(b, t, w))


class Layer(nn.Module):
    def __init__(self, width=8, heads=2, dropout=0.0, eps=1e-5, **attention):
        super().__init__()
        self.attn = Attention(width, heads, **attention)
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.act, self.drop = nn.GELU(), nn.Dropout(dropout)

    def forward(self, x):
        x = self.norm1(x + self.attn(x))
        return self.norm2(x + self.drop(self.fc2(self.act(self.fc1(x)))))


class Encoder(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(8, 5)

    def forward(self, tokens):
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean(1))


def encoder(layers=2, seed=0, **last):
    """Two layers; the settings are those of the last."""
    torch.manual_seed(seed)
    common = {key: last[key] for key in ("modules", "dropout") if key in last}
    made = [Layer(**common) for _ in range(layers - 1)]
    return Encoder(*made, Layer(**last))


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(x + self.bn2(self.conv2(y)))


def resnet(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), Block(4), nn.MaxPool2d(2), Block(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.gru = nn.GRU(6, 6, batch_first=True)
        self.head = nn.Linear(6, 5)

    def forward(self, tokens):
        out, _ = self.gru(self.embed(tokens))
        return self.head(out[:, -1])


def gru(seed=0):
    torch.manual_seed(seed)
    return Recurrent()


def tokens():
    return torch.randint(0, 11, (3, 6), generator=torch.Generator().manual_seed(1))


def images():
    return torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))


TARGETS = torch.tensor([0, 3, 4])
