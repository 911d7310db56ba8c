"""How the reader of URLs complains: never with a part of the URL."""

from urllib.parse import unquote

from dbops.errors import ConfigError

EXAMPLE = "postgresql://user:password@host:5432/database"
ESCAPES = "write %40 for @, %3A for :, %2F for /, %3F for ?, %23 for # and %25 for %"


def wrong(what: str, hint: str) -> ConfigError:
    """Return the error for a URL that `what` is said about."""
    return ConfigError(f"the connection URL {what}", hint=hint, phase="settings")


def unescaped(text: str) -> str:
    """Decode %XX.

    Raises:
        ConfigError: If the bytes are no UTF-8 text, or hold a NUL, which would end
            the text on its way to the server.
    """
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        # The decoder's error holds the text, so it must not be chained.
        plain = "\0"
    if "\0" in plain:
        raise wrong("has a % that is no escape of UTF-8 text", ESCAPES)
    return plain
