"""The region's certificate authority, created once, which signs the certificate of every endpoint.

Its key is stored in `authority.key` (mode 0600) only. Clients verify with the bundle that `zonal env` prints, as with RDS's bundle.
Validity dates come from the machine's clock, not from region time, because clients verify them with that clock.
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
"""The validity of RDS's `rds-ca-rsa2048-g1` (Amazon RDS User Guide, "Using SSL/TLS to encrypt a connection to a DB instance")."""
SERVER_LIFE = timedelta(days=365)
_SKEW = timedelta(hours=1)


class ServerCredentials(NamedTuple):
    """A server's certificate chain and private key, both PEM, and the end of the certificate's validity."""

    certificate: bytes
    private_key: bytes
    valid_until: datetime


class Authority:
    """The authority whose key and certificate are in `directory`; creates them if they do not exist."""

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
        """Create key and certificate. The key is written first, so that after a power loss no certificate exists without its key."""
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
