"""Every contender does the same step, and one that does not is found out."""

from __future__ import annotations

import importlib.util
import shutil
from itertools import pairwise

import pytest

from compare.bench.agreement import agreement
from compare.bench.cases import run_case
from compare.bench.catalogue import CONTENDERS, EAGER, NotInstalledError, asked_for, make
from compare.bench.contender import CannotRunError, block
from compare.bench.contenders.numpy_steps import NumpySteps
from compare.bench.contenders.torch_steps import TorchSteps
from compare.bench.host import Here
from compare.bench.schedule import Schedule
from compare.bench.workloads import Convolution, TrainingStep
from experiments.errors import InputError

SMALL = {
    "bn_mlp": {"sizes": (12, 7, 5, 3)},
    "softmax_mlp": {"sizes": (12, 7, 3)},
    "covertype_dnn": {"sizes": (9, 6, 1)},
    "cnn": {"channels": (2, 3)},
}
QUICK = Schedule(3, 0.003, 0.0)
CANNOT = {
    ("scikit-learn", "bn_mlp"), ("scikit-learn", "cnn"), ("autograd", "cnn"),
    ("numpy-ml", "covertype_dnn"),
}  # fmt: skip
PEERS = {"scikit-learn": "sklearn", "autograd": "autograd", "numpy-ml": "numpy_ml"}


def workload(name: str, algorithm: str, rows: int = 6) -> TrainingStep:
    return TrainingStep(name, rows, algorithm, SMALL[name])


@pytest.mark.parametrize("algorithm", ["SGD", "Adam"])
@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize("name", EAGER)
def test_pytorch_in_every_setting_does_numpy_s_step(name, architecture, algorithm):
    step = workload(architecture, algorithm)
    if not asked_for(name, step, has_images=architecture == "cnn"):
        assert "channels-last" in name
        return
    found = agreement(make(name, step).evidence(), make("numpy", step).evidence())
    assert found is not None
    assert found.agrees
    assert found.vector_error < 1e-5
    assert found.loss_error is not None
    assert found.loss_error < 1e-4


@pytest.mark.parametrize("algorithm", ["SGD", "Adam"])
@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize("peer", PEERS)
def test_peers_do_numpy_s_step_or_say_why_not(peer, architecture, algorithm):
    if importlib.util.find_spec(PEERS[peer]) is None:
        pytest.skip(f"{peer} is not installed")
    step = workload(architecture, algorithm)
    if (peer, architecture) in CANNOT:
        with pytest.raises(CannotRunError, match=r" has no [A-Z]"):
            make(peer, step)
        return
    contender = make(peer, step)
    found = agreement(contender.evidence(), make("numpy", step).evidence())
    assert found is not None
    assert found.agrees, found
    assert block(contender, 1, 2).shape == (2, len(contender.phases))


@pytest.mark.skipif(importlib.util.find_spec("tinygrad") is None, reason="tinygrad is absent")
def test_tinygrad_needs_a_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(CannotRunError, match="clang, which is not here"):
        make("tinygrad", workload("softmax_mlp", "SGD"))


@pytest.mark.parametrize("name", ["loops", "numba", "torch", "torch-channels-last"])
def test_convolutions_agree(name, monkeypatch):
    if name == "numba":
        if importlib.util.find_spec("numba") is None:
            pytest.skip("numba is not installed")
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")  # the same loops, without compiling them
    one = Convolution(3, 2, 5, 2)
    found = agreement(make(name, one).evidence(), make("numpy", one).evidence())
    assert found is not None
    assert found.agrees
    assert found.vector_error < 1e-5


def test_a_peer_that_is_not_installed_is_no_error(monkeypatch):
    from compare.bench import catalogue

    monkeypatch.setattr(catalogue, "installed_version", lambda name: None)
    with pytest.raises(NotInstalledError, match="the package autograd is not installed"):
        make("autograd", workload("softmax_mlp", "SGD"))
    monkeypatch.setattr(
        catalogue, "installed_version", lambda name: None if name == "scikit-learn" else "1.0"
    )
    here = Here(1)
    names = ("numpy", "torch", "scikit-learn")
    case = run_case(workload("softmax_mlp", "SGD"), names, lambda name: here, QUICK)
    assert [m.status for m in case.contenders] == ["measured", "measured", "not installed"]


def test_who_does_other_work_is_not_timed(monkeypatch):
    """A planted mistake: PyTorch's fused setting with twice the learning rate."""
    honest = TorchSteps.__init__

    def cheating(self, step, optimizer=None, **options):
        honest(self, step, optimizer, **options)
        if optimizer:
            for group in self.optimizer.param_groups:
                group["lr"] *= 2
            self._fresh = self.optimizer.state_dict()

    monkeypatch.setattr(TorchSteps, "__init__", cheating)
    here = Here(1)
    case = run_case(
        workload("softmax_mlp", "SGD"), ("numpy", "torch", "torch-fused"), lambda name: here, QUICK
    )
    statuses = {m.name: m.status for m in case.contenders}
    assert statuses == {"numpy": "measured", "torch": "measured", "torch-fused": "differs"}
    cheat = case.contenders[2]
    assert cheat.step is None
    assert "differ from NumPy's" in cheat.reason
    assert case.best_eager == "torch"


def test_a_case_is_filled_in():
    here = Here(1)
    names = ("numpy", "torch", "torch-fused", "floor")
    case = run_case(workload("softmax_mlp", "Adam"), names, lambda name: here, QUICK)
    assert [m.name for m in case.contenders] == list(names)
    for measured in case.contenders:
        assert measured.status == "measured"
        assert measured.rounds == len(measured.blocks_s) == 3
        assert measured.step is not None
        assert measured.step.low_s <= measured.step.median_s <= measured.step.high_s
        assert measured.over_numpy is not None
        assert measured.over_numpy.low <= measured.over_numpy.value <= measured.over_numpy.high
    numpy, _, _, floor = case.contenders
    assert numpy.over_numpy is not None
    assert numpy.over_numpy.value == 1
    assert list(numpy.phases) == ["forward", "backward", "update"]
    assert floor.agreement is None
    assert case.best_eager in ("torch", "torch-fused")


@pytest.mark.parametrize("architecture", SMALL)
def test_the_floor_has_every_product_once(architecture):
    """Σ 2 m n k over its products is what a step multiplies and adds."""
    step = workload(architecture, "SGD")
    floor = make("floor", step)
    flops = sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in floor.forward)
    flops += sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in floor.backward)
    if architecture == "cnn":
        first = 6 * 28 * 28 * 2 * 9
        others = 6 * 14 * 14 * 3 * 2 * 9 + 6 * (147 * 128 + 128 * 10)
    else:
        sizes = SMALL[architecture]["sizes"]
        first = 6 * sizes[0] * sizes[1]
        others = 6 * sum(a * b for a, b in pairwise(sizes[1:]))
    assert flops == 2 * (2 * first + 3 * others)  # the first layer's dx is not needed


@pytest.mark.parametrize("make_side", [NumpySteps, TorchSteps])
def test_layers_alone(make_side):
    """Every layer once, in order, then the loss; the data gets no gradient."""
    found = make_side(workload("bn_mlp", "SGD")).layers(2)
    kinds = ["Linear", "BatchNorm1d", "LeakyReLU"] * 2 + ["Linear", "CrossEntropyLoss"]
    assert [layer.kind for layer in found] == kinds
    assert [layer.name for layer in found] == [*map(str, range(7)), "loss"]
    assert all((layer.forward_s > 0).all() for layer in found)
    assert all((layer.backward_s > 0).all() for layer in found)


def test_every_block_begins_anew():
    """Dropout's masks included: the losses of a block are those of the block before."""
    step = TrainingStep("pass_fail_mlp", 8, "Adam", {"dropout": 0.5})
    for name in ("numpy", "torch"):
        contender = make(name, step)
        losses = []
        for _ in range(2):
            block(contender, 0, 3)
            losses.append(contender.last_loss)
        assert losses[0] == losses[1]
    found = agreement(make("torch", step).evidence(), make("numpy", step).evidence())
    assert found is not None
    assert found.agrees


def test_an_optimizer_without_that_setting_is_not_run():
    with pytest.raises(CannotRunError, match="PyTorch's RMSprop has no fused=True here"):
        make("torch-fused", workload("softmax_mlp", "RMSprop"))


def test_networks_that_cannot_be_made_are_errors():
    with pytest.raises(InputError, match="could not be built"):
        make("numpy", TrainingStep("softmax_mlp", 4, "SGD", {"sizes": ("x", 3)}))


def test_every_title_is_its_own():
    titles = [entry.title for entry in CONTENDERS.values()]
    assert len(set(titles)) == len(titles)
    assert all(e.step or e.convolution or e.training for e in CONTENDERS.values())
