"""What people and programs can do with exports; pages, API, tasks and commands are short callers of these."""

from .cleanup import Cleaned, remove_expired
from .downloads import check_ready, linked, make_link, tell_download, use_link
from .jobs import Preview, cancel_export, create_export, delete_export, preview_export, run_again
from .schedules import create_schedule, run_due, run_now, tell_ended, timing_of, update_schedule
from .service import DataExporter, Exported
from .tables import Described, Offered, TableData, allowances, available, describe, table_data
from .templates import create_template, delete_template, missing, problem_of, run_template, update_template

__all__ = [
    "Cleaned",
    "DataExporter",
    "Described",
    "Exported",
    "Offered",
    "Preview",
    "TableData",
    "allowances",
    "available",
    "cancel_export",
    "check_ready",
    "create_export",
    "create_schedule",
    "create_template",
    "delete_export",
    "delete_template",
    "describe",
    "linked",
    "make_link",
    "missing",
    "preview_export",
    "problem_of",
    "remove_expired",
    "run_again",
    "run_due",
    "run_now",
    "run_template",
    "table_data",
    "tell_download",
    "tell_ended",
    "timing_of",
    "update_schedule",
    "update_template",
    "use_link",
]
