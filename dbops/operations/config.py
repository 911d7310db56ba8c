"""What is configured, and where did each value come from?"""

import re

from pydantic import SecretStr

from dbops.endpoint import parse_url
from dbops.errors import ConfigError
from dbops.results import Model, Result
from dbops.settings import Settings, env_name, is_secret_id
from dbops.units import duration_text

MASK = "***"

_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)
_LOGIN = re.compile(r"://[^/]*@|:[^/]*@")


class Setting(Model):
    """One setting."""

    name: str
    """Its name in a file."""
    variable: str
    """Its name in the environment."""
    value: str | None
    """Its value, secrets masked; null when it is not set."""
    source: str
    """Where the value came from, or `default`."""


class Configuration(Result):
    """Every setting."""

    settings: tuple[Setting, ...]
    """In the order of the documentation."""


def configuration(settings: Settings, *, only_set: bool = False) -> Configuration:
    """List the settings, each with its source.

    Args:
        settings: What the user said.
        only_set: Leave the defaults out.
    """
    listed = (
        Setting(
            name=name,
            variable=env_name(name),
            value=_shown(name, getattr(settings, name)),
            source=settings.sources.get(name, "default"),
        )
        for name in Settings.model_fields
    )
    return Configuration(
        settings=tuple(s for s in listed if not only_set or s.source != "default")
    )


def _shown(name: str, value: object) -> str | None:
    """Write a value for a person; of a secret only what is no secret."""
    match value:
        case None | () | "":
            return None
        case SecretStr():
            return _masked(name, value.get_secret_value())
        case bool():
            return "true" if value else "false"
        case float():
            return duration_text(value)
        case tuple():
            return ",".join(_masked_pair(name, str(item)) for item in value)
        case _:
            return _without_secret(name, str(value))


def _masked(name: str, secret: str) -> str:
    if not name.endswith("_url"):
        return MASK
    try:
        return parse_url(secret).url()
    except ConfigError:
        return f"{MASK} (malformed)"


def _masked_pair(name: str, item: str) -> str:
    """Mask what `-x password=…` hands to a migration."""
    key, separator, _ = item.partition("=")
    if separator and _SECRET_NAME.search(key):
        return f"{key}={MASK}"
    return _without_secret(name, item)


def _without_secret(name: str, value: str) -> str:
    """Mask what people paste where no secret belongs."""
    if name == "aws_access_key_id":
        return MASK + value[-4:]
    if name.endswith("_secret_id") and not is_secret_id(value):
        return f"{MASK} (not the name of a secret)"
    # A whole URL as a host, or a proxy's login in AWS_ENDPOINT_URL.
    return f"{MASK}{value[value.rindex('@') :]}" if _LOGIN.search(value) else value
