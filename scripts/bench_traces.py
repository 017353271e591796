"""What recording and comparing steps cost, beside the plain step and beside holding both models.

    python scripts/bench_traces.py                 # some minutes
    python scripts/bench_traces.py --repeats 3 --networks encoder

Each way runs in a process of its own, all of them in turn, several times; printed are medians with
the smallest and the largest, as multiples of the plain step of the same turn.

    plain     a training step of SGD
    record    the same step, recorded to disk
    both      two models in one process, every module's output and its gradient kept for both and
              compared: the idea of tools that need the two at once
    diff      comparing two traces of the same numbers
    diff*     comparing two traces that differ by rounding in every module (other sums)
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("plain", "record", "both", "diff", "diff*")


def encoder() -> tuple[Any, Any]:
    """12 layers of width 768, and 8 sequences of 256 tokens."""
    import torch
    from torch import nn

    layer = nn.TransformerEncoderLayer(768, 12, 3072, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 12, enable_nested_tensor=False), torch.randn(8, 256, 768)


def resnet() -> tuple[Any, Any]:
    """Bottleneck blocks as in ResNet-50, 3, 4, 6 and 3 of them, and 8 images of 160 × 160."""
    import torch
    from torch import nn

    class Bottleneck(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            outputs = 4 * width
            self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)
            self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
            self.bn3, self.relu = nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
            self.shortcut: nn.Module = nn.Identity()
            if stride > 1 or inputs != outputs:
                short = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                self.shortcut = nn.Sequential(short, nn.BatchNorm2d(outputs))

        def forward(self, x: Any) -> Any:
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.relu(self.bn2(self.conv2(y)))
            return self.relu(self.bn3(self.conv3(y)) + self.shortcut(x))

    blocks: list[nn.Module] = []
    inputs = 64
    for count, width in zip((3, 4, 6, 3), (64, 128, 256, 512), strict=True):
        for i in range(count):
            blocks.append(Bottleneck(inputs, width, 2 if i == 0 and width > 64 else 1))
            inputs = 4 * width
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 1000)]
    model = nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks, *end)
    return model, torch.randn(8, 3, 160, 160)


NETWORKS = {"encoder": encoder, "resnet": resnet}


def measure(way: str, network: str, folder: Path, threads: int) -> dict[str, float]:
    """Seconds of one way, and the process's largest memory."""
    import torch

    import nncompare

    torch.set_num_threads(threads)
    if way.startswith("diff"):
        other = "b" if way == "diff" else "c"
        began = time.perf_counter()
        record = nncompare.diff(folder / "a.trace", folder / f"{other}.trace")
        seconds = time.perf_counter() - began
        if record.status:
            raise SystemExit(record.text())
        return {"s": seconds, "bytes": _peak()}
    torch.manual_seed(0)
    model, x = NETWORKS[network]()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    # Once beforehand: memory is asked for, threads are started; then as it was at the beginning.
    begun = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step()
    model.load_state_dict(begun)
    if way == "both":
        return {"s": _both(model, network, x), "bytes": _peak()}
    began = time.perf_counter()
    if way == "plain":
        step()
    else:
        with nncompare.record(folder, model, optimizer=optimizer, force=True):
            step()
    return {"s": time.perf_counter() - began, "bytes": _peak()}


def _both(model: Any, network: str, x: Any) -> float:
    """A step of two models in one process, whose outputs and gradients are kept and compared."""
    import torch

    torch.manual_seed(0)
    twin, _ = NETWORKS[network]()
    twin.load_state_dict(model.state_dict())
    kept: tuple[list[Any], list[Any]] = ([], [])

    def keep(place: list[Any]) -> Any:
        def hook(_: Any, __: Any, output: Any) -> None:
            found = output[0] if isinstance(output, tuple) else output
            place.append(found.detach().clone())
            if found.requires_grad:
                found.register_hook(lambda gradient: place.append(gradient.detach().clone()))

        return hook

    for one, place in ((model, kept[0]), (twin, kept[1])):
        for module in one.modules():
            if not any(module.children()):
                module.register_forward_hook(keep(place))
    began = time.perf_counter()
    for one in (model, twin):
        one.zero_grad()
        one(x).square().mean().backward()
        torch.optim.SGD(one.parameters(), 0.01).step()
    assert all(torch.allclose(a, b) for a, b in zip(*kept, strict=True))
    return time.perf_counter() - began


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _in_a_process(way: str, network: str, folder: Path, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--networks", network]
    command += ["--folder", str(folder), "--threads", str(threads)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(out.splitlines()[-1])
    return found


def main() -> int:
    """Print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        network = options.networks[0]
        print(json.dumps(measure(options.way, network, options.folder, options.threads)))
        return 0
    for network in options.networks:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # The third is made with another number of threads: its sums are in other orders.
            for trace, threads in (("a", options.threads), ("b", options.threads), ("c", 1)):
                _in_a_process("record", network, folder / f"{trace}.trace", threads)
            rows: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
            for _ in range(options.repeats):
                turn = {}
                for way in WAYS:
                    place = folder / "new.trace" if way == "record" else folder
                    turn[way] = _in_a_process(way, network, place, options.threads)
                for way, found in turn.items():
                    plain = turn["plain"]
                    times, memory = found["s"] / plain["s"], found["bytes"] / plain["bytes"]
                    rows[way].append((found["s"], times, memory))
            size = sum(file.stat().st_size for file in (folder / "a.trace").iterdir())
        print(f"\n{network}: a trace of {size / 2**20:.0f} MiB, {options.repeats} turns")
        print("way      seconds   times the plain step      memory")
        for way, found_ in rows.items():
            seconds, times, memory = zip(*found_, strict=True)
            spread = f"{statistics.median(times):.2f} ({min(times):.2f} to {max(times):.2f})"
            print(
                f"{way:7}  {statistics.median(seconds):7.2f}   {spread:24}"
                f"  {statistics.median(memory):.2f}"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
