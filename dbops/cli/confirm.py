"""Ask the person at the terminal."""

import sys

import typer

from dbops.errors import RefusedError


def confirmed_by_person(question: str) -> bool:
    """Ask the person at the terminal; nobody there means no."""
    if not sys.stdin.isatty():
        return False
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise RefusedError("not confirmed: nothing was done") from None
