"""What people and programs can do with files; pages, API, tasks and commands are short callers of these."""

from .failures import FileFailure, FileRefused, FileTooLarge, ImportDenied, ImportInvalid, UnknownTable
from .starting import start
from .uploading import configure, parse, suggest_mapping, upload
from .validating import report_of, validate, validate_file

__all__ = [
    "FileFailure",
    "FileRefused",
    "FileTooLarge",
    "ImportDenied",
    "ImportInvalid",
    "UnknownTable",
    "configure",
    "parse",
    "report_of",
    "start",
    "suggest_mapping",
    "upload",
    "validate",
    "validate_file",
]
