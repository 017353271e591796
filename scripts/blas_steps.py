"""Measure NumPy's training step on one BLAS or another, beside PyTorch's, which stays as it is.

A BLAS is a name and environment variables. Each gets a process of its own, of one thread; all take
turns with PyTorch, and the table has the processor time of PyTorch over that of NumPy: above 1
where NumPy is faster. See scripts/blas_shim.c for how NumPy's wheel is given another BLAS.

    python scripts/blas_steps.py --blas OpenBLAS --blas Haswell OPENBLAS_CORETYPE=Haswell \\
        --blas BLIS LD_PRELOAD=./blis.so

A checkout of another version (NAME PYTHONPATH=FOLDER) takes part in the same way.
"""

from __future__ import annotations

import argparse
from typing import Any

from processor_time import Contender, Process, Timed, in_rounds, ratio

TORCH = "torch"
STEPS = (
    ("bn_mlp", "Adam"),
    ("softmax_mlp", "SGD"),
    ("covertype_dnn", "SGD"),
    ("cnn", "Adam"),
    ("simple_convnet", "SGD"),
)


def main() -> None:
    """Measure what the arguments say and print a line for each network and batch size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--blas", nargs="+", action="append", default=[], metavar=("NAME", "VARIABLE=VALUE")
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--networks", nargs="+", default=[network for network, _ in STEPS])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--block-s", type=float, default=0.05)
    arguments = parser.parse_args()
    environments: dict[str, dict[str, str]] = {}
    for name, *settings in arguments.blas or [["as it comes"]]:
        pairs = [setting.partition("=") for setting in settings]
        if wrong := [setting for setting in settings if "=" not in setting]:
            parser.error(f"--blas {name}: expected VARIABLE=VALUE, found {wrong[0]!r}")
        environments[name] = {variable: value for variable, _, value in pairs}
    processes = {name: Process(variables) for name, variables in environments.items()}
    processes[TORCH] = Process()
    print("| step | " + " | ".join(environments) + " |")
    print("|---|" + "--:|" * len(environments))
    try:
        for network, optimizer in STEPS:
            for rows in arguments.rows if network in arguments.networks else ():
                contenders = {
                    name: Contender(
                        process,
                        "blas_steps:training_step",
                        (TORCH if name == TORCH else "numpy", network, rows, optimizer),
                    )
                    for name, process in processes.items()
                }
                found = in_rounds(contenders, arguments.rounds, arguments.block_s)
                cells = [str(ratio(found[TORCH]["step"], found[n]["step"])) for n in environments]
                line = f"| `{network}`, {optimizer}, {rows} | {' | '.join(cells)} |"
                print(line, flush=True)
    finally:
        for process in processes.values():
            process.close()


def training_step(backend: str, network: str, rows: int, optimizer: str) -> Timed:
    """The step that ``nncompare bench`` times: forward, backward and update."""
    from compare.bench.cases import TrainingStep
    from compare.bench.contenders import make

    contender: Any = make(backend, TrainingStep(network, rows, optimizer))
    contender.start()
    phases = {name: getattr(contender, name) for name in contender.phases}
    return Timed(phases, contender.finish)


if __name__ == "__main__":
    main()
