"""What may one process open?"""

from typing import Literal

from dbops.results import Model
from dbops.settings import Settings

Role = Literal["writer", "reader"]


class PoolSettings(Model):
    """One pool as it is configured, for one process."""

    role: Role
    """`writer` or `reader`."""
    pool_class: str
    """SQLAlchemy's name for its kind; a `NullPool` opens as many as are asked for."""
    pool_size: int
    """Connections kept; 0 means no limit."""
    max_overflow: int
    """More at most; -1 means no limit."""
    most: int | None
    """What the pool can open at most; null when there is no limit."""
    unlimited_by: str | None = None
    """Which setting takes the limit away; null where there is one."""
    pool_timeout_s: float
    """How long a request waits for a connection."""
    pool_recycle_s: float | None
    """Age at which a connection is replaced; null for never."""

    @property
    def equation(self) -> str:
        """What it can open, as it is added up."""
        return self.unlimited_by or f"({self.pool_size} + {self.max_overflow})"


def engines(settings: Settings) -> tuple[PoolSettings, ...]:
    """Return the pools of one process: of the writer, and of a reader."""
    roles: tuple[Role, ...] = ("writer",)
    if settings.has_reader:
        roles = ("writer", "reader")
    return tuple(_engine(role, settings) for role in roles)


def _engine(role: Role, settings: Settings) -> PoolSettings:
    size, overflow = settings.pool_size, settings.max_overflow
    unlimited_by = _unlimited_by(settings)
    return PoolSettings(
        role=role,
        pool_class=settings.pool_class,
        pool_size=size,
        max_overflow=overflow,
        most=None if unlimited_by else size + overflow,
        unlimited_by=unlimited_by,
        pool_timeout_s=settings.pool_timeout,
        pool_recycle_s=settings.pool_recycle,
    )


def _unlimited_by(settings: Settings) -> str | None:
    # https://docs.sqlalchemy.org/en/21/core/pooling.html
    if settings.pool_class == "NullPool":
        return "NullPool"
    if settings.pool_size == 0:
        return "pool_size=0"
    return "max_overflow=-1" if settings.max_overflow < 0 else None
