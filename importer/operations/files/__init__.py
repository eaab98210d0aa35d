"""What people and programs can do with files; pages, API, tasks and commands are short callers of these."""

from . import parts, templates
from .bundles import upload_zip
from .correcting import error_file, retry, retry_from_file
from .data_importer import DataImporter
from .expiring import expire
from .failures import (
    FileFailure,
    FileRefused,
    FileTooLarge,
    ImportDenied,
    ImportInvalid,
    NotThere,
    TooManyImports,
    UnknownTable,
)
from .starting import start
from .telling import described, errors, jobs, percent, progress, stage, status
from .uploading import configure, parse, suggest_mapping, upload, upload_text
from .validating import report_of, validate, validate_file

__all__ = [
    "DataImporter",
    "FileFailure",
    "FileRefused",
    "FileTooLarge",
    "ImportDenied",
    "ImportInvalid",
    "NotThere",
    "TooManyImports",
    "UnknownTable",
    "configure",
    "described",
    "error_file",
    "errors",
    "expire",
    "jobs",
    "parse",
    "parts",
    "percent",
    "progress",
    "report_of",
    "retry",
    "retry_from_file",
    "stage",
    "start",
    "status",
    "suggest_mapping",
    "templates",
    "upload",
    "upload_text",
    "upload_zip",
    "validate",
    "validate_file",
]
