"""Profiles, jobs and the audit trail."""

from .drafts import QueryDraft, QueryVersion
from .files import DOCUMENT, OF_DESK, FileFinding, FileImport, FileUpload, ImportTemplate, TableRule
from .jobs import (
    PLAN_ID,
    REHEARSED_AS,
    REVERSING,
    STRICT,
    Chunk,
    ImportJob,
    JobKind,
    QueryRun,
    RunStatus,
    sum_counters,
)
from .mappings import MappingMemory
from .people import AgentChoice
from .profiles import ImportProfile, ImportQuery, MappingVersion, SourceEntity, SSLMode, Visibility
from .records import Decision, ExternalRef, ImportRecord, PendingReference, Verdict
from .reversals import Purpose, Reversal

__all__ = [
    "DOCUMENT",
    "OF_DESK",
    "PLAN_ID",
    "REHEARSED_AS",
    "REVERSING",
    "STRICT",
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
    "Purpose",
    "QueryDraft",
    "QueryRun",
    "QueryVersion",
    "Reversal",
    "RunStatus",
    "SSLMode",
    "SourceEntity",
    "TableRule",
    "Verdict",
    "Visibility",
    "sum_counters",
]
