"""Along the steps: losses, accuracies and their differences; and the drift of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from bokeh.models import ColumnDataSource, Line, Scatter

from compare.analysis.quantities import BACKENDS, batch_values, evaluations
from compare.languages import translated
from compare.records.run import Run, TrainingRecord
from reports.figures.curves import flattens
from reports.interactive.plots import (
    ASKED,
    COLOURS,
    GROUPS,
    MOST_TRAININGS,
    Control,
    Interactive,
    Option,
    add_hover,
    extremes,
    in_json,
    plot,
    plot_beneath,
    scales,
    shown_where,
    small,
    stacked,
)
from reports.text import plural
from reports.trainings import label, shown

SPLITS = {"train": "training set", "validation": "validation set", "test": "test set"}
MARKS = {"train": "circle", "validation": "triangle", "test": "square"}
DASHES = {"train": "solid", "validation": "dotted", "test": "dashed"}
LINES = ("solid", "dashed", "dotted", "dotdash", "dashdot")


class Chosen(NamedTuple):
    """The trainings of a figure, and the controls that switch them.

    Attributes:
        trainings: In the order of the run.
        controls: Of labels, and of seeds where there are several.
        left_out: A sentence on those that are not here; empty where all are.
    """

    trainings: list[TrainingRecord]
    controls: list[Control]
    left_out: str

    def on(self, training: TrainingRecord) -> dict[str, str]:
        """What must be checked for a training's renderers to be seen."""
        keys = {"label": str(self.labels.index(training.label))}
        if len(self.seeds) > 1:
            keys["seed"] = str(self.seeds.index(training.seed))
        return keys

    @property
    def labels(self) -> list[str]:
        """The labels, each once."""
        return list(dict.fromkeys(training.label for training in self.trainings))

    @property
    def seeds(self) -> list[int]:
        """The seeds, each once."""
        return list(dict.fromkeys(training.seed for training in self.trainings))


def choose(run: Run, trainings: Sequence[TrainingRecord], *, coloured: bool = True) -> Chosen:
    """Those that fit into a figure: the ones that the pictures show come first.

    Args:
        run: The run.
        trainings: Those that have something to show.
        coloured: Whether each label has a colour of its own.
    """
    first = [training.label for training in shown(run)]
    ordered = sorted(trainings, key=lambda training: training.label not in first)
    kept = {id(training) for training in ordered[:MOST_TRAININGS]}
    chosen = Chosen([t for t in trainings if id(t) in kept], [], "")
    labels = [
        Option(str(k), name, name in first, colour_of(k) if coloured else "")
        for k, name in enumerate(chosen.labels)
    ]
    chosen.controls.append(Control("label", "training", labels))
    if len(chosen.seeds) > 1:
        seeds = [Option(str(k), str(seed), k == 0) for k, seed in enumerate(chosen.seeds)]
        chosen.controls.append(Control("seed", "seed", seeds))
    missing = len(trainings) - len(chosen.trainings)
    words = f" {plural(missing, 'further training')} would not fit in." if missing else ""
    return chosen._replace(left_out=words)


def colour_of(place: int) -> str:
    """The page's colour of a label."""
    return f"ink-{place % COLOURS}"


def ask_curves(run: Run) -> Interactive | None:
    """Losses and accuracies of both backends, and beneath them the difference of their losses."""
    trained = [t for t in run.record.trainings if evaluations(run, "numpy", t, "train", "loss")]
    if not trained:
        return None
    chosen = choose(run, trained)
    drawn = [
        _Of(run, t, colour_of(chosen.labels.index(t.label)), chosen.on(t), label(run, t))
        for t in chosen.trainings
    ]
    return _curves(drawn, chosen.controls, "colours are trainings", chosen.left_out)


def ask_runs(runs: Sequence[tuple[str, Run]]) -> Interactive | None:
    """The curves of several runs in one figure, a colour a run.

    Args:
        runs: (letter, run).
    """
    found = [
        (place, [t for t in run.record.trainings if evaluations(run, "numpy", t, "train", "loss")])
        for place, (_, run) in enumerate(runs)
    ]
    # In turns, so that none is left out whole.
    every = [
        (place, training)
        for turn in zip_longest(*([(place, t) for t in trainings] for place, trainings in found))
        for place, training in filter(None, turn)
    ]
    kept = sorted(every[:MOST_TRAININGS], key=lambda one: one[0])
    if not kept:
        return None
    labels = list(dict.fromkeys(training.label for _, training in kept))
    seeds = sorted({training.seed for _, training in kept})
    shared = [len({place for place, t in kept if t.label == name}) for name in labels]
    first = labels[shared.index(max(shared))]
    controls = [
        Control(
            "run",
            "run",
            [Option(str(k), letter, True, colour_of(k)) for k, (letter, _) in enumerate(runs)],
        ),
        Control(
            "label",
            "training",
            [Option(str(k), name, name == first) for k, name in enumerate(labels)],
        ),
    ]
    if len(seeds) > 1:
        least = {min(t.seed for place, t in kept if place == k) for k in {k for k, _ in kept}}
        options = [Option(str(k), str(seed), seed in least) for k, seed in enumerate(seeds)]
        controls.append(Control("seed", "seed", options))
    drawn = [
        _Of(
            runs[place][1],
            training,
            colour_of(place),
            {"run": str(place), "label": str(labels.index(training.label))}
            | ({"seed": str(seeds.index(training.seed))} if len(seeds) > 1 else {}),
            translated(f"run {runs[place][0]}, {training.label}, seed {training.seed}", "figure"),
        )
        for place, training in kept
    ]
    missing = len(every) - len(kept)
    left_out = f" {plural(missing, 'further training')} would not fit in." if missing else ""
    return _curves(drawn, controls, "colours are runs", left_out)


def _curves(
    drawn: Sequence[_Of], controls: Sequence[Control], colours: str, left_out: str
) -> Interactive:
    """A plot of a quantity, and beneath it, along the same axis, one of the difference."""
    upper = plot(300, "", "loss (nats)")
    lower = plot_beneath(upper, 190, "epoch", "|difference of losses|")
    thinned, splits, batches = 0, set(), False
    for of in drawn:
        for metric in ("loss", "accuracy"):
            splits |= _add_evaluations(upper, lower, of, metric)
            found = _add_batches(upper, lower, of, metric)
            batches |= found > 0
            thinned = max(thinned, found if found > 2 * GROUPS else 0)
    what = [Option("batches", "batches, training mode")] if batches else []
    what += [Option(split, text) for split, text in SPLITS.items() if split in splits]
    sides = [Option("numpy", "NumPy: line"), Option("torch", "PyTorch: open marks, thin line")]
    losses = (
        [value for _, value in evaluations(of.run, "numpy", of.training, split, "loss")]
        for of in drawn
        for split in SPLITS
    )
    first = "log" if flattens(losses) else "linear"
    quantities = [
        Option("loss", "loss (nats)", True, "", first),
        Option("accuracy", "accuracy", False, "", "linear"),
    ]
    said = (
        f" Of {thinned} batches the least and the largest of each of {GROUPS} groups are drawn."
        if thinned
        else ""
    )
    for made in (upper, lower):
        add_hover(made, VALUES)
    document, root = in_json(stacked(upper, lower))
    return Interactive(
        "curves",
        [
            Control("quantity", "quantity", quantities, one=True, names_axis=True),
            *controls,
            Control("side", "backend", sides),
            Control("what", "measured on", what),
            *scales("linear", first),
        ],
        document,
        root,
        "Above is the chosen quantity, and beneath it how far the losses of the two backends are "
        f"apart; {colours}, and thin lines are single batches. "
        + (
            "Circles are the training set, triangles the validation set, squares the test set."
            if "validation" in splits
            else "Circles are the training set, squares the test set."
        )
        + " Logarithmic axes leave out what is 0."
        + said
        + left_out,
        "Curves of the chosen quantity against the epoch, for each chosen training and backend, "
        "and beneath them the difference of the two backends' losses.",
    )


class _Of(NamedTuple):
    """A training, with its colour, what must be checked for it, and its name."""

    run: Run
    training: TrainingRecord
    ink: str
    on: dict[str, str]
    name: str

    @property
    def per_epoch(self) -> int:
        return self.run.steps_per_epoch[self.training.label]

    def same(self, on: str) -> dict[str, str]:
        """The columns that are the same in every row."""
        return {"training": self.name, "on": on}


VALUES = {
    "training": "@training",
    "on": "@on",
    "epoch": "@x{%.5g}",
    "updates made": "@step{%d}",
    "NumPy": "@numpy{%.9g}",
    "PyTorch": "@torch{%.9g}",
    "NumPy − PyTorch": "@difference{%.2e}",
}


def _add_evaluations(made: Any, lower: Any, of: _Of, metric: str) -> set[str]:
    """Both backends on whole splits, in evaluation mode; returns the splits that there are."""
    last = of.training.steps / of.per_epoch
    found = set()
    for split in SPLITS:
        numpy, torch = (
            dict(evaluations(of.run, backend, of.training, split, metric)) for backend in BACKENDS
        )
        epochs = [epoch for epoch in numpy if epoch in torch]
        if not epochs:
            continue
        found.add(split)
        x = np.array([min(epoch, last) for epoch in epochs])
        values = np.array([(numpy[epoch], torch[epoch]) for epoch in epochs], float).T
        source = _source(x, np.round(x * of.per_epoch), values, exact=True)
        on, same = {**of.on, "what": split}, of.same(SPLITS[split])
        made.add_glyph(
            source,
            Line(x="x", y="numpy", line_width=2, line_dash=DASHES[split]),
            tags=shown_where(of.ink, on | {"quantity": metric, "side": "numpy"}, same=same),
        )
        made.add_glyph(
            source,
            Scatter(x="x", y="torch", size=7, marker=MARKS[split], line_width=1.4),
            tags=shown_where(
                of.ink, on | {"quantity": metric, "side": "torch"}, fill="paper", same=same
            ),
        )
        _add_places(made, source, on | {"quantity": metric}, same)
        if metric == "loss":
            _add_difference(lower, of, source, on, same, MARKS[split])
    return found


def _add_batches(made: Any, lower: Any, of: _Of, metric: str) -> int:
    """Both backends on each batch, before its update; returns how many there are."""
    steps, numpy = batch_values(of.run, "numpy", of.training, metric)
    steps_torch, torch = batch_values(of.run, "torch", of.training, metric)
    count = min(len(steps), len(steps_torch))
    if not count:
        return 0
    values = np.array([numpy[:count], torch[:count]])
    places = extremes(values[0])
    x = (steps[places] + 1) / of.per_epoch
    source = _source(x, steps[places], values[:, places])
    on, same = {**of.on, "what": "batches"}, of.same("one batch")
    for side, width in (("numpy", 1.4), ("torch", 0.6)):
        made.add_glyph(
            source,
            Line(x="x", y=side, line_width=width, line_alpha=0.65),
            tags=shown_where(of.ink, on | {"quantity": metric, "side": side}, same=same),
        )
    _add_places(made, source, on | {"quantity": metric}, same)
    if metric == "loss":
        # Groups of their own: where the loss is extreme its difference need not be.
        with np.errstate(invalid="ignore"):
            places = extremes(np.abs(values[0] - values[1]))
        x = (steps[places] + 1) / of.per_epoch
        source = _source(x, steps[places], values[:, places])
        _add_difference(lower, of, source, on, same, "dot")
    return count


def _add_places(
    made: Any, source: ColumnDataSource, on: dict[str, str], same: dict[str, str]
) -> None:
    """Places that answer the pointer, once for both backends: their values lie on each other."""
    unseen = Scatter(x="x", y="numpy", size=11, fill_alpha=0, line_alpha=0)
    made.add_glyph(source, unseen, tags=shown_where("", on, same=same), name=ASKED)


def _add_difference(
    made: Any,
    of: _Of,
    source: ColumnDataSource,
    on: dict[str, str],
    same: dict[str, str],
    mark: str,
) -> None:
    single = mark == "dot"
    made.add_glyph(
        source,
        Scatter(x="x", y="distance", size=10 if single else 8, marker=mark, line_width=1.4),
        tags=shown_where(
            of.ink,
            on,
            fill=of.ink if single else "paper",
            same=same,
        ),
        name=ASKED,
    )


def _source(
    x: np.ndarray, steps: np.ndarray, values: np.ndarray, *, exact: bool = False
) -> ColumnDataSource:
    """Columns of both backends' values (2, n), with the difference taken before they are short."""
    with np.errstate(invalid="ignore"):
        difference = values[0] - values[1]
    kept = np.asarray if exact else small
    return ColumnDataSource(
        {
            "x": small(x),
            "step": np.asarray(steps, np.int32),
            "numpy": kept(values[0]),
            "torch": kept(values[1]),
            "difference": small(difference),
            "distance": small(np.abs(difference)),
        }
    )


DRIFT = {
    "training": "@training",
    "run": "@run",
    "step": "@x{%d}",
    "distance": "@y{%.5e}",
}


def ask_drift(run: Run) -> Interactive | None:
    """How far the weights of each run are from those of the float64 run."""
    drifting = [t for t in run.record.trainings if run.drift_of(t)]
    if not drifting:
        return None
    chosen = choose(run, drifting, coloured=False)
    made = plot(320, "training step", "relative distance of the weights")
    names = list(
        dict.fromkeys(row.run for training in chosen.trainings for row in run.drift_of(training))
    )
    colours = {"numpy": "ink-0", "torch": "ink-1"}
    last = 1
    for training in chosen.trainings:
        rows = run.drift_of(training)
        for name in names:
            own = [row for row in rows if row.run == name]
            steps = np.array([row.step for row in own])
            last = max(last, int(steps.max(initial=1)))
            places = extremes(np.array([row.distance for row in own]))
            source = ColumnDataSource(
                {
                    "x": np.asarray(steps[places], np.int32),
                    "y": small([own[place].distance for place in places]),
                }
            )
            dash = LINES[chosen.labels.index(training.label) % len(LINES)]
            tags = shown_where(
                colours.get(name, "ink-soft"),
                chosen.on(training) | {"run": str(names.index(name))},
                fill="paper",
                same={"training": label(run, training), "run": _run_name(name)},
            )
            width = 2.2 if name == "numpy" else 1.2
            glyphs: list[Any] = [Line(x="x", y="y", line_width=width, line_dash=dash)]
            if name == "torch":
                glyphs.append(Scatter(x="x", y="y", size=6))
            for glyph in glyphs:
                made.add_glyph(source, glyph, tags=tags, name=ASKED if glyph is glyphs[-1] else "")
    add_hover(made, DRIFT)
    runs = [
        Option(str(k), _run_name(name), True, colours.get(name, "ink-soft"))
        for k, name in enumerate(names)
    ]
    document, root = in_json(made)
    return Interactive(
        "drift",
        [
            *chosen.controls,
            Control("run", "run", runs),
            *scales("log" if last > 10 else "linear", "log"),
        ],
        document,
        root,
        "Colours are runs, dashes are trainings. Logarithmic axes leave out what is 0."
        + chosen.left_out,
        "Relative distance of the weights from a float64 run, for each chosen training and run.",
    )


def _run_name(name: str) -> str:
    return BACKENDS.get(name, f"PyTorch, {name}")
