"""A baseline: how far each site was from the referee, lest a later change make it worse."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from compare.parity import tolerances
from compare.records.atomic import write_atomically
from compare.trace.result import AGREES, DIFFERS, NOT_COMPARED, UNJUDGED, DiffRecord, Site
from experiments.errors import InputError

FORMAT, VERSION = "nncompare baseline", 1


@dataclass(frozen=True)
class BaselineRecord:
    """What became of the sites of a baseline.

    Attributes:
        path: Its file.
        status: 0 where no site is further from the referee than it was, 1 where one is, 2 where
            the traces could not be compared.
        worse: The sites that are, each with how far it is and how far it was; NaN where the
            baseline does not have it.
        new, gone: How many sites the baseline does not have, and how many it has alone.
    """

    path: Path
    status: int
    worse: list[tuple[Site, float, float]] = field(default_factory=list)
    new: int = 0
    gone: int = 0

    def text(self) -> str:
        """In words."""
        if self.status == NOT_COMPARED:
            return f"Nothing is compared with {self.path}."
        lines = []
        if self.new or self.gone:
            lines.append(
                f"{self.new} sites are not in {self.path}, and {self.gone} of its sites are not "
                "here."
            )
        if not self.worse:
            return "\n".join([*lines, f"No site is further off than in {self.path}."])
        lines.append(f"{len(self.worse)} sites are further off than in {self.path}:")
        for site, off, before in self.worse[:5]:
            was = "is new" if math.isnan(before) else f"was {before:.3g}"
            lines.append(f"  {site.title}, {site.direction}: {off:.3g}, and it {was}")
        if len(self.worse) > 5:
            lines.append(f"  … and {len(self.worse) - 5} more")
        return "\n".join(lines)


def write_baseline(record: DiffRecord, path: Path) -> int:
    """Write how far each judged site is from the referee.

    Returns:
        How many sites there are.

    Raises:
        InputError: The file cannot be written, or there is nothing to write.
    """
    sites = {_key(site): str(_off(site)) for site in _judged(record)}
    if record.status == NOT_COMPARED:
        raise InputError(f"{path} is not written: the two traces have nothing in common.")
    content = {"format": FORMAT, "version": VERSION, "sites": sites}
    write_atomically(path, json.dumps(content, indent=1) + "\n")
    return len(sites)


def compare_with_baseline(record: DiffRecord, path: Path) -> BaselineRecord:
    """Find the sites that are further from the referee than they were.

    Raises:
        InputError: The file is missing, or not as it should be.
    """
    before = _read(path)
    if record.status == NOT_COMPARED:
        return BaselineRecord(path, NOT_COMPARED)
    judged = _judged(record)
    worse = [
        (site, _off(site), before.get(_key(site), math.nan))
        for site in judged
        if _is_worse(site, before.get(_key(site)))
    ]
    return BaselineRecord(
        path,
        DIFFERS if worse else AGREES,
        worse,
        new=sum(_key(site) not in before for site in judged),
        gone=len(before.keys() - {_key(site) for site in judged}),
    )


def _judged(record: DiffRecord) -> list[Site]:
    return [site for site in record.sites if site.verdict != UNJUDGED]


def _key(site: Site) -> str:
    return f"{site.step}/{site.module}/{site.call}/{site.direction}"


def _off(site: Site) -> float:
    """How far from the referee, or where there is none, from the other trace."""
    value = site.total if site.added is None else site.added
    return value if math.isfinite(value) else math.inf


def _is_worse(site: Site, before: float | None) -> bool:
    if before is None:
        return site.is_finding
    return _off(site) > tolerances.TRACE_BASELINE * before + tolerances.TRACE_BASELINE_FLOOR


def _read(path: Path) -> dict[str, float]:
    if not path.exists():
        raise InputError(f"{path}: there is no such baseline.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise InputError(f"{path} is no baseline of version {VERSION}.")
        return {str(key): float(value) for key, value in content["sites"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is no baseline, or it is damaged: {error}.") from None
