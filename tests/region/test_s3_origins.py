"""What web pages may do with S3: websites, anonymous requests, CORS rules, presigned URLs and forms."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.s3_endpoint import Endpoint, resolve_localhost
from zonal.foundation.credentials import Credential
from zonal.foundation.settings import Settings

EVIL = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
IMAGE = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
APP = "https://app.example"
OWN = Credential(access_key="AKOWN", secret_key="own")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    endpoint = Endpoint(tmp_path_factory.mktemp("s3"), settings=Settings(credentials=(OWN,), s3_new_buckets="before-2023"))
    yield endpoint
    endpoint.close()


@pytest.fixture
def bucket(endpoint: Endpoint) -> str:
    name = f"bucket-{os.urandom(5).hex()}"
    client = endpoint.client()
    client.create_bucket(Bucket=name)
    client.put_object(Bucket=name, Key="private", Body=b"private")
    client.put_object(Bucket=name, Key="public/index.html", Body=b"public")
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/public/*"}
    client.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    return name


def ask(endpoint: Endpoint, method: str, url: str, headers: dict[str, str], body: bytes = b"") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=60)
    path = url.partition("://")[2].partition("/")[2] if "://" in url else url.removeprefix("/")
    connection.request(method, f"/{path}", body, {"Host": f"127.0.0.1:{endpoint.port}"} | headers)
    answer = connection.getresponse()
    found = answer.read()
    connection.close()
    return answer.status, found


def presigned(endpoint: Endpoint, bucket: str, operation: str = "get_object", key: tuple[str, str] = ("test", "test"), **more: Any) -> str:
    client = endpoint.client(key=key, **more)
    url: str = client.generate_presigned_url(operation, Params={"Bucket": bucket, "Key": "private"})
    return url


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_page_of_another_origin_may_not_use_a_presigned_url_of_the_well_known_key(endpoint: Endpoint, bucket: str, version: str) -> None:
    url = presigned(endpoint, bucket, signature_version=version)
    assert ask(endpoint, "GET", url, {}) == (200, b"private")
    assert ask(endpoint, "GET", url, {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}) == (200, b"private")
    for headers in (EVIL, IMAGE, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}, {"Referer": "https://evil.example/page"}):
        status, body = ask(endpoint, "GET", url, headers)
        assert status == 403 and b"<Code>AccessDenied</Code>" in body and b"allowed_origins" in body
        assert ask(endpoint, "PUT", presigned(endpoint, bucket, "put_object", signature_version=version), headers, b"x")[0] == 403
        assert ask(endpoint, "DELETE", presigned(endpoint, bucket, "delete_object", signature_version=version), headers)[0] == 403
    assert ask(endpoint, "GET", url, {}) == (200, b"private")


def test_a_presigned_url_of_the_users_own_key_works_from_every_origin(endpoint: Endpoint, bucket: str) -> None:
    url = presigned(endpoint, bucket, key=("AKOWN", "own"), signature_version="s3v4")
    for headers in (EVIL, IMAGE):
        assert ask(endpoint, "GET", url, headers) == (200, b"private")


def test_a_buckets_cors_rules_allow_their_origins(endpoint: Endpoint, bucket: str) -> None:
    rule = {"AllowedMethods": ["GET", "PUT", "POST"], "AllowedOrigins": [APP]}
    endpoint.client().put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    url = presigned(endpoint, bucket, signature_version="s3v4")
    assert ask(endpoint, "GET", url, {"Origin": APP, "Sec-Fetch-Site": "cross-site"}) == (200, b"private")
    assert ask(endpoint, "GET", url, IMAGE | {"Referer": f"{APP}/page"}) == (200, b"private")
    assert ask(endpoint, "GET", url, {"Referer": f"{APP}/page"}) == (200, b"private")
    assert ask(endpoint, "PUT", presigned(endpoint, bucket, "put_object", signature_version="s3v4"), {"Origin": APP}, b"new")[0] == 200
    assert ask(endpoint, "DELETE", presigned(endpoint, bucket, "delete_object"), {"Origin": APP})[0] == 403
    assert ask(endpoint, "GET", url, EVIL)[0] == 403
    assert ask(endpoint, "GET", url, IMAGE)[0] == 403


def page_signed(endpoint: Endpoint, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """A request that a foreign page signs with the well-known key."""
    request: Any = AWSRequest(method, f"http://127.0.0.1:{endpoint.port}{path}", headers=headers or {}, data=body)
    S3SigV4Auth(Credentials("test", "test"), "s3", "us-east-1").add_auth(request)
    return ask(endpoint, method, path, dict(request.headers.items()) | {"Origin": APP, "Sec-Fetch-Site": "cross-site"}, body)


def test_a_cors_rule_lets_a_page_work_on_the_objects_of_its_own_bucket_alone(endpoint: Endpoint, bucket: str) -> None:
    client = endpoint.client()
    rule = {"AllowedMethods": ["GET", "PUT", "POST", "DELETE", "HEAD"], "AllowedOrigins": [APP]}
    client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    other = f"{bucket}-other"
    client.create_bucket(Bucket=other)
    client.put_object(Bucket=other, Key="secret", Body=b"secret")
    page = partial(page_signed, endpoint)
    assert page("PUT", f"/{bucket}/new", b"new")[0] == 200
    assert page("GET", f"/{bucket}/new") == (200, b"new")
    assert page("GET", f"/{bucket}?list-type=2")[0] == 200
    assert page("PUT", f"/{bucket}/copy", headers={"x-amz-copy-source": f"/{bucket}/private"})[0] == 200
    assert page("DELETE", f"/{bucket}/copy")[0] == 204
    policy = json.dumps({"Version": "2012-10-17", "Statement": []}).encode()
    for method, path, body in (
        ("PUT", f"/{bucket}?policy", policy),
        ("PUT", f"/{bucket}?cors", b"<CORSConfiguration/>"),
        ("PUT", f"/{bucket}?acl", b""),
        ("PUT", f"/{bucket}?versioning", b"<VersioningConfiguration/>"),
        ("GET", f"/{bucket}?policy", b""),
        ("DELETE", f"/{bucket}?cors", b""),
        ("DELETE", f"/{bucket}", b""),
        ("PUT", f"/{bucket}", b""),
        ("GET", "/", b""),
    ):
        status, answer = page(method, path, body)
        assert status == 403 and b"allowed_origins" in answer, (method, path, answer)
    for source in (f"/{other}/secret", f"{other}/secret", f"/{other}%2Fsecret", f"{other}/secret?versionId=x", "/no-such-bucket/key"):
        status, answer = page("PUT", f"/{bucket}/leak", headers={"x-amz-copy-source": source})
        assert status == 403 and b"allowed_origins" in answer, source
        status, answer = page("PUT", f"/{bucket}/leak?partNumber=1&uploadId=x", headers={"x-amz-copy-source": source})
        assert status == 403 and b"allowed_origins" in answer, source
    signer = endpoint.client(signature_version="s3v4")
    source = {"Bucket": other, "Key": "secret"}
    presigned_copy = signer.generate_presigned_url("copy_object", Params={"Bucket": bucket, "Key": "leak", "CopySource": source})
    assert ask(endpoint, "PUT", presigned_copy, {"Origin": APP, "x-amz-copy-source": f"{other}/secret"})[0] == 403
    assert page("GET", f"/{bucket}/leak")[0] == 404
    client.put_bucket_cors(Bucket=other, CORSConfiguration={"CORSRules": [rule | {"AllowedMethods": ["GET"]}]})
    assert page("PUT", f"/{bucket}/leak", headers={"x-amz-copy-source": f"/{other}/secret"})[0] == 200


def test_anonymous_requests_and_websites_depend_only_on_the_buckets_policy(endpoint: Endpoint, bucket: str) -> None:
    website = {"IndexDocument": {"Suffix": "index.html"}}
    endpoint.client().put_bucket_website(Bucket=bucket, WebsiteConfiguration=website)
    for headers in ({}, EVIL, IMAGE, {"Origin": "null"}):
        assert ask(endpoint, "GET", f"/{bucket}/public/index.html", headers) == (200, b"public")
        assert ask(endpoint, "GET", f"/{bucket}/private", headers)[0] == 403
        host = {"Host": f"{bucket}.s3-website.localhost:{endpoint.port}"}
        assert ask(endpoint, "GET", "/public/", headers | host) == (200, b"public")
        assert ask(endpoint, "GET", "/public/index.html", headers | {"Host": f"{bucket}.localhost:{endpoint.port}"}) == (200, b"public")
    assert ask(endpoint, "GET", f"/{bucket}/public/index.html", {"Host": "evil.example"})[0] == 403
    assert ask(endpoint, "GET", "/public/", {"Host": f"{bucket}.s3-website.evil.example"})[0] == 403


def test_a_form_signed_by_the_well_known_key_is_accepted_from_allowed_origins_only(endpoint: Endpoint, bucket: str) -> None:
    def post(key: tuple[str, str], headers: dict[str, str]) -> int:
        form = endpoint.client(key=key, signature_version="s3v4").generate_presigned_post(bucket, "up")
        fields = "".join(
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in form["fields"].items()
        )
        body = fields + '--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--x--\r\n'
        return ask(endpoint, "POST", f"/{bucket}", {"Content-Type": "multipart/form-data; boundary=x"} | headers, body.encode())[0]

    assert post(("test", "test"), {}) == 204
    assert post(("test", "test"), {"Origin": f"http://127.0.0.1:{endpoint.port}", "Sec-Fetch-Site": "same-origin"}) == 204
    assert post(("test", "test"), EVIL) == 403
    assert post(("test", "test"), {"Referer": "https://evil.example/form"}) == 403
    assert post(("test", "test"), {"Referer": f"http://127.0.0.1:{endpoint.port}/form"}) == 204
    assert post(("AKOWN", "own"), EVIL) == 204
    rule = {"AllowedMethods": ["POST"], "AllowedOrigins": [APP]}
    endpoint.client().put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert post(("test", "test"), {"Origin": APP}) == 204
    assert post(("test", "test"), EVIL) == 403


@pytest.mark.parametrize("style", ["path", "virtual"])
def test_boto3_reaches_buckets_by_both_url_styles(endpoint: Endpoint, bucket: str, style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_localhost(monkeypatch)
    assert endpoint.client(style).get_object(Bucket=bucket, Key="private")["Body"].read() == b"private"
