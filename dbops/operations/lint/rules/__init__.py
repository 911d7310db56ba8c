"""The rules, a module for each part of the language; importing this registers all."""

from dbops.operations.lint.rule import RULES
from dbops.operations.lint.rules import (
    column_constraints,
    columns,
    comments,
    constraints,
    foreign_keys,
    indexes,
    losses,
    partitions,
    platform,
    renames,
    tables,
    transactions,
    types,
)

__all__ = [
    "RULES",
    "column_constraints",
    "columns",
    "comments",
    "constraints",
    "foreign_keys",
    "indexes",
    "losses",
    "partitions",
    "platform",
    "renames",
    "tables",
    "transactions",
    "types",
]
