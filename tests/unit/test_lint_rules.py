"""The labelled statements, judged without a server."""

import pytest

from dbops.operations.lint.finding import Finding, Source
from dbops.operations.lint.judge import judge
from dbops.operations.lint.rules import RULES
from tests.lint_catalogue import CATALOGUE, SETUP, Labelled


def found(sql: str, *, transactional: bool | None = None) -> list[Finding]:
    """Judge some SQL as the revision behind the catalogue's setup."""
    sources = (
        Source(sql=SETUP, revision="setup", transactional=True),
        Source(sql=sql, revision="it", transactional=transactional),
    )
    return [finding for finding in judge(sources) if finding.revision == "it"]


def rules(sql: str, *, transactional: bool | None = None) -> set[str]:
    return {finding.rule for finding in found(sql, transactional=transactional)}


@pytest.mark.parametrize("labelled", CATALOGUE, ids=lambda it: it.title)
def test_a_statement_breaks_the_rules_that_its_label_says(labelled: Labelled) -> None:
    assert rules(labelled.sql, transactional=not labelled.alone) == {*labelled.rules}


def test_the_catalogue_is_large_and_every_rule_is_in_it() -> None:
    assert len(CATALOGUE) >= 120
    labelled = {name for one in CATALOGUE for name in one.rules}
    assert not labelled - set(RULES)
    unlabelled = set(RULES) - labelled
    assert unlabelled == {
        "change-column-type-unknown",
        "ignore-of-no-rule",
        "ignore-without-reason",
    }
