"""What clients send and get."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# PostgreSQL's text holds everything but NUL.
_NO_NUL = r"^[^\x00]*$"
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=65, pattern=_NO_NUL)]
Slug = Annotated[str, StringConstraints(max_length=65, pattern=r"^[a-z0-9-]+$")]
Body = Annotated[str, StringConstraints(max_length=100_000, pattern=_NO_NUL)]
Item = TypeVar("Item")


class BookIn(BaseModel):
    """A book to store."""

    title: Name
    author: Name


class BookOut(BookIn):
    """A stored book."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: datetime


class ArticleIn(BaseModel):
    """An article to store."""

    slug: Slug
    title: Title
    text: Body


class ArticleOut(ArticleIn):
    """A stored article."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    created_at: datetime


class Page(BaseModel, Generic[Item]):
    """Some of a list, the newest first."""

    items: list[Item]
    next: int | None = Field(description="`before` of the next page; null at the end.")


class Visits(BaseModel):
    """How often somebody was here."""

    count: int
