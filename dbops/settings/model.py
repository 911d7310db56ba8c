"""Every setting: its names, its form, its default."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, PrivateAttr, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from typing_extensions import override

from dbops import __version__
from dbops.endpoint import Endpoint, Role, SslMode
from dbops.settings.access import Access, Aws, access_to, secret_of, tenant_place
from dbops.settings.forms import Amounts, Fallback, ReaderFallback, Words, named_by
from dbops.units import Seconds

Format = Literal["human", "json", "nagios", "prometheus", "github", "junit"]
Severity = Literal["warn", "fail"]
FailOn = Literal["warn", "unknown", "fail"]
PoolClass = Literal["QueuePool", "NullPool"]
WaitFor = Literal["server", "database", "writable", "migrations", "replica"]


_READERS = ("database_reader_url", "db_reader_host", "db_reader_secret_id")


class Settings(BaseSettings):
    """Everything that can be configured; made by `load_settings`."""

    model_config = SettingsConfigDict(
        env_prefix="DBOPS_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_by_name=True,
    )

    database_url: SecretStr | None = named_by("DATABASE_URL")
    database_reader_url: SecretStr | None = named_by("DATABASE_READER_URL")
    database_admin_url: SecretStr | None = named_by(
        "DATABASE_ADMIN_URL", "SUPERUSER_DATABASE_URL"
    )
    database_migration_url: SecretStr | None = named_by("DATABASE_MIGRATION_URL")
    db_host: str | None = named_by("DB_HOST")
    db_reader_host: str | None = named_by("DB_READER_HOST")
    db_port: int | None = named_by("DB_PORT")
    db_reader_port: int | None = named_by("DB_READER_PORT")
    db_name: str | None = named_by("DB_NAME", "DATABASE_NAME")
    db_user: str | None = named_by("DB_USER")
    db_password: SecretStr | None = named_by("DB_PASSWORD")
    db_sslmode: SslMode | None = named_by("DB_SSLMODE")
    db_sslrootcert: str | None = named_by("DB_SSLROOTCERT")
    db_secret_id: str | None = named_by("DB_SECRET_ID")
    db_reader_secret_id: str | None = named_by("DB_READER_SECRET_ID")
    db_admin_secret_id: str | None = named_by("DB_ADMIN_SECRET_ID")

    aws_region: str | None = named_by(
        "AWS_REGION_NAME", "AWS_REGION", "AWS_DEFAULT_REGION"
    )
    aws_endpoint_url: str | None = named_by("AWS_ENDPOINT_URL")
    aws_use_localstack: bool = Field(
        default=False, validation_alias=AliasChoices("AWS_USE_LOCALSTACK")
    )
    aws_profile: str | None = named_by("AWS_PROFILE")
    aws_access_key_id: str | None = named_by("AWS_ACCESS_KEY_ID")
    aws_secret_access_key: SecretStr | None = named_by("AWS_SECRET_ACCESS_KEY")
    aws_session_token: SecretStr | None = named_by("AWS_SESSION_TOKEN")

    auth: Literal["password", "iam"] = "password"
    protected: bool = False
    application_name: str = f"dbops/{__version__}"
    connect_timeout: Seconds = 5.0
    command_timeout: Seconds = 10.0
    statement_timeout: Seconds | None = None
    lock_timeout: Seconds | None = None
    ddl_lock_timeout: Seconds = 2.0
    ddl_retries: int = Field(default=20, ge=0)
    pool_size: int = Field(
        default=5,
        ge=0,
        validation_alias=AliasChoices("DBOPS_POOL_SIZE", "SQLALCHEMY_POOL_SIZE"),
    )
    max_overflow: int = Field(
        default=10,
        ge=-1,
        validation_alias=AliasChoices(
            "DBOPS_MAX_OVERFLOW",
            "SQLALCHEMY_MAX_OVERFLOW",
            "SQLALCHEMY_POOL_OVERFLOW_SIZE",
        ),
    )
    pool_class: PoolClass = "QueuePool"
    pool_timeout: Seconds = 10.0
    pool_recycle: Seconds | None = None
    max_lag: Seconds | None = None
    reader_fallback: ReaderFallback = Fallback("error")

    target: Words = ()
    format: Format = "human"
    timeout: Seconds | None = None
    wait: Seconds | None = None
    wait_for: WaitFor = "server"
    wait_replica: Seconds | None = None
    quiet: bool = False
    verbose: bool = False
    yes: bool = False
    force: bool = False
    dry_run: bool = False
    sql: bool = False
    rehearse: bool = False
    journal: bool = False
    targets_sql: str | None = None
    jobs: int | None = Field(default=None, ge=1)
    canary: int = Field(default=0, ge=0)
    resume: Path | None = None
    fail_on: FailOn = "unknown"
    baseline: Path | None = None
    warn: Amounts = ()
    fail: Amounts = ()
    retries: int = Field(default=0, ge=0)
    interval: Seconds = 1.0
    count: int | None = Field(default=None, ge=1)
    require_replica: bool = False
    probe: bool = False
    each: bool = False
    replicas: int | None = Field(default=None, ge=1)
    surge: Amounts = ()
    workers: int = Field(default=1, ge=1)
    readers: int = Field(default=1, ge=1)
    job_processes: int = Field(default=0, ge=0)
    pgbouncer: SecretStr | None = None
    only: Words = ()
    skip: Words = ()
    ignore: Words = ()
    reason: Words = ()
    limit: Words = ()
    all_databases: bool = False
    output: Path | None = None

    maintenance_db: str = "postgres"
    owner: str | None = None
    encoding: str | None = None
    locale: str | None = None
    template: str | None = None
    extensions: Words = ()
    tables: str | None = None
    alembic_config: str | None = None
    alembic_section: str = "alembic"
    alembic_x: Words = ()
    tenant_schema: str | None = None

    pg_bin: Path | None = None
    cache_dir: Path | None = None

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)
    _notices: tuple[str, ...] = PrivateAttr(default=())
    _tenant_place: Endpoint | None = PrivateAttr(default=None)
    _is_bound: bool = PrivateAttr(default=False)

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the caller alone: `load_settings` has read the sources."""
        return (init_settings,)

    @property
    def sources(self) -> Mapping[str, str]:
        """Field name → where its value came from; a default has no entry."""
        return self._sources

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should hear on stderr about how the settings were found."""
        return self._notices

    def named(self, application_name: str) -> "Settings":
        """Return the same settings under another application_name."""
        return self.model_copy(update={"application_name": application_name})

    def with_timeout(self, timeout_s: float) -> "Settings":
        """Return the same settings with another overall time-out, in seconds."""
        return self.model_copy(update={"timeout": timeout_s})

    @property
    def tenant_place(self) -> Endpoint | None:
        """Where a tenant is, besides what its target says; None for no tenant."""
        return self._tenant_place

    @property
    def is_bound(self) -> bool:
        """Whether every connection of an env.py leads here, whatever it says itself.

        So it is where a named target or a tenant says where to go.
        """
        return (
            self._is_bound
            or self._tenant_place is not None
            or any(
                source.startswith("target ") and field.startswith(("database_", "db_"))
                for field, source in self._sources.items()
            )
        )

    def bound(self) -> "Settings":
        """Return the same settings, binding for whatever an env.py says."""
        bound = self.model_copy()
        bound._is_bound = True  # noqa: SLF001 # our own copy
        return bound

    def for_tenant(
        self,
        *,
        database: str | None = None,
        schema: str | None = None,
        host: str | None = None,
    ) -> "Settings":
        """Return the same settings for one tenant of the target.

        Args:
            database: Its database; None for the target's own.
            schema: Its schema; env.py hears of it as `-x tenant=SCHEMA`.
            host: Its server; the target's readers do not follow that one.

        Raises:
            ConfigError: If `host` is not one.
        """
        changed: dict[str, object] = {}
        if schema is not None:
            heard = (*self.alembic_x, f"tenant={schema}")
            changed |= {"tenant_schema": schema, "alembic_x": heard}
        if host is not None:
            changed |= dict.fromkeys(_READERS)
        tenant = self.model_copy(update=changed)
        tenant._tenant_place = tenant_place(database, host)  # noqa: SLF001 # our own copy
        return tenant

    @property
    def aws(self) -> Aws:
        """How to reach AWS."""
        return Aws(
            self.aws_region,
            self.aws_endpoint_url,
            self.aws_profile,
            self.aws_access_key_id,
            self.aws_secret_access_key,
            self.aws_session_token,
        )

    @property
    def has_writer(self) -> bool:
        """Whether anything says where a database is."""
        return bool(
            self.database_url
            or self.database_migration_url
            or self.db_host
            or secret_of(self, "writer")
        )

    @property
    def has_reader(self) -> bool:
        """Whether anything says where a reader is."""
        return bool(
            self.database_reader_url or self.db_reader_host or secret_of(self, "reader")
        )

    def access(self, role: Role) -> Access:
        """Return what was said about `role`, the most specific first.

        Raises:
            ConfigError: If nothing says where the writer (or the reader) is, or if a
                URL, a host or a secret's name is malformed; the message names the
                variable and its source.
        """
        return access_to(self, role)

    def rank(self, field: str) -> int:
        """Return the place of a field's source among all sources; 0 is the highest."""
        source = self._sources.get(field)
        order = list(dict.fromkeys(self._sources.values()))
        return order.index(source) if source is not None else len(order)

    def said(self, field: str) -> str:
        """Name a field and its source, for a message: `DB_HOST from .env`."""
        source = self._sources.get(field)
        return f"{env_name(field)} from {source}" if source else env_name(field)


def env_name(field: str) -> str:
    """Return the environment variable of a field: `DBOPS_POOL_SIZE`."""
    return env_names(field)[0]


def env_names(field: str) -> list[str]:
    """Return every environment variable of a field, the first wins."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [f"DBOPS_{field.upper()}"]


def fields_by_key() -> dict[str, str]:
    """Map what pydantic-settings calls a field (its first alias) to its name."""
    return {
        str(info.validation_alias.choices[0])
        if isinstance(info.validation_alias, AliasChoices)
        else name: name
        for name, info in Settings.model_fields.items()
    }
