"""Every experiment of the package, made small: it runs, both backends agree, there is a report."""

from __future__ import annotations

import pytest

from compare.records.run import read_run
from compare.spec.experiment import Experiment
from compare.spec.loading import experiment_names, load_settings

# Name → what makes one quick step of it quicker still, with the same kinds of layers and with
# trainings for every claim.
SMALLER = {
    "activation_histograms": ["rows=50", "units=20", "seeds=[0]"],
    "batchnorm_vs_init_scale": ["vary.std.log_steps.count=2"],
    "covertype_dnn": [],
    "hyperparameter_search": ["vary.trial.trials=4"],
    "mnist_activations": [],
    "mnist_bn_mlp": [],
    "mnist_cnn": ["training.batch_size=8"],
    "mnist_deep_convnet": ["training.batch_size=8"],
    "mnist_no_batchnorm": [],
    "mnist_regression_head": [],
    "mnist_simple_convnet": ["training.batch_size=8"],
    "mnist_softmax": [],
    "mnist_vgg16": [
        "training.batch_size=8",
        "model.arguments={widths=[4,8,8,8,8],hidden=[16,16]}",
    ],
    "optimizer_comparison": [],
    "optimizer_paths": [],
    "overfit_dropout": [],
    "overfit_weight_decay": [],
    "pass_fail": [],
    "weight_init_comparison": [],
}


def has_claims(name):
    """Whether the report decides something: a demonstration always does."""
    settings = load_settings(name)[1]
    return bool(settings.claims) if isinstance(settings, Experiment) else True


# One evaluation on few rows, and only the first of two steps certified.
ANY_TRAINING = [
    "training.seeds=[0]",
    "parity.replicas=0",
    "small={training={evaluate_rows=20},parity={first_steps=1,every=100}}",
]


# What they have beside the others is tested by itself, or they take long.
LONG = dict.fromkeys(
    (
        *(
            "mnist_activations",
            "mnist_deep_convnet",
            "mnist_no_batchnorm",
            "weight_init_comparison",
        ),
        *("mnist_regression_head", "optimizer_comparison", "overfit_dropout", "mnist_vgg16"),
        *("hyperparameter_search", "batchnorm_vs_init_scale", "overfit_weight_decay"),
        *("activation_histograms", "mnist_simple_convnet"),
    ),
    pytest.mark.slow,
)


def test_all_of_them_are_there():
    assert set(experiment_names()) == set(SMALLER)


@pytest.mark.parametrize("name", [pytest.param(n, marks=LONG.get(n, ())) for n in SMALLER])
def test_two_steps_of_each_training(name, command_line, markdown_alone, tmp_path):
    """Every network, loss, layout, optimizer and initialisation, and the figures of its own."""
    _, form = load_settings(name)
    changes = [*SMALLER[name], *(ANY_TRAINING if isinstance(form, Experiment) else [])]
    words = [word for change in changes for word in ("--set", change)]
    out = tmp_path / name
    done = command_line("run", name, "--sample", "--max-steps", 2, "--out", out, *words)
    assert done.status == 0, done.out[-2000:] + done.err
    if isinstance(form, Experiment):
        record = read_run(out).record
        assert record.status == "complete"
        configurations = load_settings(name, changes)[1].configurations
        assert [t.label for t in record.trainings] == [c.label for c in configurations]
    text = (out / "report" / "report.md").read_text(encoding="utf-8")
    answered = any(answer in text.lower() for answer in ("supported", "undecided"))
    assert answered is has_claims(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALLER)
def test_five_steps_from_every_seed(name, command_line, tmp_path):
    """The networks in their own size, every case and seed, and the three documents."""
    out = tmp_path / name
    done = command_line("run", name, "--sample", "--max-steps", 5, "--out", out)
    assert done.status == 0, done.out[-2000:] + done.err
    for file in ("run.json", "parity.csv", "report/report.md", "report/report.html"):
        assert (out / file).stat().st_size > 0
    assert (out / "report" / "report.pdf").read_bytes().startswith(b"%PDF")
    text = (out / "report" / "report.md").read_text(encoding="utf-8")
    answered = any(answer in text.lower() for answer in ("supported", "undecided"))
    assert answered is has_claims(name)
