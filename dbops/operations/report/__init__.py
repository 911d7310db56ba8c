"""How is the database, on one page?"""

from dbops.operations.report.answer import LagSample, Relation, Report
from dbops.operations.report.report import report

__all__ = ["LagSample", "Relation", "Report", "report"]
