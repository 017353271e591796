"""Measure the forward pass in evaluation mode of every architecture, NumPy beside PyTorch.

As a run evaluates: dropout off, BatchNorm with its running statistics, PyTorch without autograd,
images a few at a time on both sides; and PyTorch with all rows at once. One thread, processor time;
see processor_time. The inputs are synthetic.

    python scripts/evaluation_time.py
    python scripts/evaluation_time.py --rows 1000 --architectures cnn vgg16
"""

from __future__ import annotations

import argparse

import numpy as np
from processor_time import Contender, Process, Timed, in_rounds, ratio

NUMPY, TORCH, WHOLE = "numpy", "torch", "torch, whole"


def main() -> None:
    """Measure what the arguments say and print a line for each architecture."""
    from compare.spec.architecture import architecture_names

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--architectures", nargs="+", default=architecture_names())
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--block-s", type=float, default=0.05)
    arguments = parser.parse_args()
    print("| architecture | NumPy, ms | PyTorch, ms | NumPy over PyTorch | over PyTorch, whole |")
    print("|---|--:|--:|--:|--:|")
    for name in arguments.architectures:
        processes = {backend: Process() for backend in (NUMPY, TORCH, WHOLE)}
        contenders = {
            backend: Contender(
                process, "evaluation_time:evaluation", (backend, name, arguments.rows)
            )
            for backend, process in processes.items()
        }
        try:
            found = in_rounds(contenders, arguments.rounds, arguments.block_s)
        finally:
            for process in processes.values():
                process.close()
        seconds = {backend: times["step"] for backend, times in found.items()}
        ms = [f"{np.median(seconds[backend]) * 1e3:.2f}" for backend in (NUMPY, TORCH)]
        over = [str(ratio(seconds[NUMPY], seconds[backend])) for backend in (TORCH, WHOLE)]
        print(f"| `{name}` | {' | '.join((*ms, *over))} |", flush=True)


def evaluation(backend: str, architecture: str, rows: int) -> Timed:
    """One pass over so many rows."""
    import numpy_nn
    from compare.backends.synthetic import input_shape
    from compare.spec.architecture import find_architecture

    build = find_architecture(architecture)
    numpy_nn.manual_seed(0)
    ours = build(numpy_nn)
    shape = (rows, *input_shape(ours))
    inputs = np.random.default_rng(0).standard_normal(shape, np.float32)
    from compare.backends.numpy_backend import IMAGES_TOGETHER

    together = IMAGES_TOGETHER if inputs.ndim > 2 and backend != WHOLE else rows
    starts = range(0, rows, together)
    if backend == NUMPY:
        ours.eval()
        return Timed(
            {"forward": lambda: [np.array(ours(inputs[n : n + together])) for n in starts]}
        )
    import torch

    import torch_nn

    theirs, tensor = build(torch_nn), torch.from_numpy(inputs)
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.state_dict().items()})
    theirs.eval()

    def forward() -> None:
        with torch.no_grad():
            for n in starts:
                theirs(tensor[n : n + together])

    return Timed({"forward": forward})


if __name__ == "__main__":
    main()
