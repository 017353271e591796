"""Where the time of a step goes: every layer alone, on NumPy's side and on PyTorch's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from compare.bench.contender import LayerTime
from compare.bench.host import Host
from compare.bench.records import LayerRecord, Profile
from compare.bench.schedule import Schedule
from compare.bench.workloads import TrainingStep, fields_of

# Seconds of one visit to all layers of a network, about; a visit has at least one call of each.
MOST_REPEATS = 50


def profile(
    workload: TrainingStep,
    names: Sequence[str],
    host_of: Callable[[str], Host],
    schedule: Schedule,
    step_s: float,
) -> Profile:
    """Time every layer of a network alone, the contenders in turn.

    A layer gets the inputs that it gets in the network, and a gradient of its output's shape. On
    both sides the first layer gives no gradient by the data. Layers alone find their arrays in
    the caches more often than in a step, and PyTorch's autograd is asked once a layer, so the sum
    is near the step and not equal to it.

    Args:
        workload: The step.
        names: Who: contenders that have ``layers``.
        host_of: Name → where that contender works.
        schedule: How much.
        step_s: What a step takes, about.
    """
    for name in names:
        host_of(name).prepare(name, workload)
    repeats = int(np.clip(schedule.seconds / schedule.repeats / max(step_s, 1e-6), 1, MOST_REPEATS))
    found: dict[str, list[list[LayerTime]]] = {name: [] for name in names}
    for _ in range(max(1, schedule.repeats // 2)):
        for name in names:
            time.sleep(schedule.pause_s)
            found[name].append(host_of(name).call(name, "layers", repeats))
    for name in names:
        host_of(name).drop(name)
    layers = []
    for place, first in enumerate(found[names[0]][0]):
        visits = {name: [visit[place] for visit in found[name]] for name in names}
        layers.append(
            LayerRecord(
                name=first.name,
                kind=first.kind,
                forward_s={n: _median([v.forward_s for v in visits[n]]) for n in names},
                backward_s={n: _median([v.backward_s for v in visits[n]]) for n in names},
            )
        )
    return Profile(title=workload.title, workload=fields_of(workload), layers=layers)


def _median(times: Sequence[np.ndarray]) -> float:
    return float(np.median(np.concatenate(times)))
