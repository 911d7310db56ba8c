"""Which targets does a command run on, and with which settings?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dbops import __version__
from dbops.cli.call import Command
from dbops.cli.ended import Ended, failed
from dbops.cli.target import DEFAULT_TARGET, Target
from dbops.credentials import SecretStore
from dbops.errors import DbopsError, UsageError
from dbops.settings import (
    Aws,
    Heard,
    Settings,
    listen,
    load_settings,
    target_names,
)


@dataclass(slots=True)
class Targets:
    """The targets of a command, in their order."""

    listed: Sequence[Target] = ()
    are_several: bool = False
    """Whether the answer is a list, also where only one is in it."""
    failed: list[Ended] = field(default_factory=list)
    """Those without settings; they stand where `order` says."""
    order: Sequence[str] = ()

    @property
    def settings(self) -> Settings | None:
        """The settings that hold for all; None where no target has any."""
        return self.listed[0].settings if self.listed else None


async def find_targets(command: Command, stores: dict[Aws, SecretStore]) -> Targets:
    """Find the targets that the flags, the settings or a query name.

    Args:
        command: For whom.
        stores: Filled with the secrets that are asked for on the way.

    Raises:
        DbopsError: If they cannot be found; a target with wrong settings is no reason.
    """
    heard = listen(command.env_files)
    patterns = command.flags.get("target") or ()
    if not patterns:
        settings = _settings(command, heard, None)
        patterns = settings.target if command.takes_targets else ()
        if not patterns:
            alone = Targets([Target(DEFAULT_TARGET, settings)], order=[DEFAULT_TARGET])
            return await _with_tenants(command, alone, stores)
    names = target_names(patterns, heard.project)
    found = Targets(are_several=len(names) > 1, order=names)
    found.listed = list(_loaded(command, heard, names, found.failed))
    return await _with_tenants(command, found, stores)


def _loaded(
    command: Command, heard: Heard, names: Iterable[str], without: list[Ended]
) -> Iterable[Target]:
    for name in names:
        try:
            yield Target(name, _settings(command, heard, name))
        except DbopsError as error:
            without.append(failed(name, error))


async def _with_tenants(
    command: Command, found: Targets, stores: dict[Aws, SecretStore]
) -> Targets:
    """Put the tenants in the place of the target that has a query for them."""
    asked = [it for it in found.listed if it.settings.targets_sql is not None]
    if not asked or not command.takes_targets:
        return found
    if found.are_several:
        raise UsageError(
            f"targets_sql asks one target, and {len(found.order)} are named",
            hint="name one with --target, or leave targets_sql out",
        )
    (base,) = asked
    from dbops.cli.tenants import tenants_of  # noqa: PLC0415 # only for a query

    tenants = await tenants_of(command, base.settings, stores)
    return Targets(tenants, are_several=True, order=[it.name for it in tenants])


def _settings(command: Command, heard: Heard, target: str | None) -> Settings:
    flags = {
        name: value
        for name, value in command.flags.items()
        if value is not None and value != [] and name in Settings.model_fields
    }
    settings = load_settings(
        target=target,
        flags=flags,
        local_pair=_local_pair if command.uses_local_pair else None,
        heard=heard,
    )
    if "application_name" in settings.sources:
        return settings
    return settings.named(f"dbops/{__version__} {command.name}")


def _local_pair() -> Mapping[str, object] | None:
    """Say where the running local pair is, in the words of the settings."""
    from dbops.local.place import local_pair  # noqa: PLC0415 # where nothing else is said

    return local_pair()
