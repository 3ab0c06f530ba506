"""The root elements of S3's XML responses, which its model does not contain.

Other REST services name a response's root after the operation. S3's roots are older than its model: clients that check names (Go, C++)
require `ListBucketResult` in S3's namespace, and the root of GetBucketLocation contains the text itself.
(S3 API Reference, "Response Syntax" of each operation.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zonal.wire import xml

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListObjectVersions": "ListVersionsResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAcl": "AccessControlPolicy",
    "GetObjectAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetObjectTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetObjectAttributes": "GetObjectAttributesResponse",
}


def with_s3_root(operation: str, body: bytes, result: Mapping[str, Any]) -> bytes:
    """A response's XML with S3's root element."""
    if operation == "GetBucketLocation":
        text = xml.escape(result.get("LocationConstraint") or "")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="{NAMESPACE}">{text}</LocationConstraint>'.encode()
    start = body.find(b"<", body.find(b"?>"))
    end = body.find(b">", start)
    if b"xmlns" in body[start:end]:
        return body
    return body[:end] + f' xmlns="{NAMESPACE}"'.encode() + body[end:]
