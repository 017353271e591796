"""Everything the template asks for, from the records of a run."""

from __future__ import annotations

import math
from typing import Any

from compare.analysis.claims import claim_results
from compare.analysis.intervals import equalities
from compare.records.run import Run
from reports.claims import answers, learning, sameness, summary
from reports.facts import Facts, facts_of
from reports.figures import Figure
from reports.method import method_of
from reports.network import used_sources
from reports.sections import results_sections
from reports.tabulated import tables_of
from reports.tabulated.results import cut
from reports.trainings import many, several_seeds, shown
from reports.wording import code, command_line, day, escaped, joined, plural


def contents(run: Run, figures: list[Figure]) -> dict[str, Any]:
    """The names that the template uses, all but ``figure`` and ``table``, which draw on these."""
    record = run.record
    detailed = {id(training) for training in shown(run)}
    facts = [facts_of(run, t, timed=id(t) in detailed) for t in record.trainings]
    classes = len(record.data.class_names)
    parity_figures = [figure.name for figure in figures if figure.name.startswith("parity")]
    own_figures = [figure.name for figure in figures if figure.name.startswith("own")]
    found, (single, whole) = claim_results(run), equalities(run)
    sections = results_sections(
        own=bool(own_figures),
        equality=any(equality.test is not None for equality in [whole, *single]),
        mistakes=bool(record.data.test_rows),
        parity_map=bool(parity_figures),
    )
    return {
        "title": escaped(record.experiment.title),
        "name": code(record.name),
        "date": day(record.created),
        "notices": summary.notices(run),
        "in_short": [*summary.in_short(run, facts), *answers.conclusions(run, found)],
        "task": escaped(record.experiment.task or record.experiment.summary),
        "command": f"```\n{command_line(record.command) or '(not recorded)'}\n```",
        **method_of(run, sections["parity"]),
        "sections": sections,
        "own_figures": own_figures,
        "many": many(run) or several_seeds(run),
        "tested": bool(record.data.test_rows),
        "classes": classes,
        "ln_classes": f"{math.log(classes):.4f}" if classes else "",
        "data_sentence": _data_sentence(run),
        "of_mnist": "LeCun" in record.data.licence,
        "sources": _sources(run),
        "tables": {
            **tables_of(run, facts),
            **_not_empty("equality", answers.equality_table(run, single)),
            **_not_empty("claims", answers.table(found)),
        },
        "figures": {figure.name: figure for figure in figures},
        "parity_figures": parity_figures,
        "results_caption": _results_caption(run, facts),
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
        "equality": answers.equality(run, single, whole),
        "equality_caption": answers.equality_caption(run, single),
        "claims": answers.paragraphs(run, found),
        "claims_intro": answers.intro(run),
        "conclusions": [
            *summary.conclusions(run, facts),
            answers.equality(run, single, whole),
            *answers.conclusions(run, found),
        ],
    }


def _not_empty(name: str, table: str) -> dict[str, str]:
    return {name: table} if table else {}


def _data_sentence(run: Run) -> str:
    data = run.record.data
    splits = {
        "training row": data.train_rows,
        "validation row": data.validation_rows,
        "test row": data.test_rows,
    }
    rows = joined([plural(number, name) for name, number in splits.items() if number])
    sentence = f"The data is {escaped(data.title)}: {rows} of {len(data.class_names)} classes."
    if data.validation_rows:
        sentence += " The validation rows are the last of the training file and are not trained on."
    if not data.test_rows:
        sentence += (
            " No row is held out: accuracies are those on the rows that the network was trained on."
        )
    return sentence


def _sources(run: Run) -> list[str]:
    fence = "`````"
    return [
        f"#### {code(name)}\n\n{fence}python\n{source.rstrip()}\n{fence}"
        for name, source in used_sources(run.record)
    ]


def _results_caption(run: Run, facts: list[Facts]) -> str:
    data = run.record.data
    most = run.record.experiment.training.evaluate_rows
    splits = {"test": data.test_rows, "validation": data.validation_rows}
    if most is not None:
        splits["training"] = data.train_rows
    rows = [
        ("the first " if most and most < number else "")
        + plural(min(number, most or number), f"{split} row")
        for split, number in splits.items()
        if number
    ]
    return (
        "Final figures of every training. The train loss is the mean over the batches of the last "
        "epoch, in training mode; the others are measured in evaluation mode on "
        f"{joined(rows) or 'the whole training set'}."
        + (" Means over seeds ± their standard deviation." if several_seeds(run) else "")
        + cut(run, facts)
    )
