"""The command line: ``nncompare``, also ``python -m compare``.

This is the one file that knows everyone. Each command imports what it needs when it is called,
so that ``--help`` is quick and a report needs no PyTorch.
"""

from __future__ import annotations

import atexit
import copy
import gc
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from compare.languages import (
    ENGLISH,
    LANGUAGES,
    current,
    of_environment,
    translated,
    translated_error,
    using,
)
from experiments.errors import EXTRA_OF, InputError, missing_extra

app = typer.Typer(
    name="nncompare",
    help="The same neural network in NumPy and in PyTorch, trained in lock step and compared.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

INPUT_ERROR, INTERRUPTED = 2, 130
LONGEST_SENTENCE = 2000


def _speak(context: typer.Context, language: str) -> str:
    """Speak the language of the option until the command has ended."""
    if language:
        context.with_resource(using(language))
    return language


Language = Annotated[
    str,
    typer.Option(
        "--language",
        metavar="LANGUAGE",
        callback=_speak,
        is_eager=True,
        help="en or ko; else what the system says.",
    ),
]


@app.callback(invoke_without_command=True)
def _without_command(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the versions and end.")] = False,
) -> None:
    if version:
        from compare.backends.environment import versions_line

        print(versions_line())
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(INPUT_ERROR)


def main() -> None:
    """Run the command line; bad input ends with one sentence and status 2, Ctrl-C with 130."""
    _end_like_ctrl_c()
    _make_printable()
    atexit.register(gc.freeze)  # all that is left is not looked through before the process ends
    if sys.argv[1:2] == ["check"]:  # reading the options takes a tenth of a second
        from compare.check.early_start import begin_by_arguments

        begin_by_arguments(sys.argv[1:])
    with using(_language(sys.argv[1:])):
        status = _status()
    sys.exit(status)


def _status() -> int:
    """Run the command; what ends it early is said in the reader's language."""
    try:
        status = _called()
    except InputError as error:
        _complain(str(error))
        status = INPUT_ERROR
    except (KeyboardInterrupt, typer.Abort):  # which of them depends on typer's version,
        status = INTERRUPTED  # as does whether it returns the status instead
    except MemoryError:
        _complain("there is not enough memory for this: expected smaller inputs or networks.")
        status = INPUT_ERROR
    except OSError as error:  # as where no process can be started, or a temporary file made
        _complain(_refusal(error))
        status = INPUT_ERROR
    except ModuleNotFoundError as error:
        extra = EXTRA_OF.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _complain(missing_extra(error.name or "", extra))
        status = INPUT_ERROR
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        _complain(error.format_message())  # click's usage errors
        status = INPUT_ERROR
    if status == INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C has nothing left to end
        _complain(translated("interrupted", "terminal"))
    return status if isinstance(status, int) else 0


def _called() -> object:
    """What the command returns; its help is translated only where it is to be."""
    quick = _plain_check() if sys.argv[1:2] == ["check"] else None
    if quick is not None:
        return quick(args=[], prog_name="nncompare", standalone_mode=False)
    command = typer.main.get_command(_with_the_command(sys.argv[1:2]))
    if current() != ENGLISH:
        from compare.console.help import translate_help

        translate_help(command)
    return command(prog_name="nncompare", standalone_mode=False)


def _plain_check() -> typer.core.TyperCommand | None:
    """The check that a plain command line asks for, without words that are still to be read."""
    from compare.console.plain_options import plain_values

    values = plain_values(check, sys.argv[2:])
    if values is None:
        return None
    return typer.core.TyperCommand(
        "check", callback=partial(check, **values), add_help_option=False
    )


def _with_the_command(names: Sequence[str]) -> typer.Typer:
    """The program with the one command that is asked for: making them all takes a while."""
    asked = copy.copy(app)
    asked.registered_commands = [
        one for one in app.registered_commands if _name_of(one) in names
    ] or app.registered_commands
    return asked


def _name_of(command: typer.models.CommandInfo) -> str:
    assert command.callback is not None
    return command.name or typer.main.get_command_name(command.callback.__name__)


def _refusal(error: OSError) -> str:
    """What the system did not do; where nobody reads the output, no more is written there."""
    if isinstance(error, BrokenPipeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
        return "what reads the output, or a process that was started, has ended."
    place = f"{error.filename} could not be used" if error.filename else "the system refused"
    return f"{place}: {error.strerror or error}."


def _end_like_ctrl_c() -> None:
    """Have SIGTERM, and SIGHUP where it is not ignored, end a run so that its records are kept."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:  # nohup ignores it
        return
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def hung_up(number: int, frame: FrameType | None) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for terminal in terminals:  # it is gone, and writing to it would be an error
            os.dup2(nowhere, terminal)
        os.close(nowhere)
        signal.default_int_handler(number, frame)

    signal.signal(hangup, hung_up)


def _make_printable() -> None:
    """Let output replace what its encoding lacks; UTF-8 lacks only the bytes of odd file names."""
    for stream in (sys.stdout, sys.stderr):
        if not (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf"):
            from compare.console.encodings import make_printable

            make_printable(stream)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _language(arguments: Sequence[str]) -> str:
    """That of ``--language``, else of the system; English where it could not be written."""
    language = of_environment()
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        option, _, value = argument.partition("=")
        if option == "--language":  # before the options are read: it may be their errors' language
            named = value or following
            language = named if named in LANGUAGES else language
    try:
        LANGUAGES[language].encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return ENGLISH
    return language


def _complain(sentence: str) -> None:
    from experiments.files import printable

    sentence = printable(translated_error(" ".join(sentence.split())))
    if len(sentence) > LONGEST_SENTENCE:
        sentence = f"{sentence[:LONGEST_SENTENCE]}…"
    print(f"nncompare: {sentence}", file=sys.stderr)


@app.command("list")
def list_(language: Language = "") -> None:
    """Experiments, architectures, presets and data sets, one line each."""
    from compare.console.listing import show_list

    show_list()


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="A name from the list, or a .toml file.")],
    sample: Annotated[bool, typer.Option("--sample", help="Use the small data set in the package.")] = False,
    max_steps: Annotated[int | None, typer.Option(help="Stop each training after N steps.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each backend; else what suits the network.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the experiment.")] = None,
    seed: Annotated[int | None, typer.Option(help="Train from this seed instead of the experiment's.")] = None,
    seeds: Annotated[str | None, typer.Option(metavar="LIST", help="Train from each of these seeds: 0..9 or 1,5,7.")] = None,
    certify: Annotated[str | None, typer.Option(metavar="all|auto|N", help="Which steps are certified: all, N, or as many as take a fifth of the time (auto).")] = None,
    jobs: Annotated[int | None, typer.Option(help="So many trainings side by side, in processes.")] = None,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Trainings on the workers of this Dask scheduler.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data is; else $NNCOMPARE_DATA, else a download.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder for the run; runs/NAME-TIME by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    checkpoint_every: Annotated[float | None, typer.Option(metavar="SECONDS", help="Between checkpoints inside a training, for --resume; else so that they cost under 2% of the time. inf for none.")] = None,
    author: Annotated[str, typer.Option(metavar="NAME", help="Who wrote the report, under its title.")] = "",
    language: Language = "",
    yes: Annotated[bool, typer.Option("--yes", help="Start however many trainings there are.")] = False,
) -> int:  # fmt: skip
    """Train both backends in lock step, check parity, and report."""
    from compare.backends.torch_parts import postpone_compiler
    from compare.commands.run import run_command

    postpone_compiler()
    return run_command(
        experiment,
        sample=sample,
        max_steps=max_steps,
        threads=threads,
        changes=set_ or [],
        seed=seed,
        seeds=seeds,
        certify=certify,
        jobs=jobs,
        dask=dask,
        data_dir=data_dir,
        out=out,
        resume=resume,
        checkpoint_every=checkpoint_every,
        author=author,
        language=language,
        yes=yes,
    )


@app.command()
def parity(
    architecture: Annotated[str, typer.Option(help="A name from the list, or FILE.py:FUNCTION.")] = "bn_mlp",
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    optimizer: Annotated[str, typer.Option(help="SGD or Adam.")] = "Adam",
    seed: Annotated[int, typer.Option(help="Where both generators start.")] = 0,
    steps: Annotated[int, typer.Option(help="How many steps to certify.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Rows in a batch.")] = 32,
    json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Layers made of nodes, closed formulas and PyTorch side by side.")] = False,
    language: Language = "",
) -> int:  # fmt: skip
    """The parity table of a network, site by site."""
    from compare.commands.parity import graph_command, parity_command

    command = graph_command if graph else parity_command
    return command(architecture, dtype, optimizer, seed, steps, batch_size, as_json=json)


@app.command()
def check(
    homework: Annotated[Path, typer.Argument(help="A Python file or a notebook, or a folder of them.")],
    architecture: Annotated[str | None, typer.Option(help="A name from the list, or FILE.py:FUNCTION; else what the homework says.")] = None,
    loss: Annotated[str | None, typer.Option(help="cross_entropy, mse, bce or bce_with_logits, or FILE.py:FUNCTION; else what the homework says.")] = None,
    targets: Annotated[str | None, typer.Option(metavar="KIND", help="What the targets of a loss of FILE.py:FUNCTION are: classes, values or binary.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="The optimizer that update() or step() is: SGD, Adam, …")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the optimizer, such as lr=0.1.")] = None,
    golden: Annotated[Path | None, typer.Option(help="Compare with this golden file; needs no PyTorch.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="A file that gives the homework the names of the contract.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="The assignment of a course, from nncompare list: the homework itself says nothing.")] = None,
    require: Annotated[str | None, typer.Option(metavar="NAMES", help="Functions that have to be there: forward,loss,gradients.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that the homework may take altogether; else 30.")] = None,
    memory: Annotated[int, typer.Option(help="Megabytes that the homework may take.")] = 2048,
    json: Annotated[Path | None, typer.Option(help="Write the result here as JSON.")] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write the result here as HTML and PDF; for a folder also a page for the class.")] = None,
    gradescope: Annotated[Path | None, typer.Option(metavar="FILE", help="Write Gradescope's results.json here.")] = None,
    points: Annotated[float | None, typer.Option(help="Points in all, for --gradescope and --csv; else 100.")] = None,
    weight: Annotated[list[str] | None, typer.Option(metavar="KIND=WEIGHT", help="What the checks of a kind weigh together, such as gradient=5; may be given again.")] = None,
    accept: Annotated[list[str] | None, typer.Option(metavar="CODES", help="Mistakes that are allowed as conventions, such as log-offset-mismatch; may be given again.")] = None,
    course: Annotated[Path | None, typer.Option(metavar="FILE", help="A course's file, which gives values for these options.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Check again whenever the file is saved.")] = False,
    csv: Annotated[Path | None, typer.Option(help="For a folder: write a line for each homework here.")] = None,
    jobs: Annotated[int | None, typer.Option(help="For a folder: how many at once.")] = None,
    file: Annotated[str | None, typer.Option(help="For a folder of folders: the file to check in each.")] = None,
    prints: Annotated[bool, typer.Option("--prints", help="Show what the homework printed.")] = False,
    definitions_only: Annotated[bool, typer.Option("--definitions-only", help="Execute only imports, functions, classes and constants.")] = False,
    isolation: Annotated[str, typer.Option(metavar="LEVEL", help="How far the homework is kept from this machine: strict, standard (what there is) or off.")] = "",
    allow_import: Annotated[list[str] | None, typer.Option(metavar="MODULE", help="A framework that the homework may import, such as torch; may be given again.")] = None,
    seed: Annotated[int | None, typer.Option(help="Ask the questions of an earlier check again; else they are drawn anew.")] = None,
    language: Language = "",
) -> int:  # fmt: skip
    """Compare somebody's own NumPy code with PyTorch.

    What the file may define is in docs/checking.md.
    """
    from compare.check.early_start import early_start

    started = early_start(
        homework,
        torch=golden is None,
        timeout_s=timeout,
        memory_mb=memory,
        isolation=isolation,
        allow_import=[name for text in allow_import or [] for name in text.split(",")],
        readable=() if mapping is None else (mapping,),
        others=tuple(one for one in (golden, course, json, csv, gradescope) if one is not None),
    )
    with started:
        from compare.commands.check import check_command

        return check_command(
            homework,
            architecture=architecture,
            loss=loss,
            targets=targets,
            optimizer=optimizer,
            settings=set_ or [],
            golden=golden,
            mapping=mapping,
            preset=preset,
            require=require,
            timeout=timeout,
            memory=memory,
            json=json,
            report=report,
            gradescope=gradescope,
            points=points,
            weights=weight or [],
            accept=accept or [],
            course=course,
            watch=watch,
            csv=csv,
            jobs=jobs,
            file=file,
            prints=prints,
            definitions_only=definitions_only,
            isolation=isolation,
            allow_import=allow_import or [],
            seed=seed,
        )


@app.command()
def init(
    homework: Annotated[Path, typer.Argument(help="A Python file or a notebook.")],
    architecture: Annotated[str | None, typer.Option(help="A name from the list, or FILE.py:FUNCTION; else what the homework says.")] = None,
    loss: Annotated[str | None, typer.Option(help="cross_entropy, mse, bce or bce_with_logits; else what the homework says.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", dir_okay=False, help="The mapping file to write; else it is printed.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    isolation: Annotated[str, typer.Option(metavar="LEVEL", help="How far the homework is kept from this machine: strict, standard (what there is) or off.")] = "standard",
    allow_import: Annotated[list[str] | None, typer.Option(metavar="MODULE", help="A framework that the homework may import, such as torch; may be given again.")] = None,
    language: Language = "",
) -> int:  # fmt: skip
    """Write down how a homework's arrays are read, for check --mapping.

    What the homework does not declare is found by trying.
    """
    from compare.commands.init import init_command

    return init_command(
        homework,
        architecture=architecture,
        loss=loss,
        out=out,
        force=force,
        isolation=isolation,
        allow_import=allow_import or [],
    )


@app.command()
def golden(
    architecture: Annotated[str, typer.Argument(help="A name from the list, or FILE.py:FUNCTION.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    loss: Annotated[str, typer.Option(help="cross_entropy, mse, bce or bce_with_logits.")] = "cross_entropy",
    optimizer: Annotated[str | None, typer.Option(help="The optimizer that update() is to be.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the optimizer.")] = None,
    language: Language = "",
) -> int:  # fmt: skip
    """Write PyTorch's answers to a file, for check --golden.

    With the file, homeworks can be checked where PyTorch is not installed.
    """
    from compare.commands.golden import golden_command

    return golden_command(architecture, out, loss=loss, optimizer=optimizer, settings=set_ or [])


@app.command("record")
def record_(
    script: Annotated[str, typer.Argument(metavar="SCRIPT.py:FUNCTION", help="A function that returns a model and its inputs, or records by itself; or an ONNX model, FILE.onnx.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The trace to write, a folder.")],
    inputs: Annotated[Path | None, typer.Option(metavar="FILE", help="Of an ONNX model: an .npz file with an array for each input.")] = None,
    names: Annotated[list[str] | None, typer.Option("--names", metavar="PATTERN", help="Only modules of such names, as layers.0.*; may be given again.")] = None,
    kinds: Annotated[list[str] | None, typer.Option("--kinds", metavar="CLASS", help="Only modules of this class; may be given again.")] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Take modules so many names deep as wholes.")] = None,
    containers: Annotated[bool, typer.Option("--containers", help="Record modules that hold others, too.")] = False,
    steps: Annotated[int, typer.Option(help="How many training steps to make.")] = 1,
    seed: Annotated[int, typer.Option(help="Where the generator starts before the function is called.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the trace if it exists.")] = False,
    language: Language = "",
) -> int:  # fmt: skip
    """Record a training step of a PyTorch model as a trace.

    Of an ONNX model, what ONNX Runtime computes is recorded. What the function may return, and what a trace holds, is in docs/traces.md.
    """
    from compare.commands.trace import record_command, record_onnx_command

    if script.endswith(".onnx"):
        return record_onnx_command(Path(script), out, inputs=inputs, force=force)
    if inputs is not None:
        raise InputError(f"--inputs is for an ONNX model, FILE.onnx, and {script} is none.")

    return record_command(
        script,
        out,
        names=names or [],
        kinds=kinds or [],
        depth=depth,
        containers=containers,
        steps=steps,
        seed=seed,
        force=force,
    )


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(help="The trace to judge by, or a state_dict in a .safetensors file.")],
    b: Annotated[Path, typer.Argument(help="The trace to judge.")],
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write HTML, PDF and JSON into this folder.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the result here as JSON.")] = None,
    map_: Annotated[Path | None, typer.Option("--map", metavar="FILE", help="Which names of the two belong together.")] = None,
    propose: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a proposal for --map here.")] = None,
    model_a: Annotated[str | None, typer.Option(metavar="SCRIPT.py:FUNCTION", help="Returns the first model, to run its own classes again.")] = None,
    model_b: Annotated[str | None, typer.Option(metavar="SCRIPT.py:FUNCTION", help="Returns the second.")] = None,
    baseline: Annotated[Path | None, typer.Option(metavar="FILE", help="Fail only where a site is further off than in this file; written if it is not there.")] = None,
    language: Language = "",
) -> int:  # fmt: skip
    """Compare two traces, and name the first module that adds error.

    Ends with 0 where they agree, 1 where they differ, 2 where nothing could be compared.
    """
    from compare.commands.trace import diff_command

    return diff_command(
        a,
        b,
        report=report,
        json=json,
        mapping=map_,
        propose=propose,
        model_a=model_a,
        model_b=model_b,
        baseline=baseline,
    )


@app.command()
def bench(
    architecture: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A name from the list, or FILE.py:FUNCTION; may be given again.")] = None,
    batch_size: Annotated[list[int] | None, typer.Option(min=2, metavar="ROWS", help="Rows in a batch; may be given again.")] = None,
    optimizer: Annotated[list[str] | None, typer.Option(metavar="NAME", help="SGD, Adam, …; may be given again.")] = None,
    contender: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Beside NumPy and PyTorch only these; may be given again.")] = None,
    part: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only steps, convolutions, memory or harness; may be given again.")] = None,
    harness: Annotated[bool, typer.Option("--harness", help="Also what the lock step itself costs: some minutes more.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of each library; else one a core.")] = None,
    repeats: Annotated[int, typer.Option(min=3, help="Rounds of the interleaved blocks.")] = 15,
    seconds: Annotated[float, typer.Option(min=0, max=3600, help="How long each contender is timed in each case, about.")] = 1.5,
    json: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the measurement here as JSON.")] = None,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Write a report into this folder.")] = None,
    language: Language = "",
) -> int:  # fmt: skip
    """Time a training step in NumPy, PyTorch and other code.

    How it is measured and how to read it is in docs/bench.md.
    """
    from compare.commands.bench import bench_command

    return bench_command(
        architectures=architecture or [],
        batch_sizes=batch_size or [],
        optimizers=optimizer or [],
        contenders=contender or [],
        parts=part or [],
        harness=harness,
        threads=threads,
        repeats=repeats,
        seconds=seconds,
        json=json,
        out=out,
    )


@app.command()
def export(
    run_dir: Annotated[Path, typer.Argument(help="The folder of a run.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="As ONNX files, the format there is.")] = False,
    backend: Annotated[str, typer.Option(help="Whose trained weights: numpy, torch or both.")] = "both",
    label: Annotated[list[str] | None, typer.Option(help="Only the training of this label; may be given again.")] = None,
    seed: Annotated[int | None, typer.Option(help="Only the trainings from this seed.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", file_okay=False, help="The folder for the files; RUN_DIR/export by default.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the run's data is; else $NNCOMPARE_DATA, else a download.")] = None,
    compare: Annotated[bool, typer.Option("--compare/--no-compare", help="Ask ONNX Runtime for its answers on the test rows.")] = True,
    language: Language = "",
) -> int:  # fmt: skip
    """Write the trained networks of a run as ONNX.

    ONNX Runtime's answers on the test rows are compared with both backends'; the report of the run
    then has a section about them.
    """
    from compare.commands.export import export_command

    return export_command(
        run_dir,
        onnx=onnx,
        backend=backend,
        labels=label or [],
        seed=seed,
        out=out,
        data_dir=data_dir,
        compare=compare,
    )


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN_DIR", help="The folder of a run, or of a measurement; or of several runs, to compare them.")],
    author: Annotated[str, typer.Option(metavar="NAME", help="Who wrote the report of a run.")] = "",
    format_: Annotated[list[str] | None, typer.Option("--format", metavar="LIST", help="md, html, pdf, docx, ipynb: some of them with commas between; md,html,pdf by default.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", file_okay=False, help="For several runs: the folder of their report.")] = None,
    language: Language = "",
) -> None:  # fmt: skip
    """Make a report again from records, or one of several runs.

    One folder: the report of its run or measurement. Several: what differs between the runs.
    """
    from compare.commands.report import report_command

    report_command(folders, author=author, formats=format_ or [], out=out, language=language)
