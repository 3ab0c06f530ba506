"""The region's certificate authority: made once, it vouches for every endpoint of the region.

Its key never leaves `authority.key` (0600). Clients verify with the bundle that `zonal env` names, as they would with RDS's own bundle.
Certificates are dated by the machine's clock, which clients check them with, not by region time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zonal.foundation.files import replace_file

AUTHORITY_LIFE = timedelta(days=40 * 365)
"""As long as RDS's own `rds-ca-rsa2048-g1` ("Using SSL/TLS to encrypt a connection to a DB instance")."""
SERVER_LIFE = timedelta(days=365)
_SKEW = timedelta(hours=1)


class ServerCredentials(NamedTuple):
    """A server's certificate (with the authority's behind it) and private key, both PEM, and when the certificate ends."""

    certificate: bytes
    private_key: bytes
    valid_until: datetime


class Authority:
    """The authority whose key and certificate lie in `directory`, made there if they are not."""

    def __init__(self, directory: Path) -> None:
        self._key_path = directory / "authority.key"
        self.bundle_path = directory / "ca.pem"
        if not self.bundle_path.exists():
            self._make()
        key = serialization.load_pem_private_key(self._key_path.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self.certificate = x509.load_pem_x509_certificate(self.bundle_path.read_bytes())

    def issue(self, names: tuple[str, ...], addresses: tuple[str, ...] = ()) -> ServerCredentials:
        """A server certificate for these DNS names and addresses; the first name is its subject."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ip_address(address)) for address in addresses]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0][:64]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + SERVER_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        chain = certificate.public_bytes(serialization.Encoding.PEM) + self.bundle_path.read_bytes()
        return ServerCredentials(chain, _pem(key), certificate.not_valid_after_utc)

    def _make(self) -> None:
        """The key first: a certificate that is there always has its key beside it, whenever the machine lost its power."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = _name("zonal us-east-1 root CA")
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now + AUTHORITY_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        replace_file(self._key_path, _pem(key))
        replace_file(self.bundle_path, certificate.public_bytes(serialization.Encoding.PEM))


def _usage() -> x509.KeyUsage:
    others = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False)
    return x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False, **others)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "zonal")])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
