"""Static websites: pages, errors and redirects on a website's host name, permissions, and invalid configurations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.s3_endpoint import Endpoint, open_to_all, raw
from zonal.foundation.settings import Settings

PAGE = {"IndexDocument": {"Suffix": "index.html"}}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """With the bucket defaults before 2023, so that ACLs apply."""
    endpoint = Endpoint(tmp_path_factory.mktemp("s3"), settings=Settings(s3_new_buckets="before-2023"))
    yield endpoint
    endpoint.close()


def host(bucket: str) -> str:
    return f"{bucket}.s3-website.localhost"


def test_a_website_is_served_on_its_own_host(endpoint: Endpoint, client: Any, bucket: str) -> None:
    open_to_all(client, bucket)
    rules = [{"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}}]
    website = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}, "RoutingRules": rules}
    client.put_bucket_website(Bucket=bucket, WebsiteConfiguration=website)
    for key, content in {"index.html": b"home", "docs/index.html": b"docs", "error.html": b"oops"}.items():
        client.put_object(Bucket=bucket, Key=key, Body=content, ContentType="text/html")
    status, headers, body = raw(endpoint, "GET", "/", Host=host(bucket))
    assert (status, body, headers["content-type"]) == (200, b"home", "text/html")
    assert raw(endpoint, "GET", "/docs/", Host=host(bucket))[::2] == (200, b"docs")
    assert raw(endpoint, "GET", "/docs", Host=host(bucket))[1]["location"] == "/docs/"
    assert raw(endpoint, "GET", "/old/page", Host=host(bucket))[1]["location"] == f"http://{host(bucket)}/new/page"
    status, _, body = raw(endpoint, "GET", "/absent", Host=host(bucket))
    assert (status, body) == (403, b"oops")  # Without the permission to list, a missing key is 403.


@pytest.mark.parametrize("index", [None, "private", "public-read"])
@pytest.mark.parametrize("document", [None, "private", "public-read"])
@pytest.mark.parametrize("acl", ["private", "public-read"])
def test_a_website_returns_the_page_or_the_error_document_by_permission(
    endpoint: Endpoint, client: Any, bucket: str, acl: str, document: str | None, index: str | None
) -> None:
    """As recorded from S3 by ceph's suite: a missing index is 404 for callers who may list the bucket, else 403."""
    client.put_bucket_acl(Bucket=bucket, ACL=acl)
    client.put_bucket_website(Bucket=bucket, WebsiteConfiguration={**PAGE, "ErrorDocument": {"Key": "error.html"}})
    for key, content, readers in (("index.html", b"home", index), ("error.html", b"oops", document)):
        if readers is not None:
            client.put_object(Bucket=bucket, Key=key, Body=content, ACL=readers)
    status, headers, body = raw(endpoint, "GET", "/", Host=host(bucket))
    if index == "public-read":
        assert (status, body) == (200, b"home")
        return
    is_told = index is None and acl == "public-read"
    assert status == (404 if is_told else 403)
    if document == "public-read":
        assert body == b"oops"
    else:
        code = "NoSuchKey" if is_told else "AccessDenied"
        assert f"<li>Code: {code}</li>".encode() in body and headers["x-amz-error-code"] == code


def test_objects_and_rules_redirect(endpoint: Endpoint, client: Any, bucket: str) -> None:
    client.put_bucket_acl(Bucket=bucket, ACL="public-read")
    missing = {"KeyPrefixEquals": "images/", "HttpErrorCodeReturnedEquals": "404"}
    rules = [
        {"Condition": missing, "Redirect": {"HostName": "other.example", "ReplaceKeyPrefixWith": "report-404/"}},
        {
            "Condition": {"KeyPrefixEquals": "s/"},
            "Redirect": {"Protocol": "https", "ReplaceKeyWith": "moved", "HttpRedirectCode": "307"},
        },
    ]
    client.put_bucket_website(Bucket=bucket, WebsiteConfiguration={**PAGE, "RoutingRules": rules})
    for key, place, readers in (("near", "/far", "public-read"), ("away", "http://a.example/b", "public-read"), ("own", "/x", "private")):
        client.put_object(Bucket=bucket, Key=key, Body=b"unseen", ACL=readers, WebsiteRedirectLocation=place)

    def led(path: str) -> tuple[int, str | None]:
        status, headers, _ = raw(endpoint, "GET", path, Host=host(bucket))
        return status, headers.get("location")

    assert (led("/near"), led("/away"), led("/own")) == ((301, "/far"), (301, "http://a.example/b"), (403, None))
    assert (led("/x"), led("/images/x")) == ((404, None), (301, "http://other.example/report-404/x"))
    assert led("/s/a") == (307, f"https://{host(bucket)}/moved")


def test_a_website_can_redirect_all_requests(endpoint: Endpoint, client: Any, bucket: str) -> None:
    assert raw(endpoint, "GET", "/", Host=host(bucket))[1]["x-amz-error-code"] == "NoSuchWebsiteConfiguration"
    assert raw(endpoint, "GET", "/", Host=host("no-such-site"))[1]["x-amz-error-code"] == "NoSuchBucket"
    for given, protocol in (({}, "http"), ({"Protocol": "https"}, "https")):
        everything = {"RedirectAllRequestsTo": {"HostName": "other.example", **given}}
        client.put_bucket_website(Bucket=bucket, WebsiteConfiguration=everything)
        status, headers, body = raw(endpoint, "GET", "/a%20b", Host=host(bucket))
        assert (status, headers["location"], body) == (301, f"{protocol}://other.example/a%20b", b"")


@pytest.mark.parametrize(
    ("website", "code"),
    [
        ({}, "InvalidArgument"),
        ({"IndexDocument": {"Suffix": "a/b"}}, "InvalidArgument"),
        ({**PAGE, "RedirectAllRequestsTo": {"HostName": "other.example"}}, "InvalidArgument"),
        ({"RedirectAllRequestsTo": {"HostName": "other.example", "Protocol": "http2"}}, "InvalidRequest"),
        ({**PAGE, "RoutingRules": [{"Redirect": {"Protocol": "http2", "ReplaceKeyWith": "a"}}]}, "InvalidRequest"),
        ({**PAGE, "RoutingRules": [{"Redirect": {"HttpRedirectCode": "314", "ReplaceKeyWith": "a"}}]}, "InvalidRequest"),
        ({**PAGE, "RoutingRules": [{"Redirect": {"ReplaceKeyWith": "a", "ReplaceKeyPrefixWith": "b"}}]}, "MalformedXML"),
    ],
)
def test_an_invalid_website_configuration_is_rejected(client: Any, bucket: str, website: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as refused:
        client.put_bucket_website(Bucket=bucket, WebsiteConfiguration=website)
    assert refused.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError, match="NoSuchWebsiteConfiguration"):
        client.get_bucket_website(Bucket=bucket)
