"""What a source login may do beyond reading, and the role it should be instead.

A READ ONLY transaction is no sandbox: a superuser's SELECT runs programs on the server.
The database's own rights are the only complete limit, so they are looked at before use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import sql

from importer.errors import SourceError
from importer.sources.catalogue import catalogue_query
from importer.sources.failures import understood
from importer.sources.session import SourceSession
from servicevault.wording import say, say_count

Severity = Literal["privileged", "warning"]

PRIVILEGED: tuple[tuple[str, str], ...] = (
    ("superuser", say("The login is a superuser, or may become one.")),
    ("replication", say("The login may replicate the whole server.")),
    ("bypassrls", say("The login passes by row-level security.")),
    ("createrole", say("The login may create roles and give them rights.")),
    ("read_server_files", say("The login may read files of the server.")),
    ("write_server_files", say("The login may write files of the server.")),
    ("execute_server_program", say("The login may run programs on the server.")),
)
COLUMNS = (
    "superuser", "replication", "bypassrls", "createrole", "createdb", "read_server_files", "write_server_files",
    "execute_server_program", "create_schema", "writable_count", "writable_example",
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One right the login does not need. `code` is stable."""

    code: str
    severity: Severity
    message: str


def audit_role(session: SourceSession) -> list[Finding]:
    """Return what the login may do beyond reading, the dangerous first. One query."""
    rows = session.fetch_all(catalogue_query("role_audit"), None)
    with understood():
        return _findings(dict(zip(COLUMNS, rows[0], strict=True)))


def _findings(rights: dict[str, Any]) -> list[Finding]:
    findings = [Finding(code, "privileged", message) for code, message in PRIVILEGED if rights[code]]
    if rights["createdb"]:
        findings.append(Finding("createdb", "warning", say("The login may create databases.")))
    if rights["create_schema"] is not None:
        findings.append(
            Finding(
                "create_on_schema",
                "warning",
                say("The login may create objects in schema {create_schema}.", create_schema=rights["create_schema"]),
            )
        )
    if rights["writable_count"]:
        count = say_count("{count} table", "{count:,} tables", rights["writable_count"])
        message = say(
            "The login may change {count}, {writable_example} for example.",
            count=count,
            writable_example=rights["writable_example"],
        )
        findings.append(Finding("write_rights", "warning", message))
    return findings


def require_unprivileged(session: SourceSession) -> None:
    """Raise SourceError(code="privileged_role") for a login that could do more harm than reading."""
    if session.limits.allow_privileged:
        return
    found = [finding for finding in audit_role(session) if finding.severity == "privileged"]
    if found:
        raise SourceError(
            " ".join(str(finding.message) for finding in found),
            hint=say("Use a role that can only read; the connection test shows the SQL that creates one."),
            code="privileged_role",
        )


def least_privilege_sql(database: str, schemas: Sequence[str]) -> str:
    """Return the statements, ready to copy, that create a role which reads these schemas and nothing else."""
    lines = [
        "CREATE ROLE service_vault_import LOGIN PASSWORD 'choose a long one'",
        "    NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 5;",
        f"GRANT CONNECT ON DATABASE {_quoted(database)} TO service_vault_import;",
        "ALTER ROLE service_vault_import SET default_transaction_read_only = on;",
    ]
    for schema in schemas or ("public",):
        lines += [
            f"GRANT USAGE ON SCHEMA {_quoted(schema)} TO service_vault_import;",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA {_quoted(schema)} TO service_vault_import;",
        ]
    return "\n".join(lines) + "\n"


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)
