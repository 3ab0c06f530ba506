"""Uploads from a browser's form (POST): the fields, the policy that somebody signed for them, the file.

Whoever gives a form away signs a policy: until when, and what each field may hold. Signed by SigV4 (`x-amz-signature`) or, as old forms
are, by an HMAC-SHA1 (`AWSAccessKeyId`, `signature`). What the form may do then is decided as for any other put. (S3 API Reference, "POST
Object", "Creating a POST policy".)
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from zonal.foundation.clock import Clock
from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import ACCOUNT, request_id
from zonal.foundation.settings import Settings
from zonal.services.operation import Call
from zonal.services.s3.access import Access
from zonal.services.s3.errors import invalid_argument, malformed_xml
from zonal.services.s3.locating import bucket_and_key
from zonal.services.s3.objects import Objects
from zonal.wire import markup, signing
from zonal.wire.messages import Request as HttpRequest
from zonal.wire.messages import Response
from zonal.wire.scalars import moment

FIELDS_LIMIT_BYTES = 20 * 1024
_UNCHECKED = ("policy", "x-amz-signature", "signature", "awsaccesskeyid", "file", "bucket")
_MEMBERS = {
    "acl": "ACL",
    "x-amz-storage-class": "StorageClass",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation",
    "x-amz-object-lock-mode": "ObjectLockMode",
    "x-amz-object-lock-legal-hold": "ObjectLockLegalHoldStatus",
}


class Form(NamedTuple):
    """A form that came: its fields by their lower-case names, and its file, of the type that its section says."""

    fields: dict[str, str]
    file: bytes
    kind: str


class Forms:
    """Takes forms in."""

    def __init__(self, objects: Objects, access: Access, settings: Settings, clock: Clock) -> None:
        self._objects = objects
        self._access = access
        self._secrets = settings.secrets()
        self._account_of = settings.account_of()
        self._clock = clock

    async def answer(self, request: HttpRequest) -> Response:
        """The answer to a form. Raises `AwsError`."""
        bucket, _ = bucket_and_key(request)
        form = parse(request)
        fields = form.fields
        if not fields.get("key"):
            raise invalid_argument(
                "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.", "key"
            )
        access_key = self._signer(fields)
        if access_key is not None:
            check_policy(fields, bucket, len(form.file), datetime.now(UTC))
        upload = HttpRequest("PUT", request.path, "", _headers(form, request), form.file, peer=request.peer)
        account = self._account_of[access_key] if access_key is not None else ACCOUNT
        call = Call("s3", "PutObject", None, self._clock.now(), request_id(), access_key, account, raw=upload)  # type: ignore[arg-type]
        asked = _parameters(fields, bucket)
        self._access.check("PutObject", call, asked)
        done = await self._objects.put(call, asked)
        return _success(fields, bucket, done, request)

    def _signer(self, fields: Mapping[str, str]) -> str | None:
        """Who signed the form's policy; None for a form without one. Raises `AwsError`."""
        policy = fields.get("policy")
        if policy is None:
            if "awsaccesskeyid" in fields or "x-amz-credential" in fields:
                raise invalid_argument("Bucket POST must contain a field named 'policy'.", "policy")
            return None
        if "x-amz-credential" in fields or "x-amz-algorithm" in fields:
            return self._signer_by_v4(fields, policy)
        access_key, signature = fields.get("awsaccesskeyid"), fields.get("signature")
        if access_key is None or signature is None:
            missing = "AWSAccessKeyId" if access_key is None else "Signature"
            raise invalid_argument(
                f"Bucket POST must contain a field named '{missing}'.  If it is specified, please check the order of the fields."
            )
        expected = base64.b64encode(hmac.digest(self._secret(access_key).encode(), policy.encode(), "sha1")).decode()
        return _compared(expected, signature, access_key)

    def _signer_by_v4(self, fields: Mapping[str, str], policy: str) -> str:
        credential, signature = fields.get("x-amz-credential", ""), fields.get("x-amz-signature", "")
        words = credential.split("/")
        if fields.get("x-amz-algorithm") != signing.ALGORITHM or len(words) != 5 or not signature or "x-amz-date" not in fields:
            raise invalid_argument("The form's signature is not complete: x-amz-algorithm, x-amz-credential, x-amz-date, x-amz-signature.")
        key = signing.signing_key(self._secret(words[0]), words[1], words[2], words[3])
        return _compared(hmac.digest(key, policy.encode(), "sha256").hex(), signature, words[0])

    def _secret(self, access_key: str) -> str:
        if access_key not in self._secrets:
            words = "The AWS Access Key Id you provided does not exist in our records."
            raise AwsError("InvalidAccessKeyId", words, status=403, fields={"AWSAccessKeyId": access_key[:100]})
        return self._secrets[access_key]


def is_form(request: HttpRequest) -> bool:
    return request.method == "POST" and request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def _compared(expected: str, signature: str, access_key: str) -> str:
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        words = "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        raise AwsError("SignatureDoesNotMatch", words, status=403, fields={"AWSAccessKeyId": access_key})
    return access_key


def parse(request: HttpRequest) -> Form:
    """The fields up to and with the file; what follows it is not looked at. Raises `AwsError` MalformedPOSTRequest."""
    found = re.search(r'boundary="?([^";,]{1,70})"?', request.headers.get("content-type", ""))
    if found is None:
        raise _malformed()
    mark = b"--" + found[1].encode("latin-1")
    sections = (b"\r\n" + request.body).split(b"\r\n" + mark)
    fields: dict[str, str] = {}
    size = 0
    for section in sections[1:]:
        if section.startswith(b"--"):
            break
        head, separator, content = section.partition(b"\r\n\r\n")
        if not separator:
            raise _malformed()
        name, filename, kind = _described(head.decode("utf-8", "replace"))
        if name.lower() == "file":
            if filename is not None and "key" in fields:
                fields["key"] = fields["key"].replace("${filename}", filename.rpartition("/")[2])
            return Form(fields, content, kind)
        size += len(content)
        if size > FIELDS_LIMIT_BYTES:
            raise AwsError("MaxPostPreDataLengthExceeded", "Your POST request fields preceding the upload file were too large.")
        fields[name.lower()] = content.decode("utf-8", "replace")
    raise invalid_argument("POST requires exactly one file upload per request.", "file", "0")


def _described(head: str) -> tuple[str, str | None, str]:
    """Name, file name and type of a section."""
    name = re.search(r'[;\s]name="((?:[^"\\]|\\.)*)"', head) or re.search(r"[;\s]name=([^;\s]+)", head)
    if name is None:
        raise _malformed()
    filename = re.search(r'filename="((?:[^"\\]|\\.)*)"', head)
    kind = re.search(r"(?im)^content-type:\s*(.+?)\s*$", head)
    return name[1].replace('\\"', '"'), filename[1] if filename else None, kind[1] if kind else ""


def check_policy(fields: Mapping[str, str], bucket: str, size: int, now: datetime) -> None:
    """Raises `AwsError` where the form's policy is none, is over, or does not let these fields through."""
    policy = _document(fields["policy"])
    if policy["expiration"] <= now:
        raise _refused("Policy expired.")
    left = {name for name in fields if name not in _UNCHECKED and not name.startswith("x-ignore-")}
    values = {**fields, "bucket": bucket}
    for condition in policy["conditions"]:
        left -= _hold(condition, values, size)
    if left:
        raise _refused(f"Extra input fields: {', '.join(sorted(left))}")


def _document(encoded: str) -> dict[str, Any]:
    """The policy with its expiration as a moment. Raises `AwsError` InvalidPolicyDocument."""
    try:
        policy = json.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise _invalid("Invalid Policy: Invalid JSON.") from None
    if not isinstance(policy, dict):
        raise _invalid("Invalid Policy: Invalid JSON.")
    if not isinstance(policy.get("expiration"), str):
        raise _invalid("Invalid Policy: Policy missing expiration.")
    if not isinstance(policy.get("conditions"), list) or not policy["conditions"]:
        raise _invalid("Invalid Policy: Policy missing conditions.")
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", policy["expiration"]):
        raise _invalid(f"Invalid Policy: Invalid 'expiration' value: '{policy['expiration'][:40]}'")
    try:
        return policy | {"expiration": moment(policy["expiration"])}
    except ValueError:
        raise _invalid("Invalid Policy: Invalid 'expiration' value") from None


def _hold(condition: Any, values: Mapping[str, str], size: int) -> set[str]:
    """The fields that a condition speaks for. Raises `AwsError` where it does not hold."""
    if isinstance(condition, dict):
        if not condition:
            raise _invalid("Invalid Policy: Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        for name, value in condition.items():
            if values.get(name.lower(), "") != str(value):
                raise _failed(["eq", f"${name}", value])
        return {name.lower() for name in condition}
    if not isinstance(condition, list) or len(condition) != 3:
        raise _invalid("Invalid Policy: Invalid Condition: the number of its arguments is wrong.")
    operator, name, value = condition
    operator = str(operator).lower()
    if operator == "content-length-range":
        _hold_size(name, value, size)
        return set()
    if operator not in ("eq", "starts-with") or not str(name).startswith("$"):
        raise _invalid(f"Invalid Policy: Invalid Condition: unknown operation '{operator[:40]}'.")
    field = str(name)[1:].lower()
    given = values.get(field, "")
    if given != str(value) if operator == "eq" else not given.startswith(str(value)):
        raise _failed(condition)
    return {field}


def _hold_size(low: Any, high: Any, size: int) -> None:
    try:
        least, most = int(low), int(high)
    except (TypeError, ValueError):
        raise _invalid("Invalid Policy: Invalid content-length-range: bounds must be numbers.") from None
    if least < 0 or most < least:
        raise _invalid("Invalid Policy: Invalid content-length-range: bounds are out of order.")
    if size < least:
        fields = {"ProposedSize": size, "MinSizeAllowed": least}
        raise AwsError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", fields=fields)
    if size > most:
        fields = {"ProposedSize": size, "MaxSizeAllowed": most}
        raise AwsError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size", fields=fields)


def _headers(form: Form, request: HttpRequest) -> dict[str, str]:
    fields = form.fields
    kept = {name: value for name, value in fields.items() if name.startswith("x-amz-") and name not in ("x-amz-date", "x-amz-signature")}
    for name in ("cache-control", "content-type", "content-disposition", "content-encoding", "expires"):
        if name in fields:
            kept[name] = fields[name]
    if form.kind:
        kept.setdefault("content-type", form.kind)
    return kept | {"content-length": str(len(form.file)), "host": request.headers.get("host", "")}


def _parameters(fields: Mapping[str, str], bucket: str) -> dict[str, Any]:
    asked: dict[str, Any] = {"Bucket": bucket, "Key": fields["key"]}
    asked["Metadata"] = {name.removeprefix("x-amz-meta-"): value for name, value in fields.items() if name.startswith("x-amz-meta-")}
    asked |= {member: fields[name] for name, member in _MEMBERS.items() if name in fields}
    if "x-amz-object-lock-retain-until-date" in fields:
        try:
            asked["ObjectLockRetainUntilDate"] = moment(fields["x-amz-object-lock-retain-until-date"])
        except ValueError:
            raise invalid_argument("The retain until date is not a date.") from None
    if "tagging" in fields:
        asked["Tagging"] = _tagging(fields["tagging"])
    return asked


def _tagging(text: str) -> str:
    """A `tagging` field, which is XML, as the header would be."""
    try:
        root = markup.tree(text.encode())
    except markup.NotXml:
        raise malformed_xml() from None
    pairs = []
    for tag in [child for each in root.children for child in each.children]:
        words = {child.name: child.text for child in tag.children}
        pairs.append(f"{quote(words.get('Key', ''), safe='')}={quote(words.get('Value', ''), safe='')}")
    return "&".join(pairs)


def _success(fields: Mapping[str, str], bucket: str, done: Mapping[str, str], request: HttpRequest) -> Response:
    key, etag = fields["key"], done["ETag"]
    location = f"http://{request.headers.get('host', '')}/{bucket}/{quote(key)}"
    headers = [("ETag", etag), ("Location", location)]
    if "VersionId" in done:
        headers.append(("x-amz-version-id", done["VersionId"]))
    target = fields.get("success_action_redirect") or fields.get("redirect")
    if target and re.match(r"https?://", target):
        mark = "&" if "?" in target else "?"
        words = f"bucket={quote(bucket, safe='')}&key={quote(key, safe='')}&etag={quote(etag, safe='')}"
        return Response(303, [("ETag", etag), ("Location", f"{target}{mark}{words}")], b"")
    status = fields.get("success_action_status", "204")
    if status == "201":
        inside = "".join(
            f"<{name}>{markup.escape(text)}</{name}>"
            for name, text in (("Location", location), ("Bucket", bucket), ("Key", key), ("ETag", etag))
        )
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>{inside}</PostResponse>'
        return Response(201, [*headers, ("Content-Type", "application/xml")], body.encode())
    return Response(200 if status == "200" else 204, headers, b"")


def _malformed() -> AwsError:
    return AwsError("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")


def _invalid(message: str) -> AwsError:
    return AwsError("InvalidPolicyDocument", message)


def _refused(why: str) -> AwsError:
    return AwsError("AccessDenied", f"Invalid according to Policy: {why}", status=403)


def _failed(condition: Any) -> AwsError:
    return _refused(f"Policy Condition failed: {json.dumps(condition)}")
