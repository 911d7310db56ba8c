"""Libraries that would speak on stderr by themselves."""

import logging


def hush_libraries() -> None:
    """Keep the libraries' own warnings and traces off stderr.

    Without a handler Python shows them; whatever matters in them is an error of ours
    too. A handler that the user's env.py adds still hears them.
    """
    for name in ("sqlalchemy", "asyncio"):
        logging.getLogger(name).addHandler(logging.NullHandler())
