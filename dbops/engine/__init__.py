"""How to connect, once, for everybody."""
