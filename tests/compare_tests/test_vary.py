"""What an experiment varies, and the trainings that come of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from compare.spec.experiment import Experiment
from compare.spec.vary import AxisSettings, changed, combinations, setting
from experiments.errors import InputError

NORM = 'vary.norm.cases={with={model.arguments.negative_slope=0.1},"no +1"={model.std=2.0}}'
SCALE = 'vary.std={key="model.std",log_steps={first=1.0,last=1e-4,count=3}}'


def labels(form: Experiment) -> list[str]:
    return [configuration.label for configuration in form.configurations]


def test_without_axes_each_optimizer_is_a_training(tiny):
    form = tiny()
    assert labels(form) == ["SGD", "Adam"]
    assert [configuration.variant for configuration in form.configurations] == [
        {"optimizer": "SGD"},
        {"optimizer": "Adam"},
    ]
    for configuration in form.configurations:
        assert list(configuration.experiment.optimizers) == [configuration.optimizer]
        assert (
            configuration.experiment.optimizers[configuration.optimizer]
            == form.optimizers[configuration.optimizer]
        )


def test_every_combination_in_order(tiny):
    form = tiny(NORM, SCALE, "reported=[]")
    assert labels(form) == [
        f"{optimizer} {norm} std {std}"
        for optimizer in ("SGD", "Adam")
        for norm in ("with", "no +1")
        for std in ("1", "0.01", "0.0001")
    ]
    configuration = form.configurations[4]
    assert configuration.variant == {"optimizer": "SGD", "norm": "no +1", "std": "std 0.01"}
    # The later axis has the last word on a setting that two of them change.
    assert configuration.experiment.model.std == 0.01
    assert form.configurations[1].experiment.model.arguments["negative_slope"] == 0.1
    # What is not changed is kept, also in a table of which a part is.
    assert configuration.experiment.model.arguments["sizes"] == [784, 8, 10]
    assert configuration.experiment.vary == {}


def test_equal_steps_of_the_logarithm(tiny):
    form = tiny(
        'vary.std={key="model.std",log_steps={first=1.0,last=1e-4,count=16}}', "reported=[]"
    )
    found = [configuration.experiment.model.std for configuration in form.configurations[:16]]
    np.testing.assert_allclose(found, np.logspace(0, -4, 16), rtol=1e-5)
    assert (found[0], found[-1]) == (1.0, 1e-4)


def test_values_of_any_kind(tiny):
    form = tiny('vary.width={key="model.arguments.sizes",values=[[784,4,10],[784,6,10]]}',
                "reported=[]")  # fmt: skip
    assert labels(form)[:2] == ["SGD width 784 4 10", "SGD width 784 6 10"]
    assert form.configurations[1].experiment.model.arguments["sizes"] == [784, 6, 10]


def test_trials_are_drawn_within_their_powers_of_ten_and_always_the_same(tiny):
    change = (
        "vary.trial={trials=200,seed=3,powers_of_ten={"
        '"optimizers.SGD.lr"={low=-6.0,high=-2.0},"optimizers.SGD.weight_decay"={low=-8.0,high=-4.0}}}'
    )
    only = ("optimizers={SGD={lr=1.0}}", "reported=[]")
    form = tiny(*only, change)
    assert labels(form)[0] == "SGD trial 1"
    assert len(form.configurations) == 200
    rates = [configuration.experiment.optimizers["SGD"].lr for configuration in form.configurations]
    decays = [
        configuration.experiment.optimizers["SGD"].weight_decay
        for configuration in form.configurations
    ]
    for drawn, low in ((rates, -6), (decays, -8)):
        exponents = np.log10(drawn)
        assert low <= exponents.min() < low + 0.2
        assert low + 3.8 < exponents.max() <= low + 4
        # Uniform: the mean of 200 draws lies within four of its standard deviations.
        assert abs(exponents.mean() - (low + 2)) < 4 * 4 / math.sqrt(12 * 200)
    assert np.corrcoef(np.log10(rates), np.log10(decays))[0, 1] < 0.3
    assert [p.experiment for p in tiny(*only, change).configurations] == [
        p.experiment for p in form.configurations
    ]
    other = tiny(*only, change.replace("seed=3", "seed=4"))
    assert other.configurations[0].experiment != form.configurations[0].experiment


def test_changing_nothing_but_a_part():
    tree = {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    assert changed(tree, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 3}
    assert tree == {"a": {"b": 1, "c": [1, 2]}, "d": 3}
    assert changed({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}
    assert setting(tree, "a.b") == 1
    assert setting(tree, "a.x.y") is None
    assert combinations({}) == [({}, {})]


def test_cases_share_nothing():
    """A list that stands in two trainings is two lists."""
    axis = AxisSettings(cases={"x": {"a": [1]}})
    first, second = combinations({"n": axis})[0][1], combinations({"n": axis})[0][1]
    first["a"].append(2)
    assert second["a"] == [1]


def test_selecting(tiny):
    form = tiny(NORM, SCALE, "reported=[]")
    assert len(form.select({})) == 12
    assert [
        p.label for p in form.select({"optimizer": "Adam", "norm": "with", "std": "std 1"})
    ] == ["Adam with std 1"]
    assert len(form.select({"std": ["std 1", "std 0.01"]})) == 8
    assert len(form.select({"model.std": [0.005, 1.0]})) == 8
    assert form.select({"norm": "neither"}) == []
    assert form.select({"model.arguments.sizes": [1.0, 2.0]}) == []
    assert form.select({"model.std": "large"}) == []


def test_a_copy_has_plans_of_its_own(tiny):
    form = tiny()
    assert len(form.configurations) == 2
    copied = form.model_copy(update={"optimizers": {"SGD": form.optimizers["SGD"]}})
    assert labels(copied) == ["SGD"]
    assert labels(form) == ["SGD", "Adam"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("vary.a={}", "should have one of cases, values, log_steps and trials, but has none of"),
        ("vary.a={cases={x={}},trials=2}", "but has cases and trials"),
        ("vary.a={values=[1]}", "an axis of vary with values needs a key"),
        ('vary.a={cases={x={}},key="model.std"}', "an axis of vary with cases takes no key"),
        ("vary.a={trials=2}", "has powers_of_ten where it has trials, and nowhere else"),
        ('vary.a={key="model.std",values=[]}', "vary.a.values should have at least 1 item"),
        ('vary.a={key="model.std",values=[0.1,0.1]}', "two values of 'a' have the same label"),
        ('vary.a={key="model.std",values=[-1.0]}', "'SGD a -1': model.std: Input should be great"),
        ('vary.a={key="model.sdt",values=[1.0]}', "'SGD a 1': model.sdt: Extra inputs are not"),
        ('vary.a={key="title",values=["x"]}', "changes 'title': expected settings of data, model"),
        ('vary.a={key="data.limit",values=[5]}', "all trainings have the same rows, and only"),
        ('vary.a={key="training.seeds",values=[[5]]}', "changes training.seeds, which are the s"),
        ('vary.a={key="optimizers.Sgd.lr",values=[5]}', "changes the optimizer 'Sgd', but the o"),
        ('vary.a.cases={"x/y"={}}', "vary: the case 'x/y' should be made of letters, digits"),
        ('vary={"a/b"={cases={x={}}}}', "vary: the axis 'a/b' should be made of letters, digits"),
        ("vary.optimizer.cases={x={}}", "the axis 'optimizer' is made of the optimizers: "),
        ("vary.a={log_stepz={}}", "unknown key 'vary.a.log_stepz'. Did you mean 'log_steps'?"),
        ('vary.a={key="model.std",log_steps={first=1.0,lats=2.0,count=2}}', "log_steps.last' is "),
        ('vary.a={trials=1,powers_of_ten={x={low=2.0,high=1.0}}}', "low should be below high, but"),
        ("vary.a=3", "vary.a should be a table, but is 3"),
        ("figures=[{kind='curves',panels='x'}]", "the axis 'x' of 'curves' is not one of optimiz"),
        ("figures=[{kind='gradient norms'}]", "'gradient norms' needs training.gradient_norms ="),
        (
            "claims=[{says='s',by='b',quantity='test loss',relation='at most',value=1.0,"
            "of={optimizer='SDG'}}]",
            "'s' selects {'optimizer': 'SDG'}, which is none of the trainings (axes: optimize",
        ),
        ("claims=[{says='s',by='b',quantity='finite',relation='at least'}]", "needs a value and"),
        ("claims=[{says='s',by='b',quantity='finite',relation='higher than'}]", "needs than = {"),
    ],
)  # fmt: skip
def test_what_cannot_be_varied_or_asked(tiny, change, message):
    with pytest.raises(InputError) as caught:
        tiny(change, "reported=[]")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_short_key_means_what_all_trainings_share(tiny):
    form = tiny(NORM, "std=3.0", "reported=[]")
    assert form.model.std == 3.0
    assert form.configurations[0].experiment.model.std == 3.0
    assert form.configurations[1].experiment.model.std == 2.0
