"""Evaluating a homework of layer classes: each layer runs alone, with right inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

import numpy_nn
from compare.backends.protocol import Arrays
from compare.check.contract import LOSS_CLASSES, ArrayLayout, Contract, ReturnValueError
from compare.check.dropout_layers import dropout_inputs, dropout_mask
from compare.check.filled_network import gradient_paths
from compare.check.function_evaluation import NoResultError, not_for_this_size
from compare.check.layer_classes import FLATTEN, USUAL_ATTRIBUTES
from compare.check.result import Observed, add_notes
from compare.check.return_values import CallResult, ReturnValue
from compare.check.sandbox import HomeworkHandle, ProcessEndedError
from compare.check.torch_loss import TorchLoss
from compare.mistakes.case import Case
from compare.parity.tolerances import UNCHANGED, UNCHANGED_NEAR_ZERO
from experiments.errors import InputError

# Modules that a list of layers may leave out, for they have no parameters and only reshape or
# pass on, and the part of a class name that shows that the list does contain one.
OPTIONAL = {"Flatten": "flat", "Identity": "ident", "Dropout": "drop"}
WITH_PARAMETERS = ("Linear", "Conv", "BatchNorm", "LayerNorm", "Embedding", "RNN", "LSTM", "GRU")
# Modules behind the logits. Where the network has none, such a layer belongs to the loss.
OUTPUT_MODULES = ("Softmax", "LogSoftmax", "Sigmoid")


@dataclass(frozen=True)
class LayerMatch:
    """A layer of the homework, by its position, and the modules of the network that it matches."""

    index: int
    modules: tuple[str, ...]


@dataclass
class LayerEvaluation:
    """Evaluates the layer classes of one homework.

    Attributes:
        places: Quantity → the class, method and line that give it; as empty as that.
        quantities: The quantities that its layers should give, in order; empty before
            :meth:`evaluate` and where ``network`` failed.
        faults: Sentences about steps that do not repeat.
        left_out: Sentences about what is not compared.

    Args:
        homework: The homework, in this process or its own.
        contract: Its conventions.
        layouts: The layouts of its arrays.
        trainable: The reference's keys of parameters, without buffers.
        leaves: Name and class of the network's modules, in order.
    """

    homework: HomeworkHandle
    contract: Contract
    layouts: Sequence[ArrayLayout]
    trainable: frozenset[str]
    leaves: list[tuple[str, str]]
    quantities: dict[str, None] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Whether backward changes the parameters, so that a second step is another one.
        self._updating = any(path.startswith("-") for path in self.contract.attributes.values())
        # Layers whose argument of an unknown name means the opposite of what its default suggests.
        self._flipped: list[int] = []
        self._modes_chosen = False

    def evaluate(self, cases: Sequence[Case]) -> list[Observed]:
        """The homework's values for each case; fewer than cases if its process ended."""
        found: list[Observed] = []
        for case in cases:
            observed = Observed()
            found.append(observed)
            try:
                self._evaluate(case, observed)
            except (NoResultError, ReturnValueError, InputError) as error:
                if case.other_size:
                    observed.notes.append(not_for_this_size(case, str(error)))
                    observed.values.clear()
                else:
                    observed.problem = str(error)
            except ProcessEndedError as error:
                observed.problem = str(error)
                return found
        return found

    def evaluate_network(
        self, cases: Sequence[Case], loss: str | TorchLoss
    ) -> tuple[list[Case], list[Observed]]:
        """The gradients of the whole network: forward, loss and backward through all layers.

        The layers of one network object get batches of two sizes, and the first of them twice: so
        what a layer keeps or changes in place, or adds up from step to step, shows.

        Args:
            cases: Those of functions.
            loss: A key of ``LOSS_CLASSES``, or an instructor's.

        Returns:
            The cases, with quantities such as ``gradient/network/0.weight``, and the homework's
            values for each; none of it if a layer cannot be run, or forward only.
        """
        alone = self.contract.batches.one_sample
        several = [c for c in cases if (len(c.inputs) > 1 or alone) and not c.other_size]
        found: list[Observed] = []
        parameters = None
        for case in several:
            observed = Observed()
            found.append(observed)
            try:
                is_new = case.parameters is not parameters or self._updating
                if is_new:
                    network, matches = self._build(case)
                    if network["forward_only"]:
                        return [], []
                    parameters = case.parameters
                observed.values = self._network_step(case, network, matches, loss, observed)
                if is_new and not self._updating:
                    first = observed.values
                    observed.values = self._network_step(case, network, matches, loss, observed)
                    self._compare_steps(first, observed.values)
            except (NoResultError, ReturnValueError, InputError, ProcessEndedError) as error:
                observed.problem = f"{str(error).rstrip('.')} (with {len(case.inputs)} rows)."
                break
        return [network_case(case) for case in several[: len(found)]], found

    def _compare_steps(self, first: Arrays, second: Arrays) -> None:
        """Whether the second of two equal steps gave the same."""

        def same(a: np.ndarray, b: np.ndarray) -> bool:
            return np.allclose(a, b, rtol=UNCHANGED, atol=UNCHANGED_NEAR_ZERO)

        keys = [key for key in first if not same(first[key], second[key])]
        if not keys:
            return
        twice = all(same(2 * first[key], second[key]) for key in keys)
        names = ", ".join(key.removeprefix("gradient/network/") for key in keys[:3])
        add_notes(
            self.faults,
            [
                f"A second step with the same batch gave twice the gradient of {names}: it was "
                "added to that of the first. Assign it, or give the network or its layers a "
                "method zero_grad(), which is called before each step; the second answer counts."
                if twice
                else f"A second step with the same batch gave another {names}: something is kept "
                "from step to step, or changed in place; the second answer counts."
            ],
        )

    def _network_step(
        self,
        case: Case,
        network: dict[str, Any],
        matches: list[LayerMatch],
        loss: str | TorchLoss,
        observed: Observed,
    ) -> Arrays:
        layouts = {layout.key: layout for layout in self.layouts}
        gradients = {
            str(match.index): {
                key: self._attributes(layouts[key])
                for key in layouts
                if key.rpartition(".")[0] in match.modules and key in self.trainable
            }
            for match in matches
        }
        batches = self.contract.batches
        logits = case.expected["logits"]
        arrays = {"x": batches.to_homework(case.inputs)}
        if network["loss"] is None:
            arrays["grad_logits"] = batches.to_homework(_gradient_of_logits(case, loss))
        else:
            arrays["y"] = batches.labels_to_homework(case.targets, logits.shape[-1])
        result = self._request(
            "network_step",
            arrays,
            "the whole network",
            order=self._order(matches),
            gradients=gradients,
            axis=batches.axis,
        )
        add_notes(observed.notes, [f"the whole network, {w}" for w in result.warnings])
        found: Arrays = {}
        for key, value in result.value.items.items():
            array = _array(value, key)
            if key == "loss":
                if array.size == 1:
                    found["loss/network"] = np.array(float(array.reshape(())))
                continue
            name = key.removeprefix("gradient ")
            found[f"gradient/network/{name}"] = layouts[name].from_homework(
                array, case.parameters[name].shape, f"the gradient of {layouts[name].name!r}"
            )
        self._add_quantities(*found)
        return found

    def logits(self, case: Case) -> np.ndarray:
        """What all layers in a row give for a case.

        Raises:
            NoResultError, ReturnValueError or InputError: They cannot be built or run.
            ProcessEndedError: The process has ended.
        """
        _, matches = self._build(case)
        return self._chain(case, matches)

    def step(self, case: Case, loss: str | TorchLoss) -> tuple[Arrays, bool]:
        """Loss and gradients of the whole network for a case, and whether it has a loss layer.

        Raises:
            As :meth:`logits`.
        """
        network, matches = self._build(case)
        if network["forward_only"]:
            return {}, network["loss"] is not None
        values = self._network_step(case, network, matches, loss, Observed())
        found = {key.replace("/network", ""): value for key, value in values.items()}
        return found, network["loss"] is not None

    def _chain(self, case: Case, matches: Sequence[LayerMatch]) -> np.ndarray:
        x = {"x": self.contract.batches.to_homework(case.inputs)}
        order, axis = self._order(matches), self.contract.batches.axis
        result = self._request("chain", x, "all layers in a row", order=order, axis=axis)
        logits = _array(result.value, "the last layer")
        shape = case.expected["logits"].shape
        return self.contract.batches.from_homework(logits, shape, "the logits")

    def _build(self, case: Case) -> tuple[dict[str, Any], list[LayerMatch]]:
        """Have the homework make its network; its layers, and the modules that they match."""
        arrays = {
            f"params/{layout.name}": layout.to_homework(case.parameters[layout.key])
            for layout in self.layouts
        }
        result = self._request(
            "network",
            arrays,
            "network()" if self.contract.filled else "network(params)",
            flipped=self._flipped,
            methods=self.contract.methods,
            output_layer=not self.leaves or self.leaves[-1][1] in OUTPUT_MODULES,
        )
        network = result.details
        self._updating = self._updating or network["updating"]
        if network["left_out"]:
            add_notes(
                self.left_out,
                [
                    f"{network['left_out']} is not compared: without a loss layer nobody can say "
                    "what its backward gets."
                ],
            )
        return network, match_layers(network["names"], network["classes"], self.leaves)

    def _order(self, matches: Sequence[LayerMatch]) -> list[int]:
        """The positions of all layers but Dropout, and of a Flatten that is not among them."""
        by_module = {match.modules[0]: match.index for match in matches}
        taken = {name for match in matches for name in match.modules}
        dropouts = {match.index for match in matches if self._is_dropout(match)}
        order = []
        for name, kind in self.leaves:
            if name in by_module and by_module[name] not in dropouts:
                order.append(by_module[name])
            elif name not in taken and kind.startswith("Flatten"):
                order.append(FLATTEN)
        return order

    def _is_dropout(self, match: LayerMatch) -> bool:
        classes = dict(self.leaves)
        return all(classes[name].startswith("Dropout") for name in match.modules)

    def _choose_modes(
        self, network: dict[str, Any], matches: Sequence[LayerMatch], case: Case
    ) -> None:
        """Find out what an argument with the default True or False means, if its name does not say.

        A BatchNorm is run with both values, and what is nearer to training mode means training; of
        a Dropout, the value with which it leaves out more.
        """
        classes = dict(self.leaves)
        for match in matches:
            kind = classes[match.modules[0]]
            if match.index not in network["unknown_switches"] or not kind.startswith(
                ("BatchNorm", "Dropout")
            ):
                continue
            expected = case.expected[f"activation/{match.modules[-1]}"]
            x = case.given[f"input/{match.modules[0]}"]
            distances = []
            for flipped in (self._flipped, [*self._flipped, match.index]):
                before, self._flipped = self._flipped, flipped
                self._build(case)
                self._flipped = before
                arrays = {"x": self.contract.batches.to_homework(x)}
                result = self._request("chain", arrays, "a layer", order=[match.index])
                output = self.contract.batches.from_homework(
                    _array(result.value, "a layer"), expected.shape, "its output"
                )
                if kind.startswith("Dropout"):
                    distances.append(-float(np.mean(output != x)))
                else:
                    distances.append(float(np.abs(output - expected).max()))
            if distances[1] < distances[0]:
                self._flipped = [*self._flipped, match.index]

    def _evaluate(self, case: Case, observed: Observed) -> None:
        network, matches = self._build(case)
        merged = any(len(match.modules) > 1 for match in matches)
        if merged and not case.given["chained"]:
            return
        if not self._modes_chosen:
            self._choose_modes(network, matches, case)
            self._modes_chosen = True
            network, matches = self._build(case)
        problems: list[str] = []
        self._remember_places(network, matches)
        classes = dict(self.leaves)
        dropouts = [match for match in matches if self._is_dropout(match)]
        for match in matches:
            own_class = network["classes"][match.index]
            try:
                if match not in dropouts:
                    backward = match.index not in network["forward_only"]
                    self._evaluate_layer(match, own_class, case, observed, backward)
                elif [classes[name] for name in match.modules] == ["Dropout"]:
                    self._evaluate_dropout(match, own_class, case, observed)
            except (NoResultError, ReturnValueError) as error:
                problems.append(str(error))
        if network["loss"] is not None:
            self._add_quantities("loss", "gradient/logits")
        self._add_quantities("logits")
        if problems:
            raise NoResultError(problems[0])
        if network["loss"] is not None:
            self._evaluate_loss(case, observed, network["loss"])
        self._build(case)  # with its first running statistics
        observed.values["logits"] = self._chain(case, matches)

    def _remember_places(self, network: dict[str, Any], matches: Sequence[LayerMatch]) -> None:
        """Quantity → class, method and line of the homework that give it."""
        if self.places:
            return
        own = {layout.key: layout.name for layout in self.layouts if layout.name != layout.key}

        def place(index: int, own_class: str, method: str) -> str:
            line = network["places"][index][method]
            return f"{own_class}.{method}{', ' if line else ''}{line}"

        for match in matches:
            own_class = network["classes"][match.index]
            forward = place(match.index, own_class, "forward")
            backward = place(match.index, own_class, "backward")
            self.places[f"activation/{match.modules[-1]}"] = forward
            self.places[f"gradient/{match.modules[0]}.input"] = backward
            for layout in self.layouts:
                if layout.key.rpartition(".")[0] not in match.modules:
                    continue
                name = f", for {own[layout.key]!r}" if layout.key in own else ""
                trainable = layout.key in self.trainable
                where = f"{backward if trainable else forward}{name}"
                self.places[f"{'gradient' if trainable else 'buffer'}/{layout.key}"] = where
        if network["loss"] is not None:
            self.places["loss"] = place(-1, network["loss"], "forward")
            self.places["gradient/logits"] = place(-1, network["loss"], "backward")

    def _evaluate_layer(
        self, match: LayerMatch, own_class: str, case: Case, observed: Observed, backward: bool
    ) -> None:
        first, last = match.modules[0], match.modules[-1]
        layouts = {layout.key: layout for layout in self.layouts}
        keys = [key for key in layouts if key.rpartition(".")[0] in match.modules]
        gradients = {k: self._attributes(layouts[k]) for k in keys if k in self.trainable}
        buffers = {
            k: self._attributes(layouts[k])
            for k in keys
            if k not in self.trainable and f"buffer/{k}" in case.expected
        }
        self._add_quantities(
            f"activation/{last}",
            *(f"buffer/{key}" for key in buffers),
        )
        if backward:
            self._add_quantities(*(f"gradient/{key}" for key in gradients))
            if f"gradient/{first}.input" in case.expected:
                self._add_quantities(f"gradient/{first}.input")
        batches = self.contract.batches
        arrays = {
            "x": batches.to_homework(case.given[f"input/{first}"]),
            "dy": batches.to_homework(case.given[f"grad_output/{last}"]),
            **{k: layouts[k].to_homework(case.parameters[k]) for k in buffers},
        }
        layer = f"{own_class} ({', '.join(match.modules)})"
        result = self._request(
            "layer", arrays, layer, index=match.index, gradients=gradients, buffers=buffers
        )
        items = result.value.items
        output = _array(items["output"], f"forward of {layer}")
        shape = case.expected[f"activation/{last}"].shape
        values = observed.values
        values[f"activation/{last}"] = batches.from_homework(
            output, shape, f"the output of {layer}"
        )
        for key in buffers:
            if f"buffer {key}" in items:
                buffer = _array(items[f"buffer {key}"], key)
                shape = case.expected[f"buffer/{key}"].shape
                values[f"buffer/{key}"] = layouts[key].from_homework(
                    buffer, shape, f"{key} of {layer}"
                )
        add_notes(observed.notes, [f"{layer}, {warning}" for warning in result.warnings])
        if not backward:
            return
        for key in gradients:
            gradient = _array(items[f"gradient {key}"], f"the gradient of {key}")
            shape = case.parameters[key].shape
            values[f"gradient/{key}"] = layouts[key].from_homework(
                gradient, shape, f"the gradient of {layouts[key].name!r} ({key}) in {layer}"
            )
        if f"gradient/{first}.input" not in case.expected:
            return  # its inputs are tokens
        grad_input = _array(items["grad_input"], f"backward of {layer}")
        shape = case.expected[f"gradient/{first}.input"].shape
        values[f"gradient/{first}.input"] = batches.from_homework(
            grad_input, shape, f"what backward of {layer} returned"
        )

    def _evaluate_dropout(
        self, match: LayerMatch, own_class: str, case: Case, observed: Observed
    ) -> None:
        batches, (module,) = self.contract.batches, match.modules
        self._add_quantities(
            f"activation/{module}", f"activation/{module}.kept", f"gradient/{module}.input"
        )
        inputs = dropout_inputs(case, module)
        layer = f"{own_class} ({module})"
        arrays = {"x": batches.to_homework(inputs.x), "dy": batches.to_homework(inputs.dy)}
        result = self._request("dropout", arrays, layer, index=match.index)
        found = {}
        for part, value in result.value.items.items():
            method = f"{'backward' if part == 'grad_input' else 'forward'} of {layer}"
            array = _array(value, method)
            found[part] = batches.from_homework(array, inputs.x.shape, f"what {method} returned")
        mask = dropout_mask(found["output"])
        observed.values |= {
            f"activation/{module}": found["output"],
            f"activation/{module}.kept": np.array(mask.mean()),
            f"gradient/{module}.input": found["grad_input"],
        }
        if "evaluation" in found:
            self._add_quantities(f"activation/{module}.evaluation")
            observed.values[f"activation/{module}.evaluation"] = found["evaluation"]
        if 0 < mask.mean() < 1 and np.array_equal(mask, dropout_mask(found["again"])):
            sentence = f"{layer} drew the same mask twice: draw a new one at each forward."
            add_notes(observed.notes, [sentence])

    def _evaluate_loss(self, case: Case, observed: Observed, own_class: str) -> None:
        batches = self.contract.batches
        logits = case.expected["logits"]
        labels = batches.labels_to_homework(case.targets, logits.shape[-1])
        arrays = {"x": batches.to_homework(logits), "y": labels}
        items = self._request("layer_loss", arrays, own_class).value.items
        loss = _array(items["loss"], f"forward of {own_class}")
        if loss.size != 1:
            raise ReturnValueError(
                f"forward of {own_class} returned {items['loss'].in_words()}, but expected one "
                "number, the loss of the batch."
            )
        observed.values["loss"] = np.array(float(loss.reshape(())))
        gradient = _array(items["gradient"], f"backward of {own_class}")
        observed.values["gradient/logits"] = batches.from_homework(
            gradient, logits.shape, f"what backward of {own_class} returned"
        )

    def _add_quantities(self, *quantities: str) -> None:
        self.quantities.update(dict.fromkeys(quantities))

    def _attributes(self, layout: ArrayLayout) -> list[str]:
        """The attributes that may hold an array's gradient or, of a buffer, its value."""
        short = layout.key.rpartition(".")[2]
        attributes = self.contract.attributes
        for name in (layout.name, layout.key, short):
            if name in attributes:
                return [attributes[name]]
        own: list[str] = []
        updated: list[str] = []
        if self.contract.filled and layout.key in self.trainable:
            inside = re.sub(r"^.*?layers(\[[^\]]*\])+\.?", "", layout.name)
            if inside:
                own = gradient_paths(inside)
                updated = [f"-{inside}"]
        usual = USUAL_ATTRIBUTES.get(short, (f"d{layout.name}", f"d{short}", short))
        return [*own, *usual, *updated]

    def _request(
        self, action: str, arrays: dict[str, np.ndarray], description: str, **details: object
    ) -> CallResult:
        result = self.homework.request(action, arrays, description=description, **details)
        if result.problem:
            raise NoResultError(result.problem)
        return result


def network_case(case: Case) -> Case:
    """A case of functions, its quantities named as those of a whole network of layer classes."""

    def renamed(arrays: Arrays) -> Arrays:
        return {
            "loss/network" if key == "loss" else f"gradient/network/{key[9:]}": array
            for key, array in arrays.items()
            if key == "loss" or key.startswith("gradient/")
        }

    return replace(
        case,
        expected=renamed(case.expected),
        sizes=renamed(case.sizes),
        expected32=renamed(case.expected32),
        update_gradients=(),
        evaluation=None,
    )


def _gradient_of_logits(case: Case, loss: str | TorchLoss) -> np.ndarray:
    """The gradient by the logits, for a network that has no loss of its own."""
    if isinstance(loss, str):
        criterion = getattr(numpy_nn, LOSS_CLASSES[loss])()
    else:
        criterion = loss.criterion()
    criterion(case.expected["logits"], case.targets)
    return case.loss_factor * np.array(criterion.backward())


def _array(value: ReturnValue, subject: str) -> np.ndarray:
    if value.array is None:
        raise ReturnValueError(f"{subject} returned {value.in_words()}, but expected an array.")
    return value.array


def match_layers(
    names: list[str], classes: list[str], leaves: list[tuple[str, str]]
) -> list[LayerMatch]:
    """Match each layer of the homework with modules of the network.

    The keys of a dict name the modules: ``"0"``, or ``"0-1"`` for a layer that does the work of
    two. A list has one layer for each module; or for each but Flatten, Identity and Dropout; or
    for each module with parameters together with the modules that follow it.

    Args:
        names: The keys of the homework's layers, if they came in a dict.
        classes: Their classes.
        leaves: Name and class of the network's modules, in order.

    Raises:
        InputError: The layers match in none of these ways.
    """
    modules = [name for name, _ in leaves]
    explicit = [_module_range(name, modules) for name in names]
    if names and all(explicit):
        return [LayerMatch(i, tuple(found)) for i, found in enumerate(explicit) if found]
    count = len(classes)
    if count == len(leaves):
        return [LayerMatch(i, (name,)) for i, name in enumerate(modules)]
    present = " ".join(classes).lower()
    absent = tuple(module for module, part in OPTIONAL.items() if part not in present)
    needed = [name for name, module in leaves if not module.startswith(absent)]
    if count == len(needed):
        return [LayerMatch(i, (name,)) for i, name in enumerate(needed)]
    groups: list[list[str]] = []
    for name, module in leaves:
        if module.startswith(WITH_PARAMETERS) or not groups:
            groups.append([])
        groups[-1].append(name)
    if count == len(groups):
        return [LayerMatch(i, tuple(group)) for i, group in enumerate(groups)]
    listed = ", ".join(f"{name} {module}" for name, module in leaves)
    raise InputError(
        f"network(params) made {count} layers ({', '.join(classes)}), which do not fit the modules "
        f'of the network ({listed}): return a dict such as {{"0": Affine(…), "1": Relu()}}, with '
        '"0-1" for a layer that does the work of both.'
    )


def _module_range(text: str, modules: list[str]) -> list[str]:
    """The modules that a key names; none if it names none."""
    if text in modules:
        return [text]
    first, dash, last = text.partition("-")
    if dash and first in modules and last in modules:
        return modules[modules.index(first) : modules.index(last) + 1]
    return []
