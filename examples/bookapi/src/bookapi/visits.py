"""Visits over HTTP: counted by the reader, recorded by the writer."""

from fastapi import APIRouter
from sqlalchemy import func, select

from bookapi.models import Visit
from bookapi.schemas import Visits
from dbops.integrations.fastapi import Context, Reader

router = APIRouter(prefix="/visits", tags=["visits"])

_COUNT = select(func.count()).select_from(Visit)


@router.get("")
async def counted(reader: Reader) -> Visits:
    """Count the visits so far."""
    return Visits(count=await reader.scalar(_COUNT) or 0)


@router.post("", status_code=201)
async def recorded(context: Context) -> Visits:
    """Record a visit; answer with how many there were before it, as the reader has it.

    The reader's snapshot is older than this request's own visit.
    """
    context.writer.add(Visit())
    return Visits(count=await context.reader.scalar(_COUNT) or 0)
