"""Mark the templates of a language as translations of the English ones as they are now.

    python scripts/languages.py ko

Each template in ``reports/templates/LANGUAGE/`` ends with the digest of the English template that
it translates. A test fails once the English has changed: bring the translation up to date, then
run this.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

TEMPLATES = Path(__file__).resolve().parent.parent / "reports" / "templates"
MARK = re.compile(r"\{# translates ([0-9a-f]{16}) #\}\n?\Z")


def digest(english: str) -> str:
    """Of an English template."""
    return hashlib.sha256(english.encode()).hexdigest()[:16]


def marked(own: str, english: str) -> str:
    """A translation with the digest of what it translates at its end."""
    return MARK.sub("", own).rstrip("\n") + f"\n{{# translates {digest(english)} #}}\n"


def main(language: str) -> None:
    """Mark all templates of a language."""
    for path in sorted((TEMPLATES / language).glob("*.j2")):
        english = (TEMPLATES / path.name).read_text(encoding="utf-8")
        path.write_text(marked(path.read_text(encoding="utf-8"), english), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
