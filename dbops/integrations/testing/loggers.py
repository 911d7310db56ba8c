"""How does the logging of a test run survive an env.py?"""

import logging
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def loggers_as_they_were() -> Generator[None]:
    """Give every logger back its handlers, its level and its voice.

    `fileConfig`, which the env.py of Alembic's templates calls, switches off every
    logger that is there, and lets the root write to what is stderr at that moment.
    https://docs.python.org/3/library/logging.config.html#logging.config.fileConfig
    """
    before = {it: _state(it) for it in _loggers()}
    try:
        yield
    finally:
        for logger, (handlers, level, is_disabled, propagates) in before.items():
            logger.handlers[:] = handlers
            logger.setLevel(level)
            logger.disabled, logger.propagate = is_disabled, propagates


def _loggers() -> list[logging.Logger]:
    named = logging.root.manager.loggerDict.values()
    return [logging.root, *(it for it in named if isinstance(it, logging.Logger))]


def _state(logger: logging.Logger) -> tuple[list[logging.Handler], int, bool, bool]:
    return list(logger.handlers), logger.level, logger.disabled, logger.propagate
