"""S3's errors for invalid signatures of any version (S3 API Reference, "Error responses")."""

from __future__ import annotations

from datetime import datetime, timedelta

from zonal.foundation.errors import AwsError

SKEW = timedelta(minutes=15)
"""The maximum difference between a request's time and the service's."""


def unknown_key(access_key: str) -> AwsError:
    message = "The AWS Access Key Id you provided does not exist in our records."
    return AwsError("InvalidAccessKeyId", message, status=403, fields={"AWSAccessKeyId": access_key[:100]})


def invalid_token() -> AwsError:
    return AwsError("InvalidToken", "The provided token is malformed or otherwise invalid.")


def too_skewed(timestamp: str, now: datetime) -> AwsError:
    server_time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = {"RequestTime": timestamp, "ServerTime": server_time, "MaxAllowedSkewMilliseconds": SKEW.seconds * 1000}
    message = "The difference between the request time and the current time is too large."
    return AwsError("RequestTimeTooSkewed", message, status=403, fields=fields)


def mismatch(access_key: str, to_sign: str, provided: str, canonical: str | None = None) -> AwsError:
    """The error with the strings that the service built (one character per byte), in which a caller finds the difference."""
    message = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
    fields = {"AWSAccessKeyId": access_key, "StringToSign": to_sign, "SignatureProvided": provided, "StringToSignBytes": _bytes(to_sign)}
    if canonical is not None:
        fields |= {"CanonicalRequest": canonical, "CanonicalRequestBytes": _bytes(canonical)}
    return AwsError("SignatureDoesNotMatch", message, status=403, fields=fields)


def _bytes(text: str) -> str:
    return text.encode("latin-1", "replace").hex(" ")
