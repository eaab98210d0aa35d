"""Against a server with a certificate: each TLS mode does what it says. Needs server binaries built with TLS."""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from importer.sources.connection import (
    Cause,
    ConnectionFailed,
    ConnectionParams,
    HostPolicy,
    SourceLimits,
    open_session,
    test_connection,
)

BINARIES = next((p.parent for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
NOBODY = 65534
pytestmark = pytest.mark.skipif(BINARIES is None, reason="no PostgreSQL with TLS under /usr/lib/postgresql")


@dataclass(frozen=True)
class Secured:
    """A server with TLS, and the certificate it shows."""

    params: ConnectionParams
    authority: str  # PEM
    stranger: str  # PEM of an authority that signed nothing here
    policy: HostPolicy


def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate for a name and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("10.9.9.9"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM), secret


@pytest.fixture(scope="module")
def secured() -> Iterator[Secured]:
    folder = Path(tempfile.mkdtemp(prefix="sv-tls-", dir="/tmp"))
    user = NOBODY if os.geteuid() == 0 else None
    data, environment = folder / "data", {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
    pem, key = certificate("db.example.org")
    for name, content in (("server.crt", pem), ("server.key", key), ("pw", b"Pa55w0rd!")):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    if user is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, user, user)

    def run(*command: object) -> None:
        subprocess.run([str(part) for part in command], check=True, user=user, group=user, env=environment, cwd="/",
                       extra_groups=[] if user is not None else None, stdout=subprocess.DEVNULL)  # fmt: skip

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run(
        BINARIES / "initdb",
        "-D",
        data,
        "-U",
        "reader",
        "-A",
        "scram-sha-256",
        f"--pwfile={folder / 'pw'}",
        "-E",
        "UTF8",
    )
    with (data / "postgresql.conf").open("a") as file:
        file.write(
            f"port={port}\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\nfsync=off\nssl=on\n"
            f"ssl_cert_file='{folder / 'server.crt'}'\nssl_key_file='{folder / 'server.key'}'\n"
        )
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")
    run(BINARIES / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "start")
    try:
        yield Secured(
            ConnectionParams("db.example.org", port, "postgres", "reader", "Pa55w0rd!"),
            pem.decode(),
            certificate("db.example.org")[0].decode(),
            HostPolicy(allow_loopback=True, lookup=lambda *_: ["127.0.0.1"]),
        )
    finally:
        run(BINARIES / "pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.mark.req("P17")
@pytest.mark.parametrize("mode", ["allow", "prefer", "require"])
def test_it_encrypts_without_verifying(secured: Secured, mode: str) -> None:
    params = replace(secured.params, ssl_mode=mode)
    with open_session(params, policy=secured.policy, limits=SourceLimits(), application_name="t") as session:
        assert session.encrypted


@pytest.mark.req("P17")
@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_it_verifies_the_name_while_it_connects_to_the_checked_address(secured: Secured, mode: str) -> None:
    params = replace(secured.params, ssl_mode=mode, ssl_root_cert=secured.authority)
    with open_session(params, policy=secured.policy, limits=SourceLimits(), application_name="t") as session:
        assert session.encrypted
    test = test_connection(params, policy=secured.policy, limits=SourceLimits(allow_privileged=True))
    assert test.success
    assert "connection_not_encrypted" not in {warning.code for warning in test.warnings}


@pytest.mark.req("P17", "P24")
@pytest.mark.parametrize(
    ("mode", "change"),
    [("verify-full", {"ssl_root_cert": ""}), ("verify-ca", {"ssl_root_cert": "system"}), ("verify-full", {"host": "other.example.org"}),
     ("verify-ca", {"ssl_root_cert": "stranger"})],
)  # fmt: skip
def test_it_does_not_trust_a_certificate_it_cannot_verify(secured: Secured, mode: str, change: dict[str, str]) -> None:
    params = replace(secured.params, ssl_mode=mode, **{"ssl_root_cert": secured.authority} | change)
    if params.ssl_root_cert == "stranger":
        params = replace(params, ssl_root_cert=secured.stranger)
    with pytest.raises(ConnectionFailed) as caught:
        open_session(params, policy=secured.policy, limits=SourceLimits(), application_name="t")
    assert caught.value.cause == Cause.CERTIFICATE_NOT_TRUSTED
    test = test_connection(params, policy=secured.policy, limits=SourceLimits())
    assert [check.name for check in test.checks if check.status == "failed"] == ["tls"]


@pytest.mark.req("P24")
def test_it_names_a_missing_pg_hba_entry(secured: Secured) -> None:
    with pytest.raises(ConnectionFailed) as caught:
        open_session(
            replace(secured.params, ssl_mode="disable"),
            policy=secured.policy,
            limits=SourceLimits(),
            application_name="t",
        )
    assert caught.value.cause == Cause.NO_PG_HBA_ENTRY
