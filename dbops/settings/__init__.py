"""What the user said, and where: the only reader of the environment and its files.

Flag > process environment > `--env-file` > `.env` > `dbops.toml` or `[tool.dbops]` in
`pyproject.toml` > the running local pair.
"""

from dbops.settings.access import Access, Aws, Layer, SecretRef, is_secret_id
from dbops.settings.environment import child_environment
from dbops.settings.load import Heard, listen, load_settings, wanted_format
from dbops.settings.model import Format, Settings, env_name
from dbops.settings.project import target_names

__all__ = [
    "Access",
    "Aws",
    "Format",
    "Heard",
    "Layer",
    "SecretRef",
    "Settings",
    "child_environment",
    "env_name",
    "is_secret_id",
    "listen",
    "load_settings",
    "target_names",
    "wanted_format",
]
