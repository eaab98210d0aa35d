"""What can go wrong at a source, as a fixed list: one sentence and one remedy each.

The driver's own text may repeat what a hostile server sent, or other people's data.
It goes to the log with control characters escaped, and never into an exception.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from enum import StrEnum

import psycopg

from importer.errors import ImporterError, QueryError, SourceError, SourceExhausted, SourceLost, SourceTimeout
from servicevault.wording import say

logger = logging.getLogger("servicevault.imports")

LOGGED_CHARACTERS = 2000
SHOWN_CHARACTERS = 300
# Insufficient resources, disk full, out of memory, limit of temporary files.
EXHAUSTED = ("53000", "53100", "53200", "53400")


class Cause(StrEnum):
    """Why a connection did not come about."""

    NAME_UNKNOWN = "name_unknown"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    TLS_FAILED = "tls_failed"
    CERTIFICATE_NOT_TRUSTED = "certificate_not_trusted"
    PASSWORD_WRONG = "password_wrong"  # noqa: S105 - the name of a cause
    DATABASE_MISSING = "database_missing"
    NO_PG_HBA_ENTRY = "no_pg_hba_entry"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    OTHER = "other"


SENTENCES: dict[Cause, tuple[str, str]] = {
    Cause.NAME_UNKNOWN: (say("The name {place} is not known here."), say("Check the spelling, or give the address.")),
    Cause.REFUSED: (
        say("Nothing accepts connections at {place}."),
        say("Check host and port, that PostgreSQL listens on that address, and the firewall."),
    ),
    Cause.TIMED_OUT: (
        say("{place} did not answer in time."),
        say("Check the host name, and that this server may connect to it."),
    ),
    Cause.TLS_FAILED: (
        say("No encrypted connection to {place} came about."),
        say("Switch TLS on at the source, or choose another TLS mode."),
    ),
    Cause.CERTIFICATE_NOT_TRUSTED: (
        say("The certificate of {place} is not trusted."),
        say("Give the certificate of the authority that signed it, and the host name it was made for."),
    ),
    Cause.PASSWORD_WRONG: (
        say("{place} refused this user and password."),
        say("Type both again; the case of letters counts."),
    ),
    Cause.DATABASE_MISSING: (say("There is no database of this name at {place}."), say("Check its spelling and case.")),
    Cause.NO_PG_HBA_ENTRY: (
        say("{place} does not let this user in from here."),
        say("Add a line for this user, database and address to pg_hba.conf of the source, and reload it."),
    ),
    Cause.TOO_MANY_CONNECTIONS: (
        say("{place} has no connection left for us."),
        say("Try again later, or raise the connection limit of the source or of this role."),
    ),
    Cause.OTHER: (
        say("{place} did not complete the connection as PostgreSQL does."),
        say("Check host and port, and how passwords are stored there (SCRAM is expected). The log has the details."),
    ),
}

# In the order they are tried. libpq's own texts are English in our build; those of the server may be
# translated, but names of files, attributes and settings in them are not.
PATTERNS: tuple[tuple[Cause, str], ...] = (
    (Cause.NO_PG_HBA_ENTRY, r"pg_hba\.conf"),
    (Cause.CERTIFICATE_NOT_TRUSTED, r"certificate verify failed|server certificate for|root certificate file"),
    (Cause.CERTIFICATE_NOT_TRUSTED, r"could not read root certificate|does not match host name"),
    (Cause.TOO_MANY_CONNECTIONS, r"too many (clients|connections)|remaining connection slots|SUPERUSER|CONNECTION LIMIT"),
    (Cause.TLS_FAILED, r"server does not support SSL|SSL error|SSL SYSCALL|SSL connection|ssl protocol|tlsv1"),
    (Cause.PASSWORD_WRONG, r"(password|SCRAM|LDAP|PAM|RADIUS|Peer|Ident) authentication failed|no password supplied"),
    (Cause.PASSWORD_WRONG, r'role ".*" (does not exist|is not permitted to log in)'),
    (Cause.DATABASE_MISSING, r'database ".*" does not exist'),
    (Cause.TIMED_OUT, r"timeout expired|timed out"),
    (Cause.REFUSED, r"Connection refused|No route to host|Network is unreachable|No such file or directory"),
)  # fmt: skip


class ConnectionFailed(SourceError):
    """No session came about. `cause` is one of the fixed list, `where` the stage it stopped at."""

    def __init__(self, cause: Cause, *, place: str, where: str = "login") -> None:
        sentence, remedy = SENTENCES[cause]
        super().__init__(sentence.format(place=place), hint=remedy, where=where)
        self.cause = cause


class SourceQueryError(QueryError):
    """The source refused a query or failed in it. `position` is 1-based in the text that was sent."""

    def __init__(self, message: str, *, sqlstate: str, position: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate
        self.position = position


def classify_connect(error: Exception, *, place: str) -> ConnectionFailed:
    """Return the failure to raise instead of an error of psycopg.connect()."""
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        return ConnectionFailed(Cause.TIMED_OUT, place=place, where="tcp")
    text = str(error)
    cause = next((cause for cause, pattern in PATTERNS if re.search(pattern, text)), Cause.OTHER)
    return ConnectionFailed(cause, place=place, where=STAGES.get(cause, "login"))


STAGES = {
    Cause.NAME_UNKNOWN: "dns",
    Cause.REFUSED: "tcp",
    Cause.TIMED_OUT: "tcp",
    Cause.TLS_FAILED: "tls",
    Cause.CERTIFICATE_NOT_TRUSTED: "tls",
}


def classify_statement(error: Exception, *, alive: bool) -> ImporterError:
    """Return the failure to raise instead of an error of a statement; `alive` says whether the session survives."""
    sqlstate = getattr(error, "sqlstate", None) or ""
    if not alive or sqlstate[:2] == "08" or sqlstate in ("57P01", "57P02", "57P03", "25P03", "25P04"):
        return lost()
    if sqlstate == "57014":
        return timed_out()
    if sqlstate == "55P03":
        return SourceTimeout(
            say("A table of the source is locked by somebody else."),
            hint=say("Try again when its maintenance is over."),
        )
    if sqlstate in EXHAUSTED:
        return SourceExhausted(
            say("The source has too little memory or space for this statement."),
            hint=say("Narrow the query with a filter, or ask those who run the source for more."),
            of_one_value=False,
        )
    if sqlstate == "54000" or _is_refused_allocation(error, sqlstate):
        return SourceExhausted(
            say("A value is larger than the source can put together."),
            hint=say("Leave the large column out, or take the beginning of it only."),
            of_one_value=True,
        )
    if sqlstate == "42501":
        return _query_error(error, sqlstate, say("Grant the import user SELECT on it, and USAGE on its schema."))
    if sqlstate[:2] in ("42", "22", "21", "0A", "2F", "38", "39", "44", "P0") or sqlstate in (
        "25006",
        "54001",
        "54011",
    ):
        return _query_error(error, sqlstate, "")
    if not sqlstate and isinstance(error, (psycopg.DataError, ValueError, ArithmeticError, RecursionError)):
        return SourceError(
            say("The source sent a value that cannot be read."), hint=say("Cast the column to text."), code="bad_value"
        )
    if not sqlstate and isinstance(error, psycopg.ProgrammingError):
        return SourceQueryError(say("The query and its parameters do not fit together."), sqlstate="")
    return SourceError(
        say("The source failed in this statement."), hint=say("The log has the details."), code="source_failed"
    )


def _is_refused_allocation(error: Exception, sqlstate: str) -> bool:
    """Whether the server was asked for a piece of memory above its own limit of 1 GB, which it calls an internal error."""
    primary = getattr(getattr(error, "diag", None), "message_primary", None) or ""
    return sqlstate == "XX000" and primary.startswith("invalid memory alloc request size")  # never translated


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """Read answers to our own catalogue queries: an answer of another shape is the server's failure, not a crash of ours."""
    try:
        yield
    except (IndexError, KeyError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError):
        logger.warning("source: an answer of unexpected shape", exc_info=True)
        failure = SourceError(
            say("The source answered a question about itself in a way PostgreSQL does not."),
            hint=say("Check that it is PostgreSQL, and not a database that only resembles it."),
            code="bad_answer",
        )
    else:
        return
    raise failure


def lost() -> SourceLost:
    """The connection broke."""
    return SourceLost(
        say("The connection to the source broke."), hint=say("Start again; the work goes on where it stopped.")
    )


def timed_out() -> SourceTimeout:
    """A deadline passed, on the server or here."""
    return SourceTimeout(
        say("The source did not answer within the time allowed."), hint=say("Narrow the query, or allow more time.")
    )


def snapshot_gone() -> SourceError:
    """The session that exported a snapshot is over."""
    return SourceError(
        say("The snapshot of the source is gone."),
        hint=say("The session that held it ended; read again."),
        code="snapshot_gone",
    )


def too_large() -> SourceError:
    """A row, or what came for one chunk, is above its limit."""
    return SourceError(
        say("The source sent more in one row than is accepted."),
        hint=say("Leave the large column out, or raise the limit for the size of a row."),
        code="too_large",
    )


def log_driver_text(error: BaseException, *, place: str, secret: str = "") -> None:
    """Write what the driver said to the protected log, on one line and without the password."""
    text = str(error)[:LOGGED_CHARACTERS]
    if secret:
        text = text.replace(secret, "********")
    logger.warning("source %s: %s: %s", escaped(place), type(error).__name__, escaped(text))


def escaped(text: str) -> str:
    """The text in printable ASCII: a terminal or a log reader finds no control sequence and no second line."""
    return text.encode("unicode_escape").decode("ascii")


def _query_error(error: Exception, sqlstate: str, hint: str) -> SourceQueryError:
    """The server's primary message is about the query; DETAIL and CONTEXT may hold rows and are left out."""
    diagnosis = getattr(error, "diag", None)
    primary = getattr(diagnosis, "message_primary", None) or say("The source refused the query.")
    shown = "".join(character if character.isprintable() else " " for character in primary)[:SHOWN_CHARACTERS]
    position = getattr(diagnosis, "statement_position", None) or ""
    return SourceQueryError(
        shown,
        sqlstate=sqlstate,
        position=int(position) if position.isascii() and position.isdigit() else None,
        hint=hint,
    )
