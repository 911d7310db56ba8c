"""Can the value of a DEFAULT be computed once for all rows?"""

from dbops.operations.lint.words import Words

# pg_proc.provolatile is `i` or `s` for these; a test compares them with the server.
# Any other function may be volatile: that is what CREATE FUNCTION makes by default.
STEADY = frozenset(
    """
    abs age array_append array_cat array_fill array_length array_prepend array_remove
    ascii btrim cardinality ceil ceiling char_length character_length chr concat
    concat_ws convert_from convert_to current_database current_schema current_setting
    date date_bin date_part date_trunc decode div encode exp floor format get_byte
    hashtext initcap inet_client_addr int4 int8 json_build_array json_build_object
    jsonb_build_array jsonb_build_object jsonb_object json_object jsonb_set
    jsonb_strip_nulls justify_days justify_hours justify_interval left length ln log
    lower lpad ltrim make_date make_interval make_time make_timestamp make_timestamptz
    md5 mod now octet_length pg_typeof pi position power quote_ident quote_literal
    repeat replace reverse right round rpad rtrim sha224 sha256 sha384 sha512 sign
    split_part sqrt starts_with statement_timestamp string_to_array strpos substr
    substring text timezone to_char to_date to_json to_jsonb to_number to_timestamp
    to_tsquery to_tsvector transaction_timestamp translate trunc txid_current upper
    current_user session_user pg_current_xact_id array_to_json row_to_json timestamptz
    plainto_tsquery phraseto_tsquery websearch_to_tsquery int4range int8range numrange
    tsrange tstzrange daterange point box circle lseg path polygon numeric bool bpchar
    varchar float8 float4 int2 interval timestamp time timetz overlay
""".split()  # noqa: SIM905 # words read best as words
)
_SYNTAX = frozenset(
    """
    and array as between by case cast coalesce current_time current_timestamp else
    extract greatest in is least localtime localtimestamp not null nullif or row then
    trim when over filter distinct any all some from overlay position substring
    collate like ilike similar
""".split()  # noqa: SIM905 # words read best as words
)
_TYPE_IN_FRONT = ("::", "AS")


def volatile_call(expression: Words) -> str | None:
    """Return the first function that may give each row another value; None if none."""
    for at, token in enumerate(expression[:-1]):
        if not token.is_identifier or not expression.begins("(", at=at + 1):
            continue
        if token.kind == "word" and token.value in _SYNTAX:
            continue
        if token.value not in STEADY and not _is_type(expression, at):
            return token.value
    return None


def _is_type(expression: Words, at: int) -> bool:
    """Whether it is a type and its length: `'0'::numeric(10, 2)`."""
    start = at
    while start > 0 and (
        expression[start - 1].key == "." or expression[start - 1].is_identifier
    ):
        if expression[start - 1].key in _TYPE_IN_FRONT:
            break
        start -= 1
    return start > 0 and expression[start - 1].key in _TYPE_IN_FRONT
