"""A step on a GPU compared with the same step on the CPU."""

from __future__ import annotations

import copy

import pytest
import torch
from planted.traced_networks import TARGETS, encoder, gru, images, resnet, tokens
from torch import nn

import nncompare

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

NETWORKS = {"encoder": (encoder, tokens), "resnet": (resnet, images), "gru": (gru, tokens)}


@pytest.fixture(params=["ieee", "tf32"])
def products(request):
    """What convolutions and matrix products round to; afterwards as before."""
    switches = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [switch.allow_tf32 for switch in switches]
    for switch in switches:
        switch.allow_tf32 = request.param == "tf32"
    yield request.param
    for switch, value in zip(switches, before, strict=True):
        switch.allow_tf32 = value


def recorded(path, model, x, device, steps=3, make=torch.optim.Adam, autocast=None):
    """Some steps of a copy of a model on a device."""
    own = copy.deepcopy(model).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = make(own.parameters(), 1e-3)
    x, targets = x.to(device), TARGETS.to(device)
    with nncompare.record(path, own, optimizer=optimizer, loss=criterion):
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
                loss = criterion(own(x), targets)
            loss.backward()
            optimizer.step()
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_the_two_devices_agree(name, products, tmp_path):
    make, batch = NETWORKS[name]
    a = recorded(tmp_path / "cpu", make(), batch(), "cpu")
    b = recorded(tmp_path / "gpu", make(), batch(), "cuda")
    record = nncompare.diff(a, b)
    print(record.text())
    assert record.status == 0
    topics = [setting.topic for setting in record.configuration]
    assert "device" in topics
    assert ("precision" in topics) is (products == "tf32")


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_on_the_gpu(name, dtype, tmp_path):
    make, batch = NETWORKS[name]
    a = recorded(tmp_path / "cpu", make(), batch(), "cpu", 1)
    b = recorded(tmp_path / "gpu", make(), batch(), "cuda", 1, autocast=dtype)
    record = nncompare.diff(a, b)
    print(record.text())
    assert record.status == 0


@pytest.mark.parametrize("name", ["eps", "transposed", "buffer", "scale"])
def test_mistakes_on_the_gpu_are_found_where_they_are(name, products, tmp_path):
    right, x = (resnet().eval(), images()) if name == "buffer" else (encoder(), tokens())
    wrong, at = copy.deepcopy(right), "layers.1.norm1"
    if name == "eps":
        wrong.layers[1].norm1.eps = 1e-2
    elif name == "transposed":
        at = "layers.0.attn.q"
        with torch.no_grad():
            wrong.layers[0].attn.q.weight.copy_(right.layers[0].attn.q.weight.t())
    elif name == "buffer":
        at = "1.bn2"
        wrong[1].bn2.running_var.fill_(2.0)
    else:
        wrong, at = encoder(scaled=False), "layers.1.attn.out"
    a = recorded(tmp_path / "a", right, x, "cpu", 1)
    record = nncompare.diff(a, recorded(tmp_path / "b", wrong, x, "cuda", 1))
    print(record.text())
    assert [site.module for site in record.findings] == [at]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", ["Linear", "LayerNorm", "GELU", "Softmax", "GRU"])
def test_functions_of_tensors_on_the_gpu(kind, dtype):
    torch.manual_seed(0)
    arguments = {"Softmax": (-1,), "GELU": (), "GRU": (16, 8), "Linear": (16, 8)}
    reference = getattr(nn, kind)(*arguments.get(kind, (16,)))
    candidate = copy.deepcopy(reference).to("cuda", dtype)
    x = torch.randn(4, 6, 16)
    if kind == "GRU":
        reference, candidate = First(reference), First(candidate)
    record = nncompare.compare_functions(candidate, reference.to(dtype), [x.to("cuda", dtype)])
    assert record.passed, record.text()


class First(nn.Module):
    """The first output of a module."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)[0]


def test_a_wrong_kernel_on_the_gpu():
    reference = nn.LayerNorm(16)
    candidate = nn.LayerNorm(16, eps=1e-6).cuda()
    x = torch.randn(4, 16, device="cuda")
    assert not nncompare.compare_functions(candidate, reference, [x]).passed
