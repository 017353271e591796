"""Both backends see the same batches in the same order; losses are taken before the update."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch

import numpy_nn
from compare.analysis.verdict import verdict
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.torch_backend import TorchBackend
from compare.records.tables import APART, TrainingLog
from compare.spec.experiment import ParitySettings
from compare.spec.model import model_spec
from compare.training.data import Rows, Splits
from compare.training.drift import Distance
from compare.training.lockstep import LockStep, batches, total_steps


class Watching:
    """Every call of the observer, in order."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


def rows(n: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    inputs = random.random((n, 784), np.float32)
    inputs[:, 0] = np.arange(n)  # so that each row can be told apart
    return Rows(inputs, random.integers(0, 10, n))


@pytest.fixture
def lockstep():
    def make(form, n=50, label="SGD", validation=0, **settings) -> LockStep:
        data = Splits(rows(n, 0), rows(validation, 1) if validation else None, rows(30, 2))
        configuration = next(c for c in form.configurations if c.label == label)
        spec = model_spec(configuration.experiment, configuration.optimizer)
        seed = form.training.seeds[0]
        return LockStep(
            configuration, spec, seed, data,
            TrainingLog(label, seed), settings.pop("observer", Watching()), **settings,
        )  # fmt: skip

    return make


def trained(run: LockStep) -> LockStep:
    for _ in run.train():
        pass
    return run


def values(run: LockStep, **where) -> list:
    return [r for r in run.log.rows["history"] if all(getattr(r, k) == v for k, v in where.items())]


def test_batches():
    cut = list(batches(np.arange(7), 3))
    assert [b.tolist() for b in cut] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [len(b) for b in batches(np.arange(6), 3)] == [3, 3]
    assert [len(b) for b in batches(np.arange(2), 100)] == [2]


@pytest.mark.parametrize(
    ("n", "max_steps", "steps"),
    [(50, None, 6), (40, None, 4), (5, None, 2), (50, 4, 4), (50, 9, 6)],
)
def test_total_steps(tiny, n, max_steps, steps):
    assert total_steps(tiny(), n, max_steps) == steps


@pytest.fixture
def seen(monkeypatch):
    """The rows of every batch that a main backend was trained on."""
    found = {"numpy": [], "torch": []}

    def spy(cls, backend):
        for method in ("train_step", "record_step"):
            original = getattr(cls, method)

            def step(self, batch, original=original, method=method, **settings):
                # record_step calls train_step: count the outer call of a main backend alone.
                if getattr(self, "spied", False) and not getattr(self, "inside", False):
                    found[backend].append(np.asarray(batch[0])[:, 0].astype(int).tolist())
                self.inside = True
                try:
                    return original(self, batch, **settings)
                finally:
                    self.inside = False

            monkeypatch.setattr(cls, method, step)

    spy(NumpyBackend, "numpy")
    spy(TorchBackend, "torch")
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_batches_in_the_same_order(tiny, lockstep, seen, dtype):
    run = lockstep(tiny(f"training.dtype={dtype}"))
    run.numpy.spied = run.torch.spied = True
    trained(run)
    assert seen["numpy"] == seen["torch"]
    assert [len(b) for b in seen["numpy"]] == [20, 20, 10, 20, 20, 10]  # the short ones included
    for epoch in (seen["numpy"][:3], seen["numpy"][3:]):
        assert sorted(chain.from_iterable(epoch)) == list(range(50))  # every row once an epoch
    assert seen["numpy"][:3] != seen["numpy"][3:]  # in another order each time


def test_the_order_is_that_of_pytorch(tiny, lockstep, seen):
    """As if PyTorch had been seeded, had built the network, and had shuffled on its own."""
    import torch

    form = tiny("training.seeds=[5]")
    run = lockstep(form)
    run.numpy.spied = run.torch.spied = True
    trained(run)
    torch.manual_seed(5)
    import torch_nn

    model_spec(form, "SGD").model(torch_nn)
    orders = [torch.randperm(50).tolist() for _ in range(2)]
    assert [list(chain(*seen["torch"][:3])), list(chain(*seen["torch"][3:]))] == orders


def test_a_batch_larger_than_the_data(tiny, lockstep, seen):
    run = lockstep(tiny("batch_size=1000"))
    run.numpy.spied = run.torch.spied = True
    trained(run)
    assert [len(b) for b in seen["numpy"]] == [50, 50]
    assert run.record.steps == 2


def test_history_against_a_training_by_hand(tiny, lockstep):
    """Loss and accuracy of a batch in training mode before its update, of a split in evaluation
    mode after each epoch, the first before training."""
    form = tiny("optimizers.SGD.lr=0.1", "optimizers.SGD.momentum=0.9")
    run = trained(lockstep(form, validation=15))
    backend = NumpyBackend(model_spec(form, "SGD"), "float32", seed=0)
    expected = []

    def evaluate(epoch, step):
        backend.model.eval()
        for name, split in run.splits.named().items():
            logits = backend.model(split.inputs)
            loss = float(backend.loss(logits, split.targets))
            accuracy = float(np.mean(logits.argmax(axis=1) == split.targets))
            expected.append((epoch, step, name, loss, accuracy))
        backend.model.train()

    evaluate(0, 0)
    step = 0
    for epoch in (1, 2):
        order = numpy_nn.randperm(50)
        for indices in batches(order, 20):
            inputs, targets = run.splits.train.inputs[indices], run.splits.train.targets[indices]
            logits = backend.model(inputs)
            loss = float(backend.loss(logits, targets))
            accuracy = float(np.mean(logits.argmax(axis=1) == targets))
            expected.append((epoch, step, "train", loss, accuracy))
            backend.optimizer.zero_grad()
            backend.model.backward(backend.loss.backward())
            backend.optimizer.step()
            step += 1
        evaluate(epoch, step)
    found = values(run, backend="numpy")
    pairs = [(a, b) for a, b in zip(found[::2], found[1::2], strict=True)]
    assert [(a.metric, b.metric) for a, b in pairs] == [("loss", "accuracy")] * len(pairs)
    # Evaluations of up to 1,000 rows are one batch, so the figures are the same to the last bit.
    assert [(a.epoch, a.step, a.split, a.value, b.value) for a, b in pairs] == expected


def test_both_sides_have_the_same_rows_and_almost_the_same_values(tiny, lockstep):
    run = trained(lockstep(tiny(), validation=15))
    keys = {b: [r[1:-1] for r in values(run, backend=b)] for b in ("numpy", "torch")}
    assert sorted(keys["numpy"]) == sorted(keys["torch"])
    mine = {r[1:-1]: r.value for r in values(run, backend="numpy", metric="loss")}
    theirs = {r[1:-1]: r.value for r in values(run, backend="torch", metric="loss")}
    for key, value in mine.items():
        assert value == pytest.approx(theirs[key], rel=1e-5), key


@pytest.mark.parametrize("max_steps", [None, 1, 3, 4])
def test_rows_are_unique_by_their_key(tiny, lockstep, max_steps):
    run = trained(lockstep(tiny(), validation=15, max_steps=max_steps))
    assert max(Counter(r[:-1] for r in run.log.rows["history"]).values()) == 1


def test_max_steps_in_the_middle_of_an_epoch(tiny, lockstep):
    watching = Watching()
    run = trained(lockstep(tiny(), max_steps=4, observer=watching))
    assert run.record.steps == 4
    assert run.record.finished
    assert {r.epoch for r in run.log.rows["history"]} == {0, 1, 2}
    assert {(r.epoch, r.step) for r in values(run, split="test")} == {(0, 0), (1, 3), (2, 4)}
    trained_on = [r.step for r in values(run, backend="torch", split="train", metric="loss")]
    assert sorted(trained_on) == [0, 0, 1, 2, 3, 3, 4]
    assert watching.calls[0] == ("begin", "SGD", 0, 4)


@pytest.mark.parametrize("max_steps", [3, 6, 100])
def test_max_steps_at_the_end_of_an_epoch(tiny, lockstep, max_steps):
    run = trained(lockstep(tiny(), max_steps=max_steps))
    assert run.record.steps == min(max_steps, 6)
    last = max(r.epoch for r in run.log.rows["history"])
    assert last == (1 if max_steps == 3 else 2)


def test_the_observer_is_told_everything_in_order(tiny, lockstep):
    watching = Watching()
    run = trained(lockstep(tiny("epochs=1"), observer=watching))
    names = [call[0] for call in watching.calls]
    assert names == ["begin"] + ["epoch"] * 4 + ["step"] * 6 + ["epoch"] * 4 + ["end"]
    assert [c[1:3] for c in watching.calls if c[0] == "step"] == [
        ("numpy", 1), ("torch", 1), ("torch", 2), ("numpy", 2), ("numpy", 3), ("torch", 3),
    ]  # fmt: skip
    assert watching.calls[-1] == ("end", run.record)


def test_steps_are_counted_as_they_are_made(tiny, lockstep):
    """A run that is broken off says how far it came."""

    class Breaking(Watching):
        def step(self, backend, step, loss, accuracy):
            if step == 5:
                raise KeyboardInterrupt

    run = lockstep(tiny(), observer=Breaking())
    with pytest.raises(KeyboardInterrupt):
        trained(run)
    assert run.record.steps == 4
    assert not run.record.finished


def test_training_again_gives_the_same_bits(tiny, lockstep):
    runs = [trained(lockstep(tiny(), label="Adam")) for _ in range(2)]
    for table in ("history", "parity", "drift"):
        assert runs[0].log.rows[table] == runs[1].log.rows[table]
    for backend in ("numpy", "torch"):
        a, b = (getattr(run, backend).state().model for run in runs)
        assert all(np.array_equal(a[k], b[k]) for k in a)


def test_certifying_changes_nothing_of_the_training(tiny, lockstep):
    """Looking at a step does not alter it."""
    often = trained(lockstep(tiny("parity.first_steps=6"), label="Adam"))
    seldom = trained(lockstep(tiny("first_steps=1", "every=1000", "replicas=0"), label="Adam"))
    assert often.log.rows["history"] == seldom.log.rows["history"]


def test_a_large_network_is_certified_in_evaluation_mode_on_few_rows(tiny, lockstep, monkeypatch):
    """A pass of a hundred rows, several times in float64, would take longer than the run."""
    monkeypatch.setattr("compare.training.lockstep.LARGE", 100)
    run = trained(lockstep(tiny("parity.first_steps=1")))
    assert run.record.evaluation_rows == 8 < len(run.splits.test.targets)
    assert any("evaluation/" in r.site for r in run.log.rows["parity"])


def test_certified_steps(tiny, lockstep):
    run = trained(lockstep(tiny("parity.first_steps=2", "parity.every=4")))
    rows = run.log.rows["parity"]
    assert sorted({r.step for r in rows if "evaluation/" not in r.site}) == [0, 1, 4]
    assert {r.step for r in rows if "evaluation/" in r.site} == {6}
    assert run.record.evaluation_rows == len(run.splits.test.targets)
    assert [k.step for k in run.record.kinks] == [0, 1, 4]
    assert run.record.parity_rows == len(run.log.rows["parity"])
    assert all(r.passed for r in run.log.rows["parity"])
    # A certified step is not timed: it is not a step as usual.
    assert [r.step for r in run.log.rows["timing"]] == [2, 3, 5]


def test_the_plan_is_recorded_and_changes_nothing_of_the_training(tiny, lockstep):
    runs = {}
    for certify in ("all", "auto", 2):
        run = runs[certify] = trained(lockstep(tiny(f"parity.certify={json.dumps(certify)}")))
        plan = run.record.planned
        assert plan.rule == (certify if certify in ("all", "auto") else "number")
        certified = [kinks.step for kinks in run.record.kinks]
        assert certified == (plan.steps or list(range(6)))
        assert len(certified) == plan.planned
    assert len(runs["all"].record.kinks) == 6
    assert len(runs[2].record.kinks) == 2
    for run in runs.values():
        assert run.log.rows["history"] == runs["all"].log.rows["history"]


def test_of_a_large_training_set_a_share_is_evaluated_and_all_of_it_at_the_end(
    tiny, lockstep, monkeypatch
):
    monkeypatch.setattr("compare.training.lockstep.EVALUATED_ROWS", 20)
    run = lockstep(tiny("training.epochs=3"))
    seen = []
    for backend in run.backends:

        def noting(rows, first=None, *rest, name=backend.name, evaluate=backend.evaluate):
            seen.append((name, len(rows[1]), first))
            return evaluate(rows, first, *rest)

        backend.evaluate = noting
    trained(run)
    assert run.record.evaluated == 20
    size = len(run.splits.train.targets)
    of_training_set = [first for name, rows, first in seen if name == "numpy" and rows == size]
    assert of_training_set[:4] == [20, 20, 20, None]
    asked = lockstep(tiny("training.evaluate_rows=30"))
    assert asked.record.evaluated is None


def test_by_default_about_ten_more_steps_are_certified(tiny, lockstep):
    form = tiny("batch_size=2", "epochs=40", "first_steps=1", "replicas=0")
    form = form.model_copy(update={"parity": form.parity.model_copy(update={"every": None})})
    run = trained(lockstep(form, n=10))  # 200 steps
    assert verdict(run.log.rows["parity"]).steps == tuple(range(0, 200, 20))


@pytest.mark.parametrize("scheme", ["kaiming_normal", "xavier_normal", "normal"])
def test_a_normal_initialisation_is_copied_and_goes_on_in_parity(tiny, lockstep, scheme):
    run = trained(lockstep(tiny(f"initialisation={scheme}")))
    assert run.record.initial.copied
    assert run.record.initial.differing_bits > 0
    rows = run.log.rows["parity"]
    assert all(r.passed for r in rows), [r for r in rows if not r.passed]
    assert all(r.numpy_error == 0 for r in rows if r.site.startswith("initial/"))
    first = values(run, epoch=0, split="test", metric="loss")
    assert first[0].value == pytest.approx(first[1].value, rel=1e-6)


@pytest.mark.parametrize("scheme", ["kaiming_uniform", "xavier_uniform", "default"])
def test_a_uniform_initialisation_has_the_same_bits(tiny, lockstep, scheme):
    run = lockstep(tiny(f"initialisation={scheme}"))
    assert run.record.initial.differing_bits == 0
    assert not run.record.initial.copied
    # 784·8 + 8, γ and β, 8·10 + 10; running mean, variance and the counter are compared too.
    assert run.record.parameters == 784 * 8 + 8 + 16 + 90
    assert run.record.initial.values == run.record.parameters + 17


def test_float64(tiny, lockstep):
    run = trained(lockstep(tiny("training.dtype=float64"), label="Adam"))
    rows = run.log.rows["parity"]
    assert {r.dtype for r in rows} == {"float64"}
    assert all(r.passed for r in rows)
    assert run.numpy.state().model["0.weight"].dtype == np.float64
    mine = [r.value for r in values(run, backend="numpy", metric="loss")]
    theirs = {r[1:-1]: r.value for r in values(run, backend="torch", metric="loss")}
    keys = [r[1:-1] for r in values(run, backend="numpy", metric="loss")]
    np.testing.assert_allclose(mine, [theirs[k] for k in keys], rtol=1e-10)


def test_shuffles_that_differ_are_a_failure(tiny, lockstep, monkeypatch):
    monkeypatch.setattr(NumpyBackend, "permutation", lambda self, n: np.arange(n)[::-1].copy())
    run = trained(lockstep(tiny()))
    failed = [r for r in run.log.rows["parity"] if not r.passed]
    assert [(r.site, r.step) for r in failed] == [("shuffle", 0), ("shuffle", 3)]


def test_a_wrong_epsilon_is_caught_on_the_way(tiny, lockstep, monkeypatch):
    original = numpy_nn.optim.Adam.__init__

    def wrong(self, params, **settings):
        original(self, params, **{**settings, "eps": 1e-7})

    monkeypatch.setattr(numpy_nn.optim.Adam, "__init__", wrong)
    run = trained(lockstep(tiny("epochs=1"), label="Adam"))
    failed = [r for r in run.log.rows["parity"] if not r.passed]
    assert failed[0].step == 0
    assert failed[0].site.startswith("update/")


def test_results_are_kept(tiny, lockstep):
    run = lockstep(tiny())
    trained(run)
    for backend in run.backends:
        state = backend.state().model
        assert run.log.weights[backend.name].keys() == state.keys()
        for name, value in run.log.weights[backend.name].items():
            np.testing.assert_array_equal(value, state[name])
    kept = run.log.predictions
    assert list(kept) == ["numpy", "torch"]
    assert all(p.shape == (30,) and p.dtype == np.int32 for p in kept.values())
    accuracy = values(run, backend="numpy", split="test", metric="accuracy")[-1].value
    assert accuracy == np.mean(kept["numpy"] == run.splits.test.targets)


def dropout(tiny):
    return tiny(
        'model={architecture="pass_fail_mlp",arguments={sizes=[784,8,8,10],dropout=0.5}}',
        "optimizers={SGD={lr=0.1}}",
        "reported=[]",
    )


def test_dropout_keeps_the_same_values_on_both_sides(tiny, lockstep, monkeypatch):
    """PyTorch is made to draw other masks than NumPy, as some of its builds do."""
    monkeypatch.setattr(
        torch.nn.Dropout, "forward", lambda self, x: x * 3.0 if self.training else x
    )
    run = trained(lockstep(dropout(tiny)))
    assert all(r.passed for r in run.log.rows["parity"])
    theirs = {r[1:-1]: r.value for r in values(run, backend="torch", metric="loss")}
    for row in values(run, backend="numpy", metric="loss"):
        assert row.value == pytest.approx(theirs[row[1:-1]], rel=1e-5)
    # The replicas see the same rows with the same masks, in another order.
    assert max(r.distance for r in run.log.rows["drift"]) < 1e-5


def test_dropout_draws_leave_the_order_of_the_rows_alike(tiny, lockstep):
    """NumPy alone draws masks, so after the first epoch the generators stand apart."""
    run = trained(lockstep(dropout(tiny)))
    assert not [r.site for r in run.log.rows["parity"] if not r.passed]
    assert run.record.steps == 6


@pytest.mark.parametrize(
    ("loss", "size", "classes"),
    [
        ("NLLLoss", 10, 10),
        ("BCEWithLogitsLoss", 1, 2),
        ("MSELoss", 1, 10),
        ("L1Loss", 1, 10),
        ("SmoothL1Loss", 1, 10),
        ("HuberLoss", 1, 10),
    ],
)
def test_every_loss_is_trained_and_certified(tiny, lockstep, loss, size, classes):
    form = tiny(f"training.loss={loss}", f"model.arguments.sizes=[784,8,{size}]")
    run = lockstep(form)
    data = run.splits.map(lambda rows: Rows(rows.inputs, rows.targets % classes))
    run.splits = data
    trained(run)
    assert not [r for r in run.log.rows["parity"] if not r.passed]
    predicted = run.log.predictions["torch"]
    accuracy = values(run, backend="torch", split="test", metric="accuracy")[-1].value
    assert accuracy == np.mean(predicted == data.test.targets)
    if size == 1:
        outputs = run.torch.logits(data.test.inputs)[:, 0]
        expected = outputs > 0 if classes == 2 else np.rint(outputs)
        np.testing.assert_array_equal(predicted, expected)


def test_the_loss_of_a_column_is_that_of_pytorch(tiny, lockstep):
    """A row against its own target: no (N, 1) and (N,) that broadcast to (N, N)."""
    form = tiny("training.loss=MSELoss", "model.arguments.sizes=[784,8,1]")
    run = trained(lockstep(form))
    outputs = run.torch.logits(run.splits.test.inputs)[:, 0]
    expected = np.mean((outputs - run.splits.test.targets) ** 2)
    for backend in ("numpy", "torch"):
        found = values(run, backend=backend, split="test", metric="loss")[-1].value
        assert found == pytest.approx(expected, rel=1e-4)


def test_no_test_rows(tiny, lockstep):
    run = lockstep(tiny())
    run.splits = run.splits._replace(test=None)
    trained(run)
    assert run.log.predictions == {}
    assert {r.split for r in run.log.rows["history"]} == {"train"}
    assert not [r for r in run.log.rows["parity"] if not r.passed]


def test_steps_end_a_training_within_an_epoch(tiny, lockstep):
    run = trained(lockstep(tiny("training.steps=5")))
    assert run.record.steps == 5
    last = values(run, backend="numpy", split="train", metric="loss")[-1]
    assert (last.epoch, last.step) == (2, 5)
    assert total_steps(tiny("training.steps=5"), 50, 4) == 4
    assert total_steps(tiny("training.steps=500"), 50, None) == 6


def test_evaluations_at_every_so_many_epochs(tiny, lockstep):
    run = trained(lockstep(tiny("training.evaluate_every=2", "training.epochs=5")))
    found = values(run, backend="torch", split="test", metric="loss")
    assert [(r.epoch, r.step) for r in found] == [(0, 0), (2, 6), (4, 12), (5, 15)]
    assert len(values(run, backend="torch", split="train", metric="loss")) == 4 + 15


def test_weight_decay_on_weights_alone(tiny, lockstep):
    """Against PyTorch's own formula, written out: θ ← θ − lr (g + λθ), λ = 0 for vectors."""
    changes = ("training.decay_biases=false", "parity.replicas=0",
               "optimizers.SGD.weight_decay=0.5", "optimizers.SGD.lr=0.1",
               "model.initialisation=default")  # fmt: skip
    run = lockstep(tiny(*changes))
    before = run.numpy.state().model
    held = {s.name: {"train": s.rows(*run.splits.train)} for s in run.backends}
    run._advance(1, [(0, np.arange(20))], held)
    assert not [r for r in run.log.rows["parity"] if not r.passed]
    for backend in run.backends:
        after = backend.state().model
        for name, p in backend.model.named_parameters():
            g = np.asarray(p.grad)
            decay = 0.5 if before[name].ndim > 1 else 0.0
            expected = before[name] - 0.1 * (g + decay * before[name])
            np.testing.assert_allclose(after[name], expected, rtol=1e-5, atol=1e-7)
    decayed = lockstep(tiny(*changes[1:]))
    decayed._advance(1, [(0, np.arange(20))], held)
    assert not np.array_equal(
        decayed.numpy.state().model["0.bias"], run.numpy.state().model["0.bias"]
    )


def test_an_adaptive_optimizer_with_two_groups_keeps_its_state_apart(tiny, lockstep):
    form = tiny("training.decay_biases=false", "optimizers.Adam.weight_decay=0.1")
    run = trained(lockstep(form, label="Adam"))
    assert not [r for r in run.log.rows["parity"] if not r.passed]
    shapes = {name: value.shape for name, value in run.numpy.state().model.items()}
    for backend in run.backends:
        for name, slot in backend.state().optimizer.items():
            assert slot["exp_avg"].shape == shapes[name]


def test_lengths_of_the_gradients(tiny, lockstep):
    run = lockstep(tiny("training.gradient_norms=true"))
    trained(run)
    rows = run.log.rows["gradients"]
    assert len(rows) == 2 * 6 * 6  # backends, steps, parameters
    for backend in run.backends:
        last = {r.parameter: r.norm for r in rows if (r.backend, r.step) == (backend.name, 5)}
        for name, p in backend.model.named_parameters():
            expected = np.sqrt(np.sum(np.asarray(p.grad, np.float64) ** 2))
            assert last[name] == pytest.approx(expected, rel=1e-12)
    assert "gradients" not in {t for t, r in trained(lockstep(tiny())).log.rows.items() if r}


def test_what_is_predicted_is_what_the_last_weights_say(tiny, lockstep):
    run = trained(lockstep(tiny("epochs=3")))
    for backend in run.backends:
        said = backend.evaluate(backend.rows(*run.splits.test)).outputs.argmax(axis=1)
        np.testing.assert_array_equal(run.log.predictions[backend.name], said)


def test_a_short_training_has_few_replica_steps_and_few_steps_made_once_more(
    tiny, lockstep, monkeypatch
):
    made = []
    monkeypatch.setattr(Distance, "explain", lambda *arguments: made.append(arguments[-1]) or 2)
    parity = ParitySettings(first_steps=1, every=1000)
    run = trained(lockstep(tiny("epochs=20").model_copy(update={"parity": parity})))
    plan = run.record.replicas
    assert (plan.rule, plan.count, plan.steps) == ("auto", 1, 3)  # of 60
    drift = [(r.run, r.step) for r in run.log.rows["drift"] if r.run != APART]
    names = ("numpy", "torch", "rows reversed")
    assert sorted(drift) == sorted((name, step) for name in names for step in (1, 2, 3))
    assert run._explanation.rows == 100  # of which there are 30
    assert run.record.sides.rows == 30
    assert made == [run._explanation.replayed, run._explanation.early(2)]
