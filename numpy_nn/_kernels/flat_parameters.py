"""Many parameters behind one array, so that an update is a few operations on long arrays."""

from collections.abc import Iterator, Sequence

import numpy as np

from ..parameter import Parameter
from .memory import empty

# Elements in one piece of an update. Small enough that the six or so arrays it touches stay in
# the cache of one core, large enough that calling NumPy costs little: of 4096 to 300,000, this
# was the fastest.
CHUNK = 65536


class Chunk:
    """One piece of an update: where it lies, and which gradients make it up."""

    __slots__ = ("flat", "part", "pieces")

    def __init__(self, flat: "Flat", part: slice, pieces: list[tuple[Parameter, slice | None]]):
        self.flat = flat
        self.part = part
        self.pieces = pieces

    def param(self) -> np.ndarray:
        """The values, to be updated in place."""
        return self.flat.data[self.part]

    def state(self, name: str) -> np.ndarray:
        """The state of a name, to be updated in place."""
        return self.flat.states[name][self.part]

    def scratch(self, number: int) -> np.ndarray:
        """Room for intermediate results."""
        return self.flat.scratch[number][: self.part.stop - self.part.start]

    def grad(self) -> np.ndarray:
        """The gradients, not to be modified: of one parameter as they lie, of more gathered."""
        parameter, inside = self.pieces[0]
        if len(self.pieces) == 1:
            flat = parameter.grad.reshape(-1)  # type: ignore[union-attr]
            return flat if inside is None else flat[inside]
        grads = [parameter.grad for parameter, _ in self.pieces]
        return np.concatenate(grads, axis=None, out=self.scratch(0))  # type: ignore[arg-type]


class Flat:
    """One array behind parameters of one dtype, and one behind each kind of their state.

    The parameters' ``data`` become views of it. The values of another array that is put there
    are copied at the next step.

    Args:
        params: parameters of one dtype.
    """

    def __init__(self, params: Sequence[Parameter]) -> None:
        self.params = list(params)
        self.shapes = [p.shape for p in params]
        ends = np.cumsum([p.numel() for p in params]).tolist()
        self.spans = [slice(a, b) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        self.dtype = params[0].dtype
        self.data = empty((ends[-1],), self.dtype)
        self.views = self._views(self.data)
        self.states: dict[str, np.ndarray] = {}
        self.state_views: dict[str, list[np.ndarray]] = {}
        self.scratch = [empty((min(CHUNK, ends[-1]),), self.dtype) for _ in range(3)]
        self._plans: dict[tuple[int, int], list[Chunk]] = {}
        self.adopt()

    def _views(self, array: np.ndarray) -> list[np.ndarray]:
        return [
            array[span].reshape(shape) for span, shape in zip(self.spans, self.shapes, strict=True)
        ]

    def adopt(self) -> None:
        """Take over the values of every parameter whose array is not a view of this one.

        Raises:
            ValueError: if its shape or dtype is no longer what it was.
        """
        for index, (parameter, view) in enumerate(zip(self.params, self.views, strict=True)):
            if parameter.data is not view:
                if parameter.shape != view.shape or parameter.dtype != view.dtype:
                    raise ValueError(
                        f"parameter {index} was {view.shape} {view.dtype} when the optimizer "
                        f"was made and is now {parameter.shape} {parameter.dtype}. Make the "
                        "optimizer after changing it"
                    )
                view[...] = parameter.data
                parameter.data = view

    def adopt_state(
        self, index: int, name: str, value: np.ndarray | None, start: float
    ) -> np.ndarray:
        """The view that holds a parameter's state, with ``value`` taken over if it is another.

        Where there is no value yet, it is filled with ``start``.
        """
        if name not in self.states:
            self.states[name] = empty(self.data.shape, self.dtype)
            self.states[name].fill(0)
            self.state_views[name] = self._views(self.states[name])
        view = self.state_views[name][index]
        if value is None:
            view.fill(start)
        elif value is not view:
            view[...] = value
        return view

    def chunks(self, first: int, last: int) -> list[Chunk]:
        """The pieces of an update of the parameters from ``first`` up to before ``last``."""
        if (first, last) not in self._plans:
            self._plans[first, last] = list(self._plan(first, last))
        return self._plans[first, last]

    def _plan(self, first: int, last: int) -> Iterator[Chunk]:
        gathered: list[int] = []
        for index in range(first, last):
            span = self.spans[index]
            start = self.spans[gathered[0]].start if gathered else span.start
            if gathered and span.stop - start > CHUNK:
                yield self._gather(gathered)
                gathered = []
            if span.stop - span.start <= CHUNK:
                gathered.append(index)
                continue
            size = span.stop - span.start
            length = -(-size // -(-size // CHUNK))  # equal pieces, none above CHUNK
            for start in range(span.start, span.stop, length):
                stop = min(start + length, span.stop)
                inside = slice(start - span.start, stop - span.start)
                yield Chunk(self, slice(start, stop), [(self.params[index], inside)])
        if gathered:
            yield self._gather(gathered)

    def _gather(self, indices: list[int]) -> Chunk:
        part = slice(self.spans[indices[0]].start, self.spans[indices[-1]].stop)
        return Chunk(self, part, [(self.params[index], None) for index in indices])
