"""What comparing two traces found."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field

from compare.parity import tolerances
from compare.parity.functions import finite

SCHEMA = 1
AGREES, DIFFERS, NOT_COMPARED = 0, 1, 2

# How a site was judged.
SAME, WITHIN, INHERITED, ADDED, BETWEEN, UNJUDGED = (
    "same", "agrees", "inherited", "added", "between", "not judged",
)  # fmt: skip

# Of the configuration, what makes two runs differ; the others may not.
DECISIVE = (
    "initialisation", "batch", "mode", "settings", "dropout", "ε", "reduction", "optimizer",
    "gradients",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Something that was set differently.

    Attributes:
        topic: ``initialisation``, ``ε``, ``dropout``, ``reduction``, ``mode``, ``batch``,
            ``dtype``, ``versions`` and the like.
        sentence: Where, and what each side has.
    """

    topic: str
    sentence: str


@dataclass(frozen=True)
class Site:
    """One call of a module in one direction, or what lies before it.

    Attributes:
        module, other: Its name in either trace.
        kind: Its class.
        step, call: Which step, and which of the module's calls in it.
        direction: ``forward``, ``backward``, ``parameters`` for their gradients, or ``update``.
        verdict: ``same`` to the last bit; ``agrees`` within rounding; ``inherited``: it differs as
            its inputs do; ``added``: the module adds error; ``between``: its inputs differ though
            all modules before it agree; ``not judged``.
        total: How far the two traces are apart here, relative to a.
        added: How far the second is from what a's module gives for b's inputs, relative to that.
        quantity, place, expected, found: Where it is furthest out, and the values there.
        times, allowed: How many times as far as may be expected, and how many are allowed.
        cause: What was found to be behind it.
        note: Why it was not judged, and the like.
    """

    module: str
    other: str
    kind: str
    step: int
    call: int
    direction: str
    verdict: str
    total: float = 0.0
    added: float | None = None
    quantity: str = ""
    place: tuple[int, ...] = ()
    expected: float | None = None
    found: float | None = None
    times: float | None = None
    allowed: float = tolerances.FUNCTION_K
    cause: str = ""
    note: str = ""

    @property
    def is_finding(self) -> bool:
        """Whether error comes in here."""
        return self.verdict in (ADDED, BETWEEN)

    @property
    def title(self) -> str:
        """The module, its class and, where it is not the first, the call and the step."""
        name = self.module or "the model itself"
        renamed = f", {self.other} in b" if self.other != self.module else ""
        call = f", call {self.call}" if self.call else ""
        step = f", step {self.step}" if self.step else ""
        return f"{name} ({self.kind}{renamed}{call}{step})"


@dataclass
class DiffRecord:
    """Two traces compared.

    Attributes:
        a, b: Their names.
        configuration: What was set differently: the usual answer to why two runs differ.
        sites: In the order of execution, forward, then backward.
        notes: What was not compared, and why.
    """

    a: str
    b: str
    configuration: list[Setting] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    compared: int = 0

    @property
    def findings(self) -> list[Site]:
        """Where error comes in, the first one first."""
        return [site for site in self.sites if site.is_finding]

    @property
    def first(self) -> Site | None:
        """The first divergence that can be trusted."""
        return next(iter(self.findings), None)

    @property
    def passed(self) -> bool:
        """Whether the two agree."""
        return self.status == AGREES

    @property
    def status(self) -> int:
        """0 where they agree, 1 where they differ, 2 where nothing could be compared."""
        if self.findings or any(setting.topic in DECISIVE for setting in self.configuration):
            return DIFFERS
        judged = self.compared or any(site.verdict != UNJUDGED for site in self.sites)
        return AGREES if judged else NOT_COMPARED

    def count(self, verdict: str) -> int:
        """How many sites were judged so."""
        return sum(site.verdict == verdict for site in self.sites)

    def text(self) -> str:
        """All of it in sentences."""
        parts = [self._headline()]
        if self.configuration:
            width = max(len(setting.topic) for setting in self.configuration)
            lines = [f"  {s.topic:<{width}}  {s.sentence}" for s in self.configuration]
            parts.append("\n".join(["Set differently:", *lines]))
        if self.first is not None:
            parts.append("\n".join(["First divergence:", *_described(self.first)]))
        if others := self._others():
            parts.append("\n".join(["Error also comes in at:", *others]))
        parts += [tally] if (tally := self._tally()) else []
        parts += [f"Note: {note}" for note in self.notes]
        return "\n\n".join(parts)

    def _headline(self) -> str:
        if self.status == NOT_COMPARED:
            return f"{self.a} and {self.b} could not be compared."
        if self.status == AGREES:
            return f"{self.a} and {self.b} agree within what rounding explains."
        if self.first is None:
            return f"{self.a} and {self.b} were set differently, but no module adds error."
        where = "before" if self.first.verdict == BETWEEN else "at"
        way = "" if self.first.direction == "forward" else f" {_WAYS[self.first.direction]}"
        return f"{self.a} and {self.b} differ first {where} {self.first.title}{way}."

    def _others(self) -> list[str]:
        """The other findings; those of one cause share a line."""
        groups: dict[str, list[Site]] = {}
        for site in self.findings[1:]:
            groups.setdefault(site.cause, []).append(site)
        lines = []
        for cause, sites in groups.items():
            names = list(dict.fromkeys(f"{s.module or 'the model'}" for s in sites))
            shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" * (len(names) > 4))
            lines.append(f"  {shown}: {cause}" if cause else f"  {shown}")
        return lines

    def _tally(self) -> str:
        words = {
            SAME: "the same to the last bit",
            WITHIN: "within rounding",
            INHERITED: "as their inputs make them (inherited)",
            ADDED: "adding error",
            BETWEEN: "with inputs that differ for no module's sake",
            UNJUDGED: "not judged",
        }
        counts = [f"{n} {text}" for verdict, text in words.items() if (n := self.count(verdict))]
        return f"{len(self.sites)} sites: {'; '.join(counts)}." if counts else ""

    def to_json(self) -> str:
        """All of it as JSON."""
        first = None if self.first is None else asdict(self.first)
        content = {
            "schema": SCHEMA,
            "status": self.status,
            "first": first,
            **asdict(self),
        }
        return json.dumps(finite(content), indent=2, ensure_ascii=False) + "\n"


_WAYS = {
    "backward": "in the backward pass",
    "parameters": "in the gradients of its parameters",
    "update": "in the optimizer's step",
}


def _described(site: Site) -> list[str]:
    lines = []
    if site.verdict == BETWEEN:
        lines.append(f"  {site.note}")
    elif site.expected is not None:
        index = f"[{', '.join(map(str, site.place))}]" if site.place else ""
        lines += [
            f"  {site.quantity}{index} of {site.title}",
            f"    expected  {site.expected!r}  (what a's module gives for b's inputs, in float64)",
            f"    found     {site.found!r}  (in b)",
        ]
    else:
        lines.append(f"  {site.title}{': ' + site.note if site.note else ''}")
    if site.times is not None and math.isfinite(site.times):
        lines.append(
            f"  It is {site.times:,.3g} times as far as rounding explains; {site.allowed:g} times "
            "are allowed."
        )
    if site.cause:
        lines.append(f"  Cause: {site.cause}.")
    return lines
