"""Exports: the jobs with their files and links, saved templates, and what runs by the clock."""

from .jobs import ExportJob, ExportLink
from .templates import ExportSchedule, ExportTemplate, ScheduledRun

__all__ = ["ExportJob", "ExportLink", "ExportSchedule", "ExportTemplate", "ScheduledRun"]
