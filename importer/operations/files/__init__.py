"""What people and programs can do with files; pages, API, tasks and commands are short callers of these."""

from .correcting import error_file, retry, retry_from_file
from .data_importer import DataImporter
from .expiring import expire
from .failures import FileFailure, FileRefused, FileTooLarge, ImportDenied, ImportInvalid, TooOften, UnknownTable
from .starting import start
from .telling import described, errors, jobs, percent, progress, stage, status
from .uploading import configure, parse, suggest_mapping, upload
from .validating import report_of, validate, validate_file

__all__ = [
    "DataImporter",
    "FileFailure",
    "FileRefused",
    "FileTooLarge",
    "ImportDenied",
    "ImportInvalid",
    "TooOften",
    "UnknownTable",
    "configure",
    "described",
    "error_file",
    "errors",
    "expire",
    "jobs",
    "parse",
    "percent",
    "progress",
    "report_of",
    "retry",
    "retry_from_file",
    "stage",
    "start",
    "status",
    "suggest_mapping",
    "upload",
    "validate",
    "validate_file",
]
