"""Does a comment that asks for silence say for what, and why?"""

from dbops.operations.lint.rule import Case, rule

_PAGE = "sql-syntax-lexical.html#SQL-SYNTAX-COMMENTS"
_FORM = "-- dbops:ignore RULE why it is safe here"


@rule(
    "ignore-without-reason",
    effect="unseen",
    on=("ignore without reason",),
    remedy=_FORM,
    source=_PAGE,
    for_new_tables=True,
)
def _ignore_without_reason(case: Case) -> str | None:
    return f"it ignores nothing: {case.action.name}"


@rule(
    "ignore-of-no-rule",
    effect="unseen",
    on=("ignore of no rule",),
    remedy=_FORM,
    source=_PAGE,
    for_new_tables=True,
)
def _ignore_of_no_rule(case: Case) -> str | None:
    return f"it ignores nothing: {case.action.name}"
