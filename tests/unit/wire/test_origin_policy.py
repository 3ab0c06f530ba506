"""The hosts of the region, and the web pages that may use a well-known key."""

from __future__ import annotations

from pathlib import Path

import pytest

from zonal.foundation.credentials import Credential
from zonal.foundation.settings import Settings, load
from zonal.wire.http_messages import HttpRequest, HttpResponse
from zonal.wire.origin_policy import OriginPolicy

HOST = "localhost:4566"


def request(**headers: str) -> HttpRequest:
    return HttpRequest("GET", "/", "", {"host": HOST} | {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:4566", "LOCALHOST:4566", "localhost.", "127.0.0.1:4566", "127.8.9.10", "[::1]:4566", "[::1]"),
        *("photos.localhost:4566", "a.b.s3.localhost", "photos.s3-website.localhost:4566", "s3.us-east-1.localhost"),
        *("ec2.us-east-1.amazonaws.com", "photos.s3.amazonaws.com:4566", "photos.s3-website-us-east-1.amazonaws.com"),
        *("dynamodb.us-east-1.api.aws", "vpce-1-2.s3.us-east-1.vpce.amazonaws.com", "123456789012.ddb.us-east-1.amazonaws.com"),
        "",
    ],
)
def test_names_of_the_region_are_accepted(host: str) -> None:
    assert OriginPolicy(Settings()).host_refusal(HttpRequest("GET", "/", "", {"host": host})) is None


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:4566", "localhost.evil.example", "127.0.0.1.evil.example", "notlocalhost"),
        *("amazonaws.com.evil.example", "evilamazonaws.com", "photos.s3.evil.example", "photos.s3-website.evil.example"),
        *("192.168.1.5:4566", "0.0.0.0:4566", "[::2]:4566", "localhost@evil.example", "localhost:4566:80"),
        *("localhost/evil.example", "evil.example,localhost", "[::1", "x", "::1", "2130706433"),
    ],
)
def test_any_other_host_is_rejected_by_name(host: str) -> None:
    refusal = OriginPolicy(Settings()).host_refusal(HttpRequest("GET", "/", "", {"host": host}))
    assert refusal is not None and host in refusal and "allowed_hosts" in refusal


def test_hosts_can_be_allowed_by_name_by_domain_or_all() -> None:
    policy = OriginPolicy(Settings(allowed_hosts=("zonal.internal", "*.dev.example", "10.0.0.7")))
    for host in ("zonal.internal:4566", "a.dev.example", "b.a.dev.example", "10.0.0.7:4566"):
        assert policy.allows_host(host), host
    for host in ("a.zonal.internal", "dev.example", "xdev.example", "10.0.0.8"):
        assert not policy.allows_host(host), host
    assert OriginPolicy(Settings(allowed_hosts=("*",))).allows_host("evil.example")


def test_an_address_that_the_region_listens_on_is_one_of_its_names() -> None:
    own = {"access_key": "AKOWN", "secret_key": "own"}
    assert OriginPolicy(Settings(bind="192.168.1.5", **own)).allows_host("192.168.1.5:4566")
    assert not OriginPolicy(Settings(bind="192.168.1.5", **own)).allows_host("192.168.1.6:4566")
    everywhere = OriginPolicy(Settings(bind="0.0.0.0", **own))
    assert everywhere.allows_host("192.168.1.6:4566") and not everywhere.allows_host("evil.example")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:3000"},
        {"origin": f"https://{HOST}.evil.example"},
        {"origin": "http://localhost:4566.evil.example"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "Cross-Site", "sec_fetch_mode": "navigate"},
        {"sec_fetch_site": "cross-site", "referer": "https://evil.example/page"},
        {"sec_fetch_site": "cross-site", "origin": f"http://{HOST}"},
        *({"sec_fetch_site": value} for value in ("", "cross-origin", "none,cross-site", "same-origin,cross-site", "unknown")),
        {"sec_fetch_site": "unknown", "origin": f"http://{HOST}"},
        {"referer": "https://evil.example/page"},
        {"referer": "https://evil.example"},
        {"referer": "http://localhost:3000/"},
        {"referer": f"http://{HOST}.evil.example/"},
        {"referer": f"http://{HOST}@evil.example/"},
        {"referer": f"https://evil.example/http://{HOST}/"},
        {"referer": "android-app://example"},
        {"referer": "http://[bad"},
        {"referer": "page"},
    ],
)
def test_a_foreign_page_may_not_use_a_well_known_key_and_may_use_the_users_own(headers: dict[str, str]) -> None:
    own = Credential(access_key="AKOWN", secret_key="own")
    policy = OriginPolicy(Settings(credentials=(own, Credential(access_key="AKSAME", secret_key="AKSAME"))))
    for known in ("test", "AKSAME"):
        refusal = policy.origin_refusal(request(**headers), known)
        assert refusal is not None and "allowed_origins" in refusal
    assert policy.origin_refusal(request(**headers), "AKOWN") is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": f"http://{HOST}"},
        {"origin": f"http://{HOST}", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": " Same-Origin "},
        {"referer": f"http://{HOST}/photos/index.html"},
        {"referer": ""},
        {"sec_fetch_site": "none", "referer": "https://evil.example/"},
        {"sec_fetch_site": "same-origin", "referer": f"http://{HOST}/page"},
        {"origin": f"http://{HOST}", "referer": f"http://{HOST}/page"},
    ],
)
def test_programs_typed_addresses_and_the_regions_own_pages_are_not_foreign(headers: dict[str, str]) -> None:
    assert OriginPolicy(Settings()).origin_refusal(request(**headers), "test") is None


def test_an_origin_can_be_allowed_by_the_settings_or_by_the_service() -> None:
    policy = OriginPolicy(Settings(allowed_origins=("http://localhost:3000/",)))
    for headers in (
        {"origin": "http://localhost:3000"},
        {"origin": "http://localhost:3000", "sec_fetch_site": "same-site"},
        {"sec_fetch_site": "same-site", "referer": "http://localhost:3000/app?x=1"},
        {"referer": "http://localhost:3000/app?x=1"},
    ):
        assert policy.origin_refusal(request(**headers), "test") is None, headers
    assert policy.origin_refusal(request(origin="http://localhost:3001"), "test") is not None
    asked: list[str] = []

    def allows(request: HttpRequest, origin: str) -> bool:
        asked.append(origin)
        return origin == "https://app.example"

    assert policy.origin_refusal(request(origin="https://app.example"), "test", allows) is None
    assert policy.origin_refusal(request(origin="https://evil.example"), "test", allows) is not None
    assert policy.origin_refusal(request(sec_fetch_site="cross-site"), "test", allows) is not None
    assert asked == ["https://app.example", "https://evil.example"]


def test_cors_headers_are_sent_for_allowed_origins_only() -> None:
    policy = OriginPolicy(Settings(allowed_origins=("http://localhost:3000",)))
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "x-amz-target"}
    ask = request(origin="http://localhost:3000", **asked)
    ask.method = "OPTIONS"
    answer = policy.preflight(ask)
    assert answer is not None
    assert dict(answer.headers)["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert dict(answer.headers)["Access-Control-Allow-Headers"] == "x-amz-target"
    ask = request(origin="http://localhost:3001", **asked)
    ask.method = "OPTIONS"
    assert policy.preflight(ask) is None
    plain = HttpResponse(200, [], b"")
    assert policy.expose(request(origin="http://localhost:3001"), plain) is plain
    assert (
        dict(policy.expose(request(origin="http://localhost:3000"), plain).headers)["Access-Control-Allow-Origin"]
        == "http://localhost:3000"
    )


def test_hosts_and_origins_are_read_from_the_environment(tmp_path: Path) -> None:
    conninfo = {"ZONAL_ALLOWED_HOSTS": "a.example, *.b.example", "ZONAL_ALLOWED_ORIGINS": "http://localhost:3000"}
    settings = load(tmp_path, environment=conninfo)
    assert settings.allowed_hosts == ("a.example", "*.b.example")
    assert settings.allowed_origins == ("http://localhost:3000",)
