"""Does what the reader says prove that it has what the writer had?"""

from typing import Any, Literal, NamedTuple

from dbops.errors import RefusedError, UnreachableError

Verdict = Literal["replayed", "not_yet", "is_writer", "unproved"]
Relation = Literal["follows", "is_writer", "stranger", "promoted", "diverged"]


class Token(NamedTuple):
    """The writer's position after the fact, and who the writer is."""

    position: str
    """What the reader has to replay."""
    timeline: int
    """A position means something on one timeline only."""
    system_identifier: str
    """Which cluster."""
    instance: tuple[object, ...]
    """Which server of it: when it started, its port."""
    snapshot: str = ""
    """What was committed when the position was asked for."""
    is_all: bool = True
    """Whether every commit so far lies before the position."""


def judged(token: Token, state: dict[str, Any]) -> Verdict:
    """Compare who the two are, then where they are.

    Raises:
        RefusedError: If the reader does not follow this writer, and never will.
    """
    relation = related(token, state)
    if relation == "is_writer":
        return "is_writer"
    if relation != "follows":
        text, hint = told(relation, token, state)
        raise RefusedError(text, hint=hint, phase="replica")
    if not state["is_replayed"]:
        return "not_yet"
    if timeline_of(state) == token.timeline:
        return "replayed"
    return "unproved" if is_hidden(state) else "not_yet"


def related(token: Token, state: dict[str, Any]) -> Relation:
    """Compare who the two are, before any position."""
    if state["system_identifier"] != token.system_identifier:
        return "stranger"
    if not state["is_in_recovery"]:
        is_same = (state["started"], state["port"]) == token.instance
        return "is_writer" if is_same else "promoted"
    return "diverged" if timeline_of(state) > token.timeline else "follows"


def told(relation: Relation, token: Token, state: dict[str, Any]) -> tuple[str, str]:
    """Say why the reader does not follow this writer, and what to do about it."""
    match relation:
        case "stranger":
            return (
                "the reader belongs to another cluster than the writer",
                "check DATABASE_URL and DATABASE_READER_URL",
            )
        case "promoted":
            return (
                "the reader was promoted: there are two primaries",
                "find out which one applications write to, and rebuild the other",
            )
        case "diverged":
            timelines = f"{timeline_of(state)}, and the writer is on {token.timeline}"
            text = f"the reader follows timeline {timelines}"
            return (
                f"{text}: it is not this writer that the reader follows",
                "another server was promoted; point DATABASE_URL at it",
            )
        case _:
            return (
                "the reader is the writer itself: there is no replica to be behind",
                "point DATABASE_READER_URL at a standby",
            )


def late(
    state: dict[str, Any], token: Token, where: str, limit_s: float
) -> UnreachableError:
    """Return the error for a reader that did not follow in time: why, if it shows."""
    reason, hint = _why(state, token)
    return UnreachableError(
        f"the reader {where} has not replayed what the writer wrote, after "
        f"{limit_s:g} s: {reason}",
        hint=hint,
        phase="replica",
    )


def grant(state: dict[str, Any]) -> str:
    """Return what would show this role the reader's timeline."""
    return f"GRANT pg_read_all_stats TO {state['role']}"


def _why(state: dict[str, Any], token: Token) -> tuple[str, str]:
    bytes_behind = max(state["bytes_behind"] or 0, 0)
    if state["pause_state"] not in (None, "not paused"):
        return "its replay is paused", "on the reader: SELECT pg_wal_replay_resume()"
    if state["receiver_pid"] is None:
        return (
            "it receives nothing, no WAL receiver runs",
            "look into the reader's log, and at its primary_conninfo",
        )
    if state["is_replayed"] and timeline_of(state) < token.timeline:
        where = f"it is still on timeline {timeline_of(state)}"
        return (
            f"{where}, the writer on {token.timeline}",
            "a reader that cannot follow a promotion has to be rebuilt",
        )
    if state["conflicts"]:
        return (
            f"a query on it holds the replay back, {bytes_behind} bytes are missing",
            "see max_standby_streaming_delay, or end the query",
        )
    if state["apply_delay_s"]:
        return (
            f"it applies everything {state['apply_delay_s']:g} s late",
            "wait for longer than that, or see recovery_min_apply_delay",
        )
    return f"{bytes_behind} bytes are missing", "wait longer; see: dbops lag"


def timeline_of(state: dict[str, Any]) -> int:
    """Return the timeline that the reader is known to be on; 0 for unknown."""
    return int(state["received_timeline"] or state["known_timeline"] or 0)


def is_hidden(state: dict[str, Any]) -> bool:
    """Tell whether the role may not see what the receiver does."""
    return state["receiver_pid"] is not None and state["receiver_status"] is None
