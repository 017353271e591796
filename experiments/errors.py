"""The one exception that means: the person's input, not this program, is at fault."""

from __future__ import annotations


class InputError(Exception):
    """Bad input, said in one sentence.

    The sentence names the file, key or argument, what was expected and what was found. The
    command line prints it alone, without a traceback, and exits with status 2.
    """
