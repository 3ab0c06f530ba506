"""The certificate authority: its certificates, and its persistence."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from zonal.foundation.authority import Authority, ServerCredentials


def shake_hands(directory: Path, credentials: ServerCredentials, *, name: str) -> None:
    """A TLS handshake between a server with these credentials and a client that trusts the bundle and expects `name`."""
    (directory / "server.pem").write_bytes(credentials.certificate + credentials.private_key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(directory / "server.pem")
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            serving.wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, OSError):
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        ssl.create_default_context(cafile=str(directory / "ca.pem")).wrap_socket(ours, server_hostname=name).close()
    finally:
        ours.close()
        thread.join()


def test_a_client_with_the_bundle_verifies_a_server_by_its_name(tmp_path: Path) -> None:
    credentials = Authority(tmp_path).issue(("orders.rds.zonal.internal", "other.internal"), ("127.0.0.9",))
    shake_hands(tmp_path, credentials, name="orders.rds.zonal.internal")
    shake_hands(tmp_path, credentials, name="127.0.0.9")
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'orders\.example'"):
        shake_hands(tmp_path, credentials, name="orders.example")


def test_the_authority_survives_a_restart_and_its_key_is_readable_by_the_owner_only(tmp_path: Path) -> None:
    first = Authority(tmp_path)
    credentials = Authority(tmp_path).issue(("a.internal",))
    assert Authority(tmp_path).certificate == first.certificate
    shake_hands(tmp_path, credentials, name="a.internal")
    assert (tmp_path / "authority.key").stat().st_mode & 0o777 == 0o600
    assert credentials.valid_until < first.certificate.not_valid_after_utc


def test_an_authority_whose_creation_was_interrupted_is_created_again(tmp_path: Path) -> None:
    Authority(tmp_path)
    (tmp_path / "ca.pem").unlink()
    shake_hands(tmp_path, Authority(tmp_path).issue(("a.internal",)), name="a.internal")
