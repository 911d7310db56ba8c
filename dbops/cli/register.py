"""How a coroutine becomes a command: its signature, its options, its run.

Nothing here imports what runs a command, so that `--help` shows itself at once.
"""

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import typer

from dbops.cli.lazy import Commands, application_of
from dbops.cli.optional import OptionalValues
from dbops.cli.options import COMMON, parameters
from dbops.cli.started import STARTED_S

if TYPE_CHECKING:
    from dbops.cli.call import Call
    from dbops.results import Result

COMMANDS = Commands()
"""The commands of dbops itself."""

Body = Callable[..., Awaitable["Result | int"]]


def command(
    *options: str,
    common: Sequence[str] = COMMON,
    waits_for: Literal["server", "database"] | None = None,
    uses_local_pair: bool = True,
    runs_env: bool | None = None,
    is_single: bool = False,
    quick: "Callable[..., Awaitable[Result | None]] | None" = None,
    on: Commands = COMMANDS,
    prefix: str = "",
    settings: dict[str, Any] | None = None,
) -> Callable[[Body], Body]:
    """Register a coroutine as a command.

    Args:
        options: Settings that are options of this command, besides the common ones.
        common: Settings that are options too.
        waits_for: What `--wait` waits for before the operation.
        uses_local_pair: Whether a running local pair stands in for missing settings.
        runs_env: Whether it runs the project's env.py, of which a process can run one
            at a time: several targets then take several processes. By default
            whether it takes Alembic's options.
        is_single: Whether it can show one target and no more.
        quick: Tried before the coroutine for each of several targets, with the same
            arguments; returns None where the coroutine is needed.
        on: The group that the command belongs to.
        prefix: The group's name and a space, for messages.
        settings: Passed on to typer.

    The coroutine takes the call and whatever of its own it declares; the name of the
    command is its name.
    """

    def register(body: Body) -> Body:
        name = body.__name__.strip("_").replace("_", "-")
        needs_processes = "alembic_config" in options if runs_env is None else runs_env

        def called(own: dict[str, Any], values: dict[str, Any]) -> None:
            from dbops.cli.call import Command, Errand  # noqa: PLC0415 # see above
            from dbops.cli.run import run  # noqa: PLC0415 # see above

            env_files = values.pop("env_file", None) or ()

            async def operation(call: "Call") -> "Result | int":
                return await body(call, **own)

            async def quickly(call: "Call") -> "Result | None":
                return None if quick is None else await quick(call, **own)

            errand = Errand(f"{body.__module__}:{body.__name__}", own)
            run(
                Command(
                    prefix + name,
                    operation,
                    values,
                    env_files,
                    waits_for,
                    monotonic() - STARTED_S,
                    uses_local_pair,
                    takes_targets="target" in common,
                    errand=errand if needs_processes else None,
                    quick=quickly if quick else None,
                    is_check="retries" in options,
                    is_single=is_single,
                )
            )

        def build() -> typer.Typer:
            application = application_of(name)
            callback = _with_options(body, called, dict.fromkeys([*options, *common]))
            application.command(name, cls=OptionalValues, **(settings or {}))(callback)
            return application

        on.add(name, build)
        return body

    return register


def _with_options(
    body: Body,
    called: Callable[[dict[str, Any], dict[str, Any]], None],
    options: Iterable[str],
) -> Callable[..., None]:
    """Return what typer calls: with the body's own parameters and the options."""
    own = list(inspect.signature(body).parameters.values())[1:]
    listed = sorted([*own, *parameters(options)], key=lambda p: p.kind)

    def callback(**values: Any) -> None:  # noqa: ANN401 # whatever typer read
        called({p.name: values.pop(p.name) for p in own}, values)

    callback.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined] # what typer reads
    callback.__annotations__ = {p.name: p.annotation for p in listed}
    callback.__doc__ = body.__doc__
    return callback
