"""Experiments by name or file, and the changes of --set."""

from __future__ import annotations

import os
import stat

import pytest

from compare.spec.loading import experiment_names, load_experiment
from experiments.errors import InputError

FILE = """
title = "Mine"
summary = "s"
task = "t"
[data]
name = "mnist-sample"
[model]
architecture = "softmax_mlp"
[training]
epochs = 1
batch_size = 10
[optimizers.SGD]
lr = 0.1
"""


def changed(*changes: str):
    return load_experiment("mnist_bn_mlp", changes)[1]


def refusal(name: str, *changes: str) -> str:
    with pytest.raises(InputError) as caught:
        load_experiment(name, changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names():
    assert {"mnist_bn_mlp", "mnist_softmax"} <= set(experiment_names())
    assert experiment_names() == sorted(experiment_names())


def test_unknown_name_with_the_nearest():
    message = refusal("mnist_bn_mpl")
    assert "There is no experiment 'mnist_bn_mpl'" in message
    assert "Did you mean 'mnist_bn_mlp'?" in message


def test_unknown_name_with_nothing_near():
    message = refusal("zzz")
    assert f"expected one of {', '.join(experiment_names())}, or" in message
    assert "Did you mean" not in message


def test_a_file(tmp_path):
    (tmp_path / "mine.toml").write_text(FILE)
    name, form = load_experiment(str(tmp_path / "mine.toml"), ["epochs=4"])
    assert (name, form.title, form.training.epochs) == ("mine", "Mine", 4)


def test_a_file_comes_after_a_name(tmp_path, monkeypatch):
    """A name of the list is that experiment, whatever lies in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mnist_softmax").write_text("nonsense")
    assert load_experiment("mnist_softmax")[0] == "mnist_softmax"


def test_no_such_file(tmp_path):
    assert "there is no such experiment file" in refusal(str(tmp_path / "no.toml"))


def test_a_folder(tmp_path):
    (tmp_path / "x.toml").mkdir()
    assert "could not be read: expected a regular file, found a folder" in refusal(
        str(tmp_path / "x.toml")
    )


def test_not_text(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    assert "is not a text file in UTF-8" in refusal(str(tmp_path / "x.toml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "is not valid TOML: "),
        ("title = 'a'\ntitle = 'b'", "is not valid TOML: "),
        ("[data\n", "is not valid TOML"),
        ("", "the key 'title' is missing. (6 more after that.)"),
        (FILE + "momentun = 0.9\n", "unknown key 'optimizers.SGD.momentun'. Did you mean 'moment"),
        (FILE.replace("lr = 0.1", "lr = '0.1'"), "optimizers.SGD.lr should be a valid number"),
        (FILE.replace("epochs = 1", "epochs = -1"), "training.epochs should be greater than 0"),
    ],
)
def test_faults_of_a_file_name_the_file(tmp_path, text, message):
    path = tmp_path / "x.toml"
    path.write_text(text)
    sentence = refusal(str(path), "epochs=3")  # not blamed on --set, which is right
    assert sentence.startswith(str(path))
    assert message in sentence


def test_set_by_dotted_path():
    assert changed("optimizers.SGD.lr=0.5").optimizers["SGD"].lr == 0.5
    assert changed("training.epochs=3").training.epochs == 3


def test_set_by_last_part():
    assert changed("epochs=3").training.epochs == 3
    assert changed("SGD.lr=0.5").optimizers["SGD"].lr == 0.5
    assert changed("sizes=[784,10]").model.arguments["sizes"] == [784, 10]
    assert changed("every=7").parity.every == 7


def test_set_keeps_what_it_does_not_name():
    before, after = load_experiment("mnist_bn_mlp")[1], changed("epochs=3")
    training = before.training.model_copy(update={"epochs": 3})
    assert before.model_copy(update={"training": training}) == after


def test_set_ambiguous():
    message = refusal("mnist_bn_mlp", "lr=1")
    assert message == (
        "--set lr=1 could mean optimizers.SGD.lr and optimizers.Adam.lr: write one of them in full."
    )


def test_set_bare_word_is_a_string():
    assert changed("layout=image").data.layout == "image"
    assert changed("layout = image").data.layout == "image"
    assert changed("layout='image'").data.layout == "image"


def test_set_values_are_toml():
    assert changed("optimizers.Adam.betas=[0.5, 0.6]").optimizers["Adam"].betas == (0.5, 0.6)
    assert changed("optimizers.SGD.nesterov=true").optimizers["SGD"].nesterov is True
    assert changed("optimizers.SGD.lr=1e-2").optimizers["SGD"].lr == 0.01


def test_set_a_whole_optimizer():
    form = changed("optimizers.SGD={lr=0.5,momentum=0.9}")
    assert form.optimizers["SGD"].momentum == 0.9
    form = changed('optimizers.mine={algorithm="Adam",lr=0.5}')
    assert list(form.optimizers) == ["SGD", "Adam", "mine"]
    form = changed("reported=[]", "optimizers={Adam={lr=0.1}}")
    assert list(form.optimizers) == ["Adam"]


def test_set_a_new_table():
    form = changed("optimizers.mine.algorithm=SGD", "optimizers.mine.lr=0.5")
    assert form.optimizers["mine"].lr == 0.5


def test_set_several_the_last_one_counts():
    assert changed("epochs=3", "training.epochs=4").training.epochs == 4


@pytest.mark.parametrize("change", ["", "epochs", "=3", " =3"])
def test_set_without_key_or_value(change):
    message = refusal("mnist_bn_mlp", change)
    assert message.startswith("--set expects key=value, such as training.epochs=3, but got")


def test_set_below_a_value():
    message = refusal("mnist_bn_mlp", "training.epochs.x=3")
    assert message == "--set training.epochs.x: training.epochs is a value, not a table."
    message = refusal("mnist_bn_mlp", "training.epochs.x.y=3")
    assert message == "--set training.epochs.x.y: training.epochs.x is a value, not a table."


def test_set_empty_value():
    assert "training.epochs should be a valid integer, but is ''" in refusal(
        "mnist_bn_mlp", "epochs="
    )


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser reads everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(FILE)
    path.chmod(stat.S_IWUSR)
    assert "could not be read" in refusal(str(path))
