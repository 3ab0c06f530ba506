"""How S3's XML answers are called, which its model does not tell.

Other REST services name an answer's root after the operation. S3's roots are older than its model: clients that read by names (Go's,
C++'s) want `ListBucketResult` in S3's namespace, and GetBucketLocation answers with a root that holds the text itself.
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
    """An answer's XML with the root that S3 gives it."""
    if operation == "GetBucketLocation":
        text = xml.escape(result.get("LocationConstraint") or "")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="{NAMESPACE}">{text}</LocationConstraint>'.encode()
    start = body.find(b"<", body.find(b"?>"))
    end = body.find(b">", start)
    if b"xmlns" in body[start:end]:
        return body
    return body[:end] + f' xmlns="{NAMESPACE}"'.encode() + body[end:]
