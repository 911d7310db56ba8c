"""What is raised where only Alembic itself can tell."""


class UnsureError(Exception):
    """The text of a project does not say for certain what Alembic would find.

    It stays inside of `at_head`, which then leaves the answer to Alembic.
    """
