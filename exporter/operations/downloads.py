"""Finished files given out: to whoever made them, and by links that need no session (F-096, F-105)."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.http import Http404
from django.utils import timezone

from exporter.errors import Conflict, Expired, InvalidFields
from exporter.models import ExportJob, ExportLink
from permissions import audit, policy
from servicevault.jobs.models import JobStatus
from servicevault.wording import say, say_count

LINKS = "export.links"


def check_ready(job: ExportJob) -> None:
    """Raise Conflict while there is no file yet or never will be, Expired when it is not kept any more."""
    if job.status != JobStatus.COMPLETED:
        raise Conflict(
            say("Export {job} is {status}; there is no file to download.", job=job.number, status=job.status),
            more={"status": job.status},
        )
    if not job.has_file or not Path(job.file_path).exists():
        raise Expired(
            say("The file of export {job} is not kept any more.", job=job.number), hint=say("Run the export again.")
        )


def tell_download(job: ExportJob, *, by: Any, **details: Any) -> None:
    """Write down that the file leaves; each time it does (F-096)."""
    audit.record(
        "export_downloaded",
        user=by,
        table_name=job.table_name,
        job_id=job.pk,
        details={"filename": job.filename, "file_size": job.file_size, **details},
    )


def make_link(job: ExportJob, *, by: Any, expires_in: int | None, single_use: bool) -> tuple[ExportLink, str]:
    """A link and the secret of its address, which is told once. `expires_in` is in seconds, at most what is left.

    Raises Denied without `export.links`, Conflict, Expired, InvalidFields.
    """
    policy.require(by, LINKS)
    check_ready(job)
    assert job.expires_at is not None
    left = int((job.expires_at - timezone.now()).total_seconds())
    if expires_in is not None and expires_in > left:
        raise InvalidFields(
            {
                "expires_in": [
                    say_count(
                        "The file is kept for {count} more second; a link cannot last longer.",
                        "The file is kept for {count} more seconds; a link cannot last longer.",
                        left,
                    )
                ]
            }
        )
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        link = ExportLink.objects.create(
            job=job,
            digest=_digest(secret),
            is_single_use=single_use,
            expires_at=min(
                job.expires_at, timezone.now() + timedelta(seconds=left if expires_in is None else expires_in)
            ),
            created_by=by,
        )
        audit.record(
            "export_link_created",
            user=by,
            table_name=job.table_name,
            job_id=job.pk,
            details={"expires_at": link.expires_at.isoformat(), "single_use": single_use},
        )
    return link, secret


def linked(secret: str) -> ExportLink:
    """The link of an address. Raises Http404 for an unknown one, Expired when it is over or was used."""
    link = ExportLink.objects.select_related("job", "created_by").filter(digest=_digest(secret)).first()
    if link is None:
        raise Http404
    if link.expires_at <= timezone.now() or (link.is_single_use and link.used_at is not None):
        raise Expired(say("This link was used, or its time is over."), hint=say("Ask for a new one."))
    # Who may not log in or make links any more gives nothing out any more.
    if link.created_by is None or not policy.has(link.created_by, LINKS):
        raise Expired(say("This link is not valid any more."), hint=say("Ask for a new one."))
    check_ready(link.job)
    return link


def use_link(link: ExportLink) -> None:
    """Take the link's one use; of two at the same time one wins. Raises Expired for the other."""
    used = ExportLink.objects.filter(pk=link.pk)
    if link.is_single_use:
        used = used.filter(used_at=None)
    if not used.update(used_at=timezone.now()):
        raise Expired(say("This link was used already."), hint=say("Ask for a new one."))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
