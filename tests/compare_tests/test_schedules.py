"""Learning-rate schedules of an experiment: the same on both backends, and certified."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import numpy_nn
from compare.analysis.verdict import explain, verdict
from compare.backends.numpy_backend import NumpyBackend
from compare.records.run import read_run, read_run_record
from compare.spec.model import model_spec
from compare.spec.optimizers import ScheduleSettings
from compare.training.schedule import Schedule
from experiments.errors import InputError

# Three steps an epoch, two epochs.
SCHEDULES = {
    "StepLR": {"every": "step", "step_size": 2, "gamma": 0.5},
    "MultiStepLR": {"every": "step", "milestones": [1, 4]},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"every": "step", "T_max": 5},
    "LinearLR": {"every": "step", "total_iters": 3},
    "OneCycleLR": {"max_lr": 0.2},
}


def toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}={toml(item)}" for key, item in value.items()) + "}"
    return repr(value).replace("'", '"')


def with_schedule(tiny, name: str, *changes: str, **settings):
    return tiny(f"training.schedule={toml({'name': name, **settings})}", *changes)


def expected_rates(name: str, settings: dict, lr: float) -> list[float]:
    """PyTorch's own, for each of six steps."""
    settings = dict(settings)
    every = settings.pop("every", "step" if name == "OneCycleLR" else "epoch")
    if name == "OneCycleLR":
        settings["total_steps"] = 6
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr, momentum=0.9)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **settings)
    found = []
    for step in range(6):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if every == "step" or step == 2:
            scheduler.step()
    return found


@pytest.fixture
def rates(monkeypatch):
    """(backend, precision) → for each network the learning rates of its steps, in order."""
    from compare.backends.torch_backend import TorchBackend

    found: dict[tuple[str, str], list[list[float]]] = {}

    def watch(kind, method):
        original = getattr(kind, method)

        def step(self, *arguments, **settings):
            if not hasattr(self, "rates"):
                self.rates = []
                found.setdefault((self.name, self.dtype), []).append(self.rates)
            self.rates.append(self.optimizer.param_groups[0]["lr"])
            return original(self, *arguments, **settings)

        monkeypatch.setattr(kind, method, step)

    watch(NumpyBackend, "train_step")
    watch(TorchBackend, "train_step")
    return found


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("StepLR", "SGD"), ("MultiStepLR", "Adam"), ("ExponentialLR", "SGD"),
     ("CosineAnnealingLR", "SGD"), ("LinearLR", "Adam"), ("OneCycleLR", "SGD")],
)  # fmt: skip
def test_both_backends_follow_it_and_parity_passes(tiny, train, tmp_path, rates, name, optimizer):
    settings = SCHEDULES[name]
    lr = "lr=0.1,momentum=0.9" if optimizer == "SGD" else "lr=0.1"
    form = with_schedule(
        tiny, name, f"optimizers={{{optimizer}={{{lr}}}}}", "parity.first_steps=1",
        "parity.every=99", "training.decay_biases=false", "reported=[]", **settings,
    )  # fmt: skip
    out = train(form, tmp_path / "r")
    expected = expected_rates(name, settings, 0.1)
    assert len(set(expected)) > 1
    # The first step of NumPy's is recorded instead; the first network of PyTorch's is a dry run.
    assert rates["numpy", "float32"] == [expected[1:]]
    assert rates["torch", "float32"][1:] == [expected, expected[:3]]
    run = read_run(out)
    rows = [row for row in run.parity if row.site == "schedule/lr"]
    changing = 6 if settings.get("every") == "step" or name == "OneCycleLR" else 2
    assert [row.step for row in rows] == ([0, 1, 2, 3, 4, 5] if changing == 6 else [0, 3])
    assert {(row.dtype, row.numpy_error) for row in rows} == {("float64", 0.0)}
    assert verdict(run.parity).passed
    assert verdict(run.parity).steps == (0,)
    # The replicas and the float64 run that they are measured from are the same training.
    assert rates["torch", "float64"] == [expected[:3]]
    assert run.record.experiment.training.schedule.name == name
    assert "numpy_nn/optim/lr_scheduler" in " ".join(run.record.sources)


def test_every_step_is_certified_with_the_rate_in_force(tiny, train, tmp_path):
    form = with_schedule(
        tiny, "OneCycleLR", "parity.first_steps=6", "optimizers={Adam={lr=0.1,weight_decay=0.01}}",
        "reported=[]", max_lr=0.05,
    )  # fmt: skip
    run = read_run(train(form, tmp_path / "r"))
    found = verdict(run.parity)
    assert found.passed, explain(found.first_divergence)
    assert found.steps == (0, 1, 2, 3, 4, 5)
    assert {row.site for row in run.parity} >= {"schedule/lr", "schedule/betas"}


def test_a_wrong_schedule_of_one_backend_fails_there(tiny, train, tmp_path, monkeypatch):
    """And there alone: each step is right for the rate that it was made with."""

    def get_lr(self):
        return [lr * 0.5 for lr in self._current()] if self.last_epoch else self._current()

    monkeypatch.setattr(numpy_nn.optim.lr_scheduler.ExponentialLR, "get_lr", get_lr)
    form = with_schedule(tiny, "ExponentialLR", "parity.first_steps=6", every="step", gamma=0.9)
    run = read_run(train(form, tmp_path / "r"))
    found = verdict(run.parity_of(run.record.trainings[0]))
    assert not found.passed
    assert (found.first_divergence.site, found.first_divergence.step) == ("schedule/lr", 1)
    assert "step 1: the two schedules set values of lr that are" in explain(found.first_divergence)
    assert {row.site for row in run.parity if not row.passed} == {"schedule/lr"}


def test_a_rate_that_changes_without_the_schedule_is_found(tiny, train, tmp_path, monkeypatch):
    """The references take the scheduled rate, not whatever stands in NumPy's optimizer."""
    record_step = NumpyBackend.record_step

    def meddled(self, batch, update=True):
        if self.dtype == "float32":
            self.optimizer.param_groups[0]["lr"] *= 1.01
        return record_step(self, batch, update)

    monkeypatch.setattr(NumpyBackend, "record_step", meddled)
    form = with_schedule(tiny, "StepLR", "optimizers={SGD={lr=0.1}}", "reported=[]", step_size=1)
    run = read_run(train(form, tmp_path / "r"))
    assert verdict(run.parity).first_divergence.site.startswith("update/")


@pytest.mark.slow
def test_jobs_give_the_same_bytes(tiny, train, timeless, tmp_path):
    form = with_schedule(tiny, "StepLR", "epochs=1", "seeds=[0,1]", every="step", step_size=1)
    both = [train(form, tmp_path / str(jobs), jobs=jobs, threads=1) for jobs in (1, 2)]
    assert timeless(both[0]) == timeless(both[1])


def refusal(tiny, name: str, **settings) -> str:
    with pytest.raises(InputError) as caught:
        with_schedule(tiny, name, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value).partition(": ")[2]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("StepLR", {}, "the key 'training.schedule.step_size' is missing."),
        ("StepLR", {"step_size": 0}, "training.schedule.step_size should be greater than 0"),
        ("StepLR", {"step_size": 1, "gama": 2.0},
         "unknown key 'training.schedule.gama'. Did you mean 'gamma'?"),
        ("StepLR", {"step_size": 1, "every": "day"},
         "training.schedule.every should be 'epoch' or 'step', but is 'day'."),
        ("MultiStepLR", {"milestones": []},
         "training.schedule.milestones should have at least 1 item, but is []."),
        ("Cosine", {}, "training.schedule has the name 'Cosine', but expected one of 'StepLR', "),
        ("ReduceLROnPlateau", {}, "training.schedule: ReduceLROnPlateau follows a metric"),
    ],
)  # fmt: skip
def test_errors_are_one_sentence(tiny, name, settings, message):
    assert message in refusal(tiny, name, **settings)


def test_a_schedule_without_a_name(tiny):
    with pytest.raises(InputError, match=r"the key 'training\.schedule\.name' is missing\."):
        tiny("training.schedule={gamma=0.5}")


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ((), {"total_steps": 5}, "training.schedule.total_steps = 5, but the training has 6 steps"),
        (("optimizers={Adagrad={lr=0.1}}", "reported=[]"), {},
         "training.schedule: OneCycleLR does not fit the optimizer Adagrad: "),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_found_before_anything_is_recorded(
    tiny, train, tmp_path, changes, settings, message
):
    form = with_schedule(tiny, "OneCycleLR", *changes, max_lr=0.1, **settings)
    with pytest.raises(InputError) as caught:
        train(form, tmp_path / "r")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", SCHEDULES)
def test_settings_and_defaults_are_torchs(name):
    import inspect

    kind = next(k for k in ScheduleSettings.__origin__.__args__ if k.__name__ == f"{name}Settings")
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters
    # OneCycleLR's epochs and steps_per_epoch are another way to say total_steps.
    without = {"optimizer", "last_epoch", "verbose", "epochs", "steps_per_epoch"}
    ours = {key: f.get_default() for key, f in kind.model_fields.items()}
    assert set(ours) - {"name", "every"} == set(theirs) - without
    for key, parameter in theirs.items():
        if key in ours and parameter.default is not inspect.Parameter.empty:
            assert ours[key] == parameter.default, key


def test_a_schedule_of_epochs_ends_with_short_batches(tiny):
    form = with_schedule(tiny, "ExponentialLR", gamma=0.5)
    schedule = Schedule(model_spec(form, "SGD"), form.training, 50)
    assert [step for step in range(6) if schedule.due(step)] == [2]
    schedule = Schedule(model_spec(form, "SGD"), form.training, 20)
    assert [step for step in range(6) if schedule.due(step)] == [0]


def test_it_may_vary(tiny, train, tmp_path):
    form = tiny(
        "optimizers={SGD={lr=0.1}}", "reported=[]", "epochs=1",
        'vary={rate={cases={constant={},falling={training={schedule='
        '{name="ExponentialLR",every="step",gamma=0.1}}}}}}',
    )  # fmt: skip
    record = read_run_record(train(form, tmp_path / "r"))
    assert [t.label for t in record.trainings] == ["SGD constant", "SGD falling"]
    run = read_run(tmp_path / "r")
    weights = [np.array([r.value for r in run.curves["numpy", t.label, 0, "train", "loss"]])
               for t in run.record.trainings]  # fmt: skip
    assert not np.array_equal(*weights)
