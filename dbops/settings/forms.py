"""The forms that settings have besides those of pydantic."""

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode

from dbops.limits import Amount, amount


def _words(value: object) -> object:
    """Read `a,b` as a list, for lists in environment variables."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


def _amounts(value: object) -> object:
    words = _words(value)
    if isinstance(words, list | tuple):
        return tuple(amount(it) if isinstance(it, str) else it for it in words)
    return words


class Fallback(NamedTuple):
    """Who serves a read when no reader can."""

    who: Literal["error", "writer"]
    """The writer, or nobody."""
    limit: int | None = None
    """For how many sessions at once; None for any number."""


def _fallback(value: object) -> object:
    if isinstance(value, Fallback):
        return value
    found = _FALLBACK.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("one of error, writer or writer-limited(4)")
    if found[1] is not None:
        return Fallback("writer", int(found[1]))
    return Fallback("writer" if found[0] == "writer" else "error")


_FALLBACK = re.compile(r"error|writer|writer-limited\(([1-9][0-9]{0,5})\)")
ReaderFallback = Annotated[Fallback, NoDecode, BeforeValidator(_fallback)]

Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Amounts = Annotated[tuple[Amount, ...], NoDecode, BeforeValidator(_amounts)]
"""Values of a threshold, each with its unit: `5s,16MB`."""


def named_by(*names: str) -> Any:  # noqa: ANN401 # pydantic's Field is typed so
    """Declare an optional setting by the names that the environment gives it."""
    return Field(default=None, validation_alias=AliasChoices(*names))
