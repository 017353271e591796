"""Which of the network's arrays a homework's name means: ``W2`` is the second weight matrix."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

Shape = tuple[int, ...]

# What a name's words say about its array; and what its first word may begin with.
WORDS = {
    "mean": ("mean", "mu", "rm"),
    "var": ("var", "variance", "rv"),
    "gamma": ("gamma", "scale", "g"),
    "beta": ("beta", "shift"),
    "weight": (
        "w", "weight", "weights", "kernel", "kernels", "theta", "filters",
        "e", "emb", "embed", "embedding", "embeddings", "table",
    ),
    "bias": ("b", "bias", "biases"),
}  # fmt: skip
BEGINNINGS = {"gamma": "gamma", "beta": "beta", "bias": "b", "weight": "w"}


def assign_names(
    names: Sequence[str], keys: Mapping[str, Shape], known: Mapping[str, Sequence[int]]
) -> dict[str, str] | None:
    """Own name → key of the network, if every parameter gets a name.

    Names are told apart by their kind (``W``, ``weight``, ``b``, ``gamma``, …) and put in order by
    their numbers, or, without numbers, as they are given. Where shapes are known they must fit, and
    decide if kinds do not.

    Args:
        names: The homework's names, in the order in which it reads them.
        keys: Key → shape of the arrays that need a name; buffers may stay without.
        known: Name → shape, for the names whose shapes are known.
    """
    for groups in _groups(keys):
        for own in _kinds(names):
            found = _in_order(own, groups)
            if found is not None and all(_fits(known.get(n), keys[k]) for n, k in found.items()):
                own_names = {key: name for name, key in found.items()}
                return {own_names[key]: key for key in keys if key in own_names}
    return _by_shape(names, keys, known)


def kind_of(name: str) -> str | None:
    """The kind of array that a name says: a key of :data:`WORDS`."""
    words = [word.lower() for word in re.findall(r"[A-Za-z]+", name)]
    for kind, known in WORDS.items():
        if any(word in known for word in words):
            return kind
    for kind, beginning in BEGINNINGS.items():
        if words and words[0].startswith(beginning):
            return kind
    return None


def _kinds(names: Sequence[str]) -> Iterable[dict[str, list[str]]]:
    """Kind → names in order; a second time with beta for a bias where nothing is called bias."""
    found: dict[str, list[str]] = {kind: [] for kind in WORDS}
    for name in names:
        kind = kind_of(name)
        if kind is not None:
            found[kind].append(name)
    ordered = {kind: _ordered(own) for kind, own in found.items()}
    yield ordered
    if not ordered["bias"]:
        yield {**ordered, "bias": ordered["beta"], "beta": []}


def _ordered(names: list[str]) -> list[str]:
    numbers = {name: tuple(map(int, re.findall(r"\d+", name))) for name in names}
    return sorted(names, key=lambda name: numbers[name]) if all(numbers.values()) else names


def _groups(keys: Mapping[str, Shape]) -> Iterable[dict[str, list[str]]]:
    """Kind → keys in order: normalisation apart, or its biases, or nothing apart."""
    weights = [key for key in keys if key.rpartition(".")[2] == "weight"]
    biases = [key for key in keys if key.rpartition(".")[2] == "bias"]
    gammas = [key for key in weights if len(keys[key]) == 1]
    betas = [key for key in biases if f"{key.removesuffix('bias')}weight" in gammas]
    matrices = [key for key in weights if key not in gammas]
    others = [key for key in biases if key not in betas]
    buffers = {
        "mean": [key for key in keys if key.endswith("running_mean")],
        "var": [key for key in keys if key.endswith("running_var")],
    }
    apart = {"weight": matrices, "gamma": gammas, **buffers}
    yield {**apart, "bias": others, "beta": betas}
    if gammas:
        yield {**apart, "bias": biases, "beta": []}
        yield {"weight": weights, "bias": biases, "gamma": [], "beta": [], **buffers}


def _in_order(
    own: Mapping[str, list[str]], groups: Mapping[str, list[str]]
) -> dict[str, str] | None:
    """The names with the keys of their kind, one by one; None if they are not as many."""
    found: dict[str, str] = {}
    for kind, keys in groups.items():
        names = own[kind]
        if len(names) == len(keys):
            found.update(zip(names, keys, strict=True))
        elif kind not in ("mean", "var"):
            return None
    named = set(found.values())
    parameters = (
        key for kind, keys in groups.items() if kind not in ("mean", "var") for key in keys
    )
    return found if named and named.issuperset(parameters) else None


def _fits(known: Sequence[int] | None, shape: Shape) -> bool:
    """Whether an array may be one of this shape, transposed or with further axes of one."""
    if known is None:
        return True
    return sorted(n for n in known if n != 1) == sorted(n for n in shape if n != 1)


def _by_shape(
    names: Sequence[str], keys: Mapping[str, Shape], known: Mapping[str, Sequence[int]]
) -> dict[str, str] | None:
    """Each parameter with the one name whose shape fits; None where it is not one."""
    found: dict[str, str] = {}
    for key, shape in keys.items():
        if not key.endswith((".running_mean", ".running_var", ".num_batches_tracked")):
            fitting = [name for name in names if name in known and _fits(known[name], shape)]
            if len(fitting) != 1 or fitting[0] in found:
                return None
            found[fitting[0]] = key
    return found or None
