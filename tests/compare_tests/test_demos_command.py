"""Experiments that train no network, from the command line to their records and back."""

from __future__ import annotations

import csv
import json
import shutil

import pytest
from compare.demos.records import kind_of_run, read_kind_run

import numpy_nn
from compare.spec.experiment import Experiment
from compare.spec.loading import experiment_names, load_experiment, load_form
from experiments.errors import InputError

KINDS = ("activation_histograms", "optimizer_paths")
SMALL = ["--set", "rows=40", "--set", "units=20", "--set", "seeds=[0,1]"]


@pytest.fixture
def arguments():
    """Kind → a small run of it on the command line."""
    return {"optimizer_paths": ["optimizer_paths"],
            "activation_histograms": ["activation_histograms", *SMALL]}  # fmt: skip


def one_sentence(ended) -> str:
    assert ended.status == 2, ended
    assert ended.err.startswith("nncompare: ")
    assert ended.err.count("\n") == 1, ended.err
    return ended.err


def test_they_are_listed(nncompare):
    assert set(KINDS) <= set(experiment_names())
    said = nncompare("list").out
    for name in KINDS:
        assert name in said
        assert len(load_form(name)[1].summary) < 80


def test_a_file_without_a_kind_trains_a_network():
    assert isinstance(load_form("mnist_bn_mlp")[1], Experiment)
    with pytest.raises(InputError, match="optimizer_paths trains no network"):
        load_experiment("optimizer_paths")


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_run(nncompare, arguments, tmp_path, kind):
    out = tmp_path / "r"
    ended = nncompare("run", *arguments[kind], "--sample", "--max-steps", 5, "--out", out)
    assert ended.status == 0, ended
    assert ended.err == ""
    assert ended.out.splitlines()[-1] == f"Report: {out / 'report' / 'report.md'}"
    assert max(map(len, ended.out.splitlines()[:-1])) <= 80
    assert "…" not in ended.out
    assert "FAIL" not in ended.out
    tree = json.loads((out / "run.json").read_text())
    assert tree["schema"] == 1
    assert tree["kind"] == kind
    assert tree["status"] == "complete"
    assert tree["max_steps"] == 5
    assert tree["command"].startswith(f"nncompare run {kind} ")
    with (out / "parity.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "label", "seed", "step", "dtype", "site", "numpy_error", "torch_error", "tolerance", "passed",
    ]  # fmt: skip
    assert {row["passed"] for row in rows} == {"true"}
    assert kind_of_run(out) == kind
    run = read_kind_run(out)
    assert len(rows) == sum(part.parity_rows for part in run.record.parts)
    assert sum(len(found) for found in run.parity_by_label().values()) == len(rows)


def test_max_steps_shortens_the_paths(nncompare, tmp_path):
    out = tmp_path / "r"
    assert nncompare("run", "optimizer_paths", "--max-steps", 5, "--out", out).status == 0
    with (out / "paths.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["backend", "label", "step", "x", "y", "value"]
    assert len(rows) == 2 * 4 * 6
    sgd = [r for r in rows if (r["backend"], r["label"]) == ("numpy", "SGD")]
    assert [int(r["step"]) for r in sgd] == list(range(6))
    for t, row in enumerate(sgd):
        assert float(row["x"]) == pytest.approx(-7 * (1 - 0.95 / 10) ** t, rel=1e-5)
        assert float(row["y"]) == pytest.approx(2 * (1 - 2 * 0.95) ** t, rel=1e-5)


def test_more_steps_than_there_are(nncompare, tmp_path):
    out = tmp_path / "r"
    arguments = ["optimizer_paths", "--set", "steps=3", "--max-steps", 9, "--out", out]
    assert nncompare("run", *arguments).status == 0
    assert len(read_kind_run(out).tables["paths"]) == 2 * 4 * 4


@pytest.mark.parametrize("kind", KINDS)
def test_twice_the_same(nncompare, arguments, tmp_path, kind):
    for out in ("a", "b"):
        assert nncompare("run", *arguments[kind], "--out", tmp_path / out).status == 0
    for table in (tmp_path / "a").glob("*.csv"):
        assert table.read_bytes() == (tmp_path / "b" / table.name).read_bytes()


def test_the_seed(nncompare, tmp_path):
    arguments = ["activation_histograms", *SMALL, "--seed", 7, "--out", tmp_path / "r"]
    assert nncompare("run", *arguments).status == 0
    run = read_kind_run(tmp_path / "r")
    assert run.record.experiment.seeds == [7]
    assert {part.seed for part in run.record.parts} == {7}
    # Nothing is drawn there, and nothing changes.
    assert nncompare("run", "optimizer_paths", "--seed", 7, "--out", tmp_path / "p").status == 0


def test_a_failed_comparison_is_status_1(nncompare, tmp_path, monkeypatch):
    original = numpy_nn.optim.Adam.__init__

    def wrong(self, params, **settings):
        original(self, params, **{**settings, "eps": 1e-3})

    monkeypatch.setattr(numpy_nn.optim.Adam, "__init__", wrong)
    ended = nncompare("run", "optimizer_paths", "--max-steps", 5, "--out", tmp_path / "r")
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
        (["activation_histograms", "--set", "units=1"], "units should be greater than or equal"),
    ],
)  # fmt: skip
def test_bad_input(nncompare, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    sentence = one_sentence(nncompare("run", *arguments))
    assert said in sentence, sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["'walk'", "3", "['optimizer_paths']"])
def test_a_file_of_no_kind_that_there_is(nncompare, tmp_path, kind):
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
    assert read_kind_run(tmp_path / "r").record.name == "mine"


@pytest.mark.parametrize("content", ["run.json", "something"])
def test_a_folder_that_is_taken(nncompare, tmp_path, content):
    (tmp_path / content).write_text("{}")
    said = one_sentence(nncompare("run", "optimizer_paths", "--out", tmp_path))
    assert "holds another run" in said if content == "run.json" else "is not empty" in said
    assert (tmp_path / content).read_text() == "{}"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run of two steps with two optimizers, not to be changed."""
    from compare.demos.running import run_kind

    out = tmp_path_factory.mktemp("kinds") / "r"
    form = load_form("optimizer_paths", ["optimizers={SGD={lr=0.5},Adam={lr=0.3}}"])[1]
    run_kind("optimizer_paths", form, out, max_steps=2)
    return out


def changed(tree, **changes):
    return json.dumps({**tree, **changes})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda t: "{", "is damaged"),
        (lambda t: changed(t, schema=2), "has schema 2, expected 1: use a newer nncompare"),
        (lambda t: changed(t, schema=0), "make the run again"),
        (lambda t: changed(t, kind="walks"), "has kind 'walks', expected one of optimizer_paths"),
        (lambda t: changed(t, kind="activation_histograms"), "its kind is 'activation_histograms'"),
        (lambda t: changed(t, parts=[]), "parity.csv is damaged: it has"),
        (lambda t: changed(t, more=1), "is damaged: more"),
        (lambda t: json.dumps({k: v for k, v in t.items() if k != "k"}), "is damaged: k"),
    ],
)
def test_a_damaged_record(recorded, tmp_path, damage, said):
    out = shutil.copytree(recorded, tmp_path / "r")
    tree = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(damage(tree))
    with pytest.raises(InputError) as caught:
        read_kind_run(out)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("table", ["paths.csv", "parity.csv"])
def test_a_table_that_is_gone_or_cut_off(recorded, tmp_path, table):
    out = shutil.copytree(recorded, tmp_path / "r")
    text = (out / table).read_text()
    (out / table).write_text(text[:-9])
    with pytest.raises(InputError, match=rf"{table} is damaged"):
        read_kind_run(out)
    (out / table).unlink()
    with pytest.raises(InputError, match=rf"{table} is missing"):
        read_kind_run(out)


def test_what_is_no_run_has_no_kind(tmp_path):
    assert kind_of_run(tmp_path) is None
    (tmp_path / "run.json").write_text("[1]")
    assert kind_of_run(tmp_path) is None
    (tmp_path / "run.json").write_text("{")
    assert kind_of_run(tmp_path) is None
