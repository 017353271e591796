"""Translations: what still has none, and which English a translated template belongs to.

    python scripts/languages.py ko
    python scripts/languages.py ko --missing

The first marks the templates of a language as translations of the English ones as they are now:
each template in ``reports/templates/LANGUAGE/`` ends with the digest of the English template that
it translates, and a test fails once the English has changed. The second prints the entries that
the catalogue lacks, as they have to stand in ``compare/languages/LANGUAGE.po``: they are read from
the program's files, wherever a sentence is on its way to a reader.
"""

from __future__ import annotations

import ast
import hashlib
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "reports" / "templates"
MARK = re.compile(r"\{# translates ([0-9a-f]{16}) #\}\n?\Z")
HOLE = "\0"
"""What varies, in a sentence as it is read from the program."""

ERRORS = {
    *("InputError", "MessageError", "NotebookError", "DamagedError", "ForbiddenLayerError"),
    *("_MirrorError", "CannotRunError", "missing_extra"),
}
"""What is called with a sentence that the command line prints when it ends with status 2."""
CHECKED = {"AdaptationError", "NoResultError", "ReturnValueError"}
"""What is called with a sentence that ``check`` shows."""
SENTENCES = {"one_sentence", "_how_long", "missing_extra", "_question", "reason"}
"""Functions that return such a sentence."""
RETURNED = {"explain": "terminal", "graph_summary": "terminal"}
"""Functions that return a sentence of another context."""
PROSE = {
    "compare/trace/" + name: "diff"
    for name in (
        *("result.py", "baseline.py", "judging.py", "configuration.py", "diff.py", "rerun.py"),
        *("updates.py", "parameters.py"),
    )
}
"""Files in which every text of several words is shown → its context."""
VARIABLES = {"hint", "way_out", "DISTURBED"}
"""Variables that hold the end of one."""
SAID = {"say": "terminal"}
"""Functions that print a sentence → its context; `_said` of a file says its own context."""


def digest(english: str) -> str:
    """Of an English template."""
    return hashlib.sha256(english.encode()).hexdigest()[:16]


def marked(own: str, english: str) -> str:
    """A translation with the digest of what it translates at its end."""
    return MARK.sub("", own).rstrip("\n") + f"\n{{# translates {digest(english)} #}}\n"


def alternatives(node: ast.expr) -> list[str]:
    """The texts that an expression may have, with a HOLE for what is not written in it."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=values):
            return ["".join(one) for one in itertools.product(*map(alternatives, values))]
        case ast.FormattedValue(value=ast.IfExp() as value):
            return alternatives(value)
        case ast.IfExp(body=body, orelse=other):
            return [*alternatives(body), *alternatives(other)]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [a + b for a in alternatives(left) for b in alternatives(right)]
    return [HOLE]


def inside(node: ast.expr) -> Iterator[str]:
    """Texts that may stand in a sentence's place: the ``'none'`` of ``{names or 'none'}``."""
    for part in ast.walk(node):
        if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.BoolOp):
            for value in part.value.values:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def has_words(text: str) -> bool:
    """Whether there is something to translate."""
    return re.search(r"[a-z]{2}", text) is not None


class Messages(ast.NodeVisitor):
    """What a file says to its readers: {(context, text with holes): lines}.

    Args:
        tree: The file.
        command_line: Whether it is that of the options, whose helps are sentences too.
        settings: Whether it holds models of pydantic, whose ValueErrors are shown.
        prose: The context of all its texts of several words, if they are shown.
    """

    def __init__(
        self,
        tree: ast.Module,
        *,
        command_line: bool = False,
        settings: bool = False,
        prose: str = "",
    ) -> None:
        self.found: dict[tuple[str, str], int] = {}
        self._errors = ERRORS | ({"ValueError"} if settings else set())
        self._said = dict(SAID)
        self._command_line = command_line
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == "_said":
                for call in ast.walk(node):
                    if isinstance(call, ast.Call) and len(call.args) == 2:
                        self._said["_said"] = str(getattr(call.args[1], "value", ""))
        self._prose = prose
        self._returning = ""
        self.visit(tree)

    def _add(self, context: str, node: ast.expr) -> None:
        for text in [*alternatives(node), *inside(node)]:
            text = text.strip()
            if has_words(text):
                self.found.setdefault((context, text), node.lineno)

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if node.args and name in self._errors:
            self._add("error", node.args[0])
            return
        if name == "NotRunError":
            self._add("diff", node.args[0])
        if node.args and name in CHECKED:
            self._add("check", node.args[0])
        elif node.args and name in self._said:
            self._add(self._said[name], node.args[0])
        elif name == "translated" and len(node.args) == 2:
            context = node.args[1]
            if isinstance(context, ast.Constant) and isinstance(context.value, str):
                self._add(context.value, node.args[0])
        if self._command_line:
            for keyword in node.keywords:
                if keyword.arg == "help":
                    self._add("help", keyword.value)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        context = "error" if node.name in SENTENCES else RETURNED.get(node.name, "")
        outer, self._returning = self._returning, context
        if self._command_line and any("app.command" in ast.unparse(d) for d in node.decorator_list):
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                text = " ".join(paragraph.split())
                self.found.setdefault(("help", text), node.lineno)
        self.generic_visit(node)
        self._returning = outer

    def visit_Return(self, node: ast.Return) -> None:
        if self._returning and node.value is not None:
            self._add(self._returning, node.value)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        if self._prose:
            self._add_prose(node)
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    self.visit(part.value)
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if self._prose and isinstance(node.value, str):
            self._add_prose(node)

    def _add_prose(self, node: ast.expr) -> None:
        texts = alternatives(node)
        if all(re.search(r"[a-z]{2}.* .*[a-z]{2}", text) for text in texts):
            self._add(self._prose, node)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = [part.id for one in node.targets for part in ast.walk(one) if hasattr(part, "id")]
        if VARIABLES.intersection(names):
            self._add("error", node.value)
        if not all(name.isupper() for name in names):
            self.generic_visit(node)  # a constant is a key or a name


def messages(root: Path = ROOT) -> dict[tuple[str, str], str]:
    """Every sentence of the program that has to be translated: {(context, text): first place}."""
    found: dict[tuple[str, str], str] = {}
    files = [root / "nncompare.py"]
    for folder in ("compare", "experiments", "reports"):
        files += sorted((root / folder).rglob("*.py"))
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        settings = "spec" in path.parts
        prose = PROSE.get(path.relative_to(root).as_posix(), "")
        read = Messages(tree, command_line=path.name == "cli.py", settings=settings, prose=prose)
        for key, line in read.found.items():
            found.setdefault(key, f"{path.relative_to(root).as_posix()}:{line}")
    return found


def missing(language: str) -> dict[tuple[str, str], str]:
    """The sentences that the catalogue of a language lacks: {(context, text): where it is said}."""
    from compare.languages import FOLDER, PLACE, catalogue, read_po

    own = catalogue(language)
    assert own is not None
    text = (FOLDER / f"{language}.po").read_text(encoding="utf-8")
    exact = {(one.context, re.sub(PLACE, HOLE, one.english)) for one in read_po(text)}
    return {
        (context, text): place
        for (context, text), place in messages().items()
        if (context, text) not in exact and own.sentence(text.replace(HOLE, "7"), context) is None
    }


def entry(context: str, text: str) -> str:
    """An entry of a .po file that waits for its translation; its places are a, b, c, …"""
    names = iter("abcdefghijklmnopqrstuvwxyz")
    shown = re.sub(HOLE, lambda _: f"{{{next(names)}}}", text)
    escaped = shown.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return (f'msgctxt "{context}"\n' if context else "") + f'msgid "{escaped}"\nmsgstr ""\n'


def main(language: str, *options: str) -> None:
    """Mark all templates of a language, or print the entries that its catalogue lacks."""
    if "--missing" in options:
        for (context, text), place in missing(language).items():
            print(f"# {place}\n{entry(context, text)}")
        return
    for path in sorted((TEMPLATES / language).glob("*.j2")):
        english = (TEMPLATES / path.name).read_text(encoding="utf-8")
        path.write_text(marked(path.read_text(encoding="utf-8"), english), encoding="utf-8")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main(*sys.argv[1:])
