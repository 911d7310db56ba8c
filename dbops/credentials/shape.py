"""The RDS secret shape: username, password, host, port, dbname, engine.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html
"""

import json
import re
from collections.abc import Mapping
from contextlib import suppress

from pydantic import SecretStr

from dbops.endpoint import DEFAULT_PORT, Address, Endpoint
from dbops.errors import ConfigError

_TEXTS = ("username", "password", "host", "dbname", "engine")


def parse_secret(secret_id: str, answer: Mapping[str, object]) -> Endpoint:
    """Read what Secrets Manager answers.

    Raises:
        ConfigError: If it has another shape. The message names keys, never values.
    """
    fields = _fields(secret_id, answer)
    texts: dict[str, str] = {}
    for name in _TEXTS:
        value = fields.get(name)
        if not isinstance(value, str | None):
            raise _malformed(secret_id, f"has a {name} that is not text")
        texts[name] = value or ""
    if "postgres" not in (texts["engine"].lower() or "postgres"):
        raise _malformed(secret_id, "is for another database engine")
    host, password = texts["host"], texts["password"]
    port = _port(secret_id, fields.get("port"))
    return Endpoint(
        addresses=(Address(host, port or DEFAULT_PORT),) if host else (),
        is_port_unsaid=port is None,
        port=port,
        database=texts["dbname"] or None,
        user=texts["username"] or None,
        password=SecretStr(password) if password else None,
    )


def _fields(secret_id: str, answer: Mapping[str, object]) -> dict[str, object]:
    text = answer.get("SecretString")
    if "SecretBinary" in answer and text is None:
        raise _malformed(secret_id, "is binary")
    if not isinstance(text, str):
        # Botocore reads any 200 as an answer, a proxy's log-in page too.
        raise ConfigError(
            f"the secret {secret_id} came back without a value",
            hint="check AWS_ENDPOINT_URL and any HTTP proxy in between",
            phase="secret",
        )
    fields: object = None
    # The decoder's own error holds the whole document, so it must not be chained.
    with suppress(ValueError, RecursionError):
        fields = json.loads(text)
    if not isinstance(fields, dict):
        raise _malformed(secret_id, "is not a JSON object")
    return fields


def _port(secret_id: str, value: object) -> int | None:
    if value in (None, ""):
        return None
    # Not isinstance: True is an int.
    if type(value) in (int, str) and re.fullmatch(r"[0-9]{1,5}", str(value)):
        port = int(str(value))
        if 0 < port < 65536:  # noqa: PLR2004 # TCP's range
            return port
    raise _malformed(secret_id, "has a port that is not a number from 1 to 65535")


def _malformed(secret_id: str, how: str) -> ConfigError:
    return ConfigError(
        f"the secret {secret_id} {how}",
        hint='store it as RDS does: {"username": …, "password": …, "host": …, '
        '"port": …, "dbname": …}',
        phase="secret",
    )
