"""One database on the run's writer and standby, as a test sees it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from dbops.endpoint import Endpoint
from dbops.settings import Settings, load_settings

if TYPE_CHECKING:
    from dbops.engine.database import Database


@dataclass(frozen=True)
class PairDatabase:
    """A database on the run's writer, and on the standby that follows it.

    Whoever asks for the standby, by `reader`, `settings`, `environment` or
    `database`, waits until it has the database as it was made.
    """

    name: str
    """Its name, on both servers."""
    writer: Endpoint = field(repr=False)
    """Where the writer is, with the password."""
    replica: Endpoint = field(repr=False)
    """Where the standby is, whether or not it has the database yet."""
    wait: Callable[[], None] = field(repr=False)
    """Returns once the standby has the database."""
    follow: Callable[[], None] = field(repr=False)
    """Returns once the standby has what the writer has now."""
    password_file: Path = field(repr=False)
    """Where the password of both is, for psql."""

    @property
    def reader(self) -> Endpoint:
        """Where the standby is, with the password.

        Raises:
            StaleReaderError: If the standby does not follow.
        """
        self.wait()
        return self.replica

    def catch_up(self) -> None:
        """Wait until the standby has all that was committed before.

        Raises:
            StaleReaderError: If it does not follow.
        """
        self.follow()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a program here, and nowhere else.

        They hold the password. What is empty takes the place of what the program
        would find in our environment.
        """
        url = self.writer.url(show_password=True)
        return {
            "DATABASE_URL": url,
            "DATABASE_READER_URL": self.reader.url(show_password=True),
            "DATABASE_ADMIN_URL": url,
            "DATABASE_MIGRATION_URL": url,
            "DB_SECRET_ID": "",
            "DB_READER_SECRET_ID": "",
            "DBOPS_AUTH": "password",
        }

    @property
    def psql(self) -> str:
        """A command that opens it in psql, and that shows no password."""
        url = replace(self.writer, password=None).url()
        return f'PGPASSWORD="$(cat {quote(str(self.password_file))})" psql {quote(url)}'

    def settings(self, **flags: object) -> Settings:
        """Return settings that lead here; those of the project apply besides.

        Args:
            flags: Further settings, by their names in Python, such as `pool_size`.

        Raises:
            ConfigError: If the project's settings are malformed.
            UsageError: If a flag is.
        """
        replica = self.reader.url(show_password=True)
        return self.writer_settings(**{"database_reader_url": replica, **flags})

    def writer_settings(self, **flags: object) -> Settings:
        """Return settings that lead to the writer alone, which is there at once.

        Raises:
            DbopsError: As `settings`.
        """
        url = self.writer.url(show_password=True)
        return load_settings(flags={"database_url": url, **flags})

    def database(self, **flags: object) -> "Database":
        """Return a new `Database` of writer and reader; whoever asks disposes of it.

        Args:
            flags: As `settings`.

        Raises:
            DbopsError: As `settings`.
        """
        from dbops.engine.database import Database  # noqa: PLC0415 # half of SQLAlchemy

        return Database(self.settings(**flags))
