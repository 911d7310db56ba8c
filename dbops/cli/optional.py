"""Options whose value may be left out, which typer has not."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from typer.core import TyperCommand
from typing_extensions import override

if TYPE_CHECKING:
    from typer._click import Context  # typer's own, which has no public name

_LIKE_DURATION = re.compile(r"[0-9.]+(ms|s|m|min|h|d)?")
_DEFAULTS: Mapping[str, str] = {"--wait-replica": "60s"}


class OptionalValues(TyperCommand):
    """A command that fills in the values that were left out."""

    @override
    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Parse the words of the command line after the command's name."""
        return super().parse_args(ctx, list(_filled(args)))


def _filled(args: Sequence[str]) -> Iterator[str]:
    for word, following in zip_longest(args, args[1:]):
        yield word
        if word in _DEFAULTS and not _is_duration(following):
            yield _DEFAULTS[word]


def _is_duration(word: str | None) -> bool:
    # A bare number is taken for one too, and refused as any other without its unit.
    return word is not None and bool(_LIKE_DURATION.fullmatch(word))
