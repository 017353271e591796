"""Compare right pairs of traces, and see how near to the bounds they come.

    python scripts/calibrate_traces.py                # 20 seeds, some minutes
    python scripts/calibrate_traces.py --seeds 2

A network is recorded for some steps in two ways that differ by rounding alone: another format, or
sums in another order. The networks have what modules of their own do not show: ReLU, pooling,
attention and gates as functions, and classes that can't be made again. Printed are, for every
kind of judgement, how far the two were apart in units of what compare/parity/tolerances.py allows
(1 is the bound), and how many pairs were called different.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import nncompare  # noqa: E402
from compare.trace import diff as diffs  # noqa: E402
from compare.trace import judging  # noqa: E402

WIDTH, ROWS, CLASSES = 24, 32, 5


class Functional(nn.Module):
    """A convolutional network whose activations, pools and residual sums are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.convolutions = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(4))
        self.head = nn.Linear(8 * 16, CLASSES)

    def forward(self, x: Any) -> Any:
        """(N, 1, 8, 8) → (N, classes)."""
        x = F.relu(self.first(x))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.relu(x + norm(convolution(x)))
        return self.head(F.max_pool2d(x, 2).flatten(1))


class Attention(nn.Module):
    """Causal attention with functions between its four Linear, and a gated unit."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.gate, self.down = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.norm, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Any) -> Any:
        """(N, T, width) → the same."""
        y = self.norm(x)
        q, k, v = (f(y).unflatten(-1, (3, -1)).transpose(1, 2) for f in self._three)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))

    @property
    def _three(self) -> tuple[nn.Module, ...]:
        return self.query, self.key, self.value


class Own(nn.Module):
    """A class that can't be made again: a normalisation with a root, and a power."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x: Any) -> Any:
        """Divided by its root mean square."""
        return self.scale * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class Language(nn.Module):
    """Tokens through attention and layers of an own class."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, WIDTH)
        self.layers = nn.Sequential(Attention(), Own(), Attention(), Own(), Attention())
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, tokens: Any) -> Any:
        """(N, T) → (N, classes)."""
        return self.head(self.layers(self.embed(tokens)).mean(1))


class Gated(nn.Module):
    """A recurrent network written as a loop over a cell's two Linear, and one of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, WIDTH)
        self.new, self.old = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, 2 * WIDTH)
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, tokens: Any) -> Any:
        """(N, T) → (N, classes)."""
        x, _ = self.gru(self.embed(tokens))
        state = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            gate, new = (self.new(x[:, t]) + self.old(state)).chunk(2, -1)
            state = state + torch.sigmoid(gate) * (torch.tanh(new) - state)
        return self.head(state)


def plain() -> nn.Module:
    """A network of modules alone."""
    hidden: list[nn.Module] = []
    for _ in range(6):
        hidden += [nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(inplace=True), Own()]
    return nn.Sequential(nn.Linear(64, WIDTH), *hidden, nn.Linear(WIDTH, CLASSES))


NETWORKS = {
    "mlp": (plain, (ROWS, 64)), "cnn": (Functional, (ROWS, 1, 8, 8)),
    "attention": (Language, None), "gates": (Gated, None),
}  # fmt: skip
WAYS = ("float64", "bfloat16", "float16", "autocast", "order")


def record(path: Path, model: nn.Module, x: Any, targets: Any, way: str, steps: int) -> Path:
    """Some steps of a copy of a model, made in one of the ways."""
    own = copy.deepcopy(model)
    if way in ("float64", "bfloat16", "float16"):
        own = own.to(getattr(torch, way))
        x = x.to(getattr(torch, way)) if x.is_floating_point() else x
    optimizer = torch.optim.SGD(own.parameters(), 0.01)

    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        """The same sums in the opposite order."""
        y = x.flip(-1) @ weight.flip(-1).t()
        return y if bias is None else y + bias

    changed = mock.patch.object(F, "linear", linear) if way == "order" else mock.MagicMock()
    criterion = nn.CrossEntropyLoss()
    with changed, nncompare.record(path, own, optimizer=optimizer, loss=criterion):
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast("cpu", enabled=way == "autocast"):
                loss = criterion(own(x), targets)
            loss.backward()
            optimizer.step()
    return path


def main() -> int:
    """Print the distribution of the shares; the exit status is 1 if a pair is called different."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    shares: dict[tuple[str, str], list[float]] = defaultdict(list)
    wrong = total = 0
    way = ""
    real = {name: getattr(diffs._Walk, name) for name in ("_between", "_between_gradients")}

    def forward(walk: Any, pair: Any, before: Any) -> None:
        for x, y in zip(diffs.given(pair.one.call), diffs.given(pair.two.call), strict=False):
            if walk.agree_so_far and not walk._handed_on(x, y):
                apart = diffs._apart(walk.a.tensor(x), walk.b.tensor(y))
                shares["between modules", way].append(apart / walk.allowed(pair))
        real["_between"](walk, pair, before)

    def backward(walk: Any, pair: Any, before: Any) -> None:
        share = pair.gradient_apart() / walk.allowed(pair, backward=True)
        shares["between gradients", way].append(share)
        real["_between_gradients"](walk, pair, before)

    unrepeated = judging.Pair._without_rerun

    def without(pair: Any, reason: str, inputs_agree: bool) -> Any:
        site = unrepeated(pair, reason, inputs_agree)
        allowed = max(
            judging.tolerances.TRACE_UNITS * pair.unit(),
            judging.tolerances.TRACE_GROWTH * pair.inputs_apart(),
        )
        shares["own classes", way].append(site.total / allowed)
        return site

    patches = [
        mock.patch.object(diffs._Walk, "_between", forward),
        mock.patch.object(diffs._Walk, "_between_gradients", backward),
        mock.patch.object(judging.Pair, "_without_rerun", without),
    ]
    with tempfile.TemporaryDirectory() as folder, patches[0], patches[1], patches[2]:
        for seed in range(options.seeds):
            for name, (make, shape) in NETWORKS.items():
                torch.manual_seed(seed)
                model = make()
                x = torch.randint(0, 11, (ROWS, 9)) if shape is None else torch.randn(shape)
                targets = torch.randint(0, CLASSES, (ROWS,))
                place = Path(folder) / f"{seed}-{name}"
                a = record(place / "a", model, x, targets, "", options.steps)
                for way in WAYS:
                    b = record(place / way, model, x, targets, way, options.steps)
                    for pair in ((a, b), (b, a)):
                        found = nncompare.diff(*pair)
                        total += 1
                        if found.status:
                            wrong += 1
                            print(f"{name}, seed {seed}, {way}:\n{found.text()}\n")
    print(f"{options.seeds} seeds, {total} pairs, {wrong} called different\n")
    print("judgement           way          count   median    99.9%  largest")
    for (kind, way), values in sorted(shares.items()):
        half, high, most = np.quantile(values, [0.5, 0.999, 1.0])
        print(f"{kind:18}  {way:9} {len(values):8,} {half:8.3f} {high:8.3f} {most:8.3f}")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
