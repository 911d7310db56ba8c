"""Has the reader what the writer has committed?"""

from dbops.operations.replica.answer import Followed
from dbops.operations.replica.replayed import until_replayed
from dbops.operations.replica.visible import Version, until_visible

__all__ = ["Followed", "Version", "until_replayed", "until_visible"]
