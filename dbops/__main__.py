"""Run the command line with `python -m dbops`."""

from dbops.cli import main

main()
