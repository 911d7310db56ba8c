"""What AWS is asked and answers, kept out of the log.

At the level DEBUG botocore writes down all of it: secrets, session tokens, signatures.
https://docs.aws.amazon.com/boto3/latest/reference/core/boto3.html#boto3.set_stream_logger
"""

import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager

_TELLTALES = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
_here = threading.local()


@contextmanager
def unlogged() -> Generator[None]:
    """Keep botocore's own words out of the log for the block, in this thread."""
    for name in _TELLTALES:
        # A second time changes nothing.
        logging.getLogger(name).addFilter(_may_be_logged)
    _here.is_asking = True
    try:
        yield
    finally:
        _here.is_asking = False


def _may_be_logged(record: logging.LogRecord) -> bool:
    is_asking = getattr(_here, "is_asking", False)
    return not is_asking or record.levelno > logging.DEBUG
