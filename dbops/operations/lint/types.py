"""Does changing a column's type rewrite the table?

A change is free where the old and the new type are binary coercible and the new length
is no smaller; everything else converts each row.
https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES
"""

from typing import Literal, NamedTuple

from typing_extensions import override

from dbops.operations.lint.words import Words

Change = Literal["free", "rewrite", "unknown"]

END_OF_TYPE = (
    "COLLATE",
    "CONSTRAINT",
    "NOT",
    "NULL",
    "DEFAULT",
    "CHECK",
    "UNIQUE",
    "PRIMARY",
    "REFERENCES",
    "GENERATED",
    "STORAGE",
    "COMPRESSION",
    "DEFERRABLE",
    "INITIALLY",
    "USING",
)
_OTHER_NAMES = {
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "serial": "integer",
    "serial4": "integer",
    "bigserial": "bigint",
    "serial8": "bigint",
    "smallserial": "smallint",
    "serial2": "smallint",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "decimal": "numeric",
    "bool": "boolean",
    "character varying": "varchar",
    "char varying": "varchar",
    "character": "char",
    "bpchar": "char",
    "bit varying": "varbit",
    "timestamp without time zone": "timestamp",
    "timestamp with time zone": "timestamptz",
    "time without time zone": "time",
    "time with time zone": "timetz",
}
SERIAL = ("serial", "serial4", "bigserial", "serial8", "smallserial", "serial2")
_UP_TO_SIX = ("timestamp", "timestamptz", "time", "timetz", "interval")
# pg_cast.castmethod = 'b', and the new type's operators are the old one's.
_COERCIBLE = {("varchar", "text"), ("text", "varchar"), ("cidr", "inet")}
_COERCIBLE |= {("xml", "text"), ("xml", "varchar")}
# A column that becomes one of these was often one before, only shorter.
_OF_ITS_OWN_KIND = ("text", "varchar", "numeric")
_WITHOUT_LENGTH = 65535


class Type(NamedTuple):
    """A type: its usual name and its length."""

    name: str
    length: tuple[int, ...] = ()
    is_array: bool = False

    @override
    def __str__(self) -> str:
        length = f"({','.join(map(str, self.length))})" if self.length else ""
        return f"{self.name}{length}{'[]' * self.is_array}"


def read_type(words: Words) -> Type:
    """Read a type as it is written, or as format_type() writes it."""
    words = words.until(END_OF_TYPE)
    depth, name, length = 0, [], []
    for token in words:
        depth += (token.key == "(") - (token.key == ")")
        if depth == 0 and token.is_identifier:
            name.append(token.value)
        elif depth and token.text.isdigit():
            length.append(int(token.text))
    is_array = any(token.key == "[" for token in words) or "array" in name
    # A schema says nothing about the built-in types: pg_catalog.int4.
    joined = " ".join(part for part in name if part not in ("pg_catalog", "array"))
    usual = _OTHER_NAMES.get(joined, joined)
    if usual == "char" and not length:
        length = [1]
    return Type(usual, tuple(length), is_array)


def change(old: Type | None, new: Type, *, in_utc: bool | None) -> Change:
    """Judge ALTER COLUMN TYPE without USING.

    Args:
        old: The column's type now; None when it is not known.
        new: The type that it gets.
        in_utc: Whether the session's TimeZone is UTC; None when it is not known.
    """
    if old is None:
        return "unknown" if new.name in _OF_ITS_OWN_KIND else "rewrite"
    if old == new or _is_free(old, new, in_utc=in_utc):
        return "free"
    return "rewrite"


def _is_free(old: Type, new: Type, *, in_utc: bool | None) -> bool:
    if old.is_array or new.is_array:
        return False
    if {old.name, new.name} == {"timestamp", "timestamptz"}:
        return bool(in_utc) and _is_no_shorter(old, new)
    if old.name == new.name:
        return _is_no_shorter(old, new)
    return (old.name, new.name) in _COERCIBLE and not new.length


def _is_no_shorter(old: Type, new: Type) -> bool:
    if new.name in ("char", "bit"):
        return False
    if not new.length:
        return True
    if new.name == "numeric":
        # https://www.postgresql.org/docs/current/datatype-numeric.html
        old_scale, new_scale = (*old.length, 0, 0)[1], (*new.length, 0)[1]
        return bool(old.length) and old_scale == new_scale and new.length >= old.length
    longest = 6 if new.name in _UP_TO_SIX else _WITHOUT_LENGTH * _WITHOUT_LENGTH
    return (old.length or (longest,))[0] <= new.length[0]
