"""A training step of a small network, recorded."""

from __future__ import annotations

import pytest
import torch
from planted.traced_networks import TARGETS
from torch import nn

import nncompare


@pytest.fixture
def trace(tmp_path):
    """Record a step of a model under a name."""

    def make(name, model, x, *, seed=7, optimizer=False, loss=None, **options):
        path = tmp_path / name
        criterion = loss or nn.CrossEntropyLoss()
        made = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9) if optimizer else None
        torch.manual_seed(seed)
        with nncompare.record(path, model, optimizer=made, loss=criterion, **options):
            criterion(model(x), TARGETS).backward()
            if made is not None:
                made.step()
        return path

    return make
