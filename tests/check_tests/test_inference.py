"""What a homework does not declare is found by trying, in right homeworks and in wrong ones."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from planted.homeworks import NAMED, UNNAMED
from planted.in_process import check_in_process

from compare.check.array_names import assign_names, kind_of
from compare.check.checking import load_homework
from compare.check.contract import COLUMN, ROW, Contract
from compare.check.homework import Homework
from compare.check.inference import Inference, _forms
from compare.check.reading import Options, read_homework
from experiments.errors import InputError

ROOT = Path(__file__).resolve().parents[2]

# It computes in rows; in columns, what comes in and what goes out is transposed.
HOMEWORK = """
import numpy as np


def architecture(nn):
    return nn.Sequential(
        nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 4)
    )


def run(params, x):
    a1 = np.maximum(IN(x) @ WEIGHT(params["W1"]) + BIAS(params["b1"]), 0)
    a2 = np.maximum(a1 @ WEIGHT(params["W2"]) + BIAS(params["b2"]), 0)
    return a1, a2, a2 @ WEIGHT(params["W3"]) + BIAS(params["b3"])


def forward(params, x):
    return OUT(run(params, x)[-1])


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(params, x, y):
    p = softmax(run(params, x)[-1])
    return -np.sum(ONEHOT(y) * np.log(p)) / len(p)


def gradients(params, x, y):
    a1, a2, z = run(params, x)
    d3 = (softmax(z) - ONEHOT(y)) / len(z)
    d2 = d3 @ WEIGHT(params["W3"]).T * (a2 > 0)
    d1 = d2 @ WEIGHT(params["W2"]).T * (a1 > 0)
    found = {}
    for i, a, d in ((1, IN(x), d1), (2, a1, d2), (3, a2, d3)):
        found[f"W{i}"] = WEIGHT(a.T @ d)
        found[f"b{i}"] = SHAPE(d.sum(axis=0))
    return found
"""
RIGHT, MISTAKES = (), (
    (("- ONEHOT(y)) / len(z)", "- ONEHOT(y))"),),
    (("a1 = np.maximum(IN(x)", "a1 = np.tanh(IN(x)"), ("1\"]), 0)", "1\"]))")),
)  # fmt: skip


def written(
    axis: int, one_hot: bool, form: str, bias: str, changes: tuple = RIGHT, declared: str = ""
) -> str:
    """The homework in one of the ways to lay out its arrays, with nothing declared."""
    labels = "y.T" if axis else "y"
    text = HOMEWORK
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    helpers = {
        "IN": "lambda x: x.T" if axis else "lambda x: x",
        "OUT": "lambda z: z.T" if axis else "lambda z: z",
        "WEIGHT": "lambda w: w" if form else "lambda w: w.T",
        "BIAS": {"": "lambda b: b", COLUMN: "lambda b: b[:, 0]", ROW: "lambda b: b[0]"}[bias],
        "SHAPE": {"": "lambda b: b", COLUMN: "lambda b: b[:, None]", ROW: "lambda b: b[None]"}[
            bias
        ],
        "ONEHOT": f"lambda y: {labels}" if one_hot else "lambda y: np.arange(4) == y[:, None]",
    }
    lines = "\n".join(f"{name} = {body}" for name, body in helpers.items())
    return text.replace("import numpy as np\n", f"import numpy as np\n\n{declared}\n{lines}\n")


def find(file: Path, **options) -> Inference:
    """What is found about a file, without the check."""
    homework = Homework(file=file)
    load_homework(homework, file.name, Options(**options))
    return read_homework(homework, file.name, Options(**options)).inference


def layout(contract: Contract) -> tuple:
    return contract.batches.axis, contract.batches.one_hot, contract.parameters


WAYS = list(itertools.product((0, 1), (False, True), ("", ".T"), ("", COLUMN, ROW)))


def parameters(form: str, bias: str) -> dict[str, str]:
    return {
        name: key
        for i in (1, 2, 3)
        for name, key in (
            (f"W{i}", f"{2 * i - 2}.weight{form}"),
            (f"b{i}", f"{2 * i - 2}.bias{bias}"),
        )
    }


@pytest.mark.parametrize("changes", [RIGHT, *MISTAKES], ids=("right", "sum", "tanh"))
@pytest.mark.parametrize(("axis", "one_hot", "form", "bias"), WAYS)
def test_every_way_to_lay_out_arrays(axis, one_hot, form, bias, changes, write):
    found = find(write(text=written(axis, one_hot, form, bias, changes)))
    assert layout(found.contract) == (axis, one_hot, parameters(form, bias))
    assert bool(found.differing) == (changes != RIGHT)
    assert found.calls <= 60


def test_a_note_says_what_was_found(check):
    outcome = check(text=written(1, True, ".T", COLUMN))
    assert outcome.status == 0
    assert outcome.result.notes == (
        "Read as: batch in columns, labels one-hot; W1 is 0.weight.T, b1 is 0.bias[:, None], W2 is "
        "2.weight.T, b2 is 2.bias[:, None], W3 is 4.weight.T, b3 is 4.bias[:, None].",
    )


def test_nothing_is_said_of_what_is_as_the_contract_has_it(check):
    declared = f"PARAMETERS = {parameters('', '')}"
    assert check(text=written(0, False, "", "", declared=declared)).result.notes == ()


def test_declared_words_win(write, check):
    """Even if they are wrong: then the check says so."""
    declared = f"BATCH_AXIS = 0\nPARAMETERS = {parameters('.T', '')}"
    text = written(1, False, "", "", declared=declared)
    assert layout(find(write(text=text)).contract)[::2] == (0, parameters(".T", ""))
    assert check(text=text).status == 2
    text = written(0, True, "", "", declared="ONE_HOT = False")
    assert layout(find(write(text=text)).contract) == (0, False, parameters("", ""))
    assert check(text=text).status == 2


def test_all_that_is_declared_needs_no_call(write):
    declared = f"BATCH_AXIS = 0\nONE_HOT = False\nPARAMETERS = {parameters('', '')}"
    assert find(write(text=written(0, False, "", "", declared=declared))).calls == 0


def test_some_entries_of_parameters(write):
    own = {k: v for k, v in parameters(".T", COLUMN).items() if k not in ("W2", "b3")}
    text = written(0, True, ".T", COLUMN, declared=f"PARAMETERS = {own}")
    found = find(write(text=text)).contract
    assert dict(sorted((found.parameters or {}).items())) == dict(
        sorted(parameters(".T", COLUMN).items())
    )


SQUARE = 'WEIGHT(params["W2"])'


def test_a_square_weight_of_another_layout(write, check):
    """If everything agrees under it, it is the homework's layout."""
    text = written(0, False, ".T", "").replace(SQUARE, f"{SQUARE}.T")
    text = text.replace("    return found\n", '    found["W2"] = found["W2"].T\n    return found\n')
    assert find(write(text=text)).contract.parameters == {
        **parameters(".T", ""), "W2": "2.weight",
    }  # fmt: skip
    assert check(text=text).status == 0


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ((f"a1 @ {SQUARE}", f"a1 @ {SQUARE}.T"), "logits"),
        ((f"d2 @ {SQUARE}", f"d2 @ {SQUARE}.T"), "gradient/0.weight"),
        (
            ("    return found\n", '    found["W2"] = found["W2"].T\n    return found\n'),
            "gradient/2.weight",
        ),
    ],
    ids=["in forward", "in backward", "as a gradient"],
)
def test_a_layout_hides_no_mistake(change, first, check):
    """A square weight that is transposed in one place of several."""
    outcome = check(change, text=written(0, False, ".T", ""))
    assert outcome.status == 1
    assert outcome.result.first_divergence.key == first
    assert outcome.result.notes[0] == (
        "Read as: batch in rows, labels as class numbers; W1 is 0.weight.T, b1 is 0.bias, "
        "W2 is 2.weight.T, b2 is 2.bias, W3 is 4.weight.T, b3 is 4.bias."
    )


ONE_LAYER = """
import numpy as np


def architecture(nn):
    return nn.Sequential(nn.Linear(8, 8))


def forward(params, x):
    return 0.01 * (x @ params["W"]) + 100 * params["b"] ** 2
"""
LABELS = """
import numpy as np

BATCH_AXIS = 1
PARAMETERS = {"W": "0.weight", "b": "0.bias[:, None]"}


def architecture(nn):
    return nn.Sequential(nn.Linear(8, 4))


def loss(params, x, y):
    return 2 + np.mean((params["W"] @ x + params["b"] - y) ** 2)
"""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (ONE_LAYER, r'write PARAMETERS with the entry "W": "0\.weight" or "0\.weight\.T"\.'),
        (LABELS, r"write ONE_HOT = False \(labels are class numbers\) or ONE_HOT = True\."),
    ],
    ids=["a square weight", "labels"],
)
def test_what_stays_open_is_asked_for(text, sentence, check):
    error = check(text=text).result.error
    assert re.search(f"^homework.py runs in more than one way .* in none: {sentence}$", error)


def test_right_code_is_never_asked(check):
    right = ONE_LAYER.replace('0.01 * (x @ params["W"]) + 100 * params["b"] ** 2',
                              'x @ params["W"] + params["b"]')  # fmt: skip
    outcome = check(text=right)
    assert outcome.status == 0
    assert outcome.result.notes[0] == "Read as: batch in rows; W is 0.weight.T, b is 0.bias."


def test_names_that_say_nothing_are_asked_for(check):
    text = ONE_LAYER.replace('params["W"]', 'params["one"]').replace('params["b"]', 'params["two"]')
    assert check(text=text).result.error == (
        "homework.py reads the arrays 'one', 'two', and it cannot be told which is which: write "
        "PARAMETERS, own name → one of 0.weight, 0.bias."
    )


INITIAL = """

def initialize_parameters(sizes):
    return {
        name: array
        for i in range(1, len(sizes))
        for name, array in (
            (f"layer{i}_one", np.zeros((sizes[i - 1], sizes[i]))),
            (f"layer{i}_two", np.zeros((sizes[i], 1))),
        )
    }
"""


def test_shapes_of_an_initialising_function_tell_names(write):
    """Here the names say nothing, and each shape belongs to one array."""
    text = written(0, False, ".T", COLUMN).replace("nn.Linear(9, 9)", "nn.Linear(9, 7)")
    text = text.replace("nn.Linear(9, 4)", "nn.Linear(7, 4)")
    text = re.sub(r"\bW(\d|\{i\})", r"layer\1_one", text)
    text = re.sub(r"\bb(\d|\{i\})", r"layer\1_two", text) + INITIAL
    found = find(write(text=text))
    assert found.contract.parameters is not None
    assert found.contract.parameters["layer2_one"] == "2.weight.T"
    assert found.contract.parameters["layer3_two"] == "4.bias[:, None]"
    assert found.differing == ()


LOOP = """
import numpy as np

ARCHITECTURE = "softmax_mlp"


def forward(parameters, X):
    A, L = X, len(parameters) // 2
    for l in range(1, L):
        A = np.maximum(0, np.dot(parameters["W" + str(l)], A) + parameters["b" + str(l)])
    return np.dot(parameters["W" + str(L)], A) + parameters["b" + str(L)]
"""


def test_names_that_are_put_together(write):
    found = find(write(text=LOOP)).contract
    assert found.batches.axis == 1
    assert found.parameters == {
        "W1": "0.weight", "b1": "0.bias[:, None]", "W2": "2.weight", "b2": "2.bias[:, None]",
        "W3": "4.weight", "b3": "4.bias[:, None]",
    }  # fmt: skip


@pytest.mark.slow
def test_a_function_without_end(check_in_sandbox):
    """What was answered before the time was over is still compared."""
    text = written(0, False, "", "").replace("    found = {}\n", "    while True:\n        pass\n")
    outcome = check_in_sandbox(text=text, timeout_s=3.0)
    assert "gradients(params, x, y) had not returned" in str(outcome.result.error)
    assert [check.key for check in outcome.result.checks] == ["logits", "loss"]


def test_a_homework_that_runs_in_no_way(check):
    """Its own error is what is read; the note says that the layout is not known."""
    text = written(0, False, ".T", "").replace("np.maximum(IN(x)", "np.maximum(nothing(x)")
    result = check(text=text).result
    assert (
        str(result.error)
        == "forward(params, x) raised NameError at line 20: name 'nothing' is not defined."
    )
    assert result.notes[0] == (
        "Read as: batch in rows, labels as class numbers; W1 is 0.weight, b1 is 0.bias, W2 "
        "is 2.weight, b2 is 2.bias, W3 is 4.weight, b3 is 4.bias. Its functions run in none "
        "of the ways that were tried."
    )


def stripped(text: str) -> str:
    """A homework without its PARAMETERS, BATCH_AXIS and ONE_HOT."""
    text = re.sub(r"^PARAMETERS = \{.*?^\}.*?\n", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^(BATCH_AXIS|ONE_HOT) = .*\n", "", text, flags=re.MULTILINE)


PLANTED = {
    title: (homework, changes)
    for title, (homework, changes, _) in {**NAMED, **UNNAMED}.items()
    if homework in ("softmax", "norm", "squared")
}


@pytest.mark.parametrize("title", PLANTED)
def test_planted_mistakes_do_not_change_what_is_found(title, write):
    homework, changes = PLANTED[title]
    text = (ROOT / "tests" / "planted" / f"{homework}.py").read_text()
    right, wrong = write(text=text, name="right.py"), write(*changes, text=text)
    wrong.write_text(stripped(wrong.read_text()))
    assert layout(find(wrong).contract) == layout(find(right).contract)


@pytest.mark.parametrize(
    "title", ["softmax-without-axis", "sum-not-mean", "transposed", "tanh for relu"]
)
def test_planted_mistakes_are_named_as_if_it_were_declared(title, write):
    homework, changes = PLANTED[title]
    text = (ROOT / "tests" / "planted" / f"{homework}.py").read_text()
    file = write(*changes, text=text)
    verdicts = []
    for words in (file.read_text(), stripped(file.read_text())):
        file.write_text(words)
        result = check_in_process(file).result
        verdicts.append([(c.key, c.passed, c.diagnosis) for c in result.checks])
    assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("W1", "weight"), ("w_out", "weight"), ("fc1.weight", "weight"), ("Wxh", "weight"),
        ("b1", "bias"), ("bias2", "bias"), ("h_b", "bias"), ("bo", "bias"), ("gamma1", "gamma"),
        ("beta1", "beta"), ("running_mean", "mean"), ("bn_var", "var"), ("learning_rate", None),
    ],
)  # fmt: skip
def test_what_a_name_says(name, kind):
    assert kind_of(name) == kind


def test_names_are_put_in_order():
    keys = {
        "0.weight": (3, 2),
        "0.bias": (3,),
        "1.weight": (3,),
        "1.bias": (3,),
        "9.weight": (5, 3),
    }
    names = ["W10", "W9", "beta", "b", "gamma"]
    assert assign_names(names, keys, {}) == {
        "W9": "0.weight", "b": "0.bias", "gamma": "1.weight", "beta": "1.bias", "W10": "9.weight",
    }  # fmt: skip
    assert assign_names(names[1:], keys, {}) is None
    assert assign_names(names, keys, {"W9": (5, 3), "W10": (2, 3)}) is None


def test_init_writes_what_check_reads(write, tmp_path, command_line):
    homework, mapping = write(text=written(1, True, "", COLUMN)), tmp_path / "mapping.py"
    ended = command_line("init", homework, "-o", mapping)
    assert (ended.status, ended.err) == (0, "")
    text = mapping.read_text()
    assert "BATCH_AXIS = 1\nONE_HOT = True\nPARAMETERS = {\n" in text
    assert '    "b2": "2.bias[:, None]",\n' in text
    assert "everything agreed with PyTorch" in text
    ended = command_line("check", homework, "--mapping", mapping)
    assert (ended.status, "Read as" in ended.out) == (0, False)
    ended = command_line("init", homework, "-o", mapping)
    assert ended.status == 2
    assert ended.err == (
        f"nncompare: {mapping} exists already: give another name, or --force to replace it.\n"
    )
    assert command_line("init", homework, "-o", mapping, "--force").status == 0
    assert command_line("init", homework).out == text.replace("mapping.py", "FILE")


def test_init_says_what_differs(write, command_line):
    text = written(0, False, "", "", MISTAKES[0]).replace("def architecture", "def net")
    ended = command_line("init", write(text=text))
    assert (
        ended.status,
        ended.err
        == (
            "nncompare: homework.py does not say which network it is: write "
            'ARCHITECTURE = "softmax_mlp" into it (nncompare list names the '
            "others), or def architecture(nn): return nn.Sequential(…), or pass "
            "--architecture.\n"
        ),
    ) == (2, True)
    (net := write(text=text, name="net.py")).write_text(
        "def net(nn):\n    return nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 9), "
        "nn.ReLU(), nn.Linear(9, 4))\n"
    )
    ended = command_line("init", write(text=text), "--architecture", f"{net}:net")
    assert f"--mapping FILE --architecture {net}:net" in ended.out
    assert "ARCHITECTURE" not in ended.out  # a homework's process gives it, so it names no file
    assert "PyTorch has other values of gradient/4.weight, gradient/4.bias" in ended.out


def test_init_needs_functions_or_layers(command_line, write):
    ended = command_line("init", ROOT / "examples" / "layers.py")
    assert (ended.status, '"W1": "0.weight.T"' in ended.out) == (0, True)
    text = (
        "def update(params, grads, state):\n    return params\n\n\n"
        "def architecture(nn):\n    return nn.Sequential(nn.Linear(3, 2))\n"
    )
    ended = command_line("init", write(text=text))
    assert ended.status == 2
    assert ended.err == (
        "nncompare: homework.py defines none of forward, loss, gradients, loss_and_gradients, "
        "step, network: of other code it cannot be found out how its arrays are meant.\n"
    )


def test_without_a_file(write):
    """Functions of a notebook, whose source is found by Python; nothing else of it is called."""
    names: dict[str, object] = {}
    exec(written(0, False, ".T", "") + "\ndef init_params():\n    1 / 0\n", names)
    from compare.testing import assert_parity

    assert_parity(names)
    with pytest.raises(InputError):
        read_homework(Homework({"forward": names["forward"]}), "x", Options())


DECLARED = """
import numpy as np

PARAMETERS = {"W1": "0.weight", "b1": "0.bias[:, None]", "W2": "2.weight", "b2": "2.bias[:, None]"}
BATCH_AXIS, ONE_HOT = 1, False


def architecture(nn):
    return nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))


def forward(p, x):
    return p["W2"] @ np.maximum(p["W1"] @ x + p["b1"], 0) + p["b2"]


def loss(p, x, y):
    z = forward(p, x)
    z = z - z.max(axis=0)
    return np.mean(np.log(np.exp(z).sum(axis=0)) - z[y, np.arange(len(y))])
"""
OTHERWISE = {
    "the axis": (("BATCH_AXIS, ONE_HOT = 1", "BATCH_AXIS, ONE_HOT = 0"), "BATCH_AXIS = 1"),
    "labels": (("ONE_HOT = 1, False", "ONE_HOT = 1, True"), "ONE_HOT = False"),
    "a square weight": (('"0.weight"', '"0.weight.T"'), 'PARAMETERS["W1"] = "0.weight"'),
    "a weight": (('"2.weight"', '"2.weight.T"'), 'PARAMETERS["W2"] = "2.weight"'),
}


@pytest.mark.parametrize("which", OTHERWISE)
def test_a_layout_declared_wrongly_is_hinted_at(check, which: str) -> None:
    assert check(text=DECLARED).status == 0
    change, words = OTHERWISE[which]
    outcome = check(change, text=DECLARED)
    assert outcome.status != 0
    (hint,) = (note for note in outcome.result.notes if note.startswith("Everything agrees"))
    assert f"declared as {words}: write" in hint


def test_no_layout_is_hinted_at_for_a_mistake(check) -> None:
    outcome = check(("np.maximum(", "np.minimum("), text=DECLARED)
    assert outcome.status == 1
    assert not [note for note in outcome.result.notes if note.startswith("Everything agrees")]


def test_forms_of_a_kernel():
    """Every order of the axes that fits, those of images with channels last first."""
    shape = (3, 2, 5, 4)  # out, in, rows, columns
    for order in itertools.permutations(range(4)):
        found = _forms(shape, tuple(np.zeros(shape).transpose(order).shape))
        known = f".transpose({', '.join(map(str, order))})"
        assert found == (("", known) if order == (0, 1, 2, 3) else (known,))
    same = _forms((3, 3, 3, 3), (3, 3, 3, 3))
    assert same[:4] == ("", ".transpose(1, 2, 3, 0)", ".transpose(2, 3, 1, 0)",
                        ".transpose(0, 1, 2, 3)")  # fmt: skip
    assert len(same) == 25
    assert _forms(shape, (3, 40)) == (".reshape(3, -1)",)
    assert _forms(shape, (40, 3)) == (".reshape(3, -1).T",)
    assert _forms(shape, (7,)) == _forms(shape, (7, 7))
    assert len(_forms(shape, (7,))) == 27
    assert _forms((3,), (3, 1, 1)) == (".reshape(3, 1, 1)",)
    assert _forms(shape, None) == ("",)
