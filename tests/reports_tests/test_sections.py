"""What the report says of every shape of run; figures and documents are left out here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reports_tests.synthetic_run import text_of
from safetensors.numpy import save_file

from compare.records.run import FirstStep, FollowedValue, Growth, Handover, Opening, Run, read_run
from compare.records.tables import APART
from compare.spec.report import ReportSettings
from reports.sections import listing_of, without_docstrings
from reports.tables import MOST_ROWS
from reports.trainings import MOST_SHOWN, ranked, shown

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
    "by": "an author",
    "quantity": "test loss",
    "of": {"norm": "with"},
    "relation": "lower than",
    "than": {"norm": "without"},
}


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


def test_the_sections_of_a_homework(make_run: MakeRun) -> None:
    text = text_of(make_run())
    heads = re.findall(r"^## (\d) (.*)$", text, re.M)
    assert heads == [
        ("1", "Task"),
        ("2", "Data"),
        ("3", "Method"),
        ("4", "Training set-up"),
        ("5", "Results"),
        ("6", "What this run cannot show"),
        ("7", "Conclusions"),
    ]
    assert text.startswith("# A tiny network\n")
    assert "3 February 2024" in text
    assert "Tell two \\*kinds\\* of rows apart." in text
    assert "nncompare run tiny\n" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"finished": False}, "**This run is incomplete**"),
        (
            {"record": {"sample": True}, "experiment": {"data": {"name": "all of it"}}},
            "made-up rows instead of the full data set",
        ),
        ({"record": {"max_steps": 6}}, "stopped each training after 6 steps"),
        ({"failing": {(1, "gradient/1.weight")}}, "1 of 83 comparisons fails"),
        ({"failing": {(1, "gradient/1.weight")}}, "`gradient/1.weight`"),
        ({"failing": {(1, "gradient/1.weight")}}, "**not** the same network"),
        ({"compared": False}, "Nothing was compared"),
        ({"initial": (23, 5, True)}, "so PyTorch was given NumPy's values"),
        ({"initial": (23, 5, False)}, "the two trainings start apart"),
        ({"flips": 2}, "8 lie on another side"),
        ({"ratio": None}, "No step was timed"),
        ({"ratio": 0.5}, "NumPy is slower than PyTorch"),
        ({"ratio": 1.0}, "No difference in speed can be told"),
        ({"drift": False}, "No replica was run"),
        ({"loss": lambda step: math.nan}, "is not a finite number at the end"),
        ({"loss": lambda step: 1.0 + step}, "did not fall"),
        ({"wrong": (0, 0), "optimizers": ("SGD",)}, "classifies all 40 test rows rightly"),
        ({"pictures": False}, "most often a true even is called odd"),
        ({"weights": False}, "`Linear(4, 3)`"),
        ({"modules": {}}, "### Initialisation"),
        ({"finished": False}, "All 83 comparisons pass."),
        ({"optimizers": ("SGD",), "vary": STD}, "*1 more training.* All 83 comparisons pass."),
        ({"optimizers": ("SGD",), "vary": STD, "record": {"trainings": []}}, "begun, so there"),
        ({"optimizers": ("SGD",), "vary": STD, "ratio": None}, "No step was timed"),
        ({"seeds": (3, 4)}, "Over 2 seeds"),
        ({"steps": 1}, "| 0 / 1 |"),
        ({"experiment": {"reported": []}}, "names no published figure"),
        ({"sources": {}}, "The code\n"),
        ({"optimizers": ("SGD",)}, "is listed beneath the table"),
        ({"record": {"trainings": []}}, "No training was begun"),
    ],
)
def test_every_shape_of_run_has_its_report(make_run: MakeRun, changes: dict, expected: str) -> None:
    assert expected in text_of(make_run(**changes))


def test_validation_rows_have_their_columns_and_their_curve(make_run: MakeRun) -> None:
    run = make_run(optimizers=("SGD",))
    record = run / "run.json"
    text = record.read_text(encoding="utf-8")
    record.write_text(text.replace('"validation_rows": 0', '"validation_rows": 7'), "utf-8")
    history = run / "history.csv"
    lines = history.read_text(encoding="utf-8").splitlines()
    lines += [line.replace(",test,", ",validation,") for line in lines if ",test," in line]
    history.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = text_of(run)
    assert "validation accuracy" in report
    assert "7 validation rows" in report


def test_seeds_share_a_line_and_failures_have_their_own(make_run: MakeRun) -> None:
    text = text_of(make_run("right", optimizers=("SGD",), seeds=(1, 2, 3)))
    assert "**Step 0, each of the 3 trainings:** 23 values compared, 0 bits differ" in text
    assert "*2 more trainings.* All 166 comparisons pass." in text
    assert "*SGD, seed 1.*" in text
    assert "*SGD, seed 2.*" not in text
    failing = {(1, "gradient/1.weight")}
    text = text_of(make_run("wrong", optimizers=("SGD",), seeds=(1, 2), failing=failing))
    assert "*SGD, seed 2.* **1 of 83 comparisons fails.**" in text
    assert "more training" not in text


def test_four_of_many_are_shown_and_the_report_says_which(make_run: MakeRun) -> None:
    run = varied(make_run, {**NORM, **STD}, losses=level)
    found = [training.label for training in shown(run)]
    assert len(found) == MOST_SHOWN
    assert sum("without" in name for name in found) == 2  # the best and the worst of each case
    for case in ("with", "without"):
        mine = [t for t in run.record.trainings if t.variant["norm"] == case]
        order = ranked(run, mine)
        assert {order[0].label, order[-1].label} <= set(found)
    text = text_of(run)
    assert "the best and the worst of either case of norm" in text
    choice = next(line for line in text.splitlines() if line.startswith("The run has 10"))
    assert all(f"*{name}*" in choice for name in found)


def test_one_axis_alone_is_shown_from_the_best_to_the_worst(make_run: MakeRun) -> None:
    run = varied(make_run, STD, losses=level)
    order = [training.label for training in ranked(run, run.record.trainings)]
    assert {order[0], order[-1]} <= {training.label for training in shown(run)}
    assert "at equal distances from the best to the worst" in text_of(run)


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
    assert results[0][:3] == ["backend", "norm", "std"]
    assert len(results) == 2 + 2 * 10


def test_seeds_share_a_row_with_their_spread(make_run: MakeRun) -> None:
    run = varied(make_run, NORM, losses=level, seeds=(0, 1))
    rows = results_table(text_of(run))
    assert rows[0] == ["backend", "norm", "seeds", "train loss", "test loss", "test accuracy"]
    assert len(rows) == 2 + 4
    assert all("±" in cell for row in rows[2:] for cell in row[3:])


def test_a_hundred_trials_have_the_ends_of_their_ranking(make_run: MakeRun) -> None:
    run = varied(make_run, SEARCH, losses=level)
    text = text_of(run)
    rows = results_table(text)
    assert rows[0][:3] == ["trial", "lr", "weight decay"]
    assert len(rows) == 2 + 20 + 1 + 5 < MOST_ROWS
    best = ranked(run, run.record.trainings)[0]
    assert rows[2][0] == best.label.removeprefix("SGD trial ")
    assert "Of the 45 the table has the best 20 and the worst 5" in text
    assert "45 trials, each with random `optimizers.SGD.lr` from 10⁻⁴ to 0.1" in text
    assert len(text.splitlines()) < 700


def test_failures_come_first(make_run: MakeRun) -> None:
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
    heads = re.findall(r"^## (\d .*)$", text, re.M)
    assert heads[-3:] == ["6 The claims", "7 What this run cannot show", "8 Conclusions"]
    section = text.partition("## 6 The claims")[2].partition("## 7")[0]
    assert "**Supported**, on both backends." in section
    assert "| 1 | NumPy | with − without | −0.8000 | −0.8000 to −0.8000 | 2 |" in section
    assert "full experiment" not in section
    assert "“with it is better” (an author): **supported**" in text.partition("## 8")[2]
    part = varied(
        make_run,
        NORM,
        "part",
        losses=losses,
        seeds=(0, 1),
        experiment={"claims": [CLAIM]},
        record={"max_steps": 6},
    )
    partial = text_of(part)
    assert "**The claims are about the full experiment**, but this run" in partial
    assert "**Not answered** by this run." in partial
    assert "(an author): **supported**" not in partial


def test_equality_is_tested_over_seeds(make_run: MakeRun) -> None:
    text = text_of(varied(make_run, NORM, losses=level, seeds=(0, 1)))
    assert "### 5.3 Equality over seeds" in text
    assert "is **equivalent**: NumPy's less PyTorch's is" in text
    assert "Each by itself, 2 of 2 trainings are equivalent." in text
    assert "The two backends' final test accuracy is **equivalent**" in text.partition("## 7")[2]
    one = text_of(varied(make_run, NORM, "one"))
    assert "### 5.3 Equality over seeds" not in one
    assert "nor whether both backends end equally good" in one


def test_data_without_test_rows(make_run: MakeRun) -> None:
    path = make_run(optimizers=("SGD",), seeds=(0, 1), experiment={"reported": []})
    (path / "predictions.safetensors").unlink()
    (path / "pictures.safetensors").unlink()
    save_file({}, path / "predictions.safetensors")
    save_file({}, path / "pictures.safetensors")
    record = path / "run.json"
    text = record.read_text(encoding="utf-8").replace('"test_rows": 40', '"test_rows": 0')
    record.write_text(text, encoding="utf-8")
    history = (path / "history.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = "".join(line for line in history if ",test," not in line)
    (path / "history.csv").write_text(kept, encoding="utf-8")
    text = text_of(read_run(path))
    assert "test accuracy" not in text
    assert "Confusions" not in text
    assert "No row is held out" in text
    assert "| backend | optimizer | seeds | train loss | training-set loss | training-set" in text
    assert "two backends' final training-set accuracy is **equivalent**" in text
    assert "### 5.5 Reported figures" in text


def test_facts_of_newer_records_are_shown_and_older_ones_are_read(make_run: MakeRun) -> None:
    path = make_run(optimizers=("SGD",))
    with (path / "drift.csv").open("a", encoding="utf-8") as file:
        file.write("".join(f"SGD,0,{step},{APART},{1e-7 * step}\n" for step in (1, 2, 5)))
    run = read_run(path)
    old = text_of(run)
    assert "**One number followed.**" not in old
    assert "is not recorded" in old
    assert "How many rows each class has" not in old
    record = run.record
    record.data.class_counts = {"train": [10, 20], "test": [20, 20]}
    record.data.input_range = (0.0, 1.0)
    record.environment.load = 0.1
    record.excerpts = {"Linear": "def forward(self, x):\n    return x"}
    record.experiment = record.experiment.model_copy(
        update={"report": ReportSettings(author="An *author*", course="A course")}
    )
    record.trainings[0].followed = FollowedValue(
        step=1,
        site="forward/0/output",
        dtype="float32",
        index=[2, 1],
        numpy=1.0000001,
        torch=1.0,
        referee=1.0,
        size=1.0,
        numpy_error=1e-7,
        torch_error=0.0,
        tolerance=32 * 2.0**-24,
    )
    first = record.trainings[0]
    first.evaluation_rows = 100
    first.first_step = FirstStep(distance=1e-5, part="weights", share=0.9)
    first.opening = Opening(steps=9, step=2, last=1, inputs=80)
    first.handover = Handover(first=2, last=5, before=0.1, after=0.2, handed=1e-3)
    record.repository = "https://example.org/me/net"
    assert "evaluation mode was compared through losses" in old
    text = text_of(run)
    assert "evaluation mode was compared as well, on 100 rows" in text
    assert "at the end of a training alone, on 100 rows" in text
    assert "90.00% of the square of that lies in the weights." in text
    assert "Step 2 is the first in which an input of an activation lies on one side" in text
    assert "PyTorch made the 3 steps before step 5 once more" in text
    assert "git clone https://example.org/me/net\ncd net\n" in text
    assert "An \\*author\\* · A course" in text
    assert "| train | 10 | 20 | 30 |" in text
    assert "reach from 0 to 1." in text
    assert "was at rest as the run began (load 0.100 on 2 cores)" in text
    assert "compared with `torch.nn.Linear(4, 3)`:\n\n`````python\ndef forward(self, x):" in text
    assert "the one in row 2, column 1, both counted from 0, is farthest" in text
    assert "5.2% of it: **the comparison passes.**" in text


def test_the_nearest_comparisons_are_listed_and_a_failure_is_first(make_run: MakeRun) -> None:
    text = text_of(make_run(optimizers=("SGD",), failing={(1, "gradient/1.weight")}))
    table = text.partition("nearest to their bounds, the first 20")[2].partition("###")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 20
    assert "**12500.0%**" in rows[0]
    assert "`gradient/1.weight`" in rows[0]


def test_induction_needs_every_step(make_run: MakeRun) -> None:
    part = text_of(make_run("part", optimizers=("SGD",)))
    assert "by induction NumPy's run" not in part
    assert "do not show that the other 4 are" in part
    whole = text_of(make_run("whole", optimizers=("SGD",), steps=2))
    assert "by induction NumPy's run is a float32 run" in whole


def test_one_seed_says_nothing_of_optimizers_and_several_do(make_run: MakeRun) -> None:
    one = text_of(make_run("one"))
    assert "and not of other seeds or learning rates" in one
    assert "McNemar" in one
    several = text_of(make_run("several", seeds=(0, 1)))
    assert "Over 2 seeds SGD's accuracy less Adam's is +2.50 points on average" in several
    assert "McNemar" not in several


def test_listings_have_no_docstrings() -> None:
    source = '"""What it is."""\n\nimport x\n\n\ndef f(a):\n    """Says."""\n    return "kept"\n'
    assert without_docstrings(source) == 'import x\n\n\ndef f(a):\n    return "kept"'
    only = 'class A(Exception):\n    """Nothing else."""'
    assert without_docstrings(only) == only
    assert without_docstrings("no python here (") == "no python here ("


def test_the_repository_is_cloned_from_its_address() -> None:
    found = listing_of("nncompare run x", "0123abc", "https://example.org/me/net")
    lines = found.splitlines()[1:-1]
    assert lines[:3] == [
        "git clone https://example.org/me/net",
        "cd net",
        "git checkout 0123abc",
    ]
    assert lines[-1] == "nncompare run x"
    assert "# in a clone of the project's repository" in listing_of("nncompare run x", None)
    assert "NNCOMPARE_DATA" not in found
    assert "CPU build" not in found
    assert "# the CPU build of PyTorch first" in listing_of("nncompare run x", None, cpu=True)
    assert "# $NNCOMPARE_DATA names the folder" in listing_of("nncompare run x", None, folder=True)


def test_why_the_backends_part_is_concluded_where_steps_made_again_showed_it(
    make_run: MakeRun,
) -> None:
    run = read_run(make_run())
    assert "backends first part" not in text_of(run)
    sgd, adam = run.record.trainings
    sgd.growth = Growth(
        first=0, last=4, before=1e-8, after=1e-6, replayed=4, step=3, step_before=2e-8,
        step_after=1e-6, sides=1, inputs=80, module="2", same_side=2e-8,
    )  # fmt: skip
    adam.opening = Opening(
        steps=5, step=2, last=1, inputs=80, after=2e-4, same_side=1.9e-4, effective=1e-4,
        effective_same_side=1e-6,
    )  # fmt: skip
    assert "kink: with SGD at step 3, with Adam from step 2 on. With" in text_of(run)
    assert "leave 2.0% of that distance or less" in text_of(run)
    adam.opening = adam.opening.model_copy(update={"effective_same_side": 9e-5})
    assert "kink: with SGD at step 3. With" in text_of(run)
    sgd.growth = sgd.growth.model_copy(update={"same_side": None})
    assert "backends first part" not in text_of(run)
