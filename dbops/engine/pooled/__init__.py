"""Connections of a driver as SQLAlchemy pools them."""
