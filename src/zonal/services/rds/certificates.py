"""DescribeCertificates: the region's certificate authority, which issues the certificates of the endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from zonal.foundation.errors import AwsError
from zonal.foundation.identifiers import arn
from zonal.services.operation import ControlCall, ResponseMembers, operation
from zonal.services.rds.lookups import filters, page

if TYPE_CHECKING:
    from datetime import datetime

    from types_boto3_rds.type_defs import CertificateTypeDef, DescribeCertificatesMessageTypeDef

AUTHORITY = "zonal-ca-ecc256-g1"
"""The identifier of the region's authority."""


class CertificateCredentials(Protocol):
    """A server's certificate chain and key (`foundation.authority.ServerCredentials`)."""

    @property
    def certificate(self) -> bytes: ...

    @property
    def private_key(self) -> bytes: ...

    @property
    def valid_until(self) -> datetime: ...


class CertificateIssuer(Protocol):
    """Issues server certificates (`foundation.authority.Authority`)."""

    @property
    def certificate(self) -> x509.Certificate: ...

    def issue(self, names: tuple[str, ...], addresses: tuple[str, ...] = (), /) -> CertificateCredentials: ...


class _Shown(NamedTuple):
    id: str
    certificate: x509.Certificate


class Certificates:
    """The operations on certificate authorities."""

    def __init__(self, authority: CertificateIssuer) -> None:
        self._authority = authority

    @operation("DescribeCertificates")
    def describe(self, call: ControlCall, request: DescribeCertificatesMessageTypeDef) -> ResponseMembers:
        filters(request, ())
        check_authority(request.get("CertificateIdentifier"))
        shown = [_Shown(AUTHORITY, self._authority.certificate)]
        answer = page(shown, request, "Certificates", lambda each: each.id, _answer)
        return answer | {"DefaultCertificateForNewLaunches": AUTHORITY}


def check_authority(identifier: str | None) -> None:
    """Raise `CertificateNotFound` for an authority that is not the region's."""
    if identifier not in (None, "", AUTHORITY):
        raise AwsError("CertificateNotFound", f"Certificate not found: {identifier}; there is {AUTHORITY}", status=404)


def _answer(shown: _Shown) -> CertificateTypeDef:
    return {
        "CertificateIdentifier": shown.id,
        "CertificateType": "CA",
        "Thumbprint": shown.certificate.fingerprint(hashes.SHA1()).hex(),
        "ValidFrom": shown.certificate.not_valid_before_utc,
        "ValidTill": shown.certificate.not_valid_after_utc,
        "CertificateArn": arn("rds", f"cert:{shown.id}", account=""),
        "CustomerOverride": False,
    }
