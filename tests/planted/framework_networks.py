"""The MLP and the CNN that are traced in torch, JAX, ONNX Runtime and tinygrad."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from torch import nn

import nncompare


def torch_mlp(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(6, 6), norm=nn.BatchNorm1d(6), act=nn.LeakyReLU(0.1), fc2=nn.Linear(6, 4)
        )
    )
    with torch.no_grad():
        model.norm.running_mean.uniform_(-1, 1)
        model.norm.running_var.uniform_(0.001, 0.01)  # so that an ε is seen
        model.norm.weight.uniform_(0.5, 2)
        model.norm.bias.uniform_(-1, 1)
    return model


def torch_cnn(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 4, 3, stride=2, padding=1),
            act=nn.ReLU(),
            conv2=nn.Conv2d(4, 4, 3, padding=1),
            pool=nn.MaxPool2d(2),
            flat=nn.Flatten(),
            fc=nn.Linear(16, 5),
        )
    )


def rows():
    return np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)


def images():
    return np.random.default_rng(2).normal(size=(3, 1, 8, 8)).astype(np.float32)


def weights_of(model):
    """Name → array, its own."""
    return {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}


def torch_trace(path, model, x, *, training=False):
    """Record torch's side; with gradients of the mean square of the output where it trains."""
    model.train(training)
    with nncompare.record(path, model):
        output = model(torch.from_numpy(x))
        if training:
            output.square().mean().backward()
    return path


def blamed(a, b):
    """The modules that add error, and the record."""
    record = nncompare.diff(a, b)
    print(record.text())
    return [site.module for site in record.findings], record
