"""From a name or a TOML file, and ``--set`` changes, to a checked experiment."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from compare.spec.demos import Demo, demo_type
from compare.spec.experiment import Experiment
from compare.spec.settings import Settings
from experiments.errors import InputError
from experiments.files import experiment_names, printable, read_text, strange

LARGEST_SEED = 2**32 - 1
MOST_BYTES = 16 << 20
"""The largest experiment file that is read: the largest of our own has a few thousand bytes."""
MOST_DEPTH = 32
"""Tables and lists in one another; settings need 6."""
_DEPTH = f"expected at most {MOST_DEPTH} tables and lists in one another"
_WHOLE = "expected whole numbers that 64 bits hold"
MOST_SEEDS = 10_000


def load_experiment(name_or_path: str, changes: Iterable[str] = ()) -> tuple[str, Experiment]:
    """Read an experiment that trains a network, as :func:`load_settings` reads any.

    Raises:
        InputError: As there, or it trains no network.
    """
    name, settings = load_settings(name_or_path, changes)
    if not isinstance(settings, Experiment):
        raise InputError(f"{name} trains no network: it is of the kind {settings.kind}.")
    return name, settings


def load_settings(name_or_path: str, changes: Iterable[str] = ()) -> tuple[str, Experiment | Demo]:
    """Read an experiment and check every key of it.

    Args:
        name_or_path: A name of :func:`experiment_names`, or the path of a TOML file.
        changes: ``key=value`` texts. The key is a dotted path such as ``optimizers.SGD.lr``, or
            its last parts where they name one place only (``epochs``); the value is TOML.

    Returns:
        The experiment's short name and its settings.

    Raises:
        InputError: Unknown name, unreadable file, unknown key or value that does not fit.
    """
    name, source, text = _read(name_or_path)
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{source} is not valid TOML: {printable(str(error))}.") from None
    except RecursionError:
        raise InputError(f"{source} is nested too deeply: {_DEPTH}.") from None
    except ValueError:  # of Python, at a number of thousands of digits
        raise InputError(f"{source} has a number of too many digits: {_WHOLE}.") from None
    check_values(tree, source)
    # Checked once unchanged, so that an error in the file is not blamed on --set.
    checked = _check(tree, source)
    changes = list(changes)
    if not changes:
        return name, checked
    complete = checked.model_dump(mode="json")
    for change in changes:
        key, value = _parse_change(change)
        _assign(complete, key, value)
    return name, _check(complete, _shown(f"--set {' --set '.join(changes)}"))


def _read(name_or_path: str) -> tuple[str, str, str]:
    """Return (short name, what to call the source in messages, text)."""
    names = experiment_names()
    if name_or_path in names:
        entry = files("experiments") / f"{name_or_path}.toml"
        return name_or_path, f"{name_or_path}.toml", entry.read_text(encoding="utf-8")
    path = Path(name_or_path)
    if path.suffix != ".toml":
        near = difflib.get_close_matches(name_or_path, names, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"There is no experiment {name_or_path!r}: expected one of {', '.join(names)}, "
            f"or the path of a .toml file.{hint}"
        )
    if (found := strange(path.stem)) is not None:
        raise InputError(
            f"{printable(str(path))!r} has a character that is not seen, U+{ord(found):04X}: "
            "expected a name for an experiment, which its reports show."
        )
    try:
        return path.stem, str(path), read_text(path, MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such experiment file.") from None


def check_values(value: Any, source: str, key: str = "", depth: int = 0) -> None:
    """Check what TOML allows and no setting has.

    Such are tables and lists in one another without end, whole numbers that no machine counts
    with, and characters that act on a terminal or a page and are not seen.

    Args:
        value: Of the file, or a part of it.
        source: What to call the file in an error.
        key: Where the value stands.
        depth: In how many tables and lists it stands.

    Raises:
        InputError: One of these was found.
    """
    place = f"{source}: {_shown(key)}" if key else source
    if depth > MOST_DEPTH:
        raise InputError(f"{source}: {_shown(key, 40)} is nested too deeply: {_DEPTH}.")
    if isinstance(value, dict):
        for name, inner in value.items():
            if (found := strange(name)) is not None:
                raise InputError(
                    f"{source} has a key with a character that is not seen, U+{ord(found):04X}: "
                    f"{_shown(name)!r}."
                )
            check_values(inner, source, f"{key}.{name}" if key else name, depth + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            check_values(inner, source, f"{key}.{number}", depth + 1)
    elif isinstance(value, str):
        if (found := strange(value, "\n\t")) is not None:
            raise InputError(
                f"{place} has a character that is not seen, U+{ord(found):04X}: {_shown(value)!r}."
            )
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InputError(f"{place} should be a whole number that 64 bits hold, but is larger.")


def _shown(text: str, most: int = 200) -> str:
    """A text of the user's in a sentence: what is not seen as its code, and not without end."""
    text = printable(text)
    return text if len(text) <= most else f"{text[:most]}…"


def _check(tree: dict[str, Any], source: str) -> Experiment | Demo:
    settings_type = demo_type(tree, source) or Experiment
    try:
        return settings_type.model_validate(tree)
    except ValidationError as error:
        raise InputError(one_sentence(error, source, settings_type)) from None


def one_sentence(
    error: ValidationError, source: str, settings_type: type[Settings] = Experiment
) -> str:
    """Say the first problem as a sentence that names the key, what was expected and found.

    Args:
        error: What pydantic found.
        source: The file, or what else the settings come from.
        settings_type: What the settings were to be.
    """
    problem = error.errors(include_url=False)[0]
    more = f" ({error.error_count() - 1} more after that.)" if error.error_count() > 1 else ""
    path = [str(part) for part in problem["loc"]]
    tag = None
    if len(path) > 3 and path[0] == "optimizers":
        tag = path.pop(2)  # a discriminated union adds its tag: optimizers.Adam.Adam.lr
    if len(path) > 2 and path[:2] == ["training", "schedule"]:
        tag = path.pop(2)
    key = _shown(".".join(path))
    found = problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            known = _known_keys(path, tag, settings_type)
            near = difflib.get_close_matches(path[-1], known, n=1)
            if not near and len(path) == 1:  # a key that belongs into a table
                inner = _keys_of_tables(settings_type)
                near = [inner[k] for k in difflib.get_close_matches(key, inner, n=1)]
            hint = f" Did you mean {near[0]!r}?" if near else f" Known: {', '.join(known)}."
            return f"{source}: unknown key {key!r}.{hint}{more}"
        case "missing" if path[-1].isdigit():
            whole = ".".join(path[:-1])
            items = _shown(repr(list(found)))
            return f"{source}: {whole} should have more items, but is {items}.{more}"
        case "missing":
            return f"{source}: the key {key!r} is missing.{more}"
        case "union_tag_not_found":
            return f"{source}: the key '{key}.name' is missing.{more}"
        case "union_tag_invalid" if path[0] == "training":
            name = _shown(repr(found.get("name")))
            return (
                f"{source}: {key} has the name {name}, but expected one of "
                f"{problem['ctx']['expected_tags']}.{more}"
            )
        case "union_tag_invalid":
            name = _shown(repr(found.get("algorithm")))
            return (
                f"{source}: {key} has the algorithm {name}, but expected one of "
                f"{problem['ctx']['expected_tags']}. (A label may be any other name if the "
                f"table has the key 'algorithm'.){more}"
            )
        case "value_error":
            return f"{source}: {problem['msg'].removeprefix('Value error, ')}.{more}"
        case "too_short" | "too_long":
            least, bound = problem["type"] == "too_short", problem["ctx"]
            number = bound["min_length"] if least else bound["max_length"]
            return (
                f"{source}: {key} should have at {'least' if least else 'most'} {number} "
                f"item{'s' if number > 1 else ''}, but is {_shown(repr(found))}.{more}"
            )
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{source}: {key} should be a table, but is {_shown(repr(found))}.{more}"
        case "tuple_type":
            return f"{source}: {key} should be a list, but is {_shown(repr(found))}.{more}"
    expected = problem["msg"].removeprefix("Input should be ")
    return f"{source}: {key} should be {expected}, but is {_shown(repr(found))}.{more}"


TABLES = {
    "data": "DataSettings",
    "model": "ModelSettings",
    "training": "TrainingSettings",
    "vary": "AxisSettings",
    "figures": "FigureSettings",
    "claims": "Claim",
    "reported": "ReportedValue",
    "parity": "ParitySettings",
    "equivalence": "EquivalenceSettings",
    "report": "ReportSettings",
}
LISTS = ("vary", "figures", "claims", "reported")
"""Tables that hold others, which have the keys."""


def _known_keys(path: list[str], tag: str | None, settings_type: type[Settings]) -> list[str]:
    """The keys that it knows beside the last one of ``path``."""
    schema = settings_type.model_json_schema()
    if len(path) == 1:
        return sorted(schema["properties"])
    table = f"{tag}Settings" if tag else TABLES.get(path[0], "")
    if path[0] == "vary" and len(path) > 3:
        table = "LogSteps" if path[2] == "log_steps" else "ExponentRange"
    return sorted(schema.get("$defs", {}).get(table, {}).get("properties", {}))


def _keys_of_tables(settings_type: type[Settings]) -> dict[str, str]:
    """Key → its dotted path, for the tables that are the same in every experiment."""
    definitions = settings_type.model_json_schema().get("$defs", {})
    return {
        key: f"{table}.{key}"
        for table, name in TABLES.items()
        if table not in LISTS and name in definitions
        for key in definitions[name]["properties"]
    }


def _parse_change(change: str) -> tuple[str, Any]:
    key, equals, text = change.partition("=")
    key = key.strip()
    if not equals or not key:
        raise InputError(
            f"--set expects key=value, such as training.epochs=3, but got {_shown(change)!r}."
        )
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()  # a bare word is a string: --set data.layout=image
    except RecursionError:
        raise InputError(
            f"--set {_shown(key)}: the value is nested too deeply: {_DEPTH}."
        ) from None
    except ValueError:
        raise InputError(f"--set {_shown(key)}: {_WHOLE}, found one of too many digits.") from None
    check_values({key: value}, "--set")
    return key, value


def _assign(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set the one place that ``key`` names; a key that names no place is set where it stands."""
    parts = key.split(".")
    if len(parts) > MOST_DEPTH:
        raise InputError(f"--set {_shown(key, 40)}: the key is nested too deeply: {_DEPTH}.")
    # What varies is named in full: a short name means the setting that all trainings share.
    found = _paths({table: tree[table] for table in tree if table not in LISTS})
    places = [path for path in found if path[-len(parts) :] == parts]
    if parts in places or not places:
        places = [parts]
    if len(places) > 1:
        listed = " and ".join(".".join(place) for place in places)
        raise InputError(
            f"--set {key}={_shown(str(value))} could mean {listed}: write one of them in full."
        )
    *parents, last = places[0]
    table: Any = tree
    for part in parents:
        table = table.setdefault(part, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise InputError(f"--set {key}: {'.'.join(parents)} is a value, not a table.")
    table[last] = value


def _paths(tree: dict[str, Any], above: tuple[str, ...] = ()) -> list[list[str]]:
    found = []
    for key, value in tree.items():
        found.append([*above, key])
        if isinstance(value, dict):
            found += _paths(value, (*above, key))
    return found


def parse_seeds(text: str) -> list[int]:
    """Read numbers and ranges, both ends of a range included: ``0..9``, ``1,5,7``, ``0..4,20``.

    Raises:
        InputError: Something else, a falling range, a seed out of range or given twice, or more
            than :data:`MOST_SEEDS` of them.
    """
    seeds: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", part.strip(), re.ASCII)
        if ends is None:
            raise InputError(
                "--seeds expects numbers and ranges such as 0..9 or 1,5,7, but got "
                f"{part.strip()!r}{f' in {text!r}' if ',' in text else ''}."
            )
        first = int(ends[1])
        last = int(ends[2] or ends[1])
        if last < first:
            raise InputError(
                f"--seeds expects the smaller end of a range first, but got {ends[0]}."
            )
        if last > LARGEST_SEED:
            raise InputError(f"--seeds expects numbers from 0 to {LARGEST_SEED}, but got {last}.")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise InputError(
                f"--seeds expects at most {MOST_SEEDS:,} seeds, but {text!r} has more."
            )
        seeds += range(first, last + 1)
    twice = next((seed for seed in seeds if seeds.count(seed) > 1), None)
    if twice is not None:
        raise InputError(f"--seeds expects each seed once, but {text!r} has {twice} twice.")
    return seeds
