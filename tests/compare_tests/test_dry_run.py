"""What cannot be trained is said before anything is recorded."""

from __future__ import annotations

import numpy as np
import pytest

from compare.spec.model import ModelSpec, model_spec
from compare.training.data import Rows, Splits
from compare.training.run import dry_run
from experiments.errors import InputError


def splits(rows: int, features: int = 784, classes: int = 10) -> Splits:
    random = np.random.default_rng(0)

    def some(n: int) -> Rows:
        inputs = random.standard_normal((n, features)).astype(np.float32)
        return Rows(inputs, np.arange(n, dtype=np.int64) % classes)

    return Splits(some(rows), None, some(20))


def refusal(form, data: Splits, spec: ModelSpec | None = None, max_steps=None) -> str:
    with pytest.raises(InputError) as caught:
        dry_run(spec or model_spec(form, "SGD"), form, data, max_steps)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("rows", [40, 42, 19, 20, 2])
def test_batches_that_can_be_trained(tiny, rows):
    dry_run(model_spec(tiny(), "SGD"), tiny(), splits(rows))


@pytest.mark.parametrize("rows", [41, 1])
def test_a_last_batch_of_one_row_with_batchnorm(tiny, rows):
    """PyTorch refuses a batch of one row in training; so it is said before the first step."""
    message = refusal(tiny(), splits(rows))
    assert f"With training.batch_size = 20 the {rows} training rows leave a batch of 1" in message
    assert "Expected more than 1 value per channel when training" in message
    assert message.endswith("Choose another batch size.")


def test_batches_of_one_row_with_batchnorm(tiny):
    assert "leave a batch of 1," in refusal(tiny("batch_size=1"), splits(10))


def test_a_last_batch_of_one_row_that_is_never_reached(tiny):
    dry_run(model_spec(tiny(), "SGD"), tiny(), splits(41), max_steps=2)
    assert "leave a batch of 1," in refusal(tiny(), splits(41), max_steps=3)


def test_a_last_batch_of_one_row_without_batchnorm(tiny):
    form = tiny(name="mnist_softmax")
    dry_run(model_spec(form, "SGD"), form, splits(41))


def test_rows_of_another_width(tiny):
    message = refusal(tiny(), splits(40, features=10))
    assert "'bn_mlp' does not take the data, rows of shape (10,)" in message
    assert "shapes cannot be multiplied" in message


def test_fewer_outputs_than_classes(tiny):
    message = refusal(tiny("sizes=[784,8,5]"), splits(40))
    assert "gives outputs of shape (5,) a row; expected one value for each of the 10" in message


def test_a_class_that_only_the_test_rows_have(tiny):
    data = splits(40)
    data.test.targets[0] = 11
    assert "each of the 12 classes" in refusal(tiny(), data)


def test_outputs_that_are_no_row_of_logits(tiny):
    def cut(nn):
        return nn.Sequential(nn.Flatten(0), nn.Linear(2 * 784, 10))

    spec = ModelSpec(cut, settings={"lr": 0.1})
    assert "gives outputs of shape () a row" in refusal(tiny(), splits(40), spec)


def test_what_pytorch_takes_and_numpy_refuses_is_not_blamed_on_the_person(tiny, monkeypatch):
    """That is a mistake of this program: it must keep its traceback."""
    import numpy_nn

    def broken(self, x):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(numpy_nn.Linear, "forward", broken)
    dry_run(model_spec(tiny(), "SGD"), tiny(), splits(40))


def test_a_loss_for_one_output(tiny):
    form = tiny("training.loss=MSELoss")
    message = refusal(form, splits(40))
    assert message.endswith("of shape (10,) a row; training.loss = 'MSELoss' takes one value.")
    form = tiny("training.loss=MSELoss", "sizes=[784,8,1]")
    dry_run(model_spec(form, "SGD"), form, splits(40))


def test_more_classes_than_a_loss_can_tell_apart(tiny):
    form = tiny("training.loss=BCEWithLogitsLoss", "sizes=[784,8,1]")
    message = refusal(form, splits(40))
    assert message == (
        "training.loss = 'BCEWithLogitsLoss' tells 2 classes apart, but the data has 10."
    )
    data = splits(40).map(lambda rows: rows._replace(targets=rows.targets % 2))
    dry_run(model_spec(form, "SGD"), form, data)


def test_rows_without_a_test_split(tiny):
    dry_run(model_spec(tiny(), "SGD"), tiny(), splits(40)._replace(test=None))
