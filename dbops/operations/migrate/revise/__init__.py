"""The next revision file, by Alembic's own machinery."""
