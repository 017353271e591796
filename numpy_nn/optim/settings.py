"""What several optimizers ask of their settings."""

from typing import Any

LONG_NAMES = {"lr": "learning rate", "eps": "epsilon value"}


def check_not_negative(group: dict[str, Any], *names: str) -> None:
    """Refuse a setting below 0, or NaN.

    Raises:
        ValueError: naming the setting and its value.
    """
    for name in names:
        if not group[name] >= 0:
            raise ValueError(f"Invalid {LONG_NAMES.get(name, f'{name} value')}: {group[name]}")


def check_betas(group: dict[str, Any]) -> None:
    """Refuse a share of the past that is not in [0, 1).

    Raises:
        ValueError: naming the index and the value.
    """
    for index, beta in enumerate(group["betas"]):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {index}: {beta}")
