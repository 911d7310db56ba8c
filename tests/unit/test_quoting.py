"""Names and literals that cannot break out of their quotes."""

import pytest

from dbops.engine.quoting import quoted_identifier, quoted_literal


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("books", '"books"'),
        ('a"b', '"a""b"'),
        ('"; DROP TABLE t; --', '"""; DROP TABLE t; --"'),
        ("Ünïcode 数", '"Ünïcode 数"'),
        ("", '""'),
    ],
)
def test_an_identifier_stays_one(name: str, quoted: str) -> None:
    assert quoted_identifier(name) == quoted


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("x", "'x'"),
        ("it's", "'it''s'"),
        ("a\\b", "E'a\\\\b'"),
        ("\\'; DROP TABLE t; --", "E'\\\\''; DROP TABLE t; --'"),
    ],
)
def test_a_literal_stays_one(value: str, quoted: str) -> None:
    assert quoted_literal(value) == quoted
