"""Are the servers of one version, and is it still maintained?"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from dbops.operations.doctor.answer import Finding
from dbops.operations.doctor.check import (
    ClusterCheck,
    Found,
    Limits,
    UndecidedError,
)
from dbops.operations.doctor.servers import Cluster

# Major version → the day of its last release.
# https://www.postgresql.org/support/versioning/
END_OF_LIFE: Mapping[int, date] = {
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}
_SOURCE = "https://www.postgresql.org/support/versioning/"
_SOON = timedelta(days=180)

# Today is what the server says: ours may be the clock that is wrong.
VERSION = """
    SELECT pg_catalog.current_setting('server_version_num')::int / 10000 AS major,
           pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1)
             AS version,
           (pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')::date AS today
"""


async def find(cluster: Cluster, limits: Limits) -> Found:  # noqa: ARG001 # it has none
    """Compare the versions, and each with its last day."""
    if not cluster.servers:
        raise UndecidedError("no server gives an answer")
    rows = {server.role: await server.row(VERSION) for server in cluster.servers}
    versions = {role: row["version"] for role, row in rows.items()}
    findings = [_ended(row) for row in _each_major(rows)]
    notes = [_ends_soon(row) for row in _each_major(rows)]
    if len({row["major"] for row in rows.values()}) > 1:
        findings.append(_differs(versions))
    elif len(set(versions.values())) > 1:
        notes.append(f"the minor versions differ: {_listed(versions)}")
    silent = [f"the {role} gives no answer" for role in cluster.failures]
    return Found(
        "; ".join([_listed(versions), *silent]),
        tuple(it for it in findings if it is not None),
        tuple(it for it in notes if it is not None),
    )


def _each_major(rows: Mapping[Any, dict[str, Any]]) -> list[dict[str, Any]]:
    return list({row["major"]: row for row in rows.values()}.values())


def _listed(versions: Mapping[Any, str]) -> str:
    return ", ".join(f"{role} {version}" for role, version in versions.items())


def _ended(row: dict[str, Any]) -> Finding | None:
    """Tell a version without further fixes; one that is too new to be known is none."""
    major, today = row["major"], row["today"]
    end = END_OF_LIFE.get(major)
    if major >= min(END_OF_LIFE) and (end is None or today <= end):
        return None
    since = "" if end is None else f" since {end}"
    return Finding(
        object=f"PostgreSQL {major}",
        message=f"PostgreSQL {major} gets no more fixes{since}, and this is "
        f"{row['version']}",
        remedy=f"upgrade to a maintained version: {_SOURCE}",
    )


def _ends_soon(row: dict[str, Any]) -> str | None:
    end = END_OF_LIFE.get(row["major"])
    if end is None or not row["today"] <= end <= row["today"] + _SOON:
        return None
    return f"PostgreSQL {row['major']} gets its last fixes on {end}"


def _differs(versions: Mapping[Any, str]) -> Finding:
    return Finding(
        object="reader",
        message=f"the major versions differ: {_listed(versions)}",
        remedy="check DATABASE_URL and DATABASE_READER_URL, and whether an upgrade is "
        "still under way",
        role="reader",
    )


CHECK = ClusterCheck(
    id="D08",
    title="versions",
    question="Are the servers of one version, and is it still maintained?",
    find=find,
    since=0,
)
