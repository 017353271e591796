"""``nncompare record`` and ``nncompare diff``."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from compare.commands.check_report import escaped, new_folder
from compare.languages import translated, translated_lines
from compare.records.atomic import write_atomically
from compare.trace.diff import diff, names_of
from compare.trace.format import read_trace, refuse_existing
from compare.trace.mapping import write_map
from compare.trace.recording import record
from compare.trace.result import DiffRecord, Site
from experiments.errors import InputError

EXPECTED = "(model, inputs), (model, inputs, loss) or (model, inputs, loss, optimizer)"


def record_command(
    script: str,
    out: Path,
    *,
    names: Sequence[str],
    kinds: Sequence[str],
    depth: int | None,
    containers: bool,
    steps: int,
    seed: int,
    force: bool,
) -> int:
    """Record what a function of a script does.

    Returns:
        0.

    Raises:
        InputError: The script or what its function returns is not as it should be.
    """
    if steps < 1:
        raise InputError(f"--steps expects a number of at least 1, but got {steps}.")
    refuse_existing(out, force)
    function = load_function(script)
    options: dict[str, Any] = {
        "names": names, "kinds": kinds, "depth": depth, "containers": containers, "force": force,
    }  # fmt: skip
    torch.manual_seed(seed)
    if inspect.signature(function).parameters:
        _call(script, partial(function, partial(record, out, **options)))
        if not out.exists():
            raise InputError(f"{script} did not record: expected `with record(model): …` in it.")
    else:
        _record_returned(script, _call(script, function), out, steps, options)
    _show_written(out)
    return 0


def record_onnx_command(model: Path, out: Path, *, inputs: Path | None, force: bool) -> int:
    """Record what ONNX Runtime computes of an ONNX model.

    Returns:
        0.

    Raises:
        InputError: The model or the inputs are not as they should be, or a package is missing.
    """
    refuse_existing(out, force)
    if inputs is None:
        raise InputError(f"{model}: an ONNX model is recorded with --inputs FILE.npz.")
    from compare.trace.onnx_runtime import record_onnx

    try:
        with np.load(inputs) as file:
            arrays = dict(file)
    except (OSError, ValueError, TypeError, AttributeError, EOFError) as error:
        text = getattr(error, "strerror", None) or "expected one array for each input of the model"
        raise InputError(f"{inputs} is no .npz file: {text}.") from None
    record_onnx(out, model, arrays, force=force)
    _show_written(out)
    return 0


def _show_written(out: Path) -> None:
    index = read_trace(out).index
    size = sum(file.stat().st_size for file in out.iterdir())
    steps_made = f"{len(index.steps)} step{'' if len(index.steps) == 1 else 's'}"
    print(
        _said(
            f"{out} is written: {len(index.calls)} calls of {len(index.modules)} modules in "
            f"{steps_made} ({size / 1e6:.1f} MB)."
        )
    )


def _record_returned(
    script: str, returned: Any, out: Path, steps: int, options: Mapping[str, Any]
) -> None:
    """Make the steps of what a function returned."""
    if (
        not isinstance(returned, tuple)
        or not 2 <= len(returned) <= 4
        or not isinstance(returned[0], nn.Module)
    ):
        raise InputError(f"{script} should return {EXPECTED}, but returned {_told(returned)}.")
    model, inputs, loss, optimizer = (*returned, None, None)[:4]
    if loss is not None and not callable(loss):
        raise InputError(f"{script}: the loss should be a function of the output.")
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(f"{script}: the optimizer should be one of torch.optim.")

    def run() -> None:
        with record(out, model, optimizer=optimizer, **options) as recorder:
            for number in range(steps):
                if number and optimizer is None:
                    recorder.next_step()
                output = _forward(model, inputs)
                if loss is not None:
                    (optimizer or model).zero_grad()
                    loss(output).backward()
                if optimizer is not None:
                    optimizer.step()

    _call(script, run)


def _forward(model: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def _told(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(type(part).__name__ for part in value)})"
    return f"a {type(value).__name__}"


def _call(script: str, function: Callable[[], Any]) -> Any:
    """Call a person's function; what goes wrong in it is said in one sentence."""
    try:
        return function()
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        lines = [f for f in _frames(error) if f[0] == Path(script.rpartition(":")[0]).name]
        where = f" in line {lines[-1][1]}" if lines else ""
        text = " ".join(str(error).split())
        raise InputError(f"{script} failed{where}: {type(error).__name__}: {text}.") from None


def _frames(error: BaseException) -> list[tuple[str, int]]:
    found, trace = [], error.__traceback__
    while trace is not None:
        found.append((Path(trace.tb_frame.f_code.co_filename).name, trace.tb_lineno))
        trace = trace.tb_next
    return found


def load_function(name: str) -> Callable[..., Any]:
    """The function that ``SCRIPT.py:FUNCTION`` means.

    Raises:
        InputError: There is none, or the script fails.
    """
    file_name, colon, function_name = name.rpartition(":")
    path = Path(file_name)
    if not colon or path.suffix != ".py":
        raise InputError(f"Expected SCRIPT.py:FUNCTION, but got {name!r}.")
    spec = importlib.util.spec_from_file_location(f"traced_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"{name}: there is no Python file {path}.")
    if (beside := str(path.parent.absolute())) not in sys.path:
        sys.path.append(beside)  # so that the file may import others beside it
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    _call(name, partial(spec.loader.exec_module, module))
    function = getattr(module, function_name, None)
    if not callable(function):
        raise InputError(f"{name}: {path} defines no {function_name}().")
    found: Callable[..., Any] = function
    return found


def diff_command(
    a: Path,
    b: Path,
    *,
    report: Path | None,
    json: Path | None,
    mapping: Path | None,
    propose: Path | None,
    model_a: str | None,
    model_b: str | None,
    baseline: Path | None,
) -> int:
    """Compare two traces.

    Returns:
        0 where they agree, 1 where they differ, 2 where nothing could be compared.
    """
    if propose is not None:
        names = names_of(read_trace(a), read_trace(b), mapping)
        write_map(propose, names)
        print(
            _said(
                f"{propose} is written: {len(names.modules)} modules and {len(names.parameters)} "
                "parameters. Edit it and give it with --map."
            )
        )
    live_a, live_b = _model(model_a), _model(model_b)
    found = diff(a, b, model_a=live_a, model_b=live_b, mapping=mapping)
    print(translated_lines(found.text(), "diff"))
    if json is not None:
        write_atomically(json, found.to_json())
    if report is not None:
        _write_report(found, report)
    if baseline is not None:
        from compare.trace.baseline import compare_with_baseline, write_baseline

        if not baseline.exists():
            count = write_baseline(found, baseline)
            print(_said(f"{baseline} is written, the baseline of {count} sites."))
            return 0
        beside = compare_with_baseline(found, baseline)
        print(translated_lines(beside.text(), "diff"))
        return beside.status
    return found.status


def _model(script: str | None) -> nn.Module | None:
    """The model that a function of a script returns, alone or first in a tuple."""
    if script is None:
        return None
    function = load_function(script)
    with torch.random.fork_rng(devices=[]):
        returned = _call(script, function)
    model = returned[0] if isinstance(returned, tuple) and returned else returned
    if not isinstance(model, nn.Module):
        raise InputError(f"{script} should return a model, but returned {_told(returned)}.")
    return model


def _write_report(record: DiffRecord, folder: Path) -> None:
    """Write ``diff.html``, ``diff.pdf`` and ``diff.json`` into a folder."""
    from reports.documents import html_document, pdf_document

    heading = _said(f"{record.a} compared with {record.b}")
    text = markdown(record, heading)
    new_folder(folder)
    write_atomically(folder / "diff.json", record.to_json())
    write_atomically(folder / "diff.html", html_document(text, [], heading))
    write_atomically(folder / "diff.pdf", pdf_document(text, [], heading))


COLUMNS = ("site", "direction", "verdict", "apart", "added", "times")


def markdown(record: DiffRecord, heading: str) -> str:
    """The report as Markdown for pandoc."""
    parts = [f"# {escaped(heading)}", "```\n" + translated_lines(record.text(), "diff") + "\n```"]
    if record.sites:
        parts += [
            f"## {_said('Every site, in the order of execution')}",
            _said(
                "*apart*: how far b is from a. *added*: how far b is from what a's module gives "
                "for b's inputs. *times*: the largest error, in those that rounding explains."
            ),
            f"| {' | '.join(map(_said, COLUMNS))} |\n|---|---|---|---|---|---|",
        ]
        parts[-1] += "".join("\n" + _row(site) for site in record.sites)
    return "\n\n".join(parts) + "\n"


def _row(site: Site) -> str:
    numbers = [site.total, site.added, site.times]
    shown = ["" if n is None else f"{n:.2g}" for n in numbers]
    words = (translated(word, "diff") for word in (site.title, site.direction, site.verdict))
    cells = [*map(escaped, words), *shown]
    return "| " + " | ".join(cells) + " |"


def _said(text: str) -> str:
    """Words on the terminal in the reader's language."""
    return translated(text, "terminal")
