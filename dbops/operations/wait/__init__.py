"""Wait until a server, a database, its schema or its reader can be used.

What waits for migrations imports Alembic, so it is a module of its own:
`dbops.operations.wait.migrations`.
"""

from dbops.operations.wait.attempts import Waited
from dbops.operations.wait.endpoint import wait

__all__ = ["Waited", "wait"]
