"""Demonstrations from the command line to their records and back."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

import numpy_nn
from compare.records.run import DemoRecord, read_run
from compare.spec.experiment import Experiment
from compare.spec.loading import experiment_names, load_experiment, load_settings
from experiments.errors import InputError

DEMOS = ("activation_histograms", "optimizer_paths")
SMALL = ["--set", "rows=40", "--set", "units=20", "--set", "spreads=[0.01,'xavier']"]


def one_sentence(ended) -> str:
    assert ended.status == 2, ended
    assert ended.err.startswith("nncompare: ")
    assert ended.err.count("\n") == 1, ended.err
    return ended.err


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_they_are_listed(nncompare):
    assert set(DEMOS) <= set(experiment_names())
    printed = nncompare("list").out
    for name in DEMOS:
        assert name in printed
        assert len(load_settings(name)[1].summary) < 80


def test_a_file_without_a_kind_trains_a_network():
    assert isinstance(load_settings("mnist_bn_mlp")[1], Experiment)
    with pytest.raises(InputError, match="optimizer_paths trains no network"):
        load_experiment("optimizer_paths")


@pytest.mark.parametrize(
    ("demo", "settings", "trainings", "tables"),
    [
        ("optimizer_paths", [], 4, {"parity", "paths"}),
        ("activation_histograms", [*SMALL, "--seeds", "0,1"], 12,
         {"parity", "layers", "histogram"}),
    ],
)  # fmt: skip
def test_a_whole_run(nncompare, tmp_path, demo, settings, trainings, tables):
    """Its records are those of every run, and the same when it is made again."""
    words = ["run", demo, *settings, "--sample", "--max-steps", 4, "--out"]
    out = tmp_path / "a"
    ended = nncompare(*words, out)
    assert ended.status == 0, ended
    assert ended.err == ""
    assert ended.out.splitlines()[-1] == f"  {out / 'report' / 'report.md'}"
    assert max(map(len, ended.out.splitlines()[:-1])) <= 80
    assert "…" not in ended.out
    assert "FAIL" not in ended.out
    tree = json.loads((out / "run.json").read_text())
    assert tree["schema"] == 2
    assert tree["experiment"]["kind"] == demo
    assert tree["status"] == "complete"
    assert tree["max_steps"] == 4
    assert tree["command"].startswith(f"nncompare run {demo} ")
    assert {file.name for file in out.iterdir()} == {"run.json", *(f"{t}.csv" for t in tables)}
    rows = table(out / "parity.csv")
    assert list(rows[0]) == [
        "label", "seed", "step", "dtype", "site", "numpy_error", "torch_error", "tolerance",
        "passed",
    ]  # fmt: skip
    assert {row["passed"] for row in rows} == {"true"}
    run = read_run(out)
    assert isinstance(run.record, DemoRecord)
    assert len(run.record.trainings) == trainings
    assert run.history == [] == run.timing
    assert sum(len(run.parity_of(training)) for training in run.record.trainings) == len(rows)
    for training in run.record.trainings:
        assert len(run.parity_of(training)) == training.parity_rows > 0
    assert nncompare(*words, tmp_path / "b").status == 0
    for name in tables:
        file = f"{name}.csv"
        assert (out / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_max_steps_shortens_the_paths(nncompare, tmp_path):
    out = tmp_path / "r"
    assert nncompare("run", "optimizer_paths", "--max-steps", 5, "--out", out).status == 0
    rows = table(out / "paths.csv")
    assert list(rows[0]) == ["backend", "label", "seed", "step", "x", "y", "value"]
    assert len(rows) == 2 * 4 * 6
    sgd = [r for r in rows if (r["backend"], r["label"]) == ("numpy", "SGD")]
    assert [int(r["step"]) for r in sgd] == list(range(6))
    for t, row in enumerate(sgd):
        assert float(row["x"]) == pytest.approx(-7 * (1 - 0.95 / 10) ** t, rel=1e-5)
        assert float(row["y"]) == pytest.approx(2 * (1 - 2 * 0.95) ** t, rel=1e-5)


def test_more_steps_than_there_are(nncompare, tmp_path):
    """And a seed, which changes nothing where nothing is drawn."""
    out = tmp_path / "r"
    words = ["optimizer_paths", "--set", "steps=2", "--max-steps", 9, "--seed", 7, "--out", out]
    assert nncompare("run", *words).status == 0
    run = read_run(out)
    assert len(run.paths) == 2 * 4 * 3
    assert {row.seed for row in run.paths} == {0}


def test_the_seed(nncompare, tmp_path):
    words = ["activation_histograms", *SMALL, "--set", "layers=1", "--seed", 7]
    assert nncompare("run", *words, "--out", tmp_path / "r").status == 0
    run = read_run(tmp_path / "r")
    assert run.record.experiment.seeds == [7]
    assert {training.seed for training in run.record.trainings} == {7}


def test_a_failed_comparison_is_status_1(nncompare, tmp_path, monkeypatch):
    original = numpy_nn.optim.Adam.__init__

    def wrong(self, params, **settings):
        original(self, params, **{**settings, "eps": 1e-3})

    monkeypatch.setattr(numpy_nn.optim.Adam, "__init__", wrong)
    ended = nncompare("run", "optimizer_paths", "--max-steps", 2, "--out", tmp_path / "r")
    assert ended.status == 1
    assert "FAIL" in ended.out
    assert "the first divergence is at step 0, float32, update/point" in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["optimizer_paths", "--resume", "--out", "r"], "--resume: a run of optimizer_paths takes"),
        (["optimizer_paths", "--data-dir", "x"], "--data-dir: optimizer_paths uses no data set"),
        (["activation_histograms", "--data-dir", "x"], "uses no data set: expected no data folder"),
        (["optimizer_paths", "--max-steps", "0"], "--max-steps expects a number of at least 1"),
        (["optimizer_paths", "--set", "steps=0"], "steps should be greater than 0"),
        (["optimizer_paths", "--set", "step=3"], "unknown key 'step'. Did you mean 'steps'?"),
        (["optimizer_paths", "--set", "epochs=3"], "unknown key 'epochs'. Known: divisors, dtype"),
        (["optimizer_paths", "--set", "start=[1]"], "start should have more items, but is [1]"),
        (["optimizer_paths", "--set", "start=[1,2,3]"], "start should have at most 2 items"),
        (["optimizer_paths", "--set", "divisors=[0,1]"], "divisors.0 should be greater than 0"),
        (["optimizer_paths", "--set", "lr=1"], "could mean optimizers.SGD.lr and optimizers.Mom"),
        (["optimizer_paths", "--set", "SGD.lr=-1"], "optimizers.SGD.lr should be greater than 0"),
        (["optimizer_paths", "--set", "optimizers.SGD.momentun=1"], "Did you mean 'momentum'?"),
        (["optimizer_paths", "--set", "SGD.nesterov=true"], "could not be made with"),
        (["optimizer_paths", "--set", "SGD.maximize=true"], "maximize should be false"),
        (["optimizer_paths", "--set", "optimizers={}"], "optimizers should have at least 1 item"),
        (["optimizer_paths", "--set", "kind=other"], "kind should be one of optimizer_paths, act"),
        (["optimizer_paths", "--set", "optimizers={NAdam={lr=1}}", "--set", "dtype=float64"],
         "NAdam in float64 cannot be certified"),
        (["activation_histograms", "--set", "seeds=[]"], "seeds should have at least 1 item"),
        (["activation_histograms", "--set", "seeds=[1,1]"], "should differ, but are [1, 1]"),
        (["activation_histograms", "--set", "activations=['GELU']"], "activations.0 should be"),
        (["activation_histograms", "--set", "spreads=[0.0]"], "spreads.0"),
        (["activation_histograms", "--set", "spreads=['lecun']"], "spreads.0"),
        (["activation_histograms", "--set", "spreads=[1.0,1.0000001]"], "should differ"),
        (["activation_histograms", "--set", "units=1"], "units should be greater than or equal"),
    ],
)  # fmt: skip
def test_bad_input(nncompare, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    sentence = one_sentence(nncompare("run", *arguments))
    assert said in sentence, sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["'walk'", "3", "['optimizer_paths']"])
def test_a_file_of_an_unknown_kind(nncompare, tmp_path, kind):
    (tmp_path / "mine.toml").write_text(f"kind = {kind}\n")
    sentence = one_sentence(nncompare("run", tmp_path / "mine.toml"))
    assert "mine.toml: kind should be one of optimizer_paths, activation_histograms" in sentence


def test_a_file_of_one_s_own(nncompare, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'kind = "optimizer_paths"\ntitle = "t"\nsummary = "s"\ntask = ""\nsteps = 2\n'
        "[optimizers.RMSprop]\nlr = 0.1\n"
    )
    ended = nncompare("run", tmp_path / "mine.toml", "--out", tmp_path / "r")
    assert ended.status == 0
    assert read_run(tmp_path / "r").record.name == "mine"


@pytest.mark.parametrize("content", ["run.json", "something"])
def test_a_folder_that_is_taken(nncompare, tmp_path, content):
    (tmp_path / content).write_text("{}")
    said = one_sentence(nncompare("run", "optimizer_paths", "--out", tmp_path))
    assert "holds another run" in said if content == "run.json" else "is not empty" in said
    assert (tmp_path / content).read_text() == "{}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of two steps with two optimizers, not to be changed."""
    from compare.demos.run import run_demo
    from compare.records.directory import RunDirectory

    out = tmp_path_factory.mktemp("demos") / "r"
    settings = load_settings("optimizer_paths", ["optimizers={SGD={lr=0.5},Adam={lr=0.3}}"])[1]
    run_demo("optimizer_paths", settings, RunDirectory(out), max_steps=2)
    return out


def changed(tree, **changes):
    return json.dumps({**tree, **changes})


def with_experiment(tree, **changes):
    return changed(tree, experiment={**tree["experiment"], **changes})


def with_first_training(tree, **changes):
    first, *others = tree["trainings"]
    return changed(tree, trainings=[{**first, **changes}, *others])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda t: "{", "is damaged"),
        (lambda t: "[1]", "has schema None, expected 2"),
        (lambda t: changed(t, schema=3), "has schema 3, expected 2: use a newer nncompare"),
        (lambda t: changed(t, schema=1), "make the run again"),
        (lambda t: with_experiment(t, kind="walks"), "is damaged: experiment: Input tag 'walks'"),
        (lambda t: with_experiment(t, kind="activation_histograms"),
         "is damaged: experiment.activation_histograms"),
        (lambda t: with_first_training(t, parity_rows=10**6), "parity.csv is damaged: it has"),
        (lambda t: changed(t, more=1), "is damaged: more"),
        (lambda t: json.dumps({k: v for k, v in t.items() if k != "tolerances"}),
         "is damaged: tolerances"),
    ],
)  # fmt: skip
def test_a_damaged_record(recorded, tmp_path, damage, said):
    out = shutil.copytree(recorded, tmp_path / "r")
    tree = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(damage(tree))
    with pytest.raises(InputError) as caught:
        read_run(out)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", ["paths.csv", "parity.csv"])
def test_a_table_that_is_gone_or_cut_off(recorded, tmp_path, table):
    out = shutil.copytree(recorded, tmp_path / "r")
    text = (out / table).read_text()
    (out / table).write_text(text[:-9])
    with pytest.raises(InputError, match=rf"{table} is damaged"):
        read_run(out)
    (out / table).unlink()
    with pytest.raises(InputError, match=rf"{table} is missing"):
        read_run(out)
