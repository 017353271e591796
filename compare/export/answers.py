"""What NumPy, PyTorch and ONNX Runtime answer with the same weights, compared with a referee."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays, State
from compare.backends.torch_backend import TorchBackend
from compare.parity import tolerances
from compare.parity.sizes import module_sizes
from compare.records.export import Answers
from compare.spec.model import ModelSpec
from experiments.errors import InputError

ROWS_AT_ONCE = 1000


def runtime_outputs(content: bytes, inputs: np.ndarray, title: str) -> np.ndarray:
    """ONNX Runtime's outputs for some rows, with its usual optimizations, on the CPU.

    Args:
        content: The model.
        inputs: (N, …).
        title: What the model is called in a message.

    Raises:
        InputError: It does not run the model.
    """
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return _in_parts(lambda x: session.run(None, {name: x})[0], inputs)
    except Exception as error:  # of the library's own, which share no class
        text = " ".join(str(error).split())
        raise InputError(
            f"ONNX Runtime {onnxruntime.__version__} does not run {title}, which --no-compare "
            f"writes all the same: {text}."
        ) from None


def _in_parts(function: Callable[[np.ndarray], np.ndarray], inputs: np.ndarray) -> np.ndarray:
    starts = range(0, len(inputs), ROWS_AT_ONCE)
    return np.concatenate([function(inputs[s : s + ROWS_AT_ONCE]) for s in starts])


class Referee:
    """The backends with some weights, and PyTorch in float64.

    Args:
        spec: The network.
        dtype: What it was trained in.
        weights: ``state_dict``.
        inputs: (N, …).

    Attributes:
        exact: PyTorch's outputs in float64.
        sizes: What was summed to make each of them in the last module.
        outputs: ``numpy`` and ``torch`` → their outputs.
    """

    def __init__(self, spec: ModelSpec, dtype: str, weights: Arrays, inputs: np.ndarray) -> None:
        self.spec = spec
        state = State(weights)
        referee = TorchBackend(spec, "float64")
        referee.load(state)
        seen: dict[str, np.ndarray] = {}
        name, last = _last(referee.model)

        def keep(module: Any, given: Any, output: Any) -> None:
            seen["input"] = given[0].detach().numpy()

        def ask(x: np.ndarray) -> np.ndarray:
            found = referee.logits(x)
            own = {k.rpartition(".")[2]: v for k, v in weights.items() if k.startswith(f"{name}.")}
            # On a copy, as a stage leaves its module in training mode.
            kind = type(last).__name__
            size = module_sizes(scales, name, kind, own, seen["input"], np.zeros_like(found))
            return np.stack([found, size.output])

        handle = last.register_forward_hook(keep)
        scales = TorchBackend(spec, "float64")
        starts = range(0, len(inputs), ROWS_AT_ONCE)
        parts = [ask(inputs[s : s + ROWS_AT_ONCE]) for s in starts]
        handle.remove()
        self.exact, self.sizes = np.concatenate(parts, axis=1)
        self.outputs: dict[str, np.ndarray] = {}
        for backend in (NumpyBackend(spec, dtype), TorchBackend(spec, dtype)):
            backend.load(state)
            self.outputs[backend.name] = _in_parts(backend.logits, inputs)

    def answers(self, backend: str, runtime: np.ndarray) -> dict[str, Answers]:
        """Everybody's answers, compared.

        Args:
            backend: The one that trained.
            runtime: ONNX Runtime's outputs.

        Raises:
            InputError: They have another shape.
        """
        if runtime.shape != self.exact.shape:
            raise InputError(
                f"ONNX Runtime's outputs have the shape {runtime.shape}, expected "
                f"{self.exact.shape}."
            )
        own = self.outputs[backend]
        classes = self.spec.target_type.predicted_classes
        return {
            name: Answers(
                error=tolerances.componentwise_error(found, self.exact, self.sizes),
                difference=_furthest(found, own),
                different_predictions=int((classes(found) != classes(own)).sum()),
            )
            for name, found in {**self.outputs, "onnxruntime": runtime}.items()
        }


def bound(dtype: str, answers: dict[str, Answers]) -> float:
    """How far ONNX Runtime may be from the referee, by the rule that NumPy is judged by.

    In float32 so many times as far as PyTorch; in float64, the referee's own format, as NumPy.
    """
    if dtype == "float32":
        return tolerances.float32_bound(answers["torch"].error)
    return tolerances.K * max(answers["numpy"].error, tolerances.FLOAT64)


def _furthest(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return float(np.abs(a.astype(np.float64) - b).max(initial=0.0))


def _last(model: Any) -> tuple[str, Any]:
    """The last module without children, and its name."""
    return [(name, m) for name, m in model.named_modules() if not any(m.children())][-1]
