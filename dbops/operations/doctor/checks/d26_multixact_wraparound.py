"""Is a database about to run out of multixact ids?

Each stands for several transactions that lock one row, such as the checks of foreign
keys do.
"""

from dbops.limits import Limit
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server
from dbops.operations.doctor.wraparound import ages


async def find(server: Server, limits: Limits) -> Found:
    """Grade the age of each database's oldest multixact id."""
    return await ages(
        server,
        limits["value"],
        age="mxid_age",
        database="datminmxid",
        table="relminmxid",
        counts="multixacts",
    )


CHECK = ServerCheck(
    id="D26",
    title="multixact wraparound",
    question="Is a database about to run out of multixact ids?",
    on="writer",
    find=find,
    limits={"value": Limit(500_000_000, 1_200_000_000)},
)
