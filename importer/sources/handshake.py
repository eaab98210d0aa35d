"""From checked parameters to an open connection: only keywords of ours, nothing from the environment."""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

from importer.sources import failures, values
from importer.sources.failures import Cause, ConnectionFailed
from importer.sources.params import SYSTEM_STORE, ConnectionParams, SourceLimits

NOWHERE = "/dev/null/none"  # below a file, so it can never exist: libpq finds no password, key or certificate of ours
CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
VERIFYING = ("verify-ca", "verify-full")
ANY_METHOD = "scram-sha-256,md5,password,gss,sspi,none"  # libpq takes an empty list for a list of no method
NOT_EMPTY = {"min_protocol_version": "3.0", "max_protocol_version": "3.0"}  # libpq 18 takes no empty text here

_environment_lock = threading.Lock()


def connect(
    params: ConnectionParams, *, address: str, limits: SourceLimits, application_name: str
) -> psycopg.Connection[tuple[object, ...]]:
    """Return an open connection in autocommit mode, to the address that was checked.

    Raises ConnectionFailed. The driver's text goes to the log only.
    """
    place = f"{params.host}:{params.port}"
    failure = None
    try:
        with _root_certificate(params, place) as root, _without_service():
            given = keywords(params, address=address, limits=limits, application_name=application_name, root=root)
            return psycopg.connect(make_conninfo(**given), autocommit=True, context=values.CONTEXT)
    except (psycopg.Error, OSError, ValueError) as error:
        failures.log_driver_text(error, place=place, secret=params.password)
        failure = failures.classify_connect(error, place=place)
    raise failure


def keywords(
    params: ConnectionParams, *, address: str, limits: SourceLimits, application_name: str, root: str
) -> dict[str, Any]:
    """Every keyword libpq could otherwise read from a PG* variable or the home folder, with our value."""
    socket_folder = address.startswith("/")
    given: dict[str, Any] = {
        "host": address if socket_folder else params.host,  # with hostaddr, only the name in the certificate
        "hostaddr": "" if socket_folder else address,
        "port": params.port,
        "dbname": params.database,
        "user": params.username,
        "password": params.password,
        "passfile": NOWHERE,
        "sslmode": params.ssl_mode,
        "sslrootcert": root,
        "sslcert": NOWHERE,
        "sslkey": NOWHERE,
        "sslcrl": NOWHERE,
        "sslcrldir": "",
        "sslcertmode": "disable",
        "gssencmode": "disable",
        "require_auth": limits.require_auth or ANY_METHOD,
        "application_name": application_name[:63],
        "client_encoding": "UTF8",
        "connect_timeout": limits.connect_timeout_seconds,
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }
    # An explicit value, even an empty one, keeps libpq from asking the environment.
    for option in pq.Conninfo.get_defaults():
        name = option.keyword.decode()
        if option.envvar and name not in given and name != "service":
            given[name] = NOT_EMPTY.get(name, (option.compiled or b"").decode())
    return given


@contextlib.contextmanager
def _root_certificate(params: ConnectionParams, place: str) -> Iterator[str]:
    """The file libpq reads the trusted authorities from; one that cannot exist when nothing is verified."""
    if params.ssl_root_cert in ("", SYSTEM_STORE):
        yield _system_store(place) if params.ssl_mode in VERIFYING else NOWHERE
        return
    with tempfile.TemporaryDirectory(prefix="source-ca-") as folder:
        file = Path(folder) / "root.crt"
        file.write_text(params.ssl_root_cert)
        yield str(file)


def _system_store(place: str) -> str:
    """The machine's bundle of authorities; libpq's own word "system" depends on how its OpenSSL was built."""
    for candidate in (ssl.get_default_verify_paths().cafile, *CA_BUNDLES):
        if candidate and Path(candidate).is_file():
            return candidate
    raise ConnectionFailed(Cause.CERTIFICATE_NOT_TRUSTED, place=place, where="tls")


@contextlib.contextmanager
def _without_service() -> Iterator[None]:
    """Hide PGSERVICE, the one variable no keyword can override, while libpq looks. Costs nothing when it is not set."""
    if "PGSERVICE" not in os.environ:
        yield
        return
    with _environment_lock:
        name = os.environ.pop("PGSERVICE", None)
        try:
            yield
        finally:
            if name is not None:
                os.environ["PGSERVICE"] = name
