"""Verifies Signature Version 4.

The caller signs a canonical form of its request with a key derived from its secret, the day, the region and the service. `Verifier.verify`
builds the same form from the received request, and compares the signatures. Each error has the code and message of the service that was
called; the checks are made in AWS's order: form, scope, date, key, signature, and for S3 the body's hash.

S3 differs: it signs paths as they are (others encode them once more and remove dots), it signs the payload's hash as a header, which may
also declare an unsigned or a chunked body, and it has errors of its own. For chunked bodies `chunk_signature` and `trailer_signature`
continue from the verified seed.

Sources: IAM User Guide "Create a signed AWS API request"; S3 API Reference "Authenticating Requests (AWS Signature Version 4)".
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote

import msgspec

from zonal.foundation.errors import AwsError
from zonal.wire import signature_errors, signature_v2
from zonal.wire.dispatch import EC2, QUERY, REST_JSON, REST_XML, Dialect, bucket_of
from zonal.wire.http_messages import HttpRequest, Signature
from zonal.wire.signature_errors import SKEW

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = (
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
)
_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_WEEK_SECONDS = 7 * 24 * 3600


class Verifier:
    """Verifies signatures made with one of `secrets` (by access key id) for one region."""

    def __init__(self, secrets: Mapping[str, str], region: str) -> None:
        self._secrets = secrets
        self._region = region

    def verify(self, request: HttpRequest, dialect: Dialect, now: datetime) -> Signature | None:
        """The verified signature, or None for an unsigned request. `now` is the present time, not region time. Raises `AwsError`."""
        if _is_s3(dialect):
            authorization = request.headers.get("authorization", "")
            if signature_v2.is_header(authorization):
                return signature_v2.verify_header(request, self._secrets, bucket_of(request.host), now)
            if not authorization and not _is_presigned(request) and signature_v2.is_presigned(request):
                return signature_v2.verify_presigned(request, self._secrets, bucket_of(request.host), now)
        claim = _claim(request, dialect)
        if claim is None:
            return None
        secret = self._check_claim(claim, request, dialect, now)
        key = signing_key(secret, claim.date, claim.region, claim.service)
        scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
        _check_signature(claim, dialect, request, key, scope)
        signature = Signature(
            claim.access_key, claim.region, claim.service, claim.timestamp, scope, claim.signature, key, claim.payload or UNSIGNED
        )
        _check_payload(claim, dialect, request)
        if claim.expires is not None and _is_s3(dialect):
            request.headers = signature_v2.hoisted(request)
        return signature

    def check_head(self, request: HttpRequest, dialect: Dialect, now: datetime) -> str | None:
        """Check form, scope, date and key before the body has arrived, for any service but S3 (whose head has the whole signature).

        Only the signature itself depends on the body's hash. Returns the claimed access key, or None for an unsigned request. Raises
        `AwsError`.
        """
        claim = _claim(request, dialect)
        if claim is None:
            return None
        self._check_claim(claim, request, dialect, now)
        return claim.access_key

    def _check_claim(self, claim: _Claim, request: HttpRequest, dialect: Dialect, now: datetime) -> str:
        """Check scope, date and key; returns the key's secret."""
        self._check_scope(claim, dialect)
        _check_date(claim, dialect, _parsed_timestamp(claim, dialect), now)
        secret = self._secrets.get(claim.access_key)
        if secret is None or "x-amz-security-token" in request.headers or claim.token:
            raise _unknown_key(dialect, claim.access_key, token=secret is not None)
        return secret

    def _check_scope(self, claim: _Claim, dialect: Dialect) -> None:
        s3 = _is_s3(dialect)
        if claim.terminator != "aws4_request":
            raise _scope(dialect, claim, f"Credential should be scoped with a valid terminator: 'aws4_request', not '{claim.terminator}'.")
        if claim.region != self._region:
            if s3:
                what = "authorization header is malformed" if claim.expires is None else "X-Amz-Credential parameter"
                reason = f"the region '{claim.region}' is wrong; expecting '{self._region}'"
                code = "AuthorizationHeaderMalformed" if claim.expires is None else "AuthorizationQueryParametersError"
                message = f"The {what}; {reason}" if claim.expires is None else f"Error parsing the {what}; {reason}"
                raise AwsError(code, message, fields={"Region": self._region})
            raise _scope(dialect, claim, f"Credential should be scoped to a valid region, not '{claim.region}'. ")
        if dialect.service is not None and claim.service != dialect.service.metadata.signs_as:
            raise _scope(dialect, claim, f"Credential should be scoped to correct service: '{dialect.service.metadata.signs_as}'. ")


class _Claim(msgspec.Struct, frozen=True):
    """The signature parameters of a request. `expires` is None for a signed header, else the validity of a presigned URL in seconds."""

    access_key: str
    date: str
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    payload: str
    expires: int | None = None
    token: str = ""


def _claim(request: HttpRequest, dialect: Dialect) -> _Claim | None:
    if authorization := request.headers.get("authorization"):
        return _header_claim(request, dialect, authorization)
    return _query_claim(request, dialect) if _is_presigned(request) else None


def _is_presigned(request: HttpRequest) -> bool:
    return "X-Amz-Signature=" in request.query or "X-Amz-Algorithm=" in request.query


def _payload_hash(request: HttpRequest) -> str:
    if request.payload_hash or not request.body:
        return request.payload_hash or _EMPTY_HASH
    return hashlib.sha256(request.body).hexdigest()


_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([^/,\s]+)/(\d{8})/([^/,\s]*)/([^/,\s]*)/([^/,\s]*), *SignedHeaders=([^,\s]+), *Signature="
)


@functools.lru_cache(256)
def _authorization(head: str) -> tuple[str, ...] | None:
    """The parts of an Authorization header before the signature. Cached: they are constant for a client and a day."""
    match = _AUTHORIZATION.fullmatch(head)
    return match.groups() if match else None


def _header_claim(request: HttpRequest, dialect: Dialect, authorization: str) -> _Claim:
    end = authorization.find("Signature=") + len("Signature=")
    parts, signature = _authorization(authorization[:end]), authorization[end:].rstrip()
    if parts is None or not signature.isalnum():
        raise _malformed_authorization(dialect, authorization, request)
    access_key, date, region, service, terminator, names = parts
    timestamp = request.headers.get("x-amz-date") or _from_date_header(request.headers.get("date", ""))
    if not timestamp:
        if _is_s3(dialect):
            raise AwsError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", status=403)
        raise _incomplete(dialect, f"Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. {authorization}")
    signed = tuple(names.split(";"))
    _check_signed_headers(request, dialect, signed)
    if _is_s3(dialect):
        payload = request.headers.get("x-amz-content-sha256", "")
        if not payload:
            raise AwsError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    else:
        payload = _payload_hash(request)
    return _Claim(access_key, date, region, service, terminator, signed, signature, timestamp, payload)


def _check_signed_headers(request: HttpRequest, dialect: Dialect, signed: tuple[str, ...]) -> None:
    """The host must be signed; S3 also requires all x-amz-* headers to be signed."""
    if "host" not in signed and not _is_s3(dialect):
        raise _mismatch(dialect, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    if not _is_s3(dialect):
        return
    names = signed if len(signed) < 16 else frozenset(signed)
    missing = [name for name in request.headers if (name == "host" or name.startswith("x-amz-")) and name not in names]
    if missing:
        message = "There were headers present in the request which were not signed"
        raise AwsError("AccessDenied", message, status=403, fields={"HeadersNotSigned": ", ".join(missing)})


_ISO = re.compile(r"\d{8}T\d{6}Z")


def _from_date_header(text: str) -> str:
    if not text or _ISO.fullmatch(text):
        return text
    try:
        return parsedate_to_datetime(text).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, TypeError, OverflowError):
        return ""


def _malformed_authorization(dialect: Dialect, authorization: str, request: HttpRequest) -> AwsError:
    """The service's error for a malformed Authorization header."""
    shown = authorization[:300]
    if _is_s3(dialect):
        if not authorization.startswith(ALGORITHM):
            message = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."
            return AwsError("InvalidRequest", message)
        what = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"'
        for name in ("Credential", "SignedHeaders", "Signature"):
            if f"{name}=" not in authorization:
                what = f"missing {name}"
                break
        return AwsError("AuthorizationHeaderMalformed", f"The authorization header is malformed; {what}.")
    if not authorization.startswith(ALGORITHM):
        return _incomplete(dialect, f"Unsupported AWS 'algorithm': '{shown.partition(' ')[0]}'.")
    parts = dict(word.strip().partition("=")[::2] for word in authorization.removeprefix(ALGORITHM).split(","))
    lacking = [
        f"Authorization header requires '{name}' parameter." for name in ("Credential", "Signature", "SignedHeaders") if name not in parts
    ]
    if "x-amz-date" not in request.headers and "date" not in request.headers:
        lacking.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if lacking:
        return _incomplete(dialect, f"{' '.join(lacking)} Authorization={shown}")
    credential = parts.get("Credential", "")
    if credential.count("/") != 4:
        message = f"Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential[:100]}'"
        return _incomplete(dialect, message)
    return _incomplete(dialect, f"The Authorization header is not understood. Authorization={shown}")


_QUERY_NAMES = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Expires")


def _query_claim(request: HttpRequest, dialect: Dialect) -> _Claim:
    given = {name: unquote(value) for name, _, value in (word.partition("=") for word in request.query.split("&"))}
    s3 = _is_s3(dialect)
    required = _QUERY_NAMES if s3 else _QUERY_NAMES[:5]
    if any(not given.get(name) for name in required) or given["X-Amz-Algorithm"] != ALGORITHM:
        names = f"{', '.join(required[:-1])}, and {required[-1]}"
        raise _bad_query(dialect, f"Query-string authentication version 4 requires the {names} parameters.")
    segments = given["X-Amz-Credential"].split("/")
    if len(segments) != 5 or not re.fullmatch(r"\d{8}", segments[1], re.ASCII):
        expected = 'expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"'
        raise _bad_query(dialect, f"Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; {expected}.")
    expires = given.get("X-Amz-Expires", "900")
    if not re.fullmatch(r"-?\d{1,12}", expires, re.ASCII):
        raise _bad_query(dialect, "X-Amz-Expires should be a number")
    if int(expires) < 0:
        raise _bad_query(dialect, "X-Amz-Expires must be non-negative")
    if int(expires) > _WEEK_SECONDS:
        less = f"that is, the given X-Amz-Expires must be less than {_WEEK_SECONDS} seconds"
        raise _bad_query(dialect, f"X-Amz-Expires must be less than a week (in seconds); {less}")
    signed = tuple(given["X-Amz-SignedHeaders"].split(";"))
    _check_signed_headers(request, dialect, signed)
    if s3:
        payload = request.headers.get("x-amz-content-sha256") or given.get("X-Amz-Content-Sha256", UNSIGNED)
    else:
        payload = _payload_hash(request)
    token = given.get("X-Amz-Security-Token", "")
    access_key, date, region, service, terminator = segments
    signature, timestamp = given["X-Amz-Signature"], given["X-Amz-Date"]
    return _Claim(access_key, date, region, service, terminator, signed, signature, timestamp, payload, int(expires), token)


def _parsed_timestamp(claim: _Claim, dialect: Dialect) -> datetime:
    moment = _parsed(claim.timestamp)
    if moment is None and _is_s3(dialect):
        if claim.expires is not None:
            raise _bad_query(dialect, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
        raise AwsError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", status=403)
    if moment is None:
        raise _incomplete(
            dialect, f"Date must be in ISO-8601 'basic format'. Got '{claim.timestamp[:40]}'. See http://en.wikipedia.org/wiki/ISO_8601"
        )
    if claim.timestamp[:8] != claim.date:
        message = f"'{claim.date}' != '{claim.timestamp[:8]}', from '{claim.timestamp}'."
        raise _scope(dialect, claim, f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: {message}")
    return moment


@functools.lru_cache(64)
def _parsed(timestamp: str) -> datetime | None:
    if not _ISO.fullmatch(timestamp):
        return None
    try:
        return datetime.fromisoformat(timestamp)
    except ValueError:
        return None


def _check_date(claim: _Claim, dialect: Dialect, moment: datetime, now: datetime) -> None:
    if claim.expires is not None:
        _check_presigned_date(claim, dialect, moment, now)
    elif abs(now - moment) <= SKEW:
        return
    elif _is_s3(dialect):
        raise signature_errors.too_skewed(claim.timestamp, now)
    elif dialect.protocol == EC2:
        raise AwsError("RequestExpired", "Request has expired.")
    elif moment < now:
        raise _mismatch(dialect, f"Signature expired: {claim.timestamp} is now earlier than {_iso(now - SKEW)} ({_iso(now)} - 15 min.)")
    else:
        raise _mismatch(
            dialect, f"Signature not yet current: {claim.timestamp} is still later than {_iso(now + SKEW)} ({_iso(now)} + 15 min.)"
        )


def _check_presigned_date(claim: _Claim, dialect: Dialect, moment: datetime, now: datetime) -> None:
    assert claim.expires is not None
    end = moment + timedelta(seconds=claim.expires)
    if moment > now + SKEW:
        if _is_s3(dialect):
            raise AwsError("AccessDenied", "Request is not yet valid", status=403)
        raise _mismatch(
            dialect, f"Signature not yet current: {claim.timestamp} is still later than {_iso(now + SKEW)} ({_iso(now)} + 15 min.)"
        )
    if now <= end:
        return
    if _is_s3(dialect):
        fields = {
            "X-Amz-Expires": claim.expires,
            "Expires": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ServerTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        raise AwsError("AccessDenied", "Request has expired", status=403, fields=fields)
    if dialect.protocol == EC2:
        raise AwsError("RequestExpired", "Request has expired.")
    raise _mismatch(dialect, f"Signature expired: {_iso(end)} is now earlier than {_iso(now)}")


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


@functools.lru_cache(256)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The signing key for a day's requests to one service."""
    key = hmac.digest(f"AWS4{secret}".encode(), date.encode(), "sha256")
    for word in (region, service, "aws4_request"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key


def sign(key: bytes, message: bytes) -> str:
    """The HMAC-SHA256 of a message, in hexadecimal (RFC 2104). The two padded keys are hashed once, because they are constant for a day."""
    inner, outer = _halves(key)
    digest = inner.copy()
    digest.update(message)
    signed = outer.copy()
    signed.update(digest.digest())
    return signed.hexdigest()


@functools.lru_cache(256)
def _halves(key: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    block = key.ljust(64, b"\0")  # A signing key has 32 bytes; only one longer than 64 would have to be hashed first.
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))


def _check_signature(claim: _Claim, dialect: Dialect, request: HttpRequest, key: bytes, scope: str) -> None:
    canonical = _canonical_request(claim, request, s3=_is_s3(dialect))
    # A header was decoded as latin-1, one character per byte; the client signed these bytes, UTF-8 or not.
    to_sign = f"{ALGORITHM}\n{claim.timestamp}\n{scope}\n{hashlib.sha256(canonical.encode('latin-1')).hexdigest()}"
    if hmac.compare_digest(sign(key, to_sign.encode()).encode(), claim.signature.encode()):
        return
    if _is_s3(dialect):
        raise signature_errors.mismatch(claim.access_key, to_sign, claim.signature, canonical)
    message = "The request signature we calculated does not match the signature you provided."
    advice = "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    raise _mismatch(dialect, f"{message} {advice}")


def _canonical_request(claim: _Claim, request: HttpRequest, *, s3: bool) -> str:
    headers = request.headers
    lines = "".join([f"{name}:{_trimmed(headers.get(name, ''))}\n" for name in claim.signed_headers])
    path = request.path if s3 or request.path == "/" else _normal_path(request.path)
    query = _canonical_query(request.query) if request.query else ""
    return f"{request.method}\n{path}\n{query}\n{lines}\n{';'.join(claim.signed_headers)}\n{claim.payload}"


def _trimmed(value: str) -> str:
    """A header's value with single spaces. Only ASCII spaces count: other bytes are parts of UTF-8 characters."""
    return " ".join(value.split() if value.isascii() else re.findall(r"[^ \t]+", value))


def _normal_path(path: str) -> str:
    """A path as all services but S3 sign it: dots removed, slashes single, encoded once more."""
    kept: list[str] = []
    for word in path.split("/"):
        if word == "..":
            kept = kept[:-1]
        elif word not in ("", "."):
            kept.append(word)
    end = "/" if path.endswith("/") and kept else ""
    return quote(f"/{'/'.join(kept)}{end}", safe="/~")


def _canonical_query(query: str) -> str:
    pairs = [word.partition("=") for word in query.split("&") if word]
    encoded = [(_encoded(name), _encoded(value)) for name, _, value in pairs if name != "X-Amz-Signature"]
    return "&".join([f"{name}={value}" for name, value in sorted(encoded)])


def _encoded(text: str) -> str:
    return quote(unquote(text.replace("+", "%20"), errors="surrogateescape"), safe="-_.~", errors="surrogateescape")


def _check_payload(claim: _Claim, dialect: Dialect, request: HttpRequest) -> None:
    """Check the body against the hash in the signed header (`checked` does it for a stream)."""
    if not _is_s3(dialect) or request.stream is not None or claim.payload == UNSIGNED or claim.payload in STREAMING:
        return
    computed = _payload_hash(request)
    if claim.payload == computed:
        return
    if not re.fullmatch(r"[0-9a-f]{64}", claim.payload):
        message = f"x-amz-content-sha256 must be {UNSIGNED}, {', '.join(STREAMING)}, or a valid sha256 value."
        raise AwsError("InvalidArgument", message, fields={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": claim.payload[:100]})
    _compare_payload(claim.payload, computed)


def _compare_payload(claimed: str, computed: str) -> None:
    if claimed != computed:
        fields = {"ClientComputedContentSHA256": claimed, "S3ComputedContentSHA256": computed}
        raise AwsError(
            "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.", fields=fields
        )


async def checked(pieces: AsyncIterator[bytes], signature: Signature) -> AsyncIterator[bytes]:
    """A streamed body with a signed hash: raises `AwsError` XAmzContentSHA256Mismatch after the last piece if the hash differs."""
    running = hashlib.sha256()
    async for piece in pieces:
        running.update(piece)
        yield piece
    if signature.payload != UNSIGNED and signature.payload not in STREAMING:
        _compare_payload(signature.payload, running.hexdigest())


def chunk_signature(signature: Signature, previous: str, digest: str) -> str:
    """The expected signature of a chunk of `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` with this SHA-256.

    `previous` is the preceding chunk's signature; for the first chunk, the seed.
    """
    head = f"AWS4-HMAC-SHA256-PAYLOAD\n{signature.timestamp}\n{signature.scope}\n{previous}\n{_EMPTY_HASH}\n"
    return sign(signature.key, (head + digest).encode())


def trailer_signature(signature: Signature, previous: str, trailers: bytes) -> str:
    """The expected signature of the trailing headers (each `name:value` and a line feed)."""
    head = f"AWS4-HMAC-SHA256-TRAILER\n{signature.timestamp}\n{signature.scope}\n{previous}\n"
    return sign(signature.key, (head + hashlib.sha256(trailers).hexdigest()).encode())


def missing(dialect: Dialect) -> AwsError:
    """The error for an unsigned request to a service that requires a signature."""
    message = "Request is missing Authentication Token"
    if _is_s3(dialect):
        return AwsError("AccessDenied", "Access Denied", status=403)
    if dialect.protocol in (QUERY, EC2, REST_XML):
        return AwsError("MissingAuthenticationToken", message, status=403)
    return AwsError("MissingAuthenticationTokenException", message, status=_denied(dialect))


def other_account(dialect: Dialect) -> AwsError:
    """The error for a key of another account, from a service that has only the region's own account."""
    return access_denied(dialect, "The key belongs to another account, and in this region other accounts can use S3 only.")


def access_denied(dialect: Dialect, message: str) -> AwsError:
    """The error for a caller without permission, with the reason."""
    if dialect.protocol == EC2:
        return AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {message}", status=403)
    if _is_s3(dialect) or dialect.protocol in (QUERY, REST_XML):
        return AwsError("AccessDenied", message, status=403)
    return AwsError("AccessDeniedException", message, status=_denied(dialect))


def _unknown_key(dialect: Dialect, access_key: str, *, token: bool) -> AwsError:
    if _is_s3(dialect) and token:
        return signature_errors.invalid_token()
    if _is_s3(dialect):
        return signature_errors.unknown_key(access_key)
    message = "The security token included in the request is invalid."
    if dialect.protocol == EC2:
        return _mismatch(dialect, message)
    if dialect.protocol in (QUERY, REST_XML):
        return AwsError("InvalidClientTokenId", message, status=403)
    return AwsError("UnrecognizedClientException", message, status=_denied(dialect))


def _mismatch(dialect: Dialect, message: str) -> AwsError:
    if dialect.protocol == EC2:
        return AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", status=401)
    if dialect.protocol in (QUERY, REST_XML):
        return AwsError("SignatureDoesNotMatch", message, status=403)
    return AwsError("InvalidSignatureException", message, status=_denied(dialect))


def _scope(dialect: Dialect, claim: _Claim, message: str) -> AwsError:
    if not _is_s3(dialect):
        return _mismatch(dialect, message)
    if claim.expires is None:
        return AwsError("AuthorizationHeaderMalformed", f"The authorization header is malformed; {message}")
    return _bad_query(dialect, f"Error parsing the X-Amz-Credential parameter; {message}")


def _incomplete(dialect: Dialect, message: str) -> AwsError:
    name = "IncompleteSignature" if dialect.protocol in (QUERY, EC2, REST_XML) else "IncompleteSignatureException"
    return AwsError(name, message, status=400 if name == "IncompleteSignature" else _denied(dialect))


def _bad_query(dialect: Dialect, message: str) -> AwsError:
    return AwsError("AuthorizationQueryParametersError", message) if _is_s3(dialect) else _incomplete(dialect, message)


def _denied(dialect: Dialect) -> int:
    """The status of an access error: 400 from JSON RPC services, 403 from REST services."""
    return 403 if dialect.protocol == REST_JSON else 400


def _is_s3(dialect: Dialect) -> bool:
    return dialect.name == "s3"
