"""What can be configured besides the database, which is dbops' business."""

from typing import Annotated

from fastapi import Depends
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.requests import HTTPConnection


class AppSettings(BaseSettings):
    """The application's own settings, such as `BOOKAPI_PAGE_SIZE`."""

    model_config = SettingsConfigDict(env_prefix="BOOKAPI_", frozen=True)

    page_size: int = Field(default=20, ge=1)
    """How many a list has unless the client says otherwise."""
    longest_page: int = Field(default=100, ge=1)
    """How many a client may ask for."""
    remember_s: int = Field(default=60, ge=1)
    """How long a client that has written something is sure to see it, in seconds."""


def settings_of(connection: HTTPConnection) -> AppSettings:
    """Return the application's settings; a dependency."""
    found: AppSettings = connection.app.state.settings
    return found


OwnSettings = Annotated[AppSettings, Depends(settings_of)]
