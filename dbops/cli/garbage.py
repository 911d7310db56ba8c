"""When is garbage looked for in a process that ends soon?"""

import gc

# Alembic and SQLAlchemy make objects by the hundred thousand, and next to no garbage:
# with Python's own threshold, looking for it is a tenth of a migration.
_THRESHOLD = 100_000


def collect_seldom() -> None:
    """Look for garbage, but seldom, and not among what has been imported so far."""
    gc.freeze()
    gc.set_threshold(_THRESHOLD, 20)
    gc.enable()
