"""Several files in one zip: a job each, parents first (F-041)."""

from __future__ import annotations

import zipfile
from typing import Any

from django.conf import settings

from importer.file_failures import FileRefused
from importer.models import ImportJob
from importer.operations.files import rights, storing, templates, uploading
from importer.operations.files.uploading import Content
from servicevault import stored_files, tables
from servicevault.tabular import containers
from servicevault.tabular.errors import FileRejected
from servicevault.tabular.filenames import cleaned
from servicevault.tabular.limits import DEFAULT
from servicevault.wording import say

MOST_FILES = 100


def upload_zip(user: Any, content: Content, *, system: bool = False) -> list[ImportJob]:
    """A waiting job for each file of a zip, in the order in which they are to be started.

    A file's name is its table's; the person's latest import template for the table tells how it is read. Raises
    ImportDenied without a right for every table, UnknownTable, FileRefused, FileTooLarge, and what `upload` raises; no
    job is left then.
    """
    allowance = rights.require_any(user, system=system)
    stored = storing.keep(content, allowance.max_file_size_mb)
    made: list[ImportJob] = []
    try:
        with stored_files.opened(stored, settings.IMPORT_TEMP_DIR) as file:
            archive = _opened(file)
            members: dict[str, zipfile.ZipInfo] = {}
            for member in containers.files_in(archive):
                table = rights.table_of(_table_name(member))
                rights.require(user, table.name, system=system)
                if members.setdefault(table.name, member) is not member:
                    raise FileRejected(
                        say("The archive holds several files for {table}; one is taken.", table=table.name)
                    )
            for table in tables.parents_first([rights.table_of(name) for name in members]):
                with containers.packing_errors(), archive.open(members[table.name]) as inner:
                    made.append(_job(user, table.name, members[table.name].filename, inner, system=system))
    except BaseException as error:
        for job in made:
            stored_files.delete(job.file.path)
            job.runs.all().delete()
            job.delete()
        if isinstance(error, FileRejected):
            raise FileRefused(error.message, allowed_formats=allowance.allowed_formats) from error
        raise
    finally:
        stored_files.delete(stored.path)
    return made


def _opened(file: Any) -> zipfile.ZipFile:
    archive = containers.open_zip(file, DEFAULT)
    files = containers.files_in(archive)
    packed = sum(member.compress_size for member in files)
    unpacked = sum(member.file_size for member in files)
    if not files or len(files) > MOST_FILES:
        raise FileRejected(
            say(
                "The archive holds {files} files; 1 to {most_files} are taken.", files=len(files), most_files=MOST_FILES
            )
        )
    if unpacked > DEFAULT.expansion_bytes and unpacked > packed * DEFAULT.expansion_ratio:
        raise FileRejected(say("The archive unpacks to far more than its size. Send the files unpacked."))
    return archive


def _table_name(member: zipfile.ZipInfo) -> str:
    stem, _, extension = cleaned(member.filename).rpartition(".")
    return stem or extension


def _job(user: Any, table_name: str, filename: str, inner: Any, *, system: bool) -> ImportJob:
    template = None if user is None else templates.visible(user, table_name=table_name).order_by("-updated_at").first()
    return uploading.upload(
        user,
        inner,
        filename,
        table_name=table_name,
        options=template.import_options if template else None,
        mappings=template.field_mappings if template else None,
        system=system,
    )
