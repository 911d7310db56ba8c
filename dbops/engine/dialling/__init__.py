"""How one connection of a driver comes to be, and how it ends."""
