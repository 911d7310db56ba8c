"""Where is the running local pair, in the words of the settings?"""

from collections.abc import Mapping

from dbops.local.state import running
from dbops.settings import load_settings


def local_pair() -> Mapping[str, object] | None:
    """Return the settings that lead to the running local pair; None if none runs.

    For `load_settings(local_pair=local_pair)`: it is asked only where nothing else says
    where a database is.

    Raises:
        ConfigError: If the settings are malformed.
    """
    pair = running(cache_dir=load_settings().cache_dir)
    if pair is None:
        return None
    writer, reader = pair.writer.addresses[0], pair.reader.addresses[0]
    return {
        "db_host": writer.host,
        "db_port": writer.port,
        "db_reader_host": reader.host,
        "db_reader_port": reader.port,
        "db_user": pair.writer.user,
        "db_password": pair.writer.password,
        "db_name": pair.writer.database,
        "db_sslmode": pair.writer.sslmode,
    }
