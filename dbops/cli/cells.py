"""What does a result say, field by field, and how is one value written?"""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from dbops.results import Problem


def said(model: BaseModel) -> Iterator[tuple[str, Any]]:
    """Leave out what is not known, and lists that are there for rare cases only."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        is_rare = value == () and field.default == ()
        if value is not None and not is_rare and not isinstance(value, Problem):
            yield name, value


def takes_room(value: object) -> bool:
    """Tell whether a value is more than a cell can show."""
    return isinstance(value, BaseModel) or _is_rows(value)


def _is_rows(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], BaseModel)


def holds_rows(row: BaseModel) -> bool:
    """Tell whether a row has rows of its own, which no cell can show."""
    return any(_is_rows(value) for _, value in row)


def flattened(row: BaseModel) -> dict[str, object]:
    """Spread the models in a row into columns of their own."""
    flat: dict[str, object] = {}
    for name in type(row).model_fields:
        value = getattr(row, name)
        if isinstance(value, Problem):
            flat["error"] = value.message
        elif isinstance(value, BaseModel):
            for inner, part in flattened(value).items():
                stem, unit, _ = name.rpartition("_ms")
                flat[f"{inner}{unit}" if stem else f"{name}_{inner}"] = part
        else:
            flat[name] = value
    return flat


def plain(value: object) -> str:
    """Write a value as a person does."""
    match value:
        case tuple():
            return ", ".join(plain(it) for it in value) or "none"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.1f}" if abs(value) >= 1 else f"{value:.3g}"
        case StrEnum():
            return value.value.replace("_", " ")
        case datetime():
            return value.isoformat(" ", "seconds")
        case _:
            return str(value)


def label(name: str) -> str:
    """Write the name of a field as words."""
    return name.replace("_", " ")
