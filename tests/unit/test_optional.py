"""Options whose value may be left out."""

import pytest

from dbops.cli.optional import _filled


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("--wait-replica", "--wait-replica 60s"),
        ("--wait-replica 5s", "--wait-replica 5s"),
        ("--wait-replica head", "--wait-replica 60s head"),
        ("--wait-replica --journal", "--wait-replica 60s --journal"),
        ("head --wait-replica", "head --wait-replica 60s"),
        ("--wait-replica=5s head", "--wait-replica=5s head"),
        ("--wait 5s head", "--wait 5s head"),
        ("--wait-replica 5", "--wait-replica 5"),
    ],
)
def test_a_value_that_was_left_out_is_filled_in(words: str, read: str) -> None:
    assert list(_filled(words.split())) == read.split()
