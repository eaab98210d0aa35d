"""Where a connection may go: the address is what counts, however it is spelled."""

from __future__ import annotations

import socket

import pytest

from importer.errors import HostNotAllowed
from importer.sources.failures import ConnectionFailed
from importer.sources.hosts import HostPolicy
from importer.sources.params import ConnectionParams, SourceLimits
from importer.sources.session import open_session

REFUSED = """
    127.0.0.1 127.1 127.0.1 127.255.255.254 0 0.0.0.0 0.0.0.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 localhost LOCALHOST
    ::1 :: ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:0.0.0.0 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
    64:ff9b:1::7f00:1 2002:7f00:1:: 2002:a9fe:a9fe:: 2001:0:7f00:1:: 2001:0:0:0:0:0:80ff:fffe fe80::5efe:127.0.0.1
    2a00::5efe:7f00:1 169.254.169.254 2852039166 0xa9fea9fe 169.254.0.1 169.254.170.2 fe80::1 224.0.0.1 ff02::1
    255.255.255.255 100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.192 192.0.0.1 192.0.2.1 198.18.0.1 198.51.100.7
    203.0.113.9 240.0.0.1 fd00:ec2::254 fd20:ce::254 fec0::1 2001:db8::1 100::1 ::ffff:169.254.169.254 ::ffff:100.64.0.1
""".split()
MALFORMED = [
    "", " ", "a b", "/var/run/postgresql", "/tmp", "user@host", "host,other", "host\0", "host/db", "host?x=1", "①②⑦.0.0.1",
    "127。0。0。1", "host\n", "[::1]", "fe80::1%eth0", "host=evil", "'quoted'", "back\\slash", "a" * 256, "münchen.example",
]  # fmt: skip
ALLOWED = [
    "10.0.0.5",
    "192.168.1.7",
    "172.16.0.1",
    "8.8.8.8",
    "fd12:3456::1",
    "2606:4700::1111",
    "::ffff:10.0.0.5",
    "167772165",
]


@pytest.mark.req("P23")
@pytest.mark.parametrize("host", REFUSED)
def test_it_refuses_an_address_however_it_is_spelled(host: str) -> None:
    with pytest.raises(HostNotAllowed):
        HostPolicy().resolve(host, 5432)


@pytest.mark.req("P23")
@pytest.mark.parametrize("host", MALFORMED)
def test_it_refuses_what_is_no_host_name_without_asking_a_name_server(host: str) -> None:
    def never(_host: str, _port: int) -> list[str]:
        raise AssertionError("looked up")

    with pytest.raises(HostNotAllowed):
        HostPolicy(allow_loopback=True, lookup=never).resolve(host, 5432)


@pytest.mark.req("P23")
@pytest.mark.parametrize("host", ALLOWED)
def test_it_allows_private_and_public_addresses(host: str) -> None:
    assert HostPolicy().resolve(host, 5432)


def test_it_refuses_a_name_by_what_it_resolves_to() -> None:
    # Whether "localhost." resolves depends on the machine's name server.
    with pytest.raises(HostNotAllowed):
        HostPolicy(lookup=lambda *_: ["127.0.0.1", "::1"]).resolve("localhost.", 5432)


def test_it_knows_enough_spellings() -> None:
    assert len(REFUSED) + len(MALFORMED) + len(ALLOWED) >= 40


@pytest.mark.req("P23")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::ffff:127.0.0.1", "127.1"])
def test_it_allows_loopback_when_told_to(host: str) -> None:
    assert HostPolicy(allow_loopback=True).resolve(host, 5432) in ("127.0.0.1", "::1")


@pytest.mark.parametrize("host", ["64:ff9b::7f00:1", "2002:7f00:1::", "169.254.169.254", "0.0.0.0", "::"])
def test_it_refuses_tunnels_and_neighbours_even_then(host: str) -> None:
    with pytest.raises(HostNotAllowed):
        HostPolicy(allow_loopback=True).resolve(host, 5432)


@pytest.mark.req("P23")
def test_it_permits_only_the_allow_list_when_there_is_one() -> None:
    policy = HostPolicy(
        allowlist=("db.example.org", "10.1.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
        lookup=lambda host, _: [names[host]],
    )
    names = {
        "db.example.org": "10.9.9.9", "DB.Example.org.": "10.9.9.9", "10.1.2.3": "10.1.2.3", "100.64.1.1": "100.64.1.1",
        "other.example.org": "10.9.9.9", "8.8.8.8": "8.8.8.8", "169.254.169.254": "169.254.169.254",
    }  # fmt: skip
    allowed = {host for host in names if is_allowed(policy, host)}
    assert allowed == {"db.example.org", "DB.Example.org.", "10.1.2.3", "100.64.1.1"}


@pytest.mark.req("P23")
def test_it_opens_a_unix_socket_only_by_the_allow_list() -> None:
    policy = HostPolicy(allowlist=("/var/run/postgresql",))
    assert policy.resolve("/var/run/postgresql", 5432) == "/var/run/postgresql"
    assert not is_allowed(policy, "/var/run/postgresql/../other")


def test_it_refuses_our_own_services_on_any_loopback_address() -> None:
    policy = HostPolicy(allow_loopback=True, forbidden=(("127.0.0.1", 6379), ("10.0.0.9", 5432), ("0.0.0.0", 8000)))
    assert not is_allowed(policy, "127.0.0.2", 6379)
    assert not is_allowed(policy, "::ffff:127.0.0.1", 6379)
    assert not is_allowed(policy, "::1", 8000)
    assert not is_allowed(policy, "10.0.0.9", 5432)
    assert is_allowed(policy, "127.0.0.1", 5432)
    assert is_allowed(policy, "10.0.0.9", 5433)


def test_it_takes_the_permitted_address_of_several_and_looks_up_once() -> None:
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["169.254.169.254", "10.0.0.7"] if len(asked) == 1 else ["127.0.0.1"]

    assert HostPolicy(lookup=rebinding).resolve("db.example.org", 5432) == "10.0.0.7"
    assert asked == ["db.example.org"]


@pytest.mark.req("P23")
def test_it_connects_to_the_address_that_was_checked_not_to_a_second_answer() -> None:
    answers = iter([["127.0.0.1"]])
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        params = ConnectionParams("no-such-name.invalid", server.getsockname()[1], "d", "u", "p", ssl_mode="disable")
        policy = HostPolicy(allow_loopback=True, lookup=lambda *_: next(answers))
        with pytest.raises(ConnectionFailed):
            open_session(params, policy=policy, limits=SourceLimits(connect_timeout_seconds=2), application_name="t")
        channel, _ = server.accept()
        channel.close()


@pytest.mark.req("P23")
def test_it_does_not_tell_whether_a_refused_port_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = [refusal("127.0.0.1", port) for port in (server.getsockname()[1], 1)]
    assert told[0] == told[1]
    assert "127" not in told[0]


def test_it_limits_ports_when_told_to() -> None:
    assert is_allowed(HostPolicy(ports=(5432, 6432)), "10.0.0.1", 6432)
    assert not is_allowed(HostPolicy(ports=(5432, 6432)), "10.0.0.1", 22)


def is_allowed(policy: HostPolicy, host: str, port: int = 5432) -> bool:
    try:
        policy.resolve(host, port)
    except HostNotAllowed:
        return False
    return True


def refusal(host: str, port: int) -> str:
    with pytest.raises(HostNotAllowed) as caught:
        HostPolicy().resolve(host, port)
    return str(caught.value)
