"""Which lock does an action take on the table that it is done to?

https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES
"""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from dbops.operations.lint.action import Action
from dbops.operations.lint.transactions import is_concurrent


class Lock(IntEnum):
    """The table locks, the weakest first, as pg_locks counts them."""

    NONE = 0
    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    """From here on writes wait."""
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8
    """Reads wait too."""

    @property
    def mode(self) -> str:
        """Its name in pg_locks: `AccessExclusiveLock`."""
        return "".join(part.title() for part in self.name.split("_")) + "Lock"


_ALWAYS = {
    "add column": Lock.ACCESS_EXCLUSIVE,
    "add constraint": Lock.ACCESS_EXCLUSIVE,
    "alter column": Lock.ACCESS_EXCLUSIVE,
    "alter constraint": Lock.ACCESS_EXCLUSIVE,
    "alter table": Lock.ACCESS_EXCLUSIVE,
    "alter view": Lock.ACCESS_EXCLUSIVE,
    "attach partition": Lock.SHARE_UPDATE_EXCLUSIVE,
    "cluster": Lock.ACCESS_EXCLUSIVE,
    "comment on": Lock.SHARE_UPDATE_EXCLUSIVE,
    "copy from": Lock.ROW_EXCLUSIVE,
    "create index": Lock.SHARE,
    "create policy": Lock.ACCESS_EXCLUSIVE,
    "create rule": Lock.ACCESS_EXCLUSIVE,
    "create trigger": Lock.SHARE_ROW_EXCLUSIVE,
    "delete": Lock.ROW_EXCLUSIVE,
    "detach partition": Lock.ACCESS_EXCLUSIVE,
    "drop column": Lock.ACCESS_EXCLUSIVE,
    "drop constraint": Lock.ACCESS_EXCLUSIVE,
    "drop index": Lock.ACCESS_EXCLUSIVE,
    "drop materialized view": Lock.ACCESS_EXCLUSIVE,
    "drop policy": Lock.ACCESS_EXCLUSIVE,
    "drop rule": Lock.ACCESS_EXCLUSIVE,
    "drop table": Lock.ACCESS_EXCLUSIVE,
    "drop trigger": Lock.ACCESS_EXCLUSIVE,
    "drop view": Lock.ACCESS_EXCLUSIVE,
    "insert": Lock.ROW_EXCLUSIVE,
    "merge": Lock.ROW_EXCLUSIVE,
    "refresh": Lock.ACCESS_EXCLUSIVE,
    "reindex index": Lock.SHARE,
    "reindex table": Lock.SHARE,
    "rename column": Lock.ACCESS_EXCLUSIVE,
    "rename constraint": Lock.ACCESS_EXCLUSIVE,
    "rename table": Lock.ACCESS_EXCLUSIVE,
    "truncate": Lock.ACCESS_EXCLUSIVE,
    "update": Lock.ROW_EXCLUSIVE,
    "vacuum": Lock.ACCESS_EXCLUSIVE,
    "validate constraint": Lock.SHARE_UPDATE_EXCLUSIVE,
}


def lock_of(action: Action) -> Lock:
    """Return the strongest lock that the action takes on its table."""
    if action.kind == "lock":
        return _asked_for(action)
    if action.kind == "alter table" and _is_on_triggers(action):
        return Lock.SHARE_ROW_EXCLUSIVE
    weaker = _WEAKER.get(action.kind)
    if weaker is not None and weaker.when(action):
        return weaker.lock
    return _ALWAYS.get(action.kind, Lock.NONE)


def _is_on_triggers(action: Action) -> bool:
    body = action.body
    return (body.begins("ENABLE") or body.begins("DISABLE")) and body.has("TRIGGER")


def _is_concurrent(action: Action) -> bool:
    return is_concurrent(action.words)


def _sets_parameters(action: Action) -> bool:
    return action.body.begins("SET", "(") or action.body.begins("RESET", "(")


def _sets_statistics(action: Action) -> bool:
    return action.body.begins("SET", "STATISTICS") or _sets_parameters(action)


def _is_light(action: Action) -> bool:
    body = action.body
    is_about_order = body.begins("CLUSTER") or body.begins("SET", "WITHOUT", "CLUSTER")
    return is_about_order or _sets_parameters(action)


def _is_plain(action: Action) -> bool:
    return not action.body.has("FULL") or action.body.has("FULL", "FALSE")


def _is_gradual(action: Action) -> bool:
    return action.body.has("CONCURRENTLY") or action.body.has("FINALIZE")


class _Weaker(NamedTuple):
    """A lock that is taken instead, and when."""

    lock: Lock
    when: Callable[[Action], bool]


_GENTLE = Lock.SHARE_UPDATE_EXCLUSIVE
_WEAKER = {
    "add constraint": _Weaker(
        Lock.SHARE_ROW_EXCLUSIVE, lambda action: action.body.begins("FOREIGN", "KEY")
    ),
    "alter column": _Weaker(_GENTLE, _sets_statistics),
    "alter table": _Weaker(_GENTLE, _is_light),
    "create index": _Weaker(_GENTLE, _is_concurrent),
    "detach partition": _Weaker(_GENTLE, _is_gradual),
    "drop index": _Weaker(_GENTLE, _is_concurrent),
    "refresh": _Weaker(
        Lock.EXCLUSIVE, lambda action: action.body.begins("CONCURRENTLY")
    ),
    "reindex index": _Weaker(_GENTLE, _is_concurrent),
    "reindex table": _Weaker(_GENTLE, _is_concurrent),
    "vacuum": _Weaker(_GENTLE, _is_plain),
}


def _asked_for(action: Action) -> Lock:
    mode = action.words.after("IN")
    if mode is None:
        return Lock.ACCESS_EXCLUSIVE
    name = "_".join(token.key for token in mode.until(("MODE",)))
    return Lock[name] if name in Lock.__members__ else Lock.ACCESS_EXCLUSIVE
