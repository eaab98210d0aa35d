"""What people and programs can do with files; pages, API, tasks and commands are short callers of these."""

from importer.file_failures import (
    MIB,
    FileFailure,
    FileRefused,
    FileTooLarge,
    ImportDenied,
    ImportInvalid,
    NotThere,
    TooManyImports,
    UnknownTable,
)

from . import parts, templates
from .applying import apply, differences, options_for_upload
from .bundles import upload_zip
from .correcting import corrected_options, error_file, own_columns, retry, retry_from_file
from .data_importer import DataImporter
from .expiring import expire
from .findings import findings_file, groups, is_current
from .looking import TargetColumn, first_rows, keys, map_anew, match_fields, named, proposed, targets, validate_sample
from .parsing import parse, suggest_mapping
from .recognising import upload_document
from .rehearsing import is_as_rehearsed, last_rehearsal, rehearse, start_beside, why_not_start
from .retries import correctable
from .rights import allowance_of, require, seen, table_of
from .starting import check_and_start, start
from .telling import (
    described,
    errors,
    failed_records,
    hidden_failures,
    jobs,
    percent,
    progress,
    record_errors,
    stage,
    status,
    whole,
)
from .uploading import PASTED_BYTES, configure, upload, upload_text
from .validating import report_of, validate, validate_file

__all__ = [
    "MIB",
    "PASTED_BYTES",
    "DataImporter",
    "FileFailure",
    "FileRefused",
    "FileTooLarge",
    "ImportDenied",
    "ImportInvalid",
    "NotThere",
    "TargetColumn",
    "TooManyImports",
    "UnknownTable",
    "allowance_of",
    "apply",
    "check_and_start",
    "configure",
    "correctable",
    "corrected_options",
    "described",
    "differences",
    "error_file",
    "errors",
    "expire",
    "failed_records",
    "findings_file",
    "first_rows",
    "groups",
    "hidden_failures",
    "is_as_rehearsed",
    "is_current",
    "jobs",
    "keys",
    "last_rehearsal",
    "map_anew",
    "match_fields",
    "named",
    "options_for_upload",
    "own_columns",
    "parse",
    "parts",
    "percent",
    "progress",
    "proposed",
    "record_errors",
    "rehearse",
    "report_of",
    "require",
    "retry",
    "retry_from_file",
    "seen",
    "stage",
    "start",
    "start_beside",
    "status",
    "suggest_mapping",
    "table_of",
    "targets",
    "templates",
    "upload",
    "upload_document",
    "upload_text",
    "upload_zip",
    "validate",
    "validate_file",
    "validate_sample",
    "whole",
    "why_not_start",
]
