"""Both backends trained on the same batches in the same order, and certified on the way.

Between two steps at which something is compared, each backend makes a stretch of steps by itself:
it then finds its own weights in the caches of the processor and not those of the other. Within
a stretch neither has anything of the other's but the batches and the masks of dropout.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from compare.analysis.timings import STRETCH
from compare.backends import Backend, RecordedStep
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays
from compare.backends.torch_backend import TorchBackend
from compare.parity.certificate import certify
from compare.parity.comparison import Comparison, Follower, References, compare_initial
from compare.parity.evaluation import EVALUATION_ROWS, FEW_EVALUATION_ROWS, certify_evaluation
from compare.parity.plan import plan_explanation, plan_replicas, plan_steps, work_of
from compare.records.run import FailureRecord, NamedMistake, TrainingRecord
from compare.records.tables import GradientRow, HistoryRow, ParityRow, TimingRow, TrainingLog
from compare.spec.experiment import Configuration, Experiment
from compare.spec.model import ModelSpec
from compare.training.checkpoints import Checkpoints
from compare.training.data import Rows, Splits
from compare.training.drift import (
    LARGE,
    Distance,
    distance_parts,
    first_step,
    sides_apart,
)
from compare.training.replicas import Replicas
from compare.training.schedule import (
    Hyperparameters,
    Schedule,
    ScheduleComparison,
    hyperparameters,
    scheduler_position,
    set_hyperparameters,
    set_scheduler_position,
)

EVALUATED_ROWS = 10_000
"""Of a larger training set the first so many rows are evaluated, and all at the end."""


class Observer(Protocol):
    """Follows a run as it goes on, to show its progress.

    Of a training that is performed in another process it is told when that is finished: that it
    begins, its last evaluations, and that it ends.
    """

    def expect(self, finished: int, trainings: int) -> None:
        """The run has so many trainings, of which so many were finished before."""

    def begin(self, label: str, seed: int, steps: int) -> None:
        """A training of so many steps begins."""

    def going_on(self, trainings: float) -> None:
        """Other processes have made so much of the trainings that go on: 1.5 are three halves."""

    def step(self, backend: str, step: int, loss: float, accuracy: float) -> None:
        """A backend has made a step; loss and accuracy are those of the batch."""

    def epoch(self, backend: str, epoch: int, split: str, loss: float, accuracy: float) -> None:
        """A backend has been evaluated."""

    def end(self, training: TrainingRecord) -> None:
        """The training has ended."""

    def failed(self, failure: FailureRecord) -> None:
        """A training has ended in an error."""


Batch = tuple[int, np.ndarray]
"""The number of a step, from 0, and the rows that it is made with."""


class StepResult(NamedTuple):
    """What a step of one backend leaves behind.

    Attributes:
        history: Its loss and accuracy.
        gradients: The lengths of its gradients, where they are recorded.
        masks: What its dropouts kept.
        seconds: Its time; None where it was recorded for the certificate.
        scheduled: The hyperparameters that the schedule set after it; None where it set none.
    """

    history: list[HistoryRow]
    gradients: list[GradientRow]
    masks: Arrays
    seconds: float | None
    scheduled: Hyperparameters | None


def batches(order: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """Cut an order of rows into batches; the last one holds what is left."""
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def total_steps(experiment: Experiment, rows: int, max_steps: int | None) -> int:
    """The number of updates of one training."""
    training = experiment.training
    steps = training.epochs * -(-rows // training.batch_size)
    return min(n for n in (steps, training.steps, max_steps) if n is not None)


def printed_modules(model: Any) -> dict[str, str]:
    """Name → how a module prints itself, for the modules that hold no others."""
    named = dict(model.named_modules())
    holders = {name.rpartition(".")[0] for name in named if name}
    return {name: repr(module) for name, module in named.items() if name not in holders}


class LockStep:
    """One training, NumPy and PyTorch side by side.

    Args:
        configuration: The configuration to train.
        model_spec: Its network, loss and optimizer.
        seed: Where both generators start.
        splits: The data, laid out for the network.
        log: Where rows, weights and predictions go.
        observer: Is told of the progress.
        max_steps: Stop after so many updates.
        checkpoints: Where the state is kept now and then; None to keep none.
    """

    def __init__(
        self,
        configuration: Configuration,
        model_spec: ModelSpec,
        seed: int,
        splits: Splits,
        log: TrainingLog,
        observer: Observer,
        max_steps: int | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        experiment, label = configuration.experiment, configuration.label
        self.experiment, self.label, self.seed = experiment, label, seed
        self.splits, self.log, self.observer = splits, log, observer
        self._checkpoints = checkpoints
        self._restored: dict[str, Any] | None = None
        self.target_type = model_spec.target_type
        dtype = experiment.training.dtype
        # The references draw weights of their own, so they are built before the generators start.
        self.references = References.build(model_spec)
        self.steps = total_steps(experiment, len(splits.train.targets), max_steps)
        parity = experiment.parity
        work = work_of(self.references.torch64, splits.train.inputs[:2])
        batch_size = min(experiment.training.batch_size, len(splits.train.targets))
        self._plan = plan_steps(parity, work, batch_size, self.steps)
        planned = plan_replicas(parity, self.steps)
        self._explanation = plan_explanation(batch_size, self.steps)
        self.schedule = Schedule(model_spec, experiment.training, len(splits.train.targets))
        self.replicas = Replicas(
            model_spec,
            planned.count,
            planned.steps,
            dtype,
            seed,
            self.schedule,
        )
        self.numpy: Backend = NumpyBackend(model_spec, dtype, seed)
        self.torch: Backend = TorchBackend(model_spec, dtype, seed)
        self.backends = (self.numpy, self.torch)
        initial, rows = compare_initial(self.numpy, self.torch, label, seed)
        self._evaluated_rows = experiment.training.evaluate_rows
        self._diverged = False
        self._follower = Follower()
        self._turns = 0
        self._test_outputs: dict[str, np.ndarray] = {}
        self.record = TrainingRecord(
            label=label,
            variant=configuration.variant,
            seed=seed,
            finished=False,
            steps=0,
            parameters=len(self.numpy.weights()),
            parity_rows=0,
            initial=initial,
            kinks=[],
            planned=self._plan.record,
            replicas=planned,
            evaluated=self._share_of_training_set(),
            modules=printed_modules(self.numpy.model),
            wall_s=0.0,
        )
        drawn = any(printed.startswith("Dropout") for printed in self.record.modules.values())
        replays = experiment.training.schedule is None and not drawn
        self._distance = Distance(self.steps, self.record.parameters, replays)
        self._early = Distance(self.steps, self.record.parameters, replays, self.replicas.measured)
        self._add_parity(rows)
        self._schedulers = {b.name: self.schedule.scheduler(b) for b in self.backends}
        self._compared_schedules = ScheduleComparison(label, seed)
        self._scheduled: Hyperparameters | None = None
        if experiment.training.schedule is not None:
            self._scheduled = hyperparameters(self.numpy)
            self._compare_schedules(0, self._scheduled, hyperparameters(self.torch))

    def train(self) -> Iterator[None]:
        """Train to the end, pausing after each epoch so that the caller can save the records.

        After :meth:`restore`, from there on.
        """
        started = time.perf_counter() - self.record.wall_s
        processor = time.process_time() - (self.record.cpu_s or 0.0)

        def measure_time() -> None:
            self.record.wall_s = time.perf_counter() - started
            self.record.cpu_s = time.process_time() - processor

        training = self.experiment.training
        splits = self.splits.map(
            lambda rows: Rows(rows.inputs, self.target_type.targets(rows.targets))
        )
        held = {
            backend.name: {name: backend.rows(*rows) for name, rows in splits.named().items()}
            for backend in self.backends
        }
        self.replicas.start(self.torch.state(), held["torch"]["train"])
        self.observer.begin(self.label, self.seed, self.steps)
        step, first, order = self.record.steps, 1, None
        if self._restored is None:
            self._distance.begin(self.numpy, self.torch)
            self._evaluate(0, held)
        else:
            first, order = self._restored["epoch"], self._restored["order"]
            self.replicas.restore(self._restored["replicas"])
            for backend in self.backends:
                backend.set_generator(self._restored["generators"][backend.name])
            self._restored = None
        if self._checkpoints is not None:
            self._checkpoints.begin(self.record.parameters)
        for epoch in range(first, training.epochs + 1):
            if order is None:
                order = self._order(step)
            begun = (epoch - 1) * -(-len(order) // training.batch_size)
            cut = islice(batches(order, training.batch_size), step - begun, self.steps - begun)
            for stretch in self._stretches(enumerate(cut, step)):
                self._advance(epoch, stretch, held)
                step = self.record.steps = stretch[-1][0] + 1
                if self._checkpoints is not None and self._checkpoints.due():
                    measure_time()
                    self._checkpoints.write(step, self.snapshot(epoch, order))
            order = None
            measure_time()
            last = step == self.steps or epoch == training.epochs
            if last or epoch % training.evaluate_every == 0:
                self._evaluate(epoch, held, last)
            yield
            if step == self.steps:
                break
        self._keep_results()
        self._certify_evaluation(splits)
        self._explain(held)
        self.record.finished = True
        measure_time()
        self.observer.end(self.record)

    def _order(self, step: int) -> np.ndarray:
        """The order of the rows in the epoch that begins."""
        order = self.numpy.permutation(len(self.splits.train.targets))
        # Masks are drawn by NumPy alone; from the first on, its generator goes its own way.
        alike = self.numpy.masks() or np.array_equal(order, self.torch.permutation(len(order)))
        if not alike:
            self._shuffles_differ(step)
        return order

    def snapshot(self, epoch: int, order: np.ndarray) -> dict[str, Any]:
        """All that the rest of the training depends on, between two of its stretches.

        Args:
            epoch: The epoch that goes on.
            order: The order of its rows.
        """
        return {
            "record": self.record.model_dump_json(),
            "log": {
                name: np.frombuffer(text.encode(), np.uint8)
                for name, text in self.log.texts().items()
            },
            "epoch": epoch,
            "order": order,
            "turns": self._turns,
            "diverged": self._diverged,
            "scheduled": self._scheduled,
            "schedulers": {
                name: None if scheduler is None else scheduler_position(scheduler)
                for name, scheduler in self._schedulers.items()
            },
            "compared_schedules": self._compared_schedules.snapshot(),
            "follower": self._follower.snapshot(),
            "distance": self._distance.snapshot(),
            "early": self._early.snapshot(),
            "replicas": self.replicas.snapshot(self.record.steps),
            "backends": {backend.name: backend.snapshot() for backend in self.backends},
            "generators": {backend.name: backend.generator() for backend in self.backends},
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot of the same training, before :meth:`train` is called.

        Raises:
            Exception: It is no such snapshot; this object is then of no further use.
        """
        self.record = TrainingRecord.model_validate_json(snapshot["record"])
        self.log.restore({name: text.tobytes().decode() for name, text in snapshot["log"].items()})
        self._turns, self._diverged = snapshot["turns"], snapshot["diverged"]
        for backend in self.backends:
            backend.restore(snapshot["backends"][backend.name])
            position = snapshot["schedulers"][backend.name]
            if position is not None:
                set_scheduler_position(self._schedulers[backend.name], position)
        self._scheduled = None if snapshot["scheduled"] is None else hyperparameters(self.numpy)
        self._compared_schedules.restore(snapshot["compared_schedules"])
        self._follower.restore(snapshot["follower"])
        self._distance.restore(snapshot["distance"])
        self._early.restore(snapshot["early"])
        self._restored = {
            name: snapshot[name] for name in ("epoch", "order", "replicas", "generators")
        }

    def _certified(self, step: int) -> bool:
        return step in self._plan.steps

    def _stretches(self, steps: Iterable[Batch]) -> Iterator[list[Batch]]:
        """Cut steps where something is compared: a certified step is a stretch of its own."""
        stretch: list[Batch] = []
        for step, indices in steps:
            certified = self._certified(step)
            if stretch and (certified or len(stretch) == STRETCH):
                yield stretch
                stretch = []
            stretch.append((step, indices))
            if certified or self.replicas.measured(step) or self._distance.measured(step):
                yield stretch
                stretch = []
        if stretch:
            yield stretch

    def _advance(self, epoch: int, stretch: list[Batch], held: dict[str, Any]) -> None:
        """Make the steps of a stretch on both backends."""
        # Backends take turns at going first. A network with dropout has NumPy go first, and both
        # use the masks that it draws.
        swapped = self._turns % 2 and not self.numpy.masks()
        self._turns += 1
        results: dict[str, list[StepResult]] = {}
        for backend in self.backends[::-1] if swapped else self.backends:
            results[backend.name] = []
            for place, (step, indices) in enumerate(stretch):
                if backend is self.torch and not swapped:
                    backend.give_masks(results["numpy"][place].masks)
                result = self._step(backend, epoch, step, indices, held)
                results[backend.name].append(result)
        for (step, _), numpy, torch in zip(
            stretch, results["numpy"], results["torch"], strict=True
        ):
            self.log.add("history", *numpy.history, *torch.history)
            self.log.add("gradients", *numpy.gradients, *torch.gradients)
            if numpy.seconds is not None and torch.seconds is not None:
                row = TimingRow(self.label, self.seed, step, numpy.seconds, torch.seconds)
                self.log.add("timing", row)
            if numpy.scheduled is not None and torch.scheduled is not None:
                self._compare_schedules(step + 1, numpy.scheduled, torch.scheduled)
        masks = [numpy.masks for numpy in results["numpy"]]
        self.log.add(
            "drift",
            *self.replicas.follow(self.label, stretch, masks, self.numpy, self.torch),
            *self._distance.follow(self.label, self.seed, stretch, self.numpy, self.torch),
        )
        reference = self.replicas.reference
        if reference is not None and stretch[-1][0] < self.replicas.steps:
            if stretch[-1][0] == 0:
                modules = self.record.modules
                self.record.first_step = first_step(self.numpy, reference, modules)
            self._early.follow(self.label, self.seed, stretch, self.numpy, reference)

    def _step(
        self, backend: Backend, epoch: int, step: int, indices: np.ndarray, held: dict[str, Any]
    ) -> StepResult:
        """Make a step on one backend; certify NumPy's where the experiment says so."""
        seconds = None
        batch = backend.batch(held[backend.name]["train"], indices)
        if backend is self.numpy and self._certified(step):
            if self._scheduled is not None:
                set_hyperparameters(self.references, self._scheduled)
            recorded = backend.record_step(batch)
            loss, logits = float(recorded.calls[-1].output), recorded.calls[-1].input
            self._follower.step = step
            comparisons, kinks = certify(
                recorded, self.references, seed=step, follower=self._follower
            )
            self.record.followed = self._follower.found
            self._add_parity(
                [ParityRow(self.label, self.seed, step, *c, passed=c.passed) for c in comparisons]
            )
            self.record.kinks.append(kinks.model_copy(update={"step": step}))
            self._diagnose(recorded, comparisons)
        else:
            begun = time.perf_counter()
            loss, logits = backend.train_step(batch)
            seconds = time.perf_counter() - begun
        scheduled = None
        if self.schedule.due(step):
            self._schedulers[backend.name].step()
            scheduled = hyperparameters(backend)
            if backend is self.numpy:
                self._scheduled = scheduled
        targets = self.splits.train.targets[indices]
        accuracy = float(np.mean(self.target_type.predicted_classes(logits) == targets))
        self.observer.step(backend.name, step + 1, loss, accuracy)
        return StepResult(
            self._history(backend.name, epoch, step, "step", "train", loss, accuracy),
            self._gradients(backend, step) if self.experiment.training.gradient_norms else [],
            backend.masks(),
            seconds,
            scheduled,
        )

    def _compare_schedules(self, step: int, numpy: Hyperparameters, torch: Hyperparameters) -> None:
        """Compare what both schedules have set for a step and those after it."""
        self._add_parity(self._compared_schedules.rows(step, numpy, torch))

    def _diagnose(self, recorded: RecordedStep, comparisons: list[Comparison]) -> None:
        """Name the mistake behind the first divergence of the run."""
        failure = next((c for c in comparisons if not c.passed), None)
        if failure is None or self._diverged:
            return
        self._diverged = True
        # Loaded where something differs, which is seldom.
        from compare.mistakes.search import diagnose_step

        found = diagnose_step(recorded, self.references, failure)
        if found is not None:
            self.record.mistake = NamedMistake(
                site=failure.site, code=found.code, explanation=found.explanation
            )

    def _gradients(self, backend: Backend, step: int) -> list[GradientRow]:
        return [
            GradientRow(backend.name, self.label, self.seed, step, name, norm)
            for name, norm in backend.gradient_norms().items()
        ]

    def _share_of_training_set(self) -> int | None:
        """So many of its first rows are evaluated before the end; None for all that are asked."""
        large = len(self.splits.train.targets) > EVALUATED_ROWS
        return EVALUATED_ROWS if large and self._evaluated_rows is None else None

    def _evaluate(self, epoch: int, held: dict[str, Any], last: bool = False) -> None:
        for backend in self.backends:
            for split, rows in self.splits.named().items():
                first = self._evaluated_rows
                if split == "train" and not last and self.record.evaluated is not None:
                    first = self.record.evaluated
                result = backend.evaluate(held[backend.name][split], first)
                predicted = self.target_type.predicted_classes(result.outputs)
                accuracy = float(np.mean(predicted == rows.targets[: len(predicted)]))
                self.log.add(
                    "history",
                    *self._history(
                        backend.name,
                        epoch,
                        self.record.steps,
                        "evaluation",
                        split,
                        result.loss,
                        accuracy,
                    ),
                )
                self.observer.epoch(backend.name, epoch, split, result.loss, accuracy)
                if last and split == "test":
                    self._test_outputs[backend.name] = result.outputs

    def _keep_results(self) -> None:
        """Keep the weights and what the last evaluation said of the test rows."""
        for backend in self.backends:
            self.log.weights[backend.name] = backend.state().model
            outputs = self._test_outputs.get(backend.name)
            if outputs is not None:
                predicted = self.target_type.predicted_classes(outputs).astype(np.int32)
                self.log.predictions[backend.name] = predicted
                confidences = self.target_type.confidences
                if confidences is not None:
                    self.log.confidences[backend.name] = confidences(outputs).astype(np.float32)

    def _certify_evaluation(self, splits: Splits) -> None:
        """Judge the network in evaluation mode as it is at the end, on test rows if there are."""
        rows = splits.train if splits.test is None else splits.test
        most = EVALUATION_ROWS if self.record.parameters <= LARGE else FEW_EVALUATION_ROWS
        inputs, targets = rows.inputs[:most], rows.targets[:most]
        calls = self.numpy.record_evaluation(inputs, targets)
        state, step = self.numpy.state(), self.record.steps
        found = certify_evaluation(calls, state, inputs, targets, self.references, seed=step)
        self._add_parity(
            [ParityRow(self.label, self.seed, step, *c, passed=c.passed) for c in found]
        )
        self.record.evaluation_rows = len(targets)

    def _explain(self, held: dict[str, Any]) -> None:
        """Look at what lies apart, and put the backends back into their states."""
        states = self.numpy.state(), self.torch.state()
        if self.record.parameters <= LARGE:
            test = None
            if self.splits.test is not None:
                test = {name: rows["test"] for name, rows in held.items()}
            rows = min(self._explanation.rows, self._evaluated_rows or self._explanation.rows)
            if self.splits.test is not None:
                inputs = self.splits.test.inputs[:rows]
                self.record.sides = sides_apart(self.numpy, self.torch, inputs)
            self.record.parts = distance_parts(
                self.numpy, self.torch, self.record.modules, test, rows
            )
        replayed: float = self._distance.explain(
            self.numpy, self.torch, held, self._explanation.replayed
        )
        self.record.growth = self._distance.growth
        if self.replicas.reference is not None:
            most = self._explanation.early(replayed)
            early = self._early.explain(self.numpy, self.replicas.reference, held, most)
            replayed += self._explanation.both(early)
            self.record.early_growth = self._early.growth
        most = self._explanation.handed(replayed)
        handover = self._distance.hand_over(self.numpy, self.torch, held, most)
        if handover is not None:
            replayed += 1.5 * (handover.last - handover.first)
        self.record.handover = handover
        if self.record.growth is None:
            most = self._explanation.replayed - replayed
            self.record.opening = self._distance.open(
                self.numpy, self.torch, held, self.record.modules, most
            )
        self.numpy.load(states[0])
        self.torch.load(states[1])

    def _shuffles_differ(self, step: int) -> None:
        infinite = float("inf")
        row = ParityRow(
            self.label, self.seed, step, self.numpy.dtype, "shuffle", infinite, infinite, 0.0, False
        )
        self._add_parity([row])

    def _history(
        self,
        backend: str,
        epoch: int,
        step: int,
        phase: Literal["step", "evaluation"],
        split: str,
        loss: float,
        accuracy: float,
    ) -> list[HistoryRow]:
        return [
            HistoryRow(
                backend, self.label, self.seed, epoch, step, phase, split, metric, float(value)
            )
            for metric, value in (("loss", loss), ("accuracy", accuracy))
        ]

    def _add_parity(self, rows: list[ParityRow]) -> None:
        self.log.add("parity", *rows)
        self.record.parity_rows += len(rows)
