"""The SQL of an upgrade, without a server."""
