"""The embedded servers, really started: each test has a data directory of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from servicevault import embedded

UNPRIVILEGED_UID = 12345  # has no entry in /etc/passwd, as with `docker run -u 12345`

is_root = os.geteuid() == 0
only_as_root = pytest.mark.skipif(not is_root, reason="changing the user needs root")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that any account can reach, as a project in /srv would be; pytest's own are private."""
    parent = Path(tempfile.mkdtemp(prefix="embedded-"))
    parent.chmod(0o755)
    yield parent / ".data"
    with contextlib.suppress(embedded.EmbeddedError):
        embedded.stop(data_dir=parent / ".data")
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def running() -> Iterator[Path]:
    """The folder of servers that tests only look at."""
    parent = Path(tempfile.mkdtemp(prefix="embedded-"))
    parent.chmod(0o755)
    embedded.ensure(data_dir=parent / ".data")
    yield parent / ".data"
    embedded.stop(data_dir=parent / ".data")
    shutil.rmtree(parent)


def answers(services: embedded.Services) -> bool:
    with psycopg.connect(services.database_url) as connection:
        database_answers = connection.execute("SELECT 1").fetchone() == (1,)
    with redis.Redis.from_url(services.redis_url) as client:
        return database_answers and client.ping()


def postmaster_pid(data_dir: Path) -> int:
    pid = embedded.status(data_dir=data_dir)["postgres"]
    assert pid is not None
    return pid


def wait_until(claim: Callable[[], bool], *, timeout_seconds: float = 10) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not claim():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.02)


@pytest.mark.req("G38")
def test_it_starts_both_servers_where_there_are_none(data_dir: Path) -> None:
    assert answers(embedded.ensure(data_dir=data_dir))


@pytest.mark.req("G38")
def test_it_reuses_running_servers(running: Path) -> None:
    first = embedded.ensure(data_dir=running)
    processes = embedded.status(data_dir=running)

    assert embedded.ensure(data_dir=running) == first
    assert embedded.status(data_dir=running) == processes


def test_it_gives_addresses_without_starting_anything(data_dir: Path) -> None:
    promised = embedded.addresses(data_dir=data_dir)

    assert embedded.status(data_dir=data_dir) == {"postgres": None, "valkey": None}
    assert embedded.ensure(data_dir=data_dir) == promised


def test_it_starts_only_what_is_asked_for(data_dir: Path) -> None:
    embedded.ensure(postgres=False, data_dir=data_dir)

    running = embedded.status(data_dir=data_dir)
    assert running["postgres"] is None
    assert running["valkey"] is not None


@pytest.mark.req("G38")
def test_it_keeps_the_data_across_a_stop(data_dir: Path) -> None:
    services = embedded.ensure(data_dir=data_dir)
    with psycopg.connect(services.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    embedded.stop(data_dir=data_dir)
    assert embedded.status(data_dir=data_dir) == {"postgres": None, "valkey": None}

    with psycopg.connect(embedded.ensure(data_dir=data_dir).database_url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_it_stops_quietly_when_nothing_runs(data_dir: Path) -> None:
    embedded.stop(data_dir=data_dir)
    assert not data_dir.exists()


def test_it_lets_its_role_create_databases_with_the_extensions_we_need(running: Path) -> None:
    services = embedded.ensure(data_dir=running)
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE second")
    with psycopg.connect(services.database_url.removesuffix("servicevault") + "second") as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
        connection.execute("CREATE EXTENSION fuzzystrmatch")
        assert connection.execute("SELECT levenshtein('Müller', 'Miller')").fetchone() == (1,)


def test_it_is_durable_and_speaks_utc(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICEVAULT_VOLATILE", raising=False)
    with psycopg.connect(embedded.ensure(data_dir=data_dir).database_url) as connection:
        names = ["fsync", "synchronous_commit", "full_page_writes", "TimeZone", "server_encoding", "jit"]
        values = [connection.execute("SELECT current_setting(%s)", [name]).fetchone() for name in names]
    assert values == [("on",), ("on",), ("on",), ("UTC",), ("UTF8",), ("off",)]


def test_it_refuses_a_wrong_password_on_both_servers(running: Path) -> None:
    services = embedded.ensure(data_dir=running)
    password = embedded.secret("POSTGRES_PASSWORD", data_dir=running)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(services.database_url.replace(password, "guess"))
    password = embedded.secret("VALKEY_PASSWORD", data_dir=running)
    client = redis.Redis.from_url(services.redis_url.replace(password, "guess"))
    with client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_it_listens_on_loopback_only(running: Path) -> None:
    with psycopg.connect(embedded.ensure(data_dir=running).database_url) as connection:
        listening = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('unix_socket_directories')"
        ).fetchone()
    assert listening == ("127.0.0.1", "")


@pytest.mark.req("G38")
def test_it_recovers_when_the_database_server_was_killed(data_dir: Path) -> None:
    services = embedded.ensure(data_dir=data_dir)
    with psycopg.connect(services.database_url) as connection:
        connection.execute("CREATE TABLE committed AS SELECT 1 AS one")
    os.kill(postmaster_pid(data_dir), signal.SIGKILL)

    with psycopg.connect(embedded.ensure(data_dir=data_dir).database_url) as connection:
        assert connection.execute("SELECT one FROM committed").fetchone() == (1,)


@pytest.mark.req("G38")
def test_it_recovers_while_a_backend_of_the_killed_server_still_works(data_dir: Path) -> None:
    connection = psycopg.connect(embedded.ensure(data_dir=data_dir).database_url)
    os.kill(connection.info.backend_pid, signal.SIGSTOP)  # cannot notice that its server is gone, holds the memory
    os.kill(postmaster_pid(data_dir), signal.SIGKILL)

    assert answers(embedded.ensure(data_dir=data_dir))
    connection.close()


def test_it_recovers_when_valkey_was_killed(data_dir: Path) -> None:
    embedded.ensure(data_dir=data_dir)
    pid = embedded.status(data_dir=data_dir)["valkey"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    assert answers(embedded.ensure(data_dir=data_dir))


@pytest.mark.req("G38")
@pytest.mark.parametrize("content", ["", "not a number\n", "{living}\n/elsewhere\n0\n5432\n\n127.0.0.1\n\nready\n"])
def test_it_does_not_believe_a_stale_pid_file(data_dir: Path, content: str) -> None:
    embedded.ensure(data_dir=data_dir)
    embedded.stop(data_dir=data_dir)
    servers = data_dir / "servers" / "postgres"
    with subprocess.Popen(
        ["/bin/sleep", "60"], user=servers.stat().st_uid if is_root else None, cwd="/"
    ) as someone_else:
        (servers / "postmaster.pid").write_text(content.format(living=someone_else.pid))
        assert embedded.status(data_dir=data_dir)["postgres"] is None

        assert answers(embedded.ensure(data_dir=data_dir))
        embedded.stop(data_dir=data_dir)
        assert someone_else.poll() is None, "a process that is not ours was ended"
        someone_else.kill()


def test_it_starts_over_after_an_interrupted_initialisation(data_dir: Path) -> None:
    half_made = data_dir / "servers" / "postgres"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    draft = data_dir / "servers" / "postgres.draft-0123"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")

    assert answers(embedded.ensure(data_dir=data_dir))
    kept = [path.name for path in (data_dir / "servers").glob("postgres.incomplete-*/*")]
    assert kept == ["PG_VERSION"], "what was found there must be kept, not deleted"
    assert not draft.exists()


def test_it_starts_over_when_killed_during_its_first_start(data_dir: Path) -> None:
    program = f"from pathlib import Path; from servicevault import embedded; embedded.ensure(data_dir=Path({str(data_dir)!r}))"
    starter = subprocess.Popen([sys.executable, "-c", program], cwd=embedded.PROJECT, start_new_session=True)
    wait_until(lambda: any((data_dir / "servers").glob("postgres.draft-*/*")))
    starter.kill()
    starter.wait()

    assert answers(embedded.ensure(data_dir=data_dir))


@pytest.mark.req("G38")
def test_it_moves_to_another_port_when_its_own_is_taken(data_dir: Path) -> None:
    before = embedded.ensure(data_dir=data_dir)
    embedded.stop(data_dir=data_dir)
    with contextlib.ExitStack() as occupied:
        for url in (before.database_url, before.redis_url):
            listener = occupied.enter_context(socket.socket())
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", int(url.rsplit(":", 1)[1].split("/")[0])))
            listener.listen()

        after = embedded.ensure(data_dir=data_dir)

        assert answers(after)
        assert after.database_url != before.database_url
        assert after.redis_url != before.redis_url
        assert embedded.addresses(data_dir=data_dir) == after


@pytest.mark.req("G38")
def test_it_starts_one_server_for_callers_that_come_at_once(data_dir: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        results = [pool.apply_async(ensure_and_report, [data_dir]) for _ in range(4)]
        reports = [result.get(timeout=120) for result in results]

    assert len(set(reports)) == 1
    assert answers(embedded.ensure(data_dir=data_dir))


def ensure_and_report(data_dir: Path) -> tuple[str, str, int]:
    services = embedded.ensure(data_dir=data_dir)
    return services.database_url, services.redis_url, postmaster_pid(data_dir)


@pytest.mark.parametrize("runs_meanwhile", [True, False])
def test_it_finds_its_servers_after_the_project_was_moved(data_dir: Path, runs_meanwhile: bool) -> None:
    services = embedded.ensure(data_dir=data_dir)
    with psycopg.connect(services.database_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pid = postmaster_pid(data_dir)
    if not runs_meanwhile:
        embedded.stop(data_dir=data_dir)
    moved = data_dir.with_name("elsewhere")
    data_dir.rename(moved)
    try:
        after = embedded.ensure(data_dir=moved)
        with psycopg.connect(after.database_url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert (postmaster_pid(moved) == pid) is runs_meanwhile
    finally:
        embedded.stop(data_dir=moved)


def test_it_works_below_a_path_too_long_for_a_socket(data_dir: Path) -> None:
    assert answers(embedded.ensure(data_dir=data_dir / ("long name " * 12).strip()))
    embedded.stop(data_dir=data_dir / ("long name " * 12).strip())


@pytest.mark.req("G40")
def test_it_keeps_secrets_for_their_owner_only(data_dir: Path) -> None:
    values = {name: embedded.secret(name, data_dir=data_dir) for name in embedded.SECRETS}

    assert values == {name: embedded.secret(name, data_dir=data_dir) for name in embedded.SECRETS}
    assert len(set(values.values())) == len(values)
    for path in (data_dir / "secrets").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.req("G40")
def test_it_generates_one_secret_for_callers_that_come_at_once(data_dir: Path) -> None:
    with multiprocessing.get_context("fork").Pool(8) as pool:
        values = pool.map(generate_secret, [data_dir] * 32)
    assert len(set(values)) == 1


def generate_secret(data_dir: Path) -> str:
    return embedded.secret("SECRET_KEY", data_dir=data_dir)


def test_it_writes_no_password_to_a_log_or_command_line(running: Path) -> None:
    embedded.ensure(data_dir=running)
    passwords = [embedded.secret(name, data_dir=running).encode() for name in ("POSTGRES_PASSWORD", "VALKEY_PASSWORD")]
    places = [*(running / "servers").glob("*.log"), *(running / "servers").glob("valkey/*")]
    places += [Path(f"/proc/{pid}/cmdline") for pid in embedded.status(data_dir=running).values()]

    assert len(places) >= 4
    for place in places:
        assert not any(password in place.read_bytes() for password in passwords), place


def test_it_exports_only_what_is_missing(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICEVAULT_DATA_DIR", str(data_dir))
    environ = {"DATABASE_URL": "postgresql://real.example.com/vault"}

    embedded.export(environ)

    assert environ["DATABASE_URL"] == "postgresql://real.example.com/vault"
    assert environ["REDIS_URL"] == embedded.addresses().redis_url
    assert "SERVICEVAULT_EMBEDDED" not in environ
    assert embedded.status()["postgres"] is None


def test_it_says_which_version_made_the_data(data_dir: Path) -> None:
    embedded.ensure(data_dir=data_dir)
    embedded.stop(data_dir=data_dir)
    (data_dir / "servers" / "postgres" / "PG_VERSION").write_text("16\n")

    with pytest.raises(embedded.EmbeddedError, match="made by PostgreSQL 16, installed is 18"):
        embedded.ensure(data_dir=data_dir)


def test_it_says_what_to_do_when_it_may_not_write(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(embedded.EmbeddedError, match="Set SERVICEVAULT_DATA_DIR"):
        embedded.ensure(data_dir=blocker / ".data")


@only_as_root
def test_it_never_runs_a_server_as_root(data_dir: Path) -> None:
    embedded.ensure(data_dir=data_dir)
    owners = [Path(f"/proc/{pid}").stat().st_uid for pid in embedded.status(data_dir=data_dir).values()]
    assert 0 not in owners


@only_as_root
@pytest.mark.req("G38")
def test_it_runs_as_a_user_without_rights_or_name(data_dir: Path) -> None:
    os.chown(data_dir.parent, UNPRIVILEGED_UID, UNPRIVILEGED_UID)
    with multiprocessing.get_context("fork").Pool(1, become_unprivileged) as pool:
        services, uids = pool.apply_async(ensure_as_that_user, [data_dir]).get(timeout=120)

    assert answers(services)
    assert uids == {UNPRIVILEGED_UID}
    assert embedded.ensure(data_dir=data_dir) == services, "root uses the servers of the folder's owner"


def become_unprivileged() -> None:
    os.setgroups([])
    os.setgid(UNPRIVILEGED_UID)
    os.setuid(UNPRIVILEGED_UID)


def ensure_as_that_user(data_dir: Path) -> tuple[embedded.Services, set[int]]:
    services = embedded.ensure(data_dir=data_dir)
    pids = embedded.status(data_dir=data_dir).values()
    return services, {Path(f"/proc/{pid}").stat().st_uid for pid in pids}


@only_as_root
@pytest.mark.req("G38")
def test_it_works_in_a_folder_that_only_root_can_enter(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data_dir.parent.chmod(0o700)
    services = embedded.ensure(data_dir=data_dir)
    home = Path((data_dir / "location").read_text())
    try:
        assert answers(services)
        assert home.parent == Path("/var/tmp")
        assert str(home) in capfd.readouterr().err
        assert embedded.ensure(data_dir=data_dir) == services

        moved = data_dir.with_name("elsewhere")
        data_dir.rename(moved)
        assert embedded.ensure(data_dir=moved).database_url == services.database_url, "a moved project keeps its data"

        shutil.copytree(moved, data_dir)
        copy = embedded.ensure(data_dir=data_dir)
        assert copy.database_url != services.database_url, "a copied project gets data of its own"
    finally:
        for folder in (data_dir, data_dir.with_name("elsewhere")):
            embedded.stop(data_dir=folder)
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(Path((folder / "location").read_text()))


@only_as_root
def test_it_refuses_a_fallback_folder_that_somebody_else_planted(data_dir: Path) -> None:
    data_dir.parent.chmod(0o700)
    embedded.ensure(data_dir=data_dir)
    embedded.stop(data_dir=data_dir)
    home = Path((data_dir / "location").read_text())
    shutil.rmtree(home)
    (data_dir / "location").unlink()
    home.mkdir()
    os.chown(home, UNPRIVILEGED_UID, UNPRIVILEGED_UID)
    try:
        with pytest.raises(embedded.EmbeddedError, match="is not a private folder of this user"):
            embedded.ensure(data_dir=data_dir)
    finally:
        home.rmdir()
