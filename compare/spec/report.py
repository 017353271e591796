"""What an experiment's file may ask of the report: figures, published numbers, claims."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from compare.languages import LANGUAGES
from compare.spec.settings import Finite, Settings

Quantity = Literal[
    "train loss",
    "train accuracy",
    "training-set loss",
    "training-set accuracy",
    "validation loss",
    "validation accuracy",
    "test loss",
    "test accuracy",
    "accuracy gap",
    "loss gap",
    "loss rises",
    "near misses",
    "finite",
]
"""What can be measured of a training.

``train …`` is the mean over an epoch's batches, in training mode; ``training-set …``,
``validation …`` and ``test …`` are evaluations at the end of an epoch. ``accuracy gap`` is the
accuracy on the training set less that on the test set, and ``loss gap`` the loss on the test set
less that on the training set; ``loss rises`` counts the steps whose
batch loss is above that of the step before; ``near misses`` is the share of the mistakes on test
rows that name a class next to the right one; ``finite`` is 1 where no loss was NaN or infinite,
else 0.
"""

Choice = str | list[str] | list[float]
Selection = dict[str, Choice]
"""Which trainings are meant.

An axis (``optimizer``, or a key of ``vary``) with one case or a list of them; or the dotted path
of a setting with the least and the largest value that it may have.
"""


class ReportedValue(Settings):
    """A published figure that the report sets beside ours.

    Attributes:
        quantity: What it is a figure of.
        label: That of the training it belongs to.
        by: Who reported it: a framework or an author.
        value: The figure.
        epoch: After which epoch; the last one if absent.
        note: Words that belong to the figure, such as "up to".
        source: Where it was published.
        differs: What was other there than in this experiment.
    """

    quantity: Quantity
    label: str
    by: str
    value: Finite
    epoch: Annotated[int, Field(gt=0)] | None = None
    note: str = ""
    source: str = ""
    differs: str = ""


class Claim(Settings):
    """A sentence that the report answers: supported, not supported, or undecided.

    Attributes:
        says: The sentence, without its full stop.
        by: Whose it is.
        quantity: What it is about.
        of: The trainings that it is about; all of them if empty. What differs among them is
            averaged over.
        relation: How that compares with ``than``, or with ``value``.
        than: The trainings to compare with; each case of a list is compared by itself.
        value: The bound of ``at least`` and ``at most``.
        epoch: After which epoch; the last one if absent.
    """

    says: str
    by: str
    quantity: Quantity
    of: Selection = Field(default_factory=dict)
    relation: Literal["higher than", "lower than", "at least", "at most"]
    than: Selection | None = None
    value: Finite | None = None
    epoch: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _something_to_compare_with(self) -> Claim:
        compares = self.relation in ("higher than", "lower than")
        if compares and (self.than is None or self.value is not None):
            raise ValueError(
                f"claims: {self.says!r} is {self.relation!r}, which needs than = {{…}} and no value"
            )
        if not compares and (self.value is None or self.than is not None):
            raise ValueError(
                f"claims: {self.says!r} is {self.relation!r}, which needs a value and no than"
            )
        return self


class FigureSettings(Settings):
    """A figure of the experiment's own.

    Attributes:
        kind: ``curves``: a quantity along the training; ``final values``: a quantity at the end
            against an axis; ``best trials``: the curves of the trainings that ended best;
            ``gradient norms``: of each layer along the training; ``near misses``: how far the
            predicted class is from the right one.
        quantity: What is drawn.
        also: A second quantity in the same panels, dashed.
        panels: The axis whose cases have a panel each; one panel if absent.
        lines: The axis whose cases have a line each, or stand along the bottom.
        across: For ``final values``: the axis along the bottom.
        count: For ``best trials``: how many.
        log: Whether the quantity's axis is logarithmic.
        caption: What is to be seen.
    """

    kind: Literal["curves", "final values", "best trials", "gradient norms", "near misses"]
    quantity: Quantity = "train loss"
    also: Quantity | None = None
    panels: str | None = None
    lines: str | None = None
    across: str | None = None
    count: Annotated[int, Field(ge=1, le=100)] = 20
    log: bool = False
    caption: str = ""

    def axes(self) -> list[str]:
        """The axes that it names."""
        return [axis for axis in (self.panels, self.lines, self.across) if axis is not None]


class ReportSettings(Settings):
    """Whose the report is: what stands under its title.

    Attributes:
        author: Who wrote it.
        student: A student's number or name, as the course asks for it.
        course: The course that it is for.
        language: What it is written in, ``en`` or ``ko``; else what the reader's system says.
    """

    author: str = ""
    student: str = ""
    course: str = ""
    language: str = ""

    @field_validator("language")
    @classmethod
    def _known(cls, language: str) -> str:
        if language and language not in LANGUAGES:
            raise ValueError(f"expected {' or '.join(LANGUAGES)}, found {language!r}")
        return language


class EquivalenceSettings(Settings):
    """When both backends count as equally good, over seeds.

    Attributes:
        quantity: What is compared.
        margin: The largest difference of the means that does not matter, in the quantity's unit.
    """

    quantity: Quantity = "test accuracy"
    margin: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
