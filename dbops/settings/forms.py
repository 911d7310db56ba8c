"""The forms that settings have besides those of pydantic."""

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import NoDecode


def _words(value: object) -> object:
    """Read `a,b` as a list, for lists in environment variables."""
    if isinstance(value, str):
        return tuple(word.strip() for word in value.split(",") if word.strip())
    return value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]


def named_by(*names: str) -> Any:  # noqa: ANN401 # pydantic's Field is typed so
    """Declare an optional setting by the names that the environment gives it."""
    return Field(default=None, validation_alias=AliasChoices(*names))
