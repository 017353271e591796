"""Step 0: did both backends start from the same bits?"""

from __future__ import annotations

import numpy as np

from compare.backends import Backend
from compare.records.run import Initial
from compare.records.tables import ParityRow


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
