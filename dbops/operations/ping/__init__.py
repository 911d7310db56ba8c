"""Do the writer and the reader answer, and are they what they are meant to be?"""

from dbops.operations.ping.answer import PingedEndpoint
from dbops.operations.ping.ping import ping
from dbops.operations.ping.result import Ping
from dbops.operations.ping.thresholds import thresholds

__all__ = ["Ping", "PingedEndpoint", "ping", "thresholds"]
