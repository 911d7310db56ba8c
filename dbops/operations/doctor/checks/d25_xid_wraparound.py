"""Is a database about to run out of transaction ids?"""

from dbops.limits import Limit
from dbops.operations.doctor.check import Found, Limits, ServerCheck
from dbops.operations.doctor.servers import Server
from dbops.operations.doctor.wraparound import ages


async def find(server: Server, limits: Limits) -> Found:
    """Grade the age of each database's oldest transaction id."""
    return await ages(
        server,
        limits["value"],
        age="age",
        database="datfrozenxid",
        table="relfrozenxid",
        counts="transactions",
    )


CHECK = ServerCheck(
    id="D25",
    title="transaction id wraparound",
    question="Is a database about to run out of transaction ids?",
    on="writer",
    find=find,
    limits={"value": Limit(500_000_000, 1_200_000_000)},
)
