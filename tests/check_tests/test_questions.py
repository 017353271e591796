"""Every question is drawn from the seed of the check: who recognises old ones fails."""

from __future__ import annotations

import inspect
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from check_tests.test_presets import COURSES, FILES
from check_tests.test_recurrent import RNN
from check_tests.test_step import ADAM as STEPS
from check_tests.test_step import SGD as STEP
from check_tests.test_tokens import FUNCTIONS as TOKENS
from planted import dropout
from planted.in_process import check_in_process
from planted.right import right_homework

from compare.check.homework import Homework
from compare.check.presets import PRESETS
from compare.check.reading import Options

UPDATED = {"optimizer": "Adam", "settings": {"lr": 0.01}}
DROPOUT = inspect.getsource(dropout)
# Name → text of a right homework, and the options of its check.
HOMEWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "dropout": (DROPOUT, {}),
    "step": (STEP, {}),
    "steps of Adam": (STEPS, {}),
    "tokens": (TOKENS, {}),
    "recurrent": (RNN, {}),
    **{
        f"{family}, {loss}": (
            right_homework(family, loss, columns=False, functions=functions, seed=3).text,
            {},
        )
        for family, loss, functions in (
            ("bn_mlp", "cross_entropy", True),
            ("relu_mlp", "bce", True),
            ("sigmoid_mlp", "bce_with_logits", False),
            ("tanh_mlp", "mse", True),
            ("bn_cnn", "cross_entropy", False),
        )
    },
}
# Arrays of fewer values may be the same by chance, and so may labels.
LEAST_VALUES = 4


def asked(monkeypatch, file: Path, seed: int, **options: Any) -> dict[bytes, str]:
    """The bytes of each array that a homework is given, and where; of those that are drawn."""
    found: dict[bytes, str] = {}
    carry_out = Homework.request

    def request(self, action, arrays=None, **details):
        for name, array in (arrays or {}).items():
            labels = array.dtype.kind != "f" or np.isin(array, (0, 1)).all()
            if array.size >= LEAST_VALUES and not labels:
                found[np.ascontiguousarray(array).tobytes()] = f"{name} of {action}"
        return carry_out(self, action, arrays, **details)

    with monkeypatch.context() as patch:
        patch.setattr(Homework, "request", request)
        outcome = check_in_process(file, Options(seed=seed, **options))
    assert outcome.result.error is None
    assert found
    return found


def require_new(monkeypatch, file: Path, **options: Any) -> None:
    """Another seed gives every array anew; the same seed, the same ones."""
    first, again, other = (asked(monkeypatch, file, seed, **options) for seed in (1, 1, 2))
    assert first == again
    assert [where for array, where in first.items() if array in other] == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[] if n in ("dropout", "step") else [pytest.mark.slow])
        for n in HOMEWORKS
    ],
)
def test_another_seed_gives_every_array_anew(name, write, monkeypatch):
    text, options = HOMEWORKS[name]
    require_new(monkeypatch, write(text=text), **options)


def test_gradients_for_an_update_too(adam, write, monkeypatch):
    require_new(monkeypatch, write(adam), **UPDATED)


@pytest.mark.slow
@pytest.mark.parametrize(("preset", "file"), [(p, f) for p, files in FILES.items() for f in files])
def test_those_of_presets_too(preset, file, monkeypatch):
    require_new(monkeypatch, COURSES / file, preset=PRESETS[preset])


# What a layer answers if it knows nothing but the answers to old questions.
KNOWS = """
import zlib

KNOWN = {known}


class Known(Dropout):
    def forward(self, x, train_flg=True):
        right = super().forward(x, train_flg)
        return right if zlib.crc32(x.tobytes()) in KNOWN else np.zeros(x.shape)


Dropout = Known
"""


def test_a_dropout_that_knows_old_questions_fails(write, monkeypatch):
    """It is believed where the questions are those that it knows, and nowhere else."""
    old = asked(monkeypatch, write(text=DROPOUT), seed=1)
    known = KNOWS.format(known={zlib.crc32(array) for array in old})
    file = write(text=DROPOUT.replace("\nPARAMETERS", f"{known}\nPARAMETERS"))
    assert check_in_process(file, Options(seed=1)).status == 0
    assert check_in_process(file, Options(seed=2)).status == 1
