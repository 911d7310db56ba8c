"""How to connect, whatever the endpoint: names, settings, and how long to wait."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dbops import __version__
from dbops.endpoint import Driver, Endpoint
from dbops.engine.dialling.driver import CLOSE_TIMEOUT_S

_SHARE_OF_TIMEOUT = 0.1
_MIN_CLOSE_S = 0.1


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """How to connect, whatever the endpoint."""

    application_name: str = f"dbops/{__version__}"
    connect_timeout_s: float = 5.0
    """For each host, over all phases up to the end of authentication."""
    command_timeout_s: float | None = 10.0
    """For each statement, on our side; None leaves it to the server's own."""
    server_settings: Mapping[str, str] = field(default_factory=dict)
    """Run-time parameters for the session, such as statement_timeout."""
    keeps_statements: bool = False
    """Whether sessions are used often enough for prepared statements to be kept.

    Behind a pooler none are: they stay on a connection that others use next.
    """
    driver: Driver = "asyncpg"
    """Who speaks with the server."""
    max_timeout_s: float | None = None
    """What no time-out may exceed, not even the URL's connect_timeout."""

    def connect_limit_s(self, endpoint: Endpoint) -> float:
        """Return how long one host of `endpoint` may take."""
        limit_s = endpoint.connect_timeout_s or self.connect_timeout_s
        return min(limit_s, self.max_timeout_s or limit_s)

    def command_limit_s(self) -> float | None:
        """Return how long one statement may take; None for no limit on our side."""
        limit_s = self.command_timeout_s
        return limit_s and min(limit_s, self.max_timeout_s or limit_s)

    def close_limit_s(self) -> float:
        """Return how long closing may take, on top of what was not answered in time."""
        limit_s = self.command_limit_s() or self.max_timeout_s
        share_s = limit_s * _SHARE_OF_TIMEOUT if limit_s else CLOSE_TIMEOUT_S
        return min(max(share_s, _MIN_CLOSE_S), CLOSE_TIMEOUT_S)

    def settings_for(self, endpoint: Endpoint) -> dict[str, str]:
        """Return the run-time parameters that start a session on `endpoint`."""
        name = endpoint.application_name or self.application_name
        settings = {"application_name": name, **self.server_settings}
        if endpoint.options:
            settings["options"] = endpoint.options
        return settings
