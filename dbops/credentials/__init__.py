"""Where the password comes from: settings, AWS Secrets Manager or an RDS IAM token."""

from dbops.credentials.aws import DEADLINE_S
from dbops.credentials.complete import Credentials
from dbops.credentials.secrets import SecretStore
from dbops.credentials.shape import parse_secret

__all__ = ["DEADLINE_S", "Credentials", "SecretStore", "parse_secret"]
