"""The front door to a source: everything a caller needs to connect, ask and test."""

from importer.sources.audit import Finding, least_privilege_sql, require_unprivileged
from importer.sources.failures import Cause, ConnectionFailed, SourceQueryError
from importer.sources.hosts import HostPolicy
from importer.sources.params import SSL_MODES, ConnectionParams, SourceLimits
from importer.sources.probe import Check, ConnectionTest, test_connection
from importer.sources.session import Query, ResultColumn, SourceSession, identifier, open_session

__all__ = [
    "SSL_MODES",
    "Cause",
    "Check",
    "ConnectionFailed",
    "ConnectionParams",
    "ConnectionTest",
    "Finding",
    "HostPolicy",
    "Query",
    "ResultColumn",
    "SourceLimits",
    "SourceQueryError",
    "SourceSession",
    "identifier",
    "least_privilege_sql",
    "open_session",
    "require_unprivileged",
    "test_connection",
]
