"""The numbers of the sections, which depend on what a run has."""

from __future__ import annotations


def results_sections(
    *, own: bool, equality: bool, mistakes: bool, parity_map: bool
) -> dict[str, str]:
    """Key → number, of the sections of the results.

    Args:
        own: Whether the experiment has figures of its own.
        equality: Whether the equality of the sides can be tested.
        mistakes: Whether there are test rows.
        parity_map: Whether a map of comparisons is drawn.
    """
    present = {
        "own": own,
        "loss": True,
        "gaps": True,
        "equality": equality,
        "parity": True,
        "drift": True,
        "mistakes": mistakes,
        "speed": True,
        "reported": True,
        "map": parity_map,
    }
    keys = [key for key, is_there in present.items() if is_there]
    return {key: f"7.{place}" for place, key in enumerate(keys, 1)}
