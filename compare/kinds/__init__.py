"""Experiments that train no network: each kind has a form, a run and a report of its own.

A file in ``experiments/`` with the key ``kind`` is one of these. Like :mod:`compare.experiment`,
the forms, the records and the facts import neither side; only the two files that run them do.
"""

from __future__ import annotations

from typing import Any

from compare.kinds.activation_histograms import ActivationHistograms
from compare.kinds.optimizer_paths import OptimizerPaths
from experiments.errors import InputError

AnyKind = OptimizerPaths | ActivationHistograms

FORMS: dict[str, type[OptimizerPaths] | type[ActivationHistograms]] = {
    "optimizer_paths": OptimizerPaths,
    "activation_histograms": ActivationHistograms,
}


def form_of(
    tree: dict[str, Any], source: str
) -> type[OptimizerPaths] | type[ActivationHistograms] | None:
    """The form that an experiment's file follows; None for one that trains a network.

    Args:
        tree: The file's content.
        source: What to call it in an error.

    Raises:
        InputError: Its ``kind`` is none that there is.
    """
    if "kind" not in tree:
        return None
    kind = tree["kind"]
    if not isinstance(kind, str) or kind not in FORMS:
        raise InputError(
            f"{source}: kind should be one of {', '.join(FORMS)}, but is {kind!r}. (An experiment "
            "that trains a network has no key 'kind'.)"
        )
    return FORMS[kind]
