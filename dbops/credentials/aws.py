"""AWS, asked within bounds; the only importer of boto3."""

import re
import threading
from typing import Any

from pydantic import SecretStr

from dbops.errors import ConfigError, DbopsError, UnreachableError
from dbops.settings import Aws

DEADLINE_S = 10.0
"""How long one answer of AWS may take, with all its retries."""

_CONNECT_TIMEOUT_S = 2
_READ_TIMEOUT_S = 3
_ATTEMPTS = 2

_RETRYABLE_CODES = frozenset(
    {
        "InternalServiceError", "InternalServiceErrorException", "InternalFailure",
        "RequestLimitExceeded", "ServiceUnavailable", "Throttling",
        "ThrottlingException", "TooManyRequestsException", "408", "429",
    }
)  # fmt: skip
_SAYS = {
    "ResourceNotFoundException": ("does not exist", "check its name and its region"),
    "AccessDeniedException": (
        "may not be read",
        "grant secretsmanager:GetSecretValue (and kms:Decrypt) to this role",
    ),
    "DecryptionFailure": ("cannot be decrypted", "grant kms:Decrypt on its key"),
    "InvalidRequestException": (
        "is not available",
        "it may be marked for deletion; restore it or name another one",
    ),
}
# A code comes from whoever answers, so only what looks like one is repeated.
_CODE = re.compile(r"[A-Z][A-Za-z.]{2,60}|[1-5][0-9]{2}")


class Clients:
    """The clients of one way to reach AWS, each made once, in whichever thread.

    Args:
        aws: How to reach AWS.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._made: dict[str, Any] = {}
        self._lock = threading.Lock()

    def get(self, service: str) -> Any:  # noqa: ANN401 # boto3-stubs want a literal
        """Return the client of `service`; it blocks, so call it off the loop.

        Raises:
            Exception: Whatever boto3 raises; `translated` tells what it means.
        """
        with self._lock:
            if service not in self._made:
                self._made[service] = self._new(service)
            return self._made[service]

    def _new(self, service: Any) -> Any:  # noqa: ANN401 # same
        # Imported here: it takes longer than a whole ping.
        import boto3  # noqa: PLC0415

        aws = self._aws
        if (aws.access_key_id is None) != (aws.secret_access_key is None):
            # boto3 would look for the other half elsewhere, or sign with none.
            raise ConfigError(
                "only half of the AWS credentials is set",
                hint="set both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither",
                phase="secret",
            )
        session = boto3.Session(
            profile_name=aws.profile,
            region_name=aws.region,
            aws_access_key_id=aws.access_key_id,
            aws_secret_access_key=_revealed(aws.secret_access_key),
            aws_session_token=_revealed(aws.session_token),
        )
        return session.client(
            service, endpoint_url=aws.endpoint_url, config=_within_bounds()
        )


def _within_bounds() -> Any:  # noqa: ANN401 # botocore's Config, imported late
    from botocore.config import Config  # noqa: PLC0415 # as slow as boto3

    return Config(
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=_READ_TIMEOUT_S,
        retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def translated(error: Exception, what: str) -> DbopsError:
    """Return the error of dbops for what AWS's client raised when asked for `what`."""
    from botocore import exceptions as aws  # noqa: PLC0415 # as slow as boto3

    match error:
        case DbopsError():
            return error
        case aws.ClientError():
            answer: Any = error.response.get("Error", {})
            return _from_answer(str(answer.get("Code", "")), what)
        case aws.NoCredentialsError() | aws.PartialCredentialsError():
            return _no_credentials(what)
        case aws.NoRegionError():
            return ConfigError(
                f"no AWS region to ask for {what}",
                hint="set AWS_REGION",
                phase="secret",
            )
        case aws.HTTPClientError() | aws.ConnectionError():
            return unreachable(what, "(no HTTP answer)")
        case _:
            return _from_client(error, what)


def _no_credentials(what: str) -> ConfigError:
    return ConfigError(
        f"no AWS credentials to ask for {what}",
        hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or a role; "
        "AWS_USE_LOCALSTACK=true takes DB_USER and DB_PASSWORD instead",
        phase="secret",
    )


def _from_client(error: Exception, what: str) -> ConfigError:
    """Translate what boto3 raises by itself: it takes its settings at their word."""
    if isinstance(error, ValueError):
        return ConfigError(
            f"AWS cannot be asked for {what}: a setting of AWS is malformed",
            hint="check AWS_ENDPOINT_URL, AWS_REGION and ~/.aws/config",
            phase="secret",
        )
    return ConfigError(
        f"AWS gave no usable answer when asked for {what} ({type(error).__name__})",
        hint="check AWS_ENDPOINT_URL, AWS_PROFILE, ~/.aws/config and any HTTP proxy",
        phase="secret",
    )


def _from_answer(code: str, what: str) -> DbopsError:
    if code in _RETRYABLE_CODES or re.fullmatch(r"5[0-9]{2}", code):
        return unreachable(what, f"({code})")
    if code in _SAYS:
        says, hint = _SAYS[code]
        return ConfigError(f"{what} {says}", hint=hint, phase="secret")
    shown = f" ({code})" if _CODE.fullmatch(code) else ""
    return ConfigError(
        f"{what} was refused by AWS{shown}",
        hint="check the AWS credentials and their clock, and AWS_ENDPOINT_URL",
        phase="secret",
    )


def unreachable(what: str, detail: str) -> UnreachableError:
    """Return the error for an AWS that does not answer."""
    return UnreachableError(
        f"AWS gave no answer when asked for {what} {detail}",
        hint="check the network, the VPC endpoint and AWS_ENDPOINT_URL",
        phase="secret",
    )
