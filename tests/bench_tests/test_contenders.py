"""Every contender does the same step, and one that does not is found out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from compare.bench.cases import Convolution, TrainingStep
from compare.bench.contenders import (
    CONTENDERS,
    GRADIENT_BOUND,
    LOSS_BOUND,
    CannotRunError,
    Evidence,
    agree,
    block,
    differences,
    evidence,
    make,
    takes_part,
)
from experiments.errors import InputError

SMALL = {
    "bn_mlp": {"sizes": (12, 7, 5, 3)},
    "softmax_mlp": {"sizes": (12, 7, 3)},
    "covertype_dnn": {"sizes": (9, 6, 1)},
    "cnn": {"channels": (2, 3)},
}
EAGER = [name for name in CONTENDERS if name.startswith("torch") and name != "torch-compile"]


def small(architecture: str, algorithm: str = "SGD") -> TrainingStep:
    return TrainingStep(architecture, 6, algorithm, SMALL[architecture])


def errors_of(name: str, case: TrainingStep | Convolution) -> tuple[float, float]:
    return differences(evidence(make(name, case)), evidence(make("numpy", case)))


@pytest.mark.parametrize("algorithm", ["SGD", "Adam"])
@pytest.mark.parametrize("architecture", SMALL)
def test_pytorch_in_every_setting_does_numpys_step(architecture, algorithm):
    step = small(architecture, algorithm)
    names = [name for name in EAGER if takes_part(name, step)]
    assert len(names) == (5 if architecture == "cnn" else 3)
    for name in names:
        loss_error, gradient_error = errors_of(name, step)
        assert loss_error < 1e-4
        assert gradient_error < 1e-5


@pytest.mark.parametrize("algorithm", ["SGD", "Adam"])
@pytest.mark.parametrize(("peer", "module"), [("scikit-learn", "sklearn"), ("autograd",) * 2])
def test_peers_do_numpys_step(peer, module, algorithm):
    pytest.importorskip(module)
    step = small("softmax_mlp", algorithm)
    contender, reference = make(peer, step), evidence(make("numpy", step))
    found = differences(evidence(contender), reference)
    assert agree(*found)
    assert found[1] < 1e-5
    assert block(contender, 1, 2).shape == (2, len(contender.phases))
    # Nothing is left of the steps between.
    assert differences(evidence(contender), reference) == found


def test_what_they_cannot_do():
    with pytest.raises(CannotRunError, match="its adapter knows no BatchNorm1d, LeakyReLU"):
        make("scikit-learn", small("bn_mlp"))
    with pytest.raises(CannotRunError, match="its adapter knows no RMSprop"):
        make("scikit-learn", small("softmax_mlp", "RMSprop"))
    with pytest.raises(CannotRunError, match=r"RMSprop could not be made with \{'fused': True\}"):
        make("torch-fused", small("softmax_mlp", "RMSprop"))


def test_networks_that_cannot_be_made_are_errors():
    with pytest.raises(InputError, match="could not be built"):
        make("numpy", TrainingStep("softmax_mlp", 4, "SGD", {"sizes": ("x", 3)}))


@pytest.mark.parametrize("name", ["loops", "torch", "torch-channels-last"])
def test_convolutions_agree(name):
    one = Convolution(3, 2, 5, 2)
    contender, reference = make(name, one), evidence(make("numpy", one))
    found = differences(evidence(contender), reference)
    assert found[0] == 0  # there are no losses
    assert found[1] < 1e-5
    block(contender, 1, 2)
    assert differences(evidence(contender), reference) == found


@pytest.mark.parametrize("architecture", SMALL)
def test_the_floor_has_every_product_once(architecture):
    """Σ 2 m n k over its products is what a step multiplies and adds."""
    floor = make("floor", small(architecture))
    products = [*floor.forward_products, *floor.backward_products]
    flops = sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in products)
    if architecture == "cnn":
        first = 6 * 28 * 28 * 2 * 9
        others = 6 * 14 * 14 * 3 * 2 * 9 + 6 * (147 * 128 + 128 * 10)
    else:
        sizes = SMALL[architecture]["sizes"]
        first = 6 * sizes[0] * sizes[1]
        others = 6 * sum(a * b for a, b in pairwise(sizes[1:]))
    assert flops == 2 * (2 * first + 3 * others)  # the first layer's dx is not needed
    assert block(floor, 1, 2).shape == (2, 2)
    assert evidence(floor).gradients == {}


def test_every_block_begins_anew():
    """Dropout's masks included: the losses of a block are those of the block before."""
    step = TrainingStep("pass_fail_mlp", 8, "Adam", {"dropout": 0.5})
    for name in ("numpy", "torch"):
        contender, losses = make(name, step), []
        for _ in range(2):
            block(contender, 0, 3)
            losses.append(contender.loss)
        assert losses[0] == losses[1]
    assert agree(*errors_of("torch", step))


def results(losses: tuple[float, ...] = (2.0, 1.5), **changes: np.ndarray) -> Evidence:
    gradients = {"0.weight": np.array([[3.0, 0.0], [0.0, 4.0]]), "0.bias": np.array([0.0, 12.0])}
    return Evidence(list(losses), {**gradients, **changes})


def test_the_size_of_a_difference():
    """‖(3, 4, 12)‖ = 13, and the bias is off by 1.3."""
    assert differences(results(), results()) == (0, 0)
    found = differences(results(**{"0.bias": np.array([0.0, 13.3])}), results())
    assert found == (0, pytest.approx(0.1))
    assert not agree(*found)
    near = results(losses=(2.0, 1.5 * (1 + LOSS_BOUND / 2)))
    assert agree(*differences(near, results()))


@pytest.mark.parametrize(
    "other",
    [
        results(losses=(2.0, 1.5 * (1 + 2 * LOSS_BOUND))),
        results(losses=(float("nan"), 1.5)),
        results(losses=()),
        results(**{"0.bias": np.array([np.nan, 12.0])}),
        results(**{"0.bias": np.array([0.0, 12.0 + 13 * 1.01 * GRADIENT_BOUND])}),
        results(**{"0.bias": np.array([12.0])}),
        results(**{"2.weight": np.array([0.0])}),
        Evidence([2.0, 1.5], {"0.weight": results().gradients["0.weight"]}),
    ],
)
def test_other_work_is_not_the_same(other):
    assert not agree(*differences(other, results()))


def test_a_reference_that_is_zero_agrees_with_nothing():
    zero = Evidence([], {"w": np.zeros(2)})
    assert not agree(*differences(zero, zero))


def test_a_flip_at_a_kink_is_not_other_work():
    """32 hidden layers of ReLU: somewhere the two orders of summation fall on different sides."""
    step = TrainingStep("softmax_mlp", 128, "SGD", {"sizes": (784, *[128] * 32, 10)})
    assert agree(*errors_of("torch", step))
