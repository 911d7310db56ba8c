"""Every option that a setting stands behind: its flag, its help, its type.

A flag that is not given is None, and the setting is looked for elsewhere; a flag that
is given is handed to the settings as text and judged there, like any other source.
"""

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer


class _Option(NamedTuple):
    """One option: its help, its metavar; a metavar of None makes it a switch."""

    help: str
    metavar: str | None
    flags: tuple[str, ...] = ()
    many: bool = False


COMMON = (
    "target",
    "targets_sql",
    "jobs",
    "env_file",
    "format",
    "timeout",
    "wait",
    "quiet",
    "verbose",
)
LOCAL = ("env_file", "format", "timeout", "quiet", "verbose")
ALEMBIC = ("alembic_config", "alembic_section", "alembic_x")
DDL = ("lock_timeout", "ddl_lock_timeout", "ddl_retries", "statement_timeout")
FLEET = ("canary", "resume")
CHECK = ("fail_on", "retries", "interval")

_OPTIONS = {
    "target": _Option(
        "A named target of the project file, or a glob; repeatable.",
        "NAME",
        ("--target", "-t"),
        many=True,
    ),
    "env_file": _Option("Read NAME=value lines; repeatable.", "FILE", many=True),
    "format": _Option("human, json, nagios, prometheus, github, junit.", "FORMAT"),
    "timeout": _Option("Give up after this long, such as 5s.", "DURATION"),
    "wait": _Option("First wait this long for the server, such as 60s.", "DURATION"),
    "quiet": _Option("Say nothing on stderr but errors.", None, ("--quiet", "-q")),
    "verbose": _Option("Show the trace of a bug.", None, ("--verbose", "-v")),
    "maintenance_db": _Option("Where to connect for CREATE DATABASE.", "NAME"),
    "owner": _Option("The owner of a new database.", "ROLE"),
    "encoding": _Option("The encoding of a new database.", "NAME"),
    "locale": _Option("The locale of a new database.", "NAME"),
    "template": _Option("What to copy; template0 by default.", "NAME"),
    "extensions": _Option(
        "Create this extension; repeatable.", "NAME", ("--extension",), many=True
    ),
    "yes": _Option("Confirm.", None, ("--yes", "-y")),
    "force": _Option("Do it although something stands in the way.", None),
    "dry_run": _Option("Only say what would be done.", None),
    "tables": _Option("Create these tables instead of migrating.", "MODULE:METADATA"),
    "alembic_config": _Option("The project's alembic.ini.", "INI", ("--config", "-c")),
    "alembic_section": _Option("Its section.", "NAME", ("--name", "-n")),
    "alembic_x": _Option(
        "For env.py, as Alembic's -x; repeatable.", "KEY=VALUE", ("-x",), many=True
    ),
    "lock_timeout": _Option("Wait this long for another migrator.", "DURATION"),
    "ddl_lock_timeout": _Option("Let DDL wait this long for a table.", "DURATION"),
    "ddl_retries": _Option("Try a revision again this often when it waits.", "N"),
    "wait_replica": _Option(
        "Then wait for the reader to follow; 60s unless said.", "DURATION"
    ),
    "sql": _Option("Only print the SQL.", None),
    "rehearse": _Option("Only apply them to a throw-away copy, and report.", None),
    "journal": _Option("Keep a journal in the database (schema pgdbops).", None),
    "targets_sql": _Option("Lists the targets: name, database, schema, host.", "SQL"),
    "jobs": _Option("Work on this many targets at once.", "N"),
    "canary": _Option("Do this many targets first, and no other if one fails.", "N"),
    "resume": _Option("Leave out the targets that this report calls done.", "FILE"),
    "fail_on": _Option("Fail from this on: warn, unknown or fail.", "STATUS"),
    "baseline": _Option("Accepted differences.", "FILE"),
    "statement_timeout": _Option("Let the server end a statement.", "DURATION"),
    "wait_for": _Option(
        "server, database, writable, migrations or replica.", "WHAT", ("--for",)
    ),
    "pool_size": _Option("Connections that a pool keeps.", "N"),
    "max_overflow": _Option("How many more it opens.", "N"),
    "pool_class": _Option(
        "What the application pools with: QueuePool or NullPool.", "CLASS"
    ),
    "warn": _Option("Warn from this on; with a unit, repeatable.", "AMOUNT", many=True),
    "fail": _Option("Fail from this on; with a unit, repeatable.", "AMOUNT", many=True),
    "retries": _Option("Ask again this often before a bad answer counts.", "N"),
    "interval": _Option("The time between two of them, such as 1s.", "DURATION"),
    "count": _Option("How many times.", "N"),
    "require_replica": _Option("Fail where the reader is the writer.", None),
    "probe": _Option("First write one WAL record: something then has to flow.", None),
    "each": _Option("Every reader that the writer knows of.", None),
    "replicas": _Option("How many replicas (pods) the application has at most.", "N"),
    "surge": _Option("How many more a rollout starts: 25% or 2.", "AMOUNT"),
    "workers": _Option("Processes in each replica, each with its own pools.", "N"),
    "readers": _Option("How many readers share evenly what is read.", "N"),
    "job_processes": _Option(
        "Processes of jobs, each with its own pools.", "N", ("--jobs",)
    ),
    "pgbouncer": _Option("PgBouncer's admin console, or PROCESSESxPOOL_SIZE.", "URL"),
    "only": _Option("Only this check; repeatable.", "ID", many=True),
    "skip": _Option("Leave this check out; repeatable.", "ID", many=True),
    "ignore": _Option("Accept a finding; repeatable.", "ID[:OBJECT]", many=True),
    "reason": _Option(
        "Why it is accepted; one for all, or one for each.", "TEXT", many=True
    ),
    "limit": _Option(
        "A check's own thresholds; repeatable.", "ID=WARN[,FAIL]", many=True
    ),
    "all_databases": _Option("Look into every database of the server.", None),
    "output": _Option("Where to write it.", "FILE", ("--output", "-o")),
}


def parameters(names: Iterable[str]) -> Iterator[inspect.Parameter]:
    """Return the options as parameters of a command's signature."""
    for name in names:
        option = _OPTIONS[name]
        kind: Any = bool if option.metavar is None else str
        if name == "env_file":
            kind = Path
        if option.many:
            kind = list[kind]
        flags = option.flags or ("--" + name.replace("_", "-"),)
        info = typer.Option(
            # No --no-yes: what is not said is not said.
            *flags,
            help=_with_variable(name, option.help),
            metavar=option.metavar,
            show_default=False,
        )
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kind | None, info],
        )


def variable(name: str) -> str:
    """Return the environment variable of an option, without importing the settings."""
    return f"DBOPS_{name.upper()}"


def _with_variable(name: str, text: str) -> str:
    return text if name == "env_file" else f"{text} ({variable(name)})"
