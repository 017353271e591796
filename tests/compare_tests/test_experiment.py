"""The form of an experiment: every value that does not fit is refused in words that name it."""

from __future__ import annotations

import json
import math

import pytest

from compare.spec.experiment import Experiment
from compare.spec.loading import experiment_names, load_experiment, load_settings
from experiments.errors import InputError

MINIMAL = {
    "title": "t",
    "summary": "s",
    "task": "k",
    "data": {"name": "mnist"},
    "model": {"architecture": "bn_mlp"},
    "training": {"epochs": 1, "batch_size": 2},
    "optimizers": {"SGD": {"lr": 0.1}},
}


def refusal(change: str) -> str:
    with pytest.raises(InputError) as caught:
        load_experiment("mnist_bn_mlp", [change])
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.startswith("--set ")
    return sentence


@pytest.mark.parametrize("name", experiment_names())
def test_the_experiments_of_the_package_fit(name):
    short, experiment = load_settings(name)
    assert short == name
    assert experiment.title
    assert len(experiment.summary) <= 80


def test_defaults():
    form = Experiment.model_validate(MINIMAL)
    assert form.data.model_dump() == {
        "name": "mnist", "sample": None, "limit": None, "validation": 0.0, "layout": "flat",
    }  # fmt: skip
    assert form.model.initialisation == "kaiming_uniform"
    assert form.training.seeds == [0]
    assert form.training.dtype == "float32"
    assert form.optimizers["SGD"].model_dump() == {
        "algorithm": "SGD", "lr": 0.1, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0,
        "nesterov": False, "maximize": False,
    }  # fmt: skip
    assert form.reported == []
    assert form.parity.chosen == "auto"


def test_defaults_of_adam_are_those_of_torch():
    import torch

    adam = Experiment.model_validate({**MINIMAL, "optimizers": {"Adam": {"lr": 1e-3}}})
    ours = adam.optimizers["Adam"].model_dump(exclude={"algorithm"})
    theirs = torch.optim.Adam([torch.zeros(1)]).defaults
    assert ours == {key: theirs[key] for key in ours}


def test_defaults_of_sgd_are_those_of_torch():
    import torch

    sgd = Experiment.model_validate({**MINIMAL, "optimizers": {"SGD": {"lr": 1e-3}}})
    ours = sgd.optimizers["SGD"].model_dump(exclude={"algorithm"})
    theirs = torch.optim.SGD([torch.zeros(1)], lr=1e-3).defaults
    assert ours == {key: theirs[key] for key in ours}


def test_another_label_says_its_algorithm():
    optimizers = {"slow Adam": {"algorithm": "Adam", "lr": 1e-5}, "Adam": {"lr": 1e-3}}
    form = Experiment.model_validate({**MINIMAL, "optimizers": optimizers})
    assert [o.algorithm for o in form.optimizers.values()] == ["Adam", "Adam"]
    assert list(form.optimizers) == ["slow Adam", "Adam"]  # the order of the file


@pytest.mark.parametrize("key", ["title", "summary", "task", "data", "model", "training",
                                 "optimizers"])  # fmt: skip
def test_what_must_be_there(key):
    tree = {k: v for k, v in MINIMAL.items() if k != key}
    with pytest.raises(ValueError, match=key):
        Experiment.model_validate(tree)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epohcs=1", "unknown key 'epohcs'. Did you mean 'training.epochs'?"),
        ("batchsize=1", "unknown key 'batchsize'. Did you mean 'training.batch_size'?"),
        ("training.epoch=1", "unknown key 'training.epoch'. Did you mean 'epochs'?"),
        ("model.architectur=1", "unknown key 'model.architectur'. Did you mean 'architecture'?"),
        ("data.foo=1", "unknown key 'data.foo'. Known: layout, limit, name, sample, validation."),
        ("parity.evry=1", "unknown key 'parity.evry'. Did you mean 'every'?"),
        ("titel='x'", "unknown key 'titel'. Did you mean 'title'?"),
        ("optimizers.SGD.momentun=0.9", "'optimizers.SGD.momentun'. Did you mean 'momentum'?"),
        ("optimizers.Adam.esp=1.0", "'optimizers.Adam.esp'. Did you mean 'eps'?"),
        # What only the other algorithm knows is not offered.
        ("optimizers.SGD.betas=[0.9,0.9]", "unknown key 'optimizers.SGD.betas'. Known: algori"),
        ("reported=[{quanttiy='x'}]", "'reported.0.quantity' is missing"),
        ("zzz=1", "unknown key 'zzz'. Known: claims, data, "),
        ("a..b=1", "unknown key 'a'."),
    ],
)  # fmt: skip
def test_unknown_keys_are_named_with_the_nearest(change, message):
    assert message in refusal(change)


NUMBERS = ("nan", "inf", "-inf", "-1", "0")


@pytest.mark.parametrize("value", [*NUMBERS, "-3", "1.5", "2.0", "true", "'3'", "[1]", "{}"])
@pytest.mark.parametrize("key", ["training.epochs", "training.batch_size", "data.limit"])
def test_counts(key, value):
    assert f": {key} should be " in refusal(f"{key}={value}")


@pytest.mark.parametrize("value", [*NUMBERS, "'0.1'", "true", "[1.0]"])
@pytest.mark.parametrize("key", ["optimizers.SGD.lr", "optimizers.Adam.lr", "model.std"])
def test_positive_numbers(key, value):
    assert f": {key} should be " in refusal(f"{key}={value}")


@pytest.mark.parametrize("value", ["nan", "inf", "-1e-9", "'0'"])
@pytest.mark.parametrize(
    "key",
    ["optimizers.SGD.momentum", "optimizers.SGD.weight_decay", "optimizers.Adam.eps",
     "optimizers.Adam.weight_decay"],
)  # fmt: skip
def test_numbers_that_are_not_negative(key, value):
    assert f": {key} should be " in refusal(f"{key}={value}")
    load_experiment("mnist_bn_mlp", [f"{key}=0"])


@pytest.mark.parametrize(
    "betas",
    ["0.9", "[]", "[0.9]", "[0.9,0.9,0.9]", "[0.9,1.0]", "[-0.1,0.9]", "[0.9,nan]", "[inf,0.9]",
     "['a',0.9]", "{}"],
)  # fmt: skip
def test_betas(betas):
    assert ": optimizers.Adam.betas" in refusal(f"optimizers.Adam.betas={betas}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.validation=1.0", "data.validation should be less than 1, but is 1.0."),
        ("data.validation=-0.1", "data.validation should be greater than or equal to 0"),
        ("data.validation=nan", "data.validation should be a finite number"),
        ("data.layout=imgae", "data.layout should be 'flat' or 'image', but is 'imgae'."),
        ("data=3", "data should be a table, but is 3."),
        ("training=[]", "training should be a table, but is []."),
        ("optimizers=3", "optimizers should be a table, but is 3."),
        ("optimizers={}", "optimizers should have at least 1 item, but is {}."),
        ("optimizers.SGD=3", "optimizers.SGD should be a table, but is 3."),
        ("optimizers.SGD={}", "the key 'optimizers.SGD.lr' is missing."),
        ("optimizers.SGD.algorithm=Lion", "optimizers.SGD has the algorithm 'Lion'"),
        ("optimizers.Lion.lr=0.1", "expected one of 'SGD', 'Adam'"),
        ("optimizers.SGD.nesterov=1", "optimizers.SGD.nesterov should be a valid boolean"),
        ("optimizers.SGD.dampening=inf", "optimizers.SGD.dampening should be a finite number"),
        ("training.dtype=float16", "should be 'float32' or 'float64', but is 'float16'."),
        ("training.loss=KLDivLoss", "training.loss should be 'CrossEntropyLoss', 'NLLLoss', "),
        ("training.seeds=[]", "training.seeds should have at least 1 item, but is []."),
        ("training.seeds=[1,2,1]", "training.seeds should hold each seed once"),
        ("training.seeds=[-1]", "training.seeds.0 should be greater than or equal to 0"),
        (f"training.seeds=[0,{2**32}]", "training.seeds.1 should be less than 4294967296"),
        ("training.seeds=3", "training.seeds should be a valid list, but is 3."),
        ("model.initialisation=he", "model.initialisation should be 'kaiming_uniform', "),
        ("model.arguments.sizes=[nan]", "model.arguments.sizes should be made of finite numbers"),
        ("model.arguments.day=2020-01-01", "model.arguments.day should be made of finite numbers"),
        ("parity.first_steps=0", "parity.first_steps should be greater than or equal to 1"),
        ("parity.every=0", "parity.every should be greater than or equal to 1"),
        ("parity.replicas=9", "parity.replicas should be less than or equal to 8"),
        ("parity.replica_steps=-1", "parity.replica_steps should be greater than or equal to 0"),
        ("title=3", "title should be a valid string, but is 3."),
        ("reported=[{quantity='loss',label='SGD',by='x',value=1.0}]", "'train loss', "),
        ("reported=[{quantity='test loss',label='SGD',by='x',value=nan}]", "a finite number"),
        ("reported=[{quantity='test loss',label='Lion',by='x',value=1.0}]",
         "is for the optimizer 'Lion', but the optimizers are SGD, Adam"),
        ("optimizers={SGD={lr=0.1}}", "(reported = [] leaves all such figures out)"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(change, message):
    assert message in refusal(change)


@pytest.mark.parametrize("label", ["a/b", "..", ".x", "", "a\n", "-a", "ü", "x ", "[red]", "a,b"])
def test_labels_can_name_files(label):
    change = f'optimizers={{{json.dumps(label)}={{algorithm="SGD",lr=0.1}}}}'
    said = refusal(change)
    assert "the label" in said or "a key with a character that is not seen" in said


@pytest.mark.parametrize("label", ["SGD 0.9", "adam-1e-3", "a_b+c", "x", "A.1"])
def test_labels_that_are_fine(label):
    change = f'optimizers={{{json.dumps(label)}={{algorithm="SGD",lr=0.1}}}}'
    _, form = load_experiment("mnist_bn_mlp", ["reported=[]", change])
    assert list(form.optimizers) == [label]


def test_more_problems_are_counted():
    message = refusal("reported=[{}]")
    assert message.endswith("'reported.0.quantity' is missing. (3 more after that.)")


@pytest.mark.parametrize("name", experiment_names())
def test_the_form_survives_json(name):
    """run.json holds the form; what is read back is the same experiment."""
    form = load_settings(name)[1]
    assert type(form).model_validate_json(form.model_dump_json()) == form


def test_whole_numbers_are_numbers():
    form = load_experiment("mnist_bn_mlp", ["optimizers.SGD.lr=1"])[1]
    assert isinstance(form.optimizers["SGD"].lr, float)
    assert math.isclose(form.optimizers["SGD"].lr, 1.0)
