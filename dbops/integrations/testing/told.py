"""How does a test hear why a fixture could not be made?"""

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from dbops.errors import DbopsError


@contextmanager
def told() -> Generator[None]:
    """Turn an error of dbops into a failure without a traceback.

    Raises:
        pytest.fail.Exception: With the error's sentence and its hint.
    """
    try:
        yield
    except DbopsError as error:
        hint = f"\nhint: {error.hint}" if error.hint else ""
        raise pytest.fail.Exception(f"dbops: {error.message}{hint}", False) from None  # noqa: FBT003 # positional there
