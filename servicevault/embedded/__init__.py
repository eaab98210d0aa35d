"""PostgreSQL and Valkey for a machine that has neither: started on demand, kept running, no root, no Docker.

`ensure()` starts what is not running and answers with the two URLs; the servers are daemons that outlive the
caller, so the next command reuses them until `stop()`. No Django here: settings only ever read DATABASE_URL and
REDIS_URL, which `export()` puts into the environment.

    .data/                 SERVICEVAULT_DATA_DIR names another folder; tests have theirs in .data/tests
      lock                 held while starting or stopping
      ports.json           ports chosen last time
      secrets/             passwords and keys, one file each, 0600
      location             only when the servers had to live elsewhere: where
      servers/             owned by the account that runs them: postgres/ valkey/ postgres.log

PostgreSQL refuses to run as root. Started by root, the servers run as whoever owns the data directory, else as
`postgres` or `nobody`; when that account cannot reach the data directory (a project below /root), the servers'
files live in /var/tmp/servicevault-<hash of the path> and `ensure()` says so.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

from servicevault.embedded import postgres as postgres_server
from servicevault.embedded import valkey as valkey_server
from servicevault.embedded.folder import (
    LOOPBACK,
    PROJECT,
    SECRETS,
    EmbeddedError,
    announce,
    data_directory,
    known_ports,
    locked,
    secret,
)
from servicevault.embedded.installation import locate, prepare, programs_for

__all__ = [
    "PROJECT",
    "SECRETS",
    "EmbeddedError",
    "Services",
    "addresses",
    "data_directory",
    "ensure",
    "export",
    "main",
    "secret",
    "status",
    "stop",
]


@dataclass(frozen=True)
class Services:
    database_url: str  # role may create databases
    redis_url: str
    data_dir: Path


def ensure(*, postgres: bool = True, valkey: bool = True, data_dir: Path | None = None) -> Services:
    """Return the addresses of running servers, starting those that are not. A few milliseconds when they run.

    Safe to call from several processes at once: one starts, the others wait for it.
    Raises EmbeddedError when a server cannot be started.
    """
    data_dir = data_directory(data_dir)
    with locked(data_dir):
        installation = locate(data_dir)
        start_postgres = postgres and not postgres_server.is_settled(installation)
        start_valkey = valkey and not valkey_server.answers(installation)
        if start_postgres or start_valkey:
            installation, account = prepare(data_dir)
            programs = programs_for(installation, account)
            if start_postgres:
                postgres_server.start(installation, account, programs)
            if start_valkey:
                valkey_server.start(installation, account, programs)
        return addresses(data_dir=data_dir)


def addresses(*, data_dir: Path | None = None) -> Services:
    """Return where the servers listen or would listen, without starting them."""
    data_dir = data_directory(data_dir)
    chosen = known_ports(data_dir)
    database_password = secret("POSTGRES_PASSWORD", data_dir=data_dir)
    valkey_password = secret("VALKEY_PASSWORD", data_dir=data_dir)
    return Services(
        database_url=f"postgresql://{postgres_server.ROLE}:{database_password}@{LOOPBACK}:{chosen['postgres']}/{postgres_server.DATABASE}",
        redis_url=f"redis://:{valkey_password}@{LOOPBACK}:{chosen['valkey']}/0",
        data_dir=data_dir,
    )


def export(environ: MutableMapping[str, str] = os.environ, *, start: bool = True) -> None:
    """Set DATABASE_URL and REDIS_URL where unset or empty; starts only the servers whose URL is missing."""
    needs_postgres, needs_valkey = not environ.get("DATABASE_URL"), not environ.get("REDIS_URL")
    if not (needs_postgres or needs_valkey):
        return
    services = ensure(postgres=needs_postgres, valkey=needs_valkey) if start else addresses()
    if needs_postgres:
        environ["DATABASE_URL"] = services.database_url
        environ.setdefault("SERVICEVAULT_EMBEDDED", "true")  # settings: keys may be generated, http is enough
    if needs_valkey:
        environ["REDIS_URL"] = services.redis_url


def status(*, data_dir: Path | None = None) -> dict[str, int | None]:
    """Return the process id of each server, None for one that does not run."""
    installation = locate(data_directory(data_dir))
    postmaster = postgres_server.running(installation.cluster)
    return {
        "postgres": postmaster.pid if postmaster else None,
        "valkey": valkey_server.running(installation),
    }


def stop(*, data_dir: Path | None = None) -> None:
    """Stop both servers; quiet when they do not run. The data stays."""
    data_dir = data_directory(data_dir)
    if not data_dir.exists():
        return
    with locked(data_dir):
        installation = locate(data_dir)
        postgres_server.stop(installation)
        valkey_server.stop(installation)


def main(arguments: list[str]) -> int:
    """Run `start`, `stop` or `status` for a person."""
    action = arguments[0] if len(arguments) == 1 else ""
    try:
        if action == "start":
            ensure()
        elif action == "stop":
            stop()
        elif action != "status":
            print("usage: manage.py embedded start|stop|status", file=sys.stderr)
            return 2
        for name, pid in status().items():
            print(f"{name:9} {f'runs, process {pid}' if pid else 'stopped'}")
    except EmbeddedError as error:
        announce(str(error))
        return 1
    return 0
