"""Which rules of squawk are ours under another name, and which are about style?

https://squawkhq.com/docs/rules
"""

PREFIX = "squawk-"
"""In front of a rule that only squawk has."""

OURS: dict[str, tuple[str, ...]] = {
    "adding-field-with-default": ("add-column-volatile-default",),
    "adding-foreign-key-constraint": ("add-foreign-key", "add-column-foreign-key"),
    "adding-not-nullable-field": ("set-not-null", "add-column-not-null"),
    "adding-required-field": ("add-column-not-null",),
    "adding-serial-primary-key-field": ("add-primary-key", "add-column-serial"),
    "ban-alter-row-level-security": ("enable-row-security",),
    "ban-alter-system-options": ("alter-system",),
    "ban-disable-trigger": ("disable-trigger",),
    "ban-drop-index": ("drop-index-not-concurrent",),
    "ban-set-schema": ("rename-table",),
    "renaming-object": ("rename-table", "rename-type"),
    "ban-alter-domain-with-add-constraint": ("domain-constraint",),
    "ban-concurrent-index-creation-in-transaction": ("concurrently-in-transaction",),
    "ban-drop-column": ("drop-column",),
    "ban-drop-database": ("drop-database",),
    "ban-drop-schema": ("drop-schema",),
    "ban-drop-table": ("drop-table",),
    "ban-drop-type": ("drop-type",),
    "ban-truncate-cascade": ("truncate",),
    "changing-column-type": ("change-column-type", "change-column-type-unknown"),
    "constraint-missing-not-valid": ("add-check", "add-foreign-key"),
    "disallowed-unique-constraint": ("add-unique", "add-column-unique"),
    "renaming-column": ("rename-column",),
    "renaming-table": ("rename-table",),
    "require-concurrent-index-creation": ("index-not-concurrent",),
    "require-concurrent-index-deletion": ("drop-index-not-concurrent",),
    "require-concurrent-partition-detach": ("detach-partition",),
    "require-concurrent-reindex": ("reindex-not-concurrent",),
}
"""Squawk's rule → ours, which know more: sizes, types, what is new, what is safe."""

# What dbops does itself: it sets the time-outs and opens the transactions.
_DONE = frozenset(
    """
    ban-uncommitted-transaction require-lock-timeout require-statement-timeout
    require-timeout-settings transaction-nesting unused-ignore
    """.split()  # noqa: SIM905 # words read best as words
)
_TASTE = frozenset(("require-enum-value-ordering", "require-table-schema"))
# Every change of what a client sees, a dropped default too; the worst are ours.
_STRICT = ("ban-", "prefer-", "adding-", "renaming-")


def is_told(rule: str, *, style: bool) -> bool:
    """Whether what squawk says by this rule is told.

    Args:
        rule: As squawk calls it.
        style: Whether matters of taste count too.
    """
    if rule in OURS or rule in _DONE:
        return False
    return style or not (rule in _TASTE or rule.startswith(_STRICT))
