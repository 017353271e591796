"""The template filled in: Markdown for a reader, or for pandoc."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2

from reports.references import Bibliography
from reports.wording import joined

TEMPLATES = Path(__file__).parent / "templates"

Target = Literal["reader", "pandoc"]


def markdown(told: dict[str, Any], target: Target, template: str = "report.md.j2") -> str:
    """Fill in the template.

    For a reader, captions are paragraphs, and pictures are the PNG files beside the report. For
    pandoc they are its own captions, and pictures are the SVG files.

    Args:
        told: The names that :func:`reports.contents.contents` gives.
        target: Who is going to read it.
        template: Which of the templates.
    """
    tables: dict[str, int] = {}
    cited = Bibliography()

    def figure(name: str) -> str:
        found = told["figures"].get(name)
        if found is None:
            return ""
        caption = f"**Figure {found.number}.** {found.caption}"
        if target == "pandoc":
            return f'![{caption}](figures/{name}.svg){{alt="{found.alt}"}}'
        return f"![{found.alt}](figures/{name}.png)\n\n{caption}"

    def table(name: str, caption: str) -> str:
        if name not in told["tables"]:
            return ""
        number = tables.setdefault(name, len(tables) + 1)
        said, body = f"**Table {number}.** {caption}", told["tables"][name]
        return f"{body}\n\n: {said}" if target == "pandoc" else f"{said}\n\n{body}"

    def see(*names: str) -> str:
        """`` See Figure 3.``, after a sentence; nothing where no such figure exists."""
        numbers = [str(told["figures"][name].number) for name in names if name in told["figures"]]
        if not numbers:
            return ""
        return f" See Figure{'s' if len(numbers) > 1 else ''} {joined(numbers)}."

    names = {
        "figure": figure,
        "table": table,
        "see": see,
        "cite": cited.cite,
        "references": cited.listed,
    }
    return _tidied(_template(template).render({**told, **names}))


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def _tidied(text: str) -> str:
    """Outside listings never more than one empty line, and one newline at the end."""
    lines: list[str] = []
    listing = False
    for line in text.split("\n"):
        listing ^= line.startswith("```")
        if listing or line.strip() or (lines and lines[-1]):
            lines.append(line if listing else line.rstrip())
    return "\n".join(lines).rstrip("\n") + "\n"
