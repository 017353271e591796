"""What tells the trainings of a run apart, as columns of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from compare.spec.experiment import OPTIMIZER, Configuration, Experiment
from compare.spec.vary import AxisSettings, setting
from reports.wording import escaped


class Column(NamedTuple):
    """A column: its name, and what stands in it for a configuration."""

    head: str
    cell: Callable[[Configuration], str]


def columns_of(experiment: Experiment) -> list[Column]:
    """A column for each axis that has more than one case; that of the optimizer if none has.

    The trials of a random search are told apart by the settings that were drawn.
    """
    configurations = experiment.configurations
    found: list[Column] = []
    for axis in [OPTIMIZER, *experiment.vary]:
        if len({configuration.variant[axis] for configuration in configurations}) > 1:
            form = experiment.vary.get(axis)
            if form is not None and form.powers_of_ten:
                found += _settings(axis, form)
            else:
                found.append(_case(axis))
    return found or [_case(OPTIMIZER)]


def short_case(axis: str, case: str) -> str:
    """A case without the name of its axis, which stands above it: ``std 0.01`` → ``0.01``."""
    return case.removeprefix(f"{axis} ") or case


def drawn_settings(experiment: Experiment, configuration: Configuration) -> list[tuple[str, float]]:
    """(name, value) of what a random search drew for a configuration."""
    tree = configuration.experiment.model_dump(mode="json")
    found = []
    for axis in experiment.vary.values():
        for key in axis.powers_of_ten or {}:
            value = setting(tree, key)
            if isinstance(value, int | float):
                found.append((_name(key), float(value)))
    return found


def _case(axis: str) -> Column:
    return Column(
        escaped(axis), lambda configuration: escaped(short_case(axis, configuration.variant[axis]))
    )


def _settings(axis: str, form: AxisSettings) -> list[Column]:
    def cell(key: str) -> Callable[[Configuration], str]:
        def written(configuration: Configuration) -> str:
            value = setting(configuration.experiment.model_dump(mode="json"), key)
            return f"{value:.3g}" if isinstance(value, int | float) else "–"

        return written

    keys = [Column(escaped(_name(key)), cell(key)) for key in form.powers_of_ten or {}]
    return [_case(axis), *keys]


def _name(key: str) -> str:
    """``optimizers.SGD.weight_decay`` → ``weight decay``."""
    return key.rpartition(".")[2].replace("_", " ")
