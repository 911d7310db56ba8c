"""Which words stand where in a statement?"""

from collections.abc import Sequence
from functools import cached_property

from typing_extensions import override

from dbops.operations.lint.tokens import Token

_OPENING = ("(", "[")
_CLOSING = (")", "]")


class Words(tuple[Token, ...]):  # noqa: SLOT001 # a slot cannot keep `keys`
    """A run of tokens that is searched outside of its parentheses."""

    @cached_property
    def keys(self) -> list[str]:
        """What each is compared by."""
        return [token.key for token in self]

    @override
    def __str__(self) -> str:
        return " ".join(self.keys)

    def find(self, *keys: str) -> int | None:
        """Return where these keywords follow each other at the top; None if nowhere."""
        wanted = list(keys)
        if wanted[0] not in self.keys:
            return None
        depth = 0
        for at, key in enumerate(self.keys):
            depth += (key in _OPENING) - (key in _CLOSING)
            if depth == 0 and key == wanted[0] and self.begins(*keys, at=at):
                return at
        return None

    def has(self, *keys: str) -> bool:
        """Whether these keywords follow each other, outside of parentheses."""
        return self.find(*keys) is not None

    def begins(self, *keys: str, at: int = 0) -> bool:
        """Whether these keywords stand at `at`."""
        return self.keys[at : at + len(keys)] == list(keys)

    def after(self, *keys: str) -> "Words | None":
        """Return what follows these keywords; None if they are not there."""
        at = self.find(*keys)
        return None if at is None else Words(self[at + len(keys) :])

    def until(self, keys: Sequence[str]) -> "Words":
        """Return what stands before the first of `keys` outside of parentheses."""
        found = [at for key in keys if (at := self.find(key)) is not None]
        return Words(self[: min(found, default=len(self))])

    def split(self) -> "list[Words]":
        """Return the parts between commas outside of parentheses."""
        parts: list[list[Token]] = [[]]
        depth = 0
        for token in self:
            depth += (token.key in _OPENING) - (token.key in _CLOSING)
            if depth == 0 and token.key == ",":
                parts.append([])
            else:
                parts[-1].append(token)
        return [Words(part) for part in parts if part]

    def group(self) -> "Words":
        """Return what stands inside the first parentheses; nothing without any."""
        depth, inside = 0, []
        for token in self:
            if token.key == ")":
                depth -= 1
                if depth == 0:
                    break
            if depth:
                inside.append(token)
            depth += token.key == "("
        return Words(inside)
