"""A course's file: what all submissions of a course are checked with, and what a check weighs."""

from __future__ import annotations

import tomllib
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import Field, ValidationError, create_model

from compare.check.foreign_modules import checked_names
from compare.check.isolation import LEVELS
from compare.check.option_values import (
    Course,
    checked_codes,
    checked_functions,
    checked_loss,
    checked_targets,
)
from compare.check.presets import find_preset
from compare.check.scoring import checked_weights
from compare.check.torch_loss import is_torch_loss
from compare.spec.loading import one_sentence
from compare.spec.settings import Finite, Positive, Settings
from experiments.errors import InputError

# Keys whose numbers are bounded in a file.
BOUNDED = {
    "timeout": Positive | None,
    "weights": dict[str, Finite],
    "points": Positive | None,
}


def _model_of_the_file() -> type[Settings]:
    """The keys of :class:`Course`, checked as they are read."""
    hints = get_type_hints(Course)
    keys: dict[str, Any] = {
        key.name: (
            BOUNDED.get(key.name, hints[key.name]),
            key.default
            if key.default_factory is MISSING
            else Field(default_factory=key.default_factory),
        )
        for key in fields(Course)
    }
    return create_model("CourseFile", __base__=Settings, **keys)


_File = _model_of_the_file()


def read_course(path: Path) -> Course:
    """Read a course's file and check every key of it.

    Raises:
        InputError: There is no such file, it is not TOML, or a key or value does not fit.
    """
    try:
        found = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such course file.") from None
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file in UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise InputError(one_sentence(error, str(path), _File)) from None
    course = Course(**dict(found))
    checked_loss(course.loss, f"{path}: loss")
    checked_targets(course.targets, f"{path}: targets")
    if course.loss is not None and is_torch_loss(course.loss):
        course = replace(course, loss=str(path.parent / course.loss))
    find_preset(course.preset, f"{path}: preset")
    checked_functions(course.require, f"{path}: require")
    checked_codes(course.accept, f"{path}: accept")
    checked_names(course.allow_import, f"{path}: allow_import")
    if course.isolation is not None and course.isolation not in LEVELS:
        raise InputError(
            f"{path}: isolation expects one of {', '.join(LEVELS)}, but got {course.isolation!r}."
        )
    checked_weights(course.weights, f"{path}: weights")
    if course.settings and course.optimizer is None:
        raise InputError(
            f"{path}: settings are those of an optimizer, but the key 'optimizer' is missing."
        )
    return course
