"""When did the process begin with us?"""

from time import monotonic

STARTED_S = monotonic()
"""Read at the first import; `--timeout` counts from here."""
