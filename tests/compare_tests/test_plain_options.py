"""Plain command lines, read without Typer: what Typer reads in them, or nothing."""

from __future__ import annotations

import inspect
import random
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from compare.cli import app, check
from compare.console.plain_options import plain_values

ROOT = Path(__file__).resolve().parents[2]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="all is left to Typer there")
# Words of all kinds, to be strung together.
VALUES = ("1", "0.5", "-1", "1e3", "x.py", "a=b", "", "ко", "007", "nan", "1_000", " 3", "--seed")
NAMES = (
    "--golden", "--seed", "--timeout", "--memory", "--set", "--weight", "--allow-import", "--watch",
    "--prints", "--json", "--isolation", "--language", "--none", "--help", "-o", "--", "-", "--see",
)  # fmt: skip
Name = Annotated[str, typer.Option()]
Count = Annotated[int, typer.Option(min=1)]


COMMAND = typer.main.get_command(app).commands["check"]  # type: ignore[attr-defined]


def read_by_typer(words: list[str]) -> dict[str, Any] | None:
    """What Typer reads; None where it refuses or ends there."""
    try:
        with COMMAND.make_context("check", list(words)) as context:
            return {k: list(v) if isinstance(v, tuple) else v for k, v in context.params.items()}
    except (Exception, SystemExit) as error:
        if not hasattr(error, "exit_code") and not isinstance(error, SystemExit):
            raise
        return None


def read_here(words: list[str]) -> dict[str, Any] | None:
    """What is read here, with the defaults of the command; lists instead of None for Typer's."""
    values = plain_values(check, words)
    if values is None:
        return None
    parameters = inspect.signature(check).parameters
    defaults = {
        name: [] if one.annotation.startswith("Annotated[list") else one.default
        for name, one in parameters.items()
    }
    return defaults | values


@POSIX
@pytest.mark.parametrize(
    "line",
    [
        "x.py",
        "x.py --golden g.npz",
        "--golden=g.npz x.py --prints",
        "x.py --weight a=1 --weight=b=2 --timeout 3.5 --seed 7 --memory 512 --definitions-only",
        "x.py --allow-import torch --accept a,b --isolation strict --json out.json",
        "folder --csv grades.csv --jobs 2 --file hw.py --points 10",
    ],
)
def test_plain_lines_are_read_as_typer_does(line, capsys):
    read = read_here(line.split())
    assert read is not None
    assert read == read_by_typer(line.split())


@POSIX
def test_any_words_are_read_as_typer_does_or_not_at_all(capsys):
    draw = random.Random(0)
    plain = 0
    for _ in range(150):
        words = draw.choices((*VALUES, *NAMES), k=draw.randint(0, 4))
        if draw.random() < 0.9:
            words.insert(draw.randint(0, len(words)), "hw.py")
        if draw.random() < 0.5:
            words.append(f"{draw.choice(NAMES)}={draw.choice(VALUES)}")
        read = read_here(words)
        if read is not None:
            plain += 1
            assert read == read_by_typer(words), words
    assert plain > 10


@POSIX
@pytest.mark.parametrize(
    "line",
    ["", "--prints", "a.py b.py", "a.py --seed", "a.py --seed x", "a.py --seed -1", "a.py --none",
     "a.py --seed 1 --seed 2", "a.py --prints=1", "a.py --help", "a.py --language ko", "a.py --"],
)  # fmt: skip
def test_the_rest_is_left_to_typer(line):
    assert plain_values(check, line.split()) is None


def of_existing(file: Annotated[Path, typer.Argument(exists=True)], name: Name = "") -> None: ...


def of_some(file: Annotated[Path, typer.Argument()], count: Count = 1, name: Name = "") -> None: ...


@POSIX
def test_what_typer_checks_itself_is_left_to_it():
    assert plain_values(of_existing, ["a.py", "--name", "x"]) is None
    assert plain_values(of_some, ["a.py", "--name", "x"]) == {"file": Path("a.py"), "name": "x"}
    assert plain_values(of_some, ["a.py", "--count", "0"]) is None


@POSIX
@pytest.mark.parametrize(
    ("words", "types"),
    [
        (["check", "none.py", "--golden", "none.npz"], False),
        (["check", "none.py", "--golden", "none.npz", "--language", "en"], True),
    ],
)
def test_a_plain_check_makes_no_types(words, types):
    """What makes Typer's types takes longer than Typer itself; the sentence is the same."""
    program = f"""
import sys
sys.argv[1:] = {words!r}
from compare.cli import main
try:
    main()
except SystemExit as end:
    print(end.code, "typer._adapters" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    status, made = done.stdout.split()
    assert status == "2", done.stderr
    assert done.stderr.startswith("nncompare: none.npz: there is no such golden file.")
    assert types or made == "False"
