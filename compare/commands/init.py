"""``nncompare init``: how a homework is read, written down for a person to look over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compare.check.checking import load_homework, require_file, sandbox_of
from compare.check.contract import Assignment
from compare.check.foreign_modules import checked_names
from compare.check.inference import Inference, small_case
from compare.check.isolation import STANDARD
from compare.check.option_values import checked_loss
from compare.check.own_names import READERS
from compare.check.reading import Options, read_homework
from compare.check.sandbox import ProcessEndedError
from compare.languages import translated
from compare.mistakes.case import Case
from compare.records.atomic import write_atomically
from experiments.errors import InputError

TRIED = """\
# Tried: a batch in rows and in columns, labels as class numbers and one-hot, weights as PyTorch has
# them and transposed, biases of shape (n,), (n, 1) and (1, n), where nothing was declared.
"""


def init_command(
    homework: Path,
    *,
    architecture: str | None,
    loss: str | None,
    out: Path | None,
    force: bool,
    isolation: str = STANDARD,
    allow_import: Sequence[str] = (),
) -> int:
    """Write a mapping file with what a homework declares and what was found out.

    Returns:
        0.
    """
    if out is not None and out.exists() and not force:
        raise InputError(f"{out} exists already: give another name, or --force to replace it.")
    require_file(homework, "homework")
    options = Options(
        architecture,
        checked_loss(loss, "--loss"),
        isolation=isolation,
        allow_import=checked_names(allow_import, "--allow-import"),
    )
    name = homework.name
    try:
        with sandbox_of(homework, options) as sandbox:
            load_homework(sandbox, name, options)
            read = read_homework(sandbox, name, options)
    except ProcessEndedError as error:
        raise InputError(str(error)) from None
    inference = read.inference
    if inference.ended is not None:
        raise InputError(str(inference.ended.observed.problem))
    if not any(inference.contract.has(function) for function in READERS):
        raise InputError(
            f"{name} defines none of {', '.join(READERS)}: of other code it cannot be found out "
            "how its arrays are meant."
        )
    text = mapping_text(name, out, architecture, read.assignment, read.function_cases, inference)
    if out is None:
        print(text, end="")
    else:
        write_atomically(out, text)
        print(_said(f"{out} is written; nncompare check {homework} --mapping {out} uses it."))
    return 0


def mapping_text(
    name: str,
    out: Path | None,
    architecture: str | None,
    assignment: Assignment,
    cases: list[Case],
    inference: Inference,
) -> str:
    """The mapping file.

    Args:
        name: The homework's file name.
        out: The file to write, or None.
        architecture: The network, where the homework does not say it.
        assignment: What the homework computes.
        cases: The cases that its functions are checked with.
        inference: What was found out.
    """
    contract = inference.contract
    own = contract.has("architecture")
    named = architecture is not None and (own or ":" in architecture)
    option = f" --architecture {architecture}" if named else ""
    option += f" --loss {assignment.loss}" if assignment.torch_loss is not None else ""
    command = f"nncompare check {name} --mapping {out.name if out else 'FILE'}{option}"
    lines = [f'"""How {name} is read: {command}"""', "", *_comment(name, cases, inference), ""]
    if named:
        lines.append(f"# The network is {architecture}, which the command names.")
    elif own:
        lines.append(f"# The network is architecture(nn) of {name}.")
    else:
        lines.append(f"ARCHITECTURE = {_quoted(architecture or str(contract.architecture))}")
    parameters = contract.parameters or {key: key for key in cases[0].parameters}
    lines += [
        *([] if assignment.torch_loss else [f"LOSS = {_quoted(assignment.loss)}"]),
        f"BATCH_AXIS = {contract.batches.axis}",
        f"ONE_HOT = {contract.batches.one_hot}",
        "PARAMETERS = {",
        *(f"    {_quoted(own)}: {_quoted(key)}," for own, key in parameters.items()),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _comment(name: str, cases: list[Case], inference: Inference) -> list[str]:
    """What was tried, and what came of it; look it over."""
    if not inference.calls:
        return [f"# All of this is what {name} declares."]
    rows = len(small_case(cases).inputs)
    came = "everything agreed with PyTorch."
    if inference.differing:
        came = f"PyTorch has other values of {', '.join(inference.differing)}."
    read = f"as {name} declares it" if inference.note is None else "as below"
    return [
        *([] if inference.note is None else TRIED.splitlines()),
        f"# {inference.calls} calls on a batch of {rows} rows; read {read}, {came}",
        "# Look it over before you use it.",
    ]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")
