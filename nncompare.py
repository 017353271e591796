"""The public door: ``import nncompare`` offers what a script, a notebook or a test needs.

    import nncompare

    run = nncompare.run("mnist_bn_mlp", sample=True, max_steps=100)
    outcome = nncompare.check("homework.py", architecture="softmax_mlp")
    nncompare.assert_parity(my_softmax, torch_softmax, inputs=[logits])
    record = nncompare.compare_functions(my_softmax, torch_softmax, [logits])
    with nncompare.record("a.trace", model, optimizer=optimizer):
        ...  # a training step
    print(nncompare.diff("a.trace", "b.trace").text())
    nncompare.assert_traces_agree("a.trace", "b.trace")
    nncompare.record_onnx("b.trace", "model.onnx", x)  # also record_jax, record_tinygrad
    again = nncompare.load_run(run.path)

Importing this module loads neither NumPy nor PyTorch: each name loads what it needs when it is
first used. The module is a pytest plugin too, with the marker and the fixture ``parity``, and the
fixture ``traces_agree``, whose baselines ``pytest --update-baselines`` writes:

    @pytest.mark.parity(architecture="softmax_mlp")
    def test_homework(parity):
        parity("homework.py")


    def test_port(traces_agree):
        traces_agree("before.trace", "after.trace", baseline="tests/port.json")
"""

from __future__ import annotations

import importlib
import importlib.util
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compare.check.result import Outcome
    from compare.parity.functions import compare_functions
    from compare.records.run import Run
    from compare.testing import assert_parity, assert_traces_agree
    from compare.trace.diff import diff
    from compare.trace.jax_functions import record_jax
    from compare.trace.onnx_runtime import record_onnx
    from compare.trace.recording import record
    from compare.trace.tinygrad_models import record_tinygrad

__all__ = [
    "assert_parity", "assert_traces_agree", "check", "compare_functions", "diff", "load_run",
    "record", "record_jax", "record_onnx", "record_tinygrad", "run",
]  # fmt: skip


# Names that are taken from our own modules when they are first asked for.
_PLACES = {
    "assert_parity": "compare.testing",
    "assert_traces_agree": "compare.testing",
    "compare_functions": "compare.parity.functions",
    "diff": "compare.trace.diff",
    "record": "compare.trace.recording",
    "record_jax": "compare.trace.jax_functions",
    "record_onnx": "compare.trace.onnx_runtime",
    "record_tinygrad": "compare.trace.tinygrad_models",
}


def run(
    experiment: str | Path,
    *,
    sample: bool = False,
    settings: Iterable[str] = (),
    seeds: Iterable[int] | None = None,
    max_steps: int | None = None,
    threads: int | None = None,
    jobs: int = 1,
    data_dir: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
) -> Run:
    """Train an experiment on both backends in lock step, as ``nncompare run`` does it.

    Args:
        experiment: A name of ``nncompare list``, or the path of a TOML file.
        sample: Use the small data set in the package.
        settings: Changes of the experiment, such as ``"training.epochs=3"``.
        seeds: Train from these seeds instead of the experiment's.
        max_steps: Stop each training after so many steps.
        threads: Threads of each backend; by default what suits the network.
        jobs: How many trainings at once, each in a process of its own.
        data_dir: Where the data is; else ``$NNCOMPARE_DATA``, else a download.
        out: A new folder for the run; ``runs/NAME-TIME`` by default.
        resume: Continue the run in ``out``.

    The record names the command that does the same.

    Returns:
        The records of the run; its report is in the folder ``report`` of ``run.path``.

    Raises:
        experiments.errors.InputError: The experiment, a setting or the data is not as it should be.
    """
    settings, seeds = list(settings), None if seeds is None else list(seeds)
    if out is not None:
        folder: Path | None = Path(out)
    else:  # to continue a run, its folder has to be named: run_command says so
        new_folder = _load("compare.records.directory").new_folder
        folder = None if resume else new_folder(Path(experiment).stem)
    options = [
        *(["--sample"] if sample else []),
        *(f"--set={setting}" for setting in settings),
        *([f"--seeds={','.join(map(str, seeds))}"] if seeds is not None else []),
        *([f"--max-steps={max_steps}"] if max_steps is not None else []),
        *([f"--threads={threads}"] if threads is not None else []),
        *([f"--jobs={jobs}"] if jobs != 1 else []),
        *([f"--data-dir={data_dir}"] if data_dir is not None else []),
        *(["--resume"] if resume else []),
    ]
    _load("compare.commands.run").run_command(
        str(experiment),
        sample=sample,
        max_steps=max_steps,
        threads=threads,
        changes=settings,
        seed=None,
        seeds=None if seeds is None else ",".join(str(seed) for seed in seeds),
        data_dir=None if data_dir is None else Path(data_dir),
        out=folder,
        resume=resume,
        jobs=jobs,
        yes=True,
        command=shlex.join(["nncompare", "run", str(experiment), *options]),
    )
    assert folder is not None
    return load_run(folder)


def check(
    homework: str | Path,
    *,
    architecture: str | None = None,
    loss: str | None = None,
    optimizer: str | None = None,
    settings: dict[str, Any] | None = None,
    mapping: str | Path | None = None,
    timeout_s: float = 30.0,
    memory_mb: int = 2048,
    definitions_only: bool = False,
    isolation: str = "standard",
    allow_import: Sequence[str] = (),
) -> Outcome:
    """Compare somebody's own NumPy code with PyTorch, as ``nncompare check`` does it.

    Args:
        homework: A Python file or a notebook; docs/checking.md says what it may define.
        architecture: A name of ``nncompare list`` or ``FILE.py:FUNCTION``; else the file's own.
        loss: ``cross_entropy``, ``mse``, ``bce`` or ``bce_with_logits``; else the file's own.
        optimizer: The optimizer that ``update`` is.
        settings: Its keyword arguments.
        mapping: A file that gives the homework the names of the contract.
        timeout_s: Seconds that the homework may take altogether.
        memory_mb: Megabytes that it may take.
        definitions_only: Execute only its imports, functions, classes and constants.
        isolation: ``strict``, ``standard`` or ``off``: how far it is kept from this machine.
        allow_import: Frameworks that it may import, such as ``torch``.

    Returns:
        The outcome: ``outcome.status`` is 0 where it agrees, 1 where it differs and 2 where it
        could not be checked; ``outcome.result`` has every comparison.
    """
    checking = _load("compare.check.checking")
    options = _load("compare.check.reading").Options(
        architecture=architecture,
        loss=loss,
        optimizer=optimizer,
        settings=settings or {},
        mapping=None if mapping is None else Path(mapping),
        timeout_s=timeout_s,
        memory_mb=memory_mb,
        definitions_only=definitions_only,
        isolation=isolation,
        allow_import=tuple(allow_import),
    )
    outcome: Outcome = checking.check_homework(Path(homework), options)
    return outcome


def load_run(path: str | Path) -> Run:
    """Read the records of a run from its folder.

    Raises:
        experiments.errors.InputError: It is no run directory, or a file is missing or damaged.
    """
    found: Run = _load("compare.records.run").read_run(Path(path))
    return found


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(_load(_PLACES[name]), name)
    raise AttributeError(f"module 'nncompare' has no attribute {name!r}: {', '.join(__all__)}")


def __dir__() -> list[str]:
    # All that is here, as by default: pytest finds the hooks of a plugin by it.
    return sorted({*globals(), *__all__})


def _load(name: str) -> Any:
    """Import one of our own modules; another package of the same name is an ImportError.

    ``compare``, ``reports`` and ``experiments`` are names that other projects have too.
    """
    here = Path(__file__).resolve().parent
    for package in ("compare", "experiments", "reports"):
        if package in sys.modules:
            found = getattr(sys.modules[package], "__file__", None)
        else:
            spec = importlib.util.find_spec(package)
            found = spec.origin if spec is not None else None
        if found is None or Path(found).resolve().parent != here / package:
            raise ImportError(
                f"nncompare needs its own package {package!r}, in {here / package}, but Python "
                f"finds another one of that name: {found or 'a folder without __init__.py'}. "
                "Work from another folder, or rename that one."
            )
    return importlib.import_module(name)


def pytest_addoption(parser: Any) -> None:
    """Add the option that writes baselines."""
    parser.getgroup("nncompare").addoption(
        "--update-baselines",
        action="store_true",
        help="write the baselines of traces_agree anew instead of comparing with them",
    )


def pytest_configure(config: Any) -> None:
    """Tell pytest of the marker and the fixtures."""
    import pytest

    class ParityPlugin:
        @pytest.fixture
        def parity(self, request: Any) -> Any:
            """``nncompare.assert_parity`` with the settings of the marker."""
            settings: dict[str, Any] = {}
            for marker in request.node.iter_markers("parity"):
                settings = {**marker.kwargs, **settings}

            def check(*args: Any, **more: Any) -> None:
                __tracebackhide__ = True
                _load("compare.testing").assert_parity(*args, **{**settings, **more})

            return check

        @pytest.fixture
        def traces_agree(self, request: Any) -> Any:
            """``nncompare.assert_traces_agree``, with baselines that an option writes."""
            update = bool(request.config.getoption("--update-baselines"))

            def compare(*args: Any, **more: Any) -> None:
                __tracebackhide__ = True
                writes = update and more.get("baseline") is not None
                assert_traces_agree = _load("compare.testing").assert_traces_agree
                assert_traces_agree(*args, **{"update": writes, **more})

            return compare

    config.addinivalue_line(
        "markers",
        "parity(**settings): compares an implementation with PyTorch; the settings are those of "
        "nncompare.assert_parity, for the fixture of the same name",
    )
    config.pluginmanager.register(ParityPlugin(), "nncompare-parity")
