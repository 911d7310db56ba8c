"""Which value do the rows get that are there?"""

from dbops.operations.lint.types import END_OF_TYPE
from dbops.operations.lint.words import Words


def default_of(body: Words) -> Words:
    """Return the expression of DEFAULT; nothing where there is none, or NULL."""
    found = body.after("DEFAULT") or Words()
    # NULL may be the value itself, or begin NULL behind it.
    found = found.until([key for key in END_OF_TYPE if key != "NULL"])
    return Words() if found.begins("NULL") else found
