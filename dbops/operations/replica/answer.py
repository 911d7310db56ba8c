"""What is said of a reader that has followed its writer."""

from dbops.results import Result


class Followed(Result):
    """A reader that has what the writer had when it was asked.

    Warn where that holds without a proof: the reader is the writer itself, or its
    timeline is hidden from this role.
    """

    reader: str
    """The host and port that answered: behind one name there may be several readers."""
    is_writer: bool = False
    """True where the reader is the writer itself: there was nothing to wait for."""
    waited_s: float
    """Seconds until it had everything."""
    attempts: int
    """How often the reader was asked."""
    bytes_behind: int | None
    """How much WAL the reader lacked at first; null where no position is told."""
    requires: str | None = None
    """What would let dbops prove more; null when all is proved."""
