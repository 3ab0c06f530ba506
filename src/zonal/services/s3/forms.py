"""Browser uploads by POST: signature, policy and authorization of the form, then an ordinary put of its file.

The author of a form signs a policy with an expiration and conditions on the fields, by SigV4 (`x-amz-signature`) or by HMAC-SHA1
(`AWSAccessKeyId`, `signature`), as in older forms. Authorization is that of any other put and precedes the upload of the file. (S3 API
Reference, "POST Object".)
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from zonal.foundation.clock import Clock
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, request_id
from zonal.foundation.settings import Settings
from zonal.services.operation import Call
from zonal.services.s3.access import AccessControl
from zonal.services.s3.bucket_address import bucket_and_key
from zonal.services.s3.cors import Cors
from zonal.services.s3.errors import invalid_argument, malformed_xml
from zonal.services.s3.form_body import FormBody
from zonal.services.s3.form_policies import Bounds, check
from zonal.services.s3.objects import Objects
from zonal.wire import signature_errors, signing, xml
from zonal.wire.http_messages import HttpRequest as HttpRequest
from zonal.wire.http_messages import HttpResponse
from zonal.wire.origin_policy import OriginPolicy
from zonal.wire.scalars import timestamp

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import PutObjectRequestTypeDef

_SIGNED = ("Policy", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature")
_SIGNED_BEFORE = ("Policy", "AWSAccessKeyId", "Signature")
_ORDER = "If it is specified, please check the order of the fields."
_MEMBERS = {
    "acl": "ACL",
    "x-amz-storage-class": "StorageClass",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation",
    "x-amz-object-lock-mode": "ObjectLockMode",
    "x-amz-object-lock-legal-hold": "ObjectLockLegalHoldStatus",
}


class Forms:
    """Handles upload forms."""

    def __init__(self, objects: Objects, access: AccessControl, cors: Cors, settings: Settings, clock: Clock) -> None:
        self._objects = objects
        self._access = access
        self._cors = cors
        self._origins = OriginPolicy(settings)
        self._secrets = settings.secrets()
        self._account_of = settings.account_of()
        self._clock = clock

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Store a form's file; returns the response. Raises `AwsError`."""
        bucket, _ = bucket_and_key(request)
        form = FormBody(request)
        await form.read_fields()
        fields = form.fields
        if not fields.get("key"):
            raise invalid_argument(f"Bucket POST must contain a field named 'key'.  {_ORDER}", "key")
        access_key = self._signer(fields)
        if access_key is not None and (refusal := self._origins.origin_refusal(request, access_key, self._cors.allows_form)):
            raise AwsError("AccessDenied", refusal, status=403)
        bounds = Bounds() if access_key is None else check(fields, bucket, datetime.now(UTC))
        file = bounds.watched(form.file())
        upload = HttpRequest("PUT", request.path, "", _headers(form, request), stream=file, peer=request.peer)
        account = self._account_of[access_key] if access_key is not None else ACCOUNT
        call = Call("s3", "PutObject", self._clock.now(), request_id(), access_key, account, raw=upload)
        asked = _parameters(fields, bucket)
        self._access.check("PutObject", call, asked)
        done = await self._objects.put(call, cast("PutObjectRequestTypeDef", asked))
        return _success(fields, bucket, done, request)

    def _signer(self, fields: Mapping[str, str]) -> str | None:
        """The access key that signed the form's policy; None for an unsigned form, even if it has a policy. Raises `AwsError`."""
        if any(name.lower() in fields for name in _SIGNED[1:]):
            _require(fields, _SIGNED)
            access_key, segments = fields["x-amz-credential"].partition("/")[0], fields["x-amz-credential"].split("/")
            if fields["x-amz-algorithm"] != signing.ALGORITHM or len(segments) != 5:
                raise invalid_argument(
                    "The form's X-Amz-Algorithm or X-Amz-Credential is not valid.", "X-Amz-Credential", fields["x-amz-credential"]
                )
            key = signing.signing_key(self._secret(access_key), segments[1], segments[2], segments[3])
            expected = hmac.digest(key, fields["policy"].encode(), "sha256").hex()
            return _compared(expected, fields["x-amz-signature"], access_key, fields["policy"])
        if any(name.lower() in fields for name in _SIGNED_BEFORE[1:]):
            _require(fields, _SIGNED_BEFORE)
            access_key = fields["awsaccesskeyid"]
            expected = base64.b64encode(hmac.digest(self._secret(access_key).encode(), fields["policy"].encode(), "sha1")).decode()
            return _compared(expected, fields["signature"], access_key, fields["policy"])
        return None

    def _secret(self, access_key: str) -> str:
        if access_key not in self._secrets:
            raise signature_errors.unknown_key(access_key)
        return self._secrets[access_key]


def _require(fields: Mapping[str, str], names: tuple[str, ...]) -> None:
    """Raises `AwsError` for the first missing field."""
    for name in names:
        if name.lower() not in fields:
            raise invalid_argument(f"Bucket POST must contain a field named '{name}'.  {_ORDER}", name)


def _compared(expected: str, signature: str, access_key: str, policy: str) -> str:
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise signature_errors.mismatch(access_key, policy, signature)
    return access_key


def _headers(form: FormBody, request: HttpRequest) -> dict[str, str]:
    fields = form.fields
    kept = {name: value for name, value in fields.items() if name.startswith("x-amz-") and name not in ("x-amz-date", "x-amz-signature")}
    for name in ("cache-control", "content-type", "content-disposition", "content-encoding", "expires"):
        if name in fields:
            kept[name] = fields[name]
    if form.kind:
        kept.setdefault("content-type", form.kind)
    return kept | {"content-length": "0", "host": request.headers.get("host", "")}  # The file's length is known only at its end.


def _parameters(fields: Mapping[str, str], bucket: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"Bucket": bucket, "Key": fields["key"]}
    asked["Metadata"] = {name.removeprefix("x-amz-meta-"): value for name, value in fields.items() if name.startswith("x-amz-meta-")}
    asked |= {member: fields[name] for name, member in _MEMBERS.items() if name in fields}
    if "x-amz-object-lock-retain-until-date" in fields:
        try:
            asked["ObjectLockRetainUntilDate"] = timestamp(fields["x-amz-object-lock-retain-until-date"])
        except ValueError:
            raise invalid_argument("The retain until date is not a valid date.") from None
    if "tagging" in fields:
        asked["Tagging"] = _tagging(fields["tagging"])
    return asked


def _tagging(text: str) -> str:
    """A `tagging` field (XML) in the form of the `x-amz-tagging` header. Raises `AwsError`."""
    try:
        root = xml.tree(text.encode())
    except xml.NotXml:
        raise malformed_xml() from None
    pairs = []
    for tag in [child for each in root.children for child in each.children]:
        members = {child.name: child.text for child in tag.children}
        pairs.append(f"{quote(members.get('Key', ''), safe='')}={quote(members.get('Value', ''), safe='')}")
    return "&".join(pairs)


def _success(fields: Mapping[str, str], bucket: str, done: Mapping[str, str], request: HttpRequest) -> HttpResponse:
    key, etag = fields["key"], done["ETag"]
    location = f"http://{request.headers.get('host', '')}/{bucket}/{quote(key, safe='')}"
    headers = [("ETag", etag), ("Location", location)]
    for name, value in done.items():
        if name.startswith("Checksum"):
            headers.append((f"x-amz-checksum-{name.removeprefix('Checksum').lower()}", value))
    if "ServerSideEncryption" in done:
        headers.append(("x-amz-server-side-encryption", done["ServerSideEncryption"]))
    if "VersionId" in done:
        headers.append(("x-amz-version-id", done["VersionId"]))
    target = fields.get("success_action_redirect") or fields.get("redirect")
    if target and re.match(r"https?://", target):
        mark = "&" if "?" in target else "?"
        query = f"bucket={quote(bucket, safe='')}&key={quote(key, safe='')}&etag={quote(etag, safe='')}"
        return HttpResponse(303, [("ETag", etag), ("Location", f"{target}{mark}{query}")], b"")
    status = fields.get("success_action_status", "204")
    if status == "201":
        inside = "".join(
            f"<{name}>{xml.escape(text)}</{name}>"
            for name, text in (("Location", location), ("Bucket", bucket), ("Key", key), ("ETag", etag))
        )
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>{inside}</PostResponse>'
        return HttpResponse(201, [*headers, ("Content-Type", "application/xml")], body.encode())
    return HttpResponse(200 if status == "200" else 204, headers, b"")
