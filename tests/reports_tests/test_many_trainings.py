"""What the report says of many trainings, of claims, and of runs without test rows."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reports.contents import contents
from reports.figures.canvas import Drawing, Figure, style
from reports.tabulated.results import MOST_ROWS

from compare.records.run import Run, read_run
from reports import figures
from reports.figures import parity
from reports.markdown import markdown
from reports.method import method_of
from reports.network import chain, modules_of, networks, printed
from reports.trainings import MOST_SHOWN, choice, ranked, shown

MakeRun = Callable[..., Path]

NORM = {"norm": {"cases": {"with": {}, "without": {"model": {"std": 0.5}}}}}
STD = {"std": {"key": "model.std", "log_steps": {"first": 1.0, "last": 0.01, "count": 5}}}
SEARCH = {
    "trial": {
        "trials": 45,
        "powers_of_ten": {
            "optimizers.SGD.lr": {"low": -4, "high": -1},
            "optimizers.SGD.weight_decay": {"low": -8, "high": -4},
        },
    }
}
CLAIM = {
    "says": "with it is better",
    "by": "somebody",
    "quantity": "test loss",
    "of": {"norm": "with"},
    "relation": "lower than",
    "than": {"norm": "without"},
}


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def rendered(drawing: Drawing, number: int) -> Figure:
        return Figure(drawing.name, number, drawing.caption, drawing.alt, b"", b"")

    monkeypatch.setattr(figures, "rendered", rendered)


def text_of(run: Run) -> str:
    return markdown(contents(run, figures.draw_figures(run)), "reader")


def varied(make_run: MakeRun, vary: dict[str, Any], name: str = "run", **choices: Any) -> Run:
    return read_run(make_run(name, optimizers=("SGD",), vary=vary, **choices))


def level(variant: dict[str, str]) -> Callable[[int], float]:
    """The loss of a training falls towards a value of its own."""
    place = sum(map(ord, "".join(variant.values()))) % 97 / 200
    return lambda step: place + 1.0 / (step + 1)


def results_table(text: str) -> list[list[str]]:
    """The rows of the table of final figures, its head and its rule first."""
    lines = text.partition("Final figures of every training")[2].splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append(line.strip("| ").split(" | "))
    return rows


def test_four_of_many_are_shown_and_the_report_says_which(make_run: MakeRun) -> None:
    run = varied(make_run, {**NORM, **STD}, losses=level)
    found = [training.label for training in shown(run)]
    assert len(found) == MOST_SHOWN
    assert sum("without" in name for name in found) == 2  # the best and the worst of each case
    for case in ("with", "without"):
        mine = [t for t in run.record.trainings if t.variant["norm"] == case]
        order = ranked(run, mine)
        assert {order[0].label, order[-1].label} <= set(found)
    assert "the best and the worst of either case of norm" in choice(run)
    assert all(name in choice(run) for name in found)


def test_one_axis_alone_is_shown_from_the_best_to_the_worst(make_run: MakeRun) -> None:
    run = varied(make_run, STD, losses=level)
    order = [training.label for training in ranked(run, run.record.trainings)]
    assert {order[0], order[-1]} <= {training.label for training in shown(run)}
    assert "at equal distances from the best to the worst" in choice(run)


def test_what_diverged_is_ranked_last(make_run: MakeRun) -> None:
    def losses(variant: dict[str, str]) -> Callable[[int], float]:
        return (lambda _: math.nan) if variant["std"] == "std 0.1" else level(variant)

    run = varied(make_run, STD, losses=losses)
    assert ranked(run, run.record.trainings)[-1].label == "SGD std 0.1"
    text = text_of(run)
    assert "Trainings that met a loss that is not a finite number: 1 with NumPy and 1" in text


def test_many_trainings_are_summed_up(make_run: MakeRun) -> None:
    run = varied(make_run, {**NORM, **STD}, losses=level)
    text = text_of(run)
    assert "*10 trainings.* All 830 comparisons pass." in text
    assert "*6 more trainings.* All 498 comparisons pass." in text
    assert "Of the 10 trainings NumPy's best by final test accuracy is" in text
    results = results_table(text)
    assert results[0][:3] == ["side", "norm", "std"]
    assert len(results) == 2 + 2 * 10
    with style():
        assert len(parity.draw(run)) == 2


def test_seeds_share_a_row_with_their_spread(make_run: MakeRun) -> None:
    run = varied(make_run, NORM, losses=level, seeds=(0, 1))
    rows = results_table(text_of(run))
    assert rows[0] == ["side", "norm", "seeds", "train loss", "test loss", "test accuracy"]
    assert len(rows) == 2 + 4
    assert all("±" in cell for row in rows[2:] for cell in row[3:])


def test_a_hundred_trials_have_the_ends_of_their_ranking(make_run: MakeRun) -> None:
    run = varied(make_run, SEARCH, losses=level)
    text = text_of(run)
    rows = results_table(text)
    assert rows[0][:3] == ["trial", "lr", "weight decay"]
    assert len(rows) == 2 + 20 + 1 + 5 < MOST_ROWS
    best = ranked(run, run.record.trainings)[0]
    assert rows[2][0] == best.optimizer.removeprefix("SGD trial ")
    assert "Of the 45 the table has the best 20 and the worst 5" in text
    assert "45 trials, each with random `optimizers.SGD.lr` from 10⁻⁴ to 0.1" in text
    assert len(text.splitlines()) < 700


def test_failures_are_told_first(make_run: MakeRun) -> None:
    failures = [
        {"label": "SGD", "seed": seed, "error": "ValueError: it broke"} for seed in range(12)
    ]
    run = read_run(make_run(optimizers=("SGD",), record={"failures": failures}))
    text = text_of(run).partition("**In short.**")[0]
    assert "**The training SGD with seed 3 failed** and is missing here: ValueError: it" in text
    assert "**2 more trainings failed**" in text


def test_claims_are_answered_at_the_end(make_run: MakeRun) -> None:
    def losses(variant: dict[str, str]) -> Callable[[int], float]:
        return lambda step: (0.1 if variant["norm"] == "with" else 0.9) + 1 / (step + 1)

    run = varied(make_run, NORM, losses=losses, seeds=(0, 1), experiment={"claims": [CLAIM]})
    text = text_of(run)
    assert re.findall(r"^## (\d .*)$", text, re.M)[-2:] == ["8 The claims", "9 Conclusions"]
    section = text.partition("## 8 The claims")[2].partition("## 9")[0]
    assert "**Supported**, on both sides." in section
    assert "| 1 | NumPy | with − without | −0.8000 | −0.8000 to −0.8000 | 2 |" in section
    assert "full experiment" not in section
    assert "“with it is better” (somebody): **supported**" in text.partition("## 9")[2]
    part = varied(
        make_run,
        NORM,
        "part",
        losses=losses,
        seeds=(0, 1),
        experiment={"claims": [CLAIM]},
        record={"max_steps": 6},
    )
    assert "**The claims are about the full experiment**, but this run" in text_of(part)


def test_equality_is_tested_over_seeds(make_run: MakeRun) -> None:
    text = text_of(varied(make_run, NORM, losses=level, seeds=(0, 1)))
    assert "### 7.3 Equality over seeds" in text
    assert "is **equivalent**: NumPy's less PyTorch's is" in text
    assert "Each by itself, 2 of 2 trainings are equivalent." in text
    assert "The two sides' final test accuracy is **equivalent**" in text.partition("## 8")[2]
    one = text_of(varied(make_run, NORM, "one"))
    assert "### 7.3 Equality over seeds" not in one
    assert "cannot be tested: there is only one seed" in one


def test_data_without_test_rows(make_run: MakeRun) -> None:
    path = make_run(optimizers=("SGD",), seeds=(0, 1), experiment={"reported": []})
    (path / "predictions.safetensors").unlink()
    (path / "pictures.safetensors").unlink()
    from safetensors.numpy import save_file

    save_file({}, path / "predictions.safetensors")
    save_file({}, path / "pictures.safetensors")
    record = path / "run.json"
    text = record.read_text(encoding="utf-8").replace('"test_rows": 40', '"test_rows": 0')
    record.write_text(text, encoding="utf-8")
    history = (path / "history.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = "".join(line for line in history if ",test," not in line)
    (path / "history.csv").write_text(kept, encoding="utf-8")
    told = text_of(read_run(path))
    assert "test accuracy" not in told
    assert "Confusions" not in told
    assert "No row is held out" in told
    assert "| side | optimizer | seeds | train loss | training-set loss | training-set acc" in told
    assert "two sides' final training-set accuracy is **equivalent**" in told
    assert "### 7.7 Reported figures" in told


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
    text = text_of(read_run(make_run(optimizers=("SGD",), experiment={"training": training})))
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
    text = text_of(read_run(make_run(optimizers=("mine",), experiment=experiment)))
    assert expected in text


def test_weight_decay_on_weights_alone_is_said(make_run: MakeRun) -> None:
    training = {"epochs": 2, "batch_size": 10, "decay_biases": False}
    experiment = {"training": training, "optimizers": {"SGD": {"lr": 0.1, "weight_decay": 0.1}}}
    text = text_of(read_run(make_run(optimizers=("SGD",), experiment=experiment)))
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
    run = varied(make_run, {**vary, **STD})
    for training in run.record.trainings:
        training.modules = {"0": "Linear(in_features=4, out_features=3)", "1": "ReLU()"}
    assert [cases for cases, _ in networks(run)] == ["with", "without"]
    assert "- *without*: Linear, ReLU; 29 trained values" in text_of(run)
    assert modules_of(run, run.record.trainings[0])[0].said == "Linear(4, 3)"
    assert method_of(varied(make_run, STD, "same"))["other_networks"] == []


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ("A", "A"),
        ("AB", "A, B"),
        ("AA", "2 × A"),
        ("ABABC", "2 × (A, B), C"),
        ("CABABAB", "C, 3 × (A, B)"),
        ("", ""),
    ],
)
def test_chains(kinds: str, expected: str) -> None:
    assert chain(list(kinds)) == expected


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
