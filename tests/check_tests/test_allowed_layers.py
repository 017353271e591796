"""Networks that somebody else describes: only layers and plain arguments are built."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planted.in_process import check_in_process

from compare.check.allowed_layers import (
    LAYERS,
    MOST_LAYERS,
    ForbiddenLayerError,
    require_network,
)
from compare.check.architecture import (
    RecordedArchitecture,
    load_architecture,
    most_numbers,
    record_architecture,
)
from compare.check.homework import Homework
from compare.check.return_values import CallResult
from compare.spec.architecture import architecture_names
from experiments.errors import InputError

# Classes of torch.nn that are no layers for one input, or that draw at random.
NO_LAYERS = ("Loss", "Lazy", "Base", "Dict", "Container", "Parallel", "SyncBatchNorm", "Unpool")
OTHERS = {
    "Module", "ParameterList", "NLLLoss2d", "AdaptiveLogSoftmaxWithLoss", "AlphaDropout",
    "FeatureAlphaDropout", "FractionalMaxPool2d", "FractionalMaxPool3d", "RReLU",
}  # fmt: skip


def test_every_layer_of_torch_is_allowed_or_left_out_for_a_reason():
    modules = {
        name
        for name, value in vars(torch.nn).items()
        if inspect.isclass(value) and issubclass(value, torch.nn.Module)
    }
    assert LAYERS - {"LastStep"} <= modules
    left = {name for name in modules - LAYERS if not any(word in name for word in NO_LAYERS)}
    assert left <= OTHERS


def test_the_packages_own_networks_are_allowed():
    for name in architecture_names():
        assert load_architecture(name).leaves()


def layer(make: object = "Linear", *args: object, **more: object) -> dict:
    return {"make": make, "args": list(args), "kwargs": {}, **more}


DEEP: list = []
for _ in range(5000):
    DEEP = [DEEP]

FORGED = {
    "dots": layer("functional.torch.os.system", "touch stolen"),
    "no layer": layer("functional"),
    "private": layer("__class__"),
    "a module": layer("Module"),
    "a number": layer(7),
    "no name": {"args": [], "kwargs": {}},
    "no tree": None,
    "a list": [layer()],
    "more keys": layer(code="print()"),
    "no layer that is appended": layer("Sequential", then=[["append", [layer("os")], {}]]),
    "no layer of the second that is": layer(
        "Sequential", then=[["append", [layer()], {}], ["append", [layer("Sequential", 3)], {}]]
    ),
    "no arguments": {"make": "ReLU"},
    "arguments as text": {"make": "ReLU", "args": "ab", "kwargs": {}},
    "other methods": layer("ReLU", then=[["apply", ["os.system"], {}]]),
    "a private method": layer("ReLU", then=[["__init__", [], {}]]),
    "a method without its layer": layer("Sequential", then=[["append", [3], {}]]),
    "methods without a list": layer("ReLU", then="append"),
    "a layer that holds none": layer("ReLU", then=[["append", [layer("ReLU")], {}]]),
    "a layer in a layer": layer("Linear", layer("ReLU")),
    "a path as a name": layer("Sequential", {"ordered": [["../x", layer("ReLU")]]}),
    "no layer under a name": layer("Sequential", {"ordered": [["x", 3]]}),
    "pairs of three": layer("Sequential", {"ordered": [["x", layer("ReLU"), 3]]}),
    "another dict": layer("Linear", {"a": 3}),
    "a huge number": layer("Linear", 10**50, 2),
    "no number": layer("LeakyReLU", float("nan")),
    "control characters": layer("Linear", "\x1b[2J"),
    "a long text": layer("Linear", "a" * 1000),
    "a device": {"make": "Linear", "args": [2, 2], "kwargs": {"device": "meta"}},
    "no argument's name": {"make": "Linear", "args": [2, 2], "kwargs": {"a b": 1}},
    "deep": layer("Sequential", DEEP),
    "many layers": layer("Sequential", *[layer("Sequential", *[layer("ReLU")] * 1500)] * 2),
    "no layer in a Sequential": layer("Sequential", None),
    "a name for a layer": {"make": "Sequential", "args": [], "kwargs": {"a": layer("ReLU")}},
    "no probability": layer("Dropout", "half"),
    "many numbers": layer("Unflatten", 1, [1] * 5000),
}  # fmt: skip


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_answer_is_one_sentence_and_builds_nothing(kind, write, tmp_path, monkeypatch):
    """A homework's process may answer anything when it is asked for the architecture."""
    monkeypatch.chdir(tmp_path)

    def forge(self: Homework, result: CallResult, _: object) -> None:
        result.details["tree"] = FORGED[kind]

    monkeypatch.setattr(Homework, "_architecture", forge)
    outcome = check_in_process(write())
    assert outcome.status == 2
    error = outcome.result.error or ""
    assert error.startswith("architecture(nn) of homework.py is no network that can be compared: ")
    assert len(error) < 300
    assert error.isprintable()
    assert not (tmp_path / "stolen").exists()


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(["Linear", "Sequential", "ReLU", "os", "functional.os", "", "__init__"])


def around(inner: st.SearchStrategy) -> st.SearchStrategy:
    keys = st.sampled_from(["make", "args", "kwargs", "then", "ordered", "device"])
    layers = st.fixed_dictionaries(
        {"make": NAMES, "args": st.lists(inner, max_size=3), "kwargs": st.just({})},
        optional={"then": st.lists(st.tuples(st.just("append"), st.lists(inner)).map(list))},
    )
    return st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3) | layers


def answers_or_refuses(tree: object) -> None:
    """The property: a tree is refused in one sentence, or names layers of torch alone."""
    sentence = ""
    try:
        require_network(tree)
    except ForbiddenLayerError as error:
        sentence = str(error)
    assert sentence.isprintable()
    if not sentence:
        network = RecordedArchitecture(tree, "net")
        assert {name for _, name in network.leaves()} <= LAYERS
        network.descriptions()
        network.dropout_probabilities()
        most_numbers(tree)


@settings(max_examples=40, deadline=None)
@given(st.recursive(PLAIN, around, max_leaves=12))
def test_any_tree(tree):
    answers_or_refuses(tree)


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.recursive(PLAIN, around, max_leaves=30))
def test_many_more_trees(tree):
    answers_or_refuses(tree)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "nn.functional.torch.os.system('touch stolen')",
            "architecture(nn) raised "
            "ForbiddenLayerError at line 9: "
            "nn.functional.torch is no layer: a "
            "network may be made of layers of "
            "torch.nn alone.",
        ),
        (
            "nn.functional('x')",
            "architecture(nn) raised ForbiddenLayerError at line 9: "
            "nn.functional is none of the layers of torch.nn that a network "
            "may be made of here; did you mean nn.Sequential?",
        ),
        (
            "nn.Linaer(3, 2)",
            "architecture(nn) raised ForbiddenLayerError at line 9: nn.Linaer "
            "is none of the layers of torch.nn that a network may be made of "
            "here; did you mean nn.Linear?",
        ),
        (
            "nn.Sequential(nn.ReLU().apply(print))",
            "architecture(nn) raised TypeError: "
            "<built-in function print> cannot be an "
            "argument of a layer here.",
        ),
        (
            "nn.Sequential(nn.ReLU().register_module('x', nn.ReLU()))",
            "architecture(nn) raised "
            "ForbiddenLayerError: nn.ReLU(…) may "
            "be followed by append, add_module, "
            "double, float, train, but has "
            "'register_module'.",
        ),
        (
            "(_ for _ in ()).throw(SystemExit(0))",
            "architecture(nn) called sys.exit(0) at line 9: it should return its result instead.",
        ),
        (
            "__import__('os')._exit(0)",
            "architecture(nn) ended the process with exit status 0: it should return its result.",
        ),
    ],
)
def test_what_architecture_may_not_do(check_in_sandbox, tmp_path, body, sentence):
    ours = os.getpid()
    old = "nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))"
    outcome = check_in_sandbox((old, body))
    assert (outcome.status, os.getpid()) == (2, ours)
    assert (outcome.result.error or "") == sentence
    assert not (tmp_path / "stolen").exists()


@pytest.mark.parametrize(
    "text", ['__file__ + ":net"', '"net:net"', '"homework.py:net"', '"a/b.net"']
)
def test_a_homework_names_no_file(check, tmp_path, text):
    """Its file would run in the checking process; here it leaves a mark each time it runs."""
    mark = f"open({str(tmp_path / 'mark')!r}, 'a').write('x')\n"
    old = "def architecture(nn):"
    outcome = check((old, f"{mark}ARCHITECTURE = {text}\ndef net(nn):"))
    assert outcome.status == 2
    assert "names a file, which only --architecture and a course's file may do" in (
        outcome.result.error or ""
    )
    assert (tmp_path / "mark").read_text() == "x"  # once, where homeworks run


def test_the_command_line_may_name_a_file(nncompare, write, tmp_path):
    net = "def net(nn):\n    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5))\n"
    (tmp_path / "net.py").write_text(net)
    homework = write(("def architecture", "def other"))
    assert nncompare("check", homework, "--architecture", f"{tmp_path / 'net.py'}:net").status == 0
    Path(tmp_path / "net.py").write_text("def net(nn):\n    return nn.functional.relu(3)\n")
    ended = nncompare("check", homework, "--architecture", f"{tmp_path / 'net.py'}:net")
    assert (ended.status, "Traceback" in ended.err) == (2, False)
    assert "nn.functional.relu is no layer" in ended.out + ended.err


def test_a_homework_names_an_optimizer_alone(check, adam):
    with_name = ("import numpy as np", 'import numpy as np\nOPTIMIZER = "lr_scheduler"')
    outcome = check(adam, with_name)
    assert outcome.status == 2
    assert (outcome.result.error or "") == (
        "--optimizer lr_scheduler: PyTorch has no such optimizer; expected SGD, Adam, AdamW "
        "or another of torch.optim."
    )


def test_recording_refuses_what_reading_refuses():
    with pytest.raises(ForbiddenLayerError, match="a number above"):
        record_architecture(lambda nn: nn.Linear(10**40, 2))
    with pytest.raises(InputError, match=r"^net is no network that can be compared: expected"):
        RecordedArchitecture({"make": 3}["make"], "net")


def sequential(*inner: object, then: object = None) -> dict:
    return layer("Sequential", *inner, **({} if then is None else {"then": then}))


RELU = layer("ReLU")


def test_as_many_layers_as_are_allowed():
    require_network(sequential(*[RELU] * (MOST_LAYERS - 1)))
    with pytest.raises(ForbiddenLayerError, match="layers, and it has more"):
        require_network(sequential(*[RELU] * MOST_LAYERS))


def test_a_method_that_adds_by_name():
    added = sequential(RELU, then=[["add_module", ["a_1", RELU], {}]])
    ordered = sequential({"ordered": [["a", RELU], ["b", RELU]]})
    for tree in (added, ordered):
        require_network(tree)
        assert [kind for _, kind in RecordedArchitecture(tree, "net").leaves()] == ["ReLU", "ReLU"]


def inside(depth: int) -> dict:
    """A ReLU within so many Sequentials."""
    tree = layer("ReLU")
    for _ in range(depth):
        tree = layer("Sequential", tree)
    return tree


ALONE = "a layer is described by its name and its arguments alone"
SENTENCES = [
    ([], "expected a network such as nn.Sequential(…)"),
    ({"args": []}, "expected a network such as nn.Sequential(…)"),
    ({"make": 3, "args": [], "kwargs": {}}, ALONE),
    ({**layer("ReLU"), "more": 1}, ALONE),
    ({"make": "ReLU", "kwargs": {}}, "nn.ReLU should have a list and a dict of arguments"),
    ({"make": "ReLU", "args": []}, "nn.ReLU should have a list and a dict of arguments"),
    (layer("Sequential", 3), "nn.Sequential takes layers alone"),
    ({**layer("Sequential"), "kwargs": {"a": 1}}, "nn.Sequential takes layers alone"),
    (layer("Linear", layer("ReLU")), "nn.Linear takes no layer as an argument here"),
    (layer("Linear", {"ordered": []}), "nn.Linear takes no dict as an argument here"),
    (layer("Sequential", {"ordered": {}}), "nn.Sequential takes no dict as an argument here"),
    (layer("Sequential", {"ordered": [["a"]]}), "nn.Sequential takes no dict as an argument here"),
    (layer("Sequential", {"ordered": [["a", 3]]}), "3 is no layer of nn.Sequential"),
    (layer("Sequential", {"ordered": [["a.b", layer("ReLU")]]}),
     "'a.b' cannot name a layer: expected letters, digits and underscores"),
    (layer("Sequential", {"ordered": [["a" * 101, layer("ReLU")]]}),
     f"'{'a' * 56}… cannot name a layer: expected letters, digits and underscores"),
    (layer("Sequential", {"ordered": [[7, layer("ReLU")]]}),
     "7 cannot name a layer: expected letters, digits and underscores"),
    (layer("Dropout", 1.5), "nn.Dropout takes a probability from 0 to 1, not 1.5"),
    (layer("Dropout", -0.1), "nn.Dropout takes a probability from 0 to 1, not -0.1"),
    (layer("Dropout", True), "nn.Dropout takes a probability from 0 to 1, not True"),
    ({**layer("Dropout"), "kwargs": {"p": "x"}},
     "nn.Dropout takes a probability from 0 to 1, not 'x'"),
    (layer("Dropout", "x" * 70),
     "nn.Dropout takes a probability from 0 to 1, not '" + "x" * 56 + "…"),
    (layer("ReLU", then=["append"]),
     "nn.ReLU(…) may be followed by append, add_module, double, float, train, but has 'append'"),
    ({**layer("Linear"), "kwargs": {"device": "cpu"}}, "nn.Linear takes no argument 'device' here"),
    ({**layer("Linear"), "kwargs": {"dtype": "f"}}, "nn.Linear takes no argument 'dtype' here"),
    ({**layer("Linear"), "kwargs": {"a b": 1}}, "nn.Linear takes no argument 'a b' here"),
    (layer("Linear", 2**31 + 1), "a number above 2³¹ cannot be an argument of nn.Linear here"),
    (layer("Linear", -(2**31) - 1), "a number above 2³¹ cannot be an argument of nn.Linear here"),
    (layer("Linear", float("nan")), "nan cannot be an argument of nn.Linear here"),
    (layer("Linear", "a" * 101), f"'{'a' * 56}… cannot be an argument of nn.Linear here"),
    (layer("Linear", "\n"), r"'\n' cannot be an argument of nn.Linear here"),
    (layer("Linear", [[0] * 2001]), "nn.Linear has more than 2,000 arguments"),
    (layer("ReLU", then=3), "nn.ReLU should have a list of methods, none too long"),
    (layer("ReLU", then=[["double", [], {}]] * 2001),
     "nn.ReLU should have a list of methods, none too long"),
    (layer("ReLU", then=[["half", [], {}]]),
     "nn.ReLU(…) may be followed by append, add_module, double, float, train, but has 'half'"),
    (layer("ReLU", then=[3]),
     "nn.ReLU(…) may be followed by append, add_module, double, float, train, but has 3"),
    (layer("ReLU", then=[[]]),
     "nn.ReLU(…) may be followed by append, add_module, double, float, train, but has a list"),
    (layer("ReLU", then=[["append", [layer("ReLU")], {}]]),
     "nn.ReLU(…) holds no layers, so append adds none to it"),
    (layer("Sequential", then=[["append", [3], {}]]),
     "append should be called with one layer to add"),
    (layer("Sequential", then=[["append", [], {}]]),
     "append should be called with one layer to add"),
    (layer("Sequential", then=[["append", [layer("ReLU")], {"a": 1}]]),
     "append should be called with one layer to add"),
    (layer("ReLU", then=[["double", [1], {}]]), "double should be called without arguments"),
    (layer("Sequential", then=[["add_module", ["a b", layer("ReLU")], {}]]),
     "'a b' cannot name a layer: expected letters, digits and underscores"),
    (inside(MOST_LAYERS), "the network is nested more than 30 deep"),
    (inside(16), "the network is nested more than 30 deep"),
    (layer("Sequential", *[layer("ReLU")] * 2000),
     "a network may have 2,000 layers, and it has more"),
    (layer("Rleu"), "nn.Rleu is none of the layers of torch.nn that a network may be made of here; "
                    "did you mean nn.ReLU?"),
    (layer("\x1bqqqq"), "nn.\N{REPLACEMENT CHARACTER}qqqq is none of the layers of torch.nn that a "
                        "network may be made of here"),
    (layer("q" * 61), f"nn.{'q' * 60} is none of the layers of torch.nn that a network may be made "
                      "of here"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "sentence"), SENTENCES, ids=range(len(SENTENCES)))
def test_what_a_refusal_says(tree: object, sentence: str) -> None:
    with pytest.raises(ForbiddenLayerError) as raised:
        require_network(tree)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    "tree",
    [
        inside(14),
        layer("Sequential", *[layer("ReLU")] * 1999),
        layer("Linear", [0] * 2000, 2**31, -(2**31), float("inf"), None, True, "a" * 100),
        layer("Sequential", {"ordered": [["a" * 100, layer("ReLU")], ["_9", layer("Tanh")]]}),
        layer("Dropout"),
        layer("Dropout", 0),
        layer("Dropout", 1.0),
        {**layer("Dropout"), "kwargs": {"p": 0.3}},
        layer("Flatten with channels last"),
        layer("ReLU", then=[["double", [], {}]] * 2000),
        layer("Sequential", then=[["add_module", ["a", layer("ReLU")], {}],
                                  ["append", [layer("ReLU")], {}], ["train", [], {}]]),
        layer("ModuleList", [layer("ReLU")]),
    ],
    ids=range(12),
)  # fmt: skip
def test_what_is_just_within_the_bounds_is_allowed(tree: dict) -> None:
    require_network(tree)
