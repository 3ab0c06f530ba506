"""Signature verification with botocore's signers as clients."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from zonal.foundation.errors import AwsError
from zonal.wire import signing
from zonal.wire.dispatch import Dialect, ServiceCatalog
from zonal.wire.http_messages import HttpRequest, Signature

CATALOGUE = ServiceCatalog(("ec2", "rds", "dynamodb", "lambda", "s3", "cloudwatch"))
VERIFIER = signing.Verifier({"AKID": "secret"}, "us-east-1")
GOOD = Credentials("AKID", "secret")
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "DynamoDB_20120810.GetItem"}
Signer = Callable[..., Any]


def now() -> datetime:
    return datetime.now(UTC)


def signed(
    service: str,
    *,
    method: str = "POST",
    target: str = "/",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    credentials: Credentials = GOOD,
    region: str = "us-east-1",
    signer: Signer = botocore.auth.SigV4Auth,
    **options: Any,
) -> HttpRequest:
    """A request signed by botocore."""
    draft = AWSRequest(method, f"http://127.0.0.1:4566{target}", headers or {}, body)
    signer(credentials, service, region, **options).add_auth(draft)
    prepared = draft.prepare()
    sent = {str(name).lower(): value.decode() if isinstance(value, bytes) else str(value) for name, value in prepared.headers.items()}
    path, _, query = prepared.url.removeprefix("http://127.0.0.1:4566").partition("?")
    return HttpRequest(method, path, query, {"host": "127.0.0.1:4566"} | sent, prepared.body or b"")


def verify(request: HttpRequest, *, at: datetime | None = None) -> Signature:
    dialect = CATALOGUE.recognise(request)
    signature = VERIFIER.verify(request, dialect, at or now())
    assert signature is not None
    return signature


def refusal(request: HttpRequest, *, at: datetime | None = None) -> AwsError:
    with pytest.raises(AwsError) as refused:
        verify(request, at=at)
    return refused.value


@pytest.mark.parametrize(
    "target",
    ["/", "/a/b?x=1", "/a//b/../c/./d/", "/a%20b/%C3%A4?b=2&a=1&a=0&e=", "/x?q=a%2Bb%20c&list-type=2&uploads", "/~t-i_l.d*e"],
)
@pytest.mark.parametrize("service", ["ec2", "dynamodb", "lambda"])
def test_a_signature_of_botocore_is_verified(service: str, target: str) -> None:
    signature = verify(signed(service, target=target, headers={"X-Amz-Spaces": "  a   b ", **FORM}, body=b"Action=X"))
    assert (signature.access_key, signature.region, signature.service) == ("AKID", "us-east-1", service)


@pytest.mark.parametrize(
    "target", ["/", "/bucket//a/../b", "/bucket/%E2%82%AC%20x+y", "/b?list-type=2&prefix=a%2Fb&delimiter=%2F", "/b?acl"]
)
@pytest.mark.parametrize("body", [b"", b"hello"])
def test_s3s_paths_are_signed_as_they_are(target: str, body: bytes) -> None:
    signature = verify(signed("s3", method="PUT", target=target, body=body, signer=botocore.auth.S3SigV4Auth))
    assert signature.payload == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("service", "headers", "code", "status"),
    [
        ("ec2", FORM, "AuthFailure", 401),
        ("rds", FORM, "SignatureDoesNotMatch", 403),
        ("dynamodb", JSON, "InvalidSignatureException", 400),
        ("lambda", {}, "InvalidSignatureException", 403),
    ],
)
def test_a_wrong_secret_a_changed_body_a_changed_header_and_a_wrong_region_are_rejected(
    service: str, headers: dict[str, str], code: str, status: int
) -> None:
    wrong_secret = signed(service, headers=headers, body=b"x", credentials=Credentials("AKID", "other"))
    changed_body = signed(service, headers=headers, body=b"x")
    changed_body.body = b"y"
    changed_header = signed(service, headers=headers, body=b"x")
    changed_header.headers = {**changed_header.headers, "host": "elsewhere"}
    wrong_region = signed(service, headers=headers, body=b"x", region="eu-west-1")
    for request in (wrong_secret, changed_body, changed_header, wrong_region):
        error = refusal(request)
        assert (error.code, error.status) == (code, status)


@pytest.mark.parametrize(
    ("service", "headers", "code", "status"),
    [
        ("ec2", FORM, "AuthFailure", 401),
        ("rds", FORM, "InvalidClientTokenId", 403),
        ("dynamodb", JSON, "UnrecognizedClientException", 400),
        ("lambda", {}, "UnrecognizedClientException", 403),
    ],
)
def test_an_unknown_key_and_an_unknown_token_are_rejected(service: str, headers: dict[str, str], code: str, status: int) -> None:
    for credentials in (Credentials("NOBODY", "secret"), Credentials("AKID", "secret", token="made-up")):
        error = refusal(signed(service, headers=headers, credentials=credentials))
        assert (error.code, error.status) == (code, status)


def test_a_skewed_clock_is_reported_with_each_services_message() -> None:
    rds, ec2, dynamodb = signed("rds", headers=FORM), signed("ec2", headers=FORM), signed("dynamodb", headers=JSON)
    assert refusal(rds, at=now() + timedelta(minutes=16)).message.startswith("Signature expired: ")
    assert refusal(rds, at=now() + timedelta(minutes=16)).message.endswith(" - 15 min.)")
    assert refusal(rds, at=now() - timedelta(minutes=16)).message.startswith("Signature not yet current: ")
    assert refusal(dynamodb, at=now() + timedelta(minutes=16)).code == "InvalidSignatureException"
    assert refusal(ec2, at=now() + timedelta(minutes=16)).code == "RequestExpired"
    assert verify(rds, at=now() + timedelta(minutes=14))


def test_an_incomplete_authorization_header_is_rejected_with_what_is_missing() -> None:
    good = signed("rds", headers=FORM)
    for broken, message in [
        ("AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/rds/aws4_request", "requires 'Signature' parameter"),
        ("AWS4-HMAC-SHA256 Signature=00, SignedHeaders=host", "requires 'Credential' parameter"),
        ("AWS4-HMAC-SHA256 Credential=AKID/us-east-1/rds/aws4_request, SignedHeaders=host, Signature=00", "exactly 5 slash-delimited"),
        ("Basic dXNlcjpwYXNz", "Unsupported AWS 'algorithm'"),
        ("AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=", "exactly 5 slash-delimited"),
    ]:
        request = HttpRequest("POST", "/", "", {**good.headers, "authorization": broken}, b"Action=X")
        with pytest.raises(AwsError) as refused:
            VERIFIER.verify(request, Dialect("query", "rds", CATALOGUE.recognise(good).service), now())
        assert refused.value.code == "IncompleteSignature"
        assert message in refused.value.message
    dateless = HttpRequest("POST", "/", "", {name: value for name, value in good.headers.items() if name != "x-amz-date"})
    assert "'X-Amz-Date' or a 'Date' header" in refusal(dateless).message


def test_a_scope_must_be_of_this_day_and_this_service() -> None:
    good = signed("rds", headers=FORM)
    authorization = good.headers["authorization"]
    day = now().strftime("%Y%m%d")
    other_day = HttpRequest("POST", "/", "", {**good.headers, "authorization": authorization.replace(f"/{day}/", "/20200101/")})
    assert refusal(other_day).message.startswith("Date in Credential scope does not match")
    other_end = HttpRequest("POST", "/", "", {**good.headers, "authorization": authorization.replace("aws4_request", "aws4_nonsense")})
    with pytest.raises(AwsError, match="valid terminator"):
        VERIFIER.verify(other_end, CATALOGUE.recognise(good), now())
    other_service = signed("sns", headers=FORM)
    with pytest.raises(AwsError, match="correct service: 'rds'"):
        VERIFIER.verify(other_service, CATALOGUE.recognise(good), now())


class WithoutHost(botocore.auth.SigV4Auth):
    """Signs everything but the host, so that the request could be sent to another one."""

    def headers_to_sign(self, request: AWSRequest) -> Any:
        headers = super().headers_to_sign(request)
        del headers["host"]
        return headers


def test_the_host_must_be_signed() -> None:
    refused = refusal(signed("rds", headers=FORM, signer=WithoutHost))
    assert refused.code == "SignatureDoesNotMatch"
    assert refused.message == "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."


def test_an_unsigned_request_is_rejected_with_the_services_error() -> None:
    for headers, target, code in [
        (FORM, "/?Action=DescribeDBInstances", "MissingAuthenticationToken"),
        (JSON, "/", "MissingAuthenticationTokenException"),
    ]:
        path, _, query = target.partition("?")
        request = HttpRequest("POST", path, query, {"host": "rds.us-east-1.localhost", **headers})
        dialect = CATALOGUE.recognise(request)
        assert VERIFIER.verify(request, dialect, now()) is None
        assert signing.missing(dialect).code == code


def test_a_presigned_url_is_valid_until_it_expires() -> None:
    for service, signer in [("s3", botocore.auth.S3SigV4QueryAuth), ("rds", botocore.auth.SigV4QueryAuth)]:
        request = signed(service, method="GET", target="/bucket/k%20ey?versionId=1", signer=signer, expires=60)
        assert verify(request, at=now() + timedelta(seconds=50))
        assert refusal(request, at=now() + timedelta(seconds=70)).code in ("AccessDenied", "SignatureDoesNotMatch")
        request.query += "&more=1"
        assert refusal(request).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("change", "code", "argv"),
    [
        (("X-Amz-Expires=60", "X-Amz-Expires=x"), "AuthorizationQueryParametersError", "should be a number"),
        (("X-Amz-Expires=60", "X-Amz-Expires=-1"), "AuthorizationQueryParametersError", "non-negative"),
        (("X-Amz-Expires=60", "X-Amz-Expires=604801"), "AuthorizationQueryParametersError", "less than a week"),
        (("X-Amz-SignedHeaders=host", "Nothing=1"), "AuthorizationQueryParametersError", "requires the X-Amz-Algorithm"),
        (("us-east-1", "eu-west-1"), "AuthorizationQueryParametersError", "expecting 'us-east-1'"),
        (("%2Faws4_request", ""), "AuthorizationQueryParametersError", "mal-formed"),
        (("X-Amz-Expires=60", "X-Amz-Expires=61"), "SignatureDoesNotMatch", "does not match"),
    ],
)
def test_a_changed_presigned_url_is_rejected(change: tuple[str, str], code: str, argv: str) -> None:
    request = signed("s3", method="GET", target="/bucket/key", signer=botocore.auth.S3SigV4QueryAuth, expires=60)
    request.query = request.query.replace(*change)
    dialect = Dialect("rest-xml", "s3", CATALOGUE.recognise(signed("s3", signer=botocore.auth.S3SigV4Auth)).service)
    with pytest.raises(AwsError, match=argv) as refused:
        VERIFIER.verify(request, dialect, now())
    assert refused.value.code == code


def test_s3_has_its_own_errors() -> None:
    def make(**options: Any) -> HttpRequest:
        return signed("s3", method="PUT", target="/bucket/key", body=b"data", signer=botocore.auth.S3SigV4Auth, **options)

    unknown = refusal(make(credentials=Credentials("NOBODY", "secret")))
    assert (unknown.code, unknown.fields["AWSAccessKeyId"]) == ("InvalidAccessKeyId", "NOBODY")
    wrong = refusal(make(credentials=Credentials("AKID", "other")))
    assert wrong.code == "SignatureDoesNotMatch"
    assert {"StringToSign", "CanonicalRequest", "SignatureProvided"} <= set(wrong.fields)
    assert refusal(make(), at=now() + timedelta(hours=1)).code == "RequestTimeTooSkewed"
    region = refusal(make(region="eu-west-1"))
    assert (region.code, region.fields["Region"]) == ("AuthorizationHeaderMalformed", "us-east-1")
    changed = make()
    changed.body = b"other"
    assert refusal(changed).code == "XAmzContentSHA256Mismatch"
    unhashed = make()
    unhashed.headers = {name: value for name, value in unhashed.headers.items() if name != "x-amz-content-sha256"}
    assert refusal(unhashed).code == "InvalidRequest"
    unsigned = make()
    unsigned.headers = {**unsigned.headers, "x-amz-acl": "public-read"}
    assert refusal(unsigned).fields == {"HeadersNotSigned": "x-amz-acl"}


def test_chunk_signatures_continue_from_the_seed() -> None:
    """The example of the S3 API Reference, "Transferring Payload in Multiple Chunks (Chunked Upload)"."""
    key = signing.signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3")
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    scope = "20130524/us-east-1/s3/aws4_request"
    signature = Signature("AKIAIOSFODNN7EXAMPLE", "us-east-1", "s3", "20130524T000000Z", scope, seed, key, signing.STREAMING[1])
    first = signing.chunk_signature(signature, seed, hashlib.sha256(b"a" * 65536).hexdigest())
    second = signing.chunk_signature(signature, first, hashlib.sha256(b"a" * 1024).hexdigest())
    last = signing.chunk_signature(signature, second, hashlib.sha256(b"").hexdigest())
    assert first == "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"
    assert second == "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
    assert last == "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"


async def test_a_streamed_body_that_differs_from_the_signed_hash_is_rejected_at_its_end() -> None:
    async def pieces() -> Any:
        yield b"he"
        yield b"llo"

    def signature(payload: str) -> Signature:
        return Signature("AKID", "us-east-1", "s3", "", "", "", b"", payload)

    right = signature(hashlib.sha256(b"hello").hexdigest())
    assert [piece async for piece in signing.checked(pieces(), right)] == [b"he", b"llo"]
    with pytest.raises(AwsError, match="x-amz-content-sha256"):
        [piece async for piece in signing.checked(pieces(), signature(hashlib.sha256(b"other").hexdigest()))]


def test_s3s_version_2_presigned_urls_are_verified() -> None:
    request = signed("s3", method="GET", target="/photos/a%20b?versionId=1&acl", signer=old_signer, expires=60)
    assert verify(request).access_key == "AKID"
    assert refusal(request, at=now() + timedelta(seconds=70)).message == "Request has expired"
    assert refusal(signed("s3", target="/b", signer=old_signer, credentials=Credentials("NO", "x"))).code == "InvalidAccessKeyId"
    request.path = "/photos/other"
    assert refusal(request).code == "SignatureDoesNotMatch"
    request.query = request.query.replace("Expires=", "Expires=x")
    assert refusal(request).code == "AccessDenied"


def test_s3s_version_2_headers_are_verified() -> None:
    parameters = {"x-amz-meta-place": "Zürich ", "content-type": "text/plain"}
    request = signed("s3", method="PUT", target="/photos/a%20b?versionId=1&acl", headers=parameters, signer=header_signer)
    request.headers = {
        name: value.encode().decode("latin-1") for name, value in request.headers.items()
    }  # In the form in which they arrive.
    assert (verify(request).access_key, verify(request).key) == ("AKID", b"")
    request.headers = {**request.headers, "content-type": "text/html"}
    assert refusal(request).code == "SignatureDoesNotMatch"
    assert refusal(signed("s3", target="/b", signer=header_signer, credentials=Credentials("NO", "x"))).code == "InvalidAccessKeyId"
    borrowed = Credentials("AKID", "secret", "token")
    assert refusal(signed("s3", target="/b", signer=header_signer, credentials=borrowed)).code == "InvalidToken"


@pytest.mark.parametrize("authorization", ["AWS HAHAHA", "AWS ", "AWS :", "AWS AKID:"])
def test_a_malformed_version_2_header_is_rejected(authorization: str) -> None:
    request = signed("s3", target="/photos", signer=header_signer)
    request.headers = {**request.headers, "authorization": authorization}
    assert refusal(request).code == "InvalidArgument"


@pytest.mark.parametrize(
    ("date", "code"),
    [
        ("Bad Date", "AccessDenied"),
        ("", "AccessDenied"),
        ("20260230T000000Z", "AccessDenied"),
        ("Tue, 07 Jul 1950 21:53:04 GMT", "AccessDenied"),
        ("Tue, 07 Jul 2010 21:53:04 GMT", "RequestTimeTooSkewed"),
        ("20100707T215304Z", "RequestTimeTooSkewed"),
        ("Tue, 07 Jul 2010 21:53:04", "RequestTimeTooSkewed"),
        ("Tue, 07 Jul 9999 21:53:04 GMT", "RequestTimeTooSkewed"),
    ],
)
def test_a_version_2_header_requires_a_recent_date(date: str, code: str) -> None:
    assert refusal(signed("s3", target="/photos", headers={"x-amz-date": date}, signer=header_signer)).code == code


@pytest.mark.parametrize("form", ["%Y%m%dT%H%M%SZ", "%a, %d %b %Y %H:%M:%S GMT"])
def test_x_amz_date_replaces_the_date_of_a_version_2_header(form: str) -> None:
    date = now().strftime(form)
    to_sign = f"GET\n\n\n\nx-amz-date:{date}\n/photos/cat.jpg"  # botocore signs the other date as well, which S3 does not.
    signature = base64.b64encode(hmac.digest(b"secret", to_sign.encode(), "sha1")).decode()
    headers = {"host": "photos.localhost:4566", "date": "long ago", "x-amz-date": date, "authorization": f"AWS AKID:{signature}"}
    assert verify(HttpRequest("GET", "/cat.jpg", "", headers)).access_key == "AKID"


def test_a_version_2_header_without_a_date_is_rejected() -> None:
    request = signed("s3", target="/photos", signer=header_signer)
    request.headers = {name: value for name, value in request.headers.items() if name != "date"}
    assert refusal(request).code == "AccessDenied"


def old_signer(credentials: Credentials, service: str, region: str, **options: Any) -> Any:
    return botocore.auth.HmacV1QueryAuth(credentials, **options)


def header_signer(credentials: Credentials, service: str, region: str, **options: Any) -> Any:
    return botocore.auth.HmacV1Auth(credentials, **options)
