"""Values compared site by site: with PyTorch's, with the referee's, within their bounds.

The starting states of both backends, which must be equal, are compared bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from compare.backends import Backend, Referee
from compare.backends.numpy_backend import NumpyBackend
from compare.backends.protocol import Arrays
from compare.parity import tolerances
from compare.parity.stages import is_backward
from compare.records.run import FollowedValue, Initial
from compare.records.tables import ParityRow
from compare.spec.model import ModelSpec

# Stands for a value that a backend lacks; nothing has its shape, so it equals nothing.
MISSING = np.empty((0,) * 9)


class Comparison(NamedTuple):
    """One site compared: what, where, how far, how far allowed."""

    dtype: str
    site: str
    numpy_error: float
    torch_error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound."""
        return self.numpy_error <= self.tolerance


class References(NamedTuple):
    """The backends that a certificate consults beside the one that made the step.

    Attributes:
        numpy64: NumPy in float64.
        torch32: PyTorch in float32.
        torch64: PyTorch in float64, the referee.
    """

    numpy64: NumpyBackend
    torch32: Backend
    torch64: Referee

    @classmethod
    def build(cls, model_spec: ModelSpec) -> References:
        """Build all three. Each starts its framework's generator with seed 0."""
        from compare.backends.torch_backend import TorchBackend

        return cls(
            NumpyBackend(model_spec, "float64"),
            TorchBackend(model_spec, "float32"),
            TorchBackend(model_spec, "float64"),
        )


class SiteValues(NamedTuple):
    """What each backend computes at the same sites from the same inputs, in one precision.

    Attributes:
        dtype: ``float32``, where NumPy is judged by how near PyTorch is, or ``float64``, where it
            is judged by itself.
        numpy: Site → NumPy's value.
        torch: Site → PyTorch's in the same precision.
        referee: Site → PyTorch's in float64. These sites are compared, in this order.
        sizes: Site → the size of what was summed to make the value.
    """

    dtype: str
    numpy: Arrays
    torch: Arrays
    referee: Arrays
    sizes: Arrays


class Follower:
    """Keeps one number of a training with all that its verdict rests on.

    It is that of the first comparison that fails, or else of the passing float32 comparison that
    came nearest to its bound.

    Attributes:
        step: The step that is being compared.
        found: The number.
    """

    def __init__(self) -> None:
        self.step = 0
        self.found: FollowedValue | None = None
        self._share = -1.0

    def snapshot(self) -> dict[str, Any]:
        """What :meth:`restore` needs, as JSON has it."""
        found = None if self.found is None else self.found.model_dump_json()
        return {"found": found, "share": self._share}

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        found = snapshot["found"]
        self.found = None if found is None else FollowedValue.model_validate_json(found)
        self._share = snapshot["share"]

    def offer(
        self,
        compared: Comparison,
        numpy: np.ndarray,
        torch: np.ndarray,
        referee: np.ndarray,
        size: np.ndarray,
    ) -> None:
        """Keep the number with the largest error of this comparison, if it is a better one."""
        share = np.inf
        if compared.passed:
            nothing = compared.dtype != "float32" or compared.tolerance <= 0
            share = -1.0 if nothing else compared.numpy_error / compared.tolerance
        if not share > self._share or not numpy.shape == torch.shape == referee.shape:
            return
        apart = np.abs(numpy - referee)
        least = tolerances.SMALLEST_NORMAL[compared.dtype]
        sizes = np.broadcast_to(np.maximum(size, least), referee.shape)
        with np.errstate(invalid="ignore"):
            errors = apart / sizes
        if not errors.size or not np.isfinite(errors).all():
            return
        index = np.unravel_index(int(errors.argmax()), errors.shape)
        self._share = share
        self.found = FollowedValue(
            step=self.step,
            site=compared.site,
            dtype=compared.dtype,
            index=[int(place) for place in index],
            numpy=float(numpy[index]),
            torch=float(torch[index]),
            referee=float(referee[index]),
            size=float(sizes[index]),
            numpy_error=compared.numpy_error,
            torch_error=compared.torch_error,
            tolerance=compared.tolerance,
        )


def compare_sites(
    terms: int, values: Iterable[SiteValues], follower: Follower | None = None
) -> Iterator[Comparison]:
    """Compare every value of a stage, in every precision.

    A value that is missing is infinitely far away. Of two comparisons of a site in the same
    precision the worse counts.

    Args:
        terms: The terms of the stage's longest sum.
        values: One or more for each precision, about the same sites.
        follower: Is offered every comparison with its values.

    Yields:
        The comparisons in the order of the sites; of each site, float32 first.
    """
    found: dict[str, dict[str, Comparison]] = {}
    for dtype, numpy, torch, referee, sizes in values:
        for site, value in referee.items():
            compared = compare_values(
                dtype,
                site,
                terms,
                numpy.get(site, MISSING),
                torch.get(site, MISSING),
                value,
                sizes[site],
            )
            if follower is not None:
                mine, other = numpy.get(site, MISSING), torch.get(site, MISSING)
                follower.offer(compared, mine, other, value, sizes[site])
            of_site = found.setdefault(site, {})
            if dtype not in of_site or compared.numpy_error > of_site[dtype].numpy_error:
                of_site[dtype] = compared
    for of_site in found.values():
        for _, compared in sorted(of_site.items()):
            yield compared


def compare_values(
    dtype: str,
    site: str,
    terms: int,
    numpy: np.ndarray,
    torch: np.ndarray,
    referee: np.ndarray,
    size: np.ndarray,
) -> Comparison:
    """Judge one value that was computed in ``dtype``.

    Args:
        dtype: As in :class:`SiteValues`.
        site: The name of the place.
        terms: The terms of the stage's longest sum.
        numpy: NumPy's value.
        torch: PyTorch's in the same precision.
        referee: PyTorch's in float64, from the same inputs.
        size: What was summed to make it.
    """
    judged = [numpy] if dtype == "float64" else [numpy, torch]
    errors = [tolerances.componentwise_error(a, referee, size, dtype) for a in judged]
    if not np.isfinite(errors).all() and (lost := tolerances.overflowed_alike(numpy, torch)).any():
        judged, referee = [np.where(lost, 0.0, a) for a in judged], np.where(lost, 0.0, referee)
        errors = [tolerances.componentwise_error(a, referee, size, dtype) for a in judged]
    if dtype == "float64":
        return Comparison(dtype, site, errors[0], 0.0, tolerances.float64_bound(terms))
    numpy_error, torch_error = errors
    bound = tolerances.float32_bound(torch_error)
    return Comparison(dtype, site, numpy_error, torch_error, bound)


def in_execution_order(stages: Iterable[Iterable[Any]]) -> list[Any]:
    """The forward rows of every stage, then the backward rows from the last stage to the first.

    Args:
        stages: What has a ``site``, for each stage in the order of the forward pass.
    """
    forward: list[Any] = []
    backward: list[list[Any]] = []
    for rows in stages:
        backward.append([])
        for row in rows:
            (backward[-1] if is_backward(row.site) else forward).append(row)
    return [*forward, *(row for rows in reversed(backward) for row in rows)]


def differing_bits(a: np.ndarray, b: np.ndarray) -> int:
    """How many bits differ between two arrays; arrays of another shape or dtype differ in all."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return 8 * max(a.nbytes, b.nbytes)
    words_a = np.frombuffer(np.ascontiguousarray(a).tobytes(), np.uint8)
    words_b = np.frombuffer(np.ascontiguousarray(b).tobytes(), np.uint8)
    return int(np.bitwise_count(words_a ^ words_b).sum())


def compare_initial(
    numpy: Backend, torch: Backend, label: str, seed: int
) -> tuple[Initial, list[ParityRow]]:
    """Compare the starting states bit by bit; where they differ, give PyTorch NumPy's values.

    Normal draws differ by nature (each library has its own method), and a build of PyTorch may
    draw uniform numbers another way: the two trainings must start together all the same. What
    was found before that is in the record; the rows say how many bits differ as training starts.
    """
    mine, theirs = numpy.state().model, torch.state().model
    bits = {name: differing_bits(mine[name], theirs.get(name, np.empty(0))) for name in mine}
    found = sum(bits.values())
    if found:
        torch.load(numpy.state())
        theirs = torch.state().model
    rows = [
        ParityRow(label, seed, 0, numpy.dtype, f"initial/{name}", float(b), 0.0, 0.0, b == 0)
        for name in mine
        for b in [differing_bits(mine[name], theirs[name])]
    ]
    values = sum(array.size for array in mine.values())
    return Initial(values=values, differing_bits=found, copied=found > 0), rows
