"""One difference between models and database, in words.

A difference is what Alembic would write into the next revision.
https://alembic.sqlalchemy.org/en/latest/api/operations.html
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from alembic.operations import ops
from sqlalchemy import Constraint, ForeignKeyConstraint
from sqlalchemy.engine import Dialect

from dbops.operations.check.values import (
    default_text,
    listed,
    options_text,
    sql_text,
    type_text,
)

_ONLY_MODELS = "in the models and not in the database"
_ONLY_DATABASE = "in the database and not in the models"


class Words(NamedTuple):
    """What is to be said of one difference."""

    kind: str
    """What Alembic calls it, such as `modify_type`."""
    object: str
    """What differs, with its schema and table."""
    message: str
    """One sentence."""
    detail: str = ""
    """What tells it from another difference of the same object."""


def words(
    operation: ops.MigrateOperation, dialect: Dialect, schema: str
) -> Iterator[Words]:
    """Describe an operation of Alembic's; one on a column may hold several.

    Args:
        operation: What would make the database like the models.
        dialect: Writes types as the server does.
        schema: Where a table is that names none.
    """
    place = _place(operation, schema)
    match operation:
        case ops.CreateTableOp():
            yield Words("add_table", place, f"table {place} is {_ONLY_MODELS}")
        case ops.DropTableOp():
            yield Words("remove_table", place, f"table {place} is {_ONLY_DATABASE}")
        case ops.AddColumnOp():
            name = f"{place}.{operation.column.name}"
            yield Words("add_column", name, f"column {name} is {_ONLY_MODELS}")
        case ops.DropColumnOp():
            name = f"{place}.{operation.column_name}"
            yield Words("remove_column", name, f"column {name} is {_ONLY_DATABASE}")
        case ops.AlterColumnOp():
            name = f"{place}.{operation.column_name}"
            yield from _column(operation, dialect, name)
        case _:
            yield from _of_a_table(operation, dialect, place)


def _place(operation: ops.MigrateOperation, schema: str) -> str:
    """Name the table with its schema."""
    if isinstance(operation, ops.CreateForeignKeyOp):
        return f"{operation.kw.get('source_schema') or schema}.{operation.source_table}"
    own = getattr(operation, "schema", None) or schema
    return f"{own}.{getattr(operation, 'table_name', '')}"


def _of_a_table(
    op: ops.MigrateOperation, dialect: Dialect, place: str
) -> Iterator[Words]:
    """Describe what belongs to a table without being one of its columns."""
    match op:
        case ops.CreateIndexOp():
            yield _index("add_index", op.to_index(), dialect, place)
        case ops.DropIndexOp():
            yield _index("remove_index", op.to_index(), dialect, place)
        case ops.AddConstraintOp():
            yield _constraint("add", op.to_constraint(), dialect, place)
        case ops.DropConstraintOp():
            yield _constraint("remove", op.to_constraint(), dialect, place)
        case ops.CreateTableCommentOp(comment=shall, existing_comment=has):
            kind = "add_table_comment"
            yield _changed(kind, f"table {place}", "comment", has, shall)
        case ops.DropTableCommentOp(existing_comment=has):
            kind = "remove_table_comment"
            yield _changed(kind, f"table {place}", "comment", has, None)
        case _:
            # An operation of env.py's own, or of an extension of Alembic.
            text = " ".join(str(part) for part in op.to_diff_tuple())
            yield Words(type(op).__name__, place, f"env.py adds: {text}", text)


def _column(op: ops.AlterColumnOp, dialect: Dialect, name: str) -> Iterator[Words]:
    subject = f"column {name}"
    if op.modify_type is not None:
        has, shall = (
            type_text(op.existing_type, dialect),
            type_text(op.modify_type, dialect),
        )
        said = f"{subject} is {has} in the database and {shall} in the models"
        yield Words("modify_type", name, said, f"{has} -> {shall}")
    if op.modify_nullable is not None:
        has, shall = "NOT NULL", "nullable"
        if not op.modify_nullable:
            has, shall = shall, has
        said = f"{subject} is {has} in the database and {shall} in the models"
        yield Words("modify_nullable", name, said, f"{has} -> {shall}")
    if op.modify_server_default is not False:
        has_default = default_text(op.existing_server_default, dialect)
        shall_default = default_text(op.modify_server_default, dialect)
        yield _changed("modify_default", subject, "default", has_default, shall_default)
    if op.modify_comment is not False:
        yield _changed(
            "modify_comment",
            subject,
            "comment",
            op.existing_comment,
            op.modify_comment,
        )
    for other in sorted(key for key in op.kw if key.startswith("modify_")):
        said = f"{subject} differs in its {other.removeprefix('modify_')}"
        yield Words(other, name, said, repr(op.kw[other]))


def _changed(
    kind: str, subject: str, what: str, has: str | None, shall: str | None
) -> Words:
    """Describe an attribute that both sides may have."""
    sides = [
        f"the {what} {value}" if value is not None else f"no {what}"
        for value in (has, shall)
    ]
    return Words(
        kind,
        subject.split(" ", 1)[1],
        f"{subject} has {sides[0]} in the database and {sides[1]} in the models",
        f"{has} -> {shall}",
    )


def _index(kind: str, index: Any, dialect: Dialect, place: str) -> Words:  # noqa: ANN401 # an Index of no table
    columns = listed(index.expressions, dialect)
    options = options_text(index.dialect_kwargs, dialect)
    unique = "unique index" if index.unique else "index"
    return _one_side(kind, unique, f"{place}.{index.name}", f"({columns}){options}")


def _constraint(
    verb: str, constraint: Constraint, dialect: Dialect, place: str
) -> Words:
    name = constraint.name if isinstance(constraint.name, str) else "without a name"
    noun = constraint.__visit_name__.replace("_", " ").replace(" or column", "")
    noun = noun.removeprefix("table ").removeprefix("column ")
    detail = f"({listed(getattr(constraint, 'columns', ()), dialect)})"
    kind = f"{verb}_constraint"
    if isinstance(constraint, ForeignKeyConstraint):
        kind = f"{verb}_fk"
        targets = ", ".join(e.target_fullname for e in constraint.elements)
        rules = {"ON DELETE": constraint.ondelete, "ON UPDATE": constraint.onupdate}
        said = "".join(f" {rule} {how}" for rule, how in rules.items() if how)
        detail += f" to {targets}{said}"
    elif (condition := getattr(constraint, "sqltext", None)) is not None:
        detail = f"({sql_text(condition, dialect)})"
    return _one_side(kind, noun, f"{place}.{name}", detail)


def _one_side(kind: str, noun: str, name: str, detail: str) -> Words:
    side = _ONLY_MODELS if kind.startswith("add") else _ONLY_DATABASE
    return Words(kind, name, f"{noun} {name} {detail} is {side}", f"{noun} {detail}")
