"""Every experiment of the package, made small: it runs, both sides agree, and there is a report."""

from __future__ import annotations

import signal
import sys

import pytest

from compare import cli
from compare.spec.loading import experiment_names

NAMES = {
    "activation_histograms",
    "batchnorm_vs_init_scale",
    "covertype_dnn",
    "hyperparameter_search",
    "mnist_activations",
    "mnist_bn_mlp",
    "mnist_cnn",
    "mnist_deep_convnet",
    "mnist_no_batchnorm",
    "mnist_regression_head",
    "mnist_simple_convnet",
    "mnist_softmax",
    "mnist_vgg16",
    "optimizer_comparison",
    "optimizer_paths",
    "overfit_dropout",
    "overfit_weight_decay",
    "pass_fail",
    "weight_init_comparison",
}


def test_all_of_them_are_there():
    assert set(experiment_names()) == NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_few_steps_of_it(name, tmp_path, monkeypatch, capfd):
    out = tmp_path / name
    words = ["nncompare", "run", name, "--sample", "--max-steps", "5", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ending:
            cli.main()
    finally:
        signal.signal(signal.SIGTERM, before)
    captured = capfd.readouterr()
    assert ending.value.code == 0, captured.out[-2000:] + captured.err
    for file in ("run.json", "parity.csv", "report/report.md", "report/report.html"):
        assert (out / file).stat().st_size > 0
    assert (out / "report" / "report.pdf").read_bytes().startswith(b"%PDF")
    text = (out / "report" / "report.md").read_text(encoding="utf-8")
    assert any(answer in text.lower() for answer in ("supported", "undecided"))
