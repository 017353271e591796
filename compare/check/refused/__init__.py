"""What an isolated homework finds in the place of a module that would write its answers.

This folder is shown to it instead of each of them (:mod:`compare.check.isolation`).
"""

raise ModuleNotFoundError(f"No module named {__name__!r} for a homework", name=__name__)
