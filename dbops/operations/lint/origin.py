"""Where in its file does a statement stand?"""

import re

from dbops.operations.lint.finding import Source
from dbops.operations.lint.statements import Statement
from dbops.operations.lint.tokens import Token

_UPGRADE = re.compile(r"^(?:async )?def upgrade\w*\(", re.MULTILINE)
_DOWNGRADE = re.compile(r"^(?:async )?def downgrade\w*\(", re.MULTILINE)


def path_line(source: Source, statement: Statement) -> int:
    """Return the line in the source's file.

    A revision is Python that writes the SQL: the line that names the most of what the
    statement names is taken for the one that wrote it; else that of `upgrade()`.
    """
    if source.python is None:
        return statement.line
    began = _UPGRADE.search(source.python)
    first = source.python.count("\n", 0, began.start()) + 1 if began else 1
    down = _DOWNGRADE.search(source.python)
    end = down.start() if down and began and down.start() > began.start() else None
    body = source.python[began.start() if began else 0 : end].splitlines()
    wanted = {_pattern(token) for token in statement.words if token.is_identifier}
    scores = [sum(bool(re.search(p, line)) for p in wanted) for line in body]
    best = max(scores, default=0)
    return first + scores.index(best) if best else first


def _pattern(token: Token) -> str:
    """Find it as a whole word inside a string, where identifiers stand."""
    return rf"['\"\s(.,]{re.escape(token.value)}['\"\s(),.;]"
