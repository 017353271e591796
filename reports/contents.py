"""Everything the template asks for, from the records of a run."""

from __future__ import annotations

import math
from typing import Any

from compare.records import Run
from reports.claims import learning, sameness, summary
from reports.facts import facts_of
from reports.figures import Figure
from reports.method import method_of
from reports.network import used_sources
from reports.tabulated import tables_of
from reports.wording import code, command_line, count, day, escaped, plural


def contents(run: Run, figures: list[Figure]) -> dict[str, Any]:
    """The names that the template uses, all but ``figure`` and ``table``, which draw on these."""
    record = run.record
    facts = [facts_of(run, training) for training in record.trainings]
    classes = len(record.data.class_names)
    return {
        "title": escaped(record.experiment.title),
        "name": code(record.name),
        "date": day(record.created),
        "notices": summary.notices(run),
        "in_short": summary.in_short(run, facts),
        "task": escaped(record.experiment.task or record.experiment.summary),
        "command": f"```\n{command_line(record.command) or '(not recorded)'}\n```",
        **method_of(run),
        "classes": classes,
        "ln_classes": f"{math.log(classes):.4f}" if classes else "",
        "data_sentence": _data_sentence(run),
        "of_mnist": "LeCun" in record.data.licence,
        "sources": _sources(run),
        "tables": tables_of(run, facts),
        "figures": {figure.name: figure for figure in figures},
        "parity_figures": [figure.name for figure in figures if figure.name.startswith("parity")],
        "results_caption": _results_caption(run),
        "predicted": "targets" in run.predictions and any(fact.predicted for fact in facts),
        "compares_optimizers": bool(learning.optimizers(run, facts)),
        "results": learning.results(run, facts),
        "gaps": sameness.gaps(run, facts),
        "initial": sameness.initial(facts),
        "parity": sameness.parity(run, facts),
        "parity_caption": "Comparisons by kind. *Nearest* is the passing comparison that came "
        "nearest to its bound, as a share of that bound, with its step and site.",
        "kinks": sameness.kinks(run, facts),
        "drift": sameness.drift(run, facts),
        "mistakes": learning.mistakes(run, facts),
        "speed": sameness.speed(run, facts),
        "reported": learning.reported(run),
        "conclusions": summary.conclusions(run, facts),
    }


def _data_sentence(run: Run) -> str:
    data = run.record.data
    sentence = (
        f"The data is {escaped(data.title)}: {plural(data.train_rows, 'training row')}"
        + (f", {plural(data.validation_rows, 'validation row')}" if data.validation_rows else "")
        + f" and {plural(data.test_rows, 'test row')} of {len(data.class_names)} classes."
    )
    if run.record.data.validation_rows:
        sentence += " The validation rows are the last of the training file and are not trained on."
    return sentence


def _sources(run: Run) -> list[str]:
    fence = "`````"
    return [
        f"#### {code(name)}\n\n{fence}python\n{source.rstrip()}\n{fence}"
        for name, source in used_sources(run.record)
    ]


def _results_caption(run: Run) -> str:
    return (
        "Final figures of every training. The train loss is the mean over the batches of the last "
        f"epoch, in training mode; the others are measured in evaluation mode on "
        f"{count(run.record.data.test_rows)} test rows"
        + (
            f" and {count(run.record.data.validation_rows)} validation rows."
            if run.record.data.validation_rows
            else "."
        )
    )
