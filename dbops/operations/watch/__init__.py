"""What do the writer and the reader do right now, again and again?"""

from dbops.operations.watch.answer import (
    Checkup,
    Connections,
    Sample,
    SampledFinding,
    SampledLag,
    SampledServer,
    State,
    Transaction,
    Wait,
)
from dbops.operations.watch.thresholds import thresholds
from dbops.operations.watch.watch import watch

__all__ = [
    "Checkup",
    "Connections",
    "Sample",
    "SampledFinding",
    "SampledLag",
    "SampledServer",
    "State",
    "Transaction",
    "Wait",
    "thresholds",
    "watch",
]
