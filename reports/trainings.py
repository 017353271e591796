"""The trainings of a run: which of them figures and paragraphs show, and how they are named."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import NamedTuple

from compare.analysis.quantities import quantity
from compare.records.run import Run, TrainingRecord
from compare.spec.experiment import OPTIMIZER, Configuration, Experiment
from compare.spec.vary import AxisSettings, setting
from reports.text import escaped

MOST_SHOWN = 4
"""Figures and paragraphs about single trainings are about so many of them."""

MEASURES = ("test accuracy", "validation accuracy", "training-set accuracy")


def label(run: Run, training: TrainingRecord) -> str:
    """The label, and the seed where there are several."""
    if several_seeds(run):
        return f"{training.label}, seed {training.seed}"
    return training.label


def heading(run: Run, training: TrainingRecord, width: int = 18) -> str:
    """The label for a narrow panel, on as many lines as it takes."""
    return "\n".join(textwrap.wrap(label(run, training), width))


def several_seeds(run: Run) -> bool:
    """Whether the trainings of this run begin from different seeds."""
    return len({training.seed for training in run.record.trainings}) > 1


def of_first_seed(run: Run) -> list[TrainingRecord]:
    """The trainings of the first seed: one a combination of what is varied."""
    trainings = run.record.trainings
    return [training for training in trainings if training.seed == trainings[0].seed]


def shown(run: Run) -> list[TrainingRecord]:
    """The trainings that figures show: of the first seed, all of a few, or four of many.

    They are ranked by NumPy's :func:`ranking_measure` at the end. Where an axis beside others
    has two cases, the best and the worst of each are shown; otherwise four at equal distances
    from the first place to the last. They keep the order of the run.
    """
    trainings = of_first_seed(run)
    if len(trainings) <= MOST_SHOWN:
        return trainings
    axis = axis_of_two(run)
    groups: dict[str, list[TrainingRecord]] = {}
    for training in trainings:
        case = "" if axis is None else training.variant.get(axis, "")
        groups.setdefault(case, []).append(training)
    chosen = {
        training.label
        for group in groups.values()
        for training in _spread_out(ranked(run, group), MOST_SHOWN // len(groups))
    }
    return [training for training in trainings if training.label in chosen]


def axis_of_two(run: Run) -> str | None:
    """The first axis that has two cases, where it is not the only one that is varied."""
    configurations = list(run.configurations.values())
    cases = {
        axis: {configuration.variant[axis] for configuration in configurations}
        for axis in configurations[0].variant
    }
    several = [axis for axis, found in cases.items() if len(found) > 1]
    first = [axis for axis in several if len(cases[axis]) == 2]
    return first[0] if first and len(several) > 1 else None


def _spread_out(best_first: Sequence[TrainingRecord], number: int) -> list[TrainingRecord]:
    """So many of a ranking, from its first place to its last."""
    last = len(best_first) - 1
    places = sorted({round(last * k / (number - 1)) for k in range(number)})
    return [best_first[place] for place in places]


def ranking_measure(run: Run) -> str:
    """By what trainings are ranked: not by what they are tested on, where rows are held out."""
    return MEASURES[1] if run.record.data.validation_rows else measure(run)


def measure(run: Run) -> str:
    """The accuracy that says most of what the run has."""
    rows = run.record.data
    if rows.test_rows:
        return MEASURES[0]
    return MEASURES[1] if rows.validation_rows else MEASURES[2]


def many(run: Run) -> bool:
    """Whether there are more trainings of a seed than figures and paragraphs show."""
    return len(of_first_seed(run)) > MOST_SHOWN


def ranked(run: Run, trainings: Sequence[TrainingRecord]) -> list[TrainingRecord]:
    """The trainings, NumPy's best first; those that diverged or have no figure come last."""
    name = ranking_measure(run)

    def place(training: TrainingRecord) -> tuple[bool, float]:
        found = quantity(run, "numpy", training, name)
        finite = quantity(run, "numpy", training, "finite")
        return finite == 0, math.inf if found is None or math.isnan(found) else -found

    return sorted(trainings, key=place)


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
            settings = experiment.vary.get(axis)
            if settings is not None and settings.powers_of_ten:
                found += _settings(axis, settings)
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


def _settings(axis: str, settings: AxisSettings) -> list[Column]:
    def cell(key: str) -> Callable[[Configuration], str]:
        def setting_of(configuration: Configuration) -> str:
            value = setting(configuration.experiment.model_dump(mode="json"), key)
            return f"{value:.3g}" if isinstance(value, int | float) else "–"

        return setting_of

    keys = [Column(escaped(_name(key)), cell(key)) for key in settings.powers_of_ten or {}]
    return [_case(axis), *keys]


def _name(key: str) -> str:
    """``optimizers.SGD.weight_decay`` → ``weight decay``."""
    return key.rpartition(".")[2].replace("_", " ")
