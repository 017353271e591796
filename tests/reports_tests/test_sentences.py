"""Every sentence with each of its outcomes, and with what has no outcome."""

from __future__ import annotations

import math
import re
from types import SimpleNamespace

import pytest

from compare.analysis.intervals import Equality, Interval, equivalence_test
from compare.analysis.quantities import BACKENDS
from compare.analysis.timings import Ratio
from compare.records.export import Answers, ExportRecord
from compare.records.run import (
    CertifiedPlan,
    Control,
    DistancePart,
    FirstStep,
    FollowedValue,
    Growth,
    Handover,
    NamedMistake,
    Opening,
    ReplicaPlan,
)
from compare.records.tables import ParityRow
from compare.spec.report import Claim, ReportedValue
from reports.documents import SENTENCES, TEMPLATES, say
from reports.runs import Difference
from reports.sections import Parting, Start

ROW = ParityRow("SGD", 0, 3, "float32", "gradient/1.weight", 2e-5, 1e-7, 8e-6, False)
FIGURE = ReportedValue(quantity="test accuracy", label="SGD", by="X", value=0.9)
AFTER_TWO = FIGURE.model_copy(update={"epoch": 2})
HIGHER = Claim(
    says="A is best",
    by="me",
    quantity="test accuracy",
    of={"x": "A"},
    relation="higher than",
    than={"x": "B"},
)
LEAST = Claim(
    says="it works", by="me", quantity="test loss", relation="at most", value=0.5, epoch=3
)
GROWTH = Growth(
    first=60, last=120, before=1e-8, after=3e-6, replayed=60, step=83, step_before=1e-8,
    step_after=2e-6, inputs=48_000,
)  # fmt: skip
HANDED = Handover(
    first=5940, last=6000, before=0.021, after=0.022, handed=2e-5, fewest=400, most=900,
    inputs=48_000,
)  # fmt: skip
SOURCED = FIGURE.model_copy(update={"source": "A book", "differs": "the seed"})
PART = ["used a sample"]


def plan(rule: str, steps: list[int], few_rows: int | None = None) -> CertifiedPlan:
    """What a training was to certify."""
    return CertifiedPlan.model_validate(
        {"rule": rule, "planned": 3, "plain_steps": 12.3, "steps": steps, "few_rows": few_rows}
    )


def trained(label: str, largest: float) -> SimpleNamespace:
    """A training's name and the largest difference of its losses."""
    return SimpleNamespace(label=label, loss_gap=SimpleNamespace(largest=largest))


def part(name: str, difference: float) -> DistancePart:
    return DistancePart(name=name, share=0.3, loss_difference=difference)


ONE_SEED = (1, 0.01, math.nan, math.nan)
FOLLOWED = FollowedValue(
    step=4,
    site="forward/0/output",
    dtype="float32",
    index=[0, 3],
    numpy=1.5,
    torch=1.4999997,
    referee=1.4999996,
    size=1.3,
    numpy_error=3e-7,
    torch_error=1e-7,
    tolerance=32 * 2.0**-24,
)
FAILING = FOLLOWED.model_copy(update={"numpy_error": 1e-3, "torch_error": 5e-7})
SAME, APART, WIDE = [0.0, 0.0], [0.05, 0.051], [0.05, -0.05]


def exported(error: float = 3e-6, wrong: int = 0) -> ExportRecord:
    answers = {
        "numpy": Answers(error=2e-6, difference=0.0, different_predictions=0),
        "torch": Answers(error=2e-6, difference=1e-6, different_predictions=0),
        "onnxruntime": Answers(error=error, difference=1e-6, different_predictions=wrong),
    }
    return ExportRecord(
        backend="numpy", label="SGD", seed=0, step=9, dtype="float32", weights=("w", "0"),
        onnx=("a.onnx", "0"), opset=20, runtime="1.31", rows=9, bound=1e-5, answers=answers,
    )  # fmt: skip


def equal(differences: list[float], label: str = "") -> Equality:
    return Equality(label, differences, equivalence_test(differences, 0.01), "there is only one")


EARLY = Growth(
    first=10, last=20, before=1e-7, after=1e-6, replayed=10, step=18,
    step_before=1e-7, step_after=9e-7, sides=1, inputs=48_000, module="8", numpy=-1e-7, torch=2e-7,
)  # fmt: skip
CONTROL = Control(
    part="Linear", rows=8, tried=13, noticed=13, least="missing-bias", over_bound=158.0
)
UNNOTICED = Control(
    part="Adam", rows=8, tried=10, noticed=8, missed=["late", "late"], least="early"
)


CASES: list[tuple[str, tuple, str]] = [
    ("incomplete", (True, 2, 2), ""),
    ("incomplete", (False, 1, 2), "**This run is incomplete**: 1 of 2 trainings was finished"),
    ("incomplete", (False, 0, 1), "0 of 1 training were finished"),
    ("smaller_run", (False, None, "data"), ""),
    ("smaller_run", (True, None, "a sample"), "used a sample instead of the full data set;"),
    ("smaller_run", (True, 1, "a sample"), "full data set and stopped each training after 1 step;"),
    ("broken_off", (True, 5), ""),
    ("broken_off", (False, 5), "broken off after 5 steps"),
    ("initial_bits", (235146, 0, False), "235,146 values compared, 0 bits differ: both backends"),
    ("initial_bits", (235, 0, False, 64), "235 values (64 of them in buffers) compared, 0 bits"),
    (
        "conclusion_again",
        (9, 0, True),
        "As far as 9 comparisons tell, the two backends have the same",
    ),
    ("conclusion_again", (9, 2, True), "The two backends are **not** the same network"),
    ("same_start", ([Start(9, 0, False, 0, ["SGD"])],), "no bit of it differs."),
    ("same_start", ([Start(9, 3, True, 0, ["SGD"])],), "Not every training begins with the same"),
    ("same_start", ([Start(0, 0, False, 0, ["SGD"])],), ""),
    ("partings", ([],), ""),
    (
        "partings",
        ([Parting("SGD", 281, True, 0.008)],),
        "on two sides of a kink: with SGD at step 281. With NumPy's value for such inputs these "
        "steps leave 0.8% of the distance.",
    ),
    (
        "partings",
        ([Parting("SGD", 281, True, 0.008), Parting("Adam", 25, False, 0.0007, True)],),
        "But for biases that a normalisation cancels, the backends first part because rounding "
        "puts inputs of activations on two sides of a kink: with SGD at step 281, with Adam from "
        "step 25 on. With NumPy's value for such inputs these steps leave 0.8% of that distance "
        "or less.",
    ),
    ("times_in_a_line", ([],), ""),
    (
        "times_in_a_line",
        ([("SGD", 0.97), ("Adam", 1.2216)],),
        "A step of this run took PyTorch 0.970 times as long as NumPy with SGD and 1.222 times "
        "with Adam.",
    ),
    ("initial_bits", (10, 1, True), "1 bit differs, so PyTorch was given NumPy's values"),
    ("initial_bits", (10, 7, False), "7 bits differ, and nothing was copied"),
    ("initial_bits", (0, 0, False), "nothing is known of the start"),
    ("parity", (12272, 0), "All 12,272 comparisons pass."),
    ("parity", (12272, 3), "**3 of 12,272 comparisons fail.**"),
    ("parity", (12272, 1), "**1 of 12,272 comparisons fails.**"),
    ("parity", (1, 0), "The only comparison passes."),
    ("parity", (0, 0), "Nothing was compared"),
    ("nearest_ones", (8.0,), "A share of 12.5% in float32"),
    ("nearest_ones", (0,), "come nearest to them."),
    ("nearest_pass", (0.43,), "uses 43.0% of it"),
    ("first_divergence", (None,), "No site diverges."),
    ("first_divergence", (ROW,), "at step 3, float32, at the site `gradient/1.weight`"),
    ("first_divergence", (ROW,), "the smallest one that would pass is 2.00 × 10⁻⁵"),
    ("first_divergence", (ROW._replace(numpy_error=math.inf),), "none would pass"),
    ("first_divergence", (ROW._replace(site="shuffle"),), "different orders"),
    (
        "first_divergence",
        (ROW._replace(site="initial/0.weight", numpy_error=4.0, step=0),),
        "`0.weight` starts with 4 bits different",
    ),
    ("named_mistake", (None,), "No mistake of the catalogue"),
    (
        "named_mistake",
        (NamedMistake(site="update/0.weight", code="sign-flip", explanation="it goes up: θ + g"),),
        "The mistake `sign-flip`, put in the place",
    ),
    ("certificate", (100, 0, 58, 600, "float32"), "58 certified steps, of 600, is faithful"),
    ("certificate", (100, 0, 600, 600, "float64"), "by induction NumPy's run is a float64 run"),
    ("certificate", (100, 1, 58, 600, "float32"), "at least one is not faithful"),
    ("certificate", (0, 0, 0, 0, "float32"), "No step was certified"),
    ("planned_steps", (None,), ""),
    ("planned_steps", (plan("all", []),), "Every step was to be certified, as was asked."),
    ("planned_steps", (plan("number", [0, 1, 9]),), "were asked for: steps 0–1 and 9, counted"),
    ("planned_steps", (plan("file", [0]),), "The experiment says which: step 0, counted from 0."),
    (
        "planned_steps",
        (plan("auto", [0]),),
        "of about 12 steps of one backend each: here 1, step 0, counted",
    ),
    ("planned_steps", (plan("auto", [0], 8),), "The checks in float64 took 8 rows of the batch"),
    ("numbered_steps", ([3],), "step 3, counted from 0"),
    ("numbered_steps", ([0, 1, 2, 1000, 2000],), "steps 0–2, 1,000 and 2,000, counted"),
    ("kinks", (1000, 0, 0.0), "Of 1,000 activation inputs at the certified steps, none lies"),
    ("kinks", (1000, 1, 1e-8), "1 lies on another side"),
    ("kinks", (1000, 2, 1e-8), "2 lie on another side"),
    ("kinks", (1000, 2, 1e-8), "their values there are at most 10⁻⁸ in size"),
    ("kinks", (0, 0, 0.0), "no activation with a kink"),
    ("loss_change", ("NumPy", 2.3, 0.3), "in evaluation mode, fell from 2.3000 to 0.3000."),
    ("loss_change", ("NumPy", 2.3, 2.3), "did not fall"),
    ("loss_change", ("NumPy", 2.3, 2.9), "did not fall"),
    ("loss_change", ("NumPy", 2.3, math.nan), "not a finite number at the end"),
    ("loss_change", ("NumPy", 2.3, math.inf), "not a finite number at the end"),
    ("loss_change", ("NumPy", math.nan, 1.0), "not a finite number at the start"),
    ("growth", (None,), "grew steadily"),
    ("growth", (Growth(first=60, last=120, before=1e-8, after=3e-6),), "300-fold"),
    (
        "growth",
        (Growth(first=60, last=70, before=1e-8, after=3e-6, too_dear=True),),
        "of their size. The steps between were not made once more, to see at which of them it did",
    ),
    ("replicas", (None,), ""),
    ("replicas", (ReplicaPlan(rule="file", count=1, steps=50, plain_steps=3.1),), ""),
    ("replicas", (ReplicaPlan(rule="auto", count=0, steps=0, plain_steps=0.0),), ""),
    (
        "replicas",
        (ReplicaPlan(rule="auto", count=1, steps=10, plain_steps=3.1),),
        "run and 1 replica follow a training for as many steps, at most 100, as are estimated",
    ),
    ("growth", (GROWTH,), "No input of an activation lies on two sides"),
    (
        "growth",
        (GROWTH.model_copy(update={"sides": 1, "module": "5", "numpy": -1e-9, "torch": 2e-9}),),
        "60 steps made once more, step 83 has the largest part: from 10⁻⁸ to 2.00 × 10⁻⁶ of their "
        "size. There 1 of "
        "48,000 inputs of activations lies on one side of the kink in NumPy",
    ),
    (
        "growth",
        (GROWTH.model_copy(update={"sides": 1, "module": "5", "same_side": 1.1e-8}),),
        "made with NumPy's value for this input, the distance after it is 1.10 × 10⁻⁸.",
    ),
    (
        "growth",
        (GROWTH.model_copy(update={"sides": 2, "module": "5", "same_side": 1.1e-8}),),
        "made with NumPy's value for these inputs",
    ),
    (
        "growth",
        (GROWTH.model_copy(update={"sides": 2, "module": "5"}),),
        "PyTorch, the first in module `5`",
    ),
    (
        "growth",
        (GROWTH.model_copy(update={"sides": 1, "elsewhere": 4}),),
        "The other steps together have 4 such inputs.",
    ),
    ("handover", (None,), ""),
    ("handover", (HANDED,), "made the 60 steps before step 6,000 once more from NumPy's state"),
    ("handover", (HANDED,), "what rounding adds in these steps is 0.1% of it."),
    ("handover", (HANDED,), "In each of them 400 to 900 of 48,000 inputs lie on different sides"),
    (
        "handover",
        (HANDED.model_copy(update={"handed": 0.01}),),
        "So much of their distance is made anew in these steps.",
    ),
    ("evaluation_mode", (None,), ""),
    ("evaluation_mode", (100,), "evaluation mode was compared as well, on 100 rows: the output"),
    ("limit_of_settings", ([],), ""),
    ("limit_of_settings", ([1],), "none was tuned in this run."),
    ("limit_of_the_check", (8, 100), "at the end of a training alone, on 100 rows."),
    ("growth", (GROWTH.model_copy(update={"step_after": 3e-8}),), "no step has half of it."),
    ("parts", (None, False, "", 1.0, None, None, None), ""),
    (
        "parts",
        (1e-7, False, "weights", 0.2, None, None, None),
        "no more than what rounding makes of such a sum.",
    ),
    (
        "parts",
        (1e-3, True, "weights", 0.2, None, None, None),
        "Most of that comes from the weights",
    ),
    ("parts", (1e-3, True, "weights", 0.8, None, None, None), "stays at least 80.00% as far"),
    ("parts", (1e-3, True, "weights", 1.2, None, None, None), "comes no nearer to NumPy's loss."),
    (
        "parts",
        (
            1e-3,
            True,
            "weights",
            0.9,
            part("weights", -5e-3),
            part("running statistics", 5e-3),
            None,
        ),
        "it becomes −0.00500, with NumPy's running statistics 0.00500.",
    ),
    (
        "parts",
        (1e-3, True, "weights", 0.9, part("a", -5e-3), part("b", 5e-3), part("a and b", 2e-6), 500),
        "On the first 500 test rows, NumPy's loss minus PyTorch's is 0.00100. No part",
    ),
    ("steps_reached", (0, 10, 0, 5), ""),
    ("steps_reached", (5, 10, 1, 5), ""),
    ("steps_reached", (10, 10, 0, 5), "is shown of all 10 steps."),
    (
        "steps_reached",
        (5, 10, 0, 5),
        "of 5 of 10 steps, and not of the others: of what section 1",
    ),
    ("size_of", ("",), ""),
    ("size_of", ("|x|",), "$s = |x|$."),
    ("size_of", (r"\operatorname{mean}|x|",), "$, with the mean over the batch."),
    (
        "what_humps_are",
        (),
        "A hump counts from a twenty-fifth of the densest place on;",
    ),
    ("first_step", (None,), ""),
    ("first_step", (FirstStep(distance=2e-8, part="weights", share=0.6),), ""),
    (
        "first_step",
        (FirstStep(distance=2e-4, part="weights", share=0.6),),
        "60.00% of the square of that lies in the weights",
    ),
    (
        "first_step",
        (FirstStep(distance=1e-5, part="biases before a batch normalisation", share=0.999),),
        "99.90% of the square of that lies in the biases before a batch normalisation. Their",
    ),
    ("early_growth", (None,), ""),
    ("early_growth", (EARLY,), "is that of step 18: 1 of 48,000 inputs of activations lies on one"),
    ("early_growth", (EARLY.model_copy(update={"sides": 0}),), ""),
    (
        "early_growth",
        (EARLY.model_copy(update={"sides": 2}),),
        "2 of 48,000 inputs of activations lie",
    ),
    ("controls", ([CONTROL],), "13 known mistakes"),
    ("controls", ([CONTROL, UNNOTICED],), "23 known mistakes"),
    ("missed_controls", ([CONTROL],), ""),
    ("accuracy_in_a_line", (0.9046, 0.8987, 0.9102, 10_000), "right on 90.46% of the test rows"),
    ("accuracy_in_a_line", (0.9, 0.8, 0.95, 10), "80.0% to 95.0% of new ones"),
    ("limit_of_controls", ([],), ""),
    ("limit_of_the_check", (0,), "accuracies and predictions alone."),
    ("limit_of_the_check", (8,), "The checks in float64 took 8 rows of a batch."),
    ("limit_of_controls", ([CONTROL, UNNOTICED],), "2 of 23 mistakes put in on purpose"),
    ("missed_controls", ([UNNOTICED],), "`late` of `Adam` (2 forms)"),
    ("caption_of_nearest", (), "The comparisons nearest to their bounds"),
    ("humps", ([0.002], [0.003]), ""),
    (
        "humps",
        ([0.002, 0.006], [0.003]),
        "humps near 2.00 and 6.00 ms with NumPy.",
    ),
    ("source_of_figures", ([FIGURE],), "*X, 90.00%:* no publication is named."),
    ("source_of_figures", ([FIGURE, FIGURE],), "*X, 90.00% and 90.00%:* no publication"),
    (
        "source_of_figures",
        ([SOURCED],),
        "*X, 90.00%:* A book. Differences from this run: the seed.",
    ),
    ("gaps_of_many", ([1e-6, 2e-6], [0.0, 0.002], "test accuracy"), "2.00 × 10⁻⁶, their test"),
    ("gaps_of_many", ([1e-6, math.nan], [], "test accuracy"), "in the 1 in which every loss"),
    ("gaps_of_many", ([math.nan], [0.01], "test accuracy"), "No batch loss is finite on both"),
    ("final_gaps", ([0.0, 0.0], "test accuracy"), "the same test accuracy in 2 of 2."),
    ("final_gaps", ([0.0, 0.01], "test accuracy"), "in 1 of 2, at most 1.00 points apart"),
    ("final_gaps", ([], "test accuracy"), "No test accuracy was measured"),
    ("initial_bits_of_many", ([0, 0], 0), "no bit differs in any of them"),
    (
        "initial_bits_of_many",
        ([0, 7, 9], 2),
        "in 1 no bit differs; in 2 between 7 and 9 bits differ, and",
    ),
    ("initial_bits_of_many", ([7, 9], 2), "in each of them between 7 and 9 bits differ"),
    ("initial_bits_of_many", ([7, 9], 1), "NumPy's values in 1 of these, the others start apart"),
    ("speed_of_many", ([1.5, 2.0, 0.5],), "in 2 of 3; PyTorch's time over NumPy's is between 0.50"),
    ("speed_of_many", ([0.5],), "PyTorch's time over NumPy's is 0.50."),
    (
        "best_and_worst",
        ("test accuracy", 9, ("A", 0.9, 0.91), ("B", 0.1, None)),
        "is *A* with 90.00% (PyTorch 91.00%), the worst *B* with 10.00% (PyTorch none).",
    ),
    (
        "best_and_worst",
        ("test accuracy", 9, ("B", 0.2, 0.2), ("A", 0.1, 0.1)),
        "Of the 9 trainings NumPy's best by final test accuracy is *B*",
    ),
    ("diverged", (0, 0), "No training met"),
    ("diverged", (2, 1), "2 with NumPy and 1 with PyTorch"),
    (
        "failed_training",
        ("SGD", 3, "ValueError: no"),
        "**The training SGD with seed 3 failed** and is",
    ),
    ("failed_training", ("Adam", 0, "gone"), "missing here: gone"),
    ("more_failed_trainings", (0,), ""),
    ("more_failed_trainings", (2,), "**2 more trainings failed**"),
    ("final_accuracies", (0.95, 0.95, "test accuracy"), "same test accuracy, 95.00%"),
    (
        "final_accuracies",
        (0.95, 0.94, "test accuracy"),
        "Test accuracy ends at 95.00% with NumPy and 94.00% with PyTorch, 1.00 points apart.",
    ),
    ("final_accuracies", (math.nan, 0.94, "test accuracy"), "not a number"),
    ("final_accuracies", (None, None, "test accuracy"), "No test accuracy was measured"),
    ("accuracy_interval", (0.95, 0.93, 0.96, 1000), "stands for 93.0% to 96.0% on new data"),
    ("accuracy_interval", (0.0, 0.0, 0.0, 0), "nothing is known"),
    ("different_predictions", (0, 1000), "the same class for all 1,000 test rows"),
    ("different_predictions", (3, 1000), "different classes for 3 of 1,000 test rows"),
    ("different_predictions", (0, 0), "No test prediction"),
    (
        "compared_accuracies",
        (("SGD", "Adam"), (0.9, 0.97), (5, 75), 1e-9, *ONE_SEED),
        "Adam ends 7.00 points above",
    ),
    (
        "compared_accuracies",
        (("SGD", "Adam"), (0.97, 0.9), (75, 5), 0.01, *ONE_SEED),
        "SGD ends 7.00 points above",
    ),
    (
        "compared_accuracies",
        (("SGD", "Adam"), (0.97, 0.9), (75, 5), 0.01, *ONE_SEED),
        "p = 0.010). That is said of these two trained networks",
    ),
    (
        "compared_accuracies",
        (("SGD", "Adam"), (0.9, 0.91), (5, 6), 1.0, *ONE_SEED),
        "No difference between",
    ),
    (
        "compared_accuracies",
        (("SGD", "Adam"), (0.9, 0.91), (5, 6), 1.0, 3, -0.01, -0.02, -0.005),
        "SGD's accuracy less Adam's is −1.00 points on average, with a 95% interval from −2.00 po",
    ),
    (
        "compared_accuracies",
        (("SGD", "Adam"), (0.9, 0.91), (5, 6), 1.0, 3, -0.01, -0.02, 0.01),
        "which is better is not decided",
    ),
    (
        "compared_accuracies",
        (("SGD", "Adam"), (0.9, 0.9), (0, 0), 1.0, *ONE_SEED),
        "right on the same test rows",
    ),
    (
        "speed",
        (Ratio(1.31, 1.28, 1.35), 500),
        "NumPy is faster than PyTorch, which takes 1.310 times as long (95% interval 1.28",
    ),
    (
        "speed",
        (Ratio(0.5, 0.4, 0.625), 500),
        "NumPy is slower than PyTorch, which takes 0.500 times as long (95% interval 0.400",
    ),
    ("speed", (Ratio(1.05, 0.98, 1.1), 500), "No difference in speed can be told"),
    ("speed", (Ratio(3.0, 3.0, 3.0), 1), "Only 1 step could be timed"),
    (
        "speed",
        (Ratio(1.31, 1.28, 1.35), 500, True),
        "Beside other work on the machine, PyTorch's time was 1.310 times NumPy's",
    ),
    ("nothing_timed", (), "No step was timed"),
    ("drift", (300, 2.0, 1.0, [3.0]), "NumPy lies among them"),
    ("drift", (300, 6.0, 1.0, [3.0]), "beyond the farthest of them, 2.00 times as far"),
    ("drift", (300, 6.0, 0.0, []), "beyond the farthest of them."),
    ("drift", (300, 0.5, 1.0, [3.0]), "nearer than any of them"),
    ("drift", (300, 1.0, 1.0, [3.0]), "level with one of them"),
    ("drift", (300, 1.0, 1.0, [3.0, 1.0]), "level with 2 of them"),
    ("opening", (None,), ""),
    (
        "opening",
        (Opening(steps=60, inputs=100),),
        "In the first 60 steps no input of an",
    ),
    (
        "opening",
        (Opening(steps=60, step=25, last=7, inputs=48_000),),
        "Step 25 is the first in which an input of an activation lies on one side of its kink in "
        "NumPy and on the other in PyTorch; after 60 steps, 7 of 48,000 do.",
    ),
    (
        "opening",
        (Opening(steps=60, step=25, last=7, inputs=80, after=2e-4, same_side=1.2e-4),),
        "The two are then 2.00 × 10⁻⁴ apart, and 1.20 × 10⁻⁴ where PyTorch made these steps with "
        "NumPy's value for every such input: the sides account for the smaller part of it, and the",
    ),
    (
        "opening",
        (Opening(steps=60, step=25, last=7, inputs=80, after=2e-4, same_side=1e-5),),
        "for every such input: 95.0% of it comes from the sides.",
    ),
    (
        "opening",
        (
            Opening(
                steps=60,
                step=25,
                last=7,
                inputs=80,
                after=2e-4,
                same_side=1.9e-4,
                effective=1e-4,
                effective_same_side=2e-7,
            ),
        ),
        "Without the biases that a normalisation cancels, the two are then 10⁻⁴ apart, and 2.00 × "
        "10⁻⁷ where PyTorch made these steps with NumPy's value for every such input: 99.8% of it",
    ),
    ("opening", (Opening(steps=9, step=2, last=1, inputs=80),), "after 9 steps, 1 of 80 does."),
    (
        "first_step",
        (
            FirstStep(distance=1e-5, part="biases before a batch normalisation", share=0.999),
            {"biases": 0.0006, "weights": 0.6661},
        ),
        "0.06% of the square of the distance between all that is trained (running statistics left "
        "out), and the weights 66.61%.",
    ),
    ("limit_of_code", (None,), ""),
    ("limit_of_code", ("0123abc",), ""),
    ("limit_of_code", ("0123abc-dirty",), "can only be repeated approximately."),
    ("limit_of_load", (False,), ""),
    ("limit_of_load", (True,), "which backend is faster is not known"),
    ("load", (None, 2, 0.7, 0.8), "the trainings waiting for 20% to 30% of their time."),
    ("drift", (1, math.nan, 1.0, [3.0]), "not a finite number"),
    ("comparable_figures", ([],), "How the published set-ups differ"),
    (
        "comparable_figures",
        (["used a sample"],),
        "**The figures are not comparable**: this run used a",
    ),
    ("reported_figure", (FIGURE, False, None, None), "has no test accuracy with SGD"),
    ("reported_figure", (FIGURE, False, math.nan, 0.9), "not a number"),
    (
        "confusion",
        ("NumPy", 50, 1000, [("4", "9", 12)]),
        "most often a true 4 is called 9 (12 times)",
    ),
    (
        "confusion",
        ("NumPy", 5, 9, [("4", "9", 2), ("7", "2", 2), ("1", "2", 1)]),
        "9 and a true 7 is called 2 (2 times each)",
    ),
    ("confusion", ("NumPy", 0, 1000, []), "classifies all 1,000 test rows rightly"),
    ("confusion", ("NumPy", 0, 0, []), "no recorded predictions"),
    (
        "over_seeds",
        ("accuracy", "SGD", "NumPy", [0.9, 0.94]),
        "92.00% on average, from 90.00% to 94.00%",
    ),
    ("over_seeds", ("accuracy", "SGD", "NumPy", [0.9, math.nan]), "not a number for at least one"),
    ("conclusion", (100, 0, True), "it computes the same, to rounding: all 100"),
    ("conclusion", (100, 0, False), "as far as the run went"),
    ("conclusion", (100, 2, True), "**not** the same network"),
    ("conclusion", (0, 0, True), "does not show"),
    ("claims_of_the_full_experiment", ([],), ""),
    (
        "claims_of_the_full_experiment",
        (["used a sample", "stopped"],),
        "this run used a sample and stopped.",
    ),
    (
        "claim_as_tested",
        (HIGHER, "test accuracy", "A", ["B"]),
        "the final test accuracy of “A” is higher than that of “B”.",
    ),
    (
        "claim_as_tested",
        (HIGHER, "test accuracy", "A", ["B", "C"]),
        "that of “B” and “C”, each by itself.",
    ),
    (
        "claim_as_tested",
        (LEAST, "test loss", "", []),
        "test loss after epoch 3 of all trainings is at most 0.5, on",
    ),
    ("claim_answer", ([], *3 * ["supported"]), "**Supported**, on both backends."),
    ("claim_answer", (PART, *3 * ["supported"]), "**Not answered** by this run."),
    (
        "claim_answer",
        ([], *3 * ["not supported"]),
        "**Not supported**, on both backends.",
    ),
    (
        "claim_answer",
        ([], "undecided", "supported", "not supported"),
        "NumPy: supported, PyTorch: not supported.",
    ),
    (
        "claim_in_a_line",
        (HIGHER, [], "supported", "supported", "supported"),
        "“A is best” (me): **supported** (NumPy supp",
    ),
    (
        "claim_in_a_line",
        (HIGHER, PART, *3 * ["not supported"]),
        "**not answered**, as this run is not the full experiment.",
    ),
    ("equality", (equal(SAME), "test accuracy", 0.01, 1), "is **equivalent**: NumPy's less"),
    ("equality", (equal(SAME), "test accuracy", 0.01, 3), "in the mean of 3 trainings each"),
    ("equality", (equal(APART), "test accuracy", 0.01, 1), "is **not equivalent**"),
    ("equality", (equal(WIDE), "test accuracy", 0.01, 1), "is **not shown**"),
    ("equality", (equal([0.0]), "test accuracy", 0.01, 1), "cannot be tested: there is only one"),
    ("equalities", ([True, True],), "2 of 2 trainings are equivalent."),
    ("equalities", ([True, False],), "1 of 2 trainings is equivalent, 1 is not."),
    ("equalities", ([True, None],), "equivalent, and 1 is undecided."),
    ("equalities", ([],), ""),
    ("curves", ([1e-4, 2e-4],), "larger than 2.00 × 10⁻⁴."),
    ("curves", ([math.nan],), "cannot be subtracted"),
    ("curves", ([1e-4, math.nan], [trained("SGD", 1e-4), trained("B", math.nan)]), "no batch is"),
    (
        "curves",
        ([1e-4, 2e-4], [trained("SGD", 1e-4), trained("Adam", 2e-4)]),
        "On any one batch the losses of the two backends differ by at most 10⁻⁴ with SGD and "
        "2.00 × 10⁻⁴ with Adam.",
    ),
    ("limits_in_a_line", ([0], PART, 5, 600), "one seed, so nothing is known of others; 5 of"),
    (
        "limits_in_a_line",
        ([0, 1], [], 1, 600),
        "1 of 600 steps was certified, that is, compared",
    ),
    ("scaling", ("mnist", 3, (0.0, 1.0)), "divided by 255 and not centred; the training inputs"),
    ("scaling", ("covertype", 1, None), "divided by its standard deviation."),
    ("scaling", ("mine.npz", 2, None), "as the file has them."),
    ("where_the_data_is", ("mnist",), "ossci-datasets"),
    ("where_the_data_is", ("mnist-sample",), "comes with the program"),
    ("where_the_data_is", ("covertype",), "fetch_covtype"),
    ("where_the_data_is", ("pass_fail",), "made up by the program"),
    ("where_the_data_is", ("mine.npz",), "author of the experiment"),
    ("where_the_data_is", ("another",), ""),
    ("compared_with", ("ReLU", "torch.nn.ReLU()"), "compared with `torch.nn.ReLU()`:"),
    ("compared_with", ("ReLU", ""), "PyTorch's class `ReLU`:"),
    ("what_parity_shows", (0, 6, 0, 0), "nothing is shown of any"),
    ("what_parity_shows", (5, 6, 1, 10), "One comparison that fails is enough"),
    ("what_parity_shows", (6, 6, 0, 10), "follows by induction that the whole training"),
    ("what_parity_shows", (5, 6, 0, 10), "do not show that the other 1 are"),
    (
        "followed_values",
        ("SGD", FOLLOWED, "Linear"),
        "the one in row 0, column 3, both counted from 0, is farthest",
    ),
    ("followed_values", ("SGD", FAILING, ""), "The first comparison that fails is that of"),
    (
        "followed_verdict",
        (FOLLOWED, "8", "4", 2.0**-24),
        "less than 4 $u$, which counts instead: 8 × 4 $u$ = 1.91 × 10⁻⁶ is allowed.",
    ),
    ("followed_verdict", (FOLLOWED, "8", "4", 2.0**-24), "15.7% of it: **the comparison passes.**"),
    ("followed_verdict", (FAILING, "8", "4", 2.0**-24), "is more: **the comparison fails.**"),
    ("rule_of_inference", ([0],), "This run has one seed, so nothing is said of others."),
    ("rule_of_inference", ([0, 1],), "This run has 2 seeds."),
    ("limit_of_extent", ([], 1), ""),
    ("limit_of_extent", (PART, 0), "This run used a sample: its accuracies"),
    ("limit_of_extent", (PART, 2), "what is claimed of that is not answered."),
    ("limit_of_seeds", ([7],), "Everything began from seed 7."),
    ("limit_of_seeds", ([7, 8],), "2 seeds give wide intervals"),
    ("limit_of_seeds", ([1, 2, 3, 4, 5],), ""),
    ("limit_of_steps", (5, 6), "5 of 6 steps were certified"),
    ("limit_of_steps", (6, 6), ""),
    ("limit_of_rows", (0, "rows"), "nothing is known of the accuracy on new data"),
    ("limit_of_rows", (9, "rows"), "measured on 9 rows of rows"),
    ("limit_of_machine", ("A processor",), "one machine (A processor)"),
    ("limit_of_machine", ("",), "those of one run on one machine."),
    ("limit_of_drift", (0, 9), "No replica was trained"),
    ("limit_of_drift", (5, 9), "followed for the first 5 steps"),
    ("limit_of_drift", (9, 9), ""),
    ("duration", (59.0,), "took 59.0 s"),
    ("duration", (600.0,), "took 10.0 minutes"),
    ("commit", (None,), "was not recorded"),
    ("commit", ("0123abc-dirty",), "changes that were not committed"),
    ("commit", ("0123abc",), "commit `0123abc`, unchanged"),
    ("exported", ([exported()], BACKENDS), "1 trained network was written as ONNX, opset 20"),
    ("exported", ([exported()], BACKENDS), "The weights are those that NumPy trained."),
    ("exported", ([exported(), exported()], BACKENDS), "2 trained networks were written"),
    ("exported_predictions", ([exported()],), "All three predict the same class for every row."),
    ("exported_predictions", ([exported(), exported(wrong=1)],), "trained on at most 1 row, the"),
    ("exported_errors", ([exported()], "8"), "as the rule for NumPy asks: at most 8 times"),
    (
        "exported_errors",
        ([exported(), exported(error=0.1)], "8"),
        "**ONNX Runtime is further from the referee than allowed** for the weights of "
        "SGD (seed 0, numpy): the",
    ),
    ("stale_exports", ([exported()],), "1 export was made of other weights than the run has now"),
    ("stale_exports", ([exported(), exported()],), "and are left out: export again."),
    ("load", (None, 2), "not recorded"),
    ("load", (0.3, 2), "was at rest"),
    ("load", (0.9, 2), "**The machine was busy"),
    (
        "load",
        (0.9, 2, 0.991),
        "was 99% of their time on the clock (load as the run began: 0.9",
    ),
    ("load", (None, 2, 0.7), "other work kept the trainings waiting for 30% of their time."),
]

A_SETTING = ("`lr`", "1", "2")
MORE = Difference("SGD", ("B", "A"), "NumPy", Interval(0.2, 0.1, 0.3, 3))
LESS = Difference("Adam", ("C", "A"), "PyTorch", Interval(-0.2, -0.3, -0.1, 3))
UNSURE = Difference("SGD", ("B", "A"), "NumPy", Interval(0.1, -0.1, 0.3, 2))
ALONE = Difference("SGD", ("B", "A"), "NumPy", Interval(0.1, math.nan, math.nan, 1))


def a_run(letter: str, compared: int, wrong: list[int]) -> dict[str, object]:
    return {"letter": letter, "all": {"compared": compared}, "wrong": wrong}


CASES += [
    ("settings_that_differ", ([], ["A", "B"]), "No setting of the experiments differs."),
    ("settings_that_differ", ([A_SETTING], ["A", "B"]), "One setting differs: `lr`, 1 → 2."),
    ("settings_that_differ", ([A_SETTING] * 2, ["A", "B"]), "`lr`, 1 → 2; `lr`, 1 → 2."),
    ("settings_that_differ", ([A_SETTING] * 9, ["A", "B"]), "9 settings differ: `lr`, "),
    ("settings_that_differ", ([A_SETTING] * 9, ["A", "B"]), "and 3 more."),
    ("settings_that_differ", ([A_SETTING], ["A", "B", "C"]), "1 setting differs: `lr`."),
    ("data_and_machine", (0, 0), "machine, the versions and the commit are the same."),
    ("data_and_machine", (1, 0), "The data is **not** the same; machine, threads"),
    (
        "data_and_machine",
        (0, 2),
        "The data is the same; of machine, threads, versions and commit 2",
    ),
    ("data_and_machine", (0, 1), "1 entry differs."),
    ("labels_of_some", (("A",), ["x_y"], 3), "Run A alone has x\\_y."),
    ("labels_of_some", (("A", "B"), list("vwxyz"), 3), "Runs A and B alone have v, w and x and 2"),
    ("incomparable", ("B", "A", "labels"), "of runs B and A: they have no training of the same"),
    ("incomparable", ("B", "A", "rows"), "they were measured on different rows."),
    ("incomparable", ("B", "A", "quantity"), "the one was measured on test rows"),
    ("rule_of_runs", (), "without two seeds in common nothing is said"),
    ("differences_of_runs", ([ALONE], "test accuracy"), "those of these trainings alone."),
    ("differences_of_runs", ([UNSURE, ALONE], "loss"), "is shown: the one interval contains 0."),
    (
        "differences_of_runs",
        ([MORE, LESS, UNSURE, ALONE], "loss"),
        "Of 3 differences of the final loss that have an interval 2 are shown: SGD with NumPy is "
        "higher in run B than in run A, by 0.2000; Adam with PyTorch is lower in run C than in run "
        "A, by 0.2000.",
    ),
    ("parity_of_runs", ([a_run("A", 3, []), a_run("B", 4, [])],), "all 7 comparisons are within"),
    ("parity_of_runs", ([a_run("A", 3, []), a_run("B", 4, [1])],), "Comparisons fail in run B:"),
    ("parity_of_runs", ([a_run("A", 0, []), a_run("B", 0, [])],), "was compared in runs A and B."),
    ("times_of_runs", ([],), "The runs name the same machine and threads."),
    ("times_of_runs", (["cores"],), "**The times of different runs are not comparable**: cores is"),
]


COMPOSED = {
    *("agreement", "all_trainings", "equality_of_all", "in_short", "parity_of_others", "ranking"),
    *("speed_of", "what_went_wrong", "shown_trainings"),
}
"""Paragraphs of the sentences above; test_sections.py reads them in reports."""


@pytest.mark.parametrize(("name", "arguments", "expected"), CASES)
def test_a_sentence_says_what_its_numbers_say(name: str, arguments: tuple, expected: str) -> None:
    sentence = getattr(say, name)(*arguments)
    assert expected in sentence if expected else sentence == ""
    assert "nan" not in sentence.split()
    assert not re.search(r" [.,;:)]|\( |\.\.$", sentence)


def test_every_sentence_has_cases() -> None:
    text = "".join((TEMPLATES / file).read_text(encoding="utf-8") for file in SENTENCES)
    named = {name for name in re.findall(r"macro (\w+)\(", text) if not name.startswith("_")}
    assert named == {name for name, _, _ in CASES} | COMPOSED
    single = {
        "nothing_timed",
        "nearest_pass",
        "rule_of_runs",
        "what_humps_are",
        "caption_of_nearest",
    }
    for name in named - single - COMPOSED:
        found = {getattr(say, name)(*arguments) for other, arguments, _ in CASES if other == name}
        assert len(found) > 1, f"{name} says the same whatever its numbers"


def test_a_sentence_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(AttributeError):
        say.something_else(1)


def test_text_of_a_record_is_no_markup_in_a_sentence() -> None:
    assert "\\*so\\*" in say.failed_training("*so*", 0, "an error")
    assert "\\*so\\*" in say.failed_training("SGD", 0, "*so*")
    assert "\\<b\\>" in say.over_seeds("accuracy", "<b>", "NumPy", [0.5, 0.5])
    assert "\\_" in say.confusion("NumPy", 1, 2, [("a_b", "c", 1)])
