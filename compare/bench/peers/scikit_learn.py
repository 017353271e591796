"""scikit-learn's MLPClassifier: one call of ``partial_fit`` is one training step."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from compare.bench.contender import CannotRunError, Evidence
from compare.bench.contenders.numpy_steps import EVIDENT_STEPS
from compare.bench.peers.plan import layers_of
from compare.bench.workloads import SETTINGS, TrainingStep

SOLVERS = {"SGD": "sgd", "Adam": "adam"}
# Its Adam adds ε before the second moment's bias is corrected, PyTorch's after: with this ε the
# first steps of both are the same.
EPSILON = 1e-8 * (1 - 0.999) ** 0.5


class ScikitLearn:
    """Networks of Linear and ReLU with a softmax or a sigmoid on top.

    ``partial_fit`` also checks its inputs and turns labels into rows at every call; there is no
    public way to make a step without that.
    """

    dtype = "float32"
    phases: tuple[str, ...] = ("step",)

    def __init__(self, workload: TrainingStep) -> None:
        layers = layers_of(workload, {"Linear", "ReLU", "Sigmoid"}, "MLPClassifier")
        if workload.algorithm not in SOLVERS:
            raise CannotRunError(f"scikit-learn has no {workload.algorithm}")
        self._linear = [layer for layer in layers if layer.kind == "Linear"]
        _, state = workload.start()
        self._coefs = [np.ascontiguousarray(state[f"{x.name}.weight"].T) for x in self._linear]
        self._intercepts = [state[f"{x.name}.bias"] for x in self._linear]
        self.inputs, targets = workload.batch()
        self.targets = targets.astype(np.int64).ravel()
        outputs = self._coefs[-1].shape[1]
        self._classes = np.arange(max(2, outputs))
        self.network: Any = MLPClassifier(
            hidden_layer_sizes=[len(b) for b in self._intercepts[:-1]],
            activation="relu",
            solver=SOLVERS[workload.algorithm],
            alpha=0.0,
            batch_size=workload.batch_size,
            learning_rate_init=SETTINGS[workload.algorithm]["lr"],
            shuffle=False,
            momentum=0.0,
            nesterovs_momentum=False,
            epsilon=EPSILON,
            random_state=0,
        )
        self.network.partial_fit(self.inputs, self.targets, classes=self._classes)

    def start(self) -> None:
        self.network.coefs_ = [np.array(w) for w in self._coefs]
        self.network.intercepts_ = [np.array(b) for b in self._intercepts]
        del self.network._optimizer  # partial_fit makes a new one of the new arrays
        self.network.loss_curve_ = []

    def step(self) -> tuple[float, ...]:
        begun = perf_counter()
        self.network.partial_fit(self.inputs, self.targets)
        return (perf_counter() - begun,)

    def evidence(self) -> list[Evidence]:
        self.start()
        losses, changes = [], {}
        for number in range(EVIDENT_STEPS):
            self.step()
            losses.append(float(self.network.loss_))
            if number == 0:
                for place, layer in enumerate(self._linear):
                    w = self.network.coefs_[place] - self._coefs[place]
                    changes[f"{layer.name}.weight"] = w.T
                    b = self.network.intercepts_[place] - self._intercepts[place]
                    changes[f"{layer.name}.bias"] = b
        return [Evidence(losses, changes, "weights")]
