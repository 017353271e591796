"""A pytest plugin: the marker ``parity`` and the fixture ``parity``.

    @pytest.mark.parity(architecture="softmax_mlp")
    def test_homework(parity):
        parity("homework.py")

Importing it loads neither PyTorch nor NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "parity(**settings): compares an implementation with PyTorch; the settings are those of "
        "compare.testing.assert_parity, for the fixture of the same name",
    )


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``compare.testing.assert_parity`` with the settings of the marker."""
    settings: dict[str, Any] = {}
    for marker in request.node.iter_markers("parity"):
        settings = {**marker.kwargs, **settings}

    def check(*args: Any, **more: Any) -> None:
        __tracebackhide__ = True
        from compare.testing import assert_parity

        assert_parity(*args, **{**settings, **more})

    return check
