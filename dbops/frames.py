"""Errors without the frames they went through.

What connects holds the password in its local variables, in clear, and a reporter of
errors that shows those would show it too.
"""

from typing import TypeVar

E = TypeVar("E", bound=BaseException)


def without_frames(error: E) -> E:
    """Forget where an error, its causes and what was handled meanwhile were raised."""
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        current = todo.pop()
        if current is not None and id(current) not in seen:
            seen.add(id(current))
            current.__traceback__ = None
            todo += [current.__cause__, current.__context__]
    return error
