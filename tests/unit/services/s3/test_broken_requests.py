"""Every request gets a prompt response in S3's format, never a 500.

Hypothesis generates requests from S3's model (methods, sub-resources, parameters, headers, chunked bodies) mixed with random data, signs
most of them, so that they reach the operations, and sends them to the real gateway. `ZONAL_BROKEN_REQUESTS` sets their number, by default a
few hundred.
"""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import botocore.session
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.s3_endpoint import Endpoint

EXAMPLES = int(os.environ.get("ZONAL_BROKEN_REQUESTS", "300"))
MODEL = botocore.session.get_session().get_service_model("s3")


def _words(location: str) -> list[str]:
    """All names that S3's model has at this location of a request."""
    found = set()
    for name in MODEL.operation_names:
        shape = MODEL.operation_model(name).input_shape
        members = shape.members.values() if shape else ()
        found |= {one.serialization["name"] for one in members if one.serialization.get("location") == location}
    return sorted(found)


SUBRESOURCES = sorted({MODEL.operation_model(name).http["requestUri"].partition("?")[2] for name in MODEL.operation_names})
QUERIES, HEADERS = _words("querystring"), [*_words("header"), "Range", "Content-MD5", "Content-Encoding", "X-Amz-Date", "Origin"]
DOCUMENTS = [
    "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>",
    "<Delete><Object><Key>k</Key></Object><Quiet>true</Quiet></Delete>",
    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>",
    "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    "<AccessControlPolicy><Owner><ID>x</ID></Owner><AccessControlList><Grant><Permission>READ</Permission></Grant></AccessControlList>"
    "</AccessControlPolicy>",
    "<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><And><Prefix>a</Prefix></And></Filter><Expiration><Days>1</Days>"
    "</Expiration></Rule></LifecycleConfiguration>",
    "<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
    "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>",
    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
    "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>",
    "<ServerSideEncryptionConfiguration><Rule/></ServerSideEncryptionConfiguration>",
    "<CreateBucketConfiguration><LocationConstraint>EU</LocationConstraint></CreateBucketConfiguration>",
    '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket"}]}',
    '<!DOCTYPE x [<!ENTITY a "b">]><Tagging>&a;</Tagging>',
    "<a>" * 200,
    "3;chunk-signature=" + "0" * 64 + "\r\nabc\r\n0;chunk-signature=" + "0" * 64 + "\r\n\r\n",
    "3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
]
KINDS = ["UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "nonsense", ""]
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20)
TYPICAL = (
    " 0 -1 1 99999999999999999999 null * true bytes=0- bytes=9-1 AES256 aws:kms STANDARD CRC32 ETag /bucket/k bucket/k?versionId=x "
    "AAAAAA== GOVERNANCE public-read id=x url"
)
VALUES = st.one_of(TEXT, st.sampled_from([*TYPICAL.split(" "), "Mon, 31 Feb 2030 00:00:00 GMT"]))


@st.composite
def documents(draw: Any) -> bytes:
    """A valid document, cut, repeated or overwritten at random."""
    text = draw(st.sampled_from(DOCUMENTS)).encode()
    for _ in range(draw(st.integers(0, 2))):
        start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        text = draw(
            st.sampled_from([text[:start] + text[end:], text + text[start:end], text[:start] + draw(st.binary(max_size=8)) + text[start:]])
        )
    return bytes(text)


@st.composite
def requests(draw: Any) -> AWSRequest:
    """A request, mostly signed."""
    path = draw(
        st.sampled_from(
            ["/", "/bucket", "/bucket/k", "/bucket/k", "/bucket/%FF", "/bucket//a/../b", "/no", "/Bad_Name", "/bucket/" + "x" * 1100]
        )
    )
    query = {name: draw(VALUES) for name in draw(st.lists(st.sampled_from(QUERIES), max_size=3))}
    argv = [draw(st.sampled_from(SUBRESOURCES)), *(f"{name}={quote(value)}" for name, value in query.items())]
    headers = {name: draw(VALUES) for name in draw(st.lists(st.sampled_from(HEADERS), max_size=4))}
    body = draw(st.one_of(st.just(b""), documents(), st.binary(max_size=40)))
    url = f"http://127.0.0.1{path}?{'&'.join(word for word in argv if word)}"
    request = AWSRequest(
        draw(st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"])), url, headers=headers, data=body
    )
    if draw(st.integers(0, 4)):
        kind = draw(st.sampled_from(KINDS))
        request.headers["X-Amz-Content-SHA256"] = kind or hashlib.sha256(body).hexdigest()
        request.context["payload_signing_enabled"] = False
        S3SigV4Auth(Credentials("test", "test"), "s3", "us-east-1").add_auth(request)
    return request


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    endpoint = Endpoint(tmp_path_factory.mktemp("s3"))
    client = endpoint.client()
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="k", Body=b"content")
    yield endpoint
    endpoint.close()


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(request=requests())
def test_every_request_gets_a_response_in_s3s_format(endpoint: Endpoint, request: AWSRequest) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=120)
    target = request.url.removeprefix("http://127.0.0.1")
    headers = {name: value for name, value in request.headers.items() if name != "Host"} | {"Host": "127.0.0.1"}
    connection.request(request.method, target, request.data, headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status != 500 and answer.status < 502, (answer.status, body)
    if answer.status >= 400 and request.method != "HEAD":
        root = ElementTree.fromstring(body)
        assert root.tag == "Error" and root.findtext("Code") and root.find("RequestId") is not None
