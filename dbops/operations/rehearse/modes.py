"""What does a lock mode keep others from?

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
"""

from dbops.operations.rehearse.rehearsed import Blocks

# As pg_locks writes them, the weakest first: each blocks whatever the one before does.
_MODES = {
    "AccessShareLock": ("ACCESS SHARE", Blocks.SCHEMA_CHANGES),
    "RowShareLock": ("ROW SHARE", Blocks.SCHEMA_CHANGES),
    "RowExclusiveLock": ("ROW EXCLUSIVE", Blocks.SCHEMA_CHANGES),
    "ShareUpdateExclusiveLock": ("SHARE UPDATE EXCLUSIVE", Blocks.SCHEMA_CHANGES),
    "ShareLock": ("SHARE", Blocks.WRITES),
    "ShareRowExclusiveLock": ("SHARE ROW EXCLUSIVE", Blocks.WRITES),
    "ExclusiveLock": ("EXCLUSIVE", Blocks.WRITES),
    "AccessExclusiveLock": ("ACCESS EXCLUSIVE", Blocks.READS_AND_WRITES),
}
_ORDER = list(_MODES)


def strength(mode: str) -> int:
    """Return the place of a mode among all; the highest is the strongest."""
    return _ORDER.index(mode)


def meaning(mode: str) -> tuple[str, Blocks]:
    """Return the manual's name of a mode, and what it blocks."""
    return _MODES[mode]
