"""What may the pools open, what does the server allow, who holds connections now?"""

from dbops.operations.pool.answer import Pool
from dbops.operations.pool.pgbouncer import shows_password
from dbops.operations.pool.pool import pool

__all__ = ["Pool", "pool", "shows_password"]
