"""The forms that settings have besides those of pydantic."""

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field

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


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Amounts = Annotated[tuple[Amount, ...], BeforeValidator(_amounts)]
"""Values of a threshold, each with its unit: `5s,16MB`."""


def named_by(*names: str) -> Any:  # noqa: ANN401 # pydantic's Field is typed so
    """Declare an optional setting by the names that the environment gives it."""
    return Field(default=None, validation_alias=AliasChoices(*names))
