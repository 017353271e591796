"""A network of layer classes is run whole, too: what its layers alone cannot show."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from planted.in_process import check_in_process

from compare.check.result import as_text
from compare.check.scoring import marks

RIGHT = (Path(__file__).resolve().parents[2] / "examples" / "layers.py").read_text()
FORWARD = "def forward(self, x, training=True):"
MODES = {
    "False by default": (FORWARD, "def forward(self, x, training=False):"),
    "needed": (FORWARD, "def forward(self, x, is_train):\n        training = is_train"),
    "the opposite": (FORWARD, "def forward(self, x, test=True):\n        training = not test"),
    "a word": (FORWARD, 'def forward(self, x, mode="test"):\n        training = mode == "train"'),
    "an unknown name": (FORWARD, "def forward(self, x, use=False):\n        training = use"),
    "an unknown name that is true": (
        FORWARD, "def forward(self, x, fixed=True):\n        training = not fixed",
    ),
    "an attribute": (FORWARD, "train_mode = False\n    def forward(self, x):\n"
                              "        training = self.train_mode"),
    "an attribute of the object": (
        "self.gamma, self.beta, self.momentum = gamma, beta, momentum\n"
        "        self.running_mean, self.running_var = running_mean, running_var\n\n"
        "    def forward(self, x, training=True):",
        "self.gamma, self.beta, self.momentum = gamma, beta, momentum\n"
        "        self.running_mean, self.running_var = running_mean, running_var\n"
        "        self.testing = True\n\n"
        "    def forward(self, x):\n        training = not self.testing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", MODES.values(), ids=MODES)
def test_layers_are_asked_in_training_mode(check, change) -> None:
    outcome = check(change, text=RIGHT)
    assert outcome.status == 0, as_text(outcome)


def test_a_convolutions_mode_is_no_mode(check) -> None:
    outcome = check(
        ("self.W, self.b = W, b", 'self.W, self.b, self.mode = W, b, "same"'),
        ("self.x = x\n", 'assert self.mode == "same"\n        self.x = x\n'),
        text=RIGHT,
    )
    assert outcome.status == 0, as_text(outcome)


MEAN_INSIDE = [
    ("return dout * dx / len(self.t)", "return dx"),
    ("self.dW = self.x.T @ dout", "self.dW = self.x.T @ dout / len(dout)"),
    ("self.db = dout.sum(axis=0)", "self.db = dout.mean(axis=0)"),
    ("self.dbeta = dout.sum(axis=0)\n        self.dgamma = (self.xn * dout).sum(axis=0)\n"
     "        n = len(dout)\n",
     "self.dbeta = dout.mean(axis=0)\n        self.dgamma = (self.xn * dout).mean(axis=0)\n"
     "        n = 1\n"),
]  # fmt: skip


def test_the_mean_inside_the_layers_is_a_convention(check) -> None:
    outcome = check(*MEAN_INSIDE, text=RIGHT)
    assert outcome.status == 0, as_text(outcome)
    assert {mark.lost for mark in marks(outcome)} == {0}  # what does not count is not missing
    (note,) = outcome.result.notes
    assert note.startswith("A convention of these layers: the gradient of the logits alone is ")
    assert "times the right one; 5 is N, the rows of the batch" in note
    assert "gradient of 3.weight alone is 0.2 times the right one; 0.2 is 1/N, for N rows" in note


def test_a_convention_that_one_layer_does_not_share_is_a_mistake(check) -> None:
    outcome = check(*MEAN_INSIDE[:2], *MEAN_INSIDE[3:], text=RIGHT)
    assert outcome.status == 1
    failed = {c.key for c in outcome.result.checks if not c.passed}
    assert "gradient/logits" in failed  # alone, it is no convention any more
    assert {"gradient/0.weight", "gradient/3.weight"} <= failed


IN_PLACE = (
    "        self.mask = x <= 0\n        return np.where(self.mask, 0, x)",
    "        self.mask = x <= 0\n        x *= -0.5\n        return np.where(self.mask, 0, -2 * x)",
)


def test_an_input_changed_in_place(check) -> None:
    """BatchNorm's output becomes another after it is given on; here nobody needs it again."""
    assert check(IN_PLACE, text=RIGHT).status == 0
    kept = ("return self.gamma * self.xn + self.beta",
            "self.y = self.gamma * self.xn + self.beta\n        return self.y")  # fmt: skip
    used = ("self.dgamma = (self.xn * dout).sum(axis=0)",
            "self.dgamma = ((self.y - self.beta) / self.gamma * dout).sum(axis=0)")  # fmt: skip
    assert check(kept, used, text=RIGHT).status == 0
    outcome = check(kept, used, IN_PLACE, text=RIGHT)
    assert outcome.status == 1
    assert all(c.in_network for c in outcome.result.checks if not c.passed)
    assert outcome.result.first_divergence.key == "gradient/network/1.weight"


ADDED = [
    ("self.W, self.b = W, b", "self.W, self.b = W, b\n        self.clear()\n\n"
     "    def clear(self):\n        self.dW, self.db = np.zeros_like(self.W), 0"),
    ("self.dW = self.x.T", "self.dW = self.dW + self.x.T"),
]  # fmt: skip


def test_gradients_that_are_never_cleared(check) -> None:
    outcome = check(*ADDED, text=RIGHT)
    assert outcome.status == 1
    failed = {c.key for c in outcome.result.checks if not c.passed}
    assert failed == {"gradient/network/0.weight", "gradient/network/3.weight"}
    (note,) = [n for n in outcome.result.notes if "second step" in n]
    assert "twice the gradient of 3.weight, 0.weight: it was added to that of the first" in note


def test_gradients_that_have_a_method_to_clear_them(check) -> None:
    outcome = check(*[(a, re.sub(r"\bclear\b", "zero_grad", b)) for a, b in ADDED], text=RIGHT)
    assert (outcome.status, outcome.result.notes) == (0, ()), as_text(outcome)


def test_a_second_size_of_the_batch(check) -> None:
    """The layer remembers the first; alone it sees one batch in its life."""
    outcome = check(
        ("        self.x = x\n", "        if not hasattr(self, 'n'):\n            self.n = len(x)\n"
         "        self.x = x.reshape(self.n, -1)\n"), text=RIGHT,
    )  # fmt: skip
    assert outcome.status == 2
    assert outcome.result.error == (
        "the whole network raised ValueError at line 13: cannot reshape array of size 80 "
        "into shape (23,newaxis) (with 4 rows)."
    )
    assert outcome.result.error.endswith("(with 4 rows).")


OTHER_NAMES = [
    (r"def forward\(self, x\)", "def forward_pass(self, x)"),
    (r"def forward\(self, x, t", "def forward_pass(self, x, t"),
    (r"def backward\(", "def backward_pass("),
]


def test_methods_with_other_names(tmp_path) -> None:
    text = RIGHT
    for pattern, new in OTHER_NAMES:
        text = re.sub(pattern, new, text)
    assert "def forward(self, x)" not in text
    file = tmp_path / "homework.py"
    file.write_text(text)
    outcome = check_in_process(file)
    assert outcome.status == 0, as_text(outcome)
    file.write_text(text.replace("self.db = dout.sum(axis=0)", "self.db = dout.mean(axis=0)"))
    assert check_in_process(file).result.first_divergence.key == "gradient/3.bias"


def test_a_loss_beside_the_probabilities(check) -> None:
    outcome = check(
        ("        return -np.log(self.y[np.arange(len(t)), t]).mean()",
         "        return self.y, -np.log(self.y[np.arange(len(t)), t]).mean()"),
        text=RIGHT,
    )  # fmt: skip
    assert outcome.status == 0, as_text(outcome)


def test_the_gradient_of_the_input_in_an_attribute(check) -> None:
    outcome = check(
        ("        self.db = dout.sum(axis=0)\n        return dout @ self.W.T",
         "        self.db = dout.sum(axis=0)\n        self.d_inputs = dout @ self.W.T"),
        text=RIGHT,
    )  # fmt: skip
    assert outcome.status == 0, as_text(outcome)


def test_the_place_is_said_in_the_homeworks_own_words(check) -> None:
    wrong = ("self.db = dout.sum(axis=0)", "self.db = dout.mean(axis=0)")
    first = check(wrong, text=RIGHT).result.first_divergence
    line = RIGHT.split("\n").index("    def backward(self, dout):") + 1
    assert first.own == f"Affine.backward, line {line}, for 'b2'"
    assert f"  In your code: Affine.backward, line {line}, for 'b2'." in as_text(
        check(wrong, text=RIGHT)
    )
