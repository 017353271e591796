"""Every class on the list is made again from its settings, and then gives what it gave."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import nncompare
from compare.trace.settings import ALLOWED, kind_of, rebuild, settings_of

FLAT, IMAGE = (4, 6), (2, 4, 6, 6)
# Arguments, shapes of the inputs; other classes take no argument and a flat input.
CASES = {
    "Linear": ((6, 3, False), FLAT),
    "Bilinear": ((6, 6, 2), FLAT, FLAT),
    "Embedding": ((9, 3, 1), None),
    "Unflatten": ((1, (2, 3)), FLAT),
    "BatchNorm1d": ((6, 1e-3, 0.2), FLAT),
    "BatchNorm2d": ((4, 1e-5, None), IMAGE),
    "BatchNorm3d": ((4, 1e-5, 0.1, False), (2, 4, 2, 2, 2)),
    "LayerNorm": ((6,), FLAT),
    "GroupNorm": ((2, 4), IMAGE),
    "RMSNorm": ((6,), FLAT),
    "InstanceNorm1d": ((4, 1e-5, 0.1, True, True), (2, 4, 6)),
    "InstanceNorm2d": ((4,), IMAGE),
    "InstanceNorm3d": ((4,), (2, 4, 2, 2, 2)),
    "LocalResponseNorm": ((2,), IMAGE),
    "Hardtanh": ((-0.5, 0.5), FLAT),
    "LeakyReLU": ((0.3,), FLAT),
    "GELU": (("tanh",), FLAT),
    "Threshold": ((0.1, 20.0), FLAT),
    "Softmax": ((-1,), FLAT),
    "LogSoftmax": ((-1,), FLAT),
    "Softmin": ((-1,), FLAT),
    "Softmax2d": ((), IMAGE),
    "LPPool1d": ((2, 2), (2, 4, 6)),
    "LPPool2d": ((2, 2), IMAGE),
    "Upsample": ((None, 2), IMAGE),
    "PixelShuffle": ((2,), IMAGE),
    "PixelUnshuffle": ((2,), IMAGE),
    "RNN": ((6, 3, 2, "relu"), (2, 4, 6)),
    "LSTM": ((6, 3, 1, True, True, 0.0, True, 2), (2, 4, 6)),
    "GRU": ((6, 3, 2, False), (2, 4, 6)),
    "RNNCell": ((6, 3), FLAT),
    "LSTMCell": ((6, 3), FLAT),
    "GRUCell": ((6, 3, False), FLAT),
    "MultiheadAttention": ((6, 2, 0.0, True, True, True), (4, 2, 6), (5, 2, 6), (5, 2, 6)),
    "CosineSimilarity": ((), FLAT, FLAT),
    "PairwiseDistance": ((), FLAT, FLAT),
    "CrossEntropyLoss": ((), FLAT, (4,)),
    "NLLLoss": ((), FLAT, (4,)),
    "ConstantPad1d": ((1, 2.0), (2, 4, 6)),
    "ConstantPad2d": ((1, 2.0), IMAGE),
}
TWO_INPUTS = "MSELoss L1Loss SmoothL1Loss HuberLoss BCEWithLogitsLoss KLDivLoss PoissonNLLLoss"


def case(name):
    """A module and its inputs."""
    if name in CASES:
        arguments, *shapes = CASES[name]
    elif name.endswith(("1d", "2d", "3d")):
        dimensions = int(name[-2])
        arguments = (2,)
        if "Conv" in name:
            arguments = (4, 2, 3, 2, 1)
        elif "Adaptive" in name:
            arguments = (3,)
        elif "Pad" in name:
            arguments = (1,)
        shapes = [(2, 4, *([6] * dimensions))]
    else:
        arguments, shapes = (), [FLAT]
        if name in TWO_INPUTS.split() or name == "BCELoss":
            shapes = [FLAT, FLAT]
        if name == "GaussianNLLLoss":
            shapes = [FLAT, FLAT, FLAT]
    generator = torch.Generator().manual_seed(3)
    if name == "Embedding":
        return nn.Embedding(*arguments), [torch.tensor([[1, 5], [8, 0]])]
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    if name in ("CrossEntropyLoss", "NLLLoss"):
        inputs[1] = torch.tensor([0, 3, 5, 1])
    if "Loss" in name and name not in ("CrossEntropyLoss", "NLLLoss"):
        inputs[1:] = [t.sigmoid() for t in inputs[1:]]
    if name == "BCELoss":
        inputs[0] = inputs[0].sigmoid()
    return getattr(nn, name)(*arguments), inputs


@pytest.mark.filterwarnings("ignore:reduction:UserWarning", "ignore:LSTM with proj:UserWarning")
@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_it_is_made_again(name, tmp_path):
    torch.manual_seed(0)
    module, inputs = case(name)
    assert kind_of(module) == f"torch.nn.{name}"
    made = rebuild(kind_of(module), settings_of(module))
    assert settings_of(made) == settings_of(module)
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, dtype in zip(paths, (torch.float32, torch.float64), strict=True):
        torch.manual_seed(1)
        model = nn.ModuleList([case(name)[0].to(dtype)])
        given = [t.to(dtype) if t.is_floating_point() else t for t in inputs]
        leaves = [
            t.clone().requires_grad_() if t.is_floating_point() and "Loss" not in name else t
            for t in given
        ]
        if "Loss" in name:
            leaves[0] = leaves[0].clone().requires_grad_()
        with nncompare.record(path, model):
            output = model[0](*leaves)
            first = output[0] if isinstance(output, tuple) else output
            first.square().sum().backward()
    record = nncompare.diff(*paths)
    assert record.status == 0, record.text()
    assert {s.verdict for s in record.sites} <= {"agrees", "inherited", "same"}, record.text()
    assert "backward" in {s.direction for s in record.sites} or name == "Embedding"
