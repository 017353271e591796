"""A whole run: its files, the same command twice, and going on with a run."""

from __future__ import annotations

import csv
import gc
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import torch_nn
from compare.records.directory import RunDirectory
from compare.records.run import SCHEMA, read_run, read_run_record
from compare.spec.model import model_spec
from experiments.errors import InputError

AS_FINISHED = ("data.validation=0.2", "data.limit=60", "training.gradient_norms=true")


def content(run, *, but: tuple[str, ...] = ("timing.csv", "run.json")) -> dict[str, bytes]:
    return {
        str(f.relative_to(run)): f.read_bytes()
        for f in sorted(run.rglob("*"))
        if f.is_file() and f.name not in but
    }


class Breaking:
    """An observer that breaks the run off."""

    def __init__(self, optimizer: str, step: int, error: BaseException):
        self.optimizer, self.at, self.error = optimizer, step, error

    def begin(self, optimizer, seed, steps):
        self.now = optimizer

    def step(self, backend, step, loss, accuracy):
        if (self.now, step) == (self.optimizer, self.at):
            raise self.error

    def going_on(self, trainings): ...

    def expect(self, finished, trainings): ...
    def epoch(self, *_): ...
    def end(self, training): ...
    def failed(self, failure): ...


def test_the_files_of_a_run(finished):
    assert sorted(content(finished, but=())) == [
        "drift.csv",
        "gradients.csv",
        "history.csv",
        "parity.csv",
        "pictures.safetensors",
        "predictions.safetensors",
        "run.json",
        "timing.csv",
        "weights/numpy-Adam-seed0.safetensors",
        "weights/numpy-SGD-seed0.safetensors",
        "weights/torch-Adam-seed0.safetensors",
        "weights/torch-SGD-seed0.safetensors",
    ]


def test_the_columns(finished):
    for name, header in (
        ("history", "backend,label,seed,epoch,step,phase,split,metric,value"),
        ("parity", "label,seed,step,dtype,site,numpy_error,torch_error,tolerance,passed"),
    ):
        text = (finished / f"{name}.csv").read_text(encoding="utf-8")
        assert text.partition("\n")[0] == header
        assert "\r" not in text


def test_the_words_in_the_tables(finished):
    with (finished / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["backend"] for r in rows} == {"numpy", "torch"}
    assert {r["label"] for r in rows} == {"SGD", "Adam"}
    assert {r["phase"] for r in rows} == {"step", "evaluation"}
    assert {r["split"] for r in rows} == {"train", "validation", "test"}
    assert {r["metric"] for r in rows} == {"loss", "accuracy"}
    assert {r["seed"] for r in rows} == {"0"}
    assert {r["epoch"] for r in rows} == {"0", "1", "2"}
    with (finished / "parity.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["dtype"] for r in rows} == {"float32", "float64"}
    assert {r["passed"] for r in rows} == {"true"}
    assert rows[0]["site"] == "initial/0.weight"
    assert {r["site"].split("/")[0] for r in rows} == {
        "initial", "forward", "buffer", "gradient", "backward", "update", "optimizer", "whole",
        "evaluation",
    }  # fmt: skip


def test_run_json(finished):
    tree = json.loads((finished / "run.json").read_text(encoding="utf-8"))
    assert tree["schema"] == SCHEMA == 2
    assert tree["status"] == "complete"
    assert tree["experiment"]["model"]["architecture"] == "bn_mlp"
    assert tree["data"]["name"] == "mnist-sample"
    assert (tree["data"]["train_rows"], tree["data"]["validation_rows"]) == (48, 12)
    assert tree["environment"]["torch"] == torch.__version__
    assert tree["environment"]["numpy"] == np.__version__
    assert [t["steps"] for t in tree["trainings"]] == [6, 6]
    assert tree["trainings"][0]["initial"]["differing_bits"] == 0


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_torch_takes_the_weights_of_both_sides(finished, backend, optimizer):
    run = read_run(finished)
    model = model_spec(run.record.experiment, optimizer).model(torch_nn)
    weights = load_file(finished / "weights" / f"{backend}-{optimizer}-seed0.safetensors")
    own = model.state_dict()
    assert {k: (v.shape, v.dtype) for k, v in weights.items()} == {
        k: (v.shape, v.dtype) for k, v in own.items()
    }
    model.load_state_dict(weights, strict=True)
    from compare.training.data import laid_out, load_splits

    splits = load_splits(run.record.experiment.data, sample=False, data_dir=None)[0]
    test = laid_out(splits, "flat").test
    model.eval()
    with torch.no_grad():
        predicted = model(torch.tensor(test.inputs)).argmax(dim=1).numpy()
    kept = run.predictions[f"{backend}/{optimizer}/0"]
    assert np.mean(predicted == kept) > 0.99
    np.testing.assert_array_equal(run.predictions["targets"], test.targets)


def test_pictures(finished):
    run = read_run(finished)
    indices, images = run.pictures["indices"], run.pictures["images"]
    assert images.shape == (len(indices), 28, 28)
    assert images.dtype == np.uint8
    assert indices.tolist() == sorted(set(indices.tolist()))
    assert set(range(40)) <= set(indices.tolist())
    for key, predicted in run.predictions.items():
        wrong = np.flatnonzero(predicted != run.predictions["targets"])[:10]
        assert set(wrong.tolist()) <= set(indices.tolist()), key


def test_the_same_run_twice_is_the_same_to_the_last_bit(tiny, train, finished, tmp_path):
    again = train(tiny(*AS_FINISHED), tmp_path / "again")
    assert content(again) == content(finished)


def test_another_seed_is_another_run(tiny, train, finished, tmp_path):
    other = train(tiny(*AS_FINISHED, "seeds=[1]"), tmp_path / "other")
    assert (other / "history.csv").read_bytes() != (finished / "history.csv").read_bytes()


def test_several_seeds(tiny, train, tmp_path):
    run = read_run(train(tiny("seeds=[3,1]", "epochs=1"), tmp_path / "r"))
    assert [(t.seed, t.label) for t in run.record.trainings] == [
        (3, "SGD"), (3, "Adam"), (1, "SGD"), (1, "Adam"),
    ]  # fmt: skip
    assert len(list((tmp_path / "r" / "weights").iterdir())) == 8


@pytest.mark.parametrize(
    ("optimizer", "step", "error"),
    [("SGD", 1, KeyboardInterrupt()), ("SGD", 5, BrokenPipeError()),
     ("Adam", 1, KeyboardInterrupt()), ("Adam", 5, BrokenPipeError())],
)  # fmt: skip
def test_broken_off_and_resumed_is_as_if_never_broken_off(
    tiny, train, finished, tmp_path, optimizer, step, error
):
    form = tiny(*AS_FINISHED)
    out = tmp_path / "r"
    with pytest.raises(type(error)):
        train(form, out, observer=Breaking(optimizer, step, error))
    run = read_run(out)  # everything can be read
    assert run.record.status == "incomplete"
    assert [t.finished for t in run.record.trainings] == [True, False][-len(run.record.trainings) :]
    unfinished = run.record.trainings[-1]
    assert unfinished.label == optimizer
    assert unfinished.steps == step - 1
    assert len(run.parity_of(unfinished)) == unfinished.parity_rows > 0
    assert {r.step for r in run.history if r.label == optimizer} >= set(range(step - 1))
    if optimizer == "Adam":
        classes = {"numpy/SGD/0", "torch/SGD/0"}
        assert set(run.predictions) == classes | {f"confidence/{key}" for key in classes}
    train(form, out, resume=True)
    assert content(out) == content(finished)
    record = read_run_record(out)
    assert record.status == "complete"
    for mine, whole in zip(record.trainings, read_run_record(finished).trainings, strict=True):
        times = {"wall_s": 0.0, "cpu_s": 0.0}
        assert mine.model_copy(update=times) == whole.model_copy(update=times)


@pytest.mark.parametrize(
    ("optimizer", "error"),
    [("SGD", RuntimeError("boom\nand so on")), ("Adam", SystemExit(1)), ("SGD", MemoryError())],
)
def test_an_error_costs_one_training(tiny, train, timeless, tmp_path, optimizer, error):
    """The other one is made, also when it comes later; the first is made by going on."""
    out = train(tiny(), tmp_path / "r", observer=Breaking(optimizer, 5, error))
    run = read_run(out)
    assert run.record.status == "incomplete"
    assert [(t.label, t.finished) for t in run.record.trainings] == [
        ("Adam" if optimizer == "SGD" else "SGD", True)
    ]
    assert {row.label for row in run.history} == {run.record.trainings[0].label}
    assert len(run.parity) == run.record.trainings[0].parity_rows
    (failure,) = run.record.failures
    assert (failure.label, failure.seed) == (optimizer, 0)
    message = f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
    assert failure.error.startswith(f"{message} (test_run.py, line ")
    assert failure.traceback.startswith("Traceback (most recent call last):\n")
    train(tiny(), out, resume=True)
    assert timeless(out) == timeless(train(tiny(), tmp_path / "whole"))
    assert read_run_record(out).failures == []


def test_resume_goes_on_inside_a_training(tiny, train, timeless, tmp_path):
    """From the last checkpoint, not from the first step; and at the end none is left."""
    out, steps = tmp_path / "r", []
    with pytest.raises(KeyboardInterrupt):
        train(
            tiny(), out, checkpoint_every=0.0,
            observer=Breaking("Adam", 5, KeyboardInterrupt()),
        )  # fmt: skip
    (folder,) = (out / "checkpoints").iterdir()
    assert folder.name == "Adam-seed0"  # those of the other one, which was finished, are gone
    assert len(list(folder.iterdir())) == 2
    watching = Breaking("", 0, KeyboardInterrupt())
    watching.step = lambda backend, step, loss, accuracy: steps.append((backend, step))
    train(tiny(), out, resume=True, checkpoint_every=float("inf"), observer=watching)
    assert sorted(steps) == [("numpy", 5), ("numpy", 6), ("torch", 5), ("torch", 6)]
    assert timeless(out) == timeless(train(tiny(), tmp_path / "whole"))
    assert not (out / "checkpoints").exists()


def test_resume_does_not_train_again_what_is_finished(tiny, train, tmp_path):
    out = tmp_path / "r"
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), out, observer=Breaking("Adam", 3, KeyboardInterrupt()))
    began = []
    watching = Breaking("", 0, KeyboardInterrupt())
    watching.begin = lambda optimizer, seed, steps: began.append(optimizer)
    watching.now = ""
    before = (out / "weights" / "numpy-SGD-seed0.safetensors").stat().st_mtime_ns
    train(tiny(), out, resume=True, observer=watching)
    assert began == ["Adam"]
    assert (out / "weights" / "numpy-SGD-seed0.safetensors").stat().st_mtime_ns == before


@pytest.fixture
def broken(tiny, train, tmp_path):
    """A run that was broken off in its second training."""
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), tmp_path / "r", observer=Breaking("Adam", 1, KeyboardInterrupt()))
    return tmp_path / "r"


def refusal(train, *arguments, **settings) -> str:
    with pytest.raises(InputError) as caught:
        train(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        (["epochs=3"], {}, "the run in the folder differs in 'experiment'. Start a new folder."),
        ([], {"max_steps": 4}, "'max_steps': it has None, now 4 is asked for."),
        ([], {"sample": True}, "'sample': it has False, now True is asked for."),
    ],
)
def test_resume_of_something_else(tiny, train, broken, changes, settings, message):
    before = content(broken, but=())
    assert message in refusal(train, tiny(*changes), broken, resume=True, **settings)
    assert content(broken, but=()) == before


def test_resume_of_another_name(tiny, broken):
    from compare.training.run import run_experiment

    with pytest.raises(InputError, match="'name': it has 'tiny', now 'other' is asked for"):
        run_experiment("other", tiny(), RunDirectory(broken, resume=True), None)


def test_resume_with_other_data(tiny, train, broken):
    tree = json.loads((broken / "run.json").read_text())
    tree["data"]["digests"] = {"train-images-idx3-ubyte": "0" * 32}
    (broken / "run.json").write_text(json.dumps(tree))
    message = refusal(train, tiny(), broken, resume=True)
    assert message == (
        "--resume: the data is not the data that the run began with. Start a new folder."
    )


def test_resume_with_other_code(tiny, train, broken):
    tree = json.loads((broken / "run.json").read_text())
    tree["sources"]["numpy_nn/optim/adam.py"] += "# changed\n"
    (broken / "run.json").write_text(json.dumps(tree))
    message = refusal(train, tiny(), broken, resume=True)
    assert "the code in numpy_nn/optim/adam.py has changed since the run began" in message


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_resume_with_another_library(tiny, train, broken, library):
    tree = json.loads((broken / "run.json").read_text())
    tree["environment"][library] = "0.1"
    (broken / "run.json").write_text(json.dumps(tree))
    assert f"the run began with {library} 0.1, here is" in refusal(
        train, tiny(), broken, resume=True
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("torch_threads", 7, "began with 7 threads for PyTorch, here are 1, which may round"),
        ("numpy_blas", "MKL 1", "the run began with NumPy's MKL 1, here is "),
        ("torch_blas", "none", "the run began with PyTorch's none, here is "),
        ("processor", "Z80", "the run began with the processor Z80, here is "),
    ],
)
def test_resume_where_sums_round_in_another_way(tiny, train, broken, name, value, says):
    tree = json.loads((broken / "run.json").read_text())
    tree["environment"][name] = value
    (broken / "run.json").write_text(json.dumps(tree))
    before = content(broken, but=())
    assert says in refusal(train, tiny(), broken, resume=True, threads=1)
    assert content(broken, but=()) == before


def test_resume_takes_the_threads_of_the_run(tiny, train, tmp_path, monkeypatch):
    """Whatever suits the network where it goes on: here, two cores less."""
    import compare.training.run

    out = tmp_path / "r"
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), out, threads=1, observer=Breaking("Adam", 1, KeyboardInterrupt()))
    monkeypatch.setattr(compare.training.run, "shared_threads", lambda models, jobs: 3)
    train(tiny(), out, resume=True)
    assert read_run_record(out).environment.torch_threads == 1


def test_a_run_says_where_its_code_is_from(tiny, train, tmp_path, monkeypatch):
    import compare.training.run

    address = "https://example.org/me/net"
    monkeypatch.setattr(compare.training.run, "own_repository", lambda: address)
    assert read_run_record(train(tiny("epochs=1"), tmp_path / "r")).repository == address


@pytest.mark.slow
def test_networks_are_built_one_at_a_time(tiny, train, tmp_path, monkeypatch):
    """Before the trainings begin, too: their number costs no memory."""
    import weakref

    from compare.spec.model import ModelSpec

    living = weakref.WeakSet()
    most, real = [0], ModelSpec.model

    def model(self, namespace):
        built = real(self, namespace)
        living.add(built)
        gc.collect()
        most[0] = max(most[0], len(living))
        return built

    monkeypatch.setattr(ModelSpec, "model", model)
    sizes = [[784, n, 10] for n in range(4, 7)]
    form = tiny(f"vary={{sizes={{key='model.arguments.sizes',values={sizes}}}}}", "reported=[]")
    before_the_first = Breaking("", 0, KeyboardInterrupt())

    def stop(finished, trainings):
        raise KeyboardInterrupt

    before_the_first.expect = stop
    gc.freeze()  # what is there already need not be looked through each time
    try:
        with pytest.raises(KeyboardInterrupt):
            train(form, tmp_path / "r", observer=before_the_first)
    finally:
        gc.unfreeze()
    assert most[0] == 2, most  # both backends' of one dry run


def test_resume_of_a_complete_run_changes_nothing(tiny, train, finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    times = {f: f.stat().st_mtime_ns for f in copy.rglob("*")}
    train(tiny(*AS_FINISHED), copy, resume=True)
    assert {f: f.stat().st_mtime_ns for f in copy.rglob("*")} == times
    assert "differs in 'experiment'" in refusal(train, tiny(), copy, resume=True)


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        (["sizes=[784,8,5]"], {}),
        (["sizes=[784]"], {}),
        (["batch_size=49"], {}),
        (["data.validation=0.999"], {}),
        (["data={name='mnist-sample'}"], {"sample": True}),
        (["data={name='nothing'}"], {}),
        (["data={name='mnist'}"], {"data_dir": "nowhere"}),
        (["optimizers.SGD.nesterov=true"], {}),
    ],
)
def test_bad_input_leaves_no_folder(tiny, train, tmp_path, changes, settings):
    refusal(train, tiny(*changes), tmp_path / "a" / "b", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_in_the_middle(tiny, train, tmp_path, monkeypatch):
    """The records stay at the last state that was written whole, and the run can go on."""
    import errno
    import os

    from compare.records import atomic

    out, real, writes = tmp_path / "r", os.fsync, []

    def fsync(handle):
        writes.append(handle)
        if len(writes) > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    message = refusal(train, tiny(), out)
    assert message.endswith("could not be written: No space left on device.")
    monkeypatch.undo()
    assert read_run(out).record.status == "incomplete"
    train(tiny(), out, resume=True)
    assert read_run(out).record.status == "complete"


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_disk_that_is_full_at_the_weights(jobs, tiny, train, tmp_path, timeless, monkeypatch):
    """Rows of trainings of unequal length stay with their labels, whichever ends first."""
    import errno
    import os

    from compare.records import atomic

    form = tiny('vary.length={key="training.epochs",values=[3,1]}', "reported=[]")
    whole = timeless(train(form, tmp_path / "whole", jobs=jobs))
    out, replace, failed = tmp_path / "r", os.replace, []

    def full(source, target):
        if "-seed" in os.path.basename(target) and os.path.dirname(target).endswith("weights"):
            failed.append(target)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(atomic.os, "replace", full)
    assert "No space left on device" in refusal(train, form, out, jobs=jobs)
    assert failed
    monkeypatch.undo()
    read_run(out)  # nothing contradicts anything
    assert timeless(train(form, out, resume=True, jobs=jobs)) == whole


def test_data_without_pictures(tiny, train, tmp_path, monkeypatch):
    import compare.training.run

    original = compare.training.run.load_splits

    def without(*arguments, **settings):
        splits, record, _ = original(*arguments, **settings)
        return splits, record, np.empty((0, 28, 28), np.uint8)

    monkeypatch.setattr(compare.training.run, "load_splits", without)
    assert read_run(train(tiny("epochs=1"), tmp_path / "r")).pictures == {}


def test_a_training_that_runs_away(tiny, train, tmp_path):
    """Without a warning (they are errors here), and with records that can be read."""
    out = train(tiny("optimizers.SGD.lr=1e30", "epochs=1"), tmp_path / "r")
    run = read_run(out)
    assert run.record.status == "complete"
    losses = [r.value for r in run.history if r.label == "SGD" and r.split == "test"]
    assert np.isnan(losses).any()
    assert all(r.passed for r in run.parity if r.label == "Adam")


def test_a_run_records_what_its_check_notices_and_where_the_first_step_parts(
    finished, tiny, train, tmp_path, monkeypatch
):
    record = read_run_record(finished)
    assert record.controls == []  # a run so short is a trial
    for training in record.trainings:
        assert training.first_step is not None
        assert training.cpu_s > 0
    assert record.trainings[1].first_step.part == "biases before a batch normalisation"
    monkeypatch.setattr("compare.training.run.FEWEST_STEPS", 1)
    run = train(tiny("training.epochs=1"), tmp_path / "run", max_steps=1)
    controls = {control.part: control for control in read_run_record(run).controls}
    assert {"Linear", "CrossEntropyLoss", "SGD", "Adam"} <= set(controls)
    assert all(control.rows == 8 and control.noticed > 0 for control in controls.values())
