"""Which machines a source may be: the name is looked up once, the address is checked, and that address is used."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from importer.errors import HostNotAllowed
from importer.sources.failures import Cause, ConnectionFailed
from servicevault.wording import say

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Lookup = Callable[[str, int], list[str]]

LOOKUP_TIMEOUT_SECONDS = 5.0
HOST_PATTERN = re.compile(r"[A-Za-z0-9_.:-]{1,255}")


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# No setting opens these: the machine itself, its neighbours on the wire, and the services that hand out cloud secrets.
NEVER = _networks(
    "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32", "168.63.129.16/32", "100.100.100.200/32",
    "192.0.0.192/32", "::/128", "fe80::/10", "ff00::/8", "fd00:ec2::/32", "fd20:ce::/32",
)  # fmt: skip
# Reserved by IANA for something other than hosts of a private or public network; an allow-list entry opens them.
UNLESS_LISTED = _networks(
    "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "240.0.0.0/4", "::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "fec0::/10",
)  # fmt: skip
LOOPBACK = _networks("127.0.0.0/8", "::1/128")
ANYWHERE = _networks("0.0.0.0/32", "::/128")  # a service bound here answers on every address, loopback included
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
ISATAP_MARKS = (0x00005EFE, 0x02005EFE)  # RFC 5214, section 6.1


def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host, IPv4 first. Raises ConnectionFailed when there is none or the answer is late.

    The resolver of the C library has no timeout of its own, so it is asked in a thread that may be left behind.
    """
    found: list[str] = []

    def ask() -> None:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(dict.fromkeys(str(answer[4][0]).split("%")[0] for answer in answers))

    thread = threading.Thread(target=ask, name="source-lookup", daemon=True)
    thread.start()
    thread.join(LOOKUP_TIMEOUT_SECONDS)
    if not found:
        raise ConnectionFailed(Cause.NAME_UNKNOWN, place=host, where="dns")
    return sorted(found, key=lambda address: ":" in address)


@dataclass(frozen=True)
class HostPolicy:
    """Which hosts may be connected to. Private networks are allowed, for that is where help desks live."""

    allow_loopback: bool = False
    allowlist: tuple[str, ...] = ()  # names, addresses, CIDR ranges, paths of unix sockets; when set, nothing else
    forbidden: tuple[tuple[str, int], ...] = ()  # address and port of services of our own
    ports: tuple[int, ...] = ()  # empty: any
    lookup: Lookup = field(default=look_up, repr=False, compare=False)

    def resolve(self, host: str, port: int) -> str:
        """Return the one address to connect to, or the path of an allowed unix socket.

        Raises HostNotAllowed, which does not tell whether anything answers there, and
        ConnectionFailed when the name is unknown.
        """
        self.check_name(host, port)
        if host.startswith("/"):
            return host
        for text in self.lookup(host, port):
            address = _plain(ipaddress.ip_address(text))
            if self._permits(address, host, port):
                return str(address)
        raise _refusal()

    def check_name(self, host: str, port: int) -> None:
        """Raise HostNotAllowed for what can be refused without asking a name server."""
        if host.startswith("/"):
            if host not in self.allowlist or "\0" in host or "," in host:
                raise _refusal()
        elif not HOST_PATTERN.fullmatch(host):
            raise _refusal()
        if not 1 <= port <= 65535 or (self.ports and port not in self.ports):
            raise _refusal()

    def _permits(self, address: Address, host: str, port: int) -> bool:
        inner = _carried(address)
        listed = self._is_listed(address, host)
        for candidate in (address, *inner):
            if _within(candidate, NEVER) or self._is_forbidden(candidate, port):
                return False
            if _within(candidate, LOOPBACK):
                # A tunnel into the loopback is never what somebody means.
                if inner or not self.allow_loopback:
                    return False
            elif _within(candidate, UNLESS_LISTED) and not listed:
                return False
        return listed or not self.allowlist

    def _is_listed(self, address: Address, host: str) -> bool:
        name = host.rstrip(".").lower()
        for entry in self.allowlist:
            network = _network(entry)
            if network is None and entry.rstrip(".").lower() == name:
                return True
            if network is not None and address.version == network.version and address in network:
                return True
        return False

    def _is_forbidden(self, address: Address, port: int) -> bool:
        for text, forbidden_port in self.forbidden:
            if port != forbidden_port:
                continue
            ours = ipaddress.ip_address(text)
            # A service on one loopback address is as a rule reached by all of them.
            if address == _plain(ours) or (_within(address, LOOPBACK) and _within(_plain(ours), LOOPBACK + ANYWHERE)):
                return True
        return False


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _plain(address: Address) -> Address:
    """An IPv4-mapped address as the IPv4 address it is."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _carried(address: Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses an IPv6 address leads to by translation or tunnel: NAT64, 6to4, Teredo, ISATAP."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    carried = [address.sixtofour, *(address.teredo or ())]
    number = int(address)
    if address in NAT64 or (number >> 32) & 0xFFFFFFFF in ISATAP_MARKS:
        carried.append(ipaddress.IPv4Address(number & 0xFFFFFFFF))
    return tuple(found for found in carried if found is not None)


def _refusal() -> HostNotAllowed:
    return HostNotAllowed(
        say("This host is not allowed as a source."),
        hint=say("Ask the administrator to add it to IMPORT_HOST_ALLOWLIST."),
        where="host",
    )
