"""The live view: a terminal, or a line for each sample."""
