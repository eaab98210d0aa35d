"""What a connection needs to know, and the limits it keeps: plain values, no behaviour of a database."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from importer.errors import SourceError
from servicevault.wording import say

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SYSTEM_STORE = "system"
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class ConnectionParams:
    """Where a source is and how to log in. Whoever holds the password sees it only here."""

    host: str
    port: int = 5432
    database: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    ssl_mode: str = "prefer"
    ssl_root_cert: str = ""  # PEM text; "" and "system" mean the machine's own store

    @classmethod
    def from_url(cls, text: str) -> tuple[ConnectionParams, list[str]]:
        """Return the fields of a `postgresql://` URL and the names of its parameters that are not used.

        Raises SourceError(code="url_invalid"); the text never appears in it, for it may hold a password.
        """
        parts = _split(text)
        params, unused = {}, []
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name == "sslmode" and value in SSL_MODES:
                params["ssl_mode"] = value
            elif name == "sslrootcert" and value == SYSTEM_STORE:
                params["ssl_root_cert"] = value
            else:
                unused.append(_printable(name))
        found = cls(
            host=unquote(parts.hostname or ""),
            port=parts.port or 5432,
            database=unquote(parts.path.removeprefix("/")),
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            **params,
        )
        return found, list(dict.fromkeys(unused))

    def validate(self) -> None:
        """Raise SourceError(code="params_invalid") naming the first field that cannot be right."""
        for name in ("host", "database", "username"):
            value = getattr(self, name)
            if not value or len(value) > 255 or "\0" in value:
                raise _invalid(name, say("must have 1 to 255 characters and no NUL."))
        if not 1 <= self.port <= 65535:
            raise _invalid("port", say("must lie between 1 and 65535."))
        if len(self.password) > 1024 or "\0" in self.password:
            raise _invalid("password", say("must have at most 1,024 characters and no NUL."))
        if self.ssl_mode not in SSL_MODES:
            raise _invalid("ssl_mode", say("must be one of {ssl_modes}.", ssl_modes=", ".join(SSL_MODES)))
        if self.ssl_root_cert not in ("", SYSTEM_STORE) and "-----BEGIN CERTIFICATE-----" not in self.ssl_root_cert:
            raise _invalid("ssl_root_cert", say('must be a PEM certificate, "system" or empty.'))


@dataclass(frozen=True)
class SourceLimits:
    """How long and how much a source may answer. Seconds and bytes."""

    connect_timeout_seconds: int = 10
    statement_timeout_seconds: float = 300
    preview_timeout_seconds: float = 5
    stream_timeout_seconds: float = 6 * 3600  # a whole streamed statement on the server; its silences are ours to watch
    lock_timeout_seconds: float = 5
    idle_timeout_seconds: float = 120  # between two statements of an open transaction
    watchdog_margin_seconds: float = 2
    require_auth: str = "scram-sha-256"  # libpq's require_auth; "" accepts whatever the server asks for
    allow_privileged: bool = False  # accept logins that own the server or may touch its files
    own_database: str = ""  # recipe.IDENTITY of the database that is never a source
    max_row_bytes: int = 32 * MEBIBYTE
    max_silent_bytes: int = 512 * MEBIBYTE  # received for one chunk before it is complete


def _split(text: str) -> SplitResult:
    """Take a URL apart; one sentence for everything that can be wrong with it."""
    try:
        parts = urlsplit(text.strip())
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        raise _url_invalid() from None
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or not port_is_fine or parts.fragment:
        raise _url_invalid()
    return parts


def _url_invalid() -> SourceError:
    return SourceError(
        say("This is not a PostgreSQL address."),
        hint=say("Write postgresql://user:password@host:5432/database, with special characters percent-encoded."),
        code="url_invalid",
    )


def _invalid(name: str, sentence: str) -> SourceError:
    return SourceError(
        say("The field {name} {sentence}", name=name, sentence=sentence),
        hint=say("Correct it and try again."),
        where=name,
        code="params_invalid",
    )


def _printable(name: str) -> str:
    return "".join(character for character in name if character.isprintable())[:63]
