"""What an env.py changes about the process that runs it, put back."""

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def process_as_it_was() -> Generator[None]:
    """Give the process back its folder and its log after the block."""
    folder = None
    with suppress(FileNotFoundError):  # somebody has removed it
        folder = Path.cwd()
    try:
        with _log_as_it_was():
            yield
    finally:
        if folder is not None:
            os.chdir(folder)


@contextmanager
def _log_as_it_was() -> Generator[None]:
    """Give every logger back its handlers, its level and its voice.

    `fileConfig`, which the env.py of Alembic's templates calls, switches off every
    logger that is there, closes every handler, and lets the root write to what is
    stderr at that moment.
    https://docs.python.org/3/library/logging.config.html#logging.config.fileConfig
    """
    before = {it: _state(it) for it in _loggers()}
    disabled_level = logging.root.manager.disable
    # It closes the handlers of this list, and Python at its end no others.
    known: list[object] = logging._handlerList  # type: ignore[attr-defined] # noqa: SLF001 # nothing public tells
    open_handlers = known[:]
    known.clear()
    try:
        yield
    finally:
        known[:0] = open_handlers
        logging.disable(disabled_level)
        for logger in _loggers():
            if logger not in before:
                logger.disabled = False
        for logger, (handlers, level, is_disabled, propagates) in before.items():
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.disabled, logger.propagate = is_disabled, propagates


def _loggers() -> list[logging.Logger]:
    named = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(it for it in named if isinstance(it, logging.Logger))]


def _state(logger: logging.Logger) -> tuple[list[logging.Handler], int, bool, bool]:
    return list(logger.handlers), logger.level, logger.disabled, logger.propagate
