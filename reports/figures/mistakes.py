"""Test pictures that a side takes for something else."""

from __future__ import annotations

from compare.analysis.quantities import BACKENDS
from compare.records.run import Run, TrainingRecord, predicted_key
from reports.figures.canvas import Drawing
from reports.figures.gallery import COLUMNS, Tile, gallery
from reports.trainings import heading, shown
from reports.wording import class_name


def draw(run: Run) -> list[Drawing]:
    """A row for each side and training: the first pictures of the test set that it gets wrong."""
    trainings = [t for t in shown(run) if predicted_key("numpy", t) in run.predictions]
    if "targets" not in run.predictions or "images" not in run.pictures:
        return []
    trainings = [t for t in trainings if predicted_key("torch", t) in run.predictions]
    rows = [_mistakes(run, training, backend) for training in trainings for backend in BACKENDS]
    if not any(rows):
        return []
    titles = [f"{heading(run, t, 14)}\n{side}" for t in trainings for side in BACKENDS.values()]
    return [
        Drawing(
            "mistakes",
            gallery(rows, titles),
            "The first test pictures that each side gets wrong, in the order of the test set: true "
            "class → predicted class. A frame marks a picture to which the other side gives "
            "another answer.",
            "Rows of misclassified test pictures with their true and predicted classes.",
        )
    ]


def _mistakes(run: Run, training: TrainingRecord, backend: str) -> list[Tile]:
    """What a side gets wrong, framed where the other side answers otherwise."""
    targets, names = run.predictions["targets"], run.record.data.class_names
    other = next(name for name in BACKENDS if name != backend)
    own, others = (run.predictions[predicted_key(side, training)] for side in (backend, other))
    return [
        Tile(
            picture, f"{names[targets[i]]} → {class_name(names, own[i])}", bool(own[i] != others[i])
        )
        for i, picture in zip(run.pictures["indices"], run.pictures["images"], strict=True)
        if own[i] != targets[i]
    ][:COLUMNS]
