"""Is the reader fresh, is the pipeline sound, and if not, why?"""

from dbops.operations.lag.answer import Answer, Node
from dbops.operations.lag.check import lag
from dbops.operations.lag.each import lag_of_each
from dbops.operations.lag.kinds import Cause, Freshness, Pipeline
from dbops.operations.lag.procedure import between
from dbops.operations.lag.result import Lag
from dbops.operations.lag.terms import Terms
from dbops.operations.lag.thresholds import thresholds

__all__ = [
    "Answer",
    "Cause",
    "Freshness",
    "Lag",
    "Node",
    "Pipeline",
    "Terms",
    "between",
    "lag",
    "lag_of_each",
    "thresholds",
]
