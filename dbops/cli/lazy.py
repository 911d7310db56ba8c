"""Commands that are built when they are called, or listed.

Reading the signatures of all commands takes longer than connecting to a server, and a
probe needs one of them.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command
from typing_extensions import override

if TYPE_CHECKING:
    from typer._click import Command as Built  # typer's own, which has no public name
    from typer._click import Context

# typer's own classes of its errors have no public name.
_USAGE = 2


class Commands(Mapping[str, "Built"]):
    """The commands of one group, by name, in the order of their registration."""

    def __init__(self) -> None:
        self._builders: dict[str, Callable[[], typer.Typer]] = {}

    def add(self, name: str, build: Callable[[], typer.Typer]) -> None:
        """Take a command: a typer application of one command, or a group of them."""
        self._builders[name] = build

    @override
    def __getitem__(self, name: str) -> "Built":
        built = get_command(self._builders[name]())
        built.name = name
        return built

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    @override
    def __len__(self) -> int:
        return len(self._builders)


def group_of(commands: Commands, *, name: str, help: str) -> typer.Typer:  # noqa: A002 # typer's own word
    """Return a typer application whose commands are built when they are needed."""

    class Group(TyperGroup):
        """Looks its commands up in `commands`."""

        def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 # typer's own
            super().__init__(**{**attributes, "commands": commands})

        @override
        def make_context(self, *args: Any, **extra: Any) -> "Context":
            try:
                return super().make_context(*args, **extra)
            except Exception as error:
                _tell(name, error)
                raise

        @override
        def invoke(self, ctx: "Context") -> Any:
            try:
                return super().invoke(ctx)
            except Exception as error:
                inner, outer = ctx.invoked_subcommand, name if ctx.parent else None
                _tell(" ".join(filter(None, (outer, inner))) or name, error)
                raise

    application = application_of(name, cls=Group, no_args_is_help=True)
    # A callback is what makes typer build a group.
    application.callback(help=help)(_nothing)
    return application


def application_of(name: str, **settings: Any) -> typer.Typer:  # noqa: ANN401 # typer's own
    """Return an empty typer application with the settings that all of ours share."""
    return typer.Typer(
        name=name,
        add_completion=False,
        # A trace with local variables would show passwords.
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def _tell(command: str, error: Exception) -> None:
    """Tell what makes no sense in the form that is wanted, once."""
    if getattr(error, "exit_code", None) != _USAGE or hasattr(error, "is_told"):
        return
    from dbops.cli.misuse import tell_misuse  # noqa: PLC0415 # only where it is needed

    tell_misuse(command, sys.argv[1:], error)
    error.is_told = True  # type: ignore[attr-defined] # for the group around this one


def _nothing() -> None:
    """Do nothing: a group has no options of its own."""
