"""Books over HTTP: a route is a session and a statement."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from sqlalchemy import select

from bookapi.models import Book
from bookapi.schemas import BookIn, BookOut
from dbops.integrations.fastapi import Reader, Writer

router = APIRouter(prefix="/books", tags=["books"])

_NEWEST = 100


@router.get("")
async def listed(reader: Reader) -> list[BookOut]:
    """List the newest books, as the reader has them."""
    query = select(Book).order_by(Book.id.desc()).limit(_NEWEST)
    return [BookOut.model_validate(it) for it in await reader.scalars(query)]


@router.get("/{number}")
async def one(
    number: Annotated[int, Path(ge=1, lt=1 << 63)], reader: Reader
) -> BookOut:
    """Show one book."""
    found = await reader.get(Book, number)
    if found is None:
        raise HTTPException(404, "there is no such book")
    return BookOut.model_validate(found)


@router.post("", status_code=201)
async def created(book: BookIn, writer: Writer) -> BookOut:
    """Store a book; it is committed before the response is sent."""
    made = Book(**book.model_dump())
    writer.add(made)
    await writer.flush()
    return BookOut.model_validate(made)
