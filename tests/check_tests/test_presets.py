"""Presets: homeworks in the interfaces of courses, right, wrong, and not yet finished."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from planted.in_process import check_in_process

from compare.check.checking import check_homework
from compare.check.homework import Homework
from compare.check.presets import PRESETS
from compare.check.reading import Options
from compare.check.result import Outcome
from compare.mistakes.codes import CODES
from experiments.errors import InputError

COURSES = Path(__file__).resolve().parent.parent / "planted" / "courses"

LAYERS, TWO_LAYER = "cs231n-layers", "cs231n-two-layer-net"
FULLY, CONV = "cs231n-fully-connected-net", "cs231n-three-layer-conv-net"
DLFS, DLFS_NET = "dlfs-layers", "dlfs-two-layer-net"
L_LAYER, PLANAR = "deeplearning-ai-l-layer", "deeplearning-ai-planar"

# The planted homeworks of each preset, all of them right.
FILES = {
    LAYERS: ["cs231n/layers.py", "cs231n/layers_skeleton.py"],
    TWO_LAYER: ["cs231n/classifiers/fc_net.py"],
    FULLY: ["cs231n/classifiers/fc_net.py"],
    CONV: ["cs231n/classifiers/cnn.py"],
    DLFS: ["dlfs/layers.py"],
    DLFS_NET: ["dlfs/two_layer_net.py", "dlfs/chapter_4.py"],
    L_LAYER: ["l_layer.py"],
    PLANAR: ["planar.py"],
}


@pytest.fixture
def plant(tmp_path: Path) -> Callable[..., Path]:
    """Copy the planted homeworks, and change one of them."""

    def make(file: str, *changes: tuple[str, str]) -> Path:
        shutil.copytree(COURSES, tmp_path / "courses")
        path = tmp_path / "courses" / file
        text = path.read_text(encoding="utf-8")
        for old, new in changes:
            assert old in text, f"nothing to replace: {old}"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
        return path

    return make


@pytest.fixture
def check(plant) -> Callable[..., Outcome]:
    """Check a planted homework, with changes, by a preset."""

    def run(preset: str, *changes: tuple[str, str], file: str | None = None) -> Outcome:
        path = plant(file or FILES[preset][0], *changes)
        return check_in_process(path, Options(preset=PRESETS[preset]))

    return run


def test_every_preset_has_a_homework_here_and_a_file() -> None:
    assert list(FILES) == list(PRESETS)
    folder = next(iter(PRESETS.values())).file.parent
    assert {p.file for p in PRESETS.values()} == {*folder.glob("*.py")} - {folder / "__init__.py"}
    assert all(set(preset.accept) <= set(CODES) for preset in PRESETS.values())


@pytest.mark.parametrize(("preset", "file"), [(p, f) for p, files in FILES.items() for f in files])
def test_a_right_homework_agrees(check, preset, file) -> None:
    outcome = check(preset, file=file)
    assert (outcome.status, outcome.result.error) == (0, None)
    assert outcome.result.invariants == ()
    assert {c.diagnosis.code for c in outcome.result.checks if not c.passed} <= set(
        PRESETS[preset].accept
    )


def test_all_layers_are_asked(check) -> None:
    keys = {c.key for c in check(LAYERS).result.checks}
    for layer in ("conv", "spatial_batchnorm", "spatial_groupnorm", "max_pool", "affine1",
                  "batchnorm", "layernorm", "relu", "dropout", "affine2"):  # fmt: skip
        assert {f"activation/{layer}", f"gradient/{layer}.input"} <= keys
    assert {"loss", "gradient/logits", "buffer/batchnorm.running_mean"} <= keys


# Preset, what is changed, the first divergence, and its name in the catalogue.
WRONG = [
    (LAYERS, ("return loss, dx / len(y)", "return loss, dx"), "gradient/logits", "sum-not-mean"),
    (LAYERS, ("- normal * (d * normal).mean(axis=0)", ""), "gradient/batchnorm.input", None),
    (LAYERS, ("return dout * (cache > 0)", "return dout"), "gradient/relu.input",
     "relu-derivative"),
    (LAYERS, ("< p) / p", "< p)"), "activation/dropout", "unscaled-dropout"),
    (LAYERS, ("momentum * mean + (1 - momentum)", "(1 - momentum) * mean + momentum"),
     "buffer/spatial_batchnorm.running_mean", "momentum-reversed"),
    (LAYERS, ("(window, w,", "(window, w[:, :, ::-1, ::-1],"), "activation/conv", "flipped-kernel"),
    (LAYERS, ("+= largest", "= largest"), "gradient/max_pool.input", "pool-overwrite"),
    (TWO_LAYER, ("backward(relu_backward(d, between)", "backward((d)"),
     "gradient/affine1.weight", "relu-derivative"),
    (FULLY, ("d = relu_backward(d, caches.pop())", "caches.pop()"),
     "gradient/affine2.weight", "relu-derivative"),
    (CONV, ("relu_backward(max_pool_backward_naive(d, pool), relu)",
            "max_pool_backward_naive(d, pool)"), "gradient/conv.weight", None),
    (DLFS, ("return dx / len(dx)", "return dx"), "gradient/logits", "sum-not-mean"),
    (DLFS, ("self.db = dout.sum(axis=0)", "self.db = 0 * dout[0]"),
     "gradient/Affine3.bias", "missing-bias-gradient"),
    (DLFS, ("* (1.0 - self.out)", ""), "gradient/Sigmoid.input", None),
    (L_LAYER, ("@ A_prev.T / m, dZ.sum(axis=1, keepdims=True) / m",
               "@ A_prev.T, dZ.sum(axis=1, keepdims=True)"),
     "gradient/linear3.weight", "sum-not-mean"),
    (L_LAYER, ("value - learning_rate", "value + learning_rate"),
     "update/linear1.weight", "sign-flip"),
    (PLANAR, ('(1 - cache["A1"] ** 2)', '(1 - cache["A1"])'), "gradient/linear1.weight", None),
    (PLANAR, ("np.log(A2) + (1 - Y) * np.log(1 - A2)).sum() / m",
              "np.log(A2) + (1 - Y) * np.log(1 - A2)).sum()"), "loss/loss", "sum-not-mean"),
]  # fmt: skip


# One of each preset is quick enough for every day.
QUICK = {preset: number for number, (preset, *_) in reversed(list(enumerate(WRONG)))}


@pytest.mark.parametrize(
    ("preset", "change", "place", "code"),
    [
        pytest.param(*row, marks=() if QUICK[row[0]] == number else pytest.mark.slow)
        for number, row in enumerate(WRONG)
    ],
)
def test_a_mistake_shows_at_its_place_and_by_its_name(check, preset, change, place, code) -> None:
    outcome = check(preset, change)
    assert (outcome.status, outcome.result.error) == (1, None)
    first = outcome.result.first_divergence
    assert f"{first.quantity}/{first.name}" == place
    assert (first.diagnosis and first.diagnosis.code) == code


@pytest.mark.parametrize(
    ("file", "change", "place", "code"),
    [
        ("dlfs/two_layer_net.py", ('"W2": two.dW', '"W2": -two.dW'),
         "gradient/Affine2.weight", None),
        ("dlfs/chapter_4.py", ("(self.predict(x) - t) / len(x)", "self.predict(x) - t"),
         "gradient/Affine2.weight", "sum-not-mean"),
        ("dlfs/chapter_4.py", ("axis=-1, keepdims=True", ""), "loss/loss", "softmax-without-axis"),
    ],
)  # fmt: skip
def test_the_books_network_of_both_chapters(check, file, change, place, code) -> None:
    """The 1e-7 in its loss hides no other mistake."""
    outcome = check(DLFS_NET, change, file=file)
    assert outcome.status == 1
    first = outcome.result.first_divergence
    assert f"{first.quantity}/{first.name}" == place
    assert (first.diagnosis and first.diagnosis.code) == code


def test_the_books_offset_is_taken_out_and_another_is_named(check) -> None:
    outcome = check(DLFS_NET, ("+ 1e-7", "+ 1e-5"), file="dlfs/chapter_4.py")
    codes = [c.diagnosis and c.diagnosis.code for c in outcome.result.checks if not c.passed]
    assert codes == ["log-offset-mismatch"]


@pytest.mark.parametrize(
    ("preset", "changes", "notes", "absent"),
    [
        (LAYERS, [("def relu_forward", "def relu_forwards"), ("def conv_f", "def conv_of")],
         ["Left out of the comparison: relu_forward, conv_forward_naive (not defined)."],
         ("relu", "conv", "max_pool")),
        (LAYERS, [("return gamma * normal + beta, (normal, deviation, gamma)\n\n\ndef batchnorm_b",
                   "raise NotImplementedError\n\n\ndef batchnorm_b")],
         ["batchnorm_forward, spatial_batchnorm_forward (raises NotImplementedError)."],
         ("batchnorm", "spatial_batchnorm")),
        (LAYERS, [("return loss, dx / len(y)", "return loss, None")],
         ["softmax_loss (returns None as its result 2 of 2)."], ("loss",)),
        (LAYERS, [("def affine_forward", "def affine_forwards")],
         ["affine_forward (not defined).",
          "without affine before it: batchnorm, layernorm, softmax_loss."], ("affine1", "loss")),
        (TWO_LAYER, [("return loss, grads\n\n\nclass F", "return loss, {}\n\n\nclass F")],
         ["the gradients of TwoLayerNet.loss(X, y) (returns an empty dict)."], ("gradient",)),
        (DLFS, [("class Sigmoid", "class Sigmoide"), ("class Dropout", "class Dropoff")],
         ["Left out of the comparison: Sigmoid, Dropout (not defined)."], ("Sigmoid", "Dropout")),
        (L_LAYER, [("    return grads\n", "    return {}\n"), ("def update_", "def updated_")],
         ["L_model_backward (returns an empty dict).", "update_parameters (not defined)."],
         ("gradient", "update")),
        (PLANAR, [("def compute_cost", "def computed_cost")], ["compute_cost (not defined)."],
         ("loss",)),
    ],
)  # fmt: skip
def test_what_is_lacking_is_left_out_with_a_note(check, preset, changes, notes, absent) -> None:
    outcome = check(preset, *changes)
    assert (outcome.status, outcome.result.error) == (0, None)
    said = " ".join(outcome.result.notes)
    assert [note for note in notes if note not in said] == []
    parts = {part for c in outcome.result.checks for part in (c.quantity, c.name.split(".")[0])}
    assert parts.isdisjoint(absent)
    assert outcome.result.checks


def test_a_forward_function_is_asked_before_backward_is_written(check) -> None:
    outcome = check(LAYERS, file="cs231n/layers_skeleton.py")
    assert [c.key for c in outcome.result.checks] == [
        "activation/affine1", "activation/affine2", "logits",
    ]  # fmt: skip
    said = " ".join(outcome.result.notes)
    assert said == (
        "Left out of the comparison: relu_forward, softmax_loss (returns None as its result "
        "1 of 2); batchnorm_forward, layernorm_forward, dropout_forward, "
        "conv_forward_naive, max_pool_forward_naive, spatial_batchnorm_forward, "
        "spatial_groupnorm_forward (not defined). Compared in the forward direction only: "
        "affine_backward returns None as its result 1 of 3."
    )


def test_a_wrong_forward_function_differs_before_backward_is_written(check) -> None:
    outcome = check(LAYERS, (".dot(w) + b", ".dot(w) - b"), file="cs231n/layers_skeleton.py")
    assert outcome.status == 1
    assert outcome.result.first_divergence.name == "affine1"


@pytest.mark.parametrize(
    ("preset", "changes", "sentence"),
    [
        (LAYERS, [("(dout @ w.T).reshape(x.shape)", "dout @ w.T")],
         "layers.py: affine_backward should return dx in the shape of x, here (6, 2, 9"),
        (LAYERS, [("return dx, dw, db\n", "return dx, dw\n")],
         "layers.py: affine_backward should return 3 results, the first of them dx, but returned "
         "a tuple of 2."),
        (LAYERS, [("@ w + b, (x, w)", "@ w + b")],
         "layers.py: affine_forward should return (out, cache), but returned an array of shape"),
        (LAYERS, [("def affine_", "def fine_"), ("def conv_", "def con_")],
         "layers.py: expected affine_forward or conv_forward_naive as the first layer of a network,"
         " but affine_forward, conv_forward_naive (not defined)"),
        (TWO_LAYER, [("class TwoLayerNet", "class Net")],
         "fc_net.py: expected a class TwoLayerNet, but none is defined."),
        (TWO_LAYER, [("(input_dim, hidden_dim)", "(hidden_dim, input_dim)")],
         "fc_net.py: TwoLayerNet should make params['W1'] of shape (12, 9), but made it of shape "
         "(9, 12)."),
        (TWO_LAYER, [('self.params["b2"]', 'self.params["b"]')],
         "fc_net.py: TwoLayerNet should make params['b2'], but its params has 'W1', 'b1', 'W2', "
         "'b'."),
        (TWO_LAYER, [("return scores", "return None")],
         "fc_net.py: expected TwoLayerNet.loss(X) to return scores, but it returns None."),
        (DLFS, [("class Affine", "class Aff"), ("class Convolution", "class Conv")],
         "layers.py: expected a class Affine or Convolution, as the first layer of a network, but "
         "neither is defined."),
        (L_LAYER, [('grads["dW" + str(l)]', 'grads["W" + str(l)]')],
         "l_layer.py: L_model_backward should return a gradient as 'dW1', but returned a dict of "
         "'dA2', 'W3', 'db3'"),
        (L_LAYER, [("    return grads\n", "    return list(grads)\n")],
         "l_layer.py: L_model_backward should return a dict of gradients, but returned a value of "
         "type list."),
        (PLANAR, [("def forward_propagation", "def forward")],
         "planar.py: expected a function forward_propagation, but none is defined."),
    ],
)  # fmt: skip
def test_one_clear_sentence(check, preset, changes, sentence) -> None:
    outcome = check(preset, *changes)
    assert outcome.status == 2
    assert outcome.result.error.startswith(sentence.partition(", here (")[0])
    assert outcome.result.error.count("\n") == 0


def test_the_cost_may_have_the_parameters_as_its_third_argument(check) -> None:
    assert check(PLANAR, ("compute_cost(A2, Y)", "compute_cost(A2, Y, parameters)")).status == 0


def test_helpers_beside_the_notebook_are_used(plant) -> None:
    """Those of the package take their place only where the course's are absent."""
    path = plant("planar.py", ("load_planar_dataset, sigmoid", "sigmoid"), ("X, Y = load_", "# "))
    (path.parent / "planar_utils.py").write_text("def sigmoid(z):\n    return 0 * z + 0.5\n")
    outcome = check_in_process(path, Options(preset=PRESETS[PLANAR]))
    assert outcome.status == 1
    assert outcome.result.first_divergence.quantity == "logits"
    assert not any("nncompare" in note for note in outcome.result.notes)


def test_names_of_the_contract_in_the_homework_do_not_count(check) -> None:
    """A course's file may have a function called forward, or a list called NOTES."""
    own = (
        "def affine_forward",
        "NOTES = ['mine']\nLOSS = 0\ndef forward(): pass\n\n\ndef affine_forward",
    )
    outcome = check(LAYERS, own)
    assert (outcome.status, outcome.result.error) == (0, None)
    assert "mine" not in outcome.result.notes


def test_in_a_process_of_its_own(plant) -> None:
    """Also where the homework has a module that is called like the package."""
    path = plant("planar.py", ("import numpy as np", "import compare\nimport numpy as np"))
    (path.parent / "compare.py").write_text("mine = True\n")
    outcome = check_homework(path, Options(preset=PRESETS[PLANAR]))
    assert (outcome.status, outcome.result.error) == (0, None)
    assert any("planar_utils could not be imported" in note for note in outcome.result.notes)


def test_command_line(nncompare, plant) -> None:
    path = plant("l_layer.py")
    ended = nncompare("check", path, "--preset", L_LAYER)
    assert (ended.status, ended.err) == (0, "")
    assert "agrees with PyTorch in all 14 checks" in ended.out


def test_course_file(nncompare, plant, tmp_path) -> None:
    course = tmp_path / "course.toml"
    course.write_text(f'preset = "{PLANAR}"\n')
    assert nncompare("check", plant("planar.py"), "--course", course).status == 0
    course.write_text('preset = "planar"\n')
    ended = nncompare("check", tmp_path / "courses" / "planar.py", "--course", course)
    assert ended.status == 2
    assert f"{course}: preset expects one of {', '.join(PRESETS)}, but got 'planar'" in ended.err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--preset", "cs231n-layer"], "nncompare: --preset expects one of cs231n-layers, "
                                       "cs231n-two-layer-net, cs231n-fully-connected-net, "
                                       "cs231n-three-layer-conv-net, dlfs-layers, "
                                       "dlfs-two-layer-net, deeplearning-ai-l-layer, "
                                       "deeplearning-ai-planar, but got 'cs231n-layer'. Did "
                                       "you mean 'cs231n-layers'?"),
        (["--preset", PLANAR, "--mapping", "m.py"], "nncompare: --preset "
                                                    "deeplearning-ai-planar and --mapping m.py "
                                                    "both say how the homework is read: "
                                                    "expected one of them."),
        (["--preset", PLANAR, "--optimizer", "Adam"],
         "planar.py could not be checked: --optimizer Adam: the preset deeplearning-ai-planar "
         "has an optimizer of its own, SGD with lr=1.2; leave the option out. Note: Only "
         "definitions (imports, functions, classes, constants) were executed because the whole "
         "file cannot be imported: planar.py, on being imported, needs the module "
         "'planar_utils', which cannot be imported at line 7: No module named 'planar_utils'."),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(nncompare, plant, options, sentence) -> None:
    ended = nncompare("check", plant("planar.py"), *options)
    assert ended.status == 2
    assert " ".join(f"{ended.out} {ended.err}".split()) == sentence


def test_list_shows_them(command_line) -> None:
    text = command_line("list").out
    assert all(name in text for name in PRESETS)


def test_an_unknown_preset_is_refused() -> None:
    from compare.check.presets import find_preset

    with pytest.raises(InputError, match="--preset expects one of"):
        find_preset("x", "--preset")


# The documented networks: name → PyTorch's layer, and the layouts of what it has.
NORM, AFFINE = "weight bias running_mean running_var", "weight.T bias"
NETWORKS = {
    LAYERS: {
        "conv": (torch.nn.Conv2d(2, 4, 4, stride=2, padding=1), "weight bias"),
        "spatial_batchnorm": (torch.nn.BatchNorm2d(4), NORM),
        "spatial_groupnorm": (torch.nn.GroupNorm(2, 4), "weight bias"),
        "max_pool": (torch.nn.MaxPool2d(2, stride=1), ""),
        "flatten": (torch.nn.Flatten(), ""),
        "affine1": (torch.nn.Linear(36, 8), AFFINE),
        "batchnorm": (torch.nn.BatchNorm1d(8), NORM),
        "layernorm": (torch.nn.LayerNorm(8), "weight bias"),
        "relu": (torch.nn.ReLU(), ""),
        "dropout": (torch.nn.Dropout(0.5), ""),
        "affine2": (torch.nn.Linear(8, 5), AFFINE),
    },
    DLFS: {
        "Convolution": (torch.nn.Conv2d(2, 4, 4, stride=2, padding=1), "weight bias"),
        "Pooling": (torch.nn.MaxPool2d(2, stride=1), ""),
        "Flatten": (torch.nn.Flatten(), ""),
        "Affine1": (torch.nn.Linear(36, 8), AFFINE),
        "BatchNormalization": (torch.nn.BatchNorm1d(8, eps=10e-7), NORM),
        "Sigmoid": (torch.nn.Sigmoid(), ""),
        "Affine2": (torch.nn.Linear(8, 8), AFFINE),
        "Relu": (torch.nn.ReLU(), ""),
        "Dropout": (torch.nn.Dropout(0.5), ""),
        "Affine3": (torch.nn.Linear(8, 5), AFFINE),
    },
}
LOSSES = {LAYERS: "softmax_loss", DLFS: "SoftmaxWithLoss"}


def read(path: Path, preset: str) -> dict:
    """The names that a homework has by a preset."""
    homework = Homework(file=path.resolve())
    result = homework.request("load", mapping=str(PRESETS[preset].file), own_contract=False)
    assert result.problem is None
    return homework._names


@pytest.mark.parametrize("preset", NETWORKS, ids=["functions", "classes"])
def test_the_layers_of_a_file_are_those_of_the_documented_network(plant, preset) -> None:
    """Each gives PyTorch's values and, for random output gradients, PyTorch's gradients."""
    names, expected = read(plant(FILES[preset][0]), preset), NETWORKS[preset]
    modules = dict(names["architecture"](torch.nn).named_children())
    assert {name: str(module) for name, module in modules.items()} == {
        name: str(module) for name, (module, _) in expected.items()
    }
    assert names["PARAMETERS"] == {
        f"{name}.{key.removesuffix('.T')}": f"{name}.{key}"
        for name, (_, keys) in expected.items()
        for key in keys.split()
    }
    hinge = ["svm_loss is not compared: the contract has no hinge loss."]
    assert names["NOTES"] == (hinge if preset == LAYERS else [])
    assert names["LOSS"] == "cross_entropy"
    random = np.random.default_rng(0)
    params, arrays = {}, {}
    for own, form in names["PARAMETERS"].items():
        name, _, key = own.partition(".")
        value = random.uniform(0.5, 1.5, tuple(getattr(modules[name], key).shape))
        arrays[own], params[own] = value, value.T if form.endswith(".T") else value
    layers, loss = names["network"]({key: value.copy() for key, value in params.items()})
    assert list(layers) == [name for name in expected if name.lower() != "flatten"]
    x = random.standard_normal((3, 2, 8, 8))
    for name, module in modules.items():
        module.double()
        with torch.no_grad():
            for key, parameter in module.named_parameters():
                parameter.copy_(torch.tensor(arrays[f"{name}.{key}"]))
            for key, buffer in module.named_buffers():
                if buffer.is_floating_point():
                    buffer.copy_(torch.tensor(arrays[f"{name}.{key}"]))
        given = torch.tensor(x, requires_grad=True)
        if isinstance(module, torch.nn.Dropout | torch.nn.Flatten):
            x = module.eval()(given).detach().numpy()
            continue
        layer = layers[name]
        if hasattr(layer, "running_mean"):
            layer.running_mean, layer.running_var = (
                arrays[f"{name}.{key}"].copy() for key in ("running_mean", "running_var")
            )
        output, dy = module(given), random.standard_normal(tuple(module(given).shape))
        assert type(layer).__name__.lower() == name.rstrip("123").lower()
        np.testing.assert_allclose(layer.forward(x), output.detach(), rtol=1e-9, atol=1e-12)
        output.backward(torch.tensor(dy))
        np.testing.assert_allclose(layer.backward(dy), given.grad, rtol=1e-9, atol=1e-9)
        x = output.detach().numpy()
    x, classes = x[:, :5], np.array([0, 2, 4])
    given = torch.tensor(x, requires_grad=True)
    right = torch.nn.functional.cross_entropy(given, torch.tensor(classes))
    right.backward()
    targets = np.eye(5)[classes] if names.get("ONE_HOT") else classes
    assert type(loss).__name__ == LOSSES[preset]
    assert loss.forward(x, targets) == pytest.approx(right.item())
    np.testing.assert_allclose(loss.backward(), given.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("absent", "preset", "without", "inputs", "notes", "loss"),
    [
        ("Pooling", DLFS, ["Pooling"], 64,
         ["Left out of the comparison: Pooling (not defined)."], "cross_entropy"),
        ("Convolution", DLFS, ["Convolution", "Pooling", "Flatten"], 12,
         ["Left out of the comparison: Convolution (not defined)."], "cross_entropy"),
        ("Sigmoid", DLFS, ["Sigmoid", "Affine2"], 36,
         ["Left out of the comparison: Sigmoid (not defined)."], "cross_entropy"),
        ("Affine", DLFS,
         ["Flatten", "Affine1", "BatchNormalization", "Sigmoid", "Affine2", "Affine3"],
         None, ["Left out of the comparison: Affine (not defined).",
                "Left out of the comparison without Affine before it: BatchNormalization, Sigmoid, "
                "SoftmaxWithLoss."], "mse"),
        ("SoftmaxWithLoss", DLFS, [], 36,
         ["Left out of the comparison: SoftmaxWithLoss (not defined)."], "cross_entropy"),
        ("max_pool_forward_naive", LAYERS, ["max_pool"], 64,
         ["Left out of the comparison: max_pool_forward_naive (not defined)."], "cross_entropy"),
        ("conv_forward_naive", LAYERS,
         ["conv", "spatial_batchnorm", "spatial_groupnorm", "max_pool", "flatten"], 12,
         ["Left out of the comparison: conv_forward_naive (not defined)."], "cross_entropy"),
        ("layernorm_forward", LAYERS, ["layernorm"], 36,
         ["Left out of the comparison: layernorm_forward (not defined)."], "cross_entropy"),
        ("softmax_loss", LAYERS, [], 36,
         ["Left out of the comparison: softmax_loss (not defined)."], "cross_entropy"),
        ("affine_forward", LAYERS,
         ["flatten", "affine1", "batchnorm", "layernorm", "affine2"], None,
         ["Left out of the comparison: affine_forward (not defined).",
          "Left out of the comparison without affine before it: batchnorm, layernorm, "
          "softmax_loss."],
         "mse"),
        ("relu_backward", LAYERS, [], 36,
         ["Compared in the forward direction only: relu_backward not defined."], "cross_entropy"),
    ],
)  # fmt: skip
def test_the_network_of_the_layers_that_are_there(
    plant, absent, preset, without, inputs, notes, loss
) -> None:
    path = plant(FILES[preset][0])
    path.write_text(f"{path.read_text('utf-8')}\n\ndel {absent}\n", encoding="utf-8")
    names = read(path, preset)
    modules = dict(names["architecture"](torch.nn).named_children())
    assert list(modules) == [name for name in NETWORKS[preset] if name not in without]
    first = modules.get("Affine1") or modules.get("affine1")
    assert (first and first.in_features) == inputs
    hinge = ["svm_loss is not compared: the contract has no hinge loss."]
    assert names["NOTES"] == notes + (hinge if preset == LAYERS else [])
    assert names["LOSS"] == loss
    shapes = {f"{n}.{k}": v.numpy() for n, m in modules.items() for k, v in m.state_dict().items()}
    params = {
        own: shapes[own].T if form.endswith(".T") else shapes[own]
        for own, form in names["PARAMETERS"].items()
    }
    made = names["network"](params)
    whole = isinstance(made, tuple)
    assert whole is (absent not in (LOSSES[preset], "Affine", "affine_forward"))
    layers = made[0] if whole else made
    assert list(layers) == [name for name in modules if name.lower() != "flatten"]
    if absent == "relu_backward":
        assert layers["relu"].backward is None
