"""Which servers have answered?"""

from typing import Any

from dbops.endpoint import Address
from dbops.operations.lag.answer import Node


def node_of(address: Address, row: dict[str, Any]) -> Node:
    """Describe a server by its row of ON_WRITER or ON_READER."""
    at = row["address"]
    sender = row.get("sender_host")
    return Node(
        host=address.host,
        port=address.port,
        is_in_recovery=row["is_in_recovery"],
        instance=None if at is None else str(Address(at, int(row["port"]))),
        upstream=str(Address(sender, row["sender_port"])) if sender else None,
    )


def silent_node(address: Address) -> Node:
    """Describe a server that gives no answer."""
    return Node(host=address.host, port=address.port, is_in_recovery=None)
