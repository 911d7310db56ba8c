"""Names and literals inside SQL that takes no parameters."""


def quoted_identifier(name: str) -> str:
    """Quote any name, as quote_ident() does but always.

    https://www.postgresql.org/docs/current/sql-syntax-lexical.html
    """
    return '"' + name.replace('"', '""') + '"'


def quoted_literal(value: str) -> str:
    """Quote any text as a constant, whatever standard_conforming_strings says."""
    escape = "E" if "\\" in value else ""
    return f"{escape}'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
