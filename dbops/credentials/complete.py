"""From what was said about an endpoint to one that can be connected to."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Self

from pydantic import SecretStr

from dbops.credentials.aws import translated, unreachable
from dbops.credentials.secrets import SecretStore
from dbops.credentials.unlogged import unlogged
from dbops.endpoint import Address, Driver, Endpoint, Role
from dbops.errors import ConfigError
from dbops.settings import Access, Aws, Layer, SecretRef
from dbops.threads import in_daemon_thread

_Read = Callable[[str], Awaitable[Endpoint]]
_AGAIN_S = 0.5


class Credentials:
    """Completes what was said about one endpoint with what its secrets say.

    Args:
        access: What was said.
        secrets: Where secrets are kept, shared by all endpoints of a program.
    """

    def __init__(self, access: Access, secrets: SecretStore | None = None) -> None:
        self.role = access.role
        self._access = access
        self._secrets = secrets or SecretStore(access.aws)

    @classmethod
    def known(cls, endpoint: Endpoint, role: Role = "writer") -> Self:
        """Return the credentials of an endpoint that is complete already."""
        nowhere = Aws(None, None, None, None, None, None)
        return cls(Access(role, (endpoint,), (), "password", nowhere))

    @property
    def driver(self) -> Driver | None:
        """What the URLs name; None where they leave it open, as secrets do."""
        layers = (*self._access.own, *self._access.inherited)
        named = (it.driver for it in layers if isinstance(it, Endpoint))
        return next((it for it in named if it), None)

    async def endpoint(self) -> Endpoint:
        """Return the endpoint with everything that is known about it.

        Raises:
            ConfigError: If a secret is missing, denied or malformed, or if nothing
                says which host or which user.
            UnreachableError: If Secrets Manager gives no answer in time.
        """
        return self._finished(await self._joined(self._secrets.get))

    async def refreshed(self, refused: Endpoint) -> Endpoint | None:
        """Fetch the secrets again after the server refused a password, once.

        Returns:
            The endpoint with another user or password; None when there is none.

        Raises:
            ConfigError: As `endpoint`.
            UnreachableError: As `endpoint`.
        """
        if not self._rotated:
            return None
        for secret_id in self._rotated:
            await self._secrets.renewed(secret_id, refused.password)
        renewed = await self.endpoint()
        same = (renewed.user, renewed.password) == (refused.user, refused.password)
        return None if same else renewed

    async def awaited(self, refused: Endpoint, *, limit_s: float) -> Endpoint | None:
        """Wait for a secret to say what the server knows already, or still.

        A rotation changes the password on the server a moment before it is in the
        secret. And where two users alternate, a server may not know the new one yet:
        then the secret before this one holds for it.
        https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets_strategies.html

        Args:
            refused: What the server refused, and the secrets say.
            limit_s: How long to wait for another password, in seconds.

        Returns:
            The endpoint with another user or password; None when there is none.

        Raises:
            ConfigError: As `endpoint`.
            UnreachableError: As `endpoint`.
        """
        if not self._rotated:
            return None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit_s
        while (left_s := deadline - loop.time()) > 0:
            # Not all at once, where many connections were refused.
            await asyncio.sleep(min(left_s, _AGAIN_S * random.uniform(1.0, 1.3)))  # noqa: S311 # no secret
            renewed = await self.refreshed(refused)
            if renewed is not None:
                return renewed
        before = await self._joined(self._secrets.previous)
        if before.user in (None, refused.user):
            return None
        return replace(refused, user=before.user, password=before.password)

    async def password(self, endpoint: Endpoint, address: Address) -> SecretStr | None:
        """Return the password for one connection: an IAM token where that is asked for.

        Raises:
            ConfigError: If AWS has no credentials or no region to sign a token with.
            UnreachableError: If finding those takes too long.
        """
        if self._access.auth != "iam":
            return endpoint.password
        what, limit_s = "an IAM token", self._secrets.deadline_s

        def signed() -> SecretStr:
            with unlogged():
                client = self._secrets.clients.get("rds")
                return SecretStr(
                    client.generate_db_auth_token(
                        DBHostname=address.host,
                        Port=address.port,
                        DBUsername=endpoint.user,
                    )
                )

        try:
            async with asyncio.timeout(limit_s):
                return await in_daemon_thread(signed)
        except TimeoutError:
            raise unreachable(what, f"within {limit_s:g} s") from None
        except Exception as error:  # noqa: BLE001 # botocore raises many classes
            raise translated(error, what) from None

    @property
    def _rotated(self) -> list[str]:
        """The secrets whose password may be another one by now."""
        if self._access.auth == "iam":
            return []
        layers = (*self._access.own, *self._access.inherited)
        return [it.secret_id for it in layers if isinstance(it, SecretRef)]

    async def _joined(self, read: _Read) -> Endpoint:
        """Put together what was said and what the secrets say."""
        own = await self._merged(self._access.own, read)
        inherited = await self._merged(self._access.inherited, read)
        if self.role == "reader":
            inherited = _without_address(inherited)
        elif own.addresses:
            inherited = _without_session(inherited)
        return own.filled_from(inherited)

    async def _merged(self, layers: Sequence[Layer], read: _Read) -> Endpoint:
        endpoint = Endpoint()
        for layer in layers:
            says = (
                await read(layer.secret_id) if isinstance(layer, SecretRef) else layer
            )
            endpoint = endpoint.filled_from(says)
        return endpoint

    def _finished(self, endpoint: Endpoint) -> Endpoint:
        """Add libpq's defaults, and TLS where a token would travel in clear."""
        if not endpoint.addresses:
            raise ConfigError(
                f"nothing says on which host the {self.role} is",
                hint="add host to the secret, or set DATABASE_URL or DB_HOST "
                "(DATABASE_READER_URL or DB_READER_HOST for the reader)",
                phase="settings",
            )
        _check_texts(endpoint)
        user = endpoint.user or _os_user()
        sslmode = endpoint.sslmode or "prefer"
        if self._access.auth == "iam" and not sslmode.startswith("verify"):
            sslmode = "require"
        return replace(
            endpoint,
            user=user,
            database=endpoint.database or user,
            sslmode=sslmode,
            port=None,
            is_port_unsaid=False,
        )


def _without_address(writer: Endpoint) -> Endpoint:
    """Keep of the writer what also holds for its reader; its address never does."""
    port = writer.addresses[0].port if writer.addresses else writer.port
    return replace(writer, addresses=(), port=port, target_session_attrs="any")


def _without_session(writer: Endpoint) -> Endpoint:
    """Keep of the writer what also holds for another login on another address."""
    return replace(
        writer,
        addresses=(),
        target_session_attrs="any",
        connect_timeout_s=None,
        application_name=None,
        options=None,
    )


def _check_texts(endpoint: Endpoint) -> None:
    """Refuse what would be cut off or fail to be encoded on its way to the server."""
    for name in _unfit_texts(endpoint):
        raise ConfigError(
            f"the {name} holds a character that PostgreSQL cannot take",
            hint="a NUL or half a surrogate pair; write it anew in UTF-8",
            phase="settings",
        )


def _unfit_texts(endpoint: Endpoint) -> list[str]:
    password = endpoint.password.get_secret_value() if endpoint.password else None
    texts = {
        "user": endpoint.user,
        "password": password,
        "database": endpoint.database,
        "host": "".join(address.host for address in endpoint.addresses),
    }
    return [
        name
        for name, text in texts.items()
        if text and ("\0" in text or any("\ud800" <= it <= "\udfff" for it in text))
    ]


def _os_user() -> str:
    """Return the user that libpq would take."""
    import getpass  # noqa: PLC0415 # rarely needed

    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container may run under a number that /etc/passwd does not know.
        raise ConfigError(
            "nothing says which user to connect as",
            hint="set DB_USER, or name the user in the URL or the secret",
            phase="settings",
        ) from None
