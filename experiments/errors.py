"""The one exception that means: the person's input, not this program, is at fault."""

from __future__ import annotations


class InputError(Exception):
    """Bad input, said in one sentence.

    The sentence names the file, key or argument, what was expected and what was found. The
    command line prints it alone, without a traceback, and exits with status 2.
    """


EXTRA_OF = dict.fromkeys(("jinja2", "pypandoc", "typst", "bokeh"), "report")
"""Module that may be missing → the extra of this package that brings it."""


def missing_extra(module: str, extra: str) -> str:
    """The sentence for a module that is not installed."""
    return f'the package {module} is not installed: pip install "nncompare[{extra}]".'
