"""Profiles, jobs and the audit trail."""

from .drafts import QueryDraft, QueryVersion
from .files import DOCUMENT, OF_DESK, FileFinding, FileImport, FileUpload, ImportTemplate, TableRule
from .jobs import REHEARSED_AS, Chunk, ImportJob, JobKind, QueryRun, RunStatus, sum_counters
from .mappings import MappingMemory
from .people import AgentChoice
from .profiles import ImportProfile, ImportQuery, MappingVersion, SourceEntity, SSLMode, Visibility
from .records import Decision, ExternalRef, ImportRecord, PendingReference, Verdict

__all__ = [
    "DOCUMENT",
    "OF_DESK",
    "REHEARSED_AS",
    "AgentChoice",
    "Chunk",
    "Decision",
    "ExternalRef",
    "FileFinding",
    "FileImport",
    "FileUpload",
    "ImportJob",
    "ImportProfile",
    "ImportQuery",
    "ImportRecord",
    "ImportTemplate",
    "JobKind",
    "MappingMemory",
    "MappingVersion",
    "PendingReference",
    "QueryDraft",
    "QueryRun",
    "QueryVersion",
    "RunStatus",
    "SSLMode",
    "SourceEntity",
    "TableRule",
    "Verdict",
    "Visibility",
    "sum_counters",
]
