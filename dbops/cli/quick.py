"""Is there nothing to migrate? Asked before Alembic is imported, of many databases."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbops.cli.call import Call
    from dbops.operations.migrate.at_head import Heads
    from dbops.results import Result


async def nothing_to_migrate(
    call: "Call", revision: str = "head", **_: object
) -> "Result | None":
    """Answer at once where nothing is pending and nothing else is asked for.

    Returns:
        What `migrate` returns when nothing is pending; None when something is, or when
        Alembic has to be asked.

    Raises:
        DbopsError: As `Connector.__call__`.
    """
    settings = call.settings
    if call.was_scanned:
        return None
    if settings.dry_run or settings.sql or settings.rehearse or settings.wait_replica:
        return None
    from dbops.operations.migrate.at_head import has_all  # noqa: PLC0415 # not for --help

    heads = _heads(
        settings.alembic_config, settings.alembic_section, settings.alembic_x
    )
    return await has_all(call.connectors, heads, revision)


@cache
def _heads(
    config_file: str | None, section: str, x_arguments: tuple[str, ...]
) -> "Heads | None":
    """Read the project once for all of its databases."""
    from dbops.operations.migrate.at_head import heads_of  # noqa: PLC0415 # same

    return heads_of(config_file, section=section, x_arguments=x_arguments)
