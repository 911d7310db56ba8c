"""Alembic upgrades: of a project's own environment, or of one that borrows from us."""
