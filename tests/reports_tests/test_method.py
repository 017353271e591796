"""The network and the method: what is read from the record, and what of it is described."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from reports_tests.synthetic_run import MODULES, text_of

from compare.records.run import read_run
from compare.records.tables import ParityRow
from experiments.initialisation import Scheme
from reports.method import method_of
from reports.network import Site, chain, class_of, modules_of, networks, printed, site_of

MakeRun = Callable[..., Path]


def test_the_name_of_a_site_taken_apart() -> None:
    def site(name: str, dtype: str = "float32") -> Site:
        return site_of(ParityRow("SGD", 0, 0, dtype, name, 0.0, 0.0, 0.0, True))

    assert site("forward/0/output") == ("float32", "forward", "0", "0/output")
    assert site("gradient/a.1.weight", "float64") == ("float64", "gradient", "a.1", "a.1.weight")
    assert site("whole/forward/0/output") == ("whole", "forward", "0", "0/output")
    assert site("shuffle") == ("float32", "shuffle", "", "")


def test_modules_have_their_recorded_class_and_their_shapes(make_run: MakeRun) -> None:
    run = read_run(make_run(optimizers=("SGD",)))
    training = run.record.trainings[0]
    modules = modules_of(run, training)
    assert [(module.name, module.printed) for module in modules] == [
        ("0", "Linear(4, 3)"),
        ("1", "BatchNorm1d(3)"),
        ("2", "LeakyReLU(negative_slope=0.01)"),
        ("3", "Linear(3, 2)"),
    ]
    assert modules[0].shapes == {"weight": (3, 4), "bias": (3,)}
    assert modules[1].shapes == {"weight": (3,), "bias": (3,)}  # running_mean is a buffer
    assert modules[2].shapes == {}
    assert [class_of(training, name) for name in ("1", "loss")] == ["BatchNorm1d", ""]


def test_modules_stand_in_the_order_in_which_they_compute(make_run: MakeRun) -> None:
    backwards = dict(reversed(MODULES.items()))
    run = read_run(make_run(optimizers=("SGD",), modules={**backwards, "unused": "ReLU()"}))
    names = [module.name for module in modules_of(run, run.record.trainings[0])]
    assert names == ["0", "1", "2", "3", "unused"]


def test_only_what_is_used_is_described(make_run: MakeRun) -> None:
    plain = {"0": "Linear(in_features=4, out_features=3)", "1": "ReLU()"}
    text = text_of(make_run(optimizers=("SGD",), modules=plain))
    assert "### Rectifier" in text
    assert "### Leaky rectifier" not in text
    assert "### Batch normalisation" not in text
    assert "### Adam" not in text
    both = text_of(make_run("both"))
    assert "### Leaky rectifier" in both
    assert "### Rectifier" not in both
    assert "### Batch normalisation" in both
    assert "### Adam" in both
    assert "class BatchNorm1d:" in both
    assert "at their defaults, $10^{-5}$ and $0.1$" in both
    for other in ("eps=0.001, momentum=0.1", "eps=1e-05, momentum=0.15"):
        modules = {"0": f"BatchNorm1d(3, {other}, affine=True, track_running_stats=True)"}
        assert "at their defaults" not in text_of(make_run(other, modules=modules))


def test_the_tolerances_are_those_of_the_record(make_run: MakeRun) -> None:
    tolerances = {"k": 3.0, "floor_ulp": 7.0, "float64": 2e-12, "unit_roundoff": {}}
    text = text_of(make_run(record={"tolerances": tolerances}))
    assert r"\le 3\cdot\max(e_{\text{PyTorch}},\ 7\,u)$" in text
    assert r"must agree to $2\cdot10^{-12}$" in text
    double = {"training": {"epochs": 2, "batch_size": 10, "dtype": "float64"}}
    text = text_of(make_run("double", experiment=double))
    assert "- **float32.**" not in text
    assert "- **float64.**" in text


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_every_initialisation_has_its_words(make_run: MakeRun, scheme: str) -> None:
    model = {"architecture": "tiny", "initialisation": scheme, "std": 0.25}
    text = text_of(make_run(optimizers=("SGD",), experiment={"model": model}))
    section = text.partition("### Initialisation\n")[2].partition("\n### ")[0]
    assert section.strip()
    assert ("standard deviation 0.25" in section) == (scheme == "normal")


def test_a_standard_deviation_that_is_varied(make_run: MakeRun) -> None:
    vary = {"std": {"key": "model.std", "values": [0.1, 0.2]}}
    model = {"architecture": "tiny", "initialisation": "normal"}
    run = make_run(optimizers=("SGD",), vary=vary, experiment={"model": model})
    assert "the standard deviation that is varied (0.1 to 0.2), and" in text_of(run)


def test_the_settings_of_the_optimizers_choose_the_words(make_run: MakeRun) -> None:
    optimizers = {
        "plain": {"algorithm": "SGD", "lr": 0.1},
        "heavy": {"algorithm": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True},
        "Adam": {"lr": 0.1, "weight_decay": 0.1, "amsgrad": True, "maximize": True},
    }
    run = read_run(make_run(optimizers=tuple(optimizers), experiment={"optimizers": optimizers}))
    method = method_of(run)
    assert method["sgd"] == {
        "plain": True,
        "momentum": True,
        "dampening": False,
        "nesterov": True,
        "decay": False,
    }
    assert method["adam"] == {"decay": True, "amsgrad": True}
    assert method["maximize"]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("CrossEntropyLoss", "### Softmax cross-entropy"),
        ("NLLLoss", "### Negative log-likelihood"),
        ("BCELoss", "### Binary cross-entropy\n"),
        ("BCEWithLogitsLoss", "### Binary cross-entropy of a logit"),
        ("MSELoss", "nearest whole number"),
        ("HuberLoss", "Trainings also use `HuberLoss`"),
    ],
)
def test_only_the_loss_that_is_used_is_described(
    make_run: MakeRun, loss: str, expected: str
) -> None:
    training = {"epochs": 2, "batch_size": 10, "loss": loss}
    text = text_of(make_run(optimizers=("SGD",), experiment={"training": training}))
    assert expected in text
    knows_nothing = loss in ("CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss")
    assert ("knows nothing has the loss $\\ln 2" in text) == knows_nothing
    assert ("Softmax cross-entropy" in text) == (loss == "CrossEntropyLoss")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))", "### Convolution"),
        ("MaxPool2d(kernel_size=2)", "### Pooling"),
        ("Dropout(p=0.5, inplace=False)", "### Dropout"),
        ("Sigmoid()", "### Sigmoid"),
        ("Tanh()", "### Hyperbolic tangent"),
        ("SiLU()", "### SiLU"),
        ("Flatten(start_dim=1, end_dim=-1)", "### Flatten"),
        ("GELU()", "The network also uses `GELU`"),
    ],
)
def test_every_recorded_module_is_described(make_run: MakeRun, kind: str, expected: str) -> None:
    run = read_run(make_run(optimizers=("SGD",)))
    assert expected not in text_of(run)
    run.record.trainings[0].modules = {"0": "Linear(in_features=4, out_features=3)", "1": kind}
    assert expected in text_of(run)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"algorithm": "AdamW", "lr": 0.1}, "### AdamW"),
        ({"algorithm": "Adagrad", "lr": 0.1}, "### AdaGrad"),
        ({"algorithm": "RMSprop", "lr": 0.1}, "### RMSprop"),
        ({"algorithm": "Adadelta", "lr": 0.1}, "### Adadelta"),
        ({"algorithm": "Rprop", "lr": 0.1}, "Trainings also use `Rprop`"),
        ({"algorithm": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": True}, "Nesterov's variant"),
    ],
)
def test_every_optimizer_is_described(make_run: MakeRun, form: dict, expected: str) -> None:
    experiment = {"optimizers": {"mine": form}}
    text = text_of(make_run(optimizers=("mine",), experiment=experiment))
    assert expected in text


def test_weight_decay_on_weights_alone_is_said(make_run: MakeRun) -> None:
    training = {"epochs": 2, "batch_size": 10, "decay_biases": False}
    experiment = {"training": training, "optimizers": {"SGD": {"lr": 0.1, "weight_decay": 0.1}}}
    text = text_of(make_run(optimizers=("SGD",), experiment=experiment))
    assert "It acts on weights alone" in text
    assert "| weight decay | of weights alone" in text


def test_networks_that_differ_are_listed(make_run: MakeRun) -> None:
    vary = {
        "norm": {
            "cases": {
                "with": {},
                "without": {"model": {"arguments": {"sizes": [4, 5, 2]}}},
            }
        }
    }
    std = {"std": {"key": "model.std", "values": [1.0, 0.1]}}
    run = read_run(make_run(optimizers=("SGD",), vary={**vary, **std}))
    for training in run.record.trainings:
        training.modules = {"0": "Linear(in_features=4, out_features=3)", "1": "ReLU()"}
    assert [cases for cases, _ in networks(run)] == ["with", "without"]
    assert "- *without*: Linear, ReLU; 29 trained values" in text_of(run)
    same = read_run(make_run("same", optimizers=("SGD",), vary=std))
    assert len(method_of(same)["networks"]) == 1
    assert "do not all have the same network" not in text_of(same)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ("A", "A"),
        ("AB", "A, B"),
        ("AA", "2 × A"),
        ("ABABC", "2 × (A, B), C"),
        ("CABABAB", "C, 3 × (A, B)"),
        ("", ""),
    ],
)
def test_chains(classes: str, expected: str) -> None:
    assert chain(list(classes)) == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("ReLU()", "ReLU"),
        ("Linear(in_features=2, out_features=3, bias=True)", "Linear(2, 3)"),
        ("Linear(in_features=2, out_features=3, bias=False)", "Linear(2, 3, bias=False)"),
        ("Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
         "Conv2d(1, 2, (3, 3), padding=(1, 1))"),
        ("BatchNorm1d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)",
         "BatchNorm1d(4)"),
    ],
)  # fmt: skip
def test_printed_modules_leave_defaults_out(module: str, expected: str) -> None:
    assert printed(module) == expected
