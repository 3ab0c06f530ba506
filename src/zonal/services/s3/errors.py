"""S3's errors, with S3's codes and messages (S3 API Reference, "Error responses")."""

from __future__ import annotations

from zonal.foundation.errors import AwsError


def access_denied() -> AwsError:
    return AwsError("AccessDenied", "Access Denied", status=403)


def explicitly_denied(account: str, action: str, resource: str) -> AwsError:
    """The detailed denial that S3 returns to callers of the bucket's account only. (S3 User Guide, "Troubleshoot access denied errors".)"""
    message = f'User: arn:aws:iam::{account}:root is not authorized to perform: s3:{action} on resource: "{resource}"'
    return AwsError("AccessDenied", f"{message} with an explicit deny in a resource-based policy", status=403)


def no_such_bucket(name: str) -> AwsError:
    return AwsError("NoSuchBucket", "The specified bucket does not exist", status=404, fields={"BucketName": name})


def no_such_key(key: str, *, headers: dict[str, str] | None = None) -> AwsError:
    return AwsError("NoSuchKey", "The specified key does not exist.", status=404, fields={"Key": key}, headers=headers)


def no_such_version(key: str, version: str) -> AwsError:
    return AwsError("NoSuchVersion", "The specified version does not exist.", status=404, fields={"Key": key, "VersionId": version})


def no_such_upload(id: str) -> AwsError:
    message = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    return AwsError("NoSuchUpload", message, status=404, fields={"UploadId": id})


def invalid_argument(message: str, name: str = "", value: object = "") -> AwsError:
    return AwsError("InvalidArgument", message, fields={"ArgumentName": name, "ArgumentValue": value} if name else None)


def invalid_request(message: str) -> AwsError:
    return AwsError("InvalidRequest", message)


def malformed_xml() -> AwsError:
    return AwsError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")


def malformed_acl() -> AwsError:
    return AwsError("MalformedACLError", "The XML you provided was not well-formed or did not validate against our published schema")


def precondition_failed(condition: str) -> AwsError:
    message = "At least one of the pre-conditions you specified did not hold"
    return AwsError("PreconditionFailed", message, status=412, fields={"Condition": condition})


def method_not_allowed(method: str, *, headers: dict[str, str] | None = None) -> AwsError:
    message = "The specified method is not allowed against this resource."
    return AwsError("MethodNotAllowed", message, status=405, fields={"Method": method, "ResourceType": "DeleteMarker"}, headers=headers)


def too_large(size: int | str, most: int) -> AwsError:
    fields = {"ProposedSize": size, "MaxSizeAllowed": most}
    return AwsError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", fields=fields)


def too_small(size: int, least: int, **fields: object) -> AwsError:
    """`fields` are additional members of the error."""
    message = "Your proposed upload is smaller than the minimum allowed size"
    return AwsError("EntityTooSmall", message, fields={"ProposedSize": size, "MinSizeAllowed": least, **fields})


def not_built(what: str) -> AwsError:
    """The error for a parameter that zonal does not implement."""
    return AwsError(
        "NotImplemented", f"A header or parameter you provided implies functionality that zonal does not have: {what}", status=501
    )


def absent(code: str, message: str, bucket: str) -> AwsError:
    """The error for a configuration that the bucket does not have."""
    return AwsError(code, message, status=404, fields={"BucketName": bucket})
