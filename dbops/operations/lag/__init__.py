"""Is the reader fresh, is the pipeline sound, and if not, why?"""

from dbops.operations.lag.answer import Cause, Freshness, Lag, Node, Pipeline
from dbops.operations.lag.check import lag
from dbops.operations.lag.thresholds import thresholds

__all__ = ["Cause", "Freshness", "Lag", "Node", "Pipeline", "lag", "thresholds"]
