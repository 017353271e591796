"""A baseline: how far each site was from the referee, lest a later change make it worse."""

from __future__ import annotations

import json
import math
from pathlib import Path

from compare.parity import tolerances
from compare.records.atomic import write_atomically
from compare.trace.result import AGREES, DIFFERS, NOT_COMPARED, UNJUDGED, DiffRecord, Site
from experiments.errors import InputError

FORMAT, VERSION = "nncompare baseline", 1


def _key(site: Site) -> str:
    return f"{site.step}/{site.module}/{site.call}/{site.direction}"


def _off(site: Site) -> float:
    """How far from the referee, or where there is none, from the other trace."""
    value = site.total if site.added is None else site.added
    return value if math.isfinite(value) else math.inf


def compare_with_baseline(record: DiffRecord, path: Path) -> int:
    """Write the baseline if there is none; else say which sites are further off than they were.

    Returns:
        0 where no site is, 1 where one is, 2 where nothing was compared.

    Raises:
        InputError: The file is not as it should be.
    """
    if record.status == NOT_COMPARED:
        return NOT_COMPARED
    judged = [site for site in record.sites if site.verdict != UNJUDGED]
    if not path.exists():
        sites = {_key(site): str(_off(site)) for site in judged}
        content = {"format": FORMAT, "version": VERSION, "sites": sites}
        write_atomically(path, json.dumps(content, indent=1) + "\n")
        print(f"{path} is written, the baseline of {len(sites)} sites.")
        return AGREES
    before = _read(path)
    worse = [site for site in judged if _is_worse(site, before.get(_key(site)))]
    new = sum(_key(site) not in before for site in judged)
    gone = len(before.keys() - {_key(site) for site in judged})
    if new or gone:
        print(f"{new} sites are not in {path}, and {gone} of its sites are not here.")
    if not worse:
        print(f"No site is further off than in {path}.")
        return AGREES
    first = worse[0]
    print(
        f"{len(worse)} sites are further off than in {path}, first {first.title}, "
        f"{first.direction}: {_off(first):.3g}, and it was {before[_key(first)]:.3g}."
    )
    return DIFFERS


def _is_worse(site: Site, before: float | None) -> bool:
    if before is None:
        return site.is_finding
    return _off(site) > tolerances.TRACE_BASELINE * before + tolerances.TRACE_BASELINE_FLOOR


def _read(path: Path) -> dict[str, float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise InputError(f"{path} is no baseline of version {VERSION}.")
        return {str(key): float(value) for key, value in content["sites"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no baseline, or it is damaged: {error}.") from None
